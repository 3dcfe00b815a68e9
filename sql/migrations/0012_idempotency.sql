-- Idempotency keys: one key, one effect, however often and on however many replicas a call arrives.
--
-- A function that honours the header Idempotency-Key has a second SQL function around the one that does its work:
-- claim the key, do the work, then keep the answer, or drop the key if nothing was done. All in one transaction, so
-- that key and effect commit together, and work that fails or dies leaves no key.
--
-- Who comes second with a key waits in its claim, on the primary key's index, until the first has ended; then it
-- reads the first one's answer, or takes its place. Nothing that others wait for is locked before the claim, and
-- nothing waits after it but the work itself: hence the claim comes first, pruning last, and pruning skips what is
-- locked. In any other order, two calls that meet each other's expired keys would deadlock.

create table dropwire.idempotency_keys (
  route text collate "C" not null,
  tenant_id uuid not null,
  key text collate "C" not null,
  fingerprint bytea not null,
  answer jsonb,
  created_at timestamptz not null default now(),
  primary key (route, tenant_id, key)
);
create index idempotency_keys_created_at_idx on dropwire.idempotency_keys (created_at);
comment on column dropwire.idempotency_keys.route is 'The function''s name in its path.';
comment on column dropwire.idempotency_keys.tenant_id is
  'The tenant of the body. No foreign key, which would cost a lock on the tenant with every call.';
comment on column dropwire.idempotency_keys.fingerprint is 'SHA-256 of the body''s bytes.';
comment on column dropwire.idempotency_keys.answer is
  'What the first answer said, in the function''s own form. Null only inside the transaction that claims the key.';

-- Keys from before this instant count as absent.
create function dropwire.idempotency_horizon() returns timestamptz
language sql stable as $$ select pg_catalog.now() - interval '24 hours' $$;

-- state is claimed (do the work, then call keep_answer or drop_idempotency_key), kept (answer is the first one's) or
-- other_body (the key stands for another body).
create function dropwire.claim_idempotency_key(
  p_route text, p_tenant_id uuid, p_key text, p_fingerprint bytea, out state text, out answer jsonb
)
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
  insert into dropwire.idempotency_keys as k (route, tenant_id, key, fingerprint)
  values (p_route, p_tenant_id, p_key, p_fingerprint)
  on conflict (route, tenant_id, key) do update
     set fingerprint = excluded.fingerprint, answer = null, created_at = excluded.created_at
   where k.created_at <= dropwire.idempotency_horizon();
  if found then
    state := 'claimed';
    return;
  end if;

  -- There for certain: the conflict has locked the row, also where the condition kept it as it is.
  select case when k.fingerprint = p_fingerprint then 'kept' else 'other_body' end, k.answer into strict state, answer
    from dropwire.idempotency_keys k
   where k.route = p_route and k.tenant_id = p_tenant_id and k.key = p_key;
end
$$;

-- Keeps what a claimed key's repeats are to be answered. Each key kept takes up to ten expired ones away, so the table
-- holds hardly more than a day's keys, and no call pays for a long sweep.
create function dropwire.keep_answer(p_route text, p_tenant_id uuid, p_key text, p_answer jsonb) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
  update dropwire.idempotency_keys k set answer = p_answer
   where k.route = p_route and k.tenant_id = p_tenant_id and k.key = p_key;

  delete from dropwire.idempotency_keys k
   where k.ctid = any (array(
     select e.ctid from dropwire.idempotency_keys e
      where e.created_at <= dropwire.idempotency_horizon()
      order by e.created_at
      limit 10
        for update skip locked));
end
$$;

-- Gives a claimed key up: nothing was done under it.
create function dropwire.drop_idempotency_key(p_route text, p_tenant_id uuid, p_key text) returns void
language sql volatile set search_path = pg_catalog, pg_temp as $$
  delete from dropwire.idempotency_keys k
   where k.route = p_route and k.tenant_id = p_tenant_id and k.key = p_key
$$;

-- create_ticket_from_telegram (0006) under a key. Two more outcomes: replayed, with the first call's ticket, and
-- key_reused, when the key came with another body before.
create function dropwire.create_ticket_from_telegram_once(
  p_tenant_id uuid, p_chat_number text, p_chat_text text,
  p_issue text, p_location text, p_category text, p_priority text, p_type text,
  p_building text, p_floor text, p_room text,
  p_key text, p_fingerprint bytea,
  out outcome text, out ticket_id uuid, out ticket_number text
)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_route constant text := 'telegram-webhook';
  v_claim record;
begin
  select c.state, c.answer into v_claim
    from dropwire.claim_idempotency_key(v_route, p_tenant_id, p_key, p_fingerprint) c;
  if v_claim.state = 'other_body' then
    outcome := 'key_reused';
    return;
  elsif v_claim.state = 'kept' then
    outcome := 'replayed';
    ticket_id := v_claim.answer ->> 'ticket_id';
    ticket_number := v_claim.answer ->> 'ticket_number';
    return;
  end if;

  select c.outcome, c.ticket_id, c.ticket_number into outcome, ticket_id, ticket_number
    from dropwire.create_ticket_from_telegram(
      p_tenant_id, p_chat_number, p_chat_text, p_issue, p_location, p_category, p_priority, p_type,
      p_building, p_floor, p_room) c;
  if outcome = 'created' then
    perform dropwire.keep_answer(v_route, p_tenant_id, p_key,
      pg_catalog.jsonb_build_object('ticket_id', ticket_id, 'ticket_number', ticket_number));
  else
    perform dropwire.drop_idempotency_key(v_route, p_tenant_id, p_key);
  end if;
end
$$;

revoke execute on all functions in schema dropwire from public;
grant execute on function dropwire.create_ticket_from_telegram_once(
  uuid, text, text, text, text, text, text, text, text, text, text, text, bytea) to service_role;
