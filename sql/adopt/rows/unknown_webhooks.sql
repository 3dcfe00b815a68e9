-- The original never gets an entry out of processing: marking it delivered empties next_attempt_at, which its table
-- forbids. So most of these were delivered and a few, whose dispatcher died, were not; nothing tells which.
-- Answers with the latest of them, and how many there are.
with settled as (
  update public.ticket_webhook_queue q
     set status = 'delivered', next_attempt_at = null, last_error = 'adopted: outcome unknown'
   where q.status = 'processing'
     and q.lease_expires_at is null
  returning q.*
)
select format('%s of ticket %s, sent at %s', s.id, t.ticket_number, to_char(s.updated_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"')),
       count(*) over ()
  from settled s
  left join public.tickets t on t.id = s.ticket_id
 order by s.seq desc
 limit 20
