-- What hidden_rows.rs looks for. Everything that Alice may not see says `hush`, in every column that takes a text.
create schema api;
grant usage on schema api to authenticated;

create function api.me() returns text stable language sql as
$$ select current_setting('request.jwt.claims', true)::json ->> 'sub' $$;

create table api.folders (
  id int primary key,
  name text unique,
  owner text not null default api.me(),
  parent_id int references api.folders,
  meta jsonb,
  tags text[]
);
create table api.notes (
  id int primary key,
  folder_id int references api.folders,
  title text,
  body text,
  meta jsonb,
  tags text[],
  owner text not null default api.me()
);
create table api.labels (id int primary key, name text, owner text not null default api.me());
create table api.note_labels (
  note_id int references api.notes,
  label_id int references api.labels,
  primary key (note_id, label_id)
);

insert into api.folders
select n, case when n % 2 = 0 then 'open ' else 'hush ' end || n, case when n % 2 = 0 then 'alice' else 'bob' end,
       nullif(n / 2, 0), jsonb_build_object('k', case when n % 2 = 0 then 'open' else 'hush' end),
       array[case when n % 2 = 0 then 'open' else 'hush' end]
  from generate_series(1, 8) as n;
insert into api.notes
select n, 1 + n % 7, word || ' ' || n, word, jsonb_build_object('k', word, 'list', jsonb_build_array(word)), array[word],
       case when n % 2 = 0 then 'alice' else 'bob' end
  from generate_series(1, 20) as n, lateral (select case when n % 2 = 0 then 'open' else 'hush' end as word) as words;
insert into api.labels
select n, case when n % 2 = 0 then 'open' else 'hush' end || ' label', case when n % 2 = 0 then 'alice' else 'bob' end
  from generate_series(1, 6) as n;
insert into api.note_labels select n, 1 + (n * 7) % 6 from generate_series(1, 20) as n;

alter table api.folders enable row level security;
alter table api.notes enable row level security;
alter table api.labels enable row level security;
create policy own on api.folders to authenticated using (owner = api.me());
create policy own on api.notes to authenticated using (owner = api.me());
create policy own on api.labels to authenticated using (owner = api.me());
grant select, insert, update, delete on all tables in schema api to authenticated;

-- Other ways in: views and functions with the caller's rights, computed fields and relationships.
create view api.note_list with (security_invoker) as
select n.id, n.title, n.folder_id, f.name as folder from api.notes n left join api.folders f on f.id = n.folder_id;
grant select on api.note_list to authenticated;
create function api.all_notes() returns setof api.notes stable language sql as $$ select * from api.notes $$;
create function api.note(wanted int) returns api.notes stable language sql as
$$ select * from api.notes where id = wanted $$;
create function api.titles(pattern text default '%') returns setof text stable language plpgsql as
$$ begin return query select title from api.notes where title like pattern; end $$;
create function api.retitle(wanted int, title text) returns setof api.notes language sql as
$$ update api.notes n set title = retitle.title where n.id = wanted returning n.* $$;
create function api.shout(api.notes) returns text immutable language sql as $$ select upper($1.title) $$;
create function api.siblings(api.notes) returns setof api.notes stable language sql as
$$ select * from api.notes where folder_id = $1.folder_id $$;
