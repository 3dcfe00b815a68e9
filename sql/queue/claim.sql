-- Claims due heads. $1 how many at most, $2 lease in seconds, $3 claim id.
select id, ticket_id, tenant_id, attempt, url, problem, payload::text
  from dropwire.claim_webhooks($1, make_interval(secs => $2), $3)
