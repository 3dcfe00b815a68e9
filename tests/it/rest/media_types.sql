-- What media_types.rs reads, and handlers of media types of the database's own.
create schema api;
grant usage on schema api to anon;

create table api.notes (id int primary key, title text, body text);
insert into api.notes values (1, 'one', null), (2, 'a "quoted", one', E'two\nlines'), (3, 'Größe', '');
grant select, insert, update, delete on api.notes to anon;

-- The name of a domain is the media type that its values are in.
create domain api."text/plain" as text;
create domain api."text/html" as text;
create domain api."text/xml" as xml;
create domain api."application/octet-stream" as bytea;
create domain api."image/png" as bytea;
create domain api."application/vnd.list" as text;
create domain api."*/*" as bytea;

create function api.plain() returns api."text/plain" immutable language sql as $$ select 'Größe' $$;
create function api.page() returns api."text/html" immutable language sql as $$ select '<p>hi</p>' $$;
create function api.markup() returns api."text/xml" immutable language sql as $$ select '<a/>'::xml $$;
create function api.bytes() returns api."application/octet-stream" immutable language sql as $$ select '\x004100'::bytea $$;
create function api.picture() returns api."image/png" immutable language sql as $$ select 'PNG'::bytea $$;
create function api.anything() returns api."*/*" immutable language sql as $$ select 'any'::bytea $$;
create function api.chosen() returns api."*/*" stable language sql as $$
  select set_config('response.headers', '[{"Content-Type": "app/chosen"}]', true);
  select convert_to(current_setting('request.headers')::json ->> 'accept', 'UTF8')::api."*/*"
$$;
create function api.plain_words() returns text immutable language sql as $$ select 'words' $$;
create function api.some_notes() returns setof api.notes stable language sql as $$ select * from api.notes where id < 3 $$;

-- An aggregate writes the rows of one relation, or of any.
create function api.listed(state text, next api.notes) returns api."application/vnd.list" immutable language sql as
$$ select (state || next.id || ';')::api."application/vnd.list" $$;
create aggregate api.as_list (api.notes) (initcond = '', stype = api."application/vnd.list", sfunc = api.listed);
create domain api."text/tab-separated-values" as text;
create function api.tabbed(state text, next anyelement) returns api."text/tab-separated-values" immutable language sql as
$$ select (state || translate(next::text, ',()', E'\t') || E'\n')::api."text/tab-separated-values" $$;
create aggregate api.as_tabbed (anyelement) (
  initcond = '', stype = api."text/tab-separated-values", sfunc = api.tabbed
);
