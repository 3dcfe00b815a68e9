-- The rule engine, part eight: what a new ticket needs of a rule, worked out when the rule is written.
--
-- Most rules compare texts of the ticket or its complainant, and set a priority, set a due date or assign the least
-- loaded with the skill. Such a rule is plain: it is compiled once more, into one jsonpath over the ticket's fields and
-- the few values that its actions need. 0029 runs plain rules so; a ticket that meets any other, 0021.

alter table dropwire.rule_sets
  add column is_plain boolean not null default false,
  add column reads_texts boolean not null default false,
  add column path_guards jsonb not null default '{}';
comment on column dropwire.rule_sets.is_plain is
  'Its fields are those that plain rules read: run_plain_rules() takes a new ticket as far as it can.';
comment on column dropwire.rule_sets.reads_texts is 'Whether the title or the description is among the paths.';
comment on column dropwire.rule_sets.path_guards is 'guards, by path.';

alter table dropwire.compiled_rules
  add column holds jsonpath,
  add column priority text,
  add column due_in interval,
  add column wanted text[],
  add column done jsonb;
comment on column dropwire.compiled_rules.holds is
  'Whether the rule holds for {path: folded text}: what rule_holds() says. Null where no jsonpath says it.';
comment on column dropwire.compiled_rules.priority is 'The rule sets it.';
comment on column dropwire.compiled_rules.due_in is 'The rule sets the due date so long from now.';
comment on column dropwire.compiled_rules.wanted is
  'The rule assigns the least loaded with one of these skills, or with the ticket''s category.';
comment on column dropwire.compiled_rules.done is 'What a success is logged with; null: the rule is not plain.';

-- One condition as a jsonpath predicate, null where there is none. No predicate but "is null" holds for a field that is
-- null or missing; inside AND and OR "unknown" does no more than "false".
create function dropwire.condition_path(p_path text, p_operator text, p_values text[]) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select case p_operator
    when 'equals' then v.equal
    when 'in' then v.equal
    when 'not_equals' then format('(%1$s != null && !%2$s)', f.name, v.equal)
    when 'not_in' then format('(%1$s != null && !%2$s)', f.name, v.equal)
    when 'contains' then v.containing
    when 'not_contains' then format('(%1$s != null && !%2$s)', f.name, v.containing)
    when 'starts_with' then v.starting
    when 'ends_with' then v.ending
    when 'is_null' then format('(!(%1$s != null && %1$s != ""))', f.name)
    when 'is_not_null' then format('(%1$s != null && %1$s != "")', f.name)
  end
  from (select format('$.%s', to_json(p_path)) as name) f
 cross join lateral (
   select coalesce('(' || string_agg(format('%s == %s', f.name, to_json(x.folded)), ' || ') || ')', '(1 == 2)') as equal,
          coalesce('(' || string_agg(case x.folded when '' then format('%s starts with ""', f.name)
            else format('%s like_regex %s flag "q"', f.name, to_json(x.folded)) end, ' || ') || ')', '(1 == 2)')
            as containing,
          coalesce('(' || string_agg(format('%s starts with %s', f.name, to_json(x.folded)), ' || ') || ')', '(1 == 2)')
            as starting,
          coalesce('(' || string_agg(format('%s like_regex %s', f.name,
            to_json(regexp_replace(x.folded, '([][\\^$.|?*+(){}])', '\\\1', 'g') || '$')), ' || ') || ')', '(1 == 2)')
            as ending
     from (select dropwire.fold(u) as folded from unnest(p_values) u where u is not null) x) v
$$;

-- A compiled rule's conditions as one jsonpath: inside a group left to right without precedence, groups by AND.
create function dropwire.rule_path(p_set_id bigint, p_place int) returns jsonpath
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  c record;
  v_predicate text;
  v_group text;
  v_groups text[] := '{}';
begin
  for c in
    select k.place, k.joins_by_or, s.paths[k.field] as path, k.condition ->> 'operator' as operator,
           array(select jsonb_array_elements_text(nullif(k.condition -> 'value', 'null'))) as given
      from dropwire.compiled_conditions k
      join dropwire.rule_sets s on s.id = k.set_id
     where k.set_id = p_set_id and k.rule_place = p_place
     order by k.group_place, k.place
  loop
    v_predicate := dropwire.condition_path(c.path, c.operator, c.given);
    if v_predicate is null then
      return null;
    elsif c.place = 1 then
      v_groups := v_groups || v_group;
      v_group := v_predicate;
    else
      v_group := format('(%s %s %s)', v_group, case when c.joins_by_or then '||' else '&&' end, v_predicate);
    end if;
  end loop;
  return case when v_group is null then '(1 == 1)' else array_to_string(v_groups || v_group, ' && ') end::jsonpath;
exception when others then
  return null;  -- no jsonpath: then by rule_holds()
end
$$;

-- What a rule's actions come to; is_plain is false where that takes more than these values, or another order.
create function dropwire.plain_actions(
  p_actions jsonb, out is_plain boolean, out priority text, out due_in interval, out wanted text[], out done jsonb
)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  v_action jsonb;
  v_params jsonb;
begin
  is_plain := true;
  done := '[]';
  for v_action in select * from jsonb_array_elements(p_actions) loop
    v_params := v_action -> 'params';
    is_plain := is_plain and v_action ->> 'after' is null and v_action ->> 'condition' is null
      and case v_action ->> 'type'
        when 'set_priority' then (priority, due_in, wanted) is null
          and v_params ->> 'priority' in ('low', 'medium', 'high', 'critical')
        when 'set_due_date' then (due_in, wanted) is null
          and jsonb_typeof(v_params -> 'value') = 'number' and (v_params ->> 'value')::numeric <> 0
          and coalesce(v_params ->> 'calculation', '') <> 'business_hours_from_now'
        when 'assign_executor' then wanted is null
          and coalesce(v_params ->> 'strategy', 'load_balance') in ('skill_match', 'load_balance')
        else false end is true;
    exit when not is_plain;
    case v_action ->> 'type'
      when 'set_priority' then
        priority := v_params ->> 'priority';
      when 'set_due_date' then
        due_in := case coalesce(v_params ->> 'calculation', 'hours_from_now')
          when 'hours_from_now' then (v_params ->> 'value')::numeric * interval '1 hour'
          when 'days_from_now' then (v_params ->> 'value')::numeric * interval '24 hours'
          else interval '24 hours' end;
      else
        wanted := array(select dropwire.fold(s) from jsonb_array_elements_text(
          case when jsonb_typeof(v_params -> 'skill_ids') = 'array' then v_params -> 'skill_ids' else '[]' end) s);
    end case;
    done := done || jsonb_build_object('action', v_action -> 'type', 'params', v_params);
  end loop;
exception when others then
  is_plain := false;  -- fails when it is carried out, and is logged
end
$$;

-- The paths that run_plain_rules() reads: texts of the ticket, and those of the complainant that the dashboard offers.
create function dropwire.is_plain_path(p_path text) returns boolean
language sql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
  select p_path in (
    'category', 'priority', 'type', 'status', 'location', 'title', 'description', 'building', 'floor', 'room',
    'complainant.email', 'complainant.department', 'complainant.designation_id', 'complainant.designation.name')
$$;

-- Compiles a tenant's rules anew: the sets (0018), then what an insert needs of them.
alter function dropwire.compile_rules(uuid) rename to compile_rule_sets;
create function dropwire.compile_rules(p_tenant_id uuid) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  -- A session keeps 32 expressions compiled; with more of them, LIKE is the faster way.
  c_most_patterns constant int := 16;
  v_set dropwire.rule_sets;
begin
  perform dropwire.compile_rule_sets(p_tenant_id);
  select * into v_set from dropwire.rule_sets s
   where s.tenant_id = p_tenant_id and s.event = 'on_create' and s.superseded_at is null;
  -- A guard that a rule's own effect may open is more than one pass over the rules can do.
  if not found or v_set.logs_skipped or 'priority' = any (v_set.guard_columns)
     or exists (select from unnest(v_set.paths) p where not dropwire.is_plain_path(p))
     or c_most_patterns < (select count(distinct t) from dropwire.compiled_conditions c cross join unnest(c.texts) t
                            where c.set_id = v_set.id
                              and c.condition ->> 'operator' in ('contains', 'not_contains', 'ends_with')) then
    return;
  end if;
  update dropwire.compiled_rules k
     set holds = dropwire.rule_path(k.set_id, k.place)
   where k.set_id = v_set.id;
  update dropwire.compiled_rules k
     set priority = a.priority, due_in = a.due_in, wanted = a.wanted, done = a.done
    from dropwire.compiled_rules x
   cross join dropwire.plain_actions(x.actions) a
   where x.set_id = v_set.id and x.holds is not null and x.matched is not null and x.max_executions is null and a.is_plain
     and k.set_id = x.set_id and k.place = x.place;
  update dropwire.rule_sets s
     set is_plain = true, reads_texts = s.paths && '{title,description}',
         path_guards = (select coalesce(jsonb_object_agg(s.paths[g.key::int], g.value), '{}') from jsonb_each(s.guards) g)
   where s.id = v_set.id
     -- Every ticket would meet it, and turn round there.
     and not exists (select from dropwire.compiled_rules k
                      where k.set_id = s.id and k.place = any (s.unguarded) and k.holds is null);
end
$$;

select dropwire.compile_rules(t.tenant_id)
  from (select distinct r.tenant_id from public.rules r where r.tenant_id is not null order by 1) t;

revoke execute on all functions in schema dropwire from public;
