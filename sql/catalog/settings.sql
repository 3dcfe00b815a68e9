-- Lists PostgREST's settings that the database holds, by name without "pgrst.".
-- $1 the names that count, $2 another role whose settings count after the login role's (or null), $3 whether what the
-- session has set counts too, last of all: the function of db-pre-config has just been run.
with holder as (
  select oid, case when rolname = current_user then 0 else 2 end as rank
    from pg_catalog.pg_roles
   where rolname = current_user or rolname = $2
),
entry as (
  select holder.rank + case when s.setdatabase = 0 then 1 else 0 end as rank,  -- this database's win over all databases'
         unnest(s.setconfig) as entry
    from pg_catalog.pg_db_role_setting s
    join holder on holder.oid = s.setrole
   where s.setdatabase in (0, (select oid from pg_catalog.pg_database where datname = current_database()))
),
candidate as (
  select rank, split_part(entry, '=', 1) as name, substr(entry, strpos(entry, '=') + 1) as value
    from entry
  union all
  -- A setting that some transaction set and has lost again reads as ''.
  select 9, 'pgrst.' || name, nullif(current_setting('pgrst.' || name, true), '')
    from unnest($1) as name
   where $3
)
select distinct on (name) substr(name, length('pgrst.') + 1) as name, value
  from candidate
 where name in (select 'pgrst.' || wanted from unnest($1) as wanted)
   and value is not null
 order by name, rank
