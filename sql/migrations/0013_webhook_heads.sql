-- The dispatcher's side of the outbox, so that a claim costs the same however much waits.
--
-- ticket_webhook_queue stays the truth: what is to be sent, its status, its attempts. Beside it:
--   dropwire.webhook_heads       one row per ticket with undelivered entries: which entry is next, and when
--   dropwire.webhook_endpoints   one row per tenant: whether its webhook may be called, and how often
--   ticket_webhook_attempts      one row per attempt, never changed
-- A claim goes round the endpoints that may be called and takes from each what is due. So an endpoint that is dead
-- costs nothing, whatever waits behind it, and a tenant with much to send does not hold back one with little.
--
-- An entry's life: pending -> processing (claimed: lease, claim id, attempt + 1) -> delivered, or failed with the
-- time of its next attempt. `failed` means "due again later". A claim whose lease has ended may be claimed by
-- anybody; whoever lost it changes nothing, since every outcome is written where the claim id still matches.
-- `processing` without a lease is what the original left behind: its receiver got it, so it counts as delivered.
-- All times are the database's: replicas' clocks differ, and jump.
--
-- Locks, in this order, so that none of these waits in a circle: queue row, head, endpoint. Whoever works on many rows
-- at once takes what is free (skip locked) and leaves the rest for later.
--
-- While the setting dropwire.dispatcher is on, for these functions' own changes, the trigger that keeps heads after
-- changes by others stays out of the way.
--
-- Functions of the hot paths force generic plans by index: planned while the tables were small, they would go on
-- reading them whole after these have grown.

-- The claim no longer looks for due entries in the queue. Without these two, a status change touches no index, and
-- stays on its page while there is room.
drop index if exists public.ticket_webhook_queue_undelivered_seq_idx;
drop index if exists public.ticket_webhook_queue_status_next_attempt_idx;
-- Room on each page for the entry as it is claimed.
alter table public.ticket_webhook_queue set (fillfactor = 60);
-- For housekeeping, and for operators who look at the newest entries.
create index ticket_webhook_queue_seq_idx on public.ticket_webhook_queue (seq);

-- As before, but without a search_path of its own: entering and leaving it costs more than the assignment.
create or replace function public.touch_ticket_webhook_queue_updated_at() returns trigger language plpgsql as $$
begin
  new.updated_at := pg_catalog.now();
  return new;
end
$$;
alter function public.touch_ticket_webhook_queue_updated_at() reset all;

-- Endpoints ---------------------------------------------------------------------------------------------------------
create table dropwire.webhook_endpoints (
  tenant_id uuid primary key references public.tenants on delete cascade,
  url text,
  active boolean not null default true,
  paused boolean not null default false,
  state text not null default 'open' check (state in ('open', 'broken', 'parked')),
  failures int not null default 0,
  failed_probes int not null default 0,
  probing boolean not null default false,
  closed_at timestamptz,
  last_error text,
  next_probe_at timestamptz,
  not_before timestamptz,
  rate float8 check (rate > 0),
  rate_is_set boolean not null default false,
  tokens float8,
  tokens_at timestamptz,
  floor_at timestamptz
);
comment on table dropwire.webhook_endpoints is 'Per tenant, whether its webhook may be called, and how often.';
comment on column dropwire.webhook_endpoints.url is 'tenants.automation_webhook_url; a new one is a new endpoint, and opens.';
comment on column dropwire.webhook_endpoints.active is 'tenants.active; a tenant switched off pauses.';
comment on column dropwire.webhook_endpoints.paused is 'By an operator.';
comment on column dropwire.webhook_endpoints.state is
  'open; broken: too many failures in a row; parked: the receiver says that it is gone (404, 410). The last two are '
  'probed with one entry at a time, and open with the first success.';
comment on column dropwire.webhook_endpoints.failures is 'In a row.';
comment on column dropwire.webhook_endpoints.failed_probes is 'Since it closed; the backoff of broken.';
comment on column dropwire.webhook_endpoints.probing is 'A probe is under way, until next_probe_at at the latest.';
comment on column dropwire.webhook_endpoints.not_before is 'The receiver asked for a pause (Retry-After).';
comment on column dropwire.webhook_endpoints.rate is
  'Calls per second, null for no limit. At most ten times as many within any ten seconds: the bucket holds one second''s '
  'worth and fills at nine tenths of the rate.';
comment on column dropwire.webhook_endpoints.rate_is_set is 'By an operator, so that a new URL does not change it.';
comment on column dropwire.webhook_endpoints.floor_at is
  'No head of the tenant is due before this; null when unknown. Spares claims from stepping over index entries that an '
  'old snapshot keeps from being removed. See dropwire.raise_webhook_floors.';

create index webhook_endpoints_open_idx on dropwire.webhook_endpoints (tenant_id)
  where state = 'open' and not paused and active;
create index webhook_endpoints_probe_idx on dropwire.webhook_endpoints (next_probe_at)
  where state <> 'open' and not paused and active;

-- Make allows 300 calls in 10 seconds per hook; other hosts have their own ways to say so.
create function dropwire.default_webhook_rate(p_url text) returns float8
language sql immutable parallel safe as $$
  select case when pg_catalog.lower(pg_catalog.substring(p_url, '^\s*[a-zA-Z]+:/+(?:[^/?#@]*@)?([^/:?#]+)'))
    operator(pg_catalog.~) '(^|\.)(make\.com|integromat\.com|make\.celonis\.com)\.?$' then 30::float8 end
$$;

-- What an endpoint's bucket holds now.
create function dropwire.webhook_tokens(p_rate float8, p_tokens float8, p_at timestamptz) returns float8
language sql volatile as $$
  select least(greatest(p_rate, 1), coalesce(
    p_tokens + extract(epoch from pg_catalog.clock_timestamp() - p_at)::float8 * p_rate * 0.9, greatest(p_rate, 1)))
$$;

-- Heads -------------------------------------------------------------------------------------------------------------
create table dropwire.webhook_heads (
  ticket_id uuid primary key,
  tenant_id uuid not null,
  seq bigint not null,
  due_at timestamptz not null
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
comment on table dropwire.webhook_heads is 'One row per ticket with undelivered webhooks, kept by triggers and the dispatcher.';
comment on column dropwire.webhook_heads.seq is
  'The ticket''s oldest undelivered entry. For a moment one that is delivered, when it was the last and a writer is at '
  'work on the ticket: whoever finds it due looks again.';
comment on column dropwire.webhook_heads.due_at is 'When it may be claimed; the end of the lease while it is.';

create index webhook_heads_due_idx on dropwire.webhook_heads (tenant_id, due_at, seq);

-- Whether an entry still has to be delivered.
create function dropwire.is_undelivered(q public.ticket_webhook_queue) returns boolean
language sql immutable parallel safe as $$
  select q.status operator(pg_catalog.=) 'pending' or q.status operator(pg_catalog.=) 'failed'
      or q.status operator(pg_catalog.=) 'processing' and q.lease_expires_at is not null
$$;

-- Puts a ticket's head right, from what the queue says. For the rare ways; the hot ones below do the same in sets.
create function dropwire.mend_webhook_head(p_ticket_id uuid) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_entry public.ticket_webhook_queue;
  v_lease timestamptz;
begin
  -- An entry that is sent again may stand before one that is under way, and waits for it.
  select max(q.lease_expires_at) into v_lease from public.ticket_webhook_queue q
   where q.ticket_id = p_ticket_id and q.status = 'processing';
  loop
    select * into v_entry from public.ticket_webhook_queue q
     where q.ticket_id = p_ticket_id and dropwire.is_undelivered(q)
     order by q.seq limit 1;
    if found then
      insert into dropwire.webhook_heads as h (ticket_id, tenant_id, seq, due_at)
      values (p_ticket_id, v_entry.tenant_id, v_entry.seq, case when v_entry.status = 'processing'
        then v_entry.lease_expires_at else greatest(v_entry.next_attempt_at, v_lease, clock_timestamp()) end)
      on conflict (ticket_id) do update set tenant_id = excluded.tenant_id, seq = excluded.seq, due_at = excluded.due_at;
      return;
    end if;

    -- Nothing waits. A writer of the ticket may be about to commit an entry and hold on to this row: then the row has to
    -- stay, and is looked at again soon.
    perform from dropwire.webhook_heads h where h.ticket_id = p_ticket_id for update skip locked;
    if not found then
      update dropwire.webhook_heads h set due_at = clock_timestamp() + interval '50 milliseconds'
       where h.ticket_id = p_ticket_id;
      return;
    end if;
    -- Looked for once more, now that nobody can add one unseen.
    if not exists (select from public.ticket_webhook_queue q
                    where q.ticket_id = p_ticket_id and dropwire.is_undelivered(q)) then
      delete from dropwire.webhook_heads h where h.ticket_id = p_ticket_id;
      return;
    end if;
  end loop;
end
$$;

-- A new entry: the ticket's head, or behind it. Wakes the dispatcher that sleeps.
--
-- On the path of every new ticket, hence without a search_path of its own (see 0006); all names are qualified.
--
-- The wake: a sleeping dispatcher holds the advisory lock exclusively, and looks into the queue once more between
-- taking it and falling asleep. Who gets the lock here has it until the commit, so that nobody falls asleep meanwhile;
-- who does not get it notifies. So a notification, which makes commits queue up, is sent only when somebody sleeps.
create function dropwire.webhook_queued() returns trigger
language plpgsql volatile security definer as $$
declare
  v_due_at constant pg_catalog.timestamptz := case when new.status operator(pg_catalog.=) 'processing'
    then new.lease_expires_at else greatest(new.next_attempt_at, pg_catalog.clock_timestamp()) end;
  v_seq bigint;
begin
  loop
    insert into dropwire.webhook_heads (ticket_id, tenant_id, seq, due_at)
    values (new.ticket_id, new.tenant_id, new.seq, v_due_at)
    on conflict do nothing;
    exit when found;
    -- Held until the commit against whoever would remove the row, seeing nothing behind it.
    select h.seq into v_seq from dropwire.webhook_heads h
     where h.ticket_id operator(pg_catalog.=) new.ticket_id for key share;
    if found then
      if v_seq operator(pg_catalog.>) new.seq then
        update dropwire.webhook_heads h set seq = new.seq, due_at = v_due_at
         where h.ticket_id operator(pg_catalog.=) new.ticket_id and h.seq operator(pg_catalog.>) new.seq;
      end if;
      exit;
    end if;
  end loop;
  if not pg_catalog.pg_try_advisory_xact_lock_shared(7237125, 1) then
    perform pg_catalog.pg_notify('dropwire_webhooks', new.tenant_id::pg_catalog.text);
  end if;
  return null;
end
$$;

create trigger trigger_webhook_queued after insert on public.ticket_webhook_queue
  for each row when (new.status <> 'delivered' and (new.status <> 'processing' or new.lease_expires_at is not null))
  execute function dropwire.webhook_queued();

-- Somebody other than the dispatcher changed an entry: an operator, a script, a restore.
create function dropwire.webhook_entry_changed() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform dropwire.mend_webhook_head(new.ticket_id);
  if old.ticket_id <> new.ticket_id then
    perform dropwire.mend_webhook_head(old.ticket_id);
  end if;
  return null;
end
$$;

create trigger trigger_webhook_entry_changed after update on public.ticket_webhook_queue
  for each row
  when ((old.status is distinct from new.status
      or old.next_attempt_at is distinct from new.next_attempt_at
      or old.lease_expires_at is distinct from new.lease_expires_at
      or old.ticket_id is distinct from new.ticket_id
      or old.tenant_id is distinct from new.tenant_id)
     and pg_catalog.current_setting('dropwire.dispatcher', true) is distinct from 'on')
  execute function dropwire.webhook_entry_changed();

create function dropwire.webhook_entries_deleted() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform dropwire.mend_webhook_head(h.ticket_id)
     from (select distinct g.ticket_id, g.seq from gone g where dropwire.is_undelivered(g)) g
     join dropwire.webhook_heads h on h.ticket_id = g.ticket_id and h.seq = g.seq;
  return null;
end
$$;

create trigger trigger_webhook_entries_deleted after delete on public.ticket_webhook_queue
  referencing old table as gone for each statement execute function dropwire.webhook_entries_deleted();

-- Makes due at once what waits for its next attempt at a tenant's webhook, in the order of the queue.
create function dropwire.release_webhook_heads(p_tenant_id uuid) returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
declare
  v_outer constant text := coalesce(current_setting('dropwire.dispatcher', true), '');
  v_count bigint;
begin
  perform set_config('dropwire.dispatcher', 'on', true);
  with waiting as (
    select q.id, q.ticket_id
      from dropwire.webhook_heads h
      join public.ticket_webhook_queue q on q.ticket_id = h.ticket_id and q.seq = h.seq
     where h.tenant_id = p_tenant_id and h.due_at > now() and q.status in ('pending', 'failed')
       for no key update of q, h skip locked
  ), due as (
    update public.ticket_webhook_queue q set next_attempt_at = now() from waiting w where q.id = w.id
  ), moved as (
    update dropwire.webhook_heads h set due_at = now() from waiting w where h.ticket_id = w.ticket_id
    returning h.ticket_id
  )
  select count(*) into v_count from moved;
  update dropwire.webhook_endpoints e set floor_at = null where e.tenant_id = p_tenant_id and e.floor_at is not null;
  perform set_config('dropwire.dispatcher', v_outer, true);
  return v_count;
end
$$;

-- A tenant's webhook as the tenant sets it. A new URL is a new endpoint: what went wrong with the old one is forgotten.
create function dropwire.tenant_webhook_changed() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_is_new boolean := tg_op = 'INSERT';
begin
  if tg_op = 'UPDATE' then
    v_is_new := old.automation_webhook_url is distinct from new.automation_webhook_url;
  end if;
  insert into dropwire.webhook_endpoints as e (tenant_id, url, active, rate)
  values (new.id, new.automation_webhook_url, new.active is not false,
          dropwire.default_webhook_rate(new.automation_webhook_url))
  on conflict (tenant_id) do update set active = excluded.active;
  if tg_op = 'UPDATE' and v_is_new then
    update dropwire.webhook_endpoints e
       set url = new.automation_webhook_url, state = 'open', failures = 0, failed_probes = 0, probing = false,
           closed_at = null, last_error = null, next_probe_at = null, not_before = null, tokens = null, tokens_at = null,
           rate = case when e.rate_is_set then e.rate
                       else dropwire.default_webhook_rate(new.automation_webhook_url) end
     where e.tenant_id = new.id;
    perform dropwire.release_webhook_heads(new.id);
  end if;
  perform pg_notify('dropwire_webhooks', new.id::text);
  return null;
end
$$;

create trigger trigger_tenant_webhook_created after insert on public.tenants
  for each row execute function dropwire.tenant_webhook_changed();
create trigger trigger_tenant_webhook_changed after update on public.tenants
  for each row
  when (old.automation_webhook_url is distinct from new.automation_webhook_url
     or old.active is distinct from new.active)
  execute function dropwire.tenant_webhook_changed();

-- Attempts ----------------------------------------------------------------------------------------------------------
create table public.ticket_webhook_attempts (
  id bigint generated always as identity primary key,
  entry_id uuid not null,
  ticket_id uuid not null,
  tenant_id uuid not null,
  attempt integer not null,
  started_at timestamptz not null,
  duration_ms integer not null,
  status integer,
  error_class text,
  response_excerpt text
);
comment on table public.ticket_webhook_attempts is
  'Every attempt to deliver a webhook. Rows are only added, and pruned by age. No foreign keys: an attempt was made even '
  'if its entry is gone.';
comment on column public.ticket_webhook_attempts.entry_id is 'ticket_webhook_queue.id, the webhook-id of the request.';
comment on column public.ticket_webhook_attempts.status is 'Of the answer; null when none came.';
comment on column public.ticket_webhook_attempts.error_class is
  'Null when delivered; else gone, rejected, redirected, throttled, unavailable, timeout, network, tls, dns, refused, url '
  'or client.';
comment on column public.ticket_webhook_attempts.response_excerpt is
  'The answer''s body, or what went wrong: at most 500 characters.';
create index ticket_webhook_attempts_entry_idx on public.ticket_webhook_attempts (entry_id);
alter table public.ticket_webhook_attempts enable row level security;
revoke all on public.ticket_webhook_attempts from public, anon, authenticated;
grant select on public.ticket_webhook_attempts to service_role;

-- service_role sees everything, also where it has no bypassrls.
create policy service_role_all on public.ticket_webhook_attempts to service_role using (true) with check (true);

-- Secrets to sign with. Two are valid at once, so that receivers can change over; both sign each request.
create table dropwire.webhook_secrets (
  tenant_id uuid primary key references public.tenants on delete cascade,
  current_secret text not null,
  previous_secret text,
  changed_at timestamptz not null default now()
);
comment on table dropwire.webhook_secrets is 'Standard Webhooks secrets, whsec_<base64>. No role reads them.';

-- Claim -------------------------------------------------------------------------------------------------------------
drop function dropwire.claim_webhooks(int, interval, uuid);
drop function dropwire.complete_webhook(uuid, uuid, jsonb, uuid, interval);
drop function dropwire.fail_webhook(uuid, uuid, text, interval);
drop function dropwire.webhook_claim_of(public.ticket_webhook_queue);
drop type dropwire.webhook_claim;

-- What a dispatcher needs to make one attempt.
create type dropwire.webhook_claim as (
  id uuid,
  ticket_id uuid,
  tenant_id uuid,
  attempt int,     -- counted from 1, this one included
  url text,        -- the tenant's webhook; null or blank: deliver to nobody
  problem text,    -- why no payload can be built, null when one can
  payload text,    -- the contract's body but for generated_at, as JSON
  secrets text[],  -- to sign with, the newest first; null for none
  rated boolean    -- the endpoint has a limit on its rate
);

-- Claimed entries with the body that Make receives, as it stands now: the ticket's current state and the entry's own
-- activity. latest_activity is left out for an entry without one; metadata and created_by are null when there is none.
create function dropwire.webhook_claims(p_ids uuid[]) returns setof dropwire.webhook_claim
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
set plan_cache_mode = force_generic_plan set jit = off as $$
begin
  return query
  select q.id, q.ticket_id, q.tenant_id, q.attempt_count, n.automation_webhook_url,
         case when t.tenant_id is distinct from q.tenant_id then 'Ticket tenant mismatch' end,
         (case when a.id is null then
           json_build_object(
             'tenant_id', n.id, 'tenant_name', n.name, 'ticket_id', t.id, 'ticket_number', t.ticket_number,
             'status', t.status, 'priority', t.priority, 'title', t.title, 'description', t.description,
             'location', t.location, 'complainant', c.complainant, 'assignee', x.assignee, 'due_date', d.due_date)
         else
           json_build_object(
             'tenant_id', n.id, 'tenant_name', n.name, 'ticket_id', t.id, 'ticket_number', t.ticket_number,
             'status', t.status, 'priority', t.priority, 'title', t.title, 'description', t.description,
             'location', t.location, 'complainant', c.complainant, 'assignee', x.assignee, 'due_date', d.due_date,
             'latest_activity', json_build_object(
               'id', a.id, 'type', a.activity_type, 'comment', a.comment, 'metadata', a.metadata,
               'created_at', dropwire.iso_instant(a.created_at),
               'created_by', case when b.id is not null
                                  then json_build_object('id', b.id, 'name', b.full_name) end))
         end)::text,
         case when s.tenant_id is not null
              then array_remove(array[s.current_secret, s.previous_secret], null) end,
         e.rate is not null
    from unnest(p_ids) with ordinality as i (id, place)
    join public.ticket_webhook_queue q on q.id = i.id
    join public.tickets t on t.id = q.ticket_id
    join public.tenants n on n.id = q.tenant_id
    left join dropwire.webhook_endpoints e on e.tenant_id = q.tenant_id
    left join dropwire.webhook_secrets s on s.tenant_id = q.tenant_id
    left join public.users u on u.id = t.complainant_id
    left join public.executor_profiles ep on ep.id = t.executor_profile_id
    left join public.users xu on xu.id = coalesce(t.executor_id, ep.user_id)
    left join public.ticket_activities a on a.id = q.activity_id
    left join public.users b on b.id = a.created_by
   cross join lateral (
     -- Telegram's chat id is numeric in the table and a decimal string on the wire.
     select json_build_object('id', u.id, 'name', u.full_name, 'email', u.email, 'phone', u.phone,
              'chat_id', trunc(u.telegram_chat_id)::text) as complainant) c
   cross join lateral (
     -- More than the original sends: the guide's reply names who does it until when.
     select json_build_object('id', xu.id, 'name', coalesce(xu.full_name, ep.full_name),
              'email', coalesce(xu.email, ep.email), 'phone', coalesce(xu.phone, ep.phone),
              'chat_id', trunc(coalesce(xu.telegram_chat_id, ep.telegram_chat_id))::text) as assignee) x
   cross join lateral (select dropwire.iso_instant(coalesce(t.due_date, t.sla_due_date)) as due_date) d
   order by i.place;
end
$$;

-- Claims the entries of heads that the caller has locked; answers their ids. With p_early also such as are not due,
-- for probes. Heads that turn out to say something else than the queue are put right.
create function dropwire.claim_webhook_heads(
  p_ticket_ids uuid[], p_seqs bigint[], p_lease interval, p_claim_id uuid, p_early boolean, p_mend boolean default true
) returns uuid[]
language plpgsql volatile as $$
declare
  v_ids uuid[];
  v_missed uuid[];
  v_tickets uuid[];
  v_seqs bigint[];
begin
  with picked as (
    select p.ticket_id, p.seq from unnest(p_ticket_ids, p_seqs) as p (ticket_id, seq)
  ), entry as (
    select q.id
      from picked p
      join public.ticket_webhook_queue q on q.ticket_id = p.ticket_id and q.seq = p.seq
     where q.status in ('pending', 'failed') and (p_early or q.next_attempt_at is null or q.next_attempt_at <= clock_timestamp())
        or q.status = 'processing' and q.lease_expires_at <= now()  -- its dispatcher died
       for no key update of q skip locked
  ), claimed as (
    update public.ticket_webhook_queue q
       set status = 'processing', attempt_count = q.attempt_count + 1,
           lease_expires_at = clock_timestamp() + p_lease, claim_id = p_claim_id
      from entry e
     where q.id = e.id
    returning q.id, q.ticket_id, q.seq
  ), moved as (
    update dropwire.webhook_heads h set due_at = clock_timestamp() + p_lease
      from claimed c
     where h.ticket_id = c.ticket_id
  )
  select (select array_agg(c.id order by c.seq) from claimed c),
         (select array_agg(p.ticket_id) from picked p
           where not exists (select from claimed c where c.ticket_id = p.ticket_id))
    into v_ids, v_missed;
  if v_missed is not null and p_mend then
    perform dropwire.mend_webhook_head(m.id) from unnest(v_missed) as m (id);
    -- What has come up behind a delivered entry is claimed at once.
    select array_agg(h.ticket_id), array_agg(h.seq) into v_tickets, v_seqs
      from dropwire.webhook_heads h where h.ticket_id = any (v_missed) and h.due_at <= clock_timestamp();
    if v_tickets is not null then
      v_ids := v_ids || dropwire.claim_webhook_heads(v_tickets, v_seqs, p_lease, p_claim_id, p_early, false);
    end if;
  end if;
  return v_ids;
end
$$;

-- Claims up to p_limit tickets' heads: the oldest undelivered entry of each, if it is due.
--
-- Goes round the endpoints in the order of their ids, beginning after p_after, and takes from each its share, the
-- oldest due first; then, if there is room left, more from those that had more. p_busy tells how many entries of a
-- tenant the caller has under way, {"<tenant>": n}: with these an endpoint gets no more than p_per_endpoint. With
-- p_tenants only their endpoints are looked at. Endpoints that are closed are probed with one entry when it is time.
create function dropwire.claim_webhooks(
  p_limit int, p_lease interval, p_claim_id uuid, p_after uuid default '00000000-0000-0000-0000-000000000000',
  p_tenants uuid[] default null, p_busy jsonb default '{}', p_per_endpoint int default 1000000
) returns setof dropwire.webhook_claim
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
set plan_cache_mode = force_generic_plan set jit = off as $$
declare
  v_outer constant text := coalesce(current_setting('dropwire.dispatcher', true), '');
  v_share int := greatest(1, (p_limit + 7) / 8);
  v_left int := p_limit;
  v_ids uuid[] := '{}';
  v_claimed uuid[];
  v_tickets uuid[];
  v_seqs bigint[];
  v_tenants uuid[];
  v_rated boolean;
  v_hungry uuid[] := '{}';
  v_more uuid[];
  v_from uuid;
  v_to uuid;
  v_probe record;
begin
  perform set_config('dropwire.dispatcher', 'on', true);
  for v_probe in
    select e.tenant_id from dropwire.webhook_endpoints e
     where e.state <> 'open' and not e.paused and e.active and e.next_probe_at <= now()
       and (p_tenants is null or e.tenant_id = any (p_tenants))
       and (e.not_before is null or e.not_before <= now())
     order by e.next_probe_at
     limit least(p_limit, 8)
       for no key update skip locked
  loop
    -- The oldest of all, and none while that one is under way.
    select array[h.ticket_id], array[h.seq] into v_tickets, v_seqs
      from (select h.ticket_id from dropwire.webhook_heads h
              join public.tickets t on t.id = h.ticket_id and t.tenant_id = h.tenant_id  -- else it cannot be sent
             where h.tenant_id = v_probe.tenant_id order by h.seq limit 1) o
      join dropwire.webhook_heads h on h.ticket_id = o.ticket_id
       for no key update of h skip locked;
    if found then
      v_claimed := dropwire.claim_webhook_heads(v_tickets, v_seqs, p_lease, p_claim_id, true);
    else
      v_claimed := null;
    end if;
    v_ids := v_ids || v_claimed;
    update dropwire.webhook_endpoints e
       set probing = v_claimed is not null,
           -- Should this dispatcher die, the next probe is due when its lease ends.
           next_probe_at = now() + case when v_claimed is not null then p_lease else interval '5 seconds' end
     where e.tenant_id = v_probe.tenant_id;
  end loop;
  v_left := p_limit - cardinality(v_ids);

  for v_round in 1 .. 2 loop
    v_more := '{}';
    for v_half in 1 .. 2 loop
      exit when v_left <= 0;
      -- Two ranges rather than a choice between them, so that the index is read in its order, and not to its end.
      v_from := case v_half when 1 then p_after else '00000000-0000-0000-0000-000000000000' end;
      v_to := case v_half when 1 then 'ffffffff-ffff-ffff-ffff-ffffffffffff' else p_after end;
      select array_agg(x.ticket_id), array_agg(x.seq), array_agg(x.tenant_id), bool_or(x.rate is not null)
        into v_tickets, v_seqs, v_tenants, v_rated
        from (
          select h.ticket_id, h.seq, e.tenant_id, e.rate
            from (
              select e.tenant_id, e.rate, e.floor_at,
                     least(
                       case v_round when 1 then v_share else v_left end,
                       p_per_endpoint - coalesce((p_busy ->> e.tenant_id::text)::int, 0)
                         - case v_round when 1 then 0 else v_share end
                         -- One that has begun to fail gets two at a time: timeouts are what takes up room.
                         - case when e.failures > 0 then greatest(p_per_endpoint - 2, 0) else 0 end,
                       -- A quarter of the bucket at a time: each taking costs a row version.
                       case when e.rate is null then 1000000
                            when t.tokens >= greatest(1, e.rate / 4) then floor(t.tokens)::int
                            else 0 end) as room
                from dropwire.webhook_endpoints e
               cross join lateral (
                 select case when e.rate is not null
                             then dropwire.webhook_tokens(e.rate, e.tokens, e.tokens_at) end as tokens) t
               where e.state = 'open' and not e.paused and e.active
                 and e.tenant_id > v_from and e.tenant_id <= v_to
                 and (p_tenants is null or e.tenant_id = any (p_tenants))
                 and (v_round = 1 or e.tenant_id = any (v_hungry))
                 and (e.not_before is null or e.not_before <= now())
               order by e.tenant_id
              offset 0) e
           cross join lateral (
             select h.ticket_id, h.seq
               from dropwire.webhook_heads h
              where h.tenant_id = e.tenant_id and h.due_at <= now()
                and h.due_at >= coalesce(e.floor_at, '-infinity')
              order by h.due_at, h.seq
              limit greatest(e.room, 0)
                -- Weaker than an update of the key, so that writers of the ticket, who hold on to it, are not in the way.
                for no key update of h skip locked) h
           limit v_left) x;
      continue when v_tickets is null;

      if v_round = 1 then
        select v_more || coalesce(array_agg(x.tenant_id), '{}') into v_more
          from (select m.tenant_id from unnest(v_tenants) as m (tenant_id)
                 group by m.tenant_id having count(*) >= v_share) x;
      end if;
      if v_rated then
        -- Tokens are spent under a lock, or not at all: replicas share the bucket.
        with wanted as (
          select w.tenant_id, count(*)::int as n from unnest(v_tenants) as w (tenant_id) group by w.tenant_id
        ), granted as (
          select e.tenant_id, least(w.n, floor(dropwire.webhook_tokens(e.rate, e.tokens, e.tokens_at))::int) as n
            from wanted w
            join dropwire.webhook_endpoints e on e.tenant_id = w.tenant_id
           where e.rate is not null
             for no key update of e skip locked
        ), spent as (
          update dropwire.webhook_endpoints e
             set tokens = dropwire.webhook_tokens(e.rate, e.tokens, e.tokens_at) - g.n, tokens_at = clock_timestamp()
            from granted g
           where e.tenant_id = g.tenant_id and g.n > 0
        ), ranked as (
          select p.*, row_number() over (partition by p.tenant_id order by p.place) as rank
            from unnest(v_tickets, v_seqs, v_tenants) with ordinality as p (ticket_id, seq, tenant_id, place)
        )
        select array_agg(r.ticket_id), array_agg(r.seq) into v_tickets, v_seqs
          from ranked r
          join dropwire.webhook_endpoints e on e.tenant_id = r.tenant_id
          left join granted g on g.tenant_id = r.tenant_id
         where e.rate is null or r.rank <= g.n;
        continue when v_tickets is null;
      end if;

      v_claimed := dropwire.claim_webhook_heads(v_tickets, v_seqs, p_lease, p_claim_id, false);
      v_ids := v_ids || v_claimed;
      v_left := p_limit - cardinality(v_ids);
    end loop;
    v_hungry := v_more;
    exit when v_left <= 0 or cardinality(v_hungry) = 0;
  end loop;

  perform set_config('dropwire.dispatcher', v_outer, true);
  if cardinality(v_ids) > 0 then
    -- A statement of its own, and so with a snapshot of its own: a writer that re-pointed an entry to its activity may
    -- have committed between the claim's snapshot and its lock.
    return query select * from dropwire.webhook_claims(v_ids);
  end if;
end
$$;

-- Outcomes ----------------------------------------------------------------------------------------------------------
create type dropwire.webhook_settled as (
  place bigint,
  id uuid,
  ticket_id uuid,
  tenant_id uuid,
  seq bigint,
  result text,
  error text,
  delay float8,
  pause float8,
  attempted boolean,
  follow boolean
);

-- What an endpoint's answers of one batch make of it. p_breaker is how many failures in a row break it, p_cap the longest
-- backoff in seconds.
create function dropwire.judge_webhook_endpoint(
  p_tenant_id uuid, p_delivered boolean, p_failed int, p_gone boolean, p_error text, p_pause float8,
  p_breaker int, p_cap float8
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  e dropwire.webhook_endpoints;
  v_step float8;
begin
  select * into e from dropwire.webhook_endpoints x where x.tenant_id = p_tenant_id for no key update;
  if not found then
    return;
  end if;
  if p_delivered then
    update dropwire.webhook_endpoints x
       set state = 'open', failures = 0, failed_probes = 0, probing = false, closed_at = null, last_error = null,
           next_probe_at = null
     where x.tenant_id = p_tenant_id;
    if e.state <> 'open' then
      perform dropwire.release_webhook_heads(p_tenant_id);
    end if;
    e.state := 'open';
  elsif p_gone then
    update dropwire.webhook_endpoints x
       set state = 'parked', failures = x.failures + p_failed, probing = false, last_error = left(p_error, 500),
           closed_at = case x.state when 'parked' then x.closed_at else now() end,
           next_probe_at = now() + make_interval(secs => p_cap)
     where x.tenant_id = p_tenant_id;
    if e.state <> 'parked' then
      insert into public.tenant_notifications (tenant_id, type, level, title, message, metadata)
      values (p_tenant_id, 'webhook.parked', 'error', 'Automation webhook is gone',
        'Make no longer accepts this tenant''s webhook. Tickets'' changes wait and none is lost: set the automation '
        'webhook URL to a working one, or switch the scenario on again.',
        jsonb_build_object('error', left(p_error, 500)));
    end if;
    e.state := 'parked';
  elsif p_failed > 0 and e.state = 'parked' then
    update dropwire.webhook_endpoints x
       set failures = x.failures + p_failed, probing = false, last_error = left(p_error, 500),
           next_probe_at = greatest(x.next_probe_at, now() + make_interval(secs => p_cap))
     where x.tenant_id = p_tenant_id;
  elsif p_failed > 0 and (e.state = 'broken' or e.failures + p_failed >= p_breaker) then
    -- What was under way when it broke, and fails now, is no probe.
    if e.state = 'open' or e.probing then
      e.failed_probes := e.failed_probes + 1;
      v_step := least(30 * 2 ^ least(e.failed_probes - 1, 20), p_cap) * (1 + random() / 10);
      e.next_probe_at := now() + make_interval(secs => v_step);
    end if;
    update dropwire.webhook_endpoints x
       set state = 'broken', failures = x.failures + p_failed, failed_probes = e.failed_probes, probing = false,
           last_error = left(p_error, 500), closed_at = coalesce(x.closed_at, now()), next_probe_at = e.next_probe_at
     where x.tenant_id = p_tenant_id;
  elsif p_failed > 0 then
    update dropwire.webhook_endpoints x set failures = x.failures + p_failed, last_error = left(p_error, 500)
     where x.tenant_id = p_tenant_id;
  end if;
  if p_pause is not null then
    update dropwire.webhook_endpoints x
       set not_before = greatest(x.not_before, now() + make_interval(secs => p_pause)),
           next_probe_at = case when x.state <> 'open'
                                then greatest(x.next_probe_at, now() + make_interval(secs => p_pause)) end
     where x.tenant_id = p_tenant_id;
  end if;
end
$$;

-- Records what came of attempts, in one batch. All arrays are of one length:
--
--   p_results      delivered; failed: due again after p_delays seconds; gone: the same, and the endpoint is parked;
--                  problem: failed through no fault of the endpoint's
--   p_payloads     the body that was sent, for delivered
--   p_errors       for last_error
--   p_pauses       seconds for which the receiver wants to be left alone, else null
--   p_durations    milliseconds; null when no attempt was made
--   p_follows      whether to claim the ticket's next entry at once, with the claim id p_follow_claim_id, if it is due
--
-- Answers one row for each: outcome is recorded; waiting, the same, and a writer is at work on the ticket, so that there
-- may be more in a moment; lost, when the claim had been lost and nothing was changed; or busy,
-- when somebody else is at work on the row: ask again. next is the ticket's next entry where it was claimed.
create function dropwire.record_webhooks(
  p_ids uuid[], p_claim_ids uuid[], p_results text[], p_payloads text[], p_errors text[], p_delays float8[],
  p_pauses float8[], p_attempts int[], p_ticket_ids uuid[], p_tenant_ids uuid[], p_statuses int[], p_classes text[],
  p_durations int[], p_excerpts text[], p_follows boolean[], p_follow_claim_id uuid, p_lease interval,
  p_breaker int, p_cap float8
) returns table (entry_id uuid, outcome text, next dropwire.webhook_claim)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
set plan_cache_mode = force_generic_plan set jit = off as $$
declare
  v_outer constant text := coalesce(current_setting('dropwire.dispatcher', true), '');
  v_settled dropwire.webhook_settled[];
  v_busy uuid[] := '{}';
  v_next uuid[];
  v_displaced uuid[];
  v_vacant uuid[];
  v_free uuid[];
begin
  perform set_config('dropwire.dispatcher', 'on', true);
  with given as (
    select g.* from unnest(p_ids, p_claim_ids, p_results, p_payloads, p_errors, p_delays, p_pauses, p_durations,
      p_follows) with ordinality
      as g (id, claim_id, result, payload, error, delay, pause, duration, follow, place)
  ), held as (
    select g.*
      from given g
      join public.ticket_webhook_queue q on q.id = g.id
     where q.claim_id = g.claim_id and q.status = 'processing'
       for no key update of q skip locked
  ), written as (
    update public.ticket_webhook_queue q
       set status = case h.result when 'delivered' then 'delivered' else 'failed' end,
           last_error = case when h.result <> 'delivered' then left(h.error, 500) end,
           next_attempt_at = case when h.result <> 'delivered' then now() + make_interval(secs => h.delay) end,
           payload = case h.result when 'delivered' then h.payload::jsonb else q.payload end,
           lease_expires_at = null, claim_id = null
      from held h
     where q.id = h.id
    returning h.place, q.id, q.ticket_id, q.tenant_id, q.seq, h.result, h.error, h.delay, h.pause,
              h.duration is not null, h.follow
  )
  select coalesce(array_agg(w::dropwire.webhook_settled), '{}') into v_settled from written w;

  if cardinality(v_settled) < cardinality(p_ids) then
    select coalesce(array_agg(q.id), '{}') into v_busy
      from unnest(p_ids, p_claim_ids) as g (id, claim_id)
      join public.ticket_webhook_queue q on q.id = g.id
     where q.claim_id = g.claim_id and q.status = 'processing';
  end if;

  insert into public.ticket_webhook_attempts
    (entry_id, ticket_id, tenant_id, attempt, started_at, duration_ms, status, error_class, response_excerpt)
  select a.id, a.ticket_id, a.tenant_id, a.attempt, clock_timestamp() - make_interval(secs => a.duration / 1000.0),
         a.duration, a.status, a.class, left(a.excerpt, 500)
    from unnest(p_ids, p_ticket_ids, p_tenant_ids, p_attempts, p_statuses, p_classes, p_durations, p_excerpts)
      as a (id, ticket_id, tenant_id, attempt, status, class, duration, excerpt)
   where a.duration is not null and a.id <> all (v_busy);

  update dropwire.webhook_heads h set due_at = now() + make_interval(secs => s.delay)
    from unnest(v_settled) s
   where s.result <> 'delivered' and h.ticket_id = s.ticket_id and h.seq = s.seq;

  -- Of which another entry is the head by now: one that an operator sends again, and that has waited for this one.
  select array_agg(s.ticket_id) into v_displaced
    from unnest(v_settled) s
   where not exists (select from dropwire.webhook_heads h where h.ticket_id = s.ticket_id and h.seq = s.seq);

  -- The tickets whose entry is delivered move on to their next.
  with done as (
    select s.ticket_id, s.seq, s.tenant_id, s.follow
      from unnest(v_settled) s
     where s.result = 'delivered' and (v_displaced is null or s.ticket_id <> all (v_displaced))
  ), following as (
    select d.ticket_id, d.seq as done_seq, n.id, n.seq, n.tenant_id, n.status, n.next_attempt_at, n.lease_expires_at,
           d.follow and n.status <> 'processing'
             and (n.next_attempt_at is null or n.next_attempt_at <= clock_timestamp())
             and exists (select from dropwire.webhook_endpoints e
                          where e.tenant_id = n.tenant_id and e.state = 'open' and not e.paused and e.active
                            and e.rate is null and (e.not_before is null or e.not_before <= now())) as at_once
      from done d
     cross join lateral (
       select q.* from public.ticket_webhook_queue q
        where q.ticket_id = d.ticket_id and q.seq > d.seq and dropwire.is_undelivered(q)
        order by q.seq limit 1) n
  ), free as (
    select q.id
      from following f
      join public.ticket_webhook_queue q on q.id = f.id
     where f.at_once and q.status in ('pending', 'failed')
       -- Who holds it, as the ticket's delete does, may be waiting for an entry above. A later claim takes it.
       for no key update of q skip locked
  ), claimed as (
    update public.ticket_webhook_queue q
       set status = 'processing', attempt_count = q.attempt_count + 1,
           lease_expires_at = clock_timestamp() + p_lease, claim_id = p_follow_claim_id
      from free f
     where q.id = f.id
    returning q.id, q.ticket_id
  ), moved as (
    update dropwire.webhook_heads h
       set seq = f.seq, tenant_id = f.tenant_id,
           due_at = case when c.id is not null then clock_timestamp() + p_lease
                         when f.status = 'processing' then f.lease_expires_at
                         else greatest(f.next_attempt_at, clock_timestamp()) end
      from following f
      left join claimed c on c.ticket_id = f.ticket_id
     where h.ticket_id = f.ticket_id and h.seq = f.done_seq
  )
  select (select array_agg(c.id) from claimed c),
         (select array_agg(d.ticket_id) from done d
           where not exists (select from following f where f.ticket_id = d.ticket_id))
    into v_next, v_vacant;

  if v_displaced is not null then
    perform dropwire.mend_webhook_head(d.id) from unnest(v_displaced) as d (id);
  end if;

  -- And those without a next one are done with: as in mend_webhook_head, in sets.
  if v_vacant is not null then
    with free as (
      select h.ticket_id from dropwire.webhook_heads h where h.ticket_id = any (v_vacant) for update skip locked
    )
    select coalesce(array_agg(f.ticket_id), '{}') into v_free from free f;
    delete from dropwire.webhook_heads h
     where h.ticket_id = any (v_free)
       and not exists (select from public.ticket_webhook_queue q
                        where q.ticket_id = h.ticket_id and q.seq >= h.seq and dropwire.is_undelivered(q));
    perform dropwire.mend_webhook_head(h.ticket_id) from dropwire.webhook_heads h where h.ticket_id = any (v_vacant);
    select coalesce(array_agg(h.ticket_id), '{}') into v_vacant
      from dropwire.webhook_heads h where h.ticket_id = any (v_vacant);
  end if;

  perform dropwire.judge_webhook_endpoint(
            j.tenant_id, j.delivered, j.failed, j.gone, j.error, j.pause, p_breaker, p_cap)
     from (
       select x.*
         from (select s.tenant_id, bool_or(s.result = 'delivered') as delivered,
                      (count(*) filter (where s.result in ('failed', 'gone')))::int as failed,
                      bool_or(s.result = 'gone') as gone, max(s.error) as error, max(s.pause) as pause
                 from unnest(v_settled) s
                where s.attempted
                group by s.tenant_id) x
         join dropwire.webhook_endpoints e on e.tenant_id = x.tenant_id
        where x.failed > 0 or x.pause is not null or x.delivered and (e.failures > 0 or e.state <> 'open')
        order by x.tenant_id  -- so that two batches do not wait for each other
       offset 0) j;

  perform set_config('dropwire.dispatcher', v_outer, true);
  return query
  select g.id, case when s.ticket_id = any (v_vacant) then 'waiting' when s.id is not null then 'recorded' when g.id = any (v_busy) then 'busy' else 'lost' end,
         case when n.id is not null then n::dropwire.webhook_claim end
    from unnest(p_ids) as g (id)
    left join unnest(v_settled) s on s.id = g.id
    left join dropwire.webhook_claims(v_next) n on n.ticket_id = s.ticket_id;
end
$$;

-- Hands unfinished entries back at shutdown, due at once; the attempts that were begun stay counted.
create or replace function dropwire.release_webhooks(p_ids uuid[], p_claim_ids uuid[]) returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
declare
  v_outer constant text := coalesce(current_setting('dropwire.dispatcher', true), '');
  v_count bigint;
begin
  perform set_config('dropwire.dispatcher', 'on', true);
  with released as (
    update public.ticket_webhook_queue q
       set status = 'pending', next_attempt_at = now(), lease_expires_at = null, claim_id = null
      from unnest(p_ids, p_claim_ids) as c (id, claim_id)
     where q.id = c.id and q.claim_id = c.claim_id and q.status = 'processing'
    returning q.ticket_id, q.seq, q.tenant_id
  ), moved as (
    update dropwire.webhook_heads h set due_at = now()
      from released r
     where h.ticket_id = r.ticket_id and h.seq = r.seq
    returning r.tenant_id
  ), unprobed as (
    update dropwire.webhook_endpoints e set next_probe_at = now(), probing = false
      from (select distinct m.tenant_id from moved m) m
     where e.tenant_id = m.tenant_id and e.probing
  )
  select count(*) into v_count from released;
  perform set_config('dropwire.dispatcher', v_outer, true);
  return v_count;
end
$$;

-- Floors ------------------------------------------------------------------------------------------------------------
-- An index entry of a head that moved on is removed once no snapshot can see it any more. While somebody holds an old
-- snapshot (a backup, a forgotten transaction), such entries pile up below the ones that are due, and every claim
-- steps over all of them. A floor per endpoint, raised now and then, lets claims start above.
--
-- Heads that become due are dated by the clock, so they stand above the floor, except where the writer's transaction
-- stayed open for longer than the grace: those are found by looking below, as long as there is a floor.

-- Raises floors to the oldest head, where finding it takes long, and lowers those that a head has come up under. Called
-- by a dispatcher whose claims have become slow, and from time to time while there are floors. Answers how many
-- endpoints have one.
create function dropwire.raise_webhook_floors() returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  v_endpoint record;
  v_began timestamptz;
  v_oldest timestamptz;
  v_took interval;
begin
  if not pg_try_advisory_xact_lock(7237125, 3) then
    return 0;
  end if;
  for v_endpoint in select e.tenant_id, e.floor_at from dropwire.webhook_endpoints e loop
    v_began := clock_timestamp();
    select h.due_at into v_oldest from dropwire.webhook_heads h
     where h.tenant_id = v_endpoint.tenant_id order by h.due_at limit 1;
    v_took := clock_timestamp() - v_began;
    v_oldest := least(v_oldest, clock_timestamp() - interval '3 seconds');
    if v_took > interval '200 microseconds' or v_endpoint.floor_at is not null then
      update dropwire.webhook_endpoints e
         set floor_at = case when v_took > interval '200 microseconds' then v_oldest end
       where e.tenant_id = v_endpoint.tenant_id;
    end if;
  end loop;
  return (select count(*) from dropwire.webhook_endpoints e where e.floor_at is not null);
end
$$;

-- What waits already ------------------------------------------------------------------------------------------------
insert into dropwire.webhook_endpoints (tenant_id, url, active, rate)
select n.id, n.automation_webhook_url, n.active is not false, dropwire.default_webhook_rate(n.automation_webhook_url)
  from public.tenants n;

insert into dropwire.webhook_heads (ticket_id, tenant_id, seq, due_at)
select distinct on (q.ticket_id) q.ticket_id, q.tenant_id, q.seq,
       case when q.status = 'processing' then q.lease_expires_at else greatest(q.next_attempt_at, now()) end
  from public.ticket_webhook_queue q
 where dropwire.is_undelivered(q)
 order by q.ticket_id, q.seq;

revoke execute on function public.touch_ticket_webhook_queue_updated_at() from public, anon, authenticated;
revoke execute on all functions in schema dropwire from public;
grant execute on function
  dropwire.claim_webhooks(int, interval, uuid, uuid, uuid[], jsonb, int),
  dropwire.record_webhooks(uuid[], uuid[], text[], text[], text[], float8[], float8[], int[], uuid[], uuid[], int[],
    text[], int[], text[], boolean[], uuid, interval, int, float8),
  dropwire.release_webhooks(uuid[], uuid[]),
  dropwire.raise_webhook_floors()
to service_role;

-- What a dispatcher does in each pass besides sending: delayed actions and overdue tickets. The rule engine's part is
-- called where it exists.
create function dropwire.run_due_work(p_limit int) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  if to_regprocedure('dropwire.run_due_rules(integer)') is not null then
    execute 'select dropwire.run_due_rules($1)' using p_limit;
  end if;
end
$$;
revoke execute on function dropwire.run_due_work(int) from public;
grant execute on function dropwire.run_due_work(int) to service_role;
