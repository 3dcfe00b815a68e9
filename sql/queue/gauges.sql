-- What /metrics says of the outbox. $1 how many tenants to name.
select dropwire.webhook_gauges($1)
