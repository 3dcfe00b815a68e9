-- What writes media types: aggregates and functions of the exposed schemas that return a domain named like one.
-- $1 schemas.
with media_types as (
  select t.oid, n.nspname as schema, t.typname as name, lower(t.typname::text) as media_type,
         case t.typname when '*/*' then 'application/octet-stream' else t.typname::text end as resolved
    from pg_catalog.pg_type t
    join pg_catalog.pg_namespace n on n.oid = t.typnamespace
   where t.typtype = 'd' and (t.typname = '*/*' or t.typname ~ '^[A-Za-z0-9.-]+/[A-Za-z0-9.+-]+$')
)
-- An aggregate writes all rows of a relation, or of any.
select n.nspname::text as function_schema,
       p.proname::text as function_name,
       coalesce(an.nspname::text, '') as target_schema,
       coalesce(c.relname::text, '') as target_name,
       m.media_type,
       m.resolved
  from media_types m
  join pg_catalog.pg_proc p on p.prorettype = m.oid
  join pg_catalog.pg_namespace n on n.oid = p.pronamespace
  join pg_catalog.pg_type a on a.oid = p.proargtypes[0]
  left join pg_catalog.pg_class c
    on c.oid = a.typrelid and c.reltype = a.oid and c.relkind in ('r', 'p', 'f', 'v', 'm')
  left join pg_catalog.pg_namespace an on an.oid = c.relnamespace
 where n.nspname = any ($1::text[])
   and p.prokind = 'a'
   and p.pronargs = 1
   and (c.oid is not null or a.oid = 'pg_catalog.anyelement'::regtype)
union all
-- A function answers in its own media type: its result is handed to the domain, for that function alone.
select m.schema::text, m.name::text, n.nspname::text, p.proname::text, m.media_type, m.resolved
  from media_types m
  join pg_catalog.pg_proc p on p.prorettype = m.oid
  join pg_catalog.pg_namespace n on n.oid = p.pronamespace
 where n.nspname = any ($1::text[])
   and p.prokind = 'f'
   and not p.proretset;
