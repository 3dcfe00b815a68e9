-- Casts between a domain and one of the wire's two sides. Only implicit ones speak for the domain.
select c.castsource::regtype::text as source,
       c.casttarget::regtype::text as target,
       c.castfunc::regproc::text as function
  from pg_catalog.pg_cast c
  join pg_catalog.pg_type s on s.oid = c.castsource
  join pg_catalog.pg_type t on t.oid = c.casttarget
 where c.castcontext = 'i'
   and c.castmethod = 'f'
   and pg_catalog.has_function_privilege(c.castfunc, 'execute')
   and (s.typtype = 'd' and t.oid in ('pg_catalog.json'::regtype, 'pg_catalog.text'::regtype)
     or t.typtype = 'd' and s.oid in ('pg_catalog.json'::regtype, 'pg_catalog.text'::regtype));
