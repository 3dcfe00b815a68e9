-- As create_from_telegram.sql, and $12 idempotency key, $13 SHA-256 of the request's body.
select outcome, ticket_id, ticket_number
  from dropwire.create_ticket_from_telegram_once($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
