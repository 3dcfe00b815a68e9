-- Onboarding: how users.bot_onboarding_status moves, each step together with its notification.
--
--   an admin's request    any but completed  -> pending -> invited | failed          begin_, settle_onboarding
--   without Make's URL    any                -> failed                               begin_onboarding
--   Make's callback       any but completed  -> invited | awaiting_chat | completed | failed | cancelled
--                                                                                    receive_onboarding
--
-- bot_correlation_id ties them together: each request replaces it, so that only the newest deep link and the newest
-- request's outcome count. No lock is held while Make is called. Who loses a race, or dies in between, leaves `pending`
-- behind, and the next request starts over.

create index idx_users_bot_correlation_id on public.users (bot_correlation_id) where bot_correlation_id is not null;

-- One more attempt, without ever running over: a callback may set the count to any integer.
create function dropwire.next_retry(p_count int) returns int
language sql immutable parallel safe
return least(p_count, 2147483646) + 1;

-- Tells the tenant's dashboard. p_user is whom it is about. A failure is logged and does not undo the step itself.
create function dropwire.notify_onboarding(
  p_user public.users, p_triggered_by uuid, p_type text, p_message text, p_metadata jsonb
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  insert into public.tenant_notifications
    (tenant_id, user_id, triggered_by, type, level, title, message, metadata)
  select p_user.tenant_id, p_user.id, p_triggered_by, p_type, kind.level,
         pg_catalog.format(kind.title, p_user.email), p_message, p_metadata
    from (values
      ('onboarding.queued', 'info', 'Onboarding started for %s'),
      ('onboarding.invite_sent', 'info', 'Invite email sent to %s'),
      ('onboarding.awaiting_chat', 'info', 'Waiting for %s to start the bot'),
      ('onboarding.completed', 'success', 'Telegram connected for %s'),
      ('onboarding.error', 'error', 'Onboarding failed for %s'),
      ('onboarding.timeout', 'warning', 'Onboarding timeout for %s'),
      ('onboarding.cancelled', 'info', 'Onboarding cancelled for %s')
    ) as kind (type, level, title)
   where kind.type = p_type;
exception when others then
  raise warning 'storing the notification % about user %: %', p_type, p_user.id, sqlerrm;
end
$$;

-- What every notification of a request carries.
create function dropwire.onboarding_metadata(p_user public.users, p_correlation_id text) returns jsonb
language sql stable set search_path = pg_catalog, pg_temp as $$
  select pg_catalog.jsonb_build_object(
    'correlation_id', p_correlation_id, 'tenant_id', p_user.tenant_id, 'email', p_user.email, 'role', p_user.role,
    'employee_id', p_user.emp_code)
$$;

-- Checks an admin's request and, if nothing is against it, makes the user pending.
--
-- outcome is queued, and payload then what Make is to receive, keys in order; or one of caller_unknown, caller_refused,
-- target_unknown, target_foreign, target_role, target_email, tenant_unknown, unconfigured (the user is failed then),
-- already_completed, correlation_taken, under_way. The checks are in the order in which the first answers.
-- p_configured tells whether there is a URL of Make; within p_patience a request under way may still hear from it.
create function dropwire.begin_onboarding(
  p_caller_id uuid, p_target_id uuid, p_correlation_id text, p_reason text, p_configured boolean, p_patience interval,
  out outcome text, out payload json
)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_id constant uuid := p_correlation_id;
  v_unconfigured constant text := 'Make webhook URL is not configured. Contact support.';
  v_caller public.users;
  v_user public.users;
  v_tenant_name text;
  v_metadata jsonb;
begin
  select u.* into v_caller from public.users u where u.id = p_caller_id;
  if not found then
    outcome := 'caller_unknown';
    return;
  elsif v_caller.role <> 'tenant_admin' or v_caller.tenant_id is null then
    outcome := 'caller_refused';
    return;
  end if;

  -- Two requests for one user go one after the other from here on.
  select u.* into v_user from public.users u where u.id = p_target_id for no key update;
  if not found then
    outcome := 'target_unknown';
    return;
  end if;
  select n.name into v_tenant_name from public.tenants n where n.id = v_user.tenant_id;
  outcome := case
    when v_user.tenant_id is distinct from v_caller.tenant_id then 'target_foreign'
    when v_user.role not in ('executor', 'complainant') then 'target_role'
    when pg_catalog.btrim(v_user.email) = '' then 'target_email'
    when not found then 'tenant_unknown'
  end;
  if outcome is not null then
    return;
  end if;

  v_metadata := dropwire.onboarding_metadata(v_user, p_correlation_id);
  if not p_configured then
    update public.users u
       set bot_onboarding_status = 'failed', bot_onboarding_error = v_unconfigured,
           bot_onboarding_retry_count = dropwire.next_retry(u.bot_onboarding_retry_count)
     where u.id = v_user.id;
    perform dropwire.notify_onboarding(v_user, v_caller.id, 'onboarding.error', v_unconfigured,
      v_metadata - 'tenant_id' || pg_catalog.jsonb_build_object('reason', 'missing_webhook_url'));
    outcome := 'unconfigured';
    return;
  end if;

  outcome := case
    when v_user.telegram_chat_id is not null and v_user.bot_onboarding_status = 'completed' then 'already_completed'
    -- A callback could not tell the two users apart.
    when exists (select from public.users u where u.bot_correlation_id = v_id and u.id <> v_user.id)
      then 'correlation_taken'
    -- The same request sent twice: Make must not be called twice with one id.
    when v_user.bot_correlation_id = v_id and v_user.bot_onboarding_status = 'pending'
     and v_user.bot_onboarding_started_at > pg_catalog.now() - p_patience
      then 'under_way'
  end;
  if outcome is not null then
    return;
  end if;

  update public.users u
     set bot_onboarding_status = 'pending', bot_correlation_id = v_id, bot_onboarding_started_at = pg_catalog.now(),
         bot_onboarding_error = null,
         bot_onboarding_retry_count = case when u.bot_correlation_id is null then u.bot_onboarding_retry_count
                                           else dropwire.next_retry(u.bot_onboarding_retry_count) end
   where u.id = v_user.id;
  perform dropwire.notify_onboarding(v_user, v_caller.id, 'onboarding.queued',
    pg_catalog.format('Preparing Telegram deep-link email for %s.', v_user.email),
    v_metadata || pg_catalog.jsonb_build_object('reason', p_reason, 'initiated_by', v_caller.id));
  outcome := 'queued';
  payload := pg_catalog.json_build_object(
    'event_type', 'tenant.user.onboarding_requested',
    'correlation_id', p_correlation_id,
    'requested_at', dropwire.iso_instant(pg_catalog.now()),
    'tenant', pg_catalog.json_build_object('id', v_user.tenant_id, 'name', v_tenant_name),
    'user', pg_catalog.json_build_object(
      'id', v_user.id, 'email', v_user.email, 'full_name', v_user.full_name, 'role', v_user.role,
      'employee_id', v_user.emp_code, 'bot_username', v_user.telegram_user_id),
    'initiated_by', pg_catalog.json_build_object(
      'id', v_caller.id, 'email', v_caller.email, 'name', v_caller.full_name));
end
$$;

-- Records what became of the call to Make: p_accepted, else p_make_status with Make's answer in p_detail, or no status
-- and why there was no answer. False, and nothing is changed, when a callback or a newer request came in between.
create function dropwire.settle_onboarding(
  p_caller_id uuid, p_target_id uuid, p_correlation_id text, p_accepted boolean, p_make_status int, p_detail text
) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_user public.users;
  v_error constant text := case
    when p_accepted then null
    when p_make_status is null then 'Unable to reach automation webhook'
    else pg_catalog.format('Automation webhook returned status %s', p_make_status)
  end;
begin
  update public.users u
     set bot_onboarding_status = case when p_accepted then 'invited' else 'failed' end,
         bot_onboarding_error = v_error,
         bot_onboarding_retry_count = case when p_accepted then u.bot_onboarding_retry_count
                                           else dropwire.next_retry(u.bot_onboarding_retry_count) end
   where u.id = p_target_id and u.bot_correlation_id = p_correlation_id::uuid and u.bot_onboarding_status = 'pending'
  returning u.* into v_user;
  if not found then
    return false;
  end if;

  perform dropwire.notify_onboarding(v_user, p_caller_id,
    case when p_accepted then 'onboarding.invite_sent' else 'onboarding.error' end,
    case when p_accepted then 'Telegram deep-link email dispatched successfully.'
         when p_make_status is null then v_error || '. Retry later.'
         else v_error || '.' end,
    dropwire.onboarding_metadata(v_user, p_correlation_id)
      || case when p_accepted
                then pg_catalog.jsonb_build_object('make_status', p_make_status, 'response_body', p_detail)
              when p_make_status is null
                then pg_catalog.jsonb_build_object('error', p_detail)
              else pg_catalog.jsonb_build_object('status', p_make_status, 'response_body', p_detail) end);
  return true;
end
$$;

-- The user of a callback, locked. outcome is found, correlation_unknown, correlation_shared (by two users: only a new
-- request for one of them helps) or tenant_unreadable.
create function dropwire.find_onboarding(
  p_correlation_id text, out outcome text, out found_user public.users, out tenant_name text
)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  select u.* into found_user
    from public.users u
   where u.bot_correlation_id = p_correlation_id::uuid
   order by u.id limit 1 for no key update;
  if not found then
    outcome := 'correlation_unknown';
    return;
  elsif exists (select from public.users u
                 where u.bot_correlation_id = p_correlation_id::uuid and u.id <> found_user.id) then
    outcome := 'correlation_shared';
    return;
  end if;
  select n.name into tenant_name from public.tenants n where n.id = found_user.tenant_id;
  outcome := case when found then 'found' else 'tenant_unreadable' end;
end
$$;

-- Takes Make's or the bot's word on how an onboarding goes on. p_event is invited, awaiting_chat, completed, failed,
-- timeout or cancelled; what an event does not have is null.
--
-- outcome is received, with the user and the status now; invalid, when p_joined_at is no instant; or as
-- find_onboarding has it. A completed user stays completed: late callbacks and the same chat's repeats leave no more
-- than a deep link. A completion from another chat moves the user there, as the link's holder asks, and says so; it
-- does not bring back a user whom an admin has deactivated since.
create function dropwire.receive_onboarding(
  p_correlation_id text, p_event text, p_chat_id bigint, p_telegram_user_id text, p_joined_at text, p_error text,
  p_retry_count int, p_deep_link text,
  out outcome text, out status text, out user_id uuid, out tenant_id uuid
)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
declare
  v_found record;
  v_user public.users;
  v_completes constant boolean := p_event = 'completed';
  v_joined_at constant timestamptz := dropwire.read_instant(p_joined_at);
  v_error constant text := case p_event
    when 'failed' then coalesce(p_error, 'Unknown onboarding error')
    when 'timeout' then coalesce(p_error, 'Onboarding timed out')
  end;
begin
  v_found := dropwire.find_onboarding(p_correlation_id);
  if v_found.outcome <> 'found' then
    outcome := v_found.outcome;
    return;
  elsif p_joined_at is not null and v_joined_at is null then
    outcome := 'invalid';
    return;
  end if;
  v_user := v_found.found_user;
  outcome := 'received';
  user_id := v_user.id;
  tenant_id := v_user.tenant_id;

  if v_user.bot_onboarding_status = 'completed' and not (v_completes and v_user.telegram_chat_id is distinct from p_chat_id)
  then
    status := 'completed';
    update public.users u set bot_deep_link = p_deep_link
     where u.id = v_user.id and u.bot_deep_link is distinct from coalesce(p_deep_link, u.bot_deep_link);
    return;
  end if;

  status := case p_event when 'timeout' then 'failed' else p_event end;
  update public.users u
     set bot_onboarding_status = receive_onboarding.status,
         bot_deep_link = coalesce(p_deep_link, u.bot_deep_link),
         bot_onboarding_error = case when v_completes then null else coalesce(v_error, u.bot_onboarding_error) end,
         bot_onboarding_retry_count = case p_event
           when 'failed' then coalesce(p_retry_count, dropwire.next_retry(u.bot_onboarding_retry_count))
           else u.bot_onboarding_retry_count end,
         bot_onboarding_completed_at = case when v_completes then coalesce(v_joined_at, pg_catalog.now())
                                            else u.bot_onboarding_completed_at end,
         telegram_chat_id = case when v_completes then p_chat_id else u.telegram_chat_id end,
         telegram_user_id = case when v_completes then coalesce(p_telegram_user_id, u.telegram_user_id)
                                 else u.telegram_user_id end,
         is_active = u.is_active or v_completes and u.bot_onboarding_status <> 'completed'
   where u.id = v_user.id
  returning u.* into v_user;

  perform dropwire.notify_onboarding(v_user, null,
    case p_event when 'invited' then 'onboarding.invite_sent' when 'failed' then 'onboarding.error'
                 else 'onboarding.' || p_event end,
    case p_event
      when 'invited' then 'Email with Telegram deep link sent successfully.'
      when 'awaiting_chat' then 'Invite email delivered. Waiting for the user to click "Start" in Telegram.'
      when 'completed' then 'The user is now active on the Telegram bot.'
      when 'failed' then coalesce(p_error, 'Automation reported a failure. Please review the Make logs.')
      when 'timeout' then 'User did not start the bot in time. Consider resending the invite.'
      when 'cancelled' then 'Automation cancelled the onboarding request.'
    end,
    pg_catalog.jsonb_build_object('correlation_id', p_correlation_id, 'tenant_name', v_found.tenant_name)
      || case p_event
           when 'invited' then pg_catalog.jsonb_build_object('deep_link', p_deep_link)
           when 'awaiting_chat' then '{}'
           when 'completed' then pg_catalog.jsonb_build_object(
             'chat_id', p_chat_id::text, 'telegram_user_id', v_user.telegram_user_id)
           else pg_catalog.jsonb_build_object('error', p_error)
         end);
end
$$;

revoke execute on all functions in schema dropwire from public;
grant execute on function
  dropwire.begin_onboarding(uuid, uuid, text, text, boolean, interval),
  dropwire.settle_onboarding(uuid, uuid, text, boolean, int, text),
  dropwire.find_onboarding(text),
  dropwire.receive_onboarding(text, text, bigint, text, text, text, int, text)
to service_role;
