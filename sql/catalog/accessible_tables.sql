-- Relations of a schema on which the current role has any right at all. $1 schema.
select c.relname::text as name
  from pg_catalog.pg_namespace n
  join pg_catalog.pg_class c on c.relnamespace = n.oid
 where n.nspname = $1
   and c.relkind in ('r', 'p', 'f', 'v', 'm')
   and not c.relispartition
   and (pg_catalog.pg_has_role(c.relowner, 'usage')
     or pg_catalog.has_table_privilege(c.oid, 'select, insert, update, delete, truncate, references, trigger')
     or pg_catalog.has_any_column_privilege(c.oid, 'select, insert, update, references'));
