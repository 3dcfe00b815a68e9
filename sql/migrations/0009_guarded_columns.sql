-- What a role must not change inside the rows that its policies (0008) let it write.
--
-- Triggers and not column privileges, because the dashboard sends whole rows: a guarded column may be sent, as long
-- as it stays what it is. A refusal is 42501 and names the columns.
--
-- A guard binds whoever row level security binds, by the `when` of its trigger: not the owner, so not the functions
-- that run with the owner's rights, and not service_role, which may lack bypassrls. A role that nobody thought of is
-- bound. Guards run with the owner's rights to reach schema dropwire; who asks, they learn from the claims.

-- The columns, of those listed, whose values differ, as text for a message; null when there is none.
create function dropwire.changed_columns(p_old jsonb, p_new jsonb, p_columns text[]) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select pg_catalog.string_agg(c, ', ' order by place)
    from pg_catalog.unnest(p_columns) with ordinality as listed (c, place)
   where p_old -> c is distinct from p_new -> c
$$;

create function dropwire.guard_tenant() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  -- What a registration starts from, whoever sends it.
  v_initial constant jsonb := '{"approved": false, "approved_at": null, "approved_by": null, "active": true,
    "subscription_status": "trial", "subscription_start_date": null, "subscription_end_date": null, "max_users": 10}';
  v_changed text;
begin
  if dropwire.is_platform_admin() then
    return new;
  end if;
  v_changed := dropwire.changed_columns(
    coalesce(pg_catalog.to_jsonb(old), v_initial || pg_catalog.jsonb_build_object('id', new.id)),
    pg_catalog.to_jsonb(new),
    array['id', 'approved', 'approved_at', 'approved_by', 'active', 'subscription_status', 'subscription_start_date',
      'subscription_end_date', 'max_users']);
  if v_changed is not null then
    raise insufficient_privilege using
      message = pg_catalog.format('only a platform admin may set %s of a tenant', v_changed),
      hint = case tg_op when 'INSERT' then 'A new tenant is active and unapproved, on trial, with 10 users.'
                        else 'Leave the column out, or send it as it is.' end;
  end if;
  return new;
end
$$;

create function dropwire.guard_user() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_changed text;
begin
  if dropwire.is_platform_admin() then
    return new;
  end if;

  if new.role = 'admin' and (tg_op = 'INSERT' or old.role <> 'admin') then
    raise insufficient_privilege using message = 'only a platform admin may make a user admin';
  elsif tg_op = 'INSERT' then
    return new;  -- the policies say where
  end if;

  v_changed := dropwire.changed_columns(pg_catalog.to_jsonb(old), pg_catalog.to_jsonb(new), array['id', 'tenant_id']);
  if v_changed is not null then
    raise insufficient_privilege using
      message = pg_catalog.format('only a platform admin may change %s of a user', v_changed);
  end if;

  -- On the own row: neither rights nor, by a chat id, another's identity. Onboarding proves who holds a chat.
  if not exists (select from dropwire.administered_tenants() a where a = old.tenant_id) then
    v_changed := dropwire.changed_columns(pg_catalog.to_jsonb(old), pg_catalog.to_jsonb(new), array[
      'role', 'is_active', 'telegram_chat_id', 'telegram_user_id', 'bot_onboarding_status',
      'bot_onboarding_started_at', 'bot_onboarding_completed_at', 'bot_onboarding_error',
      'bot_onboarding_retry_count', 'bot_deep_link', 'bot_correlation_id']);
    if v_changed is not null then
      raise insufficient_privilege using
        message = pg_catalog.format('only an admin of the tenant may change %s of a user', v_changed);
    end if;
  end if;
  return new;
end
$$;

-- A row of one tenant must not point into another: a ticket's webhook carries its complainant's name, address and
-- phone, and a rule assigns whomever a profile names. Arguments: column, table, column, table, .. A row that does not
-- exist is the foreign key's matter. What stays as it was passes, also where it was wrong before.
create function dropwire.guard_references() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_old constant jsonb := pg_catalog.to_jsonb(old);
  v_new constant jsonb := pg_catalog.to_jsonb(new);
  v_column text;
  v_table text;
  v_is_foreign boolean;
begin
  if dropwire.is_platform_admin() then
    return new;
  end if;
  for i in 0 .. tg_nargs - 1 by 2 loop
    v_column := tg_argv[i];
    v_table := tg_argv[i + 1];
    continue when v_new ->> v_column is null or v_new -> v_column = v_old -> v_column;
    execute pg_catalog.format('select tenant_id is distinct from $2 and not ($3 and tenant_id is null)
                                 from public.%I where id = $1', v_table)
       into v_is_foreign
      -- Rows of no tenant are shared where they are settings.
      using (v_new ->> v_column)::uuid, new.tenant_id, v_table in ('categories', 'designations');
    if v_is_foreign then
      raise insufficient_privilege using
        message = pg_catalog.format('%s must name a row of %s in the tenant of the %s row', v_column, v_table,
                                    tg_table_name);
    end if;
  end loop;
  return new;
end
$$;

revoke execute on function
  dropwire.changed_columns(jsonb, jsonb, text[]),
  dropwire.guard_tenant(),
  dropwire.guard_user(),
  dropwire.guard_references()
from public;

create trigger guard_tenant before insert or update on public.tenants
  for each row when (row_security_active('public.tenants'::regclass) and current_user <> 'service_role')
  execute function dropwire.guard_tenant();
create trigger guard_user before insert or update on public.users
  for each row when (row_security_active('public.users'::regclass) and current_user <> 'service_role')
  execute function dropwire.guard_user();

create trigger guard_references before insert or update on public.users
  for each row when (row_security_active('public.users'::regclass) and current_user <> 'service_role')
  execute function dropwire.guard_references('manager_id', 'users', 'designation_id', 'designations');
create trigger guard_references before insert or update on public.tickets
  for each row when (row_security_active('public.tickets'::regclass) and current_user <> 'service_role')
  execute function dropwire.guard_references(
    'complainant_id', 'users', 'executor_id', 'users', 'executor_profile_id', 'executor_profiles',
    'category_id', 'categories');
create trigger guard_references before insert or update on public.executor_profiles
  for each row when (row_security_active('public.executor_profiles'::regclass) and current_user <> 'service_role')
  execute function dropwire.guard_references(
    'user_id', 'users', 'manager_id', 'users', 'category_id', 'categories');
create trigger guard_references before insert or update on public.executor_skill
  for each row when (row_security_active('public.executor_skill'::regclass) and current_user <> 'service_role')
  execute function dropwire.guard_references('category', 'categories');
