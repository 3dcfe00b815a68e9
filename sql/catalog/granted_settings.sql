-- Lists the superusers' settings that the login role may set all the same: `grant set on parameter` (PostgreSQL 15).
select name
  from pg_catalog.pg_settings
 where context = 'superuser'
   and has_parameter_privilege(name, 'set')
