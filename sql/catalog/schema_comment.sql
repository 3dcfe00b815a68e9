-- A schema's comment. $1 schema.
select pg_catalog.obj_description(n.oid, 'pg_namespace') as comment
  from pg_catalog.pg_namespace n
 where n.nspname = $1;
