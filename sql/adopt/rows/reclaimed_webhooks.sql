-- The original may still be at work on these; if it is not, they are due again when ten minutes are over.
update public.ticket_webhook_queue q
   set lease_expires_at = q.updated_at + interval '10 minutes'
 where q.status = 'processing'
   and q.updated_at > now() - interval '10 minutes'
returning q.id
