-- The executors' Telegram bot: what its updates do to the database, one function for each kind of update.
--
-- Telegram sends an update again until it is answered, so each function takes the update first: the record and the
-- effect commit together, and whoever comes second with an update waits for the first to end, then does nothing
-- (`seen`) or takes its place. Nothing that others wait for is locked before that.
--
-- A chat is one person: where the person is executor of several tenants, all of them count, and a ticket is changed
-- in the name of the one that it is assigned to.

create table dropwire.telegram_updates (
  bot_id text collate "C" not null,
  update_id bigint not null,
  taken_at timestamptz not null default now(),
  primary key (bot_id, update_id)
);
create index telegram_updates_taken_at_idx on dropwire.telegram_updates (taken_at);
comment on table dropwire.telegram_updates is
  'Updates that were acted upon. Telegram keeps them for 24 hours at most; here they stay for 48.';
comment on column dropwire.telegram_updates.bot_id is
  'The number before the colon of the bot''s token: each bot counts for itself.';

-- Chats are looked up without a tenant here.
create index idx_users_telegram_chat_id on public.users (telegram_chat_id) where telegram_chat_id is not null;
create index idx_users_telegram_user_id on public.users (telegram_user_id) where telegram_user_id is not null;

-- The open tickets of executors whom clients assign without a profile.
create index idx_tickets_executor_user_open on public.tickets (executor_id) where status in ('open', 'in-progress');

-- True for whoever takes the update first, and for one without a number, which nobody can tell from its repeats. Each
-- takes up to ten expired ones away.
create function dropwire.take_telegram_update(p_bot_id text, p_update_id bigint) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  if p_update_id is null then
    return true;
  end if;
  insert into dropwire.telegram_updates (bot_id, update_id) values (p_bot_id, p_update_id) on conflict do nothing;
  if not found then
    return false;
  end if;

  delete from dropwire.telegram_updates u
   where u.ctid = any (array(
     select e.ctid from dropwire.telegram_updates e
      where e.taken_at <= pg_catalog.now() - interval '48 hours'
      order by e.taken_at
      limit 10
        for update skip locked));
  return true;
end
$$;

-- The executors behind a chat, newest first, each with his profile if there is one. Users are found by chat id, else
-- by telegram_user_id. An inactive user is nobody.
create function dropwire.chat_executors(p_chat_id bigint)
returns table (user_id uuid, profile_id uuid, tenant_id uuid, full_name text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  with matching as (
    select u.*, true as by_chat_id from public.users u
     where u.telegram_chat_id = p_chat_id::numeric and u.role = 'executor' and u.is_active
    union all
    select u.*, false from public.users u
     where u.telegram_user_id = p_chat_id::text and u.role = 'executor' and u.is_active
  )
  select m.id, p.id, coalesce(p.tenant_id, m.tenant_id), coalesce(m.full_name, p.full_name)
    from matching m
    left join public.executor_profiles p on p.user_id = m.id
   where m.by_chat_id = (select pg_catalog.bool_or(o.by_chat_id) from matching o)
   order by m.created_at desc nulls last, m.id desc, p.id
$$;

-- The one of a chat's executors whom a ticket is assigned to; all null when it is none of theirs. Clients that know no
-- profiles assign the user.
create function dropwire.assigned_executor(p_ticket public.tickets, p_chat_id bigint)
returns table (user_id uuid, profile_id uuid, full_name text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select e.user_id, e.profile_id, e.full_name
    from dropwire.chat_executors(p_chat_id) e
   where e.tenant_id = p_ticket.tenant_id
     and (e.profile_id = p_ticket.executor_profile_id or e.user_id = p_ticket.executor_id)
   order by (e.profile_id = p_ticket.executor_profile_id) is true desc
   limit 1
$$;

-- A status as people read it: in-progress is In-progress.
create function dropwire.status_label(p_status text) returns text
language sql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
  select pg_catalog.upper(pg_catalog.left(t, 1)) || pg_catalog.substr(t, 2)
    from pg_catalog.replace(p_status, '_', ' ') t
$$;

-- What a ticket's card shows.
create function dropwire.ticket_card(p_ticket public.tickets) returns jsonb
language sql stable set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
  select pg_catalog.jsonb_build_object(
    'id', p_ticket.id, 'ticket_number', p_ticket.ticket_number, 'title', p_ticket.title, 'status', p_ticket.status,
    'status_label', dropwire.status_label(p_ticket.status), 'priority', p_ticket.priority,
    'location', p_ticket.location, 'sla', coalesce(p_ticket.sla_due_date, p_ticket.due_date))
$$;

-- /start with the parameter of a deep link: the callback that completes an onboarding (0007). outcome is seen, or as
-- receive_onboarding has it.
create function dropwire.start_bot(
  p_bot_id text, p_update_id bigint, p_correlation_id text, p_chat_id bigint, p_telegram_user_id text, p_joined_at text
) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  if not dropwire.take_telegram_update(p_bot_id, p_update_id) then
    return 'seen';
  end if;
  return (select r.outcome from dropwire.receive_onboarding(
    p_correlation_id, 'completed', p_chat_id, p_telegram_user_id, p_joined_at, null, null, null) r);
end
$$;

-- /mytickets: the tickets that wait for the chat's executors. outcome is seen, no_executor or listed.
create function dropwire.list_bot_tickets(
  p_bot_id text, p_update_id bigint, p_chat_id bigint, out outcome text, out tickets jsonb
)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  if not dropwire.take_telegram_update(p_bot_id, p_update_id) then
    outcome := 'seen';
    return;
  elsif not exists (select from dropwire.chat_executors(p_chat_id)) then
    outcome := 'no_executor';
    return;
  end if;

  outcome := 'listed';
  -- By profile and by user apart, so that an index serves each.
  select coalesce(pg_catalog.jsonb_agg(dropwire.ticket_card(t) order by t.status, t.created_at, t.id), '[]')
    into tickets
    from public.tickets t
   where t.status in ('open', 'in-progress')
     and t.id in (
       select a.id from dropwire.chat_executors(p_chat_id) e
         join public.tickets a on a.executor_profile_id = e.profile_id and a.tenant_id = e.tenant_id
        where a.status in ('open', 'in-progress')
       union
       select a.id from dropwire.chat_executors(p_chat_id) e
         join public.tickets a on a.executor_id = e.user_id and a.tenant_id = e.tenant_id
        where a.status in ('open', 'in-progress'));
end
$$;

-- Any other text: an answer to the chat's newest prompt, or, as a reply, to the very prompt that it replies to.
-- p_text is null for a command, which answers nothing.
--
-- outcome is seen, no_executor, captured or gone (the ticket is somebody else's by now) with the ticket's number,
-- expired, or nothing when no prompt is open.
create function dropwire.take_bot_text(
  p_bot_id text, p_update_id bigint, p_chat_id bigint, p_text text, p_reply_to bigint,
  out outcome text, out ticket_number text
)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_session public.executor_ticket_sessions;
  v_ticket public.tickets;
  v_executor record;
begin
  if not dropwire.take_telegram_update(p_bot_id, p_update_id) then
    outcome := 'seen';
    return;
  elsif not exists (select from dropwire.chat_executors(p_chat_id)) then
    outcome := 'no_executor';
    return;
  end if;

  outcome := 'nothing';
  select s.* into v_session
    from public.executor_ticket_sessions s
   where s.telegram_chat_id = p_chat_id::text and s.session_type = 'update' and s.state = 'awaiting_input'
     and (p_reply_to is null or s.prompt_message_id = p_reply_to) and p_text is not null
   order by s.created_at desc, s.id desc
   limit 1;
  if not found then
    return;
  end if;
  -- The ticket before its session, as everywhere, so that none waits for another in a circle.
  select t.* into v_ticket from public.tickets t where t.id = v_session.ticket_id for no key update;
  select s.* into v_session from public.executor_ticket_sessions s
   where s.id = v_session.id and s.state = 'awaiting_input' for update;
  if not found then
    return;  -- another text was faster
  end if;

  ticket_number := v_ticket.ticket_number;
  select e.* into v_executor from dropwire.assigned_executor(v_ticket, p_chat_id) e;
  outcome := case when v_session.expires_at <= pg_catalog.now() then 'expired'
                  when v_executor.user_id is null then 'gone'
                  else 'captured' end;
  update public.executor_ticket_sessions s
     set state = case outcome when 'captured' then 'completed' when 'gone' then 'cancelled' else 'expired' end
   where s.id = v_session.id;
  if outcome = 'captured' then
    insert into public.ticket_activities (ticket_id, tenant_id, activity_type, comment, created_by, metadata)
    values (v_ticket.id, v_ticket.tenant_id, 'executor_update', p_text, v_executor.user_id,
      pg_catalog.jsonb_build_object('source', 'telegram_bot', 'session_id', v_session.id));
  end if;
end
$$;

-- A tap on a card's button. p_action is null when the button's data could not be read.
--
-- outcome is seen, no_executor, malformed, noop, no_ticket, not_assigned, unknown_action, unchanged, changed, or prompt
-- when the chat is to be asked for an update. From unchanged on the card is there; with prompt, the executor too.
create function dropwire.take_bot_action(
  p_bot_id text, p_update_id bigint, p_chat_id bigint, p_action text, p_ticket_id uuid,
  p_callback_id text, p_message_id bigint,
  out outcome text, out card jsonb, out user_id uuid, out profile_id uuid
)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_ticket public.tickets;
  v_old_status text;
  v_executor record;
  v_status constant text := case p_action when 'status_in_progress' then 'in-progress'
                                          when 'status_resolved' then 'resolved' end;
begin
  if not dropwire.take_telegram_update(p_bot_id, p_update_id) then
    outcome := 'seen';
    return;
  end if;
  outcome := case when not exists (select from dropwire.chat_executors(p_chat_id)) then 'no_executor'
                  when p_action is null then 'malformed'
                  when p_action = 'noop' then 'noop' end;
  if outcome is not null then
    return;
  end if;

  select t.* into v_ticket from public.tickets t where t.id = p_ticket_id for no key update;
  if not found then
    outcome := 'no_ticket';
    return;
  end if;
  select e.* into v_executor from dropwire.assigned_executor(v_ticket, p_chat_id) e;
  if not found then
    outcome := 'not_assigned';
    return;
  end if;

  card := dropwire.ticket_card(v_ticket);
  if p_action = 'update' then
    update public.executor_ticket_sessions s set state = 'cancelled'
     where s.telegram_chat_id = p_chat_id::text and s.ticket_id = p_ticket_id and s.state = 'awaiting_input';
    outcome := 'prompt';
    user_id := v_executor.user_id;
    profile_id := v_executor.profile_id;
    return;
  end if;
  outcome := case when v_status is null then 'unknown_action' when v_status = v_ticket.status then 'unchanged' end;
  if outcome is not null then
    return;
  end if;

  v_old_status := v_ticket.status;
  update public.tickets t
     set status = v_status, resolved_at = case v_status when 'resolved' then pg_catalog.now() else t.resolved_at end
   where t.id = p_ticket_id;
  -- In place of the activity that the update above has written: with an author, and in better words.
  insert into public.ticket_activities (ticket_id, tenant_id, activity_type, comment, created_by, metadata)
  values (p_ticket_id, v_ticket.tenant_id, 'status_change',
    pg_catalog.format('Status changed from %s to %s by %s.', dropwire.status_label(v_old_status),
      dropwire.status_label(v_status), coalesce(v_executor.full_name, 'executor')),
    v_executor.user_id,
    pg_catalog.jsonb_build_object(
      'source', 'telegram_bot', 'previous_status', v_old_status, 'new_status', v_status));
  insert into public.executor_ticket_sessions
    (ticket_id, executor_profile_id, executor_user_id, telegram_chat_id, telegram_message_id, session_type, state,
     metadata)
  values (p_ticket_id, v_executor.profile_id, v_executor.user_id, p_chat_id::text, p_message_id, 'status_change',
    'completed', pg_catalog.jsonb_build_object('action', p_action, 'callback_id', p_callback_id));

  -- Rules may have gone further.
  select t.* into v_ticket from public.tickets t where t.id = p_ticket_id;
  outcome := 'changed';
  card := dropwire.ticket_card(v_ticket);
end
$$;

-- Waits for an answer to a prompt that has been sent, for half an hour. Of two prompts for a ticket in a chat the later
-- one counts.
create function dropwire.open_bot_session(
  p_ticket_id uuid, p_chat_id bigint, p_user_id uuid, p_profile_id uuid, p_callback_id text, p_message_id bigint,
  p_prompt_id bigint
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform from public.tickets t where t.id = p_ticket_id for no key update;
  update public.executor_ticket_sessions s set state = 'cancelled'
   where s.telegram_chat_id = p_chat_id::text and s.ticket_id = p_ticket_id and s.state = 'awaiting_input';
  insert into public.executor_ticket_sessions
    (ticket_id, executor_profile_id, executor_user_id, telegram_chat_id, telegram_message_id, prompt_message_id,
     session_type, state, expires_at, metadata)
  values (p_ticket_id, p_profile_id, p_user_id, p_chat_id::text, p_message_id, p_prompt_id, 'update', 'awaiting_input',
    pg_catalog.now() + interval '30 minutes',
    pg_catalog.jsonb_build_object('callback_id', p_callback_id, 'prompt_message_id', p_prompt_id));
end
$$;

revoke execute on all functions in schema dropwire from public;
grant execute on function
  dropwire.take_telegram_update(text, bigint),
  dropwire.start_bot(text, bigint, text, bigint, text, text),
  dropwire.list_bot_tickets(text, bigint, bigint),
  dropwire.take_bot_text(text, bigint, bigint, text, bigint),
  dropwire.take_bot_action(text, bigint, bigint, text, uuid, text, bigint),
  dropwire.open_bot_session(uuid, bigint, uuid, uuid, text, bigint, bigint)
to service_role;
