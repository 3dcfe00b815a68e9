-- Tells whether a callback's user can be found. $1 correlation id.
select outcome from dropwire.find_onboarding($1)
