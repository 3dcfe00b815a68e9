-- What rpc.rs calls. `calls` notes the calls that write.
create schema api;
grant usage on schema api to anon;

create type api.point as (x int, y int);
create type api.mood as enum ('glad', 'sad');
create table api.owners (id int primary key, name text);
create table api.pets (id int primary key, name text, owner_id int references api.owners);
insert into api.owners values (1, 'Ann'), (2, 'Bob');
insert into api.pets values (1, 'Rex', 1), (2, 'Tom', 2), (3, 'Pip', 1), (4, 'Sid', null);
create table api.calls (id int generated always as identity, what text);

-- What is returned.
create function api.three() returns int immutable language sql as $$ select 3 $$;
create function api.greeting() returns text immutable language sql as $$ select 'say "hi"' $$;
create function api.nothing() returns text immutable language sql as $$ select null::text $$;
create function api.no_value() returns void stable language sql as $$ select 1 $$;
create function api.words() returns text[] immutable language sql as $$ select array['a', 'b'] $$;
create function api.document() returns json immutable language sql as $$ select '{"a": [1, null]}'::json $$;
create function api.today_mood() returns api.mood immutable language sql as $$ select 'glad'::api.mood $$;
create function api.origin() returns api.point immutable language sql as $$ select (0, 0)::api.point $$;
create function api.numbers() returns setof int immutable language sql as $$ select generate_series(1, 3) $$;
create function api.line() returns setof api.point immutable language sql as
$$ select x, x * x from generate_series(1, 3) as x $$;
create function api.pair(out a int, out b text) immutable language sql as $$ select 1, 'one' $$;
create function api.squares(upto int) returns table (n int, square int) immutable language sql as
$$ select n, n * n from generate_series(1, upto) as n $$;
create function api.one_pet(wanted int) returns api.pets stable language sql as
$$ select * from api.pets where id = wanted $$;
create function api.all_pets() returns setof api.pets stable language sql as $$ select * from api.pets order by id $$;

-- What is passed.
create function api.add(a int, b int default 10) returns int immutable language sql as $$ select a + b $$;
create function api.joined(variadic parts text[] default '{}') returns text immutable language sql as
$$ select array_to_string(parts, '+') $$;
create function api.shown(i int, t text, f boolean, m api.mood, a int[], j jsonb, d date) returns json immutable language sql as
$$ select json_build_object('i', i, 't', t, 'f', f, 'm', m, 'a', a, 'j', j, 'd', d) $$;
create function api."Quoted name"("First name" text) returns text immutable language sql as $$ select "First name" $$;
create function api.sized(p api.point) returns int immutable language sql as $$ select p.x * p.y $$;

-- Overloads, told apart by their arguments' names; two that are not.
create function api.area(side int) returns text immutable language sql as $$ select 'square ' || side * side $$;
create function api.area(width int, height int) returns text immutable language sql as $$ select 'rectangle ' || width * height $$;
create function api.same(a int) returns text immutable language sql as $$ select 'int' $$;
create function api.same(a text) returns text immutable language sql as $$ select 'text' $$;

-- The body as a whole.
create function api.take_json(json) returns json immutable language sql as $$ select $1 $$;
create function api.take_text(text) returns text immutable language sql as $$ select $1 || '!' $$;
create function api.take_xml(xml) returns text immutable language sql as $$ select (xpath('//a/text()', $1))[1]::text $$;
create function api.take_bytes(bytea) returns text immutable language sql as $$ select encode($1, 'hex') $$;

-- What writes: volatile, or marked as if it did not.
create function api.note(what text) returns int language sql as
$$ insert into api.calls (what) values (what) returning id $$;
create function api.secret_note(what text) returns int stable language plpgsql as $$ begin
  insert into api.calls (what) values (what);
  return 1;
end $$;
create function api.adopt(owner int) returns setof api.pets language sql as
$$ update api.pets set owner_id = owner where owner_id is null returning * $$;

grant select, insert, update on all tables in schema api to anon;
