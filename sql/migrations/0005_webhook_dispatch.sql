-- The dispatcher's side of the outbox: claim, complete, fail, release. Called by Dropwire's own login role.
--
-- An entry's life: pending -> processing (claimed: lease, claim id, attempt + 1) -> delivered, or failed with the
-- time of its next attempt. `failed` means "due again later". A claim whose lease has ended may be claimed by
-- anybody; whoever lost it changes nothing, since every outcome is written where the claim id still matches.
-- `processing` without a lease is what the original left behind: its receiver got it, so it counts as delivered.
-- All times are the database's: replicas' clocks differ.

-- What a dispatcher needs to make one attempt.
create type dropwire.webhook_claim as (
  id uuid,
  ticket_id uuid,
  tenant_id uuid,
  attempt int,   -- counted from 1, this one included
  url text,      -- the tenant's webhook; null or blank: deliver to nobody
  problem text,  -- why no payload can be built, null when one can
  payload json   -- the contract's body but for generated_at
);

-- The claim with the body that Make receives, as it stands now: the ticket's current state and the entry's own
-- activity. latest_activity is left out for an entry without one; metadata and created_by are null when there is none.
create function dropwire.webhook_claim_of(q public.ticket_webhook_queue) returns dropwire.webhook_claim
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_claim dropwire.webhook_claim;
begin
  select q.id, q.ticket_id, q.tenant_id, q.attempt_count, n.automation_webhook_url,
         case when t.tenant_id is distinct from q.tenant_id then 'Ticket tenant mismatch' end,
         case when a.id is null then
           pg_catalog.json_build_object(
             'tenant_id', n.id, 'tenant_name', n.name, 'ticket_id', t.id, 'ticket_number', t.ticket_number,
             'status', t.status, 'priority', t.priority, 'title', t.title, 'description', t.description,
             'location', t.location, 'complainant', c.complainant)
         else
           pg_catalog.json_build_object(
             'tenant_id', n.id, 'tenant_name', n.name, 'ticket_id', t.id, 'ticket_number', t.ticket_number,
             'status', t.status, 'priority', t.priority, 'title', t.title, 'description', t.description,
             'location', t.location, 'complainant', c.complainant,
             'latest_activity', pg_catalog.json_build_object(
               'id', a.id, 'type', a.activity_type, 'comment', a.comment, 'metadata', a.metadata,
               'created_at', dropwire.iso_instant(a.created_at),
               'created_by', case when b.id is not null
                                  then pg_catalog.json_build_object('id', b.id, 'name', b.full_name) end))
         end
    into v_claim
    from public.tickets t
    join public.tenants n on n.id = q.tenant_id
    left join public.users u on u.id = t.complainant_id
    left join public.ticket_activities a on a.id = q.activity_id
    left join public.users b on b.id = a.created_by
   cross join lateral (
     -- Telegram's chat id is numeric in the table and a decimal string on the wire.
     select pg_catalog.json_build_object('id', u.id, 'name', u.full_name, 'email', u.email, 'phone', u.phone,
              'chat_id', pg_catalog.trunc(u.telegram_chat_id)::text) as complainant) c
   where t.id = q.ticket_id;
  return v_claim;
end
$$;

-- Claims up to p_limit tickets' heads: the oldest undelivered entry of each, if it is due, oldest first.
create function dropwire.claim_webhooks(p_limit int, p_lease interval, p_claim_id uuid)
returns setof dropwire.webhook_claim
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_entry public.ticket_webhook_queue;
begin
  for v_entry in
    with due as (
      select q.id
        from public.ticket_webhook_queue q
       where q.status <> 'delivered'  -- says nothing new, but lets the index of undelivered entries serve
         and (q.status in ('pending', 'failed') and q.next_attempt_at <= pg_catalog.now()
           or q.status = 'processing' and q.lease_expires_at <= pg_catalog.now())  -- its dispatcher died
         -- An earlier undelivered entry of the ticket blocks this one. Not worded `<> 'delivered'`: with statistics
         -- from a quiet hour the planner would walk all undelivered entries for each of them.
         and not exists (select from public.ticket_webhook_queue e
                          where e.ticket_id = q.ticket_id and e.seq < q.seq
                            and (e.status in ('pending', 'failed') or e.lease_expires_at is not null))
         -- a tenant switched off pauses: its entries wait
         and exists (select from public.tenants n where n.id = q.tenant_id and n.active is not false)
       order by q.seq
       limit p_limit
         for no key update of q skip locked
    ), claimed as (
      update public.ticket_webhook_queue q
         set status = 'processing', attempt_count = q.attempt_count + 1,
             lease_expires_at = pg_catalog.now() + p_lease, claim_id = p_claim_id
        from due
       where q.id = due.id
      returning q.*
    )
    select * from claimed order by seq
  loop
    -- A statement of its own, and so with a snapshot of its own: a writer that re-pointed the entry to its activity
    -- may have committed between the claim's snapshot and its lock.
    return next dropwire.webhook_claim_of(v_entry);
  end loop;
end
$$;

-- Marks an entry delivered and, when p_follow_claim_id is given, claims the ticket's next one if it is due.
-- held is false when the claim had been lost: then nothing was changed. next_* are null when nothing follows.
create function dropwire.complete_webhook(
  p_id uuid, p_claim_id uuid, p_payload jsonb, p_follow_claim_id uuid, p_lease interval,
  out held boolean, out next dropwire.webhook_claim
)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_ticket_id uuid;
  v_next public.ticket_webhook_queue;
begin
  update public.ticket_webhook_queue q
     set status = 'delivered', last_error = null, next_attempt_at = null, payload = p_payload,
         lease_expires_at = null, claim_id = null
   where q.id = p_id and q.claim_id = p_claim_id and q.status = 'processing'
  returning q.ticket_id into v_ticket_id;
  held := found;

  if held and p_follow_claim_id is not null then
    update public.ticket_webhook_queue q
       set status = 'processing', attempt_count = q.attempt_count + 1,
           lease_expires_at = pg_catalog.now() + p_lease, claim_id = p_follow_claim_id
     where q.id = (
       select h.id
         from public.ticket_webhook_queue h
        where h.id = (select e.id from public.ticket_webhook_queue e
                       where e.ticket_id = v_ticket_id
                         and (e.status in ('pending', 'failed') or e.lease_expires_at is not null)
                       order by e.seq limit 1)
          and h.status in ('pending', 'failed') and h.next_attempt_at <= pg_catalog.now()
          and exists (select from public.tenants n where n.id = h.tenant_id and n.active is not false)
          -- Who holds it, as the ticket's delete does, may be waiting for the entry above. A later claim takes it.
          for no key update of h skip locked)
    returning q.* into v_next;
    if found then
      next := dropwire.webhook_claim_of(v_next);
    end if;
  end if;
end
$$;

-- Records a failed attempt, due again after p_delay; false when the claim had been lost.
create function dropwire.fail_webhook(p_id uuid, p_claim_id uuid, p_error text, p_delay interval) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  update public.ticket_webhook_queue q
     set status = 'failed', last_error = pg_catalog.left(p_error, 500),
         next_attempt_at = pg_catalog.now() + p_delay, lease_expires_at = null, claim_id = null
   where q.id = p_id and q.claim_id = p_claim_id and q.status = 'processing';
  return found;
end
$$;

-- Hands unfinished entries back at shutdown, due at once; the attempts that were begun stay counted.
create function dropwire.release_webhooks(p_ids uuid[], p_claim_ids uuid[]) returns bigint
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  with released as (
    update public.ticket_webhook_queue q
       set status = 'pending', next_attempt_at = pg_catalog.now(), lease_expires_at = null, claim_id = null
      from unnest(p_ids, p_claim_ids) as c (id, claim_id)  -- the form with two arrays takes no schema
     where q.id = c.id and q.claim_id = c.claim_id and q.status = 'processing'
    returning q.id
  )
  select pg_catalog.count(*) from released
$$;

revoke execute on all functions in schema dropwire from public;
grant execute on function
  dropwire.claim_webhooks(int, interval, uuid),
  dropwire.complete_webhook(uuid, uuid, jsonb, uuid, interval),
  dropwire.fail_webhook(uuid, uuid, text, interval),
  dropwire.release_webhooks(uuid[], uuid[])
to service_role;
