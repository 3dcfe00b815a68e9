-- Moves what public holds out of the way, so that the migration can build its tables there. Runs inside a savepoint
-- that is rolled back at once: nothing moves for good. Another role's objects cannot be moved and stay; if one of
-- them bears a name of ours, the migration says so.
create schema dropwire_aside;
do $$
declare
  move text;
begin
  for move in
    select format('alter %s %s set schema dropwire_aside',
                  case c.relkind when 'S' then 'sequence' else 'table' end, c.oid::regclass)
      from pg_catalog.pg_class c
     where c.relnamespace = 'public'::regnamespace
       and (c.relkind in ('r', 'p')
         or c.relkind = 'S' and not exists (
              select from pg_catalog.pg_depend d  -- a column's sequence goes where its table goes
               where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.refobjsubid > 0
                 and d.deptype in ('a', 'i')))
       and pg_has_role(c.relowner, 'usage')
       and not exists (select from pg_catalog.pg_depend d
                        where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
     union all
    select format('alter type %s set schema dropwire_aside', t.oid::regtype)
      from pg_catalog.pg_type t
     where t.typnamespace = 'public'::regnamespace and t.typtype = 'e' and pg_has_role(t.typowner, 'usage')
       and not exists (select from pg_catalog.pg_depend d
                        where d.classid = 'pg_type'::regclass and d.objid = t.oid and d.deptype = 'e')
     union all
    select format('alter routine %s set schema dropwire_aside', f.oid::regprocedure)
      from pg_catalog.pg_proc f
     where f.pronamespace = 'public'::regnamespace and f.prokind in ('f', 'p') and pg_has_role(f.proowner, 'usage')
       and not exists (select from pg_catalog.pg_depend d
                        where d.classid = 'pg_proc'::regclass and d.objid = f.oid and d.deptype = 'e')
  loop
    execute move;
  end loop;
end
$$;
