-- The server's version, which of the named schemas do not exist, and whether requests find PostGIS's writer of rows.
-- $1 schemas, $2 extra search path.
select current_setting('server_version_num')::int4 as version,
       array(select wanted from unnest($1::text[]) as wanted
              where not exists (select from pg_catalog.pg_namespace n where n.nspname = wanted)) as missing,
       exists (select from pg_catalog.pg_proc p
                 join pg_catalog.pg_namespace n on n.oid = p.pronamespace
                where p.proname = 'st_asgeojson'
                  and p.proargtypes[0] = 'pg_catalog.record'::regtype
                  and n.nspname = any ($1::text[] || $2::text[])) as geojson;
