-- The original's foreign key lets tickets.executor_id name a row of executors only; everybody reads a user there.
update public.tickets t
   set executor_id = e.user_id
  from public.executors e
 where e.id = t.executor_id
   and e.user_id is not null
   and not exists (select from public.users u where u.id = t.executor_id)
returning format('%s: %s', t.id, e.id)
