-- What POST /functions/v1/telegram-webhook does to the database, in one round trip: find the complainant, check,
-- insert; the triggers on tickets queue the creation and run the rules.
--
-- outcome is created, user_not_found or user_inactive. p_chat_number is the chat id as PostgreSQL's numeric reads
-- it, p_chat_text as the caller wrote it: users are found by telegram_chat_id or telegram_user_id.
--
-- No `set search_path` here, unlike everywhere else: entering and leaving it costs a tenth of the call. Instead each
-- name that the caller's path could lead astray is qualified: relations, types that are no keywords, operators.
create function dropwire.create_ticket_from_telegram(
  p_tenant_id uuid, p_chat_number text, p_chat_text text,
  p_issue text, p_location text, p_category text, p_priority text, p_type text,
  p_building text, p_floor text, p_room text,
  out outcome text, out ticket_id uuid, out ticket_number text
)
language plpgsql volatile security definer as $$
declare
  v_number numeric := p_chat_number;
  v_user_id pg_catalog.uuid;
  v_active boolean;
begin
  -- Two users of a tenant with one chat id: the newest active one.
  select u.id, u.is_active into v_user_id, v_active
    from public.users u
   where u.tenant_id operator(pg_catalog.=) p_tenant_id
     and (u.telegram_chat_id operator(pg_catalog.=) v_number or u.telegram_user_id operator(pg_catalog.=) p_chat_text)
   order by (u.is_active is true) desc, u.created_at desc nulls last, u.id desc
   limit 1;
  if not found then
    outcome := 'user_not_found';
    return;
  elsif v_active is not true then
    outcome := 'user_inactive';
    return;
  end if;

  insert into public.tickets as t
    (title, description, location, category, priority, type, building, floor, room, complainant_id, tenant_id)
  values
    (p_issue, p_issue, p_location, p_category, p_priority, p_type, p_building, p_floor, p_room, v_user_id, p_tenant_id)
  returning t.id, t.ticket_number into ticket_id, ticket_number;
  outcome := 'created';
end
$$;

revoke execute on function dropwire.create_ticket_from_telegram(
  uuid, text, text, text, text, text, text, text, text, text, text) from public;
grant execute on function dropwire.create_ticket_from_telegram(
  uuid, text, text, text, text, text, text, text, text, text, text) to service_role;
