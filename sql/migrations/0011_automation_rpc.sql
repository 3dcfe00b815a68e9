-- A ticket by RPC: POST /rest/v1/rpc/create_ticket_from_automation, beside telegram-webhook.
--
-- Every outcome is an answer (HTTP 200) that says `success`; scenarios route by it. The keys stand in the original's
-- order, which json keeps and jsonb would not. The original ran no rules and queued nothing; this one ends in the same
-- insert as telegram-webhook, and the triggers on tickets do both.
--
-- `or replace`, because a database that was the original's has the function, under the same signature.
create or replace function public.create_ticket_from_automation(
  p_issue text, p_location text, p_category text, p_priority text, p_user_name text, p_chat_id text, p_tenant_id uuid,
  p_designation text default null, p_department text default null, p_type text default 'Maintenance',
  p_building text default null, p_floor text default null, p_room text default null
) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_created record;
begin
  -- A priority of null is no bad priority: the table refuses it below, in its own words.
  if p_priority not in ('critical', 'high', 'medium', 'low') then
    return pg_catalog.json_build_object('success', false,
      'error', 'Invalid priority. Must be one of: critical, high, medium, low');
  end if;

  begin
    perform p_chat_id::numeric;
  exception when invalid_text_representation or numeric_value_out_of_range then
    return pg_catalog.json_build_object('success', false,
      'error', pg_catalog.format('Invalid chat_id format: %s. Must be a numeric value.', p_chat_id));
  end;

  -- The place is one text here, where telegram-webhook fills three columns. Clients read it so.
  select c.outcome, c.ticket_id, c.ticket_number into v_created
    from dropwire.create_ticket_from_telegram(
      p_tenant_id, p_chat_id, p_chat_id, p_issue,
      p_location || coalesce(', Building: ' || nullif(pg_catalog.btrim(p_building), ''), '')
                 || coalesce(', Floor: ' || nullif(pg_catalog.btrim(p_floor), ''), '')
                 || coalesce(', Room: ' || nullif(pg_catalog.btrim(p_room), ''), ''),
      p_category, p_priority, coalesce(p_type, 'Maintenance'), null, null, null) c;

  -- An inactive user is not told from none.
  if v_created.outcome <> 'created' then
    return pg_catalog.json_build_object('success', false,
      'error', pg_catalog.format('User not found with chat_id: %s in tenant: %s',
        coalesce(p_chat_id, 'null'), coalesce(p_tenant_id::text, 'null')));
  end if;
  return pg_catalog.json_build_object('success', true, 'ticket_id', v_created.ticket_id,
    'ticket_number', v_created.ticket_number, 'message', 'Ticket created successfully');
exception when others then
  return pg_catalog.json_build_object('success', false, 'error', 'Failed to create ticket: ' || sqlerrm);
end
$$;

comment on function public.create_ticket_from_automation(
  text, text, text, text, text, text, uuid, text, text, text, text, text, text) is
  'Creates a ticket for the active user of the tenant who has the Telegram chat id. Always answers; see success.';

revoke execute on function public.create_ticket_from_automation(
  text, text, text, text, text, text, uuid, text, text, text, text, text, text) from public;
grant execute on function public.create_ticket_from_automation(
  text, text, text, text, text, text, uuid, text, text, text, text, text, text)
to anon, authenticated, service_role;
