-- Removes delivered webhooks and attempts that are older than $1 seconds; answers 0 when there are none left.
select dropwire.prune_webhooks(make_interval(secs => $1))
