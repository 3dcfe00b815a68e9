-- The rule engine, part three: executors' load, and who gets a ticket.

-- One narrow row per profile with all that choosing an executor needs. open_count follows the tickets by trigger, so
-- an assignment costs the same however many tickets are open.
create table dropwire.executor_load (
  profile_id uuid primary key references public.executor_profiles on delete cascade,
  tenant_id uuid not null,
  user_id uuid,
  is_available boolean not null,
  is_default boolean not null,
  capacity int,
  skills text[] not null,
  open_count int not null default 0,
  assigned_count int not null default 0,
  turn bigint
) with (fillfactor = 60);
-- The least loaded first.
create index executor_load_order_idx on dropwire.executor_load (tenant_id, open_count, assigned_count, profile_id);
create index executor_load_default_idx on dropwire.executor_load (tenant_id) where is_default;
comment on column dropwire.executor_load.is_available is 'Available, and the user active.';
comment on column dropwire.executor_load.capacity is 'Null: no limit.';
comment on column dropwire.executor_load.skills is 'Ids of skills, id and folded name of the category.';
comment on column dropwire.executor_load.open_count is 'Tickets open or in progress, but for what waits in executor_load_changes.';
comment on column dropwire.executor_load.turn is 'When round_robin chose the executor last; null: never.';

-- What could not be added to open_count because another transaction held the row: nobody waits for a counter. Whoever
-- changes the row next takes these along, at the latest run_due_rules.
create table dropwire.executor_load_changes (
  profile_id uuid not null,
  open_change int not null,
  assigned_change int not null
);
create index executor_load_changes_profile_idx on dropwire.executor_load_changes (profile_id);

create sequence dropwire.executor_turn;

create function dropwire.refresh_executors(p_profile_ids uuid[]) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  insert into dropwire.executor_load as l
    (profile_id, tenant_id, user_id, is_available, is_default, capacity, skills, assigned_count)
  select ep.id, ep.tenant_id, ep.user_id, coalesce(ep.availability_status = 'available' and u.is_active, false),
         ep.is_default_executor,
         case when coalesce(ep.max_concurrent_tickets, 10) > 0 then coalesce(ep.max_concurrent_tickets, 10) end,
         array_remove((ep.skills || ep.category_id)::text[] || dropwire.fold(c.name), null),
         ep.assigned_tickets_count
    from public.executor_profiles ep
    left join public.users u on u.id = ep.user_id
    left join public.categories c on c.id = ep.category_id
   where ep.id = any (p_profile_ids)
   order by ep.id
  on conflict (profile_id) do update
     set tenant_id = excluded.tenant_id, user_id = excluded.user_id, is_available = excluded.is_available,
         is_default = excluded.is_default, capacity = excluded.capacity, skills = excluded.skills
$$;

create function dropwire.executor_changed() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform dropwire.refresh_executors(case tg_table_name
    when 'executor_profiles' then array[new.id]
    when 'users' then array(select ep.id from public.executor_profiles ep where ep.user_id = new.id)
    else array(select ep.id from public.executor_profiles ep where ep.category_id = new.id) end);
  return null;
end
$$;
create trigger trigger_executor_changed after insert or update of
  tenant_id, user_id, category_id, skills, max_concurrent_tickets, availability_status, is_default_executor
  on public.executor_profiles for each row execute function dropwire.executor_changed();
create trigger trigger_executor_changed after update of is_active on public.users
  for each row when (old.is_active is distinct from new.is_active) execute function dropwire.executor_changed();
create trigger trigger_executor_changed after update of name on public.categories
  for each row when (old.name <> new.name) execute function dropwire.executor_changed();

-- Adds to an executor's counters, or leaves word where the row is held by another transaction.
create function dropwire.change_load(p_profile_id uuid, p_open int, p_assigned int) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_open int;
  v_assigned int;
  v_has_waiting boolean;
begin
  update dropwire.executor_load l
     set open_count = l.open_count + p_open, assigned_count = l.assigned_count + p_assigned
   where l.profile_id = (select x.profile_id from dropwire.executor_load x
                          where x.profile_id = p_profile_id for no key update skip locked)
  returning l.open_count, l.assigned_count,
            exists (select from dropwire.executor_load_changes c where c.profile_id = p_profile_id)
    into v_open, v_assigned, v_has_waiting;
  if not found then
    if (p_open, p_assigned) <> (0, 0) then
      insert into dropwire.executor_load_changes (profile_id, open_change, assigned_change)
      values (p_profile_id, p_open, p_assigned);
    end if;
    return;
  end if;
  if v_has_waiting then
    with waiting as (
      delete from dropwire.executor_load_changes c where c.profile_id = p_profile_id
      returning c.open_change, c.assigned_change
    )
    update dropwire.executor_load l
       set open_count = l.open_count + w.open, assigned_count = l.assigned_count + w.assigned
      from (select sum(x.open_change) as open, sum(x.assigned_change) as assigned from waiting x) w
     where l.profile_id = p_profile_id and w.open is not null
    returning l.open_count, l.assigned_count into v_open, v_assigned;
  end if;
  -- For display: who holds the row writes it next time.
  update public.executor_profiles ep
     set open_tickets_count = v_open, assigned_tickets_count = v_assigned
   where ep.id = (select x.id from public.executor_profiles x where x.id = p_profile_id for no key update skip locked);
end
$$;

create function dropwire.is_open(p_status text) returns boolean
language sql immutable parallel safe as $$ select p_status in ('open', 'in-progress') $$;

create function dropwire.ticket_load_changed() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  -- Whoever assigned it by rule says so; a client counts its own assignments.
  v_assigned constant int := case when pg_catalog.current_setting('dropwire.actor', true) = 'rules' then 1 else 0 end;
begin
  if old.executor_profile_id is not null and dropwire.is_open(old.status)
     and (new.id is null or new.executor_profile_id is distinct from old.executor_profile_id
          or not dropwire.is_open(new.status)) then
    perform dropwire.change_load(old.executor_profile_id, -1, 0);
  end if;
  if new.executor_profile_id is not null then
    if new.executor_profile_id is distinct from old.executor_profile_id then
      perform dropwire.change_load(new.executor_profile_id, dropwire.is_open(new.status)::int, v_assigned);
    elsif dropwire.is_open(new.status) and not dropwire.is_open(old.status) then
      perform dropwire.change_load(new.executor_profile_id, 1, 0);
    end if;
  end if;
  return null;
end
$$;
-- By name before the triggers that run rules.
create trigger trigger_load_inserted after insert on public.tickets
  for each row when (new.executor_profile_id is not null) execute function dropwire.ticket_load_changed();
create trigger trigger_load_updated after update on public.tickets
  for each row when (old.executor_profile_id is distinct from new.executor_profile_id
                  or new.executor_profile_id is not null and old.status is distinct from new.status)
  execute function dropwire.ticket_load_changed();
create trigger trigger_load_deleted after delete on public.tickets
  for each row when (old.executor_profile_id is not null) execute function dropwire.ticket_load_changed();

-- Counts everything anew from the tickets: at migration, after a restore without triggers or a truncate.
create function dropwire.recount_executor_load() returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  lock table dropwire.executor_load in share row exclusive mode;
  delete from dropwire.executor_load_changes;
  perform dropwire.refresh_executors(array(select ep.id from public.executor_profiles ep));
  update dropwire.executor_load l
     set open_count = c.open_count
    from (select x.profile_id, count(t.id) as open_count
            from dropwire.executor_load x
            left join public.tickets t on t.executor_profile_id = x.profile_id and t.status in ('open', 'in-progress')
           group by x.profile_id) c
   where c.profile_id = l.profile_id and c.open_count <> l.open_count;
end
$$;
create function dropwire.tickets_truncated() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform dropwire.recount_executor_load();
  perform dropwire.change_load(l.profile_id, 0, 0) from dropwire.executor_load l;  -- shows it
  return null;
end
$$;
create trigger trigger_load_truncated after truncate on public.tickets
  for each statement execute function dropwire.tickets_truncated();

select dropwire.recount_executor_load();
-- Loads are not counted from it any more.
drop index public.idx_tickets_executor_open;
comment on column public.executor_profiles.open_tickets_count is 'The load, for display: kept by triggers, behind by moments at most.';

-- Choosing an executor ----------------------------------------------------------------------------------------------
-- Who could take a ticket, the best first. p_wanted null: whatever the skills; p_profile_id null: anybody;
-- p_current is the ticket's own assignee, whose load it does not count into.
create function dropwire.executors_with_room(
  p_tenant_id uuid, p_wanted text[], p_profile_id uuid, p_current uuid, p_in_turn boolean
) returns table (profile_id uuid, capacity int)
language sql stable as $$
  select x.profile_id, x.capacity
    from (
      select l.profile_id, l.capacity, l.turn, l.assigned_count,
             l.open_count - (l.profile_id is not distinct from p_current)::int
               + case when (select exists (select from dropwire.executor_load_changes))
                      then coalesce((select sum(c.open_change)::int from dropwire.executor_load_changes c
                                      where c.profile_id = l.profile_id), 0)
                      else 0 end as load
        from dropwire.executor_load l
       where l.tenant_id = p_tenant_id and l.is_available
         and (p_wanted is null or l.skills && p_wanted)
         and (p_profile_id is null or l.profile_id = p_profile_id)
      offset 0) x
   where x.capacity is null or x.load < x.capacity
   order by case when p_in_turn then coalesce(x.turn, 0) else x.load end, x.assigned_count, x.profile_id
$$;

-- Chooses one and, unless p_is_dry, holds his row until the transaction ends. Rows that others hold are passed over:
-- tickets that come at once go to different executors, and nobody waits. Only when all who have room are held, and
-- have a limit, is one waited for; what he has room for is then read again.
create function dropwire.choose_executor(
  p_tenant_id uuid, p_wanted text[], p_profile_id uuid, p_current uuid, p_in_turn boolean, p_is_dry boolean,
  out profile_id uuid, out user_id uuid
)
language plpgsql volatile as $$
declare
  v_best record;
  v_candidates uuid[];
  v_is_held boolean;
  v_has_room boolean;
begin
  -- As a rule the first in the order of the index will do. Where counts wait to be added, the order is another one, and
  -- who seems to have room may have none.
  if p_wanted is not null and p_profile_id is null and p_current is null and not p_in_turn and not p_is_dry then
    select l.profile_id, l.user_id, l.capacity into v_best
      from dropwire.executor_load l
     where l.tenant_id = p_tenant_id and l.is_available and l.skills && p_wanted
       and (l.capacity is null or l.open_count < l.capacity)
       and not exists (select from dropwire.executor_load_changes)
     order by l.open_count, l.assigned_count, l.profile_id
     limit 1
       for no key update of l skip locked;
    v_has_room := found;
    if v_has_room and v_best.capacity is not null then
      v_has_room := exists (select from dropwire.executors_with_room(
        p_tenant_id, p_wanted, v_best.profile_id, p_current, p_in_turn));
    end if;
    if v_has_room then
      profile_id := v_best.profile_id;
      user_id := v_best.user_id;
      return;
    end if;
  end if;
  loop
    v_candidates := array(
      select r.profile_id from dropwire.executors_with_room(p_tenant_id, p_wanted, p_profile_id, p_current, p_in_turn) r
       limit 32);
    exit when v_candidates = '{}';

    if not p_is_dry then
      select l.profile_id, l.user_id, l.capacity into v_best
        from unnest(v_candidates) with ordinality as c (id, place)
        join dropwire.executor_load l on l.profile_id = c.id
       where l.is_available
         and (l.capacity is null or l.open_count - (l.profile_id is not distinct from p_current)::int < l.capacity)
       order by c.place
       limit 1
         for no key update of l skip locked;
      v_is_held := found;
    end if;
    if v_is_held is not true then
      select l.profile_id, l.user_id, l.capacity into v_best
        from unnest(v_candidates) with ordinality as c (id, place)
        join dropwire.executor_load l on l.profile_id = c.id
       order by l.capacity is not null and not p_in_turn and not p_is_dry, c.place
       limit 1;
      -- Nobody else's business, where there is no limit.
      if not p_is_dry and (v_best.capacity is not null or p_in_turn) then
        perform from dropwire.executor_load l where l.profile_id = v_best.profile_id for no key update;
      end if;
    end if;

    -- Held, a count stays as it is now; it may have grown since it was read.
    v_has_room := p_is_dry or v_best.capacity is null;
    if not v_has_room then
      v_has_room := exists (select from dropwire.executors_with_room(
        p_tenant_id, p_wanted, v_best.profile_id, p_current, p_in_turn));
    end if;
    if v_has_room then
      profile_id := v_best.profile_id;
      user_id := v_best.user_id;
      if p_in_turn and not p_is_dry then
        update dropwire.executor_load l set turn = nextval('dropwire.executor_turn') where l.profile_id = v_best.profile_id;
      end if;
      return;
    end if;
  end loop;
end
$$;

alter table dropwire.executor_load enable row level security;
alter table dropwire.executor_load_changes enable row level security;
revoke execute on all functions in schema dropwire from public;
