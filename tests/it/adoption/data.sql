-- A year of use of the original: 5,000 tickets, and what its defects leave behind. Ids are legible: a… tenants,
-- b… users, c… categories, e… executor profiles, f… legacy executors.

insert into tenants (id, name, email, automation_webhook_url) values
  ('a0000000-0000-4000-8000-000000000001', 'ACME Facilities', 'acme@example.com', null),
  ('a0000000-0000-4000-8000-000000000002', 'ACM Labs', 'labs@example.com', ''),   -- the same prefix
  ('a0000000-0000-4000-8000-000000000003', 'lower case', 'lower@example.com', null);
insert into users (id, tenant_id, email, role, full_name, telegram_chat_id) values
  ('b0000000-0000-4000-8000-000000000001', null, 'root@example.com', 'admin', 'Root', null),
  ('b0000000-0000-4000-8000-000000000002', 'a0000000-0000-4000-8000-000000000001', 'ann@example.com', 'complainant', 'Ann', 1001),
  ('b0000000-0000-4000-8000-000000000003', 'a0000000-0000-4000-8000-000000000001', 'eve@example.com', 'executor', 'Eve', 1002),
  ('b0000000-0000-4000-8000-000000000004', 'a0000000-0000-4000-8000-000000000002', 'lee@example.com', 'complainant', 'Lee', 1003),
  ('b0000000-0000-4000-8000-000000000005', 'a0000000-0000-4000-8000-000000000003', 'low@example.com', 'complainant', 'Low', 1004);
update tenants set approved_by = 'b0000000-0000-4000-8000-000000000001', approved = true, approved_at = now();
insert into categories (id, name, tenant_id) values
  ('c0000000-0000-4000-8000-000000000001', 'HVAC', 'a0000000-0000-4000-8000-000000000001'),
  ('c0000000-0000-4000-8000-000000000002', 'Plumbing', null);
insert into priorities (name, level, tenant_id) values
  ('critical', 1, 'a0000000-0000-4000-8000-000000000001'), ('low', 4, null);
insert into designations (name, tenant_id) values ('Engineer', 'a0000000-0000-4000-8000-000000000001');
insert into executors (id, user_id) values
  ('f0000000-0000-4000-8000-000000000001', 'b0000000-0000-4000-8000-000000000003');
insert into executor_profiles (id, tenant_id, user_id, category_id, is_default_executor) values
  ('e0000000-0000-4000-8000-000000000001', 'a0000000-0000-4000-8000-000000000001',
   'b0000000-0000-4000-8000-000000000003', 'c0000000-0000-4000-8000-000000000001', true);
insert into executor_skill (id, tenant_id, name) values
  ('50000000-0000-4000-8000-000000000001', 'a0000000-0000-4000-8000-000000000001', 'Cooling');
insert into executor_skills values ('b0000000-0000-4000-8000-000000000003', '50000000-0000-4000-8000-000000000001');
insert into rules (id, tenant_id, rule_name, rule_type) values
  ('60000000-0000-4000-8000-000000000001', 'a0000000-0000-4000-8000-000000000001', 'Cooling is urgent', 'priority');
insert into conditions (tenant_id, rule_id, field_path, operator, value) values
  ('a0000000-0000-4000-8000-000000000001', '60000000-0000-4000-8000-000000000001', 'category', 'equals', '{HVAC}');
insert into actions (tenant_id, rule_id, action_type, action_params) values
  ('a0000000-0000-4000-8000-000000000001', '60000000-0000-4000-8000-000000000001', 'set_priority',
   '{"priority": "critical"}');
insert into business_hours (tenant_id, day_of_week, is_working_day, start_time, end_time) values
  ('a0000000-0000-4000-8000-000000000001', 'Monday', true, '09:00', '17:00');
insert into holidays (tenant_id, date, name) values ('a0000000-0000-4000-8000-000000000001', '2025-12-25', 'Christmas');
insert into sla_configurations (tenant_id) values ('a0000000-0000-4000-8000-000000000001');
insert into tenant_notifications (tenant_id, user_id, type, title, message) values
  ('a0000000-0000-4000-8000-000000000001', 'b0000000-0000-4000-8000-000000000002', 'onboarding.queued', 'T', 'M');

-- Tickets: ACM counts to 2,499, then jumps to 9999; the other tenant of that prefix has numbers of its own; some have
-- no tenant; one number is no number.
insert into tickets (id, ticket_number, title, description, category, priority, type, status, location, complainant_id,
                     tenant_id, category_id, created_at, updated_at, executor_id, executor_profile_id)
select format('70000000-0000-4000-8000-%s', lpad(n::text, 12, '0'))::uuid,
       case when n <= 2499 then format('FMS-ACM-%s', lpad(n::text, 4, '0'))
            when n = 2500 then 'FMS-ACM-9999'
            when n = 2501 then 'FMS-ACM-OLD'
            when n <= 4900 then format('FMS-ACM-%s', lpad(n::text, 4, '0'))
            when n <= 4990 then format('FMS-XXX-%s', lpad((n - 4900)::text, 4, '0'))
            else format('FMS-DEF-%s', lpad((n - 4990)::text, 4, '0')) end,
       'Ticket ' || n, 'It''s "broken"', (array['HVAC', 'Plumbing'])[1 + n % 2],
       (array['critical', 'high', 'medium', 'low'])[1 + n % 4], 'Maintenance',
       (array['open', 'in-progress', 'resolved', 'closed'])[1 + n % 4], 'Hall ' || n % 7,
       case when n <= 2501 then 'b0000000-0000-4000-8000-000000000002'::uuid end,
       case when n <= 2501 then 'a0000000-0000-4000-8000-000000000001'::uuid
            when n <= 4900 then 'a0000000-0000-4000-8000-000000000002'
            when n <= 4990 then 'a0000000-0000-4000-8000-000000000003' end,
       case when n % 2 = 0 then 'c0000000-0000-4000-8000-000000000001'::uuid end,
       '2025-01-01'::timestamptz + n * interval '1 hour', '2025-01-02'::timestamptz + n * interval '1 hour',
       -- what the foreign key lets in
       case when n <= 10 then 'f0000000-0000-4000-8000-000000000001'::uuid end,
       case when n <= 10 then 'e0000000-0000-4000-8000-000000000001'::uuid end
  from generate_series(1, 5000) n;
insert into rule_execution_logs (rule_id, ticket_id, execution_status) values
  ('60000000-0000-4000-8000-000000000001', '70000000-0000-4000-8000-000000000001', 'success');
insert into executor_ticket_sessions (ticket_id, telegram_chat_id, session_type) values
  ('70000000-0000-4000-8000-000000000001', '1002', 'update');
insert into telegram_messages (chat_id, ticket_id, message_text) values
  ('1001', '70000000-0000-4000-8000-000000000001', 'AC broken');

-- Three activities each on tickets 1 to 40, the last two of one transaction, inserted in no order.
insert into ticket_activities (ticket_id, tenant_id, activity_type, comment, created_by, created_at, metadata)
select format('70000000-0000-4000-8000-%s', lpad(n::text, 12, '0'))::uuid, 'a0000000-0000-4000-8000-000000000001',
       'admin_comment', format('%s.%s', n, k), 'b0000000-0000-4000-8000-000000000001',
       '2025-06-01'::timestamptz + n * interval '1 hour' + least(k, 2) * interval '1 minute', '{"k": 1}'
  from generate_series(1, 40) n, generate_series(1, 3) k
 order by md5(n::text || k);

-- The trigger queued them; this is how the dispatcher left them: 1 to 25 sent and stuck (Q1), 26 to 28 on their way,
-- 29 refused by the tenant, the rest waiting. The clock of a dump from last week is kept but for those on their way.
alter table ticket_webhook_queue disable trigger user;
update ticket_webhook_queue q
   set created_at = a.created_at, updated_at = a.created_at, next_attempt_at = a.created_at
  from ticket_activities a
 where a.id = q.activity_id;
update ticket_webhook_queue
   set status = 'processing', attempt_count = 1, updated_at = now() - interval '11 minutes' - (now() - created_at) / 100
 where ticket_id <= '70000000-0000-4000-8000-000000000025';
update ticket_webhook_queue q
   set status = 'processing', attempt_count = 1, updated_at = now() - interval '2 minutes'
 where ticket_id between '70000000-0000-4000-8000-000000000026' and '70000000-0000-4000-8000-000000000028'
   and created_at = (select min(e.created_at) from ticket_webhook_queue e where e.ticket_id = q.ticket_id);
update ticket_webhook_queue q
   set status = 'failed', attempt_count = 3, last_error = 'HTTP 500: no'
 where ticket_id = '70000000-0000-4000-8000-000000000029'
   and created_at = (select min(e.created_at) from ticket_webhook_queue e where e.ticket_id = q.ticket_id);
update ticket_webhook_queue set status = 'delivered', payload = '{"sent": true}'
 where ticket_id = '70000000-0000-4000-8000-000000000030';
alter table ticket_webhook_queue enable trigger user;
