-- Tenants 1 (no rules), 2 (50 rules, 200 executors), 3 (as 2, with 5,000 tickets open) and 4 (as 2, the rules switched
-- off). Ids end in the tenant's digit.
create function pg_temp.id(kind text, tenant int, n int) returns uuid language sql as $$
  select format('%s-0000-4000-8000-%s%s', kind, lpad(n::text, 11, '0'), tenant)::uuid
$$;
insert into tenants (id, name, email)
select pg_temp.id('d0000000', t, 0), 'Bench ' || t, 'bench' || t || '@example.com' from generate_series(1, 4) t;
insert into users (id, tenant_id, email, full_name, role, telegram_chat_id)
select pg_temp.id('a0000000', t, n), pg_temp.id('d0000000', t, 0), format('user%s@%s.example.com', n, t), 'User ' || n,
       'complainant', t * 1000000 + n
  from generate_series(1, 4) t, generate_series(1, 1000) n;
insert into categories (id, tenant_id, name)
select pg_temp.id('c0000000', t, 1), pg_temp.id('d0000000', t, 0), 'HVAC' from generate_series(2, 4) t;
insert into users (id, tenant_id, email, full_name, role)
select pg_temp.id('e0000000', t, n), pg_temp.id('d0000000', t, 0), format('executor%s@%s.example.com', n, t),
       'Executor ' || n, 'executor'
  from generate_series(2, 4) t, generate_series(1, 200) n;
insert into executor_profiles (id, tenant_id, user_id, category_id, max_concurrent_tickets)
select pg_temp.id('f0000000', t, n), pg_temp.id('d0000000', t, 0), pg_temp.id('e0000000', t, n), pg_temp.id('c0000000', t, 1), 0
  from generate_series(2, 4) t, generate_series(1, 200) n;

-- Rules 15, 16 and 17 match, one of each type.
insert into rules (id, tenant_id, rule_name, rule_type, priority_order, is_active)
select pg_temp.id('b0000000', t, n), pg_temp.id('d0000000', t, 0), 'Rule ' || n,
       (array['priority', 'sla', 'allocation'])[1 + n % 3]::rule_type_enum, n, t < 4
  from generate_series(2, 4) t, generate_series(1, 50) n;
insert into conditions (rule_id, tenant_id, sequence, field_path, operator, value)
select r.id, r.tenant_id, c.*
  from rules r
 cross join lateral (values
   (1, 'category', 'equals', array[case when r.priority_order between 15 and 17 then 'HVAC' else 'Category ' || r.priority_order end]),
   (2, 'priority', 'in', array['high', 'critical']),
   (3, 'location', 'contains', array['Building A', 'Building B']),
   (4, 'complainant.email', 'ends_with', array['example.com'])) c;
insert into actions (rule_id, tenant_id, action_type, action_params)
select r.id, r.tenant_id,
       case r.rule_type when 'priority' then 'set_priority' when 'sla' then 'set_due_date' else 'assign_executor'
         end::automation_action_type,
       case r.rule_type when 'priority' then '{"priority": "critical"}'
         when 'sla' then '{"calculation": "hours_from_now", "value": 24}' else '{"strategy": "skill_match"}' end::jsonb
  from rules r;

-- What three matching rules leave behind, written by one bare statement that knows it all beforehand: the ticket's columns,
-- an executor's counters, three activities with their webhooks, three logs. The chosen one is nobody else's meanwhile.
do $do$
begin
  execute format($f$
    create function public.bench_rows(p_ticket_id uuid, p_executor int) returns void language plpgsql
    set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
    declare
      v_tenant_id constant uuid := 'd0000000-0000-4000-8000-000000000004';
      v_profile_id constant uuid := format('f0000000-0000-4000-8000-%%s4', lpad(p_executor::text, 11, '0'));
      v_user_id constant uuid := format('e0000000-0000-4000-8000-%%s4', lpad(p_executor::text, 11, '0'));
      v_due_at constant timestamptz := now() + interval '24 hours';
      v_set constant text := concat(set_config('dropwire.actor', 'rules', true), set_config('dropwire.plain', p_ticket_id::text, true),
        set_config('dropwire.new_ticket', p_ticket_id::text, true));
    begin
      with counted as (
        update dropwire.executor_load l set open_count = open_count + 1, assigned_count = assigned_count + 1
         where l.profile_id = v_profile_id
      ), changed as (
        update public.tickets
           set priority = 'critical', due_date = v_due_at, sla_due_date = v_due_at, executor_profile_id = v_profile_id,
               executor_id = v_user_id
         where id = p_ticket_id
      ), recorded as (
        insert into public.ticket_activities (ticket_id, tenant_id, activity_type, comment, metadata)
        values (p_ticket_id, v_tenant_id, 'priority_change', 'Priority changed from high to critical',
                '{"old_priority": "high", "new_priority": "critical"}'),
               (p_ticket_id, v_tenant_id, 'sla_change', 'SLA changed from none to 2026-01-01T00:00:00.000Z',
                '{"old_due_date": null, "new_due_date": "2026-01-01T00:00:00.000Z"}'),
               (p_ticket_id, v_tenant_id, 'reassignment', 'Ticket assigned to executor ' || v_profile_id,
                '{"old_executor_id": null, "new_executor_id": "f0000000-0000-4000-8000-000000000014"}')
        returning id, activity_type, comment, metadata, created_at
      ), queued as (
        insert into public.ticket_webhook_queue (ticket_id, activity_id, tenant_id, origin, payload)
        select p_ticket_id, r.id, v_tenant_id, 'trigger', to_jsonb(r) - 'id' from recorded r
      )
      insert into public.rule_execution_logs
        (rule_id, ticket_id, execution_status, matched_conditions, actions_executed, execution_time_ms)
      select r, p_ticket_id, 'success', %L, '[{"action": "set_priority", "params": {"priority": "critical"}}]', 1
        from unnest('{b0000000-0000-4000-8000-000000000154,b0000000-0000-4000-8000-000000000164,
                      b0000000-0000-4000-8000-000000000174}'::uuid[]) r;
    end
    $$
  $f$, (select k.matched from dropwire.compiled_rules k where k.matched <> '{}' limit 1));
end
$do$;
\ir reset.sql
