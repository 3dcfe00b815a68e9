-- What embedding.rs embeds: books, who wrote and who edited them, who published them, and what readers say.
create schema api;
grant usage on schema api to anon;

create table api.publishers (id int primary key, name text);
create table api.authors (id int primary key, name text, mentor_id int references api.authors);
create table api.passports (author_id int primary key references api.authors, number text);
create table api.books (
  id int primary key,
  title text,
  pages int,
  publisher_id int references api.publishers,
  writer_id int references api.authors,
  editor_id int constraint edited_by references api.authors
);
create table api.genres (id int primary key, name text);
create table api.book_genres (
  book_id int references api.books,
  genre_id int references api.genres,
  primary key (book_id, genre_id)
);
create table api.reviews (id int primary key, book_id int references api.books, stars int, reader text);
-- Another way between books and authors: whose favourites they are.
create table api.favourites (
  author_id int references api.authors,
  book_id int references api.books,
  primary key (author_id, book_id)
);

insert into api.publishers values (1, 'Ace'), (2, 'Bee'), (3, 'Cee');
insert into api.authors values (1, 'Ann', null), (2, 'Bob', 1), (3, 'Cat', 1);
insert into api.passports values (1, 'P1'), (3, 'P3');
insert into api.books values
  (10, 'Air', 100, 1, 1, 2), (11, 'Bog', 300, 1, 1, null), (12, 'Cog', 250, 2, 2, 3), (13, 'Dew', 50, null, 3, 1);
insert into api.genres values (1, 'fact'), (2, 'lore');
insert into api.book_genres values (10, 1), (10, 2), (11, 1), (12, 2);
insert into api.reviews values (100, 10, 5, 'x'), (101, 10, 3, 'y'), (102, 11, 1, 'x'), (103, 12, 4, null);
insert into api.favourites values (1, 12), (2, 10), (2, 13);

-- Views lead where their tables do, through another view as well, and from a schema that is not exposed.
create view api.long_books as select id, title, publisher_id from api.books where pages > 200;
create view api.longest_books as select id as book, title, publisher_id as by from api.long_books where title like 'B%';
create schema inner_office;
create table inner_office.awards (id int primary key, name text, book_id int references api.books);
insert into inner_office.awards values (1, 'Cup', 10), (2, 'Medal', 12);
create view api.prizes as select id, name, book_id from inner_office.awards;

-- Relationships that only functions know.
create function api.longest(api.publishers) returns setof api.books rows 1 stable language sql as
$$ select * from api.books where publisher_id = $1.id order by pages desc limit 1 $$;
create function api.pupils(api.authors) returns setof api.authors stable language sql as
$$ select * from api.authors where mentor_id = $1.id $$;

create function api.books_over(pages int) returns setof api.books stable language sql as
$$ select * from api.books b where b.pages > $1 order by id $$;
create function api.first_book() returns api.books stable language sql as
$$ select * from api.books order by id limit 1 $$;

grant select, insert, update, delete on all tables in schema api to anon;
