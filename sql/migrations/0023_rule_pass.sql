-- The rule engine, part seven: what waits, what is due, and the dry run.

-- Due dates -----------------------------------------------------------------------------------------------------------
-- What is to be told of each ticket's due date, and when. No foreign key: it would cost every ticket a check.
create table dropwire.sla_watch (
  ticket_id uuid primary key,
  due_at timestamptz not null,
  told text not null default 'nothing' check (told in ('nothing', 'at risk', 'breached')),
  next_at timestamptz
);
create index sla_watch_next_idx on dropwire.sla_watch (next_at) where next_at is not null;
comment on column dropwire.sla_watch.next_at is 'When there is something to tell; null: nothing, or not while it is resolved.';

create function dropwire.watch_sla() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_due timestamptz;
begin
  if tg_op = 'DELETE' then
    delete from dropwire.sla_watch w where w.ticket_id = old.id;
    return null;
  end if;
  v_due := coalesce(new.due_date, new.sla_due_date);
  if v_due is null then
    delete from dropwire.sla_watch w where w.ticket_id = new.id;
  else
    -- Another date is another promise; the same one, after a reopening, goes on where it was.
    insert into dropwire.sla_watch as w (ticket_id, due_at, next_at)
    values (new.id, v_due, v_due - interval '24 hours')
    on conflict (ticket_id) do update
       set due_at = excluded.due_at,
           told = case when w.due_at = excluded.due_at then w.told else 'nothing' end,
           next_at = case when w.due_at <> excluded.due_at or w.told = 'nothing' then excluded.next_at
                          when w.told = 'at risk' then excluded.due_at end;
  end if;
  return null;
end
$$;
create trigger trigger_sla_inserted after insert on public.tickets
  for each row when (coalesce(new.due_date, new.sla_due_date) is not null and new.status in ('open', 'in-progress'))
  execute function dropwire.watch_sla();
create trigger trigger_sla_updated after update on public.tickets
  for each row when (coalesce(old.due_date, old.sla_due_date) is distinct from coalesce(new.due_date, new.sla_due_date)
                  or old.status not in ('open', 'in-progress') and new.status in ('open', 'in-progress'))
  execute function dropwire.watch_sla();
create trigger trigger_sla_deleted after delete on public.tickets
  for each row when (coalesce(old.due_date, old.sla_due_date) is not null) execute function dropwire.watch_sla();

-- What is overdue already has been told, or is nothing to tell after all this time.
insert into dropwire.sla_watch (ticket_id, due_at, next_at)
select t.id, coalesce(t.due_date, t.sla_due_date), coalesce(t.due_date, t.sla_due_date) - interval '24 hours'
  from public.tickets t
 where t.status in ('open', 'in-progress') and coalesce(t.due_date, t.sla_due_date) > now();

-- Tells what next_at is for: under 24 hours left, or none. A breach is an activity, hence a webhook.
create function dropwire.tell_sla(p_ticket public.tickets, p_due timestamptz) returns void
language plpgsql volatile as $$
declare
  v_is_breach constant boolean := p_due <= now();
  v_due constant text := dropwire.iso_instant(p_due);
begin
  perform dropwire.write_rule_effects(p_ticket, false,
    case when v_is_breach then array[row('sla_change', 'SLA breached: was due ' || v_due, jsonb_build_object(
      'sla_status', 'breached', 'old_due_date', v_due, 'new_due_date', v_due))::dropwire.ticket_change] else '{}' end,
    '{}',
    array[jsonb_build_object(
      'type', case when v_is_breach then 'sla.breached' else 'sla.at_risk' end,
      'level', case when v_is_breach then 'error' else 'warning' end,
      'title', format(case when v_is_breach then 'Ticket %s is overdue' else 'Ticket %s is due within 24 hours' end,
                      p_ticket.ticket_number),
      'message', format('%s. Due %s.', p_ticket.title, v_due), 'user_id', p_ticket.executor_id,
      'metadata', jsonb_build_object('ticket_id', p_ticket.id, 'ticket_number', p_ticket.ticket_number, 'due_date', v_due))],
    '{}', '{}');
end
$$;

-- The pass ------------------------------------------------------------------------------------------------------------
-- Carries out one delayed action; the ticket's row is locked.
create function dropwire.run_delayed_action(p_ticket public.tickets, p_delayed dropwire.delayed_actions) returns void
language plpgsql volatile as $$
declare
  v_applied record;
  v_run record;
  v_ticket public.tickets;
  v_started constant timestamptz := clock_timestamp();
begin
  if not exists (select from public.rules r where r.id = p_delayed.rule_id and r.is_active) then
    return;
  elsif not coalesce(dropwire.action_condition_holds(
      p_delayed.action ->> 'condition', dropwire.rule_context(p_ticket, true, true)), false) then
    perform dropwire.write_rule_effects(p_ticket, false, '{}', array[row(p_delayed.rule_id, 'skipped', null,
      jsonb_build_array(jsonb_build_object('action', p_delayed.action -> 'type', 'skipped', true)), null, 0, null,
      null)::dropwire.rule_log],
      '{}', '{}', '{}');
    return;
  end if;
  v_applied := dropwire.apply_action(p_ticket,
    case when dropwire.is_open(p_ticket.status) then p_ticket.executor_profile_id end,
    p_delayed.rule_id, p_delayed.action, false);
  v_ticket := v_applied.ticket;
  perform dropwire.write_rule_effects(v_ticket, true, dropwire.ticket_changes(p_ticket, v_ticket), array[
    row(p_delayed.rule_id, 'success', null, jsonb_build_array(v_applied.done), null,
        dropwire.elapsed_ms(v_started), null, null)::dropwire.rule_log],
    v_applied.notices, '{}', '{}');
  v_run := dropwire.run_at_once(
    v_ticket, dropwire.events_of(dropwire.changed_by_rules(p_ticket, v_ticket)), p_delayed.ran);
  if v_run.is_changed or v_run.logs <> '{}' then
    perform dropwire.write_rule_effects(
      v_run.ticket, v_run.is_changed, v_run.changes, v_run.logs, v_run.notices, v_run.waits, v_run.ran);
  end if;
end
$$;

-- Does what is due: delayed actions, due dates, counters left behind; up to p_limit of each. Answers how many it did.
-- Any number may run at once: rows that another holds are passed over, as are tickets that somebody is changing.
create function dropwire.run_due_rules(p_limit int) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan set jit = off
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  v_delayed dropwire.delayed_actions;
  v_watch dropwire.sla_watch;
  v_ticket public.tickets;
  v_count int := 0;
begin
  perform set_config('dropwire.actor', 'rules', true);
  for v_delayed in
    select * from dropwire.delayed_actions d where d.due_at <= now() order by d.due_at, d.id limit p_limit
       for update skip locked
  loop
    select * into v_ticket from public.tickets t where t.id = v_delayed.ticket_id for no key update skip locked;
    continue when not found;
    begin
      perform dropwire.run_delayed_action(v_ticket, v_delayed);
    exception
      when serialization_failure or deadlock_detected then
        continue;
      when others then
        perform dropwire.write_rule_effects(v_ticket, false, '{}', array[
          row(v_delayed.rule_id, 'failed', null, null, sqlerrm, 0, null, null)::dropwire.rule_log], '{}', '{}', '{}');
    end;
    delete from dropwire.delayed_actions d where d.id = v_delayed.id;
    v_count := v_count + 1;
  end loop;

  for v_watch in
    select * from dropwire.sla_watch w where w.next_at <= now() order by w.next_at limit p_limit for update skip locked
  loop
    select * into v_ticket from public.tickets t where t.id = v_watch.ticket_id for no key update skip locked;
    if not found then
      delete from dropwire.sla_watch w
       where w.ticket_id = v_watch.ticket_id
         and not exists (select from public.tickets t where t.id = v_watch.ticket_id);
      continue;
    end if;
    -- Read after both are locked: the due date, or an earlier pass, may have changed it.
    select * into v_watch from dropwire.sla_watch w where w.ticket_id = v_ticket.id and w.next_at <= now();
    continue when not found;
    if v_ticket.tenant_id is not null and dropwire.is_open(v_ticket.status) then
      perform dropwire.tell_sla(v_ticket, v_watch.due_at);
      update dropwire.sla_watch w
         set told = case when w.due_at <= now() then 'breached' else 'at risk' end,
             next_at = case when w.due_at > now() then w.due_at end
       where w.ticket_id = v_ticket.id;
      v_count := v_count + 1;
    else
      update dropwire.sla_watch w set next_at = null where w.ticket_id = v_ticket.id;
    end if;
  end loop;

  delete from dropwire.executor_load_changes c
   where not exists (select from dropwire.executor_load l where l.profile_id = c.profile_id);
  perform dropwire.change_load(c.profile_id, 0, 0)
     from (select distinct x.profile_id from dropwire.executor_load_changes x limit p_limit) c;
  perform set_config('dropwire.actor', '', true);
  return v_count;
end
$$;

-- The dry run ---------------------------------------------------------------------------------------------------------
-- Says what the rules would do to a stored ticket (its id), a hypothetical one (columns), or a stored one with other
-- values (columns with its id), and changes nothing: stable, so also in a read-only transaction.
create function public.explain_rules(ticket jsonb, event text default 'on_create') returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_role constant text := coalesce(nullif(current_setting('role', true), 'none'), session_user);
  v_given constant jsonb := case jsonb_typeof(ticket) when 'object' then ticket else jsonb_build_object('id', ticket) end;
  v_ticket public.tickets;
  v_run record;
begin
  if event not in ('on_create', 'on_update', 'on_status_change', 'on_manual') then
    raise exception 'event must be on_create, on_update, on_status_change or on_manual';
  end if;
  begin
    select * into v_ticket from public.tickets t where t.id = (v_given ->> 'id')::uuid;
    if not found then
      v_ticket := jsonb_populate_record(null::public.tickets, jsonb_build_object(
        'id', gen_random_uuid(), 'status', 'open', 'created_at', now(), 'updated_at', now()));
    end if;
    v_ticket := jsonb_populate_record(v_ticket, v_given);
  exception when others then
    raise exception 'ticket is neither the id of a ticket nor an object of its columns: %', sqlerrm;
  end;
  if v_ticket.tenant_id is null
     -- Whom row level security binds sees the tenants that he administers.
     or not exists (select from pg_roles r
                     where r.rolname = v_role
                       and (r.rolsuper or r.rolbypassrls or r.rolname = 'service_role'
                         or r.oid = (select c.relowner from pg_class c where c.oid = 'public.tickets'::regclass)))
        and v_ticket.tenant_id <> all (array(select dropwire.administered_tenants()))
  then
    raise exception 'no such ticket, or not of a tenant that you administer'
      using hint = 'Give the id of a ticket, or an object with tenant_id and the columns that rules look at.';
  end if;

  v_run := dropwire.run_one_by_one(v_ticket, array[event], true);
  return jsonb_build_object(
    'event', event,
    'rules', v_run.explanation,
    'before', to_jsonb(v_ticket),
    'after', to_jsonb(v_run.ticket),
    'activities', to_jsonb(dropwire.ticket_changes(v_ticket, v_run.ticket)));
end
$$;
comment on function public.explain_rules(jsonb, text) is
  'Which rules match a ticket, why, and what they would do. Changes nothing.';
revoke execute on function public.explain_rules(jsonb, text) from public, anon, authenticated;
grant execute on function public.explain_rules(jsonb, text) to authenticated, service_role;

alter table dropwire.sla_watch enable row level security;
revoke execute on all functions in schema dropwire from public;
grant execute on function dropwire.run_due_rules(int) to service_role;
