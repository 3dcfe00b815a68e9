-- What errors.rs trips over.
create schema api;
grant usage on schema api to anon, authenticated;
create schema elsewhere;

create table api.owners (id int primary key, name text unique);
create table api.things (
  id int primary key,
  name text not null check (name <> ''),
  owner_id int references api.owners
);
create table api.locked (id int primary key);
insert into api.owners values (1, 'Ann'), (2, 'Bob');
insert into api.things values (1, 'lamp', 1), (2, 'chair', 1);
create view api.counted as select count(*) as things from api.things;
grant select, insert, update, delete on api.owners, api.things, api.counted to anon, authenticated;

-- A policy that asks itself.
create table api.circular (id int);
alter table api.circular enable row level security;
create policy round on api.circular using (exists (select from api.circular));
grant select on api.circular to anon;

create function api.raised(state text) returns void language plpgsql as
$$ begin raise exception 'm' using errcode = state, detail = 'd', hint = 'h'; end $$;
create function api.answered(message text, detail text) returns void language plpgsql as
$$ begin raise sqlstate 'PGRST' using message = message, detail = detail; end $$;
create function api.with_headers(value text) returns text language sql as
$$ select set_config('response.headers', value, true) $$;
create function api.with_status(value text) returns text language sql as
$$ select set_config('response.status', value, true) $$;
create function api.twice(number int) returns int immutable language sql as $$ select number * 2 $$;
create function api.either(a int) returns int immutable language sql as $$ select a $$;
create function api.either(a text) returns text immutable language sql as $$ select a $$;
create function api.end_connection() returns void security definer language sql as
$$ select pg_terminate_backend(pg_backend_pid()) $$;
