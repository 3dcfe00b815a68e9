-- Tenants 1 (no rules), 2 (50 rules, 200 executors) and 3 (as 2, with 5,000 tickets open). Ids end in the tenant's digit.
create function pg_temp.id(kind text, tenant int, n int) returns uuid language sql as $$
  select format('%s-0000-4000-8000-%s%s', kind, lpad(n::text, 11, '0'), tenant)::uuid
$$;
insert into tenants (id, name, email)
select pg_temp.id('d0000000', t, 0), 'Bench ' || t, 'bench' || t || '@example.com' from generate_series(1, 3) t;
insert into users (id, tenant_id, email, full_name, role, telegram_chat_id)
select pg_temp.id('a0000000', t, n), pg_temp.id('d0000000', t, 0), format('user%s@%s.example.com', n, t), 'User ' || n,
       'complainant', t * 1000000 + n
  from generate_series(1, 3) t, generate_series(1, 1000) n;
insert into categories (id, tenant_id, name)
select pg_temp.id('c0000000', t, 1), pg_temp.id('d0000000', t, 0), 'HVAC' from generate_series(2, 3) t;
insert into users (id, tenant_id, email, full_name, role)
select pg_temp.id('e0000000', t, n), pg_temp.id('d0000000', t, 0), format('executor%s@%s.example.com', n, t),
       'Executor ' || n, 'executor'
  from generate_series(2, 3) t, generate_series(1, 200) n;
insert into executor_profiles (id, tenant_id, user_id, category_id, max_concurrent_tickets)
select pg_temp.id('f0000000', t, n), pg_temp.id('d0000000', t, 0), pg_temp.id('e0000000', t, n), pg_temp.id('c0000000', t, 1), 0
  from generate_series(2, 3) t, generate_series(1, 200) n;

-- Rules 15, 16 and 17 match, one of each type.
insert into rules (id, tenant_id, rule_name, rule_type, priority_order)
select pg_temp.id('b0000000', t, n), pg_temp.id('d0000000', t, 0), 'Rule ' || n,
       (array['priority', 'sla', 'allocation'])[1 + n % 3]::rule_type_enum, n
  from generate_series(2, 3) t, generate_series(1, 50) n;
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
\ir reset.sql
