-- The ground the tables stand on: API roles, extensions, auth.users with its claim helpers, and our own schema.
--
-- Runs as the database owner: a superuser on the embedded server, an ordinary role elsewhere. Everything here looks
-- before it creates, because where Supabase owns an object it is there already and stays as it is.

-- Roles -------------------------------------------------------------------------------------------------------------
-- A role belongs to the cluster, not to the database: two databases migrated at once create the same one. The second
-- waits on the name's unique index and then fails with unique_violation, which means what duplicate_object means.
do $$
declare
  api_role text;
  api_roles constant text[] := '{anon,authenticated,service_role}';
begin
  foreach api_role in array api_roles loop
    continue when exists (select from pg_catalog.pg_roles where rolname = api_role);

    begin
      execute format('create role %I nologin noinherit', api_role);

      -- A superuser may become any role; any other owner has to be a member before `set role` lets it.
      if not (select rolsuper from pg_catalog.pg_roles where rolname = current_user) then
        execute format('grant %I to current_user', api_role);
      end if;

      if api_role = 'service_role' then
        begin
          alter role service_role bypassrls;
        exception when insufficient_privilege then
          raise notice 'creating service_role without bypassrls, which % may not give: row level security binds it',
            current_user using hint = 'To change that, run as a superuser: alter role service_role bypassrls';
        end;
      end if;
    exception
      when duplicate_object or unique_violation then
        null;  -- another database's migration was faster
      when insufficient_privilege then
        raise insufficient_privilege using
          message = format('creating role %s: %s may not create roles', api_role, current_user),
          hint = 'Run once as a superuser: create role anon nologin noinherit; create role authenticated nologin '
            'noinherit; create role service_role nologin noinherit bypassrls; and grant the three to the owner.';
    end;
  end loop;
end
$$;

-- Extensions --------------------------------------------------------------------------------------------------------
do $$
begin
  if to_regnamespace('extensions') is null then
    create schema extensions;
    grant usage on schema extensions to anon, authenticated, service_role;
  end if;
end
$$;

-- An extension exists once per database, so `if not exists` finds it in whichever schema it was put.
create extension if not exists "uuid-ossp" with schema extensions;
create extension if not exists pgcrypto with schema extensions;

-- Accounts ----------------------------------------------------------------------------------------------------------
-- Left alone altogether where another role owns the schema: there GoTrue migrates it.
do $$
begin
  if exists (select
               from pg_catalog.pg_namespace n
               join pg_catalog.pg_roles r on r.oid = n.nspowner
              where n.nspname = 'auth' and r.rolname <> current_user) then
    raise notice 'schema auth belongs to another role and stays as it is';
    return;
  end if;

  if to_regnamespace('auth') is null then
    create schema auth;
  end if;
  grant usage on schema auth to anon, authenticated, service_role;

  if to_regclass('auth.users') is null then
    -- Columns in GoTrue's order, so that a dump of either side loads into the other.
    create table auth.users (
      instance_id uuid,
      id uuid not null,
      aud varchar(255),
      role varchar(255),
      email varchar(255),
      encrypted_password varchar(255),
      email_confirmed_at timestamptz,
      invited_at timestamptz,
      -- GoTrue reads the token and change columns into plain strings and fails on null; only some of them have
      -- a default there, here all of them do.
      confirmation_token varchar(255) default '',
      confirmation_sent_at timestamptz,
      recovery_token varchar(255) default '',
      recovery_sent_at timestamptz,
      email_change_token_new varchar(255) default '',
      email_change varchar(255) default '',
      email_change_sent_at timestamptz,
      last_sign_in_at timestamptz,
      raw_app_meta_data jsonb,
      raw_user_meta_data jsonb,
      is_super_admin boolean,
      created_at timestamptz,
      updated_at timestamptz,
      phone text default null,
      phone_confirmed_at timestamptz,
      phone_change text default '',
      phone_change_token varchar(255) default '',
      phone_change_sent_at timestamptz,
      confirmed_at timestamptz generated always as (least(email_confirmed_at, phone_confirmed_at)) stored,
      email_change_token_current varchar(255) default '',
      email_change_confirm_status smallint default 0,
      banned_until timestamptz,
      reauthentication_token varchar(255) default '',
      reauthentication_sent_at timestamptz,
      is_sso_user boolean not null default false,
      deleted_at timestamptz,
      is_anonymous boolean not null default false,
      constraint users_pkey primary key (id),
      constraint users_phone_key unique (phone),
      constraint users_email_change_confirm_status_check check (email_change_confirm_status between 0 and 2)
    );

    -- A single sign-on account may share its address with a password account; two password accounts may not.
    create unique index users_email_partial_key on auth.users (email) where is_sso_user = false;
    -- Blanks and one-time digits repeat, hashed tokens must not.
    create unique index confirmation_token_idx on auth.users (confirmation_token)
      where confirmation_token !~ '^[0-9 ]*$';
    create unique index recovery_token_idx on auth.users (recovery_token)
      where recovery_token !~ '^[0-9 ]*$';
    create unique index email_change_token_current_idx on auth.users (email_change_token_current)
      where email_change_token_current !~ '^[0-9 ]*$';
    create unique index email_change_token_new_idx on auth.users (email_change_token_new)
      where email_change_token_new !~ '^[0-9 ]*$';
    create unique index reauthentication_token_idx on auth.users (reauthentication_token)
      where reauthentication_token !~ '^[0-9 ]*$';
    create index users_instance_id_idx on auth.users (instance_id);
    create index users_instance_id_email_idx on auth.users (instance_id, lower(email));
    create index users_is_anonymous_idx on auth.users (is_anonymous);

    -- No policy and no grant: only the owner reaches accounts, and policies ask auth.uid() instead.
    alter table auth.users enable row level security;
  end if;

  -- The claims of the request. After a transaction that set them the settings read '' instead of null on the same
  -- connection, so both count as absent. The per-claim setting comes first, as it did before PostgREST 12 dropped it.
  -- The bodies are parsed now, not text kept for later: no caller's search_path reaches into them, and the planner
  -- still inlines them into a policy.
  if to_regprocedure('auth.uid()') is null then
    create function auth.uid() returns uuid language sql stable parallel safe
    return coalesce(
      nullif(current_setting('request.jwt.claim.sub', true), ''),
      nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
    )::uuid;
  end if;

  if to_regprocedure('auth.role()') is null then
    create function auth.role() returns text language sql stable parallel safe
    return coalesce(
      nullif(current_setting('request.jwt.claim.role', true), ''),
      nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'
    );
  end if;

  if to_regprocedure('auth.email()') is null then
    create function auth.email() returns text language sql stable parallel safe
    return coalesce(
      nullif(current_setting('request.jwt.claim.email', true), ''),
      nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email'
    );
  end if;

  if to_regprocedure('auth.jwt()') is null then
    create function auth.jwt() returns jsonb language sql stable parallel safe
    return coalesce(
      nullif(current_setting('request.jwt.claim', true), ''),
      nullif(current_setting('request.jwt.claims', true), '')
    )::jsonb;
  end if;

  grant execute on function auth.uid(), auth.role(), auth.email(), auth.jwt() to anon, authenticated, service_role;
end
$$;

-- Internals ---------------------------------------------------------------------------------------------------------
-- PostgreSQL lets PUBLIC execute every new function, and `alter default privileges in schema dropwire revoke execute
-- on functions from public` would not change that: a rule for one schema adds to the database-wide defaults, it cannot
-- take from them. The database-wide form would hide the users' own functions from the API. So there are two guards:
-- without usage on the schema nobody can name what is in it, and every migration that creates a function here revokes
-- execute on it from public in the same file. A function that policies call gets execute for the roles they are
-- written for; it needs no usage, because a policy holds the function itself and not its name.
create schema if not exists dropwire;
comment on schema dropwire is 'Internals of the server. Not part of the API.';
revoke all on schema dropwire from public;
grant usage on schema dropwire to service_role;
