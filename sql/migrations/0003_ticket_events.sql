-- Ticket numbers, activities and the webhook outbox: what must hold whoever writes a row (a function, /rest/v1, psql).
--
-- The chain, all of it inside the writer's own transaction:
--   insert into tickets           -> one creation entry in ticket_webhook_queue, then the rules (0004)
--   update of tickets             -> one row in ticket_activities per changed property
--   insert into ticket_activities -> one entry in ticket_webhook_queue
--
-- Two transaction-local settings travel along the chain; both are empty outside of it:
--   dropwire.origin  'trigger' while a trigger of ours writes an activity
--   dropwire.actor   'rules' while the rule engine works: its effects are nobody's (created_by null)
--
-- Functions with the owner's rights run under `search_path = pg_catalog, pg_temp`. An empty path would not do: types
-- are then looked up in the caller's temporary schema first, and a domain named text there, with a check constraint,
-- would run the caller's code as the owner.

create function public.generate_ticket_number() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if coalesce(new.ticket_number, '') <> '' then
    return new;
  end if;
  loop
    new.ticket_number := 'TKT-' || pg_catalog.nextval('public.ticket_number_seq'::regclass)::text;
    -- A client may have stored a number of its own ahead of the sequence: step over it.
    exit when not exists (select from public.tickets t where t.ticket_number = new.ticket_number);
  end loop;
  return new;
end
$$;

comment on function public.generate_ticket_number() is
  'Numbers a ticket TKT-<n>, n from 1000, unique under concurrency, when the writer gives none.';

create trigger set_ticket_number before insert on public.tickets
  for each row execute function public.generate_ticket_number();

-- An instant as the wire shows it: UTC, milliseconds, Z.
create function dropwire.iso_instant(p_instant timestamptz) returns text
language sql stable parallel safe as $$
  select pg_catalog.to_char(p_instant at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
$$;

-- The instant that a client wrote into an activity's metadata, null when it is none.
create function dropwire.read_instant(p_text text) returns timestamptz
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return p_text::timestamptz;
exception when others then
  return null;
end
$$;

-- What an activity says changed, in one comparable form; null for activities that report no change.
-- Instants are compared as instants: the dashboard writes them in another notation than we do.
create function dropwire.activity_change(p_type text, p_metadata jsonb) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select case p_type
    when 'status_change' then pg_catalog.jsonb_build_array(
      coalesce(p_metadata ->> 'old_status', p_metadata ->> 'previous_status'), p_metadata ->> 'new_status')::text
    when 'priority_change' then pg_catalog.jsonb_build_array(
      p_metadata ->> 'old_priority', p_metadata ->> 'new_priority')::text
    when 'sla_change' then pg_catalog.jsonb_build_array(
      dropwire.iso_instant(dropwire.read_instant(p_metadata ->> 'old_due_date')),
      dropwire.iso_instant(dropwire.read_instant(p_metadata ->> 'new_due_date')))::text
    when 'reassignment' then pg_catalog.jsonb_build_array(
      p_metadata ->> 'old_executor_id', p_metadata ->> 'new_executor_id')::text
  end
$$;

-- Who is writing: the signed-in user, null for service keys, plain SQL and the rule engine.
create function dropwire.current_actor() returns uuid
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select u.id from public.users u
   where u.id = auth.uid()
     and coalesce(pg_catalog.current_setting('dropwire.actor', true), '') <> 'rules'
$$;

create function dropwire.record_change(
  p_ticket public.tickets, p_type text, p_comment text, p_metadata jsonb
) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform pg_catalog.set_config('dropwire.origin', 'trigger', true);
  insert into public.ticket_activities (ticket_id, tenant_id, activity_type, comment, created_by, metadata)
  values (p_ticket.id, p_ticket.tenant_id, p_type, p_comment, dropwire.current_actor(), p_metadata);
  perform pg_catalog.set_config('dropwire.origin', '', true);
end
$$;

create function dropwire.ticket_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_old text;
  v_new text;
begin
  if old.status is distinct from new.status then
    perform dropwire.record_change(new, 'status_change',
      pg_catalog.format('Status changed from %s to %s', old.status, new.status),
      pg_catalog.jsonb_build_object('old_status', old.status, 'new_status', new.status));
  end if;

  if old.priority is distinct from new.priority then
    perform dropwire.record_change(new, 'priority_change',
      pg_catalog.format('Priority changed from %s to %s', old.priority, new.priority),
      pg_catalog.jsonb_build_object('old_priority', old.priority, 'new_priority', new.priority));
  end if;

  -- The two SLA columns are written together by everybody but the original's server engine, which wrote
  -- sla_due_date alone: either way it is one change.
  if old.due_date is distinct from new.due_date then
    v_old := dropwire.iso_instant(old.due_date);
    v_new := dropwire.iso_instant(new.due_date);
  elsif old.sla_due_date is distinct from new.sla_due_date then
    v_old := dropwire.iso_instant(old.sla_due_date);
    v_new := dropwire.iso_instant(new.sla_due_date);
  end if;
  if v_old is distinct from v_new then
    perform dropwire.record_change(new, 'sla_change',
      pg_catalog.format('SLA changed from %s to %s', coalesce(v_old, 'none'), coalesce(v_new, 'none')),
      pg_catalog.jsonb_build_object('old_due_date', v_old, 'new_due_date', v_new));
  end if;

  -- The assignee is the executor profile; clients that know no profiles set executor_id (a user) alone.
  v_old := null;
  v_new := null;
  if old.executor_profile_id is distinct from new.executor_profile_id then
    v_old := old.executor_profile_id::text;
    v_new := new.executor_profile_id::text;
  elsif old.executor_id is distinct from new.executor_id then
    v_old := old.executor_id::text;
    v_new := new.executor_id::text;
  end if;
  if v_old is distinct from v_new then
    perform dropwire.record_change(new, 'reassignment',
      coalesce('Ticket assigned to executor ' || v_new, 'Ticket unassigned from executor ' || v_old),
      pg_catalog.jsonb_build_object('old_executor_id', v_old, 'new_executor_id', v_new));
  end if;
  return null;
end
$$;

-- Without a column list: that one goes by what the update names, not by what a trigger before this one sets.
create trigger trigger_ticket_changed after update on public.tickets
  for each row
  when (old.status is distinct from new.status
     or old.priority is distinct from new.priority
     or old.due_date is distinct from new.due_date
     or old.sla_due_date is distinct from new.sla_due_date
     or old.executor_profile_id is distinct from new.executor_profile_id
     or old.executor_id is distinct from new.executor_id)
  execute function dropwire.ticket_changed();

create function public.enqueue_ticket_activity_webhook() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_tenant_id uuid;
  v_origin text := coalesce(nullif(pg_catalog.current_setting('dropwire.origin', true), ''), 'client');
  v_change text;
  v_entry_id uuid;
  v_repeated_id uuid;
begin
  -- Writers of one ticket take turns from here to their commit, so that seq follows commit order: without the
  -- lock a later seq could become visible, and be sent, before an earlier one.
  select t.tenant_id into v_tenant_id from public.tickets t where t.id = new.ticket_id for no key update;
  v_tenant_id := coalesce(new.tenant_id, v_tenant_id);
  if v_tenant_id is null then
    return null;
  end if;

  -- The original's dashboard reports its own change after making it. The trigger above has said the same by
  -- then: the client's row, which has an author and perhaps better words, takes the place of the trigger's.
  if v_origin = 'client' then
    v_change := dropwire.activity_change(new.activity_type, new.metadata);
    if v_change is not null then
      select q.id, a.id into v_entry_id, v_repeated_id
        from public.ticket_webhook_queue q
        join public.ticket_activities a on a.id = q.activity_id
       where q.ticket_id = new.ticket_id
         and q.origin = 'trigger'
         and a.activity_type = new.activity_type
         and a.created_at >= pg_catalog.now() - interval '60 seconds'
         and dropwire.activity_change(a.activity_type, a.metadata) = v_change
       order by q.seq
       limit 1;
      if found then
        -- Re-pointed before the delete, which would cascade to the entry.
        update public.ticket_webhook_queue q set activity_id = new.id, origin = 'client' where q.id = v_entry_id;
        delete from public.ticket_activities a where a.id = v_repeated_id;
        return null;
      end if;
    end if;
  end if;

  insert into public.ticket_webhook_queue (ticket_id, activity_id, tenant_id, origin, payload)
  values (new.ticket_id, new.id, v_tenant_id, v_origin, pg_catalog.jsonb_build_object(
    'activity_type', new.activity_type, 'comment', new.comment,
    'metadata', new.metadata, 'created_at', new.created_at));
  return null;
end
$$;

comment on function public.enqueue_ticket_activity_webhook() is
  'Queues one webhook per activity, in the activity''s own transaction.';

create trigger trigger_enqueue_ticket_activity_webhook after insert on public.ticket_activities
  for each row execute function public.enqueue_ticket_activity_webhook();

-- Whoever may execute a trigger function may attach it to a table of his own.
revoke execute on function public.generate_ticket_number(), public.enqueue_ticket_activity_webhook()
  from public, anon, authenticated;
revoke execute on all functions in schema dropwire from public;
