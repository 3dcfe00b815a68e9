-- What reading.rs reads: the parts of a store.
create schema api;
grant usage on schema api to anon;

create type api.place as (aisle text, shelf int);

create table api.parts (
  id int primary key,
  name text,
  price numeric,
  in_stock boolean,
  tags text[],
  fits int4range,
  spec jsonb,
  place api.place,
  notes text,
  words tsvector generated always as (to_tsvector('english', notes)) stored
);
insert into api.parts (id, name, price, in_stock, tags, fits, spec, place, notes) values
  (1, 'bolt', 0.50, true, '{metal,small}', '[1,5)',
   '{"size": {"mm": 8}, "colours": ["grey", "black"], "code": "a-1"}', '(A,3)', 'Bolts hold things together'),
  (2, 'nut', 0.25, true, '{metal}', '[5,10)', '{"size": {"mm": 10}, "colours": []}', '(A,4)', 'The nut turns on a bolt'),
  (3, 'long bolt', 1.50, false, '{metal,long}', '[2,4)', '{"size": {"mm": 80}}', '(B,1)', 'Holds thick things'),
  (4, 'O-ring, "oil"', null, null, '{}', '[20,30)', null, null, null),
  (5, '100%', 9.99, true, null, null, '{"size": {"mm": null}}', null, 'Die Schraube hält Dinge');
analyze api.parts;

-- A computed field, and one that only rows of another table have.
create function api.label(api.parts) returns text stable language sql as $$ select '#' || $1.id || ' ' || $1.name $$;

-- Names that have to be quoted, here and in the URL.
create table api."mü dir" ("id" int, "Straße/№ 1" text, "a,b" int);
insert into api."mü dir" values (1, 'Allee', 7), (2, 'Weg', 8);

-- A domain with a representation of its own: pence as '£1.50'.
create domain api.pence as int;
create function api.written(api.pence) returns json immutable language sql as
$$ select to_json('£' || to_char($1::int / 100.0, 'FM990.00')) $$;
create function api.pence_of(text) returns api.pence immutable language sql as
$$ select (replace($1, '£', '')::numeric * 100)::int::api.pence $$;
create function api.pence_of(json) returns api.pence immutable language sql as
$$ select api.pence_of($1 #>> '{}') $$;
create cast (api.pence as json) with function api.written(api.pence) as implicit;
create cast (text as api.pence) with function api.pence_of(text) as implicit;
create cast (json as api.pence) with function api.pence_of(json) as implicit;
create table api.fares (id int primary key, fare api.pence);
insert into api.fares values (1, 150), (2, 275);

grant select on all tables in schema api to anon;
