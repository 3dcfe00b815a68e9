//! Answers of each kind of plan, as status and headers.

use std::sync::Arc;

use super::*;
use crate::rest::plan::{Arguments, CallParameters, CallPlan, Handler, MutatePlan, ReadPlan};
use crate::rest::request::preferences::{Handling, Missing, Preferences};
use crate::rest::request::{CallMethod, QueryParams, Range};
use crate::schema_cache::{QualifiedName, ReturnKind, Routine};

fn request(action: Action, preferences: Preferences) -> Request {
    Request {
        action,
        schema: "api".to_owned(),
        negotiated_by_profile: false,
        query: QueryParams::default(),
        top_range: Range::ALL,
        payload: None,
        columns: std::collections::BTreeSet::default(),
        preferences,
        accept: vec![MediaType::Any],
        content_type: MediaType::Json,
        method: "GET".to_owned(),
        path: "/items".to_owned(),
        headers: Vec::new(),
        cookies: Vec::new(),
    }
}

fn items() -> QualifiedName {
    QualifiedName::new("api", "items")
}

fn output() -> Output {
    Output {
        handler: Handler::Json,
        media_type: MediaType::Json,
    }
}

fn node() -> ReadNode {
    ReadNode {
        plan: ReadPlan::default(),
        children: Vec::new(),
    }
}

fn reading(head: bool) -> (Plan, Request) {
    let plan = Plan::Read {
        read: node(),
        head,
        output: output(),
        relation: items(),
    };
    let action = Action::Read {
        relation: items(),
        head,
    };
    (plan, request(action, Preferences::default()))
}

fn writing(mutation: Mutation, preferences: Preferences) -> (Plan, Request) {
    let mutate = match mutation {
        Mutation::Insert | Mutation::SingleUpsert => MutatePlan::Insert {
            has_xmax: false,
            into: items(),
            columns: Vec::new(),
            body: None,
            body_is_object: true,
            on_conflict: None,
            put_filters: Vec::new(),
            returning: Vec::new(),
            primary_key: vec!["id".to_owned()],
            apply_defaults: false,
        },
        _ => MutatePlan::Delete {
            relation: items(),
            filters: Vec::new(),
            returning: Vec::new(),
        },
    };
    let plan = Plan::Mutate {
        mutate,
        read: node(),
        output: output(),
        relation: items(),
    };
    let action = Action::Mutate {
        relation: items(),
        mutation,
    };
    (plan, request(action, preferences))
}

fn calling(type_name: &str) -> (Plan, Request) {
    let name = QualifiedName::new("api", "f");
    let routine = Routine {
        name: name.clone(),
        description: None,
        parameters: Vec::new(),
        returns: ReturnKind {
            type_name: QualifiedName::new("pg_catalog", type_name),
            is_set: false,
            is_composite: false,
            is_composite_alias: false,
        },
        volatility: Volatility::Volatile,
        is_variadic: false,
        isolation: None,
        settings: Vec::new(),
    };
    let plan = Plan::Call {
        call: CallPlan {
            function: name.clone(),
            parameters: CallParameters::Named(Vec::new()),
            arguments: Arguments::Direct(Vec::new()),
            scalar: true,
            set_of_scalar: false,
            filter_fields: std::collections::BTreeSet::default(),
            returning: std::collections::BTreeSet::default(),
        },
        read: node(),
        routine: Arc::new(routine),
        head: false,
        read_only: false,
        output: output(),
    };
    let action = Action::Call {
        routine: name,
        method: CallMethod::Post,
    };
    (plan, request(action, Preferences::default()))
}

fn rows(page: i64, body: &'static str) -> ResultSet {
    ResultSet {
        page,
        body: Body::Whole(Bytes::from_static(body.as_bytes())),
        ..ResultSet::default()
    }
}

fn answer((plan, request): &(Plan, Request), result: ResultSet) -> Answer {
    build(plan, request, &RestSettings::default(), Outcome::Rows(result)).unwrap()
}

/// Status and headers, a line each, in alphabetical order; then the body.
fn shown(answer: &Answer) -> String {
    let mut lines: Vec<String> = answer
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    lines.sort();
    lines.retain(|line| !line.starts_with("vary"));
    lines.insert(0, answer.status.as_u16().to_string());
    if let Body::Whole(body) = &answer.body
        && !body.is_empty()
    {
        lines.push(String::from_utf8(body.to_vec()).unwrap());
    }
    lines.join("\n")
}

#[test]
fn a_read_tells_its_range_and_its_address() {
    let mut reading = reading(false);
    reading.1.query.canonical = "id=gt.1&select=id".to_owned();
    let result = ResultSet {
        total: Some(5),
        ..rows(2, "[1, 2]")
    };
    assert_eq!(
        shown(&answer(&reading, result)),
        "206\ncontent-length: 6\ncontent-location: /items?id=gt.1&select=id\ncontent-range: 0-1/5\n\
         content-type: application/json; charset=utf-8\n[1, 2]"
    );
}

#[test]
fn a_head_has_no_body_and_no_length() {
    assert_eq!(
        shown(&answer(&reading(true), rows(2, ""))),
        "200\ncontent-location: /items\ncontent-range: 0-1/*\ncontent-type: application/json; charset=utf-8"
    );
}

#[test]
fn the_profile_that_was_negotiated_is_told() {
    let mut reading = reading(false);
    reading.1.negotiated_by_profile = true;
    assert_eq!(answer(&reading, rows(0, "[]")).headers["content-profile"], "api");
}

#[test]
fn a_page_behind_all_rows_is_unsatisfiable() {
    let mut reading = reading(false);
    reading.1.top_range.offset = 10;
    let result = ResultSet {
        total: Some(3),
        ..rows(0, "[]")
    };
    let answer = answer(&reading, result);
    assert_eq!(answer.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(answer.headers["content-range"], "*/3");
}

#[test]
fn writes_answer_by_what_they_are_and_what_was_preferred() {
    let full = || Preferences {
        representation: Some(Representation::Full),
        ..Preferences::default()
    };
    let counted = || Preferences {
        count: Some(Count::Exact),
        ..Preferences::default()
    };
    let merging = || Preferences {
        resolution: Some(Resolution::MergeDuplicates),
        ..Preferences::default()
    };
    for (mutation, preferences, inserted, expected) in [
        (Mutation::Insert, Preferences::default(), None, "201 */*"),
        (Mutation::Insert, counted(), None, "201 */2"),
        (Mutation::Insert, merging(), Some(1), "201 */*"),
        (Mutation::Insert, merging(), Some(0), "200 */*"),
        (Mutation::Insert, full(), None, "201 */* [x]"),
        (Mutation::Update, Preferences::default(), None, "204 0-1/*"),
        (Mutation::Update, counted(), None, "204 0-1/2"),
        (Mutation::Update, full(), None, "200 0-1/* [x]"),
        (Mutation::Delete, Preferences::default(), None, "204 */*"),
        (Mutation::Delete, counted(), None, "204 */2"),
        (Mutation::Delete, full(), None, "200 */* [x]"),
        (Mutation::SingleUpsert, Preferences::default(), Some(1), "204"),
        (Mutation::SingleUpsert, full(), Some(1), "201 [x]"),
        (Mutation::SingleUpsert, full(), Some(0), "200 [x]"),
    ] {
        let result = ResultSet {
            inserted,
            ..rows(2, "[x]")
        };
        let answer = answer(&writing(mutation, preferences.clone()), result);
        let mut told = answer.status.as_u16().to_string();
        if let Some(range) = answer.headers.get(CONTENT_RANGE) {
            told = format!("{told} {}", range.to_str().unwrap());
        }
        if let Body::Whole(body) = &answer.body
            && !body.is_empty()
        {
            told = format!("{told} {}", String::from_utf8_lossy(body));
        }
        assert_eq!(told, expected, "{mutation:?} {preferences:?}");
    }
}

#[test]
fn an_update_of_nothing_has_no_range() {
    let updated = answer(&writing(Mutation::Update, Preferences::default()), rows(0, ""));
    assert_eq!(updated.headers["content-range"], "*/*");
}

#[test]
fn the_location_of_a_new_row_is_encoded() {
    let result = ResultSet {
        location: vec!["id=eq.a b&c".to_owned(), "größe=is.null".to_owned()],
        ..rows(1, "")
    };
    let created = answer(&writing(Mutation::Insert, Preferences::default()), result);
    assert_eq!(
        created.headers["location"],
        "/items?id=eq.a%20b%26c&gr%C3%B6%C3%9Fe=is.null"
    );
}

#[test]
fn a_function_of_nothing_answers_with_nothing() {
    assert_eq!(
        shown(&answer(&calling("void"), rows(1, "\"\""))),
        "204\ncontent-range: 0-0/*"
    );
    assert_eq!(
        shown(&answer(&calling("int4"), rows(1, "3"))),
        "200\ncontent-length: 1\ncontent-range: 0-0/*\ncontent-type: application/json; charset=utf-8\n3"
    );
}

#[test]
fn sql_code_has_the_last_word() {
    let result = ResultSet {
        headers: Some(r#"[{"Content-Type":"text/x"},{"Vary":"Cookie"},{"X-A":"b"}]"#.to_owned()),
        status: Some("418".to_owned()),
        ..rows(1, "3")
    };
    let answer = answer(&calling("int4"), result);
    assert_eq!(answer.status.as_u16(), 418);
    for (name, value) in [("content-type", "text/x"), ("vary", "Cookie"), ("x-a", "b")] {
        assert_eq!(answer.headers.get_all(name).iter().collect::<Vec<_>>(), [value]);
    }
    let (plan, request) = calling("int4");
    for (headers, status) in [(Some("{}"), None), (None, Some("x"))] {
        let result = ResultSet {
            headers: headers.map(str::to_owned),
            status: status.map(str::to_owned),
            ..rows(1, "3")
        };
        let outcome = build(&plan, &request, &RestSettings::default(), Outcome::Rows(result));
        assert!(matches!(
            outcome,
            Err(RestError::Request(
                RequestError::GucHeaders | RequestError::GucStatus
            ))
        ));
    }
}

#[test]
fn preferences_are_told_where_they_had_a_meaning() {
    let all = Preferences {
        resolution: Some(Resolution::IgnoreDuplicates),
        representation: Some(Representation::Minimal),
        count: Some(Count::Planned),
        transaction: Some(crate::rest::request::preferences::TransactionEnd::Commit),
        missing: Some(Missing::ApplyDefaults),
        handling: Some(Handling::Strict),
        timezone: Some("UTC".to_owned()),
        max_affected: Some(3),
        invalid: Vec::new(),
    };
    let lenient = Preferences {
        handling: None,
        max_affected: Some(3),
        ..Preferences::default()
    };
    let applied = |mutation, preferences: &Preferences| {
        let answer = answer(
            &writing(mutation, preferences.clone()),
            ResultSet {
                inserted: Some(1),
                ..rows(1, "")
            },
        );
        let value = answer.headers.get("preference-applied");
        value
            .map(|value| value.to_str().unwrap().to_owned())
            .unwrap_or_default()
    };
    assert_eq!(
        applied(Mutation::Insert, &all),
        "resolution=ignore-duplicates, missing=default, return=minimal, count=planned, tx=commit, handling=strict, \
         timezone=UTC"
    );
    assert_eq!(
        applied(Mutation::Delete, &all),
        "return=minimal, count=planned, tx=commit, handling=strict, timezone=UTC, max-affected=3"
    );
    assert_eq!(applied(Mutation::Delete, &lenient), "");
    let mut reading = reading(false);
    reading.1.preferences = all;
    assert_eq!(
        answer(&reading, rows(0, "[]")).headers["preference-applied"],
        "count=planned, tx=commit, handling=strict, timezone=UTC"
    );
}

#[test]
fn options_tell_what_a_relation_or_function_takes() {
    let table = |insertable, updatable, deletable, primary_key: &[&str]| Table {
        insertable,
        updatable,
        deletable,
        primary_key: primary_key.iter().map(|column| (*column).to_owned()).collect(),
        ..Table::default()
    };
    for (table, expected) in [
        (
            table(true, true, true, &["id"]),
            "OPTIONS,GET,HEAD,POST,PUT,PATCH,DELETE",
        ),
        (table(true, true, true, &[]), "OPTIONS,GET,HEAD,POST,PATCH,DELETE"),
        (table(false, false, true, &["id"]), "OPTIONS,GET,HEAD,DELETE"),
        (table(false, false, false, &[]), "OPTIONS,GET,HEAD"),
    ] {
        assert_eq!(methods(&table), expected);
    }
    let info = info(&Plan::SchemaInfo, &SchemaCache::default()).unwrap();
    assert_eq!(
        shown(&info),
        "200\naccess-control-allow-origin: *\nallow: OPTIONS,GET,HEAD\ncontent-length: 0"
    );
}

#[test]
fn embeds_named_by_their_relation_are_warned_of() {
    let mut reading = reading(false);
    if let Plan::Read { read, .. } = &mut reading.0 {
        read.children.push(ReadNode {
            plan: ReadPlan {
                name: "tasks".to_owned(),
                alias: Some("the_tasks".to_owned()),
                named_by_relation: true,
                ..ReadPlan::default()
            },
            children: Vec::new(),
        });
    }
    let warning = answer(&reading, rows(0, "[]")).headers[WARNING].clone();
    let warning = warning.to_str().unwrap();
    assert!(warning.starts_with("299 PostgRESTv16 \"Embedded resource was referenced by relation name"));
    assert!(warning.contains("Update `tasks` to `the_tasks` in query string filters, orders or limits.\""));
}
