-- Every ticket has what its rules do, and every load is what the tickets say.
do $$
declare
  v_tickets bigint := (select count(*) from tickets where tenant_id <> 'd0000000-0000-4000-8000-000000000001' and category = 'HVAC');
begin
  perform dropwire.run_due_rules(1000);
  assert v_tickets > 0, 'no tickets';
  assert v_tickets = (select count(*) from tickets where priority = 'critical' and due_date is not null
                        and executor_profile_id is not null and category = 'HVAC'), 'a ticket without its effects';
  assert v_tickets * 3 = (select count(*) from rule_execution_logs where execution_status = 'success'), 'logs';
  assert v_tickets * 3 <= (select count(*) from ticket_webhook_queue where activity_id is not null), 'webhooks';
  assert not exists (
    select from dropwire.executor_load l
     where l.open_count <> (select count(*) from tickets t where t.executor_profile_id = l.profile_id)), 'loads';
end
$$;
