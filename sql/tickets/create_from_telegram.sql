-- $1 tenant, $2 chat id as a number, $3 chat id as written, $4 issue, $5 location, $6 category, $7 priority,
-- $8 type, $9 building, $10 floor, $11 room.
select outcome, ticket_id, ticket_number
  from dropwire.create_ticket_from_telegram($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
