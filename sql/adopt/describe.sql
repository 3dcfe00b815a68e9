-- What schema $1 consists of, as JSON with one key per kind of object. Definitions are what PostgreSQL prints, every
-- name in them qualified: the caller has emptied search_path. Objects of extensions are left out.
with members as (
  select d.classid, d.objid from pg_catalog.pg_depend d where d.deptype = 'e'
), relations as (
  select c.*
    from pg_catalog.pg_class c
   where c.relnamespace = to_regnamespace($1)
     and c.relkind in ('r', 'p', 'S')
     and not exists (select from members m where m.classid = 'pg_class'::regclass and m.objid = c.oid)
), grants as (
  -- The owner's own rights go without saying. A relation nobody touched has no list: then the default holds.
  select a.object, json_object_agg(a.grantee, a.privileges order by a.grantee) as of
    from (
      select o.object, coalesce(r.rolname, 'public') as grantee,
             string_agg(g.privilege_type, ', ' order by g.privilege_type) as privileges
        from (
          select oid as object, relowner as owner,
                 coalesce(relacl, acldefault((case relkind when 'S' then 's' else 'r' end)::"char", relowner)) as acl
            from relations
           union all
          select oid, proowner, coalesce(proacl, acldefault('f', proowner))
            from pg_catalog.pg_proc where pronamespace = to_regnamespace($1)
        ) o
       cross join aclexplode(o.acl) g
        left join pg_catalog.pg_roles r on r.oid = g.grantee
       where g.grantee <> o.owner
       group by o.object, r.rolname
    ) a
   group by a.object
), columns as (
  select a.attrelid as object, json_agg(json_build_object(
           'name', a.attname,
           'type', format_type(a.atttypid, a.atttypmod),
           'not_null', a.attnotnull,
           'default', pg_get_expr(d.adbin, d.adrelid),  -- or what a generated column is generated from
           'identity', nullif(a.attidentity::text, ''),
           'comment', col_description(a.attrelid, a.attnum)) order by a.attnum) as of
    from relations c
    join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
   where c.relkind <> 'S'
   group by a.attrelid
), constraints as (
  select k.conrelid as object, json_agg(json_build_object(
           'name', k.conname,
           'kind', k.contype::text,
           'definition', pg_get_constraintdef(k.oid),
           'columns', coalesce((
             select json_agg(a.attname order by u.position)
               from unnest(k.conkey) with ordinality u (number, position)
               join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.number), '[]'),
           'check', pg_get_expr(k.conbin, k.conrelid),
           'target', case when k.contype = 'f' then json_build_object(
             'table', k.confrelid::regclass::text,
             'columns', (
               select json_agg(a.attname order by u.position)
                 from unnest(k.confkey) with ordinality u (number, position)
                 join pg_catalog.pg_attribute a on a.attrelid = k.confrelid and a.attnum = u.number),
             'clears', k.confdeltype = 'n') end) order by k.conname) as of
    from relations c
    join pg_catalog.pg_constraint k on k.conrelid = c.oid and k.contype in ('p', 'u', 'c', 'f', 'x')
   group by k.conrelid
), indexes as (
  select x.indrelid as object, json_agg(json_build_object(
           'name', i.relname,
           'definition', pg_get_indexdef(i.oid),
           'unique_over', case when x.indisunique and x.indpred is null then (
             select json_agg(a.attname order by u.position)
               from unnest(x.indkey::int2[]) with ordinality u (number, position)
               join pg_catalog.pg_attribute a on a.attrelid = x.indrelid and a.attnum = u.number) end)
           order by i.relname) as of
    from relations c
    join pg_catalog.pg_index x on x.indrelid = c.oid
    join pg_catalog.pg_class i on i.oid = x.indexrelid
   where not exists (select from pg_catalog.pg_constraint k
                      where k.conindid = x.indexrelid and k.contype in ('p', 'u', 'x'))
   group by x.indrelid
), triggers as (
  select t.tgrelid as object, json_agg(json_build_object(
           'name', t.tgname,
           'definition', pg_get_triggerdef(t.oid),
           'function', t.tgfoid::regproc::text,
           'enabled', t.tgenabled::text) order by t.tgname) as of
    from relations c
    join pg_catalog.pg_trigger t on t.tgrelid = c.oid and not t.tgisinternal
   group by t.tgrelid
), policies as (
  select p.polrelid as object, json_agg(json_build_object(
           'name', p.polname,
           'definition', concat(
             format('create policy %I on %s', p.polname, p.polrelid::regclass),
             case when not p.polpermissive then ' as restrictive' end,
             ' for ', case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update'
                                    when 'd' then 'delete' else 'all' end,
             ' to ', (select string_agg(coalesce(quote_ident(r.rolname), 'public'), ', ' order by r.rolname)
                        from unnest(p.polroles) u (role) left join pg_catalog.pg_roles r on r.oid = u.role),
             ' using (' || pg_get_expr(p.polqual, p.polrelid) || ')',
             ' with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')) order by p.polname) as of
    from relations c
    join pg_catalog.pg_policy p on p.polrelid = c.oid
   group by p.polrelid
)
select json_build_object(
  'tables', coalesce((
    select json_object_agg(c.relname, json_build_object(
             'comment', obj_description(c.oid, 'pg_class'),
             'row_security', c.relrowsecurity,
             'columns', coalesce(col.of, '[]'), 'constraints', coalesce(con.of, '[]'),
             'indexes', coalesce(i.of, '[]'), 'triggers', coalesce(t.of, '[]'), 'policies', coalesce(p.of, '[]'),
             'grants', coalesce(g.of, '{}')) order by c.relname)
      from relations c
      left join columns col on col.object = c.oid
      left join constraints con on con.object = c.oid
      left join indexes i on i.object = c.oid
      left join triggers t on t.object = c.oid
      left join policies p on p.object = c.oid
      left join grants g on g.object = c.oid
     where c.relkind <> 'S'), '{}'),
  'sequences', coalesce((
    select json_object_agg(c.relname, json_build_object(
             'type', format_type(s.seqtypid, null), 'start', s.seqstart, 'grants', coalesce(g.of, '{}'),
             'of_column', exists (select from pg_catalog.pg_depend d
                                   where d.classid = 'pg_class'::regclass and d.objid = c.oid
                                     and d.refobjsubid > 0 and d.deptype in ('a', 'i'))) order by c.relname)
      from relations c
      join pg_catalog.pg_sequence s on s.seqrelid = c.oid
      left join grants g on g.object = c.oid), '{}'),
  'enums', coalesce((
    select json_object_agg(t.typname, (select json_agg(e.enumlabel order by e.enumsortorder)
                                         from pg_catalog.pg_enum e where e.enumtypid = t.oid) order by t.typname)
      from pg_catalog.pg_type t
     where t.typnamespace = to_regnamespace($1) and t.typtype = 'e'
       and not exists (select from members m where m.classid = 'pg_type'::regclass and m.objid = t.oid)), '{}'),
  'functions', coalesce((
    select json_agg(json_build_object(
             'name', f.proname,
             'signature', f.oid::regprocedure::text,
             'definition', pg_get_functiondef(f.oid),
             'comment', obj_description(f.oid, 'pg_proc'),
             'grants', coalesce(g.of, '{}')) order by f.oid::regprocedure::text)
      from pg_catalog.pg_proc f
      left join grants g on g.object = f.oid
     where f.pronamespace = to_regnamespace($1) and f.prokind in ('f', 'p')
       and not exists (select from members m where m.classid = 'pg_proc'::regclass and m.objid = f.oid)), '[]')
)::text
