-- What POST /functions/v1/create-ticket does to the database, in one transaction: find the complainant, insert the
-- ticket with its category, read it back as the rules left it, hand it the chat's message.
--
-- The rules run in the insert, hence the category before it: allocation goes by it.

-- The tenant's one category of this name, whatever the case of its letters; null when there is none, or several.
create function dropwire.category_named(p_tenant_id uuid, p_name text) returns uuid
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select case when pg_catalog.count(*) = 1 then (pg_catalog.array_agg(c.id))[1] end
    from public.categories c
   where c.tenant_id = p_tenant_id and pg_catalog.lower(c.name) = pg_catalog.lower(p_name)
$$;

-- A ticket with the names of the people around it. Instants as REST shows them.
create function dropwire.ticket_summary(p_ticket_id uuid) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
  select pg_catalog.jsonb_build_object(
           'sla', coalesce(t.due_date, t.sla_due_date),
           'allocated_to', coalesce(t.executor_profile_id, t.executor_id),
           'allocated_to_name', coalesce(e.full_name, p.full_name),
           'allocated_to_chat_id', pg_catalog.trunc(coalesce(e.telegram_chat_id, p.telegram_chat_id))::text,
           'complainant_name', c.full_name, 'complainant_email', c.email, 'complainant_phone', c.phone,
           'ticket_id', t.id, 'ticket_number', t.ticket_number, 'title', t.title,
           'description', coalesce(t.description, t.title), 'category', t.category, 'status', t.status,
           'priority', t.priority, 'created_at', t.created_at, 'updated_at', t.updated_at,
           'complainant_id', t.complainant_id, 'tenant_id', t.tenant_id)
    from public.tickets t
    left join public.users c on c.id = t.complainant_id
    left join public.executor_profiles p on p.id = t.executor_profile_id
    left join public.users e on e.id = coalesce(p.user_id, t.executor_id)
   where t.id = p_ticket_id
$$;

-- Makes the chat's newest message that of the ticket and forgets the others, which led to it. The original deletes the
-- newest too, and with it the link that it has just written. A failure is logged and does not undo the ticket.
create function dropwire.link_chat_message(p_chat_id text, p_ticket_id uuid, p_tenant_id uuid) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  if not exists (select from public.telegram_messages m where m.chat_id = p_chat_id and m.ticket_id is null) then
    return;
  end if;
  -- The lock under which the chat's messages are numbered (0002): its tickets take turns as well.
  perform pg_catalog.pg_advisory_xact_lock(
    pg_catalog.hashtextextended('telegram_messages.message_seq ' || p_chat_id, 0));

  update public.telegram_messages m
     set ticket_id = p_ticket_id, tenant_id = p_tenant_id, message_seq = 1
   where m.id = (select n.id from public.telegram_messages n
                  where n.chat_id = p_chat_id and n.ticket_id is null
                    and (n.tenant_id is null or n.tenant_id = p_tenant_id)
                  order by n.created_at desc, n.message_seq desc, n.id desc
                  limit 1);
  delete from public.telegram_messages m
   where m.chat_id = p_chat_id and m.ticket_id is null and (m.tenant_id is null or m.tenant_id = p_tenant_id);
exception when others then
  raise warning 'linking the messages of a chat to ticket %: %', p_ticket_id, sqlerrm;
end
$$;

-- outcome is created or replayed, with the ticket as the first call left it; user_not_found, which an inactive user is
-- too; or key_reused. p_chat_number is the chat id as PostgreSQL's numeric reads it, p_chat_text as the caller wrote
-- it. p_key and p_fingerprint are null for a call without an Idempotency-Key (0012).
create function dropwire.create_ticket(
  p_tenant_id uuid, p_chat_number text, p_chat_text text,
  p_issue text, p_location text, p_category text, p_priority text, p_type text,
  p_key text, p_fingerprint bytea,
  out outcome text, out ticket jsonb
)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_route constant text := 'create-ticket';
  v_number constant numeric := p_chat_number;
  v_claim record;
  v_user_id uuid;
  v_ticket_id uuid;
begin
  if p_key is not null then
    select c.state, c.answer into v_claim
      from dropwire.claim_idempotency_key(v_route, p_tenant_id, p_key, p_fingerprint) c;
    if v_claim.state = 'other_body' then
      outcome := 'key_reused';
      return;
    elsif v_claim.state = 'kept' then
      outcome := 'replayed';
      ticket := v_claim.answer;
      return;
    end if;
  end if;

  -- Two users of a tenant with one chat id: the newest one.
  select u.id into v_user_id
    from public.users u
   where u.tenant_id = p_tenant_id and u.is_active
     and (u.telegram_chat_id = v_number or u.telegram_user_id = p_chat_text)
   order by u.created_at desc nulls last, u.id desc
   limit 1;
  if not found then
    outcome := 'user_not_found';
    if p_key is not null then
      perform dropwire.drop_idempotency_key(v_route, p_tenant_id, p_key);
    end if;
    return;
  end if;

  insert into public.tickets as t
    (title, description, location, category, category_id, priority, type, complainant_id, tenant_id)
  values
    (p_issue, p_issue, p_location, p_category, dropwire.category_named(p_tenant_id, p_category), p_priority, p_type,
     v_user_id, p_tenant_id)
  returning t.id into v_ticket_id;
  perform dropwire.link_chat_message(pg_catalog.trim_scale(v_number)::text, v_ticket_id, p_tenant_id);

  outcome := 'created';
  ticket := dropwire.ticket_summary(v_ticket_id);
  if p_key is not null then
    perform dropwire.keep_answer(v_route, p_tenant_id, p_key, ticket);
  end if;
end
$$;

revoke execute on all functions in schema dropwire from public;
grant execute on function dropwire.create_ticket(
  uuid, text, text, text, text, text, text, text, text, bytea) to service_role;
