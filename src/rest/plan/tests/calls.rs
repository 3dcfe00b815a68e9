//! Calls: overloads, arguments, results that are read on.

use std::sync::Arc;

use super::asked::*;
use super::fixture::*;
use crate::rest::error::{NoRoutine, PlanError, RequestError, RestError};
use crate::rest::plan::{Argument, Arguments, CallParameters, CallPlan, Plan, SOURCE, build};
use crate::rest::request::{Action, CallMethod, MediaType, Payload, Request};
use crate::schema_cache::{QualifiedName, SchemaCache, Volatility};

type Call<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);

fn routines() -> SchemaCache {
    let mut cache = cache();
    let number = || returns("int4", false, false);
    routine(&mut cache, "add", &["a:integer", "b:integer"], number());
    routine(&mut cache, "find", &[], returns("tickets", true, true));
    routine(
        &mut cache,
        "find",
        &["tenant:integer"],
        returns("tickets", true, true),
    );
    routine(
        &mut cache,
        "find",
        &["tenant:integer", "since:date", "until:date?"],
        returns("tickets", true, true),
    );
    routine(&mut cache, "same", &["a:integer"], number());
    routine(&mut cache, "same", &["a:text"], number());
    routine(
        &mut cache,
        "total",
        &["...of:integer[]", "scale:integer?"],
        number(),
    );
    routine(&mut cache, "take_json", &[":json"], number());
    routine(&mut cache, "take_any", &[":jsonb"], number());
    routine(&mut cache, "take_any", &[":text"], number());
    routine(&mut cache, "take_any", &[":bytea"], number());
    routine(&mut cache, "optional", &["a:integer?", "b:integer?"], number());
    routine(&mut cache, "one_ticket", &[], returns("tickets", false, true));
    cache
}

fn called(request: &Request) -> Result<(CallPlan, Plan), RestError> {
    let plan = build(request, &routines(), &settings())?;
    match &plan {
        Plan::Call { call, .. } => Ok((call.clone(), plan)),
        other => panic!("{other:?} calls nothing"),
    }
}

fn missing(request: &Request) -> NoRoutine {
    match called(request) {
        Err(RestError::Plan(PlanError::NoRoutine(missing))) => *missing,
        other => panic!("{other:?}"),
    }
}

fn parameters(call: &CallPlan) -> Vec<&str> {
    match &call.parameters {
        CallParameters::Named(parameters) => parameters.iter().map(|one| one.name.as_str()).collect(),
        CallParameters::Positional(_) => vec!["positional"],
    }
}

fn post(routine: &str, content_type: MediaType) -> Request {
    let mut request = call(routine, CallMethod::Post, &[]);
    request.payload = Some(Payload::Raw(bytes::Bytes::from_static(b"body")));
    request.content_type = content_type;
    request
}

#[test]
fn the_overload_whose_parameters_fit_is_called() {
    let cases: [Call<'_>; 4] = [
        (&[], &[]),
        (&[("tenant", "1")], &["tenant"]),
        (&[("since", "x"), ("tenant", "1")], &["tenant", "since"]),
        (
            &[("until", "y"), ("since", "x"), ("tenant", "1")],
            &["tenant", "since", "until"],
        ),
    ];
    for (arguments, expected) in cases {
        for method in [CallMethod::Get, CallMethod::Post] {
            let (plan, _) = called(&call("find", method, arguments)).unwrap();
            assert_eq!(parameters(&plan), expected);
        }
    }
    let (plan, _) = called(&call("optional", CallMethod::Get, &[("b", "1")])).unwrap();
    assert_eq!(parameters(&plan), ["b"]);
}

#[test]
fn overloads_that_differ_in_types_alone_are_ambiguous() {
    let Err(RestError::Plan(PlanError::AmbiguousRoutine(candidates))) =
        called(&call("same", CallMethod::Get, &[("a", "1")]))
    else {
        panic!();
    };
    let candidates: Vec<&str> = candidates.iter().map(|one| one.0.as_str()).collect();
    assert_eq!(candidates, ["api.same(a => integer)", "api.same(a => text)"]);
}

#[test]
fn a_missing_function_suggests_a_name_or_parameters() {
    let found = missing(&call("ad", CallMethod::Get, &[]));
    assert_eq!(
        (found.unnamed, found.only_unnamed, found.suggestion),
        (None, false, None)
    );
    let found = missing(&call("optionl", CallMethod::Get, &[]));
    assert_eq!(
        found.suggestion.as_deref(),
        Some("Perhaps you meant to call the function api.optional")
    );
    let found = missing(&call(
        "add",
        CallMethod::Post,
        &[("b", "1"), ("a", "1"), ("x", "1")],
    ));
    assert_eq!(found.arguments, ["a", "b", "x"]);
    assert_eq!(found.unnamed, Some("json/jsonb"));
    assert_eq!(
        found.suggestion.as_deref(),
        Some("Perhaps you meant to call the function api.add(a, b)")
    );
    let found = missing(&post("add", MediaType::Text));
    assert_eq!(
        (found.unnamed, found.only_unnamed, found.suggestion),
        (Some("text"), true, None)
    );
}

#[test]
fn a_body_goes_whole_to_the_unnamed_parameter_of_its_type() {
    for (content_type, sql_type) in [
        (MediaType::Json, "jsonb"),
        (MediaType::Text, "text"),
        (MediaType::OctetStream, "bytea"),
    ] {
        let (plan, _) = called(&post("take_any", content_type)).unwrap();
        assert!(
            matches!(&plan.parameters, CallParameters::Positional(parameter) if parameter.sql_type == sql_type)
        );
        assert!(matches!(&plan.arguments, Arguments::Body(Some(body)) if &body[..] == b"body"));
    }
    assert_eq!(missing(&post("take_any", MediaType::Xml)).unnamed, Some("xml"));
    assert_eq!(missing(&call("take_json", CallMethod::Get, &[])).unnamed, None);
}

#[test]
fn a_body_that_has_no_arguments_calls_no_function_without_parameters() {
    assert!(missing(&post("one_ticket", MediaType::Text)).only_unnamed);
    assert!(called(&post("one_ticket", MediaType::Json)).is_ok());
}

#[test]
fn of_repeated_arguments_a_variadic_parameter_takes_all_and_others_the_last() {
    let request = call(
        "total",
        CallMethod::Get,
        &[("of", "1"), ("scale", "1"), ("of", "2"), ("scale", "2")],
    );
    let (plan, _) = called(&request).unwrap();
    let Arguments::Direct(arguments) = plan.arguments else {
        panic!();
    };
    let expected = [
        (
            "of".to_owned(),
            Argument::Variadic(vec!["1".to_owned(), "2".to_owned()]),
        ),
        ("scale".to_owned(), Argument::Fixed("2".to_owned())),
    ];
    assert_eq!(arguments, expected);
}

#[test]
fn a_form_passes_its_fields() {
    let mut request = call("add", CallMethod::Post, &[("a", ""), ("b", "")]);
    request.content_type = MediaType::Form;
    request.payload = Some(Payload::Form {
        pairs: vec![("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())],
    });
    let (plan, _) = called(&request).unwrap();
    assert!(matches!(plan.arguments, Arguments::Direct(pairs) if pairs.len() == 2));
}

#[test]
fn an_argument_without_a_name_reaches_a_parameter_without_one() {
    let (plan, _) = called(&call("take_json", CallMethod::Get, &[("", "1")])).unwrap();
    assert!(matches!(plan.arguments, Arguments::Body(Some(body)) if &body[..] == br#"{"":"1"}"#));
}

#[test]
fn only_a_post_of_a_volatile_function_may_write() {
    let read_only =
        |cache: &SchemaCache, method| match build(&call("one_ticket", method, &[]), cache, &settings()) {
            Ok(Plan::Call { read_only, .. }) => read_only,
            other => panic!("{other:?}"),
        };
    let mut cache = routines();
    assert!(read_only(&cache, CallMethod::Get));
    assert!(!read_only(&cache, CallMethod::Post));
    let overloads = cache.routines.get_mut(&name("one_ticket")).unwrap();
    Arc::make_mut(&mut overloads[0]).volatility = Volatility::Stable;
    assert!(read_only(&cache, CallMethod::Post));
}

#[test]
fn a_result_of_a_relations_rows_is_read_as_that_relation() {
    let mut request = call("find", CallMethod::Get, &[]);
    request.query.select = vec![field("id"), embed("tenants", [field("name")])];
    request.query.root_filters = vec![matches("title", None)];
    request.query.order = vec![(Vec::new(), vec![by("executor_id")])];
    let (plan, whole) = called(&request).unwrap();
    let root = tree_of(whole);
    assert_eq!(root.plan.from, QualifiedName::bare(SOURCE));
    assert_eq!(root.plan.from_alias.as_deref(), Some("tickets"));
    assert!(plan.returning.iter().eq(["executor_id", "id", "tenant_id"]));
    assert!(plan.filter_fields.iter().eq(["title"]));
    assert!(!plan.scalar && !plan.set_of_scalar);
}

#[test]
fn beside_all_columns_only_computed_fields_are_returned() {
    let mut request = call("find", CallMethod::Get, &[]);
    request.query.select = vec![field("id"), field("age"), embed("owner", [field("id")])];
    request.query.root_filters = vec![equals("id", "1"), equals("late", "true")];
    let (plan, _) = called(&request).unwrap();
    assert!(plan.returning.iter().eq(["*", "age", "late"]));
    assert!(plan.filter_fields.is_empty());
}

#[test]
fn a_scalar_result_has_no_relation() {
    let (plan, whole) = called(&call("add", CallMethod::Get, &[("a", "1"), ("b", "2")])).unwrap();
    assert!(plan.scalar);
    assert_eq!(tree_of(whole).plan.from_alias.as_deref(), Some("add"));
}

#[test]
fn max_affected_needs_a_set() {
    let mut request = call("one_ticket", CallMethod::Post, &[]);
    request.preferences = strict();
    request.preferences.max_affected = Some(1);
    assert!(matches!(
        called(&request),
        Err(RestError::Request(RequestError::MaxAffectedRpc))
    ));
    request.preferences.handling = None;
    assert!(called(&request).is_ok());
    let mut set = call("find", CallMethod::Post, &[]);
    set.preferences = strict();
    set.preferences.max_affected = Some(1);
    assert!(called(&set).is_ok());
}

#[test]
fn methods_are_told_of_functions_whatever_their_parameters() {
    let info = |routine: &str| {
        build(
            &options(Action::RoutineInfo(name(routine))),
            &routines(),
            &settings(),
        )
    };
    assert!(matches!(info("find"), Ok(Plan::RoutineInfo(found)) if found.parameters.is_empty()));
    assert!(matches!(info("add"), Ok(Plan::RoutineInfo(found)) if found.parameters.len() == 2));
    assert!(matches!(
        info("nothing"),
        Err(RestError::Plan(PlanError::NoRoutine(_)))
    ));
}
