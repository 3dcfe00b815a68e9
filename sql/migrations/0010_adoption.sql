-- What a database of the original needs to go on as ours: its ticket number form, a record of what `migrate` changed
-- in it, and a way to send again what it may never have sent. A fresh database has the same, and counts TKT-<n>.

-- Settings ----------------------------------------------------------------------------------------------------------
create table dropwire.settings (
  only_row boolean primary key default true check (only_row),
  ticket_number_form text not null default 'TKT' check (ticket_number_form in ('TKT', 'FMS'))
);
comment on table dropwire.settings is 'What holds for this database as a whole.';
comment on column dropwire.settings.ticket_number_form is
  'TKT: TKT-<n>, one count. FMS: FMS-<prefix>-<n>, the original''s, a count per prefix of the tenant''s name.';
insert into dropwire.settings default values;

-- Ticket numbers ----------------------------------------------------------------------------------------------------
-- FMS-<prefix>-<number>. The original takes the highest number that the writer can see, plus one; so two writers at
-- once, two tenants with one prefix, or a number that is no number made tickets fail. Here a sequence per prefix
-- counts: it never waits for another writer's commit, as a row with a counter would, and cannot deadlock. A number of
-- a ticket that is rolled back stays unused.

-- Without a search_path of its own, so that it is inlined; all names are qualified.
create function dropwire.at_least_four_digits(p_number bigint) returns text
language sql immutable parallel safe as $$
  select pg_catalog.lpad(p_number::pg_catalog.text, greatest(4, pg_catalog.length(p_number::pg_catalog.text)), '0')
$$;

-- The sequence of a prefix, created on its first use. Of two first uses at once one waits for the other to commit.
create function dropwire.ticket_number_sequence(p_prefix text, p_first bigint default 1) returns regclass
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_name text := pg_catalog.format('dropwire.%I', 'ticket_number_' || pg_catalog.lower(p_prefix));
begin
  if pg_catalog.to_regclass(v_name) is null then
    begin
      execute pg_catalog.format('create sequence %s start with %s', v_name, p_first);
    exception when duplicate_table or unique_violation then
      null;
    end;
  end if;
  return v_name::regclass;
end
$$;

-- As the original makes it, lower-case letters and all else outside of A-Z and 0-9 left out: ACME Facilities is ACM,
-- Acme facilities is AXX.
create function dropwire.ticket_number_prefix(p_tenant_id uuid) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce(
    (select pg_catalog.rpad(pg_catalog.left(pg_catalog.regexp_replace(n.name, '[^A-Z0-9]', '', 'g'), 3), 3, 'X')
       from public.tenants n where n.id = p_tenant_id),
    'DEF')
$$;

create function dropwire.next_fms_number(p_tenant_id uuid) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_prefix constant text := dropwire.ticket_number_prefix(p_tenant_id);
begin
  return 'FMS-' || v_prefix || '-' || dropwire.at_least_four_digits(
    pg_catalog.nextval(dropwire.ticket_number_sequence(v_prefix)));
end
$$;

-- On the path of every new ticket, hence without a search_path of its own (see 0006); all names are qualified.
create or replace function public.generate_ticket_number() returns trigger
language plpgsql volatile security definer as $$
declare
  v_is_fms constant boolean := (select s.ticket_number_form operator(pg_catalog.=) 'FMS' from dropwire.settings s);
  v_number bigint;
begin
  loop
    if v_is_fms then
      new.ticket_number := dropwire.next_fms_number(new.tenant_id);
    else
      v_number := pg_catalog.nextval('public.ticket_number_seq'::pg_catalog.regclass);
      new.ticket_number := 'TKT-' operator(pg_catalog.||) v_number::pg_catalog.text;
    end if;
    -- A client may have stored a number of its own ahead of the sequence: step over it.
    exit when not exists (
      select from public.tickets t where t.ticket_number operator(pg_catalog.=) new.ticket_number);
  end loop;
  return new;
end
$$;

drop trigger set_ticket_number on public.tickets;
create trigger set_ticket_number before insert on public.tickets
  for each row when (new.ticket_number is null or new.ticket_number = '')
  execute function public.generate_ticket_number();

comment on function public.generate_ticket_number() is
  'Numbers a ticket when the writer gives no number: TKT-<n>, n from 1000, or in the original''s form where the '
  'database was its. Unique under concurrency, over all tenants.';

-- The record --------------------------------------------------------------------------------------------------------
create table dropwire.adoption_changes (
  id bigint generated always as identity primary key,
  kind text not null check (kind in ('policy', 'function', 'trigger', 'structure', 'rights', 'rows', 'kept')),
  object text not null,
  change text not null,
  before text,  -- the definition that was removed, or the old values of the rows
  changed_at timestamptz not null default now()
);
comment on table dropwire.adoption_changes is
  'What `dropwire migrate` changed in the database of the original. Empty where there was none.';

-- Webhooks with unknown outcome -------------------------------------------------------------------------------------
-- Each goes out in its place among its ticket's entries, with the ticket as it is now.
create function public.replay_adopted_webhooks(p_since timestamptz default '-infinity') returns bigint
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  with replayed as (
    update public.ticket_webhook_queue q
       set status = 'pending', last_error = null, next_attempt_at = pg_catalog.now()
     where q.status = 'delivered' and q.last_error = 'adopted: outcome unknown' and q.updated_at >= p_since
    returning q.id
  )
  select pg_catalog.count(*) from replayed
$$;
comment on function public.replay_adopted_webhooks(timestamptz) is
  'Queues again the entries whose outcome was unknown at adoption, if the original last touched them at or after '
  'p_since. Answers how many.';

revoke execute on function public.replay_adopted_webhooks(timestamptz) from public, anon, authenticated;
grant execute on function public.replay_adopted_webhooks(timestamptz) to service_role;
revoke execute on all functions in schema dropwire from public;
