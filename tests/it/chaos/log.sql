-- Who claimed which entry, and what was recorded of it: a row per claim, written by the queue's own updates, so that it
-- holds just what was committed. The dispatcher is known by its application_name, the life of the server by its start.
create table chaos_claims (
  claim_id uuid not null,
  entry_id uuid not null,
  dispatcher text not null,
  claimed_at timestamptz not null,
  server text not null default pg_postmaster_start_time(),
  status text,
  error text,
  primary key (claim_id, entry_id)
);

create function log_chaos_claim() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  if old.claim_id is not null then
    update chaos_claims c set status = new.status, error = new.last_error
     where c.claim_id = old.claim_id and c.entry_id = new.id and new.claim_id is null;
  end if;
  if new.claim_id is not null then
    insert into chaos_claims (claim_id, entry_id, dispatcher, claimed_at)
    values (new.claim_id, new.id, current_setting('application_name'), clock_timestamp());
  end if;
  return null;
end
$$;

create trigger log_chaos_claim after update on ticket_webhook_queue
  for each row when (old.claim_id is distinct from new.claim_id) execute function log_chaos_claim();
