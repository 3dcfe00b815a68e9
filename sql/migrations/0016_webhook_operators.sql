-- What an operator does with webhooks: look, send again, skip, pause, sign; and what keeps their tables small.
--
-- Called with the service_role key over /rest/v1/rpc, by `dropwire webhooks`, or in SQL. None of them sends anything:
-- they change what the dispatcher finds.

-- Look --------------------------------------------------------------------------------------------------------------
create function public.list_webhook_endpoints(p_only_closed boolean default true, p_limit int default 100)
returns table (
  tenant_id uuid, tenant_name text, state text, since timestamptz, failures int, next_probe_at timestamptz,
  not_before timestamptz, per_second float8, last_error text, waiting_tickets bigint, oldest_entry_at timestamptz
)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select e.tenant_id, n.name,
         case when e.paused then 'paused' when not e.active then 'inactive' else e.state end,
         e.closed_at, e.failures, e.next_probe_at, e.not_before, e.rate, e.last_error, w.tickets,
         (select q.created_at
            from dropwire.webhook_heads h
            join public.ticket_webhook_queue q on q.ticket_id = h.ticket_id and q.seq = h.seq
           where h.tenant_id = e.tenant_id order by h.seq limit 1)
    from dropwire.webhook_endpoints e
    join public.tenants n on n.id = e.tenant_id
   cross join lateral (
     select count(*) as tickets from dropwire.webhook_heads h where h.tenant_id = e.tenant_id) w
   where not p_only_closed or e.paused or not e.active or e.state <> 'open'
   order by w.tickets desc, n.name
   limit p_limit
$$;
comment on function public.list_webhook_endpoints(boolean, int) is
  'Tenants'' webhooks: parked, broken, paused, inactive and, when asked for, open ones, with what waits for them.';

create function public.list_blocked_webhooks(p_tenant_id uuid default null, p_limit int default 100)
returns table (
  entry_id uuid, ticket_id uuid, ticket_number text, tenant_id uuid, status text, attempt_count int, last_error text,
  next_attempt_at timestamptz, created_at timestamptz, reason text, waiting_behind bigint
)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select q.id, q.ticket_id, t.ticket_number, q.tenant_id, q.status, q.attempt_count, q.last_error, q.next_attempt_at,
         q.created_at,
         case when e.paused then 'paused' when not e.active then 'inactive' when e.state <> 'open' then e.state
              else 'backing off' end,
         (select count(*) from public.ticket_webhook_queue b
           where b.ticket_id = q.ticket_id and b.seq > q.seq and dropwire.is_undelivered(b))
    from (select h.* from dropwire.webhook_heads h
            join dropwire.webhook_endpoints e on e.tenant_id = h.tenant_id
           where (p_tenant_id is null or h.tenant_id = p_tenant_id)
             and (h.due_at > now() or e.paused or not e.active or e.state <> 'open')
           order by h.seq limit p_limit) h
    join public.ticket_webhook_queue q on q.ticket_id = h.ticket_id and q.seq = h.seq
    join public.tickets t on t.id = q.ticket_id
    join dropwire.webhook_endpoints e on e.tenant_id = h.tenant_id
   where q.status <> 'processing'
   order by q.seq
$$;
comment on function public.list_blocked_webhooks(uuid, int) is
  'Heads that are not due, oldest first: each holds back the later webhooks of its ticket.';

-- Send again, skip --------------------------------------------------------------------------------------------------
create function public.replay_webhook(p_entry_id uuid) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  update public.ticket_webhook_queue q
     set status = 'pending', next_attempt_at = now(), last_error = null
   where q.id = p_entry_id
     and (q.status <> 'processing' or q.lease_expires_at is null);
  return found;
end
$$;
comment on function public.replay_webhook(uuid) is
  'Queues one webhook again, delivered or not, with its old id and in its old place among its ticket''s. False when there '
  'is none, or when it is being sent right now.';

create function public.replay_webhooks_since(p_since timestamptz, p_tenant_id uuid default null) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_count bigint;
begin
  with replayed as (
    update public.ticket_webhook_queue q
       set status = 'pending', next_attempt_at = now(), last_error = null
     where q.status = 'delivered' and q.updated_at >= p_since and q.payload is not null
       and (p_tenant_id is null or q.tenant_id = p_tenant_id)
    returning q.id
  )
  select count(*) into v_count from replayed;
  return v_count;
end
$$;
comment on function public.replay_webhooks_since(timestamptz, uuid) is
  'Queues again what was delivered at or after a time, of one tenant or of all; answers how many. For a receiver that '
  'lost what it had accepted.';

create function public.skip_webhook(p_entry_id uuid, p_reason text default null) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  update public.ticket_webhook_queue q
     set status = 'delivered', next_attempt_at = null, payload = null, lease_expires_at = null, claim_id = null,
         last_error = left('skipped' || coalesce(': ' || nullif(p_reason, ''), ''), 500)
   where q.id = p_entry_id and dropwire.is_undelivered(q);
  return found;
end
$$;
comment on function public.skip_webhook(uuid, text) is
  'Gives one webhook up, so that the later ones of its ticket go on. It counts as delivered, and its last_error says '
  'that it was skipped. False when it is delivered already.';

-- Pause, resume, drain ----------------------------------------------------------------------------------------------
create function public.pause_webhooks(p_tenant_id uuid) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  update dropwire.webhook_endpoints e set paused = true where e.tenant_id = p_tenant_id;
  return found;
end
$$;
comment on function public.pause_webhooks(uuid) is
  'Sends a tenant nothing more; what is under way ends. Its webhooks wait. False when there is no such tenant.';

create function public.resume_webhooks(p_tenant_id uuid) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  update dropwire.webhook_endpoints e
     set paused = false, state = 'open', failures = 0, failed_probes = 0, probing = false, closed_at = null,
         last_error = null, next_probe_at = null, not_before = null
   where e.tenant_id = p_tenant_id;
  if not found then
    return false;
  end if;
  perform dropwire.release_webhook_heads(p_tenant_id);
  perform pg_notify('dropwire_webhooks', p_tenant_id::text);
  return true;
end
$$;
comment on function public.resume_webhooks(uuid) is
  'Ends a pause, and opens a parked or broken webhook: everything that waits is due at once, in order. False when there is '
  'no such tenant.';

create function public.drain_webhooks(p_tenant_id uuid default null) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_count bigint := 0;
  v_tenant_id uuid;
begin
  for v_tenant_id in
    select e.tenant_id from dropwire.webhook_endpoints e
     where (p_tenant_id is null or e.tenant_id = p_tenant_id) and not e.paused and e.active
     order by e.tenant_id
  loop
    update dropwire.webhook_endpoints e set next_probe_at = now(), not_before = null
     where e.tenant_id = v_tenant_id and (e.state <> 'open' or e.not_before is not null);
    v_count := v_count + dropwire.release_webhook_heads(v_tenant_id);
  end loop;
  perform pg_notify('dropwire_webhooks', coalesce(p_tenant_id::text, ''));
  return v_count;
end
$$;
comment on function public.drain_webhooks(uuid) is
  'Makes due at once what waits for its next attempt, of one tenant or of all, and lets closed webhooks be probed; answers '
  'how many tickets that concerns. The dispatcher sends them.';

create function public.limit_webhooks(p_tenant_id uuid, p_per_second float8) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  update dropwire.webhook_endpoints e
     set rate = p_per_second, rate_is_set = true, tokens = null, tokens_at = null
   where e.tenant_id = p_tenant_id;
  return found;
end
$$;
comment on function public.limit_webhooks(uuid, float8) is
  'Sends a tenant at most so many webhooks per second, null for no limit. Without it Make''s hosts have 30, others none.';

-- Secrets -----------------------------------------------------------------------------------------------------------
create function public.rotate_webhook_secret(p_tenant_id uuid, p_secret text default null) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_secret text := coalesce(p_secret, 'whsec_' || encode(
    uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()), 'base64'));
begin
  if v_secret !~ '^whsec_[A-Za-z0-9+/]{32,86}={0,2}$' then
    raise exception 'the secret is not usable' using errcode = '22023',
      hint = 'Use whsec_ and 24 to 64 random bytes in base64, or leave it out to have one made.';
  end if;
  insert into dropwire.webhook_secrets as s (tenant_id, current_secret) values (p_tenant_id, v_secret)
  on conflict (tenant_id) do update
    set current_secret = excluded.current_secret, previous_secret = s.current_secret, changed_at = now();
  return v_secret;
end
$$;
comment on function public.rotate_webhook_secret(uuid, text) is
  'Gives a tenant a secret that its webhooks are signed with (Standard Webhooks); answers it, this once. The one before '
  'signs along until it is retired.';

create function public.retire_webhook_secret(p_tenant_id uuid, p_all boolean default false) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  if p_all then
    delete from dropwire.webhook_secrets s where s.tenant_id = p_tenant_id;
  else
    update dropwire.webhook_secrets s set previous_secret = null
     where s.tenant_id = p_tenant_id and s.previous_secret is not null;
  end if;
  return found;
end
$$;
comment on function public.retire_webhook_secret(uuid, boolean) is
  'Ends the rotation: the previous secret signs no more. With p_all the tenant''s webhooks are signed no more.';

-- Measure -----------------------------------------------------------------------------------------------------------
create function dropwire.webhook_gauges(p_top int default 10) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  with head as (
    select h.tenant_id, h.due_at, h.due_at <= now() as is_due,
           e.state = 'open' and not e.paused and e.active as is_open
      from dropwire.webhook_heads h
      left join dropwire.webhook_endpoints e on e.tenant_id = h.tenant_id
  ), tenant as (
    select h.tenant_id, count(*) as tickets,
           count(*) filter (where h.is_due and h.is_open) as ready,
           min(h.due_at) filter (where h.is_due and h.is_open) as ready_since,
           count(*) filter (where not h.is_open) as closed
      from head h group by h.tenant_id
  )
  select jsonb_build_object(
    'ready', coalesce(sum(t.ready), 0),
    'oldest_ready_seconds', coalesce(extract(epoch from now() - min(t.ready_since)), 0),
    'waiting_tickets', coalesce(sum(t.tickets), 0),
    'tickets_at_closed_endpoints', coalesce(sum(t.closed), 0),
    'endpoints', (select jsonb_object_agg(s.state, s.n) from (
       select case when e.paused then 'paused' when not e.active then 'inactive' else e.state end as state,
              count(*) as n from dropwire.webhook_endpoints e group by 1) s),
    'top', (select jsonb_agg(jsonb_build_object('tenant_id', x.tenant_id, 'tickets', x.tickets) order by x.tickets desc)
              from (select t.tenant_id, t.tickets from tenant t order by t.tickets desc limit p_top) x))
    from tenant t
$$;
comment on function dropwire.webhook_gauges(int) is 'What /metrics says of the outbox. Reads one row per waiting ticket.';

-- Housekeeping ------------------------------------------------------------------------------------------------------
-- A cursor per table, so that a pass does not begin with what earlier ones found to be young, or undelivered for ever.
create table dropwire.housekeeping (
  task text primary key,
  next_key bigint not null
);
comment on table dropwire.housekeeping is 'Where the next pass over a table goes on.';
insert into dropwire.housekeeping (task, next_key) values ('webhooks', 0);

-- Removes delivered entries and attempts that are older than p_keep, at most p_limit of either. Answers how many rows
-- went; while that is more than none, there may be more. One pass at a time; another one answers 0.
create function dropwire.prune_webhooks(p_keep interval, p_limit int default 5000) returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  v_from bigint;
  v_last bigint;
  v_last_at timestamptz;
  v_count bigint := 0;
  v_total bigint := 0;
begin
  if not pg_try_advisory_xact_lock(7237125, 4) then
    return 0;
  end if;

  select k.next_key into v_from from dropwire.housekeeping k where k.task = 'webhooks';
  select max(x.seq), max(x.created_at) into v_last, v_last_at
    from (select q.seq, q.created_at from public.ticket_webhook_queue q
           where q.seq >= v_from order by q.seq limit p_limit) x;
  -- Delivered lately but queued long ago: kept until a later round.
  delete from public.ticket_webhook_queue q
   where q.seq >= v_from and q.seq <= v_last and not dropwire.is_undelivered(q) and q.updated_at < now() - p_keep;
  get diagnostics v_count = row_count;
  v_total := v_count;
  -- A whole slice that is old: go on behind it. At the end of what is old, the next round begins at the front.
  update dropwire.housekeeping k
     set next_key = case when v_last_at < now() - p_keep then v_last + 1 else 0 end
   where k.task = 'webhooks'
     and k.next_key is distinct from case when v_last_at < now() - p_keep then v_last + 1 else 0 end;
  if v_count = 0 and v_last_at < now() - p_keep then
    v_total := 1;  -- nothing in this slice, but there is a next one
  end if;

  delete from public.ticket_webhook_attempts a
   where a.id in (select x.id from public.ticket_webhook_attempts x order by x.id limit p_limit)
     and a.started_at < now() - p_keep;
  get diagnostics v_count = row_count;
  return v_total + v_count;
end
$$;

revoke execute on function
  public.list_webhook_endpoints(boolean, int), public.list_blocked_webhooks(uuid, int), public.replay_webhook(uuid),
  public.replay_webhooks_since(timestamptz, uuid), public.skip_webhook(uuid, text), public.pause_webhooks(uuid),
  public.resume_webhooks(uuid), public.drain_webhooks(uuid), public.limit_webhooks(uuid, float8),
  public.rotate_webhook_secret(uuid, text), public.retire_webhook_secret(uuid, boolean)
from public, anon, authenticated;
grant execute on function
  public.list_webhook_endpoints(boolean, int), public.list_blocked_webhooks(uuid, int), public.replay_webhook(uuid),
  public.replay_webhooks_since(timestamptz, uuid), public.skip_webhook(uuid, text), public.pause_webhooks(uuid),
  public.resume_webhooks(uuid), public.drain_webhooks(uuid), public.limit_webhooks(uuid, float8),
  public.rotate_webhook_secret(uuid, text), public.retire_webhook_secret(uuid, boolean)
to service_role;
revoke execute on all functions in schema dropwire from public;
grant execute on function dropwire.webhook_gauges(int), dropwire.prune_webhooks(interval, int) to service_role;
