-- Lets new tickets be numbered in the form that the database has, behind the highest number of each prefix. Answers
-- with what it did. A number with anything but digits behind its prefix, or more of them than count, is in no row.
with tickets as (
  select substring(ticket_number from '^FMS-([A-Z0-9]{3})-[0-9]{1,17}$') as prefix,
         substring(ticket_number from '^FMS-[A-Z0-9]{3}-([0-9]{1,17})$')::bigint as number,
         ticket_number like 'FMS-%' as is_fms,
         substring(ticket_number from '^TKT-([0-9]{1,17})$')::bigint as tkt
    from public.tickets
), form as (
  -- Early versions of the original counted TKT-1000 and on.
  update dropwire.settings
     set ticket_number_form = case when not exists (select from tickets where is_fms)
                                    and exists (select from tickets where tkt is not null) then 'TKT' else 'FMS' end
  returning ticket_number_form
), counted as (
  select prefix, max(number) as highest from tickets where prefix is not null group by prefix
), started as materialized (
  select dropwire.ticket_number_sequence(c.prefix, c.highest + 1) as sequence,
         'FMS-' || c.prefix || '-' || dropwire.at_least_four_digits(c.highest + 1) as next
    from counted c
), moved as (
  select setval('public.ticket_number_seq', greatest(max(tkt), (select last_value from public.ticket_number_seq))) as last
    from tickets
  having max(tkt) >= 1000
)
select format('new ones keep the form %s',
              case form.ticket_number_form when 'FMS' then 'FMS-<prefix>-<number>' else 'TKT-<number>' end)
       || coalesce(', next: ' || case form.ticket_number_form
            when 'FMS' then (select array_to_string((array_agg(next order by next))[1:10], ', ')
                               from started where sequence is not null)
            else 'TKT-' || (select last + 1 from moved) end, '')
  from form
