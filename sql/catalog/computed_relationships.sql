-- Functions that take one relation's row and return rows of a relation.
select fn.nspname::text as function_schema,
       p.proname::text as function_name,
       n.nspname::text as origin_schema,
       c.relname::text as origin_table,
       tn.nspname::text as target_schema,
       tc.relname::text as target_table,
       not p.proretset or p.prorows = 1 as to_one
  from pg_catalog.pg_proc p
  join pg_catalog.pg_namespace fn on fn.oid = p.pronamespace
  join pg_catalog.pg_type t on t.oid = p.proargtypes[0]
  join pg_catalog.pg_class c on c.oid = t.typrelid and c.reltype = t.oid and c.relkind in ('r', 'p', 'f', 'v', 'm')
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  join pg_catalog.pg_type tt on tt.oid = p.prorettype
  join pg_catalog.pg_class tc on tc.oid = tt.typrelid and tc.reltype = tt.oid and tc.relkind in ('r', 'p', 'f', 'v', 'm')
  join pg_catalog.pg_namespace tn on tn.oid = tc.relnamespace
 where p.pronargs = 1 and p.prokind = 'f';
