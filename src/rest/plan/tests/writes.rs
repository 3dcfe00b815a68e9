//! Writes: columns, conflicts, PUT, what is returned, unfiltered ones.

use super::asked::*;
use super::fixture::*;
use crate::rest::error::{PlanError, RequestError, RestError};
use crate::rest::plan::{Handler, MutatePlan, Plan, SOURCE, build};
use crate::rest::request::preferences::{Missing, Representation, Resolution};
use crate::rest::request::{LogicOperator, LogicTree, Mutation, Payload, Range, Request, SelectNode};
use crate::rest::settings::RestSettings;
use crate::schema_cache::QualifiedName;

fn mutation(request: &Request) -> MutatePlan {
    mutation_of(plan(request).unwrap())
}

fn returned<const N: usize>(relation: &str, kind: Mutation, select: [SelectNode; N]) -> Vec<String> {
    let mut request = write(relation, kind, &[]);
    request.query.select = select.into();
    request.preferences.representation = Some(Representation::Full);
    match mutation(&request) {
        MutatePlan::Insert { returning, .. }
        | MutatePlan::Update { returning, .. }
        | MutatePlan::Delete { returning, .. } => returning,
    }
}

#[test]
fn a_payloads_columns_have_types_defaults_and_representations() {
    let mut request = write("tags", Mutation::Insert, &["color", "id", "name"]);
    request.preferences.missing = Some(Missing::ApplyDefaults);
    let MutatePlan::Insert {
        columns,
        apply_defaults,
        body_is_object,
        primary_key,
        on_conflict,
        ..
    } = mutation(&request)
    else {
        panic!();
    };
    let types: Vec<&str> = columns
        .iter()
        .map(crate::rest::plan::PlannedField::payload_type)
        .collect();
    assert_eq!(types, ["json", "integer", "text"]);
    assert_eq!(
        columns[0].transform.as_deref(),
        Some("\"api\".\"color_from_json\"")
    );
    assert_eq!(columns[0].nominal_type, "api.color");
    assert_eq!(columns[1].default.as_deref(), Some("nextval('ids')"));
    assert!(apply_defaults && body_is_object);
    assert_eq!(primary_key, ["id"]);
    assert_eq!(on_conflict, None);
}

#[test]
fn an_unknown_column_is_told() {
    for kind in [Mutation::Insert, Mutation::Update] {
        let expected = PlanError::ColumnNotFound {
            relation: "tags".to_owned(),
            column: "colour".to_owned(),
        };
        assert_eq!(plan_error(&write("tags", kind, &["id", "colour"])), expected);
    }
}

#[test]
fn a_raw_body_is_an_object_if_it_looks_like_one() {
    for (body, expected) in [(" \n{}", true), ("[{}]", false), ("", false)] {
        let mut request = write("tags", Mutation::Insert, &["id"]);
        request.payload = Some(Payload::RawJson(bytes::Bytes::from_static(body.as_bytes())));
        assert!(
            matches!(mutation(&request), MutatePlan::Insert { body_is_object, .. } if body_is_object == expected)
        );
    }
}

#[test]
fn an_upsert_conflicts_on_the_primary_key_or_the_columns_that_are_named() {
    let mut request = write("ticket_tags", Mutation::Insert, &["ticket_id"]);
    request.preferences.resolution = Some(Resolution::IgnoreDuplicates);
    let conflict = |request: &Request| match mutation(request) {
        MutatePlan::Insert { on_conflict, .. } => on_conflict,
        other => panic!("{other:?}"),
    };
    let columns = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let ignored = Resolution::IgnoreDuplicates;
    assert_eq!(
        conflict(&request),
        Some((ignored, columns(&["ticket_id", "tag_id"])))
    );
    request.query.on_conflict = Some(columns(&["tag_id"]));
    assert_eq!(conflict(&request), Some((ignored, columns(&["tag_id"]))));
}

#[test]
fn a_put_names_exactly_its_primary_key() {
    let put = |filters: &[&str]| {
        let mut request = write("ticket_tags", Mutation::SingleUpsert, &["tag_id", "ticket_id"]);
        request.query.root_filters = filters.iter().map(|of| equals(of, "1")).collect();
        request.query.filter_fields = filters.iter().map(|&of| of.to_owned()).collect();
        request
    };
    let MutatePlan::Insert {
        on_conflict,
        put_filters,
        ..
    } = mutation(&put(&["tag_id", "ticket_id"]))
    else {
        panic!();
    };
    assert_eq!(on_conflict.unwrap().0, Resolution::MergeDuplicates);
    assert_eq!(put_filters.len(), 2);

    for filters in [&["tag_id"][..], &["tag_id", "ticket_id", "x"], &[]] {
        assert_eq!(
            request_error(&put(filters)),
            RequestError::PutFilters,
            "{filters:?}"
        );
    }
    let mut negated = put(&["tag_id", "ticket_id"]);
    negated.query.root_filters[0].expr.negated = true;
    assert_eq!(request_error(&negated), RequestError::PutFilters);
    let mut logic = put(&["tag_id", "ticket_id"]);
    logic.query.logic = vec![(Vec::new(), LogicTree::Filter(equals("tag_id", "1")))];
    assert_eq!(request_error(&logic), RequestError::PutFilters);
    let keyless = write("log", Mutation::SingleUpsert, &["line"]);
    assert_eq!(request_error(&keyless), RequestError::PutFilters);
}

#[test]
fn conditions_on_the_root_belong_to_the_write_and_others_to_what_it_returns() {
    let mut request = write("tickets", Mutation::Update, &["title"]);
    request.query.select = vec![field("id"), embed("tenants", [])];
    request.query.root_filters = vec![equals("id", "1")];
    request.query.embed_filters = vec![(at("tenants"), equals("name", "x"))];
    request.query.logic = vec![(
        Vec::new(),
        LogicTree::Expr {
            negated: false,
            operator: LogicOperator::Or,
            children: Vec::new(),
        },
    )];
    request.top_range = Range {
        offset: 0,
        limit: Some(1),
    };
    let planned = plan(&request).unwrap();
    let Plan::Mutate { mutate, read, .. } = planned else {
        panic!();
    };
    assert!(matches!(mutate, MutatePlan::Update { filters, .. } if filters.len() == 2));
    assert!(read.plan.filters.is_empty());
    assert_eq!(read.plan.range, Range::ALL);
    assert_eq!(read.children[0].plan.filters.len(), 1);
}

#[test]
fn what_a_write_returns_is_read_under_the_relations_name() {
    let mut request = write("tickets", Mutation::Insert, &[]);
    request.query.select = vec![
        embed("tenants", [field("id")]),
        embed("tags!ticket_tags", [field("id")]),
    ];
    let root = tree(&request);
    assert_eq!(root.plan.from, QualifiedName::bare(SOURCE));
    assert_eq!(root.plan.from_alias.as_deref(), Some("tickets"));
    let joins = |n: usize| {
        root.children[n]
            .plan
            .join_conditions
            .last()
            .unwrap()
            .right
            .clone()
    };
    assert_eq!(joins(0), (QualifiedName::bare("tickets"), "tenant_id".to_owned()));
    assert_eq!(joins(1), (QualifiedName::bare("tickets"), "id".to_owned()));
}

#[test]
fn a_representation_returns_what_selection_embeds_order_and_key_need() {
    use Mutation::{Delete, Insert, Update};
    assert_eq!(returned("tickets", Insert, [field("*")]), ["*"]);
    assert_eq!(returned("tickets", Update, [field("title")]), ["id", "title"]);
    assert_eq!(returned("tickets", Delete, [field("data->a")]), ["data", "id"]);
    assert_eq!(
        returned(
            "tickets",
            Insert,
            [field("title"), embed("tenants", [field("name")])]
        ),
        ["id", "tenant_id", "title"]
    );
    assert_eq!(
        returned("tags", Insert, [embed("tickets!ticket_tags", [field("id")])]),
        ["id"]
    );
    // The row as a whole, which has no computed fields.
    assert_eq!(
        returned(
            "tickets",
            Insert,
            [field("id"), field("age"), embed("owner", [field("id")])]
        ),
        ["*", "age"]
    );
    // Beyond the write no field can be computed any more, so that `*` has to be spelt out.
    assert_eq!(
        returned("reports", Insert, [field("*"), field("age")]),
        ["age", "body", "ticket_id"]
    );
}

#[test]
fn an_order_needs_its_columns_returned() {
    let mut request = write("tickets", Mutation::Update, &["title"]);
    request.query.select = vec![field("id")];
    request.query.order = vec![(Vec::new(), vec![by("title")])];
    request.preferences.representation = Some(Representation::Full);
    assert!(
        matches!(mutation(&request), MutatePlan::Update { returning, .. } if returning == ["id", "title"])
    );
}

#[test]
fn without_a_representation_nothing_is_returned_but_the_key_for_a_location() {
    let cases = [
        (None, Mutation::Insert, &[][..]),
        (Some(Representation::Minimal), Mutation::Update, &[]),
        (Some(Representation::HeadersOnly), Mutation::Insert, &["id"]),
        (Some(Representation::HeadersOnly), Mutation::Delete, &[]),
    ];
    for (representation, kind, expected) in cases {
        let mut request = write("tickets", kind, &[]);
        request.preferences.representation = representation;
        let planned = plan(&request).unwrap();
        assert!(matches!(&planned, Plan::Mutate { output, .. } if output.handler == Handler::None));
        let returning = match mutation_of(planned) {
            MutatePlan::Insert { returning, .. }
            | MutatePlan::Update { returning, .. }
            | MutatePlan::Delete { returning, .. } => returning,
        };
        assert_eq!(returning, expected);
    }
}

#[test]
fn max_rows_does_not_cut_what_a_write_returns() {
    let settings = RestSettings {
        max_rows: Some(1),
        ..settings()
    };
    let mut request = write("tenants", Mutation::Insert, &["name"]);
    request.query.select = vec![embed("users", [])];
    let root = tree_of(build(&request, &cache(), &settings).unwrap());
    assert_eq!(
        (root.plan.range, root.children[0].plan.range),
        (Range::ALL, Range::ALL)
    );
}

#[test]
fn unfiltered_writes_are_refused_where_the_settings_say_so() {
    let safe = RestSettings {
        refuse_unfiltered_writes: true,
        ..settings()
    };
    let message = |request: &Request| match build(request, &cache(), &safe) {
        Err(RestError::Database(error)) => Some((error.code, error.message)),
        Ok(_) => None,
        other => panic!("{other:?}"),
    };
    let refused =
        |statement: &str| Some(("21000".to_owned(), format!("{statement} requires a WHERE clause")));
    assert_eq!(
        message(&write("tags", Mutation::Update, &["name"])),
        refused("UPDATE")
    );
    assert_eq!(message(&write("tags", Mutation::Delete, &[])), refused("DELETE"));
    assert!(plan(&write("tags", Mutation::Delete, &[])).is_ok());

    // Any condition counts, and what changes nothing is allowed.
    let mut filtered = write("tags", Mutation::Delete, &[]);
    filtered.query.root_filters = vec![equals("id", "1")];
    assert_eq!(message(&filtered), None);
    let mut logic = write("tags", Mutation::Update, &["name"]);
    logic.query.logic = vec![(Vec::new(), LogicTree::Filter(equals("id", "1")))];
    assert_eq!(message(&logic), None);
    assert_eq!(message(&write("tags", Mutation::Update, &[])), None);
    assert_eq!(message(&write("tags", Mutation::Insert, &["name"])), None);

    // A condition on an embed filters no rows of the write.
    let mut embedded = write("ticket_tags", Mutation::Delete, &[]);
    embedded.query.select = vec![embed("tags", [])];
    embedded.query.embed_filters = vec![(at("tags"), equals("id", "1"))];
    assert_eq!(message(&embedded), refused("DELETE"));
}
