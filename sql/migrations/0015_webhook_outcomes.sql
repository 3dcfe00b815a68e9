-- The dispatcher tells what came of its attempts (see 0013), and what it does in a pass besides.

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

revoke execute on all functions in schema dropwire from public;
grant execute on function
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
