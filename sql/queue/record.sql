-- Records the outcomes of attempts. $1 to $15 one array each: entries, claim ids, results, bodies sent, errors, seconds
-- until due, seconds of pause, attempts, tickets, tenants, statuses, error classes, milliseconds, excerpts, whether to
-- follow. $16 claim id for what follows, $17 lease in seconds, $18 failures that break an endpoint, $19 longest backoff.
select entry_id, outcome, (next).id, (next).ticket_id, (next).tenant_id, (next).attempt, (next).url, (next).problem,
       (next).payload, (next).secrets, (next).rated
  from dropwire.record_webhooks($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
                                make_interval(secs => $17), $18, $19)
