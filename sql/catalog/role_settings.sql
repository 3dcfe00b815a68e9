-- Lists what `alter role … set` says of every role that the login role can become, with the context in which the
-- setting may be set ('user', 'superuser', …). Settings that the server does not know are left out.
with entry as (
  select rolname, unnest(rolconfig) as entry
    from pg_catalog.pg_roles
   where pg_has_role(oid, 'member')
),
setting as (
  select rolname, split_part(entry, '=', 1) as name, substr(entry, strpos(entry, '=') + 1) as value
    from entry
)
select setting.rolname::text as role, setting.name, setting.value, known.context
  from setting
  join pg_catalog.pg_settings known on known.name = setting.name
 order by role, setting.name
