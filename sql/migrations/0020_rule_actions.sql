-- The rule engine, part four: what each action does to a ticket.
--
-- An action changes a ticket in memory; part five writes the result.

-- Working time ------------------------------------------------------------------------------------------------------
-- A zone as PostgreSQL takes it, from an IANA name or a label with an offset (UTC+05:30 (IST)): in a label only the
-- offset counts.
create function dropwire.read_zone(p_label text) returns text
language plpgsql stable as $$
declare
  v_label constant text := coalesce(pg_catalog.btrim(pg_catalog.regexp_replace(p_label, '\s*\(.*\)\s*$', '')), 'UTC');
  v_offset constant text[] := pg_catalog.regexp_match(v_label, '^(?:UTC|GMT)\s*([+-])\s*(\d{1,2})(?::?([0-5]\d))?$', 'i');
begin
  if v_offset is not null and v_offset[2]::int <= 14 then
    -- Written as POSIX has it, where west is positive.
    return pg_catalog.format('<%1$s%2$s%3$s>%4$s%2$s:%3$s', v_offset[1], v_offset[2], coalesce(v_offset[3], '00'),
                             case v_offset[1] when '+' then '-' else '+' end);
  elsif pg_catalog.upper(v_label) in ('', 'UTC', 'GMT', 'Z') then
    return 'UTC';
  elsif v_label ~ '^[A-Za-z_]+(/[A-Za-z0-9_+-]+)+$' then
    perform pg_catalog.now() at time zone v_label;
    return v_label;
  end if;
  raise invalid_parameter_value;
exception when invalid_parameter_value then
  raise invalid_parameter_value using
    message = pg_catalog.format('time zone "%s" is neither an IANA name nor an offset such as UTC+05:30', p_label);
end
$$;

-- When so many hours of the tenant's working time have passed. Windows are local: on a day that a clock changes, one
-- may last an hour more or less. An end at or before its start is on the next day. Without working days every hour
-- counts, as for a negative number of hours.
create function dropwire.business_deadline(p_tenant_id uuid, p_start timestamptz, p_hours numeric) returns timestamptz
language plpgsql stable as $$
declare
  v_left numeric := p_hours * 3600;  -- seconds; an interval of days would depend on the session's zone
  v_window numeric;
  v_starts time[];
  v_ends time[];
  v_zones text[];
  v_day date;
  v_weekday int;
  v_opens timestamptz;
  v_closes timestamptz := p_start;
begin
  select pg_catalog.array_agg(b.start_time order by d.n), pg_catalog.array_agg(b.end_time order by d.n),
         pg_catalog.array_agg(case when b.id is not null then dropwire.read_zone(b.timezone) end order by d.n)
    into v_starts, v_ends, v_zones
    from pg_catalog.unnest(array['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'])
         with ordinality as d (name, n)
    left join public.business_hours b
      on b.tenant_id = p_tenant_id and b.day_of_week = d.name
     and b.is_working_day and b.start_time is not null and b.end_time is not null;
  if p_hours < 0 or pg_catalog.array_remove(v_zones, null) = '{}' then
    return p_start + p_hours * interval '1 hour';
  end if;

  -- A day earlier, for a window that goes past midnight or a zone that is a day ahead.
  v_day := (p_start at time zone 'UTC')::date - 2;
  for i in 0 .. 3700 loop
    v_weekday := extract(isodow from v_day);
    if v_zones[v_weekday] is not null
       and not exists (select from public.holidays h where h.tenant_id = p_tenant_id and h.date = v_day) then
      -- Never before the window before it has ended.
      v_opens := greatest((v_day + v_starts[v_weekday]) at time zone v_zones[v_weekday], v_closes);
      v_closes := greatest(v_closes, (v_day + v_ends[v_weekday]
        + case when v_ends[v_weekday] <= v_starts[v_weekday] then interval '1 day' else interval '0' end)
        at time zone v_zones[v_weekday]);
      v_window := extract(epoch from v_closes - v_opens);
      if v_window >= v_left then
        return v_opens + v_left * interval '1 second';
      end if;
      v_left := v_left - greatest(v_window, 0);
    end if;
    v_day := v_day + 1;
  end loop;
  raise exception '% business hours from now are more than ten years away', p_hours;
end
$$;

-- Changes -----------------------------------------------------------------------------------------------------------
create type dropwire.ticket_change as (activity_type text, comment text, metadata jsonb);

-- The activities that tell how a ticket differs from what it was, as the dashboard words them.
create function dropwire.ticket_changes(p_old public.tickets, p_new public.tickets) returns dropwire.ticket_change[]
language plpgsql stable as $$
declare
  v_changes dropwire.ticket_change[] := '{}';
  v_old text;
  v_new text;
begin
  if p_old.status is distinct from p_new.status then
    v_changes := v_changes || row('status_change', 'Status changed from ' || p_old.status || ' to ' || p_new.status,
      pg_catalog.jsonb_build_object('old_status', p_old.status, 'new_status', p_new.status))::dropwire.ticket_change;
  end if;
  if p_old.priority is distinct from p_new.priority then
    v_changes := v_changes || row('priority_change',
      'Priority changed from ' || p_old.priority || ' to ' || p_new.priority,
      pg_catalog.jsonb_build_object('old_priority', p_old.priority, 'new_priority', p_new.priority))::dropwire.ticket_change;
  end if;

  -- The two SLA columns are written together by everybody but the original's server engine, which wrote
  -- sla_due_date alone: either way it is one change.
  if p_old.due_date is distinct from p_new.due_date then
    v_old := dropwire.iso_instant(p_old.due_date);
    v_new := dropwire.iso_instant(p_new.due_date);
  elsif p_old.sla_due_date is distinct from p_new.sla_due_date then
    v_old := dropwire.iso_instant(p_old.sla_due_date);
    v_new := dropwire.iso_instant(p_new.sla_due_date);
  end if;
  if v_old is distinct from v_new then
    v_changes := v_changes || row('sla_change',
      'SLA changed from ' || coalesce(v_old, 'none') || ' to ' || coalesce(v_new, 'none'),
      pg_catalog.jsonb_build_object('old_due_date', v_old, 'new_due_date', v_new))::dropwire.ticket_change;
  end if;

  -- The assignee is the executor profile; clients that know no profiles set executor_id (a user) alone.
  v_old := null;
  v_new := null;
  if p_old.executor_profile_id is distinct from p_new.executor_profile_id then
    v_old := p_old.executor_profile_id::text;
    v_new := p_new.executor_profile_id::text;
  elsif p_old.executor_id is distinct from p_new.executor_id then
    v_old := p_old.executor_id::text;
    v_new := p_new.executor_id::text;
  end if;
  if v_old is distinct from v_new then
    v_changes := v_changes || row('reassignment',
      coalesce('Ticket assigned to executor ' || v_new, 'Ticket unassigned from executor ' || v_old),
      pg_catalog.jsonb_build_object('old_executor_id', v_old, 'new_executor_id', v_new))::dropwire.ticket_change;
  end if;
  return v_changes;
end
$$;

-- The document that field paths walk. Instants are in UTC, as the REST interface shows them.
create function dropwire.rule_context(p_ticket public.tickets, p_with_complainant boolean, p_with_executor boolean) returns jsonb
language plpgsql stable set timezone = 'UTC' as $$
declare
  v_context jsonb := pg_catalog.to_jsonb(p_ticket);
begin
  if p_with_complainant then
    v_context := v_context || pg_catalog.jsonb_build_object('complainant', (
      select pg_catalog.to_jsonb(u) || pg_catalog.jsonb_build_object('designation', pg_catalog.to_jsonb(d))
        from public.users u
        left join public.designations d on d.id = u.designation_id
       where u.id = p_ticket.complainant_id));
  end if;
  if p_with_executor then
    v_context := v_context || pg_catalog.jsonb_build_object('executor_profile', (
      select pg_catalog.to_jsonb(ep) || pg_catalog.jsonb_build_object('user', pg_catalog.to_jsonb(u))
        from public.executor_profiles ep
        left join public.users u on u.id = ep.user_id
       where ep.id = p_ticket.executor_profile_id));
  end if;
  return v_context;
end
$$;

-- Actions -----------------------------------------------------------------------------------------------------------
-- A row for tenant_notifications; user_id is whom it is about.
create function dropwire.rule_notice(
  p_ticket public.tickets, p_rule_id uuid, p_type text, p_level text, p_title text, p_message text, p_user_id uuid, p_more jsonb
) returns jsonb
language sql stable as $$
  select pg_catalog.jsonb_build_object(
    'type', p_type, 'level', p_level, 'title', p_title, 'message', p_message, 'user_id', p_user_id,
    'metadata', pg_catalog.jsonb_build_object(
      'ticket_id', p_ticket.id, 'ticket_number', p_ticket.ticket_number, 'rule_id', p_rule_id) || coalesce(p_more, '{}'))
$$;

-- `{{field.path}}` in a template becomes the field's text.
create function dropwire.fill_template(p_template text, p_context jsonb) returns text
language plpgsql stable as $$
declare
  v_text text := p_template;
  v_name text;
begin
  for v_name in select distinct m[1] from pg_catalog.regexp_matches(p_template, '\{\{([^{}]+)\}\}', 'g') m loop
    v_text := pg_catalog.replace(v_text, '{{' || v_name || '}}', coalesce(dropwire.js_text(
      p_context #> pg_catalog.string_to_array(dropwire.field_path(v_name), '.')), ''));
  end loop;
  return v_text;
end
$$;

create function dropwire.manager_of(p_ticket public.tickets) returns uuid
language sql stable as $$
  select coalesce(
    (select coalesce(ep.manager_id, u.manager_id)
       from public.executor_profiles ep
       left join public.users u on u.id = ep.user_id
      where ep.id = p_ticket.executor_profile_id),
    (select u.manager_id from public.users u where u.id = p_ticket.executor_id))
$$;

create function dropwire.admin_of(p_tenant_id uuid) returns uuid
language sql stable as $$
  select u.id from public.users u
   where u.tenant_id = p_tenant_id and u.role in ('tenant_admin', 'admin') and u.is_active
   order by u.role = 'tenant_admin' desc, u.created_at, u.id
   limit 1
$$;

-- Whom a recipient of notify means, in the ticket's tenant: a role in the ticket's life, a user's id or e-mail address.
create function dropwire.notice_user(p_ticket public.tickets, p_recipient text) returns uuid
language sql stable as $$
  select case pg_catalog.lower(p_recipient)
    when 'complainant' then p_ticket.complainant_id
    when 'executor' then p_ticket.executor_id
    when 'assignee' then p_ticket.executor_id
    when 'manager' then dropwire.manager_of(p_ticket)
    when 'admin' then dropwire.admin_of(p_ticket.tenant_id)
    when 'tenant_admin' then dropwire.admin_of(p_ticket.tenant_id)
    else (select u.id from public.users u
           where u.tenant_id = p_ticket.tenant_id
             and (u.id::text = pg_catalog.lower(p_recipient) or pg_catalog.lower(u.email) = pg_catalog.lower(p_recipient))
           limit 1)
  end
$$;

-- Carries out an action on the ticket in memory. done goes into the log's actions_executed; notices wait to be
-- written. p_current is the assignee in the table, whose load includes this ticket.
create function dropwire.apply_action(
  inout ticket public.tickets, p_current uuid, p_rule_id uuid, p_action jsonb, p_is_dry boolean,
  out done jsonb, out notices jsonb[]
)
language plpgsql volatile as $$
declare
  c_priorities constant text[] := array['low', 'medium', 'high', 'critical'];
  v_type constant text := p_action ->> 'type';
  v_params constant jsonb := p_action -> 'params';
  v_strategy text;
  v_amount numeric;
  v_due timestamptz;
  v_executor record;
  v_user_id uuid;
  v_message text;
  v_recipient text;
  v_done boolean := true;
begin
  notices := '{}';
  case v_type
    when 'set_priority' then
      if v_params ->> 'priority' is null or v_params ->> 'priority' <> all (c_priorities) then
        raise exception 'set_priority to % : priority must be critical, high, medium or low',
          coalesce(v_params ->> 'priority', '(none)');
      end if;
      ticket.priority := v_params ->> 'priority';

    when 'set_due_date' then
      -- As the original: a value that is no number, or 0, changes nothing.
      v_amount := case when pg_catalog.jsonb_typeof(v_params -> 'value') = 'number'
                       then (v_params ->> 'value')::numeric else 0 end;
      v_done := v_amount <> 0;
      if v_done then
        v_due := case coalesce(v_params ->> 'calculation', 'hours_from_now')
          when 'hours_from_now' then pg_catalog.now() + v_amount * interval '1 hour'
          when 'days_from_now' then pg_catalog.now() + v_amount * interval '24 hours'
          when 'business_hours_from_now' then dropwire.business_deadline(ticket.tenant_id, pg_catalog.now(), v_amount)
          else pg_catalog.now() + interval '24 hours'  -- the original's
        end;
        ticket.due_date := v_due;
        ticket.sla_due_date := v_due;
      end if;

    when 'set_status' then
      if v_params ->> 'status' is null or v_params ->> 'status' not in ('open', 'in-progress', 'resolved', 'closed') then
        raise exception 'set_status to % : status must be open, in-progress, resolved or closed',
          coalesce(v_params ->> 'status', '(none)');
      end if;
      if not dropwire.is_open(v_params ->> 'status') and dropwire.is_open(ticket.status) then
        ticket.resolved_at := pg_catalog.now();
      end if;
      ticket.status := v_params ->> 'status';

    when 'assign_executor' then
      v_strategy := coalesce(v_params ->> 'strategy', 'load_balance');
      if v_strategy = 'specific_executor' then
        if v_params ->> 'executor_id' is null then
          raise exception 'assign_executor to a specific_executor: executor_id is missing';
        end if;
        v_executor := dropwire.choose_executor(
          ticket.tenant_id, null, (v_params ->> 'executor_id')::uuid, p_current, false, p_is_dry);
      elsif v_strategy in ('skill_match', 'load_balance', 'round_robin') then
        v_executor := dropwire.choose_executor(
          ticket.tenant_id,
          pg_catalog.array_remove(array[ticket.category_id::text, dropwire.fold(ticket.category)], null)
            || case when pg_catalog.jsonb_typeof(v_params -> 'skill_ids') = 'array' then
                 array(select dropwire.fold(s) from pg_catalog.jsonb_array_elements_text(v_params -> 'skill_ids') s)
               end,
          null, p_current, v_strategy = 'round_robin', p_is_dry);
      else
        raise exception 'assign_executor strategy % is not supported', v_strategy using errcode = '0A000';
      end if;
      v_done := v_executor.profile_id is not null;
      if v_done then
        ticket.executor_profile_id := v_executor.profile_id;
        ticket.executor_id := v_executor.user_id;
      end if;

    when 'assign_to_default_admin' then
      -- His capacity does not count.
      select l.profile_id, l.user_id into v_executor
        from dropwire.executor_load l
       where l.tenant_id = ticket.tenant_id and l.is_default and l.is_available
       order by l.profile_id
       limit 1;
      v_done := v_executor.profile_id is not null;
      if v_done then
        ticket.executor_profile_id := v_executor.profile_id;
        ticket.executor_id := v_executor.user_id;
      end if;

    when 'set_category_to_miscellaneous' then
      if not p_is_dry and not exists (select from public.categories c
                                       where c.name = 'Miscellaneous' and c.tenant_id = ticket.tenant_id) then
        insert into public.categories (tenant_id, name) values (ticket.tenant_id, 'Miscellaneous') on conflict do nothing;
      end if;
      ticket.category := 'Miscellaneous';
      ticket.category_id := (select c.id from public.categories c
                              where c.name = 'Miscellaneous' and c.tenant_id = ticket.tenant_id);

    when 'escalate' then
      ticket.priority := c_priorities[least(4, pg_catalog.array_position(c_priorities, ticket.priority)
        + case when pg_catalog.jsonb_typeof(v_params -> 'priority_level') = 'number'
               then greatest(0, pg_catalog.trunc((v_params ->> 'priority_level')::numeric)::int) else 1 end)];
      v_user_id := case when v_params ->> 'escalate_to' = 'admin' then null else dropwire.manager_of(ticket) end;
      select l.profile_id, l.user_id into v_executor
        from dropwire.executor_load l
        join public.users u on u.id = l.user_id
       where l.tenant_id = ticket.tenant_id and l.is_available
         and case when v_user_id is null then u.role in ('tenant_admin', 'admin') else u.id = v_user_id end
       order by l.is_default desc, l.open_count, l.profile_id
       limit 1;
      if found then
        ticket.executor_profile_id := v_executor.profile_id;
        ticket.executor_id := v_executor.user_id;
      else
        notices := array[dropwire.rule_notice(ticket, p_rule_id, 'ticket.escalated', 'warning',
          pg_catalog.format('Ticket %s was escalated', ticket.ticket_number), ticket.title,
          coalesce(v_user_id, dropwire.admin_of(ticket.tenant_id)),
          pg_catalog.jsonb_build_object('escalate_to', case when v_user_id is null then 'admin' else 'manager' end))];
      end if;

    when 'notify' then
      v_message := coalesce(nullif(dropwire.fill_template(v_params ->> 'template',
        dropwire.rule_context(ticket, v_params ->> 'template' like '%complainant%',
                              v_params ->> 'template' like '%executor_profile%')), ''), ticket.title);
      for v_recipient in
        select r from pg_catalog.jsonb_array_elements_text(
          case when pg_catalog.jsonb_typeof(v_params -> 'recipients') = 'array'
                and v_params -> 'recipients' <> '[]' then v_params -> 'recipients' else '[null]' end) r
      loop
        notices := notices || dropwire.rule_notice(ticket, p_rule_id, 'ticket.rule', 'info',
          pg_catalog.format('Ticket %s', ticket.ticket_number), v_message, dropwire.notice_user(ticket, v_recipient),
          case when v_recipient is not null then pg_catalog.jsonb_build_object('recipient', v_recipient) end);
      end loop;

    else
      raise exception 'action % is not supported', v_type using errcode = '0A000';
  end case;

  done := case when v_done then pg_catalog.jsonb_build_object('action', v_type, 'params', v_params)
               else pg_catalog.jsonb_build_object('action', v_type, 'skipped', true) end;
end
$$;

revoke execute on all functions in schema dropwire from public;
