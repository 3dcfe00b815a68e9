-- The rule engine, part five: what rules decide, and what they leave behind.
--
-- A run decides in memory and writes once: rules whose guard lets the ticket pass, each evaluated when it is its turn,
-- then one statement with the ticket, its activities, their webhooks and the log. Where that statement fails the run
-- starts over rule by rule, each in a subtransaction of its own, so that a rule that fails undoes its own effects, is
-- logged, and never fails the ticket.
--
-- A run's own effects may be the trigger events of other rules; each rule runs at most once in it.

-- What a run has to write -------------------------------------------------------------------------------------------
create type dropwire.rule_log as (
  rule_id uuid, status text, matched jsonb, actions jsonb, error text, execution_time_ms int,
  set_id bigint, place int);  -- where compiled_rules has what matched
create type dropwire.rule_wait as (rule_id uuid, action jsonb, due_at timestamptz);

create table dropwire.delayed_actions (
  id bigint generated always as identity primary key,
  ticket_id uuid not null references public.tickets on delete cascade,
  rule_id uuid not null references public.rules on delete cascade,
  action jsonb not null,
  due_at timestamptz not null,
  ran uuid[] not null
);
create index delayed_actions_due_idx on dropwire.delayed_actions (due_at);
create index delayed_actions_ticket_idx on dropwire.delayed_actions (ticket_id);
create index delayed_actions_rule_idx on dropwire.delayed_actions (rule_id);
comment on table dropwire.delayed_actions is
  'Actions with trigger_after_minutes whose rule has matched. As they were then: an edit of the rule does not reach them.';
comment on column dropwire.delayed_actions.ran is
  'The rules that ran up to it. What it does triggers others only, so that rules cannot keep each other going.';
comment on column public.actions.trigger_after_minutes is 'Above 0, the action waits so long after its rule has matched.';
comment on column public.actions.action_condition is
  'Whether the action is carried out, asked at its time: `status = open and priority in (high, critical)`. Empty: always.';
comment on column public.business_hours.timezone is
  'An IANA name, or a label such as UTC+05:30 (IST) of which only the offset counts.';

-- The conditions of one rule with their results, as a log shows them; p_details adds what was compared.
create function dropwire.condition_results(
  p_set_id bigint, p_place int, p_ticket public.tickets, p_details boolean default false
) returns jsonb
language sql stable as $$
  select coalesce(pg_catalog.jsonb_object_agg(c.condition ->> 'id',
           pg_catalog.jsonb_build_object('condition', c.condition, 'result', dropwire.condition_holds(
             c.test, c.texts, c.numbers, dropwire.fold(f.text), pg_catalog.left(f.text, 4000), dropwire.js_number(f.value)))
           || case when p_details then pg_catalog.jsonb_build_object('field', f.value, 'problem', (
                select pg_catalog.min(r.problem)
                  from pg_catalog.jsonb_array_elements_text(c.condition -> 'value') v
                 cross join dropwire.translate_regex(v) r
                 where c.test = 10)) else '{}' end), '{}')
    from dropwire.compiled_conditions c
    join dropwire.rule_sets s on s.id = c.set_id
   cross join (select dropwire.rule_context(p_ticket, true, true) as document offset 0) d
   cross join lateral (select v.value, dropwire.js_text(v.value) as text
                         from (select d.document #> pg_catalog.string_to_array(s.paths[c.field], '.') as value) v) f
   where c.set_id = p_set_id and c.rule_place = p_place and c.condition is not null
$$;

-- What a set's conditions compare, by its paths: each field's text folded, its text, its number.
create function dropwire.rule_fields(
  p_paths text[], p_numeric boolean[], p_document jsonb,
  out folded text[], out texts text[], out numbers double precision[]
)
language plpgsql stable as $$
declare
  v_value jsonb;
  v_text text;
begin
  for i in 1 .. pg_catalog.cardinality(p_paths) loop
    v_value := p_document #> pg_catalog.string_to_array(p_paths[i], '.');
    v_text := case pg_catalog.jsonb_typeof(v_value) when 'string' then v_value #>> '{}' else dropwire.js_text(v_value) end;
    folded[i] := dropwire.fold(v_text);
    texts[i] := pg_catalog.left(v_text, 4000);
    numbers[i] := case when p_numeric[i] then dropwire.js_number(v_value) end;
  end loop;
end
$$;

-- Whether a rule holds for these fields: inside a group left to right without precedence, groups by AND.
create function dropwire.rule_holds(
  p_tests dropwire.compiled_test[], p_folded text[], p_texts text[], p_numbers double precision[]
) returns boolean
language plpgsql stable as $$
declare
  c dropwire.compiled_test;
  v_group int;
  v_holds boolean := true;
begin
  foreach c in array p_tests loop
    if c.group_place is distinct from v_group then
      if not v_holds then
        return false;
      end if;
      v_group := c.group_place;
    elsif c.joins_by_or = v_holds then
      continue;  -- true or x, false and x
    end if;
    v_holds := dropwire.condition_holds(
      c.test, c.texts, c.numbers, p_folded[c.field], p_texts[c.field], p_numbers[c.field]);
  end loop;
  return v_holds;
end
$$;

-- The same for a ticket, from the beginning.
create function dropwire.rule_holds(
  p_set dropwire.rule_sets, p_tests dropwire.compiled_test[], p_ticket public.tickets
) returns boolean
language sql stable as $$
  select dropwire.rule_holds(p_tests, f.folded, f.texts, f.numbers)
    from dropwire.rule_fields(p_set.paths, p_set.numeric_paths,
      dropwire.rule_context(p_ticket, p_set.reads_complainant, p_set.reads_executor)) f
$$;

-- The places, after p_after, of the rules whose guard lets these fields pass.
create function dropwire.unguarded_rules(p_set dropwire.rule_sets, p_folded text[], p_after int) returns int[]
language plpgsql stable as $$
declare
  v_places int[] := p_set.unguarded;
  v_passed jsonb;
begin
  for i in 1 .. pg_catalog.cardinality(p_folded) loop
    v_passed := p_set.guards -> i::text -> p_folded[i];
    if v_passed is not null then
      for j in 0 .. pg_catalog.jsonb_array_length(v_passed) - 1 loop
        v_places := v_places || (v_passed -> j)::int;
      end loop;
    end if;
  end loop;
  if p_after > 0 then
    v_places := array(select p from pg_catalog.unnest(v_places) p where p > p_after);
  end if;
  return v_places;
end
$$;

-- The columns that differ, of those that actions change.
create function dropwire.changed_by_rules(p_old public.tickets, p_new public.tickets) returns text[]
language sql immutable as $$
  select pg_catalog.array_remove(array[
    case when p_old.status is distinct from p_new.status then 'status' end,
    case when p_old.priority is distinct from p_new.priority then 'priority' end,
    case when p_old.due_date is distinct from p_new.due_date then 'due_date' end,
    case when p_old.sla_due_date is distinct from p_new.sla_due_date then 'sla_due_date' end,
    case when p_old.executor_profile_id is distinct from p_new.executor_profile_id then 'executor_profile_id' end,
    case when p_old.executor_id is distinct from p_new.executor_id then 'executor_id' end,
    case when p_old.category is distinct from p_new.category then 'category' end,
    case when p_old.category_id is distinct from p_new.category_id then 'category_id' end,
    case when p_old.resolved_at is distinct from p_new.resolved_at then 'resolved_at' end], null)
$$;

-- Writes what a run has come to. Nobody else writes the ticket: it is new, or its row is locked.
--
-- Without a search_path of its own; all names are qualified. The checks of foreign keys keep their plans per session, and
-- plan anew whenever the path is another one than the last time: with a path of its own, every ticket would plan the same
-- checks twice, at the price of all the rest. By index, since a session's first plan may come from a day when a table was
-- empty; ticket_created does the same, since a check that is planned both ways may be planned each time.
create function dropwire.write_rule_effects(
  p_ticket public.tickets, p_is_changed boolean, p_changes dropwire.ticket_change[], p_logs dropwire.rule_log[],
  p_notices jsonb[], p_waits dropwire.rule_wait[], p_ran uuid[]
) returns void
language plpgsql volatile set enable_seqscan = off as $$
declare
  v_ids pg_catalog.uuid[] := '{}';
begin
  for i in 1 .. pg_catalog.cardinality(p_changes) loop
    v_ids[i] := pg_catalog.gen_random_uuid();
  end loop;

  with changed as (
    update public.tickets t
       set status = p_ticket.status, priority = p_ticket.priority, due_date = p_ticket.due_date,
           sla_due_date = p_ticket.sla_due_date, executor_profile_id = p_ticket.executor_profile_id,
           executor_id = p_ticket.executor_id, category = p_ticket.category, category_id = p_ticket.category_id,
           resolved_at = p_ticket.resolved_at
     where t.id operator(pg_catalog.=) p_ticket.id and p_is_changed
  ), recorded as (
    insert into public.ticket_activities (id, ticket_id, tenant_id, activity_type, comment, metadata)
    select c.id, p_ticket.id, p_ticket.tenant_id, c.activity_type, c.comment, c.metadata
      from rows from (pg_catalog.unnest(v_ids), pg_catalog.unnest(p_changes))
        as c (id, activity_type, comment, metadata)
  ), queued as (
    insert into public.ticket_webhook_queue (ticket_id, activity_id, tenant_id, origin, payload)
    select p_ticket.id, c.id, p_ticket.tenant_id, 'trigger', pg_catalog.jsonb_build_object(
             'activity_type', c.activity_type, 'comment', c.comment, 'metadata', c.metadata,
             'created_at', pg_catalog.now())
      from rows from (pg_catalog.unnest(v_ids), pg_catalog.unnest(p_changes))
        as c (id, activity_type, comment, metadata)
  )
  -- A rule that somebody has deleted meanwhile has no log, and its foreign key must not fail the ticket.
  insert into public.rule_execution_logs
    (rule_id, ticket_id, execution_status, matched_conditions, actions_executed, error_message, execution_time_ms)
  select l.rule_id, p_ticket.id, l.status, coalesce(l.matched, k.matched), l.actions, l.error, l.execution_time_ms
    from pg_catalog.unnest(p_logs) l
    join public.rules r on r.id operator(pg_catalog.=) l.rule_id
    left join dropwire.compiled_rules k
      on k.set_id operator(pg_catalog.=) l.set_id and k.place operator(pg_catalog.=) l.place
     for key share of r;

  if pg_catalog.cardinality(p_notices) operator(pg_catalog.>) 0 then
    insert into public.tenant_notifications (tenant_id, user_id, type, title, message, level, metadata)
    select p_ticket.tenant_id, (n operator(pg_catalog.->>) 'user_id')::pg_catalog.uuid,
           n operator(pg_catalog.->>) 'type', n operator(pg_catalog.->>) 'title', n operator(pg_catalog.->>) 'message',
           n operator(pg_catalog.->>) 'level', n operator(pg_catalog.->) 'metadata'
      from pg_catalog.unnest(p_notices) n;
  end if;
  if pg_catalog.cardinality(p_waits) operator(pg_catalog.>) 0 then
    insert into dropwire.delayed_actions (ticket_id, rule_id, action, due_at, ran)
    select p_ticket.id, w.rule_id, w.action, w.due_at, p_ran
      from pg_catalog.unnest(p_waits) w
      join public.rules r on r.id operator(pg_catalog.=) w.rule_id;
  end if;
end
$$;

-- Runs ---------------------------------------------------------------------------------------------------------------
-- The actions of a rule that has matched, on the ticket in memory. p_current is the assignee in the table.
create function dropwire.run_actions(
  inout ticket public.tickets, p_current uuid, p_rule_id uuid, p_actions jsonb, p_is_dry boolean,
  out done jsonb, out changes dropwire.ticket_change[], out notices jsonb[], out waits dropwire.rule_wait[]
)
language plpgsql volatile as $$
declare
  v_action jsonb;
  v_applied record;
  v_due timestamptz;
begin
  done := '[]';
  changes := '{}';
  notices := '{}';
  waits := '{}';
  -- By index: a loop over a query costs as much as the query.
  for i in 0 .. jsonb_array_length(p_actions) - 1 loop
    v_action := p_actions -> i;
    if v_action ->> 'after' is not null then
      v_due := now() + (v_action ->> 'after')::int * interval '1 minute';
      waits := waits || row(p_rule_id, v_action, v_due)::dropwire.rule_wait;
      done := done || jsonb_build_object('action', v_action -> 'type', 'params', v_action -> 'params',
        'due_at', dropwire.iso_instant(v_due));
    elsif v_action ->> 'condition' is not null and not dropwire.action_condition_holds(
        v_action ->> 'condition', dropwire.rule_context(ticket, true, true)) then
      done := done || jsonb_build_object('action', v_action -> 'type', 'skipped', true);
    else
      v_applied := dropwire.apply_action(ticket, p_current, p_rule_id, v_action, p_is_dry);
      changes := changes || dropwire.ticket_changes(ticket, v_applied.ticket);
      notices := notices || v_applied.notices;
      done := done || v_applied.done;
      ticket := v_applied.ticket;
    end if;
  end loop;
end
$$;

-- Whether a rule has succeeded for a ticket as often as it may. A delayed action's log names no conditions.
create function dropwire.has_reached_limit(p_rule_id uuid, p_limit int, p_ticket_id uuid) returns boolean
language sql stable as $$
  select p_limit is not null and p_limit <= (
    select count(*) from public.rule_execution_logs l
     where l.rule_id = p_rule_id and l.ticket_id = p_ticket_id and l.execution_status = 'success'
       and l.matched_conditions is not null)
$$;

create function dropwire.elapsed_ms(p_since timestamptz) returns int
language sql volatile as $$ select (extract(epoch from clock_timestamp() - p_since) * 1000)::int $$;

-- The events that a change of these columns is.
create function dropwire.events_of(p_columns text[]) returns text[]
language sql immutable as $$
  select array_remove(array[
    case when p_columns && '{status,executor_profile_id,executor_id}' then 'on_status_change' end,
    case when p_columns && '{priority,due_date,sla_due_date,category,category_id}' then 'on_update' end], null)
$$;

-- Whoever is there when nobody else is; capacity does not count.
create function dropwire.with_default_executor(p_ticket public.tickets) returns public.tickets
language plpgsql stable as $$
begin
  if p_ticket.executor_profile_id is null and p_ticket.executor_id is null and dropwire.is_open(p_ticket.status) then
    select l.profile_id, l.user_id into p_ticket.executor_profile_id, p_ticket.executor_id
      from dropwire.executor_load l
     where l.tenant_id = p_ticket.tenant_id and l.is_default and l.is_available
     order by l.profile_id
     limit 1;
  end if;
  return p_ticket;
end
$$;

-- Runs the rules of the events, and of those that follow from them; what they come to is for the caller to write.
-- Raises where a rule fails.
--
-- Generic plans: from the lengths of its arrays the planner would make every statement a plan of its own, each time.
-- Whoever calls it sets enable_seqscan = off, since a session's first plan may come from a day when a table was empty.
create function dropwire.run_at_once(
  p_ticket public.tickets, p_events text[], p_ran uuid[],
  out ticket public.tickets, out is_changed boolean, out changes dropwire.ticket_change[], out logs dropwire.rule_log[],
  out notices jsonb[], out waits dropwire.rule_wait[], out ran uuid[]
)
language plpgsql volatile set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
declare
  v_set dropwire.rule_sets;
  v_known text[];  -- the events for which there are rules
  v_before public.tickets;
  v_start public.tickets;  -- as it was before the event
  v_events text[] := p_events;
  v_context jsonb;
  v_fields record;
  v_rule record;
  v_place int;  -- of the rule that was looked at last
  v_places int[];
  v_has_new_guards boolean;
  v_has_changes boolean;
  v_stopped text[];
  v_run record;
  v_changed text[];
  v_current constant uuid := case when dropwire.is_open(p_ticket.status) then p_ticket.executor_profile_id end;
  v_started timestamptz;
begin
  ticket := p_ticket;
  changes := '{}';
  logs := '{}';
  notices := '{}';
  waits := '{}';
  ran := p_ran;
  for v_turn in 1 .. 8 loop
    exit when v_events = '{}';
    v_start := ticket;
    v_stopped := '{}';
    v_has_changes := false;
    v_set := null;
    v_places := '{}';
    if v_known is null or v_events[1] = any (v_known) then
      select * into v_set from dropwire.rule_sets s
       where s.tenant_id = p_ticket.tenant_id and s.event = v_events[1] and s.superseded_at is null;
      if found then
        v_known := v_set.tenant_events;
        v_context := dropwire.rule_context(ticket, v_set.reads_complainant, v_set.reads_executor);
        v_fields := dropwire.rule_fields(v_set.paths, v_set.numeric_paths, v_context);
        v_place := 0;
        v_places := dropwire.unguarded_rules(v_set, v_fields.folded, 0);
      end if;
    end if;

    while v_places <> '{}' loop
      v_has_new_guards := false;
      for v_rule in
        select k.place, k.rule_id, k.rule_type, k.stops, k.max_executions, k.tests, k.actions,
               k.matched is not null as matches_one_way
          from dropwire.compiled_rules k
         where k.set_id = v_set.id and k.place = any (v_places)
         order by k.place
      loop
        v_place := v_rule.place;
        continue when v_rule.rule_type = any (v_stopped)
                   or not dropwire.rule_holds(v_rule.tests, v_fields.folded, v_fields.texts, v_fields.numbers)
                   or v_rule.rule_id = any (ran)
                   or v_rule.max_executions is not null
                      and dropwire.has_reached_limit(v_rule.rule_id, v_rule.max_executions, ticket.id);
        v_started := clock_timestamp();
        v_before := ticket;
        v_run := dropwire.run_actions(ticket, v_current, v_rule.rule_id, v_rule.actions, false);
        ticket := v_run.ticket;
        ran := ran || v_rule.rule_id;
        changes := changes || v_run.changes;
        notices := notices || v_run.notices;
        waits := waits || v_run.waits;
        logs := logs || row(v_rule.rule_id, 'success',
          case when not v_rule.matches_one_way then dropwire.condition_results(v_set.id, v_place, v_before) end,
          v_run.done, null, dropwire.elapsed_ms(v_started), v_set.id, v_place)::dropwire.rule_log;
        if v_rule.stops then
          v_stopped := v_stopped || v_rule.rule_type;
        end if;
        -- Later rules see what this one did.
        continue when v_run.changes = '{}' and v_before.category is not distinct from ticket.category
                  and v_before.category_id is not distinct from ticket.category_id;
        v_has_changes := true;
        v_changed := dropwire.changed_by_rules(v_before, ticket);
        continue when not v_changed && v_set.read_columns;
        v_context := case
          when v_set.reads_executor or v_changed && '{due_date,sla_due_date,resolved_at}'
          then dropwire.rule_context(ticket, v_set.reads_complainant, v_set.reads_executor)
          else v_context || jsonb_build_object(
            'status', ticket.status, 'priority', ticket.priority, 'category', ticket.category,
            'category_id', ticket.category_id, 'executor_id', ticket.executor_id,
            'executor_profile_id', ticket.executor_profile_id) end;
        v_fields := dropwire.rule_fields(v_set.paths, v_set.numeric_paths, v_context);
        v_has_new_guards := v_changed && v_set.guard_columns;
        exit when v_has_new_guards;
      end loop;
      exit when not v_has_new_guards;
      v_places := dropwire.unguarded_rules(v_set, v_fields.folded, v_place);
    end loop;

    if v_set.logs_skipped then
      logs := logs || array(
        select row(k.rule_id, 'skipped', null, null, null, 0, null, null)::dropwire.rule_log
          from dropwire.compiled_rules k
         where k.set_id = v_set.id and k.rule_id <> all (ran)
           -- Behind a rule that stops its type nothing is looked at.
           and not exists (select from dropwire.compiled_rules s
                            where s.set_id = v_set.id and s.rule_id = any (ran) and s.stops
                              and s.rule_type = k.rule_type and s.place < k.place)
         order by k.place);
    end if;
    if v_events[1] = 'on_create' and ticket.executor_profile_id is null and ticket.executor_id is null then
      v_before := ticket;
      ticket := dropwire.with_default_executor(ticket);
      changes := changes || dropwire.ticket_changes(v_before, ticket);
      v_has_changes := v_has_changes or ticket.executor_profile_id is not null;
    end if;
    v_events := v_events[2:];
    if v_has_changes then
      v_events := v_events || dropwire.events_of(dropwire.changed_by_rules(v_start, ticket));
    end if;
  end loop;
  is_changed := dropwire.changed_by_rules(p_ticket, ticket) <> '{}';
end
$$;

-- The same, each rule evaluated and written for itself, in a subtransaction: one that fails undoes its own effects and
-- is logged. With p_is_dry nothing is written, and what became of each rule is told.
create function dropwire.run_one_by_one(
  inout ticket public.tickets, p_events text[], p_is_dry boolean, out explanation jsonb
)
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
  v_logs_skipped constant boolean := (select s.log_skipped_rules from dropwire.settings s);
  v_start public.tickets;
  v_before public.tickets;
  v_events text[] := p_events;
  v_set dropwire.rule_sets;
  v_rule dropwire.compiled_rules;
  v_stopped text[];
  v_ran uuid[] := '{}';
  v_run record;
  v_done jsonb;
  v_changes dropwire.ticket_change[];
  v_notices jsonb[];
  v_matched boolean;
  v_outcome text;
  v_error text;
  v_current uuid;
  v_started timestamptz;
begin
  explanation := '[]';
  for v_turn in 1 .. 8 loop
    exit when v_events = '{}';
    v_start := ticket;
    v_stopped := '{}';
    select s.* into v_set from dropwire.rule_sets s
     where s.tenant_id = ticket.tenant_id and s.event = v_events[1] and s.superseded_at is null;

    for v_rule in select * from dropwire.compiled_rules k where k.set_id = v_set.id order by k.place loop
      v_started := clock_timestamp();
      v_before := ticket;
      v_error := null;
      v_done := '[]';
      v_changes := '{}';
      v_notices := '{}';
      v_current := case when dropwire.is_open(ticket.status) then ticket.executor_profile_id end;
      begin
        v_matched := dropwire.rule_holds(v_set, v_rule.tests, ticket);
        v_outcome := case when v_rule.rule_type = any (v_stopped) then 'stopped'
                          when not v_matched then 'not matched'
                          when v_rule.rule_id = any (v_ran) then 'ran before'
                          when dropwire.has_reached_limit(v_rule.rule_id, v_rule.max_executions, ticket.id) then 'limit reached'
                          else 'success' end;
        if v_outcome = 'success' then
          v_ran := v_ran || v_rule.rule_id;
          v_run := dropwire.run_actions(ticket, v_current, v_rule.rule_id, v_rule.actions, p_is_dry);
          if not p_is_dry then
            perform dropwire.write_rule_effects(v_run.ticket, true, v_run.changes, array[row(v_rule.rule_id, 'success',
              dropwire.condition_results(v_set.id, v_rule.place, ticket), v_run.done, null,
              dropwire.elapsed_ms(v_started), null, null)::dropwire.rule_log], v_run.notices, v_run.waits, v_ran);
          end if;
          ticket := v_run.ticket;
          v_done := v_run.done;
          v_changes := v_run.changes;
          v_notices := v_run.notices;
          if v_rule.stops then
            v_stopped := v_stopped || v_rule.rule_type;
          end if;
        end if;
      exception when others then
        v_outcome := 'failed';
        v_error := sqlerrm;
        ticket := v_before;
      end;
      if p_is_dry then
        explanation := explanation || jsonb_build_object(
          'rule_id', v_rule.rule_id, 'rule_name', (select r.rule_name from public.rules r where r.id = v_rule.rule_id),
          'rule_type', v_rule.rule_type, 'event', v_events[1], 'matched', v_matched,
          'outcome', case v_outcome when 'success' then 'would run' else v_outcome end, 'error', v_error,
          'conditions', dropwire.condition_results(v_set.id, v_rule.place, v_before, true),
          'actions', v_done, 'activities', to_jsonb(v_changes), 'notifications', to_jsonb(v_notices));
      elsif v_outcome = 'failed' or v_logs_skipped and v_outcome in ('not matched', 'limit reached') then
        perform dropwire.write_rule_effects(ticket, false, '{}', array[row(v_rule.rule_id,
          case v_outcome when 'failed' then 'failed' else 'skipped' end, null, null, v_error,
          dropwire.elapsed_ms(v_started), null, null)::dropwire.rule_log], '{}', '{}', '{}');
      end if;
    end loop;

    if v_events[1] = 'on_create' then
      v_before := ticket;
      begin
        ticket := dropwire.with_default_executor(ticket);
        if not p_is_dry then
          perform dropwire.write_rule_effects(
            ticket, true, dropwire.ticket_changes(v_before, ticket), '{}', '{}', '{}', v_ran);
        end if;
      exception when others then
        ticket := v_before;
      end;
    end if;
    v_events := v_events[2:] || dropwire.events_of(dropwire.changed_by_rules(v_start, ticket));
  end loop;
end
$$;

alter table dropwire.delayed_actions enable row level security;
revoke execute on all functions in schema dropwire from public;
