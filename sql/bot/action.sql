-- $1 bot, $2 update, $3 chat, $4 action or null, $5 ticket or null, $6 callback, $7 the card's message or null.
select outcome, card, user_id, profile_id from dropwire.take_bot_action($1, $2, $3, $4, $5, $6, $7)
