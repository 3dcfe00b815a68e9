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
