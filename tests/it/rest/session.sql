-- What session.rs looks through: settings, roles and modes as SQL code sees them.
create schema api;
grant usage on schema api to anon, authenticated, service_role;

create view api.who as select current_user::text as who;
create view api.modes as
  select current_setting('transaction_read_only') as read_only, current_setting('transaction_isolation') as isolation;
create view api.for_service as select 1 as one;
create table api.notes (note text);
grant select on api.who, api.modes to anon, authenticated, service_role;
grant select on api.for_service to service_role;
grant select, insert on api.notes to anon, service_role;

create function api.setting(name text) returns text stable language sql as
$$ select nullif(current_setting(name, true), '') $$;
create function api.volatile_setting(name text) returns text language sql as $$ select current_setting(name, true) $$;
create function api.whoami() returns text language sql as $$ select current_user::text $$;

create function api.add_note() returns void language sql as $$ insert into api.notes values ('x') $$;
-- Looks harmless, and writes.
create function api.sly_note() returns int language sql as $$ insert into api.notes values ('sly') returning 1 $$;
create view api.sly as select api.sly_note() as one;
grant select on api.sly to anon;

create function api.set_own() returns text language sql as $$ select set_config('my.own', 'x', true) $$;
create function api.fail() returns void language plpgsql as $$ begin raise 'no'; end $$;
create function api.fail_after_writing() returns void language plpgsql as $$
begin
  insert into api.notes values ('x');
  raise sqlstate 'PT402' using message = 'no', hint = 'Pay';
end
$$;
create function api.become() returns text language plpgsql as $$
begin
  set local role anon;
  return current_user;
end
$$;

create function api.rest_a_while() returns void language sql as $$ select pg_sleep(0.4) $$;
create function api.rest_patiently() returns void language sql set statement_timeout = '10s' as $$ select pg_sleep(0.4) $$;

create function api.isolation() returns text stable language sql as $$ select current_setting('transaction_isolation') $$;
create function api.isolation_repeatable() returns text stable language sql
set default_transaction_isolation = 'repeatable read' as $$ select current_setting('transaction_isolation') $$;
create function api.isolation_serializable() returns text stable language sql
set default_transaction_isolation = 'serializable' as $$ select current_setting('transaction_isolation') $$;

create schema hidden;
grant usage on schema hidden to anon, service_role;
create function hidden.check_request() returns void language plpgsql as $$
begin
  perform set_config('my.checked', concat_ws(' ', current_user, current_setting('request.method'), current_setting('request.path')), true),
          set_config('response.headers', json_build_array(json_build_object('X-Checked', current_user))::text, true);
  if current_setting('request.headers')::json ->> 'x-barred' = 'yes' then
    raise sqlstate 'PT402' using message = 'Pay first';
  end if;
end
$$;
