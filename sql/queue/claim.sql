-- Claims due heads. $1 how many at most, $2 lease in seconds, $3 claim id, $4 the endpoint after which to begin, $5 the
-- tenants to look at or null for all, $6 entries under way per tenant as JSON, $7 how many an endpoint may have.
select id, ticket_id, tenant_id, attempt, url, problem, payload, secrets, rated
  from dropwire.claim_webhooks($1, make_interval(secs => $2), $3, $4, $5, $6::text::jsonb, $7)
