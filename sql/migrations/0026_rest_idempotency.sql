-- Idempotency keys under /rest/v1: answers that were given to a POST with the header Idempotency-Key.
--
-- The server claims the key as the login role, becomes the request's role, runs the request, becomes the login role
-- again and keeps the answer, all in one transaction: key and effect commit together, and a request that fails leaves
-- no key. Who comes second with a key waits in its claim, as in 0012; the order of claim and pruning is as there too.
--
-- Only the login role calls these functions: sql/login/role.sql lets it, and nobody else, service_role included.
-- Otherwise whoever reaches SQL as one of the API roles could read others' answers, or put words in the server's mouth.

create table dropwire.rest_answers (
  id bytea primary key,
  fingerprint bytea not null,
  status integer,
  headers text[],
  body bytea,
  created_at timestamptz not null default now()
);
create index rest_answers_created_at_idx on dropwire.rest_answers (created_at);
comment on table dropwire.rest_answers is
  'What was answered under an Idempotency-Key. The answer is null only inside the transaction that claims the key.';
comment on column dropwire.rest_answers.id is
  'SHA-256 over the caller (role and sub), the path and the key. A hash, since each may be longer than an index takes.';
comment on column dropwire.rest_answers.fingerprint is
  'SHA-256 over the query string, the body and the headers that shape the answer.';
comment on column dropwire.rest_answers.headers is 'Name, value, name, value, …';

-- state is claimed (run the request, then keep or drop), kept (the rest is the first one's answer) or other_request (the
-- key stands for another one).
create function dropwire.claim_rest_request(
  p_id bytea, p_fingerprint bytea,
  out state text, out status integer, out headers text[], out body bytea
)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  insert into dropwire.rest_answers as a (id, fingerprint)
  values (p_id, p_fingerprint)
  on conflict (id) do update
     set fingerprint = excluded.fingerprint, status = null, headers = null, body = null,
         created_at = excluded.created_at
   where a.created_at <= dropwire.idempotency_horizon();
  if found then
    state := 'claimed';
    return;
  end if;

  -- There for certain: the conflict has locked the row, also where the condition kept it as it is.
  select case when a.fingerprint = p_fingerprint then 'kept' else 'other_request' end
    into strict state from dropwire.rest_answers a where a.id = p_id;
  if state = 'kept' then
    select a.status, a.headers, a.body into strict status, headers, body
      from dropwire.rest_answers a where a.id = p_id;
  end if;
end
$$;

-- Keeps what the request was answered, and takes up to ten expired answers away.
create function dropwire.keep_rest_answer(p_id bytea, p_status integer, p_headers text[], p_body bytea) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  update dropwire.rest_answers a set status = p_status, headers = p_headers, body = p_body where a.id = p_id;

  delete from dropwire.rest_answers a
   where a.ctid = any (array(
     select e.ctid from dropwire.rest_answers e
      where e.created_at <= dropwire.idempotency_horizon()
      order by e.created_at
      limit 10
        for update skip locked));
end
$$;

-- Gives a claimed key up: the request was answered with an error of its own making, and may be sent again.
create function dropwire.drop_rest_request(p_id bytea) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  delete from dropwire.rest_answers a where a.id = p_id
$$;

revoke all on dropwire.rest_answers from public, anon, authenticated, service_role;
revoke execute on function dropwire.claim_rest_request(bytea, bytea) from public;
revoke execute on function dropwire.keep_rest_answer(bytea, integer, text[], bytea) from public;
revoke execute on function dropwire.drop_rest_request(bytea) from public;
