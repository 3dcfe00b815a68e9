use super::{loaded, name};
use crate::schema_cache::relationship::ColumnPairs;
use crate::schema_cache::{Cardinality, Relationship, SchemaCache};

/// The relationships of a relation in a short form, in their order.
fn from(cache: &SchemaCache, origin: &str) -> Vec<String> {
    cache
        .relationships_from(&name(origin), "api")
        .map(|relationship| short(relationship))
        .collect()
}

/// `-> target N:1 constraint(a=b)`, with `self` and `view` where they apply.
fn short(relationship: &Relationship) -> String {
    let target = &relationship.target().name;
    let is_self = if relationship.is_self() { " self" } else { "" };
    match relationship {
        Relationship::Computed { function, to_one, .. } => {
            let many = if *to_one { "one" } else { "many" };
            format!("-> {target}{is_self} by {function} {many}")
        }
        Relationship::ForeignKey {
            cardinality,
            origin_is_view,
            target_is_view,
            ..
        } => {
            let views = match (origin_is_view, target_is_view) {
                (false, false) => "",
                (true, false) => " from view",
                (false, true) => " to view",
                (true, true) => " between views",
            };
            let kind = match cardinality {
                Cardinality::OneToMany { constraint, columns } => {
                    format!("1:N {constraint}{}", pairs(columns))
                }
                Cardinality::ManyToOne { constraint, columns } => {
                    format!("N:1 {constraint}{}", pairs(columns))
                }
                Cardinality::OneToOne {
                    constraint,
                    columns,
                    origin_is_parent,
                } => {
                    let parent = if *origin_is_parent { "1:1" } else { "1:1 child" };
                    format!("{parent} {constraint}{}", pairs(columns))
                }
                Cardinality::ManyToMany(junction) => format!(
                    "N:N {} {}{} {}{}",
                    junction.table.name,
                    junction.origin_constraint,
                    pairs(&junction.origin_columns),
                    junction.target_constraint,
                    pairs(&junction.target_columns)
                ),
            };
            format!("-> {target}{is_self}{views} {kind}")
        }
    }
}

fn pairs(columns: &ColumnPairs) -> String {
    let pairs: Vec<String> = columns.iter().map(|(a, b)| format!("{a}={b}")).collect();
    format!("({})", pairs.join(","))
}

#[tokio::test]
async fn foreign_keys_have_two_directions() {
    let cache = loaded(
        "create table parents (a int, b int, unique (a, b));
         create table children (y int, x int, constraint up foreign key (x, y) references parents (a, b));
         create table nodes (id int primary key, above int constraint above references nodes)",
    )
    .await;
    assert_eq!(from(&cache, "children"), ["-> parents N:1 up(x=a,y=b)"]);
    assert_eq!(from(&cache, "parents"), ["-> children 1:N up(a=x,b=y)"]);
    assert_eq!(
        from(&cache, "nodes"),
        [
            "-> nodes self 1:N above(id=above)",
            "-> nodes self N:1 above(above=id)"
        ]
    );
}

#[tokio::test]
async fn a_unique_foreign_key_is_one_to_one() {
    let cache = loaded(
        "create table t (id int primary key, a int, b int, unique (a, b));
         create table by_key (id int primary key constraint k references t);
         create table by_unique (x int, y int, unique (y, x), constraint u foreign key (x, y) references t (a, b));
         create table by_index (id int constraint i references t);
         create unique index on by_index (id);
         create table wider (id int constraint w references t, n int, unique (id, n))",
    )
    .await;
    assert_eq!(from(&cache, "by_key"), ["-> t 1:1 child k(id=id)"]);
    assert_eq!(from(&cache, "by_unique"), ["-> t 1:1 child u(x=a,y=b)"]);
    // An index is no promise: PostgREST counts constraints alone.
    assert_eq!(from(&cache, "by_index"), ["-> t N:1 i(id=id)"]);
    assert_eq!(from(&cache, "wider"), ["-> t N:1 w(id=id)"]);
    assert_eq!(
        from(&cache, "t"),
        [
            "-> by_index 1:N i(id=id)",
            "-> by_key 1:1 k(id=id)",
            "-> by_unique 1:1 u(a=x,b=y)",
            "-> wider 1:N w(id=id)"
        ]
    );
}

#[tokio::test]
async fn a_junction_holds_both_foreign_keys_in_its_primary_key() {
    let cache = loaded(
        "create table users (id int primary key);
         create table tasks (id int primary key);
         create table users_tasks (
           user_id int constraint u references users, task_id int constraint t references tasks,
           note text, day date, primary key (user_id, task_id, day));
         create table loose (
           user_id int constraint lu references users, task_id int constraint lt references tasks,
           primary key (user_id));
         create table friends (
           a int constraint fa references users, b int constraint fb references users, primary key (a, b))",
    )
    .await;
    let to_many: Vec<String> = from(&cache, "users")
        .into_iter()
        .filter(|one| one.contains("N:N"))
        .collect();
    assert_eq!(
        to_many,
        [
            "-> tasks N:N users_tasks u(id=user_id) t(id=task_id)",
            "-> users self N:N friends fa(id=a) fb(id=b)",
            "-> users self N:N friends fb(id=b) fa(id=a)",
        ]
    );
}

#[tokio::test]
async fn views_take_part_under_their_own_column_names() {
    let cache = loaded(
        "create table hidden.directors (id int primary key, name text);
         create table hidden.films (id int primary key, director int constraint made references hidden.directors);
         create view people as select id as pid, name from hidden.directors;
         create view films as select id, director as by, director as directed_by from hidden.films;
         create view hidden.films_too as select id, director from hidden.films;
         create materialized view twice_removed as select director as boss from hidden.films_too;
         create view without as select id from hidden.films",
    )
    .await;
    assert_eq!(
        from(&cache, "films"),
        [
            "-> people between views N:1 made(by=pid)",
            "-> people between views N:1 made(directed_by=pid)"
        ]
    );
    assert_eq!(
        from(&cache, "twice_removed"),
        ["-> people between views N:1 made(boss=pid)"]
    );
    assert_eq!(
        from(&cache, "people"),
        [
            "-> films between views 1:N made(pid=by)",
            "-> films between views 1:N made(pid=directed_by)",
            "-> twice_removed between views 1:N made(pid=boss)"
        ]
    );
    assert!(from(&cache, "without").is_empty());
}

#[tokio::test]
async fn tables_and_views_are_told_apart_and_a_view_can_be_a_junction() {
    let cache = loaded(
        "create table a (id int primary key);
         create table b (id int primary key);
         create table ab (a int constraint a references a, b int constraint b references b, primary key (a, b));
         create view ab_view as select a as va, b as vb from ab;
         create view b_view as select id as vid from b",
    )
    .await;
    assert_eq!(
        from(&cache, "a"),
        [
            "-> ab 1:N a(id=a)",
            "-> ab_view to view 1:N a(id=va)",
            "-> b N:N ab a(id=a) b(id=b)",
            "-> b N:N ab_view a(id=va) b(id=vb)",
            "-> b_view to view N:N ab a(id=a) b(vid=b)",
            "-> b_view to view N:N ab_view a(id=va) b(vid=vb)",
        ]
    );
}

#[tokio::test]
async fn circles_of_views_do_no_harm() {
    let cache = loaded(
        "create table t (id int primary key);
         create view one as select id from t;
         create view two as select id from one;
         create or replace view one as select id from two",
    )
    .await;
    assert!(cache.table(&name("one")).unwrap().primary_key.is_empty());
}

#[tokio::test]
async fn hidden_relations_and_partitions_copies_take_no_part() {
    let cache = loaded(
        "create table hidden.secret (id int primary key);
         create table t (id int primary key, secret int references hidden.secret);
         create table u (id int primary key);
         create table hidden.junction (
           t int references t, u int references u, primary key (t, u));
         create table split (id int, t int constraint up references t) partition by range (id);
         create table split_1 partition of split for values from (1) to (2)",
    )
    .await;
    assert_eq!(from(&cache, "t"), ["-> split 1:N up(id=t)"]);
    assert!(from(&cache, "u").is_empty());
    assert!(from(&cache, "split_1").is_empty());
}

#[tokio::test]
async fn computed_relationships_come_last_and_replace_what_they_are_named_like() {
    let cache = loaded(
        "create table clients (id int primary key);
         create table projects (id int primary key, client int constraint c references clients);
         create function clients(projects) returns setof clients rows 1 stable language sql
           as 'select * from api.clients where id = $1.client';
         create function neighbours(projects) returns setof projects stable language sql
           as 'select * from api.projects';
         create function first(projects) returns clients stable language sql
           as 'select * from api.clients limit 1';
         create function title(projects) returns text stable language sql as 'select null::text';
         create function two(projects, int) returns setof clients stable language sql
           as 'select * from api.clients';
         create function hidden.far(projects) returns setof clients stable language sql
           as 'select * from api.clients'",
    )
    .await;
    assert_eq!(
        from(&cache, "projects"),
        [
            "-> clients by api.clients one",
            "-> clients by api.first one",
            "-> projects self by api.neighbours many"
        ]
    );
    // The other direction stays.
    assert_eq!(from(&cache, "clients"), ["-> projects 1:N c(id=client)"]);
}
