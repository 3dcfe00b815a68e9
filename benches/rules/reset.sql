-- No tickets but the 5,000 of tenant 3, 25 with each executor.
set client_min_messages = warning;
truncate tickets, dropwire.sla_watch cascade;
insert into tickets (title, description, category, priority, type, location, tenant_id, executor_profile_id)
select 'Open', 'Open', 'x', 'low', 'Maintenance', 'Hall', ep.tenant_id, ep.id
  from executor_profiles ep, generate_series(1, 25)
 where ep.tenant_id = 'd0000000-0000-4000-8000-000000000003';
truncate ticket_webhook_queue;
vacuum analyze;
checkpoint;
