-- Creates a ticket for create-ticket.
-- $1 tenant, $2 chat id as a number, $3 chat id as written, $4 issue, $5 location, $6 category, $7 priority, $8 type,
-- $9 idempotency key or null, $10 SHA-256 of the request's body or null.
select outcome, ticket from dropwire.create_ticket($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
