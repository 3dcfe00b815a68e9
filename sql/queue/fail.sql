-- Records a failed attempt. $1 entry, $2 its claim id, $3 what went wrong, $4 seconds until the next attempt.
select dropwire.fail_webhook($1, $2, $3, make_interval(secs => $4))
