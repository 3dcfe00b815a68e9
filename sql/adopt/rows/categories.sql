-- Within a tenant the oldest category keeps its name, the others get the first free one of "<name> (2)", … Rows without
-- a tenant may share names. Answers with id, old and new name.
with duplicates as (
  select id, tenant_id, name, rank - 1 as nth
    from (select id, tenant_id, name, row_number() over (partition by tenant_id, name order by created_at, id) as rank
            from public.categories
           where tenant_id is not null) c
   where rank > 1
), renamed as (
  select d.id, d.name as old, f.free as new
    from duplicates d
   cross join lateral (
     select format('%s (%s)', d.name, k) as free
       from generate_series(2, 1 + d.nth + (select count(*) from public.categories c
                                             where c.tenant_id = d.tenant_id and starts_with(c.name, d.name || ' ('))) k
      where not exists (select from public.categories c
                         where c.tenant_id = d.tenant_id and c.name = format('%s (%s)', d.name, k))
      order by k
     offset d.nth - 1
      limit 1) f
)
update public.categories c
   set name = r.new
  from renamed r
 where r.id = c.id
returning 'category ' || c.id, r.old, r.new
