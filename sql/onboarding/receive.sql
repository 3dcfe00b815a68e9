-- Takes a callback's word.
-- $1 correlation id, $2 event, $3 chat id, $4 Telegram user id, $5 joined at, $6 error, $7 retry count, $8 deep link.
select outcome, status, user_id, tenant_id
  from dropwire.receive_onboarding($1, $2, $3, $4, $5, $6, $7, $8)
