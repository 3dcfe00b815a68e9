-- Relations of the exposed schemas. $1 schemas.
-- Partitions are left out: their rows are reached through the partitioned table.
select c.oid,
       n.nspname::text as schema,
       c.relname::text as name,
       d.description,
       c.relkind in ('v', 'm') as is_view,
       c.relkind = 'r' as is_ordinary,
       -- Bit 2 update, bit 3 insert, bit 4 delete. The server looks through a view's definition, and `true` counts
       -- INSTEAD OF triggers. It asks a foreign table's wrapper, and fails if there is nothing to ask.
       case when c.relkind in ('r', 'p') then 28
            when c.relkind = 'v' or w.fdwhandler <> 0 then pg_catalog.pg_relation_is_updatable(c.oid, true)
            else 0
       end as events
  from pg_catalog.pg_namespace n
  join pg_catalog.pg_class c on c.relnamespace = n.oid
  left join pg_catalog.pg_description d
    on d.classoid = 'pg_catalog.pg_class'::regclass and d.objoid = c.oid and d.objsubid = 0
  left join pg_catalog.pg_foreign_table f on f.ftrelid = c.oid
  left join pg_catalog.pg_foreign_server s on s.oid = f.ftserver
  left join pg_catalog.pg_foreign_data_wrapper w on w.oid = s.srvfdw
 where n.nspname = any ($1::text[])
   and n.nspname not in ('pg_catalog', 'information_schema')
   and c.relkind in ('r', 'p', 'f', 'v', 'm')
   and not c.relispartition;
