-- Columns of the exposed schemas' relations, in the order of their tables. $1 schemas.
with recursive
-- Each domain with the types below it, down to one that is no domain.
below (domain, type) as (
  select t.oid, t.typbasetype from pg_catalog.pg_type t where t.typtype = 'd'
  union all
  select b.domain, t.typbasetype from below b join pg_catalog.pg_type t on t.oid = b.type where t.typtype = 'd'
),
bases as (
  select b.domain, t.oid as type, t.typnamespace, t.typtype
    from below b join pg_catalog.pg_type t on t.oid = b.type where t.typtype <> 'd'
)
select a.attrelid as relation,
       a.attname::text as name,
       d.description,
       not (a.attnotnull or t.typtype = 'd' and t.typnotnull) as nullable,
       -- A type of PostgreSQL's own stands without its length or precision. A domain over any other type stands for
       -- itself.
       case when coalesce(b.typnamespace, t.typnamespace) = 'pg_catalog'::regnamespace
            then pg_catalog.format_type(coalesce(b.type, t.oid), null)
            else pg_catalog.format_type(a.atttypid, a.atttypmod)
       end as base_type,
       pg_catalog.format_type(a.atttypid, a.atttypmod) as nominal_type,
       l.max_length,
       case when t.typtype = 'd' and e.adbin is null then pg_catalog.pg_get_expr(t.typdefaultbin, 0)
            when a.attidentity = 'd' then pg_catalog.format('nextval(%L)', s.objid::regclass)
            when a.attgenerated <> '' then null
            else pg_catalog.pg_get_expr(e.adbin, e.adrelid)
       end as default_value,
       case when coalesce(b.typtype, t.typtype) = 'e'
            then array(select v.enumlabel::text from pg_catalog.pg_enum v
                        where v.enumtypid = coalesce(b.type, t.oid) order by v.enumsortorder)
            else '{}'
       end as enum_labels
  from pg_catalog.pg_namespace n
  join pg_catalog.pg_class c on c.relnamespace = n.oid
  join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  join pg_catalog.pg_type t on t.oid = a.atttypid
  left join bases b on b.domain = t.oid
  left join pg_catalog.pg_description d
    on d.classoid = 'pg_catalog.pg_class'::regclass and d.objoid = c.oid and d.objsubid = a.attnum
  left join pg_catalog.pg_attrdef e on e.adrelid = c.oid and e.adnum = a.attnum
  -- An identity column's sequence hangs on the column as a part of it.
  left join pg_catalog.pg_depend s
    on a.attidentity <> '' and s.refclassid = 'pg_catalog.pg_class'::regclass and s.refobjid = c.oid
   and s.refobjsubid = a.attnum and s.classid = 'pg_catalog.pg_class'::regclass and s.deptype = 'i'
 cross join lateral (
   select case when t.typtype = 'd' then t.typbasetype else t.oid end as type,
               case when t.typtype = 'd' then t.typtypmod else a.atttypmod end as modifier
 ) m
 cross join lateral (
   select case when m.modifier = -1 then null
               when m.type in ('pg_catalog.bpchar'::regtype, 'pg_catalog.varchar'::regtype) then m.modifier - 4
               when m.type in ('pg_catalog.bit'::regtype, 'pg_catalog.varbit'::regtype) then m.modifier
          end as max_length
 ) l
 where n.nspname = any ($1::text[])
   and n.nspname not in ('pg_catalog', 'information_schema')
   and c.relkind in ('r', 'p', 'f', 'v', 'm')
   and not c.relispartition
 order by a.attrelid, a.attnum;
