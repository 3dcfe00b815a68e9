-- Primary, unique and foreign keys of all schemas, since a view in an exposed schema shows those of its hidden tables.
-- Columns are told by number and by name, in the key's order.
select k.contype as kind,
       k.conname::text as name,
       k.conrelid as relation,
       n.nspname::text as schema,
       c.relname::text as table_name,
       k.conkey as numbers,
       array(select a.attname::text
               from unnest(k.conkey) with ordinality as u (number, place)
               join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.number
              order by u.place) as columns,
       k.confrelid as target,
       coalesce(tn.nspname::text, '') as target_schema,
       coalesce(tc.relname::text, '') as target_table,
       coalesce(k.confkey, '{}') as target_numbers,
       array(select a.attname::text
               from unnest(k.confkey) with ordinality as u (number, place)
               join pg_catalog.pg_attribute a on a.attrelid = k.confrelid and a.attnum = u.number
              order by u.place) as target_columns
  from pg_catalog.pg_constraint k
  join pg_catalog.pg_class c on c.oid = k.conrelid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  left join pg_catalog.pg_class tc on tc.oid = k.confrelid
  left join pg_catalog.pg_namespace tn on tn.oid = tc.relnamespace
 where k.contype in ('p', 'u', 'f')
   and n.nspname not in ('pg_catalog', 'information_schema')
   -- The copies that partitions have of their table's foreign key are no relationships of their own.
   and (k.contype <> 'f' or k.conparentid = 0)
 order by k.conrelid, k.conname;
