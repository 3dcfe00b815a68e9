-- The rule engine, part three: when rules run, what they leave behind, what waits, and the dry run.
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

-- The engine's one entry. Never raises: what fails even rule by rule is told in the server's log.
--
-- Without a search_path of its own (see write_rule_effects); all names are qualified, and what decides has one.
create function dropwire.run_rules(p_ticket_id uuid, p_events text[]) returns void
language plpgsql volatile security definer as $$
declare
  v_ticket public.tickets;
  v_run record;
  v_set pg_catalog.text;
begin
  v_set := pg_catalog.set_config('dropwire.actor', 'rules', true);
  begin
    select t.* into v_ticket from public.tickets t where t.id operator(pg_catalog.=) p_ticket_id;
    v_run := dropwire.run_at_once(v_ticket, p_events, '{}'::pg_catalog.uuid[]);
    if v_run.is_changed or pg_catalog.cardinality(v_run.logs) operator(pg_catalog.>) 0 then
      perform dropwire.write_rule_effects(
        v_run.ticket, v_run.is_changed, v_run.changes, v_run.logs, v_run.notices, v_run.waits, v_run.ran);
    end if;
  exception when others then
    begin
      perform dropwire.run_one_by_one(v_ticket, p_events, false);
    exception when others then
      raise warning 'rules of ticket % did not run: %', p_ticket_id, sqlerrm;
    end;
  end;
  v_set := pg_catalog.set_config('dropwire.actor', '', true);
end
$$;

-- Triggers ------------------------------------------------------------------------------------------------------------
-- What the engine writes it tells itself, in one statement: the triggers that tell of others' changes pass it by.
create or replace function dropwire.ticket_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  c dropwire.ticket_change;
begin
  foreach c in array dropwire.ticket_changes(old, new) loop
    perform dropwire.record_change(new, c.activity_type, c.comment, c.metadata);
  end loop;
  return null;
end
$$;
drop trigger trigger_ticket_changed on public.tickets;
create trigger trigger_ticket_changed after update on public.tickets
  for each row
  when ((old.status is distinct from new.status
      or old.priority is distinct from new.priority
      or old.due_date is distinct from new.due_date
      or old.sla_due_date is distinct from new.sla_due_date
      or old.executor_profile_id is distinct from new.executor_profile_id
      or old.executor_id is distinct from new.executor_id)
    and current_setting('dropwire.actor', true) is distinct from 'rules')
  execute function dropwire.ticket_changed();
drop trigger trigger_enqueue_ticket_activity_webhook on public.ticket_activities;
create trigger trigger_enqueue_ticket_activity_webhook after insert on public.ticket_activities
  for each row when (current_setting('dropwire.actor', true) is distinct from 'rules')
  execute function public.enqueue_ticket_activity_webhook();

-- Entries behind the first one of a new ticket, which the same transaction has queued, change nothing about its head.
drop trigger trigger_webhook_queued on public.ticket_webhook_queue;
create trigger trigger_webhook_queued after insert on public.ticket_webhook_queue
  for each row
  when (new.status <> 'delivered' and (new.status <> 'processing' or new.lease_expires_at is not null)
    and (new.origin <> 'trigger' or current_setting('dropwire.new_ticket', true) is distinct from new.ticket_id::text))
  execute function dropwire.webhook_queued();

-- A new ticket: its creation entry first, then the rules, whose activities queue behind it. Nobody else can see
-- the ticket yet, so the entry needs no lock. Payloads are read when sent: Make sees the state after the rules.
--
-- Without a search_path of its own, like what calls it on the path of every new ticket (see 0006).
create or replace function dropwire.ticket_created() returns trigger
language plpgsql volatile security definer set enable_seqscan = off as $$
declare
  v_has_rules boolean;
  v_set pg_catalog.text;
begin
  if new.tenant_id is not null then
    -- One statement for all. Rules are looked for here rather than in run_rules: most tickets then cost two index
    -- probes and no further call.
    with creation as (
      insert into public.ticket_webhook_queue (ticket_id, tenant_id, origin)
      values (new.id, new.tenant_id, 'creation')
    )
    select exists (select from dropwire.rule_sets s
                    where s.tenant_id operator(pg_catalog.=) new.tenant_id and s.superseded_at is null
                      and s.event operator(pg_catalog.=) 'on_create')
        or exists (select from dropwire.executor_load l
                    where l.tenant_id operator(pg_catalog.=) new.tenant_id and l.is_default)
      into v_has_rules;
    if v_has_rules then
      -- Its first entry stands until the commit: what rules queue behind it needs no look at the head.
      v_set := pg_catalog.set_config('dropwire.new_ticket', new.id::pg_catalog.text, true);
      perform dropwire.run_rules(new.id, '{on_create}'::pg_catalog.text[]);
      v_set := pg_catalog.set_config('dropwire.new_ticket', '', true);
    end if;
  end if;
  return null;
end
$$;

create function dropwire.ticket_updated() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
declare
  v_events text[] := '{}';
begin
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
-- By name after trigger_ticket_changed: the change first, then what rules make of it.
create trigger trigger_ticket_rules after update on public.tickets
  for each row when (new.tenant_id is not null and current_setting('dropwire.actor', true) is distinct from 'rules')
  execute function dropwire.ticket_updated();

drop function dropwire.run_rules(uuid, uuid, text);
drop function dropwire.apply_action(uuid, public.actions);
drop function dropwire.assign_by_skill(uuid, jsonb);
drop function dropwire.skilled_executors(uuid, jsonb);
drop function dropwire.log_rule(uuid, uuid, text, timestamptz, jsonb, jsonb, text);
drop function dropwire.evaluate_rule(uuid, jsonb);
drop function dropwire.condition_holds(text, text, text[]);
drop function dropwire.field_text(jsonb, text);
drop function dropwire.rule_context(uuid);

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

-- Indexes ---------------------------------------------------------------------------------------------------------------
-- Rules write three rows where there was one. These indexes of the original's served no query that a smaller one does
-- not: an activity type or a status selects next to nothing, rows come in the order of their time, and what the engine
-- writes has no author.
drop index public.idx_ticket_activities_activity_type, public.idx_ticket_activities_created_at,
  public.idx_ticket_activities_created_by, public.idx_rule_execution_logs_created_at, public.idx_rule_execution_logs_status;
create index idx_ticket_activities_created_at on public.ticket_activities using brin (created_at);
create index idx_ticket_activities_created_by on public.ticket_activities (created_by) where created_by is not null;
create index idx_rule_execution_logs_created_at on public.rule_execution_logs using brin (created_at);
create index idx_rule_execution_logs_status on public.rule_execution_logs (execution_status, created_at)
  where execution_status <> 'success';

alter table dropwire.delayed_actions enable row level security;
alter table dropwire.sla_watch enable row level security;
revoke execute on all functions in schema dropwire from public;
grant execute on function dropwire.run_due_rules(int) to service_role;
