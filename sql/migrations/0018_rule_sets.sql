-- The rule engine, part two: from what clients store to what an insert evaluates.
--
-- rules, conditions and actions stay as clients write them. Triggers on them compile each tenant's active rules, per
-- trigger event, into a set: values folded, numbers parsed, patterns translated, paths numbered. A set is never
-- changed: a later one supersedes it and it stays for an hour, so that a ticket that began with it ends with it.

create table dropwire.rule_sets (
  id bigint generated always as identity primary key,
  tenant_id uuid not null,
  event text not null,
  paths text[] not null,
  numeric_paths boolean[] not null,
  reads_complainant boolean not null,
  reads_executor boolean not null,
  read_columns text[] not null default '{}',
  guards jsonb not null default '{}',
  guard_columns text[] not null default '{}',
  unguarded int[] not null default '{}',
  tenant_events text[] not null,
  logs_skipped boolean not null,
  superseded_at timestamptz
);
create unique index rule_sets_current_idx on dropwire.rule_sets (tenant_id, event) where superseded_at is null;
comment on table dropwire.rule_sets is 'A tenant''s active rules for one trigger event, compiled. Never changed but to be superseded.';
comment on column dropwire.rule_sets.paths is 'The field paths that conditions read, as field_path() writes them; compiled conditions name them by place.';
comment on column dropwire.rule_sets.read_columns is
  'The ticket columns that conditions depend on; complainant_id for the fields of the complainant.';
comment on column dropwire.rule_sets.guards is
  'Where a rule has a condition of equality that must hold for it to hold, one of those: {field: {folded text: [place, ..]}}. '
  'Most rules are thereby not even looked at.';
comment on column dropwire.rule_sets.guard_columns is 'The ticket columns that guards depend on.';
comment on column dropwire.rule_sets.unguarded is 'The places of the other rules.';
comment on column dropwire.rule_sets.tenant_events is 'The events for which the tenant has rules, this one included.';
comment on column dropwire.rule_sets.logs_skipped is 'settings.log_skipped_rules.';
comment on column dropwire.rule_sets.numeric_paths is 'Which of the paths some condition reads as a number.';

create type dropwire.compiled_test as (
  group_place int, joins_by_or boolean, field int, test smallint, texts text[], numbers double precision[]);

create table dropwire.compiled_rules (
  set_id bigint not null references dropwire.rule_sets on delete cascade,
  place int not null,
  rule_id uuid not null,
  rule_type text not null,
  stops boolean not null,
  max_executions int,
  tests dropwire.compiled_test[] not null default '{}',
  matched jsonb,
  actions jsonb not null,
  primary key (set_id, place)
) with (toast_tuple_target = 128);
-- Compressed once, here: logs take it over as it is stored.
alter table dropwire.compiled_rules alter matched set storage main, alter actions set storage main, alter tests set storage main;
comment on column dropwire.compiled_rules.place is 'In the order of execution: type, priority_order, age.';
comment on column dropwire.compiled_rules.tests is 'Its compiled_conditions, in their order, as an insert evaluates them.';
comment on column dropwire.compiled_rules.matched is
  'What a success is logged with when every condition holds; null where the rule may match otherwise.';
comment on column dropwire.compiled_rules.actions is 'id, type, params, after (minutes, null: at once) and condition of each, by step.';

create table dropwire.compiled_conditions (
  set_id bigint not null references dropwire.rule_sets on delete cascade,
  rule_place int not null,
  group_place int not null,
  place int not null,
  joins_by_or boolean,
  field int not null,
  test smallint not null,
  texts text[] not null,
  numbers double precision[],
  condition jsonb,
  primary key (set_id, rule_place, group_place, place)
);
comment on column dropwire.compiled_conditions.joins_by_or is 'How it joins the one before it in its group; null for the first.';
comment on column dropwire.compiled_conditions.condition is 'The row as it is logged.';

-- Compiles a tenant's rules anew.
create function dropwire.compile_rules(p_tenant_id uuid) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_one_group constant boolean := (select s.ungrouped_conditions = 'one group' from dropwire.settings s);
  v_events text[];
  v_event text;
  v_set bigint;
begin
  -- Compilers of a tenant take turns until they commit, so that the last one sees everybody's rules.
  perform pg_advisory_xact_lock(hashtextextended('dropwire.compile_rules ' || p_tenant_id, 0));
  update dropwire.rule_sets set superseded_at = now() where tenant_id = p_tenant_id and superseded_at is null;
  delete from dropwire.rule_sets where tenant_id = p_tenant_id and superseded_at < now() - interval '1 hour';

  v_events := array(
    select distinct r.trigger_event::text from public.rules r where r.tenant_id = p_tenant_id and r.is_active);
  foreach v_event in array v_events loop
    insert into dropwire.rule_sets
      (tenant_id, event, tenant_events, logs_skipped, paths, numeric_paths, reads_complainant, reads_executor)
    select p_tenant_id, v_event, v_events, (select c.log_skipped_rules from dropwire.settings c),
           coalesce(array_agg(f.path), '{}'), coalesce(array_agg(f.is_numeric), '{}'),
           coalesce(bool_or(split_part(f.path, '.', 1) = 'complainant'), false),
           coalesce(bool_or(split_part(f.path, '.', 1) = 'executor_profile'), false)
      from (select dropwire.field_path(c.field_path) as path, bool_or(dropwire.condition_test(c.operator) between 5 and 9) as is_numeric
              from public.rules r
              join public.conditions c on c.rule_id = r.id
             where r.tenant_id = p_tenant_id and r.is_active and r.trigger_event = v_event
             group by 1) f
    returning id into v_set;

    insert into dropwire.compiled_rules (set_id, place, rule_id, rule_type, stops, max_executions, matched, actions)
    select v_set, row_number() over (order by r.rule_type, r.priority_order, r.created_at, r.id),
           r.id, r.rule_type, coalesce(r.stop_on_match, false), r.max_executions,
           case when not exists (select from public.conditions c where c.rule_id = r.id and c.logical_operator = 'OR') then
             (select coalesce(jsonb_object_agg(c.id, jsonb_build_object('condition', to_jsonb(c), 'result', true)), '{}')
                from public.conditions c where c.rule_id = r.id) end,
           (select coalesce(jsonb_agg(jsonb_build_object(
                     'id', a.id, 'type', a.action_type, 'params', a.action_params,
                     'after', case when a.trigger_after_minutes > 0 then a.trigger_after_minutes end,
                     'condition', nullif(btrim(a.action_condition), '')) order by a.step_order, a.id), '[]')
              from public.actions a where a.rule_id = r.id)
      from public.rules r
     where r.tenant_id = p_tenant_id and r.is_active and r.trigger_event = v_event;

    insert into dropwire.compiled_conditions
      (set_id, rule_place, group_place, place, joins_by_or, field, test, texts, numbers, condition)
    select v_set, g.rule_place, g.group_place,
           row_number() over w,
           case when row_number() over w > 1 then coalesce((g.c).logical_operator = 'OR', false) end,
           array_position(s.paths, dropwire.field_path((g.c).field_path)),
           dropwire.condition_test((g.c).operator),
           dropwire.condition_texts((g.c).operator, (g.c).value),
           dropwire.condition_numbers((g.c).operator, (g.c).value),
           to_jsonb(g.c)
      from dropwire.rule_sets s
     cross join lateral (
       select k.place as rule_place, c,
              dense_rank() over (partition by c.rule_id
                order by c.group_id nulls first, case when c.group_id is null and not v_one_group then c.id end) as group_place
         from dropwire.compiled_rules k
         join public.conditions c on c.rule_id = k.rule_id
        where k.set_id = v_set) g
     where s.id = v_set
    window w as (partition by g.rule_place, g.group_place order by (g.c).sequence, (g.c).id);

    update dropwire.compiled_rules k
       set tests = array(select row(c.group_place, c.joins_by_or, c.field, c.test, c.texts, c.numbers)::dropwire.compiled_test
                           from dropwire.compiled_conditions c
                          where c.set_id = v_set and c.rule_place = k.place
                          order by c.group_place, c.place)
     where k.set_id = v_set;

    -- Of a group joined by AND alone every condition must hold; the one that few tickets pass is anybody's guess.
    with guards as (
      select distinct on (c.rule_place) c.rule_place, c.field, c.texts
        from dropwire.compiled_conditions c
       where c.set_id = v_set and c.test = 1
         and not exists (select from dropwire.compiled_conditions o
                          where o.set_id = c.set_id and o.rule_place = c.rule_place
                            and o.group_place = c.group_place and o.joins_by_or)
       order by c.rule_place, cardinality(c.texts), c.group_place, c.place
    ), texts as (
      select g.field, t.text, jsonb_agg(distinct g.rule_place) as places
        from guards g cross join unnest(g.texts) as t (text)
       group by g.field, t.text
    )
    update dropwire.rule_sets s
       set read_columns = array(select distinct dropwire.field_column(p) from unnest(s.paths) p),
           guards = (select coalesce(jsonb_object_agg(f.field, f.places), '{}')
                       from (select t.field, jsonb_object_agg(t.text, t.places) as places from texts t group by t.field) f),
           guard_columns = array(select distinct dropwire.field_column(s.paths[g.field]) from guards g),
           unguarded = array(select k.place from dropwire.compiled_rules k
                              where k.set_id = v_set and k.place not in (select g.rule_place from guards g)
                              order by k.place)
     where s.id = v_set;
  end loop;
end
$$;

-- Statement triggers: a dashboard's insert of many conditions compiles once. A rule that a cascade has deleted is
-- looked after by the trigger on rules.
create function dropwire.rules_changed() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_tenants uuid[];
begin
  if tg_op = 'TRUNCATE' then
    v_tenants := array(select distinct s.tenant_id from dropwire.rule_sets s where s.superseded_at is null);
  else
    -- Only the names that the operation has can be parsed.
    execute format(
      case tg_table_name when 'rules'
        then 'select array_agg(distinct c.tenant_id) from (%s) c'
        else 'select array_agg(distinct r.tenant_id) from (%s) c join public.rules r on r.id = c.rule_id' end,
      case tg_op when 'INSERT' then 'select * from new_rows'
                 when 'DELETE' then 'select * from old_rows'
                 else 'select * from new_rows union all select * from old_rows' end)
    into v_tenants;
  end if;
  -- In one order, so that two statements over the same tenants cannot deadlock.
  perform dropwire.compile_rules(t) from unnest(v_tenants) t where t is not null order by t;
  return null;
end
$$;

do $$
declare
  v_table text;
begin
  foreach v_table in array array['rules', 'conditions', 'actions'] loop
    execute format('create trigger trigger_rules_inserted after insert on public.%I referencing new table as new_rows
                      for each statement execute function dropwire.rules_changed()', v_table);
    execute format('create trigger trigger_rules_updated after update on public.%I
                      referencing old table as old_rows new table as new_rows
                      for each statement execute function dropwire.rules_changed()', v_table);
    execute format('create trigger trigger_rules_deleted after delete on public.%I referencing old table as old_rows
                      for each statement execute function dropwire.rules_changed()', v_table);
    execute format('create trigger trigger_rules_truncated after truncate on public.%I
                      for each statement execute function dropwire.rules_changed()', v_table);
  end loop;
end
$$;

create function dropwire.settings_changed() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform dropwire.compile_rules(t.tenant_id)
     from (select distinct r.tenant_id from public.rules r where r.tenant_id is not null order by 1) t;
  return null;
end
$$;
create trigger settings_changed after update of ungrouped_conditions, log_skipped_rules on dropwire.settings
  for each row
  when (old.ungrouped_conditions <> new.ungrouped_conditions or old.log_skipped_rules <> new.log_skipped_rules)
  execute function dropwire.settings_changed();

select dropwire.compile_rules(t.tenant_id)
  from (select distinct r.tenant_id from public.rules r where r.tenant_id is not null order by 1) t;

alter table dropwire.rule_sets enable row level security;
alter table dropwire.compiled_rules enable row level security;
alter table dropwire.compiled_conditions enable row level security;
revoke execute on all functions in schema dropwire from public;
