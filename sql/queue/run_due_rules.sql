-- What else is done in each pass of a dispatcher. $1 how many rules at most.
select dropwire.run_due_work($1)
