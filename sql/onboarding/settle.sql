-- Records what became of the call to Make.
-- $1 caller, $2 user, $3 correlation id, $4 whether Make took it, $5 its status or null, $6 its answer or the error.
select dropwire.settle_onboarding($1, $2, $3, $4, $5, $6)
