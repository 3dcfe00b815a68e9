-- The server's version, and which of the named schemas do not exist. $1 schemas.
select current_setting('server_version_num')::int4 as version,
       array(select wanted from unnest($1::text[]) as wanted
              where not exists (select from pg_catalog.pg_namespace n where n.nspname = wanted)) as missing;
