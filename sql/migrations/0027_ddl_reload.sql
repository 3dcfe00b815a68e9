-- Schema cache reload by DDL: whatever changes what /rest/v1 shows also tells the servers to look again, as on Supabase.
--
-- Event triggers belong to superusers. Where the owner is none, or where Supabase's own ones are there already, nothing
-- is made, and `notify pgrst, 'reload schema'` or SIGUSR1 does it by hand.

-- Tells once a transaction: equal notifications are joined. Temporary objects are in nobody's schema cache.
create function dropwire.notify_ddl() returns event_trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if exists (select from pg_event_trigger_ddl_commands() c where c.schema_name is distinct from 'pg_temp') then
    notify pgrst, 'reload schema';
  end if;
end
$$;

create function dropwire.notify_drop() returns event_trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if exists (select from pg_event_trigger_dropped_objects() d where not d.is_temporary and d.original) then
    notify pgrst, 'reload schema';
  end if;
end
$$;

revoke execute on function dropwire.notify_ddl() from public;
revoke execute on function dropwire.notify_drop() from public;

do $$
begin
  if exists (select from pg_catalog.pg_event_trigger where evtname = 'pgrst_ddl_watch') then
    raise notice 'this database tells of its DDL already';
    return;
  end if;
  -- Only what the schema cache is made of: neither grants, which every request finds out by itself, nor indexes, nor
  -- `refresh materialized view`, which jobs run all day.
  create event trigger dropwire_ddl_watch on ddl_command_end
    when tag in (
      'CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'ALTER TABLE', 'CREATE FOREIGN TABLE', 'ALTER FOREIGN TABLE',
      'IMPORT FOREIGN SCHEMA',
      'CREATE VIEW', 'ALTER VIEW', 'CREATE MATERIALIZED VIEW', 'ALTER MATERIALIZED VIEW', 'CREATE RULE', 'CREATE TRIGGER',
      'CREATE FUNCTION', 'ALTER FUNCTION', 'CREATE PROCEDURE', 'ALTER PROCEDURE', 'ALTER ROUTINE',
      'CREATE AGGREGATE', 'ALTER AGGREGATE',
      'CREATE TYPE', 'ALTER TYPE', 'CREATE DOMAIN', 'ALTER DOMAIN', 'CREATE CAST',
      'CREATE SCHEMA', 'ALTER SCHEMA', 'CREATE EXTENSION', 'ALTER EXTENSION', 'COMMENT')
    execute function dropwire.notify_ddl();
  create event trigger dropwire_drop_watch on sql_drop
    execute function dropwire.notify_drop();
exception
  when insufficient_privilege then
    raise notice 'no reload by DDL: % may not create event triggers', current_user
      using hint = 'Run as a superuser, or send: notify pgrst, ''reload schema''';
end
$$;
