-- Functions that can be called by name. $1 schemas, $2 settings that a function's SET clause hands to its whole
-- transaction, $3 whether only those that the current role may execute.
-- Types are spelled by the current search path.
with recursive
-- Each domain with the types below it, down to one that is no domain.
below (domain, type) as (
  select t.oid, t.typbasetype from pg_catalog.pg_type t where t.typtype = 'd'
  union all
  select b.domain, t.typbasetype from below b join pg_catalog.pg_type t on t.oid = b.type where t.typtype = 'd'
)
select n.nspname::text as schema,
       p.proname::text as name,
       d.description,
       i.names, i.types, i.widened_types, i.required, i.variadic,
       rn.nspname::text as return_schema,
       coalesce(rc.relname, r.typname)::text as return_type,
       p.proretset as returns_set,
       -- OUT parameters and TABLE make a row.
       r.typtype = 'c' or coalesce(p.proargmodes && array['t', 'b', 'o']::"char"[], false) as returns_composite,
       r.oid <> p.prorettype as returns_domain,
       p.provolatile as volatility,
       p.provariadic <> 0 as is_variadic,
       (select pg_catalog.lower(pg_catalog.split_part(s, '=', 2)) from pg_catalog.unnest(p.proconfig) s
         where pg_catalog.starts_with(s, 'default_transaction_isolation=')) as isolation,
       array(select pg_catalog.split_part(s, '=', 1) from pg_catalog.unnest(p.proconfig) with ordinality as u (s, place)
              where pg_catalog.split_part(s, '=', 1) = any ($2::text[]) order by u.place) as setting_names,
       -- A value may hold further equals signs.
       array(select pg_catalog.substr(s, pg_catalog.strpos(s, '=') + 1)
               from pg_catalog.unnest(p.proconfig) with ordinality as u (s, place)
              where pg_catalog.split_part(s, '=', 1) = any ($2::text[]) order by u.place) as setting_values
  from pg_catalog.pg_namespace n
  join pg_catalog.pg_proc p on p.pronamespace = n.oid
  join pg_catalog.pg_type r
    on r.oid = coalesce((select b.type from below b join pg_catalog.pg_type t on t.oid = b.type
                          where b.domain = p.prorettype and t.typtype <> 'd'), p.prorettype)
  join pg_catalog.pg_namespace rn on rn.oid = r.typnamespace
  left join pg_catalog.pg_class rc on rc.oid = r.typrelid
  left join pg_catalog.pg_description d
    on d.classoid = 'pg_catalog.pg_proc'::regclass and d.objoid = p.oid and d.objsubid = 0
 cross join lateral (
   select coalesce(pg_catalog.array_agg(u.name order by u.place), '{}') as names,
          coalesce(pg_catalog.array_agg(pg_catalog.format_type(u.type, null) order by u.place), '{}') as types,
          -- Without a length these mean a length of one, and would cut what is passed.
          coalesce(pg_catalog.array_agg(case u.type when 'pg_catalog.bit'::regtype then 'bit varying'
                                         when 'pg_catalog._bit'::regtype then 'bit varying[]'
                                         when 'pg_catalog.bpchar'::regtype then 'character varying'
                                         when 'pg_catalog._bpchar'::regtype then 'character varying[]'
                                         else pg_catalog.format_type(u.type, null)
                             end order by u.place), '{}') as widened_types,
          coalesce(pg_catalog.array_agg(u.place <= p.pronargs - p.pronargdefaults order by u.place), '{}') as required,
          coalesce(pg_catalog.array_agg(u.mode = 'v' order by u.place), '{}') as variadic,
          -- Arguments are passed by name, or one takes the whole body.
          coalesce(pg_catalog.bool_and(u.name <> '' or u.place > p.pronargs - p.pronargdefaults), true)
            and coalesce(pg_catalog.bool_or(u.name <> ''), true)
          or p.pronargs = 1 and coalesce(pg_catalog.bool_and(u.type in (
            'pg_catalog.json'::regtype, 'pg_catalog.jsonb'::regtype, 'pg_catalog.text'::regtype,
            'pg_catalog.xml'::regtype, 'pg_catalog.bytea'::regtype)), false) as callable
     from (select coalesce(x.name, '') as name, x.type, coalesce(x.mode, 'i') as mode,
                  pg_catalog.row_number() over (order by x.place) as place
             from rows from (pg_catalog.unnest(p.proargnames),
                             pg_catalog.unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])),
                             pg_catalog.unnest(p.proargmodes)) with ordinality as x (name, type, mode, place)
            where coalesce(x.mode, 'i') in ('i', 'b', 'v')) u
 ) i
 where n.nspname = any ($1::text[])
   and p.prokind = 'f'
   and p.prorettype <> 'pg_catalog.trigger'::regtype
   and i.callable
   and (not $3::bool or pg_catalog.has_function_privilege(p.oid, 'execute'))
 order by n.nspname, p.proname, p.pronargs, p.oid;
