-- Two tenants and whoever may ask. Rows are found by their label: fixture.id('<table> <class>'), fixture.id('<user>').
-- The classes: m the caller's own, o another of the own tenant, t of the other tenant, s of no tenant, i inactive.
create schema fixture;
grant usage on schema fixture to public;
create function fixture.id(p_label text) returns uuid language sql immutable
return md5(p_label)::uuid;

insert into tenants (id, name, email, approved, created_at) values
  (fixture.id('tenants o'), 'Ours', 'ours@example.com', true, now() - interval '1 year'),
  (fixture.id('tenants t'), 'Theirs', 'theirs@example.com', true, now() - interval '1 year');

insert into designations (id, name, tenant_id, active) values
  (fixture.id('designations o'), 'Clerk', fixture.id('tenants o'), true),
  (fixture.id('designations i'), 'Typist', fixture.id('tenants o'), false),
  (fixture.id('designations t'), 'Clerk', fixture.id('tenants t'), true),
  (fixture.id('designations s'), 'Guest', null, true);

insert into users (id, email, full_name, role, tenant_id)
select fixture.id(name), name || '@example.com', name, role, fixture.id(tenant)
  from (values
    ('admin', 'admin', null),
    ('local admin', 'admin', 'tenants o'),
    ('tenant_admin', 'tenant_admin', 'tenants o'),
    ('executor', 'executor', 'tenants o'),
    ('other executor', 'executor', 'tenants o'),
    ('complainant', 'complainant', 'tenants o'),
    ('colleague', 'complainant', 'tenants o'),
    ('their executor', 'executor', 'tenants t'),
    ('neighbour', 'complainant', 'tenants t'),
    ('drifter', 'complainant', null)) as u (name, role, tenant);

insert into categories (id, name, tenant_id) values
  (fixture.id('categories o'), 'HVAC', fixture.id('tenants o')),
  (fixture.id('categories t'), 'HVAC', fixture.id('tenants t')),
  (fixture.id('categories s'), 'Miscellaneous', null);
insert into priorities (id, name, tenant_id, is_active) values
  (fixture.id('priorities o'), 'high', fixture.id('tenants o'), true),
  (fixture.id('priorities i'), 'odd', fixture.id('tenants o'), false),
  (fixture.id('priorities t'), 'high', fixture.id('tenants t'), true),
  (fixture.id('priorities s'), 'low', null, true);
insert into business_hours (id, day_of_week, tenant_id) values
  (fixture.id('business_hours o'), 'Monday', fixture.id('tenants o')),
  (fixture.id('business_hours t'), 'Monday', fixture.id('tenants t')),
  (fixture.id('business_hours s'), 'Monday', null);
insert into holidays (id, date, name, tenant_id) values
  (fixture.id('holidays o'), '2026-01-01', 'New Year', fixture.id('tenants o')),
  (fixture.id('holidays t'), '2026-01-01', 'New Year', fixture.id('tenants t')),
  (fixture.id('holidays s'), '2026-01-01', 'New Year', null);

insert into executor_skill (id, name, tenant_id) values
  (fixture.id('executor_skill o'), 'Cooling', fixture.id('tenants o')),
  (fixture.id('executor_skill t'), 'Cooling', fixture.id('tenants t'));
insert into executor_skills (executor_user_id, executor_skill_id) values
  (fixture.id('executor'), fixture.id('executor_skill o')),
  (fixture.id('their executor'), fixture.id('executor_skill t'));
insert into executor_profiles (id, user_id, tenant_id) values
  (fixture.id('executor_profiles m'), fixture.id('executor'), fixture.id('tenants o')),
  (fixture.id('executor_profiles o'), fixture.id('other executor'), fixture.id('tenants o')),
  (fixture.id('executor_profiles t'), fixture.id('their executor'), fixture.id('tenants t'));
insert into executors (id, user_id) values
  (fixture.id('executors m'), fixture.id('executor')),
  (fixture.id('executors o'), fixture.id('other executor'));

-- The ticket m is the complainant's, and assigned to the executor.
insert into tickets
  (id, title, description, location, category, priority, type, tenant_id, complainant_id, executor_profile_id)
select fixture.id('tickets ' || class), class, class, 'here', 'HVAC', 'low', 'Maintenance', tenant_id,
       fixture.id(complainant), fixture.id('executor_profiles ' || class)
  from (values
    ('m', fixture.id('tenants o'), 'complainant'),
    ('o', fixture.id('tenants o'), 'colleague'),
    ('t', fixture.id('tenants t'), 'neighbour')) as t (class, tenant_id, complainant);
insert into tickets (id, title, description, location, category, priority, type, complainant_id)
values (fixture.id('tickets s'), 's', 's', 'here', 'HVAC', 'low', 'Maintenance', fixture.id('drifter'));

insert into ticket_activities (id, ticket_id, tenant_id, activity_type)
select fixture.id('ticket_activities ' || title), id, tenant_id, 'admin_comment' from tickets;

insert into rules (id, rule_name, tenant_id) values
  (fixture.id('rules o'), 'Ours', fixture.id('tenants o')),
  (fixture.id('rules t'), 'Theirs', fixture.id('tenants t')),
  (fixture.id('rules s'), 'Nobody''s', null);
insert into conditions (id, rule_id, tenant_id, field_path, operator)
select fixture.id('conditions ' || class), fixture.id('rules ' || class), fixture.id('tenants ' || tenant),
       'category', 'is_not_null'
  from (values ('o', 'o'), ('t', 't'), ('s', null)) as c (class, tenant);
insert into actions (id, rule_id, tenant_id, action_type)
select fixture.id('actions ' || class), fixture.id('rules ' || class), fixture.id('tenants ' || tenant), 'notify'
  from (values ('o', 'o'), ('t', 't'), ('s', null)) as a (class, tenant);
insert into rule_execution_logs (id, rule_id, ticket_id, execution_status) values
  (fixture.id('rule_execution_logs m'), fixture.id('rules o'), fixture.id('tickets m'), 'success'),
  (fixture.id('rule_execution_logs o'), fixture.id('rules o'), fixture.id('tickets o'), 'success'),
  (fixture.id('rule_execution_logs t'), fixture.id('rules t'), fixture.id('tickets t'), 'success');

insert into tenant_notifications (id, tenant_id, user_id, type, title, message) values
  (fixture.id('tenant_notifications o'), fixture.id('tenants o'), fixture.id('executor'), 'x', 'x', 'x'),
  (fixture.id('tenant_notifications t'), fixture.id('tenants t'), fixture.id('neighbour'), 'x', 'x', 'x');

update ticket_webhook_queue set id = fixture.id('ticket_webhook_queue o')
 where ticket_id = fixture.id('tickets m') and origin = 'creation';
insert into ticket_webhook_attempts (entry_id, ticket_id, tenant_id, attempt, started_at, duration_ms)
values (fixture.id('ticket_webhook_queue o'), fixture.id('tickets m'), fixture.id('tenants o'), 1, now(), 20);
insert into executor_ticket_sessions (id, ticket_id, telegram_chat_id, session_type)
values (fixture.id('executor_ticket_sessions o'), fixture.id('tickets m'), '1', 'update');
insert into telegram_messages (id, chat_id, tenant_id)
values (fixture.id('telegram_messages o'), '1', fixture.id('tenants o'));
insert into sla_configurations (id, tenant_id) values (fixture.id('sla_configurations o'), fixture.id('tenants o'));

-- Becomes a caller, as requests do, until the transaction ends. Users ask as authenticated, with an account of their
-- own; the stranger has nothing but that.
create function fixture.become(p_caller text) returns void language plpgsql as $$
declare
  v_role constant text := case when p_caller in ('anon', 'service_role') then p_caller else 'authenticated' end;
begin
  perform set_config('request.jwt.claims', jsonb_strip_nulls(jsonb_build_object(
    'role', v_role, 'sub', case when v_role = 'authenticated' then fixture.id(p_caller) end))::text, true);
  perform set_config('role', v_role, true);
end
$$;

-- Runs a statement as a caller and takes all of it back. Answers the number of rows, or, after SQLSTATE 42501, the
-- message; whatever else happens is an error here too.
create function fixture.attempt(p_caller text, p_statement text, out row_count bigint, out denied text)
language plpgsql as $$
declare
  v_count bigint;
begin
  perform fixture.become(p_caller);
  execute p_statement;
  get diagnostics v_count = row_count;
  raise exception using errcode = 'ZZ000';
exception
  when sqlstate 'ZZ000' then
    row_count := v_count;
  when insufficient_privilege then
    denied := sqlerrm;
end
$$;
