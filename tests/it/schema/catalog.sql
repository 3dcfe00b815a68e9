-- The schema that clients see, one fact a line, in an order that does not depend on how it came about.
-- Not-null constraints are left to the columns: from PostgreSQL 18 on they are constraints with names, too.
with tables as (
  select c.oid, c.relname, c.relrowsecurity
    from pg_class c
   where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
), facts (owner, kind, place, fact) as (
  select relname::text, 0, '',
         format('table %s, row level security %s', relname, case when relrowsecurity then 'on' else 'off' end)
    from tables
  union all
  select t.relname, 1, lpad(a.attnum::text, 4, '0'),
         concat_ws(' ', ' ', a.attname, format_type(a.atttypid, a.atttypmod),
                   case when a.attnotnull then 'not null' end,
                   case when a.attidentity = 'a' then 'generated always as identity' end,
                   'default ' || pg_get_expr(d.adbin, d.adrelid))
    from tables t
    join pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = t.oid and d.adnum = a.attnum
  union all
  select t.relname, 2, c.conname, format('  constraint %s %s', c.conname, pg_get_constraintdef(c.oid))
    from tables t
    join pg_constraint c on c.conrelid = t.oid and c.contype in ('p', 'u', 'f', 'c', 'x')
  union all
  select t.relname, 3, i.relname,
         regexp_replace(pg_get_indexdef(x.indexrelid), '^CREATE (UNIQUE )?INDEX (\S+) ON \S+ USING',
                        case when x.indisunique then '  unique index \2' else '  index \2' end)
    from tables t
    join pg_index x on x.indrelid = t.oid
    join pg_class i on i.oid = x.indexrelid
   where not exists (select from pg_constraint c where c.conindid = x.indexrelid and c.contype in ('p', 'u', 'x'))
  union all
  select t.relname, 4, g.tgname,
         regexp_replace(pg_get_triggerdef(g.oid),
                        '^CREATE TRIGGER (\S+) (.*) ON \S+ (?:REFERENCING .* )?FOR EACH (?:ROW|STATEMENT)', '  trigger \1 \2')
    from tables t
    join pg_trigger g on g.tgrelid = t.oid and not g.tgisinternal
  union all
  select t.relname, 5, p.polname, format('  policy %s', p.polname)
    from tables t
    join pg_policy p on p.polrelid = t.oid
  union all
  select '~ type', 6, y.typname,
         format('enum %s: %s', y.typname, (select string_agg(e.enumlabel, ', ' order by e.enumsortorder)
                                             from pg_enum e where e.enumtypid = y.oid))
    from pg_type y
   where y.typnamespace = 'public'::regnamespace and y.typtype = 'e'
  union all
  select '~ sequence', 7, s.sequencename, format('sequence %s from %s', s.sequencename, s.start_value)
    from pg_sequences s
   where s.schemaname = 'public'
  union all
  select '~~ function', 8, p.oid::regprocedure::text,
         format('function %s returns %s%s', p.oid::regprocedure, pg_get_function_result(p.oid),
                case when p.prosecdef then ', with its owner''s rights' end)
    from pg_proc p
   where p.pronamespace = 'public'::regnamespace
)
select string_agg(fact, e'\n' order by owner collate "C", kind, place collate "C") from facts
