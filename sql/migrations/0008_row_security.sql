-- Who reads and writes which rows: the helpers that policies ask, grants that follow the same matrix, and the policies.
--
-- The callers: a platform admin (users.role admin, no tenant) has every row; a tenant_admin, and an admin who carries
-- a tenant, administers that one tenant; executors and complainants take part in it. service_role has everything,
-- anon may register a tenant and nothing else. What roles must not change inside their rows is 0009.
--
-- How the policies are written, and why:
--   Helpers run with the owner's rights. A policy that itself reads a table with policies ends in a loop (42P17).
--   What depends on the caller alone stands in `(select ..)` or `array(select ..)`: the planner makes it an InitPlan,
--   evaluated once per statement and not once per row.
--   An admin's rights are `tenant_id = any (..)` and not `is_platform_admin() or ..`: one arm of an OR that tests no
--   column takes every index away, from the other roles too.

-- The callers -------------------------------------------------------------------------------------------------------
-- `or replace` for those in public: a database that comes from the original has them, and its own policies hold them.
create or replace function public.get_user_tenant_id() returns uuid
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select u.tenant_id from public.users u where u.id = auth.uid()
$$;
comment on function public.get_user_tenant_id() is 'The caller''s tenant; null for platform admins and without a token.';

-- Null for whoever has no row in users: keys without a user, and accounts that have just signed up.
create function dropwire.caller_role() returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select u.role from public.users u where u.id = auth.uid()
$$;

create function dropwire.is_platform_admin() returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select exists (select from public.users u where u.id = auth.uid() and u.role = 'admin' and u.tenant_id is null)
$$;

-- All of them for a platform admin; the own one for a tenant_admin and for an admin who carries a tenant.
create function dropwire.administered_tenants() returns setof uuid
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select u.tenant_id
    from public.users u
   where u.id = auth.uid() and u.role in ('admin', 'tenant_admin') and u.tenant_id is not null
  union all
  select n.id from public.tenants n where (select dropwire.is_platform_admin())
$$;

create function dropwire.caller_profile_ids() returns setof uuid
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select ep.id
    from public.executor_profiles ep
    join public.users u on u.id = ep.user_id
   where u.id = auth.uid() and u.role = 'executor'
$$;

-- Executors and complainants may log what a rule did, yet not read rules.
create function dropwire.rule_tenant_id(p_rule_id uuid) returns uuid
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select r.tenant_id from public.rules r where r.id = p_rule_id
$$;

-- Registration ------------------------------------------------------------------------------------------------------
-- Lets `insert .. returning` show the new row and hides every other. RETURNING asks the select policy before the row
-- is stored, and only then this is false; a row that a query finds is always stored. Stable is what makes that so:
-- the function looks with the very snapshot of the statement that asks. (xmin cannot tell: a row has none yet.)
create function dropwire.tenant_is_stored(p_tenant_id uuid) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select exists (select from public.tenants n where n.id = p_tenant_id)
$$;

-- Whether the tenant waits for its first user: registered within the hour, unapproved, nobody in it. Volatile and
-- with a lock, so that of two accounts that try at once the second sees the first.
create function dropwire.awaits_founder(p_tenant_id uuid) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform from public.tenants n
   where n.id = p_tenant_id and n.approved is not true
     and n.created_at between pg_catalog.now() - interval '1 hour' and pg_catalog.now()
     for no key update;
  return found and not exists (select from public.users u where u.tenant_id = p_tenant_id);
end
$$;

-- The original's other helpers, which clients may call --------------------------------------------------------------
create or replace function public.can_tenant_admin_access_executor_profile(profile_id uuid) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select exists (select
                   from public.users u
                   join public.executor_profiles ep on ep.tenant_id = u.tenant_id
                  where u.id = auth.uid() and u.role = 'tenant_admin' and ep.id = profile_id)
$$;
comment on function public.can_tenant_admin_access_executor_profile(uuid) is
  'Whether the caller is tenant_admin of the profile''s tenant.';

create or replace function public.can_tenant_admin_create_executor_profile(target_tenant_id uuid) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select exists (select
                   from public.users u
                  where u.id = auth.uid() and u.role = 'tenant_admin' and u.tenant_id = target_tenant_id)
$$;
comment on function public.can_tenant_admin_create_executor_profile(uuid) is
  'Whether the caller is tenant_admin of the tenant.';

-- Of the command only the address comes back, without its query: the original showed the service key that stands in
-- it, and what is picked out cannot leak what a list of things to hide forgets.
create or replace function public.check_ticket_webhook_cron_scheduled()
returns table (
  job_id bigint, schedule text, command text, nodename text, nodeport integer, database text, username text,
  active boolean
)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  if pg_catalog.to_regclass('cron.job') is null then
    return;  -- pg_cron is not installed
  end if;
  -- Parsed only here: without pg_cron there is nothing to parse it against.
  return query execute $job$
    select j.jobid, j.schedule,
           coalesce(substring(j.command from $re$https?://[^\s'"@?#]+/functions/v1/ticket-activity-webhook$re$),
                    '(hidden)'),
           j.nodename, j.nodeport, j.database, j.username, j.active
      from cron.job j
     where j.jobname = 'ticket-activity-webhook-dispatcher' or j.command like '%/ticket-activity-webhook%'
     order by j.jobid
  $job$;
end
$$;
comment on function public.check_ticket_webhook_cron_scheduled() is
  'The cron jobs that call the dispatcher; no row: none, or no pg_cron. command is the address alone.';

-- Supabase's default privileges give the three roles execute on what is created in public, so they are named.
revoke execute on function
  public.get_user_tenant_id(),
  public.can_tenant_admin_access_executor_profile(uuid),
  public.can_tenant_admin_create_executor_profile(uuid),
  public.check_ticket_webhook_cron_scheduled(),
  public.generate_ticket_number(),
  public.enqueue_ticket_activity_webhook()
from public, anon, authenticated;
grant execute on function
  public.get_user_tenant_id(),
  public.can_tenant_admin_access_executor_profile(uuid),
  public.can_tenant_admin_create_executor_profile(uuid)
to anon, authenticated, service_role;
grant execute on function public.check_ticket_webhook_cron_scheduled() to authenticated, service_role;

revoke execute on all functions in schema dropwire from public;
-- A policy calls its functions as the caller, but holds them by their oid: no usage on the schema is needed.
grant execute on function dropwire.caller_role(), dropwire.tenant_is_stored(uuid) to anon, authenticated;
grant execute on function
  dropwire.is_platform_admin(),
  dropwire.administered_tenants(),
  dropwire.caller_profile_ids(),
  dropwire.rule_tenant_id(uuid),
  dropwire.awaits_founder(uuid)
to authenticated;

-- A clean slate -----------------------------------------------------------------------------------------------------
-- Policies add up, so one that is left from before would undo the matrix; and on Supabase default privileges have
-- given anon and authenticated everything.
do $$
declare
  v_table text;
  v_policy name;
begin
  foreach v_table in array array[
    'tenants', 'designations', 'users', 'categories', 'priorities', 'executor_skill', 'executor_skills',
    'executor_profiles', 'executors', 'tickets', 'ticket_activities', 'ticket_webhook_queue', 'tenant_notifications',
    'executor_ticket_sessions', 'telegram_messages', 'rules', 'conditions', 'actions', 'rule_execution_logs',
    'business_hours', 'holidays', 'sla_configurations']
  loop
    for v_policy in
      select p.policyname from pg_catalog.pg_policies p where p.schemaname = 'public' and p.tablename = v_table
    loop
      raise notice 'dropping policy "%" on %: the matrix takes its place', v_policy, v_table;
      execute format('drop policy %I on public.%I', v_policy, v_table);
    end loop;
    execute format('alter table public.%I enable row level security', v_table);
    execute format('revoke all on public.%I from public, anon, authenticated', v_table);
    -- For a service_role that an ordinary owner created, which has no bypassrls.
    execute format('create policy service_role_all on public.%I to service_role using (true) with check (true)',
      v_table);
  end loop;
end
$$;
revoke all on sequence public.ticket_number_seq, public.ticket_webhook_queue_seq_seq
  from public, anon, authenticated;

-- Grants ------------------------------------------------------------------------------------------------------------
-- ticket_webhook_queue, executor_ticket_sessions, telegram_messages and sla_configurations: service_role's alone.
grant select, insert on public.tenants to anon;
grant select, insert, update, delete on
  public.tenants, public.designations, public.users, public.categories, public.priorities, public.executor_skill,
  public.executor_skills, public.executor_profiles, public.executors, public.tickets, public.rules, public.conditions,
  public.actions, public.business_hours, public.holidays
to authenticated;
-- What has happened is not rewritten.
grant select, insert on public.ticket_activities, public.rule_execution_logs to authenticated;
grant select, update (status, read_at) on public.tenant_notifications to authenticated;

-- Tenants -----------------------------------------------------------------------------------------------------------
create policy members_read on public.tenants for select to authenticated
  using (id = (select public.get_user_tenant_id()) or (select dropwire.is_platform_admin()));
create policy administrators_update on public.tenants for update to authenticated
  using (id = any (array(select dropwire.administered_tenants())));
create policy platform_admins_insert on public.tenants for insert to authenticated
  with check ((select dropwire.is_platform_admin()));
create policy platform_admins_delete on public.tenants for delete to authenticated
  using ((select dropwire.is_platform_admin()));
-- Also for an account that signed up first: it could as well ask without its token.
create policy strangers_register on public.tenants for insert to anon, authenticated
  with check ((select dropwire.caller_role()) is null);
create policy strangers_see_what_they_insert on public.tenants for select to anon, authenticated
  using ((select dropwire.caller_role()) is null and not dropwire.tenant_is_stored(id));

-- Users -------------------------------------------------------------------------------------------------------------
create policy members_read on public.users for select to authenticated
  using (id = (select auth.uid()) or tenant_id = (select public.get_user_tenant_id()));
create policy administrators_manage on public.users to authenticated
  using (tenant_id = any (array(select dropwire.administered_tenants()))
      or tenant_id is null and (select dropwire.is_platform_admin()));
create policy own_row_update on public.users for update to authenticated
  using (id = (select auth.uid()));
create policy founder_insert on public.users for insert to authenticated
  with check (id = (select auth.uid()) and role = 'tenant_admin' and dropwire.awaits_founder(tenant_id));

-- Tickets -----------------------------------------------------------------------------------------------------------
create policy administrators_manage on public.tickets to authenticated
  using (tenant_id = any (array(select dropwire.administered_tenants()))
      or tenant_id is null and (select dropwire.is_platform_admin()));
-- The tenant too, here and below: nobody reaches across because somebody over there wrote his id into a ticket.
create policy complainants_read on public.tickets for select to authenticated
  using (tenant_id = (select public.get_user_tenant_id()) and complainant_id = (select auth.uid()));
-- A new ticket is open and nobody's: state and assignment are for the rules and the tenant.
create policy complainants_create on public.tickets for insert to authenticated
  with check (tenant_id = (select public.get_user_tenant_id())
          and complainant_id = (select auth.uid())
          and (select dropwire.caller_role()) = 'complainant'
          and status = 'open' and executor_profile_id is null and executor_id is null);
-- Clients without profiles write the user into executor_id.
create policy executors_read on public.tickets for select to authenticated
  using (tenant_id = (select public.get_user_tenant_id())
     and (executor_profile_id = any (array(select dropwire.caller_profile_ids()))
       or executor_id = (select auth.uid()) and (select dropwire.caller_role()) = 'executor'));
create policy executors_update on public.tickets for update to authenticated
  using (tenant_id = (select public.get_user_tenant_id())
     and (executor_profile_id = any (array(select dropwire.caller_profile_ids()))
       or executor_id = (select auth.uid()) and (select dropwire.caller_role()) = 'executor'));

-- What hangs on a ticket --------------------------------------------------------------------------------------------
-- The subqueries run under the policies of tickets: who sees the ticket.
create policy ticket_readers_read on public.ticket_activities for select to authenticated
  using (exists (select from public.tickets t where t.id = ticket_id));
-- The tenant decides where the webhook goes. Only who administers the tenant may write in another's name.
create policy ticket_readers_create on public.ticket_activities for insert to authenticated
  with check (exists (select from public.tickets t
                       where t.id = ticket_id
                         and (ticket_activities.tenant_id is null or ticket_activities.tenant_id = t.tenant_id)
                         and (created_by is null or created_by = (select auth.uid())
                           or t.tenant_id = any (array(select dropwire.administered_tenants()))
                           or (select dropwire.is_platform_admin()))));

create policy rule_readers_read on public.rule_execution_logs for select to authenticated
  using (exists (select from public.rules r where r.id = rule_id));
create policy ticket_readers_create on public.rule_execution_logs for insert to authenticated
  with check (exists (select from public.tickets t
                       where t.id = ticket_id and t.tenant_id = dropwire.rule_tenant_id(rule_id)));

-- Of the whole tenant: a notification's user_id says whom it is about.
create policy administrators_read on public.tenant_notifications for select to authenticated
  using (tenant_id = any (array(select dropwire.administered_tenants())));
create policy administrators_update on public.tenant_notifications for update to authenticated
  using (tenant_id = any (array(select dropwire.administered_tenants())));

-- Settings ----------------------------------------------------------------------------------------------------------
-- Managed alike: by whoever administers the tenant; rows of no tenant belong to the platform.
do $$
declare
  v_table text;
begin
  foreach v_table in array array[
    'categories', 'priorities', 'designations', 'business_hours', 'holidays', 'executor_skill', 'executor_profiles',
    'rules']
  loop
    execute format($policy$
      create policy administrators_manage on public.%I to authenticated
        using (tenant_id = any (array(select dropwire.administered_tenants()))
            or tenant_id is null and (select dropwire.is_platform_admin()))
      $policy$, v_table);
  end loop;
end
$$;

-- Rows of no tenant are everybody's to read, for those who have a row in users.
create policy members_read on public.categories for select to authenticated
  using (tenant_id = (select public.get_user_tenant_id())
      or tenant_id is null and (select dropwire.caller_role()) is not null);
create policy members_read on public.priorities for select to authenticated
  using (is_active
     and (tenant_id = (select public.get_user_tenant_id())
       or tenant_id is null and (select dropwire.caller_role()) is not null));
create policy members_read on public.designations for select to authenticated
  using (active
     and (tenant_id = (select public.get_user_tenant_id())
       or tenant_id is null and (select dropwire.caller_role()) is not null));
create policy members_read on public.business_hours for select to authenticated
  using (tenant_id = (select public.get_user_tenant_id())
      or tenant_id is null and (select dropwire.caller_role()) is not null);
create policy members_read on public.holidays for select to authenticated
  using (tenant_id = (select public.get_user_tenant_id())
      or tenant_id is null and (select dropwire.caller_role()) is not null);
create policy members_read on public.executor_skill for select to authenticated
  using (tenant_id = (select public.get_user_tenant_id()));

create policy executors_read on public.executor_profiles for select to authenticated
  using (tenant_id = (select public.get_user_tenant_id())
     and id = any (array(select dropwire.caller_profile_ids())));

-- A skill belongs to the tenant of the user who has it. The subqueries run under the policies of users and skills.
create policy members_read on public.executor_skills for select to authenticated
  using (exists (select from public.users u where u.id = executor_user_id));
create policy administrators_manage on public.executor_skills to authenticated
  using (exists (select from public.users u
                  where u.id = executor_user_id
                    and u.tenant_id = any (array(select dropwire.administered_tenants()))))
  with check (exists (select
                        from public.users u
                        join public.executor_skill s on s.tenant_id = u.tenant_id
                       where u.id = executor_user_id and s.id = executor_skill_id
                         and u.tenant_id = any (array(select dropwire.administered_tenants()))));

-- Conditions and actions belong to their rule, whatever tenant_id says: the engine finds them by rule_id alone. The
-- subquery runs under the policy of rules.
create policy rule_administrators_manage on public.conditions to authenticated
  using (exists (select from public.rules r where r.id = rule_id))
  with check (exists (select from public.rules r
                       where r.id = rule_id
                         and (conditions.tenant_id is null or conditions.tenant_id = r.tenant_id)));
create policy rule_administrators_manage on public.actions to authenticated
  using (exists (select from public.rules r where r.id = rule_id))
  with check (exists (select from public.rules r
                       where r.id = rule_id
                         and (actions.tenant_id is null or actions.tenant_id = r.tenant_id)));

-- Legacy: nothing but old clients asks for it.
create policy platform_admins_manage on public.executors to authenticated
  using ((select dropwire.is_platform_admin()));
create policy executors_read on public.executors for select to authenticated
  using (user_id = (select auth.uid()));
