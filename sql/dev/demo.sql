-- The demo tenant of `dropwire dev`: users, categories, executors and rules. Written once; kept as edited.
insert into public.tenants (id, name, email, contact_person, subscription_status, approved, approved_at)
values ('d0000000-0000-4000-8000-000000000001', 'ACME Facilities', 'demo@example.com', 'Ada Admin', 'active', true, now())
on conflict do nothing;

insert into public.categories (id, tenant_id, name, description, icon) values
  ('d0000000-0000-4000-8000-0000000000c1', 'd0000000-0000-4000-8000-000000000001', 'HVAC', 'Heating, ventilation, cooling', 'fan'),
  ('d0000000-0000-4000-8000-0000000000c2', 'd0000000-0000-4000-8000-000000000001', 'IT', 'Computers and network', 'monitor'),
  ('d0000000-0000-4000-8000-0000000000c3', 'd0000000-0000-4000-8000-000000000001', 'Plumbing', 'Water and drains', 'droplet')
on conflict do nothing;

insert into public.users (id, tenant_id, email, full_name, phone, role, telegram_chat_id, bot_onboarding_status) values
  ('d0000000-0000-4000-8000-0000000000a1', 'd0000000-0000-4000-8000-000000000001', 'ada@example.com', 'Ada Admin', null, 'tenant_admin', null, 'not_required'),
  ('d0000000-0000-4000-8000-0000000000a2', 'd0000000-0000-4000-8000-000000000001', 'john.doe@example.com', 'John Doe', '+1-555-0100', 'complainant', 123456789, 'completed'),
  ('d0000000-0000-4000-8000-0000000000a3', 'd0000000-0000-4000-8000-000000000001', 'mike@example.com', 'Mike Johnson', '+1-555-0101', 'executor', 987654321, 'completed'),
  ('d0000000-0000-4000-8000-0000000000a4', 'd0000000-0000-4000-8000-000000000001', 'ina@example.com', 'Ina Itkin', '+1-555-0102', 'executor', 987654322, 'completed')
on conflict do nothing;

insert into public.executor_profiles (id, tenant_id, user_id, category_id, max_concurrent_tickets, full_name) values
  ('d0000000-0000-4000-8000-0000000000e1', 'd0000000-0000-4000-8000-000000000001', 'd0000000-0000-4000-8000-0000000000a3', 'd0000000-0000-4000-8000-0000000000c1', 0, 'Mike Johnson'),
  ('d0000000-0000-4000-8000-0000000000e2', 'd0000000-0000-4000-8000-000000000001', 'd0000000-0000-4000-8000-0000000000a4', 'd0000000-0000-4000-8000-0000000000c2', 0, 'Ina Itkin')
on conflict do nothing;

insert into public.rules (id, tenant_id, rule_name, rule_type, trigger_event, priority_order) values
  ('d0000000-0000-4000-8000-0000000000f1', 'd0000000-0000-4000-8000-000000000001', 'Cooling failures are urgent', 'priority', 'on_create', 1),
  ('d0000000-0000-4000-8000-0000000000f2', 'd0000000-0000-4000-8000-000000000001', 'Urgent tickets within a day', 'sla', 'on_create', 1),
  ('d0000000-0000-4000-8000-0000000000f3', 'd0000000-0000-4000-8000-000000000001', 'To whoever has the skill', 'allocation', 'on_create', 1)
on conflict do nothing;

insert into public.conditions (id, tenant_id, rule_id, field_path, operator, value, sequence, logical_operator) values
  ('d0000000-0000-4000-8000-0000000000b1', 'd0000000-0000-4000-8000-000000000001', 'd0000000-0000-4000-8000-0000000000f1', 'category', 'equals', '{HVAC}', 1, null),
  ('d0000000-0000-4000-8000-0000000000b2', 'd0000000-0000-4000-8000-000000000001', 'd0000000-0000-4000-8000-0000000000f2', 'priority', 'in', '{critical,high}', 1, null)
on conflict do nothing;

insert into public.actions (id, tenant_id, rule_id, action_type, action_params, step_order) values
  ('d0000000-0000-4000-8000-0000000000d1', 'd0000000-0000-4000-8000-000000000001', 'd0000000-0000-4000-8000-0000000000f1', 'set_priority', '{"priority":"critical"}', 1),
  ('d0000000-0000-4000-8000-0000000000d2', 'd0000000-0000-4000-8000-000000000001', 'd0000000-0000-4000-8000-0000000000f2', 'set_due_date', '{"calculation":"hours_from_now","value":24}', 1),
  ('d0000000-0000-4000-8000-0000000000d3', 'd0000000-0000-4000-8000-000000000001', 'd0000000-0000-4000-8000-0000000000f3', 'assign_executor', '{"strategy":"skill_match"}', 1)
on conflict do nothing;
