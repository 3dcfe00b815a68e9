-- $1 bot, $2 update. True for whoever takes it first.
select dropwire.take_telegram_update($1, $2)
