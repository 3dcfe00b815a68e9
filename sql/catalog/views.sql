-- Views whose columns can be traced to tables. $1 exposed schemas, $2 schemas of the extra search path.
-- Those of $2 are looked through only when a view of $1 is built upon them.
select c.oid,
       n.nspname::text as schema,
       c.relname::text as name,
       n.nspname = any ($1::text[]) as exposed,
       -- A view loses no column before it is dropped itself, so that the numbers have no gaps.
       array(select a.attname::text from pg_catalog.pg_attribute a
              where a.attrelid = c.oid and a.attnum > 0 order by a.attnum) as columns,
       -- The parsed query, as a tree in PostgreSQL's own notation.
       r.ev_action::text as definition
  from pg_catalog.pg_namespace n
  join pg_catalog.pg_class c on c.relnamespace = n.oid
  -- The rule that makes it a view; rules for writing may stand beside it.
  join pg_catalog.pg_rewrite r on r.ev_class = c.oid and r.ev_type = '1'
 where n.nspname = any ($1::text[] || $2::text[])
   and n.nspname not in ('pg_catalog', 'information_schema')
   and c.relkind in ('v', 'm');
