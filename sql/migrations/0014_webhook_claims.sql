-- The dispatcher takes what is due: attempts, secrets, and the claim (see 0013).

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

revoke execute on all functions in schema dropwire from public;
grant execute on function dropwire.claim_webhooks(int, interval, uuid, uuid, uuid[], jsonb, int) to service_role;
