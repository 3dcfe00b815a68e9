-- Checks an admin's request and makes the user pending.
-- $1 caller, $2 user, $3 correlation id, $4 reason, $5 whether Make's URL is known, $6 seconds for Make to answer.
select outcome, payload::text
  from dropwire.begin_onboarding($1, $2, $3, $4, $5, make_interval(secs => $6))
