//! Media types: which of the accepted ones is written, and by what.

use super::asked::*;
use super::fixture::*;
use crate::rest::error::{RequestError, RestError};
use crate::rest::plan::{Handler, Output, Plan, build};
use crate::rest::request::preferences::Representation;
use crate::rest::request::{Action, Aggregate, MediaType, Mutation, PlanFormat, PlanOption, Request};
use crate::schema_cache::{HandlerTarget, MediaHandler, SchemaCache};

fn output(request: &Request, cache: &SchemaCache) -> Result<Output, RestError> {
    match build(request, cache, &settings())? {
        Plan::Read { output, .. } | Plan::Mutate { output, .. } | Plan::Call { output, .. } => Ok(output),
        other => panic!("{other:?} writes nothing"),
    }
}

fn accepting(accept: &[MediaType]) -> Request {
    let mut request = get("tickets");
    request.accept = accept.to_vec();
    request
}

fn add(cache: &mut SchemaCache, target: HandlerTarget, key: &str, media_type: &str) {
    let handler = MediaHandler {
        function: name(&format!("write {key}")),
        target: target.clone(),
        media_type: media_type.to_owned(),
    };
    cache.media_handlers.insert((target, key.to_owned()), handler);
}

fn custom(key: &str, target: Option<&str>) -> Handler {
    Handler::Custom {
        function: name(&format!("write {key}")),
        target: target.map(name),
    }
}

fn explained(target: MediaType) -> MediaType {
    MediaType::Plan {
        target: Box::new(target),
        format: PlanFormat::Text,
        options: vec![PlanOption::Analyze, PlanOption::Wal],
    }
}

#[test]
fn the_first_accepted_type_that_can_be_written_is() {
    let html = || MediaType::Other("text/html".to_owned());
    let single = MediaType::Object { stripped: true };
    let cases = [
        (vec![MediaType::Any], Handler::Json, MediaType::Json),
        (
            vec![html(), MediaType::Csv, MediaType::Json],
            Handler::Csv,
            MediaType::Csv,
        ),
        (
            vec![MediaType::ArrayStripped],
            Handler::JsonStripped,
            MediaType::ArrayStripped,
        ),
        (
            vec![single.clone()],
            Handler::SingleJson { stripped: true },
            single,
        ),
    ];
    for (accept, handler, media_type) in cases {
        assert_eq!(
            output(&accepting(&accept), &cache()).unwrap(),
            Output { handler, media_type }
        );
    }
}

#[test]
fn none_that_can_be_written_is_told_with_all_that_were_accepted() {
    let accept = [
        MediaType::Other("unknown/unknown".to_owned()),
        MediaType::Text,
        MediaType::OctetStream,
    ];
    let names = ["unknown/unknown", "text/plain", "application/octet-stream"].map(str::to_owned);
    let error = RequestError::MediaTypes(names.into());
    assert_eq!(request_error(&accepting(&accept)), error);
}

#[test]
fn plans_are_explained_where_that_is_switched_on() {
    let request = accepting(&[explained(MediaType::Csv)]);
    let planned = output(&request, &cache()).unwrap();
    assert_eq!(
        (planned.handler, planned.media_type),
        (Handler::Csv, explained(MediaType::Csv))
    );
    let single = output(
        &accepting(&[explained(MediaType::Object { stripped: false })]),
        &cache(),
    )
    .unwrap();
    assert_eq!(single.handler, Handler::SingleJson { stripped: false });

    let mut off = settings();
    off.plan = false;
    let Err(RestError::Request(RequestError::MediaTypes(names))) = build(&request, &cache(), &off) else {
        panic!();
    };
    assert_eq!(
        names,
        [r#"application/vnd.pgrst.plan+text; for="text/csv"; options=analyze|wal"#]
    );
}

#[test]
fn geojson_is_written_where_postgis_is() {
    let request = accepting(&[MediaType::GeoJson]);
    assert!(output(&request, &cache()).is_err());
    let mut cache = cache();
    cache.geojson = true;
    assert_eq!(output(&request, &cache).unwrap().handler, Handler::GeoJson);
}

#[test]
fn the_databases_handlers_replace_ours_and_the_nearest_comes_first() {
    let tickets = || HandlerTarget::Relation(name("tickets"));
    let mut cache = cache();
    add(
        &mut cache,
        HandlerTarget::Any,
        "application/json",
        "application/json",
    );
    add(&mut cache, HandlerTarget::Any, "text/html", "text/html");
    add(&mut cache, tickets(), "text/html", "text/html");
    let html = accepting(&[MediaType::Other("Text/HTML; level=1".to_owned())]);
    assert_eq!(
        output(&html, &cache).unwrap().handler,
        custom("text/html", Some("tickets"))
    );
    let json = accepting(&[MediaType::Json]);
    assert_eq!(
        output(&json, &cache).unwrap().handler,
        custom("application/json", None)
    );
    assert_eq!(
        output(&accepting(&[MediaType::Any]), &cache).unwrap().handler,
        Handler::Json
    );

    add(&mut cache, tickets(), "*/*", "application/octet-stream");
    let any = output(&accepting(&[MediaType::Csv]), &cache).unwrap();
    assert_eq!(any.handler, custom("*/*", Some("tickets")));
    assert_eq!(any.media_type, MediaType::OctetStream);
}

#[test]
fn a_relations_handlers_take_whole_rows_alone() {
    let mut cache = cache();
    add(
        &mut cache,
        HandlerTarget::Relation(name("tickets")),
        "text/html",
        "text/html",
    );
    let selected = |select: Vec<_>| {
        let mut request = accepting(&[MediaType::Other("text/html".to_owned())]);
        request.query.select = select;
        output(&request, &cache).is_ok()
    };
    assert!(selected(vec![field("*")]));
    assert!(!selected(vec![field("id")]));
    assert!(!selected(vec![field("*"), embed("tenants", [])]));
    assert!(!selected(vec![aggregate("*", Aggregate::Count, None)]));
}

#[test]
fn without_a_body_nothing_is_written_but_the_type_is_known() {
    let mut head = get("tickets");
    head.action = Action::Read {
        relation: name("tickets"),
        head: true,
    };
    let nothing = Output {
        handler: Handler::None,
        media_type: MediaType::Json,
    };
    assert_eq!(output(&head, &cache()).unwrap(), nothing);
    let mut write = write("tickets", Mutation::Insert, &["title"]);
    assert_eq!(output(&write, &cache()).unwrap(), nothing);
    write.preferences.representation = Some(Representation::Full);
    assert_eq!(output(&write, &cache()).unwrap().handler, Handler::Json);
}
