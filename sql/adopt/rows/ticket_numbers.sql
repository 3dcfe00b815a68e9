-- The oldest ticket keeps its number, the others get the first free one of <number>-2, <number>-3, … People go on
-- recognising it, and it stands in no counter's way. Answers with id, old and new number.
with duplicates as (
  select id, ticket_number, rank - 1 as nth
    from (select id, ticket_number, row_number() over (partition by ticket_number order by created_at, id) as rank
            from public.tickets) t
   where rank > 1
), renamed as (
  select d.id, d.ticket_number as old, f.free as new
    from duplicates d
   cross join lateral (
     -- Among as many candidates as there are tickets with such a number, and nth more, the nth free one exists.
     select d.ticket_number || '-' || k as free
       from generate_series(2, 1 + d.nth + (select count(*) from public.tickets t
                                             where starts_with(t.ticket_number, d.ticket_number || '-'))) k
      where not exists (select from public.tickets t where t.ticket_number = d.ticket_number || '-' || k)
      order by k
     offset d.nth - 1
      limit 1) f
)
update public.tickets t
   set ticket_number = r.new
  from renamed r
 where r.id = t.id
returning 'ticket ' || t.id, r.old, r.new
