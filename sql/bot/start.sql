-- $1 bot, $2 update, $3 correlation id, $4 chat, $5 Telegram user id, $6 joined at.
select dropwire.start_bot($1, $2, $3, $4, $5, $6)
