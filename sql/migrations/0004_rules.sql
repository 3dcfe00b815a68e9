-- The rule engine: one entry function, called by the triggers on tickets in the writer's transaction.
--
-- Semantics: types in the order priority, sla, allocation; inside a type ascending priority_order; stop_on_match
-- ends its own type only. Each later rule sees what the earlier ones did. Every effect is an ordinary update of
-- the ticket, so the triggers of 0003 write its activity and queue its webhook. A rule that fails undoes its own
-- effects, is logged, and never fails the ticket.

-- The document that field paths walk: the ticket with its complainant and the complainant's designation.
create function dropwire.rule_context(p_ticket_id uuid) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select pg_catalog.to_jsonb(t) || pg_catalog.jsonb_build_object('complainant',
           pg_catalog.to_jsonb(u) || pg_catalog.jsonb_build_object('designation', pg_catalog.to_jsonb(d)))
    from public.tickets t
    left join public.users u on u.id = t.complainant_id
    left join public.designations d on d.id = u.designation_id
   where t.id = p_ticket_id
$$;

-- The text at a dot path such as complainant.designation.name or tags[0]; null when missing.
create function dropwire.field_text(p_context jsonb, p_path text) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select p_context #>> pg_catalog.string_to_array(
    pg_catalog.replace(pg_catalog.replace(p_path, '[', '.'), ']', ''), '.')
$$;

create function dropwire.condition_holds(p_operator text, p_field text, p_values text[]) returns boolean
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
  v_listed boolean;
begin
  if p_operator = 'is_null' then
    return coalesce(p_field, '') = '';
  elsif p_operator = 'is_not_null' then
    return coalesce(p_field, '') <> '';
  elsif p_field is null then
    return false;  -- also for the negative operators
  end if;
  v_listed := exists (select from pg_catalog.unnest(p_values) v where pg_catalog.lower(v) = pg_catalog.lower(p_field));
  case p_operator
    when 'equals', 'in' then return v_listed;
    when 'not_equals', 'not_in' then return not v_listed;
    else
      raise exception 'condition operator % is not supported', p_operator using errcode = '0A000';
  end case;
end
$$;

-- Whether the rule's conditions hold, and each condition's own result for the log. Conditions of one group (those
-- without a group form one) are combined left to right by each one's AND/OR, groups by AND. No conditions: holds.
create function dropwire.evaluate_rule(p_rule_id uuid, p_context jsonb, out matched boolean, out results jsonb)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  c public.conditions;
  v_holds boolean;
  v_group uuid;
  v_group_holds boolean;
begin
  matched := true;
  results := '{}';
  for c in
    select * from public.conditions where rule_id = p_rule_id order by group_id nulls first, sequence, id
  loop
    v_holds := dropwire.condition_holds(c.operator, dropwire.field_text(p_context, c.field_path), c.value);
    results := results || pg_catalog.jsonb_build_object(
      c.id::text, pg_catalog.jsonb_build_object('condition', pg_catalog.to_jsonb(c), 'result', v_holds));
    if v_group_holds is null or c.group_id is distinct from v_group then
      matched := matched and coalesce(v_group_holds, true);
      v_group := c.group_id;
      v_group_holds := v_holds;
    elsif pg_catalog.upper(c.logical_operator) = 'OR' then
      v_group_holds := v_group_holds or v_holds;
    else
      v_group_holds := v_group_holds and v_holds;
    end if;
  end loop;
  matched := matched and coalesce(v_group_holds, true);
end
$$;

-- The executors with room for the ticket and a skill it wants, least loaded first. A profile has the skills listed,
-- its category's id and its category's name; wanted are the rule's skills and the ticket's category.
create function dropwire.skilled_executors(p_ticket_id uuid, p_skill_ids jsonb)
returns table (profile_id uuid, user_id uuid, load bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select ep.id, ep.user_id, load.open_count
    from public.tickets t
    join public.executor_profiles ep on ep.tenant_id = t.tenant_id and ep.availability_status = 'available'
    join public.users u on u.id = ep.user_id and u.is_active
    left join public.categories c on c.id = ep.category_id
   cross join lateral (
     select pg_catalog.count(*) as open_count from public.tickets o
      where o.executor_profile_id = ep.id and o.status in ('open', 'in-progress') and o.id <> t.id) load
   where t.id = p_ticket_id
     and (ep.max_concurrent_tickets <= 0 or load.open_count < coalesce(ep.max_concurrent_tickets, 10))
     and (ep.skills || ep.category_id)::text[] || pg_catalog.lower(c.name)
      && (array(select pg_catalog.lower(s) from pg_catalog.jsonb_array_elements_text(
            case when pg_catalog.jsonb_typeof(p_skill_ids) = 'array' then p_skill_ids else '[]' end) s)
          || t.category_id::text || pg_catalog.lower(t.category))
   order by load.open_count, ep.assigned_tickets_count, ep.id
$$;

-- Assigns the least loaded skilled executor with room; false when there is none.
create function dropwire.assign_by_skill(p_ticket_id uuid, p_skill_ids jsonb) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_chosen record;
begin
  -- A tenant's assignments take turns until they commit: the loads below are then everybody's, so nobody is filled
  -- beyond his capacity and the least loaded is the least loaded. Locks on the profiles themselves would be taken in
  -- another order by each ticket, and deadlock.
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('dropwire.assign_by_skill ' || t.tenant_id, 0))
     from public.tickets t
    where t.id = p_ticket_id;

  select * into v_chosen from dropwire.skilled_executors(p_ticket_id, p_skill_ids) limit 1;
  if not found then
    return false;
  end if;

  update public.tickets t
     set executor_profile_id = v_chosen.profile_id, executor_id = v_chosen.user_id
   where t.id = p_ticket_id and t.executor_profile_id is distinct from v_chosen.profile_id;
  if found then
    update public.executor_profiles ep
       set assigned_tickets_count = ep.assigned_tickets_count + 1, open_tickets_count = v_chosen.load + 1
     where ep.id = v_chosen.profile_id;
  end if;
  return true;
end
$$;

-- Carries out one action; what it returns goes into the log's actions_executed.
create function dropwire.apply_action(p_ticket_id uuid, p_action public.actions) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_params jsonb := p_action.action_params;
  v_done boolean := true;
  v_amount numeric;
  v_due timestamptz;
begin
  case p_action.action_type
    when 'set_priority' then
      update public.tickets t set priority = v_params ->> 'priority' where t.id = p_ticket_id;

    when 'set_due_date' then
      -- As the original: a value that is no number, or 0, changes nothing.
      v_amount := case when pg_catalog.jsonb_typeof(v_params -> 'value') = 'number'
                       then (v_params ->> 'value')::numeric else 0 end;
      v_done := v_amount <> 0;
      if v_done then
        case coalesce(v_params ->> 'calculation', 'hours_from_now')
          when 'hours_from_now' then v_due := pg_catalog.now() + v_amount * interval '1 hour';
          else
            raise exception 'set_due_date calculation % is not supported', v_params ->> 'calculation'
              using errcode = '0A000';
        end case;
        update public.tickets t set due_date = v_due, sla_due_date = v_due where t.id = p_ticket_id;
      end if;

    when 'assign_executor' then
      if v_params ->> 'strategy' is distinct from 'skill_match' then
        raise exception 'assign_executor strategy % is not supported', coalesce(v_params ->> 'strategy', '(none)')
          using errcode = '0A000';
      end if;
      v_done := dropwire.assign_by_skill(p_ticket_id, v_params -> 'skill_ids');

    else
      raise exception 'action % is not supported', p_action.action_type using errcode = '0A000';
  end case;

  if v_done then
    return pg_catalog.jsonb_build_object('action', p_action.action_type, 'params', v_params);
  end if;
  return pg_catalog.jsonb_build_object('action', p_action.action_type, 'skipped', true);
end
$$;

-- Writes one line of the execution log. For a rule that somebody has deleted meanwhile there is none to write, and
-- its foreign key must not fail the ticket.
create function dropwire.log_rule(
  p_rule_id uuid, p_ticket_id uuid, p_status text, p_started timestamptz,
  p_conditions jsonb default null, p_actions jsonb default null, p_error text default null
) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  insert into public.rule_execution_logs
    (rule_id, ticket_id, execution_status, matched_conditions, actions_executed, error_message, execution_time_ms)
  select r.id, p_ticket_id, p_status, p_conditions, p_actions, p_error,
         (extract(epoch from pg_catalog.clock_timestamp() - p_started) * 1000)::int
    from public.rules r
   where r.id = p_rule_id
     for key share
$$;

-- Runs the tenant's active rules for an event on a ticket. The engine's one entry.
create function dropwire.run_rules(p_ticket_id uuid, p_tenant_id uuid, p_event text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  r public.rules;
  a public.actions;
  v_verdict record;
  v_stopped public.rule_type_enum;
  v_actions jsonb;
  v_started timestamptz;
begin
  perform pg_catalog.set_config('dropwire.actor', 'rules', true);

  for r in
    select * from public.rules
     where tenant_id = p_tenant_id and is_active and trigger_event = p_event
     order by rule_type, priority_order, created_at, id
  loop
    continue when r.rule_type = v_stopped;
    v_started := pg_catalog.clock_timestamp();
    begin
      v_verdict := dropwire.evaluate_rule(r.id, dropwire.rule_context(p_ticket_id));
      if not v_verdict.matched then
        perform dropwire.log_rule(r.id, p_ticket_id, 'skipped', v_started);
        continue;
      end if;

      v_actions := '[]';
      for a in select * from public.actions where rule_id = r.id order by step_order, id loop
        v_actions := v_actions || dropwire.apply_action(p_ticket_id, a);
      end loop;
      perform dropwire.log_rule(r.id, p_ticket_id, 'success', v_started, v_verdict.results, v_actions);
      if r.stop_on_match then
        v_stopped := r.rule_type;
      end if;
    exception when others then
      perform dropwire.log_rule(r.id, p_ticket_id, 'failed', v_started, p_error => sqlerrm);
    end;
  end loop;

  perform pg_catalog.set_config('dropwire.actor', '', true);
end
$$;

-- A new ticket: its creation entry first, then the rules, whose activities queue behind it. Nobody else can see
-- the ticket yet, so the entry needs no lock. Payloads are read when sent: Make sees the state after the rules.
--
-- Without a search_path of its own, like what calls it on the path of every new ticket (see 0006).
create function dropwire.ticket_created() returns trigger
language plpgsql volatile security definer as $$
declare
  v_has_rules boolean;
begin
  if new.tenant_id is not null then
    -- One statement for both. Rules are looked for here rather than in run_rules: most tickets then cost one index
    -- probe and no further call.
    with creation as (
      insert into public.ticket_webhook_queue (ticket_id, tenant_id, origin)
      values (new.id, new.tenant_id, 'creation')
    )
    select exists (select from public.rules r
                    where r.tenant_id operator(pg_catalog.=) new.tenant_id and r.is_active
                      and r.trigger_event operator(pg_catalog.=) 'on_create')
      into v_has_rules;
    if v_has_rules then
      perform dropwire.run_rules(new.id, new.tenant_id, 'on_create');
    end if;
  end if;
  return null;
end
$$;

create trigger trigger_ticket_created after insert on public.tickets
  for each row execute function dropwire.ticket_created();

revoke execute on all functions in schema dropwire from public;
