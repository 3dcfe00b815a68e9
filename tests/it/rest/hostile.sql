-- What hostile.rs asks wrongly about.
create schema api;
grant usage on schema api to anon;
create table api.nodes (
  id int primary key,
  name text,
  parent_id int references api.nodes,
  price numeric,
  tags text[],
  spec jsonb
);
insert into api.nodes values
  (1, 'root', null, 1.5, '{a,b}', '{"a": {"b": 1}}'), (2, 'leaf', 1, null, null, null);
grant select, insert, update, delete on api.nodes to anon;
create function api.echo(t text) returns text immutable language sql as $$ select t $$;
create function api.whole(json) returns json immutable language sql as $$ select $1 $$;
create function api.found(wanted int default 0) returns setof api.nodes stable language sql as
$$ select * from api.nodes where id > wanted $$;
