-- The rule engine, part nine: a new ticket's way through plain rules (0028), and what follows from a ticket's change.

-- As in 0021, but a set without conditions has no fields, and not unknown ones: its rules ran one by one for that.
create or replace function dropwire.rule_fields(
  p_paths text[], p_numeric boolean[], p_document jsonb,
  out folded text[], out texts text[], out numbers double precision[]
)
language plpgsql stable as $$
declare
  v_value jsonb;
  v_text text;
begin
  folded := '{}';
  texts := '{}';
  numbers := '{}';
  for i in 1 .. pg_catalog.cardinality(p_paths) loop
    v_value := p_document #> pg_catalog.string_to_array(p_paths[i], '.');
    v_text := case pg_catalog.jsonb_typeof(v_value) when 'string' then v_value #>> '{}' else dropwire.js_text(v_value) end;
    folded[i] := dropwire.fold(v_text);
    texts[i] := pg_catalog.left(v_text, 4000);
    numbers[i] := case when p_numeric[i] then dropwire.js_number(v_value) end;
  end loop;
end
$$;

-- A new ticket ----------------------------------------------------------------------------------------------------------
-- The rules of the events that a new ticket's own rules have brought about.
create function dropwire.run_following_rules(p_ticket public.tickets, p_ran uuid[]) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
  v_ticket public.tickets;
  v_run record;
begin
  perform set_config('dropwire.plain', '', true);
  select t.* into v_ticket from public.tickets t where t.id = p_ticket.id;
  v_run := dropwire.run_at_once(v_ticket, dropwire.events_of(dropwire.changed_by_rules(p_ticket, v_ticket)), p_ran);
  if v_run.is_changed or v_run.logs <> '{}' then
    perform dropwire.write_rule_effects(
      v_run.ticket, v_run.is_changed, v_run.changes, v_run.logs, v_run.notices, v_run.waits, v_run.ran);
  end if;
end
$$;

-- Runs the rules of a new ticket that is open and has no assignee and no due date, as far as they are plain. False, and
-- nothing done, where it meets another: then run_rules() does it.
--
-- Every expression has to be prepared anew in each transaction, hence few of them. Without a search_path of its own; all
-- names are qualified. The checks of foreign keys keep their plans per session, and plan anew whenever the path is another
-- one than the last time: with a path of its own, every ticket would plan the same checks twice, at the price of all the
-- rest.
create function dropwire.run_plain_rules(p_ticket public.tickets) returns boolean
language plpgsql volatile set plan_cache_mode = force_generic_plan as $$
declare
  r record;
  v_set_id bigint;
  v_fields pg_catalog.jsonb;  -- as a rule has changed them
  v_stopped pg_catalog.text[];
  v_priority pg_catalog.text := p_ticket.priority;
  v_due_at pg_catalog.timestamptz;
  v_profile_id pg_catalog.uuid;
  v_user_id pg_catalog.uuid;
  v_changes pg_catalog.jsonb[];
  v_places int[];
  v_capacity int;
  v_more boolean;
begin
  for r in
    select k.place, k.rule_type, k.stops, k.holds, k.priority, k.due_in, k.wanted, k.done, s.id as set_id, x.fields
      from dropwire.rule_sets s
     cross join lateral (
       select pg_catalog.jsonb_build_object(
                'category', dropwire.fold(p_ticket.category), 'priority', p_ticket.priority,
                'type', dropwire.fold(p_ticket.type), 'status', p_ticket.status,
                'location', dropwire.fold(p_ticket.location), 'building', dropwire.fold(p_ticket.building),
                'floor', dropwire.fold(p_ticket.floor), 'room', dropwire.fold(p_ticket.room),
                'title', case when s.reads_texts then dropwire.fold(p_ticket.title) end,
                'description', case when s.reads_texts then dropwire.fold(p_ticket.description) end)
              operator(pg_catalog.||) coalesce((
                select pg_catalog.jsonb_build_object(
                         'complainant.email', dropwire.fold(u.email), 'complainant.department', dropwire.fold(u.department),
                         'complainant.designation_id', u.designation_id, 'complainant.designation.name', (
                            select dropwire.fold(d.name) from public.designations d
                             where d.id operator(pg_catalog.=) u.designation_id))
                  from public.users u
                 where s.reads_complainant and u.id operator(pg_catalog.=) p_ticket.complainant_id), '{}') as fields
       offset 0) x
     cross join lateral (
       -- Most rules are not even looked at.
       select s.unguarded operator(pg_catalog.||) array(
                select pg_catalog.jsonb_array_elements(
                         g.places operator(pg_catalog.->) (x.fields operator(pg_catalog.->>) g.path))::int
                  from pg_catalog.jsonb_each(s.path_guards) as g (path, places)) as places
       offset 0) c
      join dropwire.compiled_rules k
        on k.set_id operator(pg_catalog.=) s.id and k.place operator(pg_catalog.=) any (c.places)
     where s.tenant_id operator(pg_catalog.=) p_ticket.tenant_id and s.event operator(pg_catalog.=) 'on_create'
       and s.superseded_at is null
     order by k.place
  loop
    continue when r.rule_type operator(pg_catalog.=) any (v_stopped)
               or r.holds is not null and pg_catalog.jsonb_path_match(coalesce(v_fields, r.fields), r.holds) is not true;
    -- One that is not plain, or a second choice of an executor, between the one who has it and the others.
    if r.done is null or r.wanted is not null and v_profile_id is not null then
      if v_profile_id is not null then
        perform dropwire.change_load(v_profile_id, -1, -1);
      end if;
      return false;
    end if;
    v_places := v_places operator(pg_catalog.||) r.place;
    v_set_id := r.set_id;
    if r.priority operator(pg_catalog.<>) v_priority then
      v_changes := v_changes operator(pg_catalog.||) pg_catalog.jsonb_build_object(
        'activity_type', 'priority_change',
        'comment', pg_catalog.concat('Priority changed from ', v_priority, ' to ', r.priority),
        'metadata', pg_catalog.jsonb_build_object('old_priority', v_priority, 'new_priority', r.priority));
      v_priority := r.priority;
      v_fields := r.fields operator(pg_catalog.||) pg_catalog.jsonb_build_object('priority', v_priority);
    end if;
    if r.due_in is not null
       and (v_due_at is null or v_due_at operator(pg_catalog.<>) (pg_catalog.now() operator(pg_catalog.+) r.due_in)) then
      v_changes := v_changes operator(pg_catalog.||) pg_catalog.jsonb_build_object(
        'activity_type', 'sla_change',
        'comment', pg_catalog.concat('SLA changed from ', coalesce(dropwire.iso_instant(v_due_at), 'none'), ' to ',
          dropwire.iso_instant(pg_catalog.now() operator(pg_catalog.+) r.due_in)),
        'metadata', pg_catalog.jsonb_build_object('old_due_date', dropwire.iso_instant(v_due_at),
          'new_due_date', dropwire.iso_instant(pg_catalog.now() operator(pg_catalog.+) r.due_in)));
      v_due_at := pg_catalog.now() operator(pg_catalog.+) r.due_in;
    end if;
    if r.wanted is not null then
      -- The least loaded, counted at once and so held until the commit: what choose_executor() and change_load() come to
      -- together as a rule. Where counts wait to be added, the order is another one, and who seems to have room may have
      -- none.
      with taken as (
        update dropwire.executor_load l
           set open_count = l.open_count operator(pg_catalog.+) 1,
               assigned_count = l.assigned_count operator(pg_catalog.+) 1
         where l.profile_id operator(pg_catalog.=) (
           select x.profile_id from dropwire.executor_load x
            where x.tenant_id operator(pg_catalog.=) p_ticket.tenant_id and x.is_available
              and x.skills operator(pg_catalog.&&) (r.wanted operator(pg_catalog.||) pg_catalog.array_remove(
                    array[p_ticket.category_id::pg_catalog.text, dropwire.fold(p_ticket.category)], null))
              and (x.capacity is null or x.open_count operator(pg_catalog.<) x.capacity)
              and not exists (select from dropwire.executor_load_changes)
            order by x.open_count, x.assigned_count, x.profile_id
            limit 1
              for no key update of x skip locked)
        returning l.profile_id, l.user_id, l.capacity, l.open_count, l.assigned_count
      ), shown as (
        -- For display: who holds the row writes it next time.
        update public.executor_profiles ep
           set open_tickets_count = k.open_count, assigned_tickets_count = k.assigned_count
          from taken k
         where ep.id operator(pg_catalog.=) (
           select y.id from public.executor_profiles y
            where y.id operator(pg_catalog.=) k.profile_id for no key update skip locked)
      )
      select k.profile_id, k.user_id, k.capacity into v_profile_id, v_user_id, v_capacity from taken k;
      if v_profile_id is null then
        return false;
      elsif v_capacity is not null and exists (select from dropwire.executor_load_changes) then
        -- A count that was left behind meanwhile may have filled him up.
        perform dropwire.change_load(v_profile_id, -1, -1);
        return false;
      end if;
      v_changes := v_changes operator(pg_catalog.||) pg_catalog.jsonb_build_object(
        'activity_type', 'reassignment',
        'comment', pg_catalog.concat('Ticket assigned to executor ', v_profile_id),
        'metadata', pg_catalog.jsonb_build_object('old_executor_id', null, 'new_executor_id', v_profile_id));
    end if;
    if r.stops then
      v_stopped := v_stopped operator(pg_catalog.||) r.rule_type;
    end if;
  end loop;

  if v_profile_id is null then
    -- Whoever is there when nobody else is; capacity does not count.
    select l.profile_id, l.user_id into v_profile_id, v_user_id
      from dropwire.executor_load l
     where l.tenant_id operator(pg_catalog.=) p_ticket.tenant_id and l.is_default and l.is_available
     order by l.profile_id
     limit 1;
    if found then
      perform dropwire.change_load(v_profile_id, 1, 1);
      v_changes := v_changes operator(pg_catalog.||) pg_catalog.jsonb_build_object(
        'activity_type', 'reassignment',
        'comment', pg_catalog.concat('Ticket assigned to executor ', v_profile_id),
        'metadata', pg_catalog.jsonb_build_object('old_executor_id', null, 'new_executor_id', v_profile_id));
    elsif v_places is null then
      return true;
    end if;
  end if;

  -- A rule that is deleted at this moment fails the statement by its log's foreign key: run_rules() then finds it gone.
  with changed as (
    update public.tickets x
       set priority = case when v_priority operator(pg_catalog.=) p_ticket.priority then x.priority else v_priority end,
           due_date = coalesce(v_due_at, x.due_date), sla_due_date = coalesce(v_due_at, x.sla_due_date),
           executor_profile_id = coalesce(v_profile_id, x.executor_profile_id),
           executor_id = case when v_profile_id is null then x.executor_id else v_user_id end
     where x.id operator(pg_catalog.=) p_ticket.id and (v_changes is not null or v_profile_id is not null)
  ), recorded as (
    insert into public.ticket_activities (ticket_id, tenant_id, activity_type, comment, metadata)
    select p_ticket.id, p_ticket.tenant_id, c operator(pg_catalog.->>) 'activity_type',
           c operator(pg_catalog.->>) 'comment', c operator(pg_catalog.->) 'metadata'
      from pg_catalog.unnest(v_changes) c
    returning id, activity_type, comment, metadata, created_at
  ), queued as (
    insert into public.ticket_webhook_queue (ticket_id, activity_id, tenant_id, origin, payload)
    select p_ticket.id, a.id, p_ticket.tenant_id, 'trigger', pg_catalog.jsonb_build_object(
             'activity_type', a.activity_type, 'comment', a.comment, 'metadata', a.metadata, 'created_at', a.created_at)
      from recorded a
  ), watched as (
    insert into dropwire.sla_watch (ticket_id, due_at, next_at)
    select p_ticket.id, v_due_at, v_due_at operator(pg_catalog.-) '24 hours'::interval
     where v_due_at is not null
    on conflict (ticket_id) do update
       set due_at = excluded.due_at, told = 'nothing', next_at = excluded.next_at
  ), logged as (
    insert into public.rule_execution_logs
      (rule_id, ticket_id, execution_status, matched_conditions, actions_executed, execution_time_ms)
    select k.rule_id, p_ticket.id, 'success', k.matched, k.done,
           (extract(epoch from pg_catalog.clock_timestamp() operator(pg_catalog.-) pg_catalog.statement_timestamp())
             operator(pg_catalog.*) 1000)::int
      from dropwire.compiled_rules k
     where k.set_id operator(pg_catalog.=) v_set_id and k.place operator(pg_catalog.=) any (v_places)
     order by k.place
  )
  select exists (select from dropwire.rule_sets s
                  where s.tenant_id operator(pg_catalog.=) p_ticket.tenant_id and s.superseded_at is null
                    and s.event operator(pg_catalog.<>) 'on_create')
    into v_more;
  if v_more then
    perform dropwire.run_following_rules(p_ticket, array(
      select k.rule_id from dropwire.compiled_rules k
       where k.set_id operator(pg_catalog.=) v_set_id and k.place operator(pg_catalog.=) any (v_places)));
  end if;
  return true;
end
$$;

create or replace function dropwire.ticket_created() returns trigger
language plpgsql volatile security definer set enable_seqscan = off as $$
declare
  v_is_plain boolean;
  v_set pg_catalog.text;
begin
  if new.tenant_id is not null then
    -- One statement for all. Rules are looked for here: most tickets then cost two index probes and no further call.
    with creation as (
      insert into public.ticket_webhook_queue (ticket_id, tenant_id, origin)
      values (new.id, new.tenant_id, 'creation')
    )
    select coalesce((select s.is_plain from dropwire.rule_sets s
                      where s.tenant_id operator(pg_catalog.=) new.tenant_id and s.superseded_at is null
                        and s.event operator(pg_catalog.=) 'on_create'),
                    (select true from dropwire.executor_load l
                      where l.tenant_id operator(pg_catalog.=) new.tenant_id and l.is_default limit 1))
      into v_is_plain;
    if v_is_plain is not null then
      -- Its first entry stands until the commit: what rules queue behind it needs no look at the head.
      v_set := pg_catalog.concat(pg_catalog.set_config('dropwire.actor', 'rules', true),
                                 pg_catalog.set_config('dropwire.new_ticket', new.id::pg_catalog.text, true));
      if v_is_plain and new.executor_profile_id is null and new.executor_id is null and new.due_date is null
         and new.sla_due_date is null and new.status operator(pg_catalog.=) 'open' then
        begin
          v_set := pg_catalog.set_config('dropwire.plain', new.id::pg_catalog.text, true);
          v_is_plain := dropwire.run_plain_rules(new);
        exception when others then
          v_is_plain := false;
        end;
        v_set := pg_catalog.set_config('dropwire.plain', '', true);
      else
        v_is_plain := false;
      end if;
      if not v_is_plain then
        perform dropwire.run_rules(new.id, '{on_create}'::pg_catalog.text[]);
      end if;
      v_set := pg_catalog.concat(pg_catalog.set_config('dropwire.actor', '', true),
                                 pg_catalog.set_config('dropwire.new_ticket', '', true));
    end if;
  end if;
  return null;
end
$$;

-- A changed ticket ------------------------------------------------------------------------------------------------------
-- What an insert or a delete does to the load; an update, below.
create or replace function dropwire.ticket_load_changed() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  if tg_op = 'INSERT' then
    perform dropwire.change_load(new.executor_profile_id, dropwire.is_open(new.status)::int, 0);
  elsif dropwire.is_open(old.status) then
    perform dropwire.change_load(old.executor_profile_id, -1, 0);
  end if;
  return null;
end
$$;

create function dropwire.watch_due_date(p_ticket_id uuid, p_due timestamptz) returns void
language plpgsql volatile as $$
begin
  if p_due is null then
    delete from dropwire.sla_watch w where w.ticket_id = p_ticket_id;
  else
    -- Another date is another promise; the same one, after a reopening, goes on where it was.
    insert into dropwire.sla_watch as w (ticket_id, due_at, next_at)
    values (p_ticket_id, p_due, p_due - interval '24 hours')
    on conflict (ticket_id) do update
       set due_at = excluded.due_at,
           told = case when w.due_at = excluded.due_at then w.told else 'nothing' end,
           next_at = case when w.due_at <> excluded.due_at or w.told = 'nothing' then excluded.next_at
                          when w.told = 'at risk' then excluded.due_at end;
  end if;
end
$$;

create or replace function dropwire.watch_sla() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  if tg_op = 'INSERT' then
    perform dropwire.watch_due_date(new.id, coalesce(new.due_date, new.sla_due_date));
  else
    perform dropwire.watch_due_date(old.id, null);
  end if;
  return null;
end
$$;

-- One trigger for all that follows from an update: a condition on a trigger is read and planned anew with each statement.
-- While a ticket's plain rules run (dropwire.plain is its id), they see to all of it; of what rules change otherwise, they
-- see to the activities.
create or replace function dropwire.ticket_updated() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
declare
  v_by_rules constant boolean := coalesce(current_setting('dropwire.actor', true) = 'rules', false);
  v_due constant timestamptz := coalesce(new.due_date, new.sla_due_date);
  c dropwire.ticket_change;
  v_events text[] := '{}';
begin
  -- Loads.
  if old.executor_profile_id is distinct from new.executor_profile_id or old.status <> new.status then
    if old.executor_profile_id is not null and dropwire.is_open(old.status)
       and (new.executor_profile_id is distinct from old.executor_profile_id or not dropwire.is_open(new.status)) then
      perform dropwire.change_load(old.executor_profile_id, -1, 0);
    end if;
    if new.executor_profile_id is not null then
      if new.executor_profile_id is distinct from old.executor_profile_id then
        -- Whoever assigned it by rule says so; a client counts its own assignments.
        perform dropwire.change_load(new.executor_profile_id, dropwire.is_open(new.status)::int, v_by_rules::int);
      elsif dropwire.is_open(new.status) and not dropwire.is_open(old.status) then
        perform dropwire.change_load(new.executor_profile_id, 1, 0);
      end if;
    end if;
  end if;

  -- The watch on due dates.
  if coalesce(old.due_date, old.sla_due_date) is distinct from v_due
     or not dropwire.is_open(old.status) and dropwire.is_open(new.status) then
    perform dropwire.watch_due_date(new.id, v_due);
  end if;
  if v_by_rules then
    return null;
  end if;

  -- Activities, then rules.
  foreach c in array dropwire.ticket_changes(old, new) loop
    perform dropwire.record_change(new, c.activity_type, c.comment, c.metadata);
  end loop;

  if new.tenant_id is null then
    return null;
  end if;
  if old.status is distinct from new.status or old.executor_profile_id is distinct from new.executor_profile_id
     or old.executor_id is distinct from new.executor_id then
    v_events := v_events || 'on_status_change'::text;
  end if;
  -- Any other column, also of somebody's own; not the marks that a change leaves by itself.
  if to_jsonb(old) - '{status,executor_profile_id,executor_id,resolved_at,updated_at}'::text[]
     <> to_jsonb(new) - '{status,executor_profile_id,executor_id,resolved_at,updated_at}'::text[] then
    v_events := v_events || 'on_update'::text;
  end if;
  if exists (select from dropwire.rule_sets s
              where s.tenant_id = new.tenant_id and s.superseded_at is null and s.event = any (v_events)) then
    perform dropwire.run_rules(new.id, v_events);
  end if;
  return null;
end
$$;
drop trigger trigger_load_updated on public.tickets;
drop trigger trigger_sla_updated on public.tickets;
drop trigger trigger_ticket_changed on public.tickets;
drop trigger trigger_ticket_rules on public.tickets;
drop function dropwire.ticket_changed();
create trigger trigger_ticket_updated after update on public.tickets
  for each row when (current_setting('dropwire.plain', true) is distinct from new.id::text)
  execute function dropwire.ticket_updated();

-- Each assignment leaves an entry of the order behind that the next one steps over until it is vacuumed away.
alter table dropwire.executor_load set
  (autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 0);

revoke execute on all functions in schema dropwire from public;
