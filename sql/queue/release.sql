-- Hands unfinished entries back. $1 entries, $2 their claim ids.
select dropwire.release_webhooks($1, $2)
