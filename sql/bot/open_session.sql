-- $1 ticket, $2 chat, $3 user, $4 profile or null, $5 callback, $6 the card's message or null, $7 the prompt's.
select dropwire.open_bot_session($1, $2, $3, $4, $5, $6, $7)
