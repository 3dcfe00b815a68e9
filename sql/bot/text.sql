-- $1 bot, $2 update, $3 chat, $4 text or null, $5 the message that it replies to or null.
select outcome, ticket_number from dropwire.take_bot_text($1, $2, $3, $4, $5)
