-- Brings this database's login role into being, or up to date. Run by the owner, inside a transaction that holds the
-- setup lock. The password is made and used here, so that no statement in the server's log carries it.
do $$
declare
  -- Names are cut to 63 bytes by the cast to name. A hash keeps two long names apart that begin alike.
  plain_name    constant text := 'dropwire_' || current_database();
  default_name  constant text := case
    when octet_length(plain_name) <= 63 then plain_name
    else ('dropwire_' || substr(encode(sha256(convert_to(plain_name, 'UTF8')), 'hex'), 1, 8)
          || '_' || current_database())::name
  end;
  login         dropwire.login_role;
  existing      pg_catalog.pg_roles;
  membership    text;
  routine       record;
begin
  -- A copy made with "create database ... template" brings the original's row along. The password in it opens the
  -- original, and has no business here.
  delete from dropwire.login_role where database_name <> current_database();

  insert into dropwire.login_role (database_name, role_name, password)
  values (current_database(), default_name,
          replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''))
  on conflict do nothing;
  select * into strict login from dropwire.login_role;

  select * into existing from pg_catalog.pg_roles where rolname = login.role_name;
  if not found then
    execute format(
      'create role %I login noinherit nosuperuser nocreatedb nocreaterole noreplication nobypassrls password %L',
      login.role_name, login.password);
  elsif existing.rolsuper or existing.rolbypassrls or existing.rolcreaterole or existing.rolcreatedb
        or existing.rolreplication or existing.rolinherit or not existing.rolcanlogin then
    raise exception 'role % exists and is not a plain login role', quote_ident(login.role_name)
      using hint = 'Make it one with "alter role ... login noinherit nosuperuser nocreatedb nocreaterole '
                   'noreplication nobypassrls", or drop it.';
  end if;

  -- Membership lets it become the three roles; noinherit keeps it from having their rights before it does.
  foreach membership in array array['anon', 'authenticated', 'service_role'] loop
    if not pg_has_role(login.role_name, membership, 'member') then
      execute format('grant %I to %I %s', membership, login.role_name,
        case when current_setting('server_version_num')::int >= 160000 then 'with inherit false, set true' end);
    end if;
  end loop;

  if not has_database_privilege(login.role_name, current_database(), 'connect') then
    execute format('grant connect on database %I to %I', current_database(), login.role_name);
  end if;
  if not has_schema_privilege(login.role_name, 'dropwire', 'usage') then
    execute format('grant usage on schema dropwire to %I', login.role_name);
  end if;

  -- What service_role may call, it may call without becoming service_role first: internal statements then need no
  -- transaction to switch roles in. Idempotency keys under /rest/v1 are for this role alone (migration 0026).
  for routine in
    select p.oid::regprocedure as signature, callable
      from pg_catalog.pg_proc p,
           lateral (select has_function_privilege('service_role', p.oid, 'execute')
                           or p.proname in ('claim_rest_request', 'keep_rest_answer', 'drop_rest_request')) c (callable)
     where p.pronamespace = 'dropwire'::regnamespace
       and callable <> has_function_privilege(login.role_name, p.oid, 'execute')
  loop
    if routine.callable then
      execute format('grant execute on routine %s to %I', routine.signature, login.role_name);
    else
      execute format('revoke execute on routine %s from %I', routine.signature, login.role_name);
    end if;
  end loop;
end
$$
