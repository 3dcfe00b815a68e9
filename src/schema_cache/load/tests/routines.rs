use super::{loaded, name};
use crate::schema_cache::{HandlerTarget, Routine, SchemaCache, Volatility};

/// A routine in a short form: parameters with `?` for a default and `...` for variadic, and the result.
fn short(routine: &Routine) -> String {
    let parameters: Vec<String> = routine
        .parameters
        .iter()
        .map(|one| {
            format!(
                "{}{}{} {}",
                if one.variadic { "..." } else { "" },
                one.name,
                if one.required { "" } else { "?" },
                one.sql_type
            )
        })
        .collect();
    let set = if routine.returns.is_set { "setof " } else { "" };
    let row = if routine.returns.is_composite { " row" } else { "" };
    let domain = if routine.returns.is_composite_alias {
        " domain"
    } else {
        ""
    };
    format!(
        "({}) {set}{}{row}{domain}",
        parameters.join(", "),
        routine.returns.type_name
    )
}

fn overloads(cache: &SchemaCache, routine: &str) -> Vec<String> {
    cache
        .routines(&name(routine))
        .iter()
        .map(|routine| short(routine))
        .collect()
}

#[tokio::test]
async fn parameters_and_results_are_read() {
    let cache = loaded(
        "create table t (id int);
         create type pair as (a int, b int);
         create domain pair_too as pair;
         create domain positive as int;
         create domain more_positive as positive;
         create function nothing() returns void language sql as '';
         create function defaults(a int, b text default 'x', c positive default 1) returns positive language sql as 'select 1';
         create function more(c int) returns more_positive language sql as 'select 1';
         create function one_row() returns t language sql as 'select 1';
         create function rows() returns setof t language sql as 'select 1';
         create function made() returns pair language sql as 'select 1, 1';
         create function by_domain() returns pair_too language sql as 'select row(1, 1)::api.pair_too';
         create function outs(out x int, a int, inout y text, out z t) language sql as 'select 1, '''', null::api.t';
         create function one_out(out x int) language sql as 'select 1';
         create function made_table(a int) returns table (x int) language sql as 'select 1';
         create function many(first int, variadic rest text[] default '{}') returns int[] language sql as 'select null::int[]';
         create function widened(a char, b char[], c bit, d bit[], e varchar) returns int language sql as 'select 1'",
    )
    .await;
    let cases = [
        ("nothing", "() pg_catalog.void"),
        (
            "defaults",
            "(a integer, b? text, c? api.positive) pg_catalog.int4 domain",
        ),
        ("more", "(c integer) pg_catalog.int4 domain"),
        ("one_row", "() api.t row"),
        ("rows", "() setof api.t row"),
        ("made", "() api.pair row"),
        ("by_domain", "() api.pair row domain"),
        ("outs", "(a integer, y text) pg_catalog.record row"),
        ("one_out", "() pg_catalog.int4 row"),
        ("made_table", "(a integer) setof pg_catalog.int4 row"),
        ("many", "(first integer, ...rest? text[]) pg_catalog._int4"),
    ];
    for (routine, expected) in cases {
        assert_eq!(overloads(&cache, routine), [expected], "{routine}");
    }
    assert!(cache.routines(&name("many"))[0].is_variadic);
    assert!(cache.routines(&name("nothing"))[0].returns_void());
    let widened: Vec<&str> = cache.routines(&name("widened"))[0]
        .parameters
        .iter()
        .map(|parameter| parameter.widened_type.as_str())
        .collect();
    assert_eq!(
        widened,
        [
            "character varying",
            "character varying[]",
            "bit varying",
            "bit varying[]",
            "character varying"
        ]
    );
}

#[tokio::test]
async fn what_cannot_be_called_by_name_is_left_out() {
    let cache = loaded(
        "create function body(json) returns int language sql as 'select 1';
         create function body(text) returns int language sql as 'select 1';
         create function no_name(int) returns int language sql as 'select 1';
         create function no_names(json, json) returns int language sql as 'select 1';
         create function half(a int, int) returns int language sql as 'select 1';
         create function half_optional(a int, int default 1) returns int language sql as 'select 1';
         create function fired() returns trigger language plpgsql as 'begin return null; end';
         create procedure proceed() language sql as '';
         create aggregate total(int) (sfunc = int4pl, stype = int);
         create function hidden.secret() returns int language sql as 'select 1'",
    )
    .await;
    assert_eq!(
        overloads(&cache, "body"),
        ["( json) pg_catalog.int4", "( text) pg_catalog.int4"]
    );
    assert_eq!(
        overloads(&cache, "half_optional"),
        ["(a integer, ? integer) pg_catalog.int4"]
    );
    assert_eq!(cache.routines.len(), 2, "{:?}", cache.routines.keys());
}

#[tokio::test]
async fn overloads_are_ordered_by_their_number_of_parameters() {
    let cache = loaded(
        "create function f(a int, b int) returns int language sql as 'select 1';
         create function f() returns int language sql as 'select 1';
         create function f(b text) returns int language sql as 'select 1';
         create function f(a int) returns int language sql as 'select 1'",
    )
    .await;
    assert_eq!(
        overloads(&cache, "f"),
        [
            "() pg_catalog.int4",
            "(a integer) pg_catalog.int4",
            "(b text) pg_catalog.int4",
            "(a integer, b integer) pg_catalog.int4"
        ]
    );
}

#[tokio::test]
async fn settings_for_the_transaction_are_read() {
    let cache = loaded(
        "create function f() returns int language sql stable
           set default_transaction_isolation = 'REPEATABLE READ'
           set statement_timeout = '7s' set work_mem = '1MB' as 'select 1';
         create function g() returns int language sql immutable as 'select 1';
         comment on function g() is 'G'",
    )
    .await;
    let f = &cache.routines(&name("f"))[0];
    assert_eq!(f.volatility, Volatility::Stable);
    assert_eq!(f.isolation.as_deref(), Some("repeatable read"));
    assert_eq!(f.settings, [("statement_timeout".to_owned(), "7s".to_owned())]);
    let g = &cache.routines(&name("g"))[0];
    assert_eq!(g.volatility, Volatility::Immutable);
    assert_eq!((g.isolation.as_ref(), g.settings.len()), (None, 0));
    assert_eq!(g.description.as_deref(), Some("G"));
}

#[tokio::test]
async fn implicit_casts_between_domains_and_the_wire_are_representations() {
    let cache = loaded(
        "create domain color as int;
         create function to_json(color) returns json language sql as 'select null::json';
         create function \"From JSON\"(json) returns color language sql as 'select 1';
         create function secret(color) returns text language sql as 'select null::text';
         revoke execute on function secret(color) from public;
         create function explicit(text) returns color language sql as 'select 1';
         set client_min_messages = error;
         create cast (color as json) with function to_json(color) as implicit;
         create cast (json as color) with function \"From JSON\"(json) as implicit;
         create cast (color as text) with function secret(color) as implicit;
         create cast (text as color) with function explicit(text) as assignment",
    )
    .await;
    assert_eq!(cache.representation("api.color", "json"), Some("api.to_json"));
    assert_eq!(
        cache.representation("json", "api.color"),
        Some("api.\"From JSON\"")
    );
    // The role may not execute the one; the other is not implicit.
    assert_eq!(cache.representations.len(), 2);
}

#[tokio::test]
async fn aggregates_and_functions_that_return_a_media_type_are_handlers() {
    let cache = loaded(
        "create table t (id int);
         create domain \"text/Tab\" as text;
         create domain \"*/*\" as bytea;
         create domain \"no media type\" as text;
         create function step(\"text/Tab\", t) returns \"text/Tab\" language sql as 'select $1';
         create function step_any(\"*/*\", anyelement) returns \"*/*\" language sql as 'select $1';
         create aggregate tab(t) (sfunc = step, stype = \"text/Tab\");
         create aggregate anything(anyelement) (sfunc = step_any, stype = \"*/*\");
         create function page() returns \"text/Tab\" language sql as 'select null::api.\"text/Tab\"';
         create function plain() returns \"no media type\" language sql as 'select ''''';
         create function pages() returns setof \"text/Tab\" language sql as 'select null::api.\"text/Tab\"'",
    )
    .await;
    let handler = |target: HandlerTarget, media_type: &str| {
        let handler = cache.media_handlers.get(&(target, media_type.to_owned()))?;
        Some(format!("{} {}", handler.function, handler.media_type))
    };
    let relation = |relation| HandlerTarget::Relation(name(relation));
    assert_eq!(handler(relation("t"), "text/tab").unwrap(), "api.tab text/Tab");
    assert_eq!(
        handler(HandlerTarget::Any, "*/*").unwrap(),
        "api.anything application/octet-stream"
    );
    assert_eq!(
        handler(relation("page"), "text/tab").unwrap(),
        "api.text/Tab text/Tab"
    );
    assert_eq!(handler(relation("pages"), "text/tab"), None);
    assert_eq!(handler(relation("plain"), "no media type"), None);
}
