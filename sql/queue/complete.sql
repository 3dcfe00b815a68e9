-- Marks an entry delivered and perhaps claims the ticket's next one.
-- $1 entry, $2 its claim id, $3 the body that was sent, $4 claim id for the next one or null, $5 lease in seconds.
select held, (next).id, (next).ticket_id, (next).tenant_id, (next).attempt, (next).url, (next).problem,
       (next).payload::text
  from dropwire.complete_webhook($1, $2, $3::text::jsonb, $4, make_interval(secs => $5))
