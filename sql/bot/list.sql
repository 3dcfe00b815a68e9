-- $1 bot, $2 update, $3 chat.
select outcome, tickets from dropwire.list_bot_tickets($1, $2, $3)
