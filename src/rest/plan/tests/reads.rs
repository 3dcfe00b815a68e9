//! One relation: names, paths, types, representations, ranges.

use super::asked::*;
use super::fixture::*;
use crate::rest::error::{PlanError, RequestError};
use crate::rest::plan::{LogicPlan, OrderPlan, Plan, PlannedField, ToTsVector, build};
use crate::rest::request::{Action, Aggregate, Filter, LogicOperator, LogicTree, MediaType, Range};

fn filtered(request: &crate::rest::request::Request) -> Vec<PlannedField> {
    tree(request)
        .plan
        .filters
        .into_iter()
        .map(|filter| match filter {
            LogicPlan::Filter(filter) => filter.field,
            other => panic!("{other:?} is no filter"),
        })
        .collect()
}

#[test]
fn an_unknown_relation_is_not_found_with_the_nearest_name() {
    let missing = |name: &str| match plan_error(&get(name)) {
        PlanError::TableNotFound { relation, suggestion } => (relation, suggestion),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        missing("tickts"),
        ("api.tickts".to_owned(), Some("api.tickets".to_owned()))
    );
    assert_eq!(missing("nothing"), ("api.nothing".to_owned(), None));
}

#[test]
fn a_plain_read_selects_the_row_from_the_relation_itself() {
    let root = tree(&get("tickets")).plan;
    assert_eq!((root.from, root.from_alias), (name("tickets"), None));
    assert_eq!(root.select.len(), 1);
    assert_eq!(root.select[0].field.name, "*");
    assert_eq!(root.range, Range::ALL);
}

#[test]
fn conditions_that_name_the_whole_key_leave_one_row_at_most() {
    let by_key = |relation: &str, filters: &[Filter]| {
        let mut request = get(relation);
        request.query.root_filters = filters.into();
        tree(&request).plan.by_key
    };
    let not = |mut filter: Filter| {
        filter.expr.negated = true;
        filter
    };
    let (ticket, tag) = (equals("ticket_id", "1"), equals("tag_id", "2"));
    assert!(by_key("tickets", &[equals("title", "a"), equals("id", "1")]));
    assert!(by_key("ticket_tags", &[ticket.clone(), tag.clone()]));
    assert!(!by_key("tickets", &[]));
    assert!(!by_key("tickets", &[equals("title", "a")]));
    assert!(!by_key("tickets", &[not(equals("id", "1"))]));
    assert!(!by_key("ticket_tags", &[ticket.clone(), not(tag)]));
    assert!(!by_key("log", &[equals("line", "a")]), "it has no key");
}

#[test]
fn json_is_walked_as_it_is_and_anything_else_becomes_json_first() {
    let mut request = get("tickets");
    request.query.root_filters = ["data->a", "places->0", "computed->x", "title"]
        .map(|of| equals(of, "1"))
        .into();
    let to_json: Vec<bool> = filtered(&request).iter().map(|field| field.to_json).collect();
    assert_eq!(to_json, [false, true, true, false]);
}

#[test]
fn a_json_path_is_shown_by_its_last_key() {
    let mut request = get("tickets");
    let cases = [
        ("data->a->>b", Some("b")),
        ("data->1->mycol->>2", Some("mycol")),
        ("data->3", Some("data")),
        ("data", None),
    ];
    request.query.select = cases.map(|(of, _)| field(of)).into();
    let aliases: Vec<Option<String>> = tree(&request)
        .plan
        .select
        .into_iter()
        .map(|item| item.alias)
        .collect();
    assert_eq!(aliases, cases.map(|(_, alias)| alias.map(str::to_owned)));
}

#[test]
fn full_text_search_converts_every_column_but_tsvectors_and_computed_fields() {
    let mut request = get("tickets");
    request.query.root_filters = vec![
        matches("title", Some("english")),
        matches("words", None),
        matches("computed", None),
        equals("title", "x"),
    ];
    let conversions: Vec<Option<ToTsVector>> = filtered(&request)
        .into_iter()
        .map(|field| field.to_tsvector)
        .collect();
    let english = ToTsVector {
        language: Some("english".to_owned()),
    };
    assert_eq!(conversions, [Some(english), None, None, None]);
}

#[test]
fn a_represented_column_is_shown_and_compared_by_the_databases_casts() {
    let mut request = get("tags");
    request.query.select = vec![field("color"), field("name")];
    request.query.root_filters = vec![equals("color", "#fff"), equals("name", "x")];
    let root = tree(&request).plan;
    let shown = &root.select[0];
    assert_eq!(
        shown.field.transform.as_deref(),
        Some("\"api\".\"color_to_json\"")
    );
    assert_eq!(shown.alias.as_deref(), Some("color"));
    assert_eq!(root.select[1].field.transform, None);
    let fields = filtered(&request);
    assert_eq!(
        fields[0].transform.as_deref(),
        Some("\"api\".\"color_from_text\"")
    );
    assert_eq!(fields[0].nominal_type, "api.color");
    assert_eq!(fields[1].transform, None);
}

#[test]
fn a_star_becomes_columns_only_where_one_is_represented() {
    let names = |relation: &str| -> Vec<String> {
        tree(&get(relation))
            .plan
            .select
            .into_iter()
            .map(|item| item.field.name)
            .collect()
    };
    assert_eq!(names("tags"), ["id", "name", "color"]);
    assert_eq!(names("tickets"), ["*"]);
}

#[test]
fn a_star_beside_an_aggregate_becomes_columns() {
    let mut request = get("users");
    request.query.select = vec![field("*"), aggregate("*", Aggregate::Count, None)];
    let select = tree(&request).plan.select;
    let names: Vec<&str> = select.iter().map(|item| item.field.name.as_str()).collect();
    assert_eq!(names, ["id", "name", "tenant_id", "manager_id", "*"]);
    assert!(!select[4].field.full_row);
}

#[test]
fn aggregates_are_refused_where_they_are_switched_off() {
    let mut request = get("tickets");
    request.query.select = vec![embed("activities", [aggregate("minutes", Aggregate::Sum, None)])];
    let mut settings = settings();
    assert!(build(&request, &cache(), &settings).is_ok());
    settings.aggregates = false;
    let refused = build(&request, &cache(), &settings).unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!(
            "the request was refused: {:?}",
            RequestError::AggregatesNotAllowed
        )
    );
}

#[test]
fn logic_trees_keep_their_shape() {
    let mut request = get("tickets");
    request.query.logic = vec![(
        Vec::new(),
        LogicTree::Expr {
            negated: true,
            operator: LogicOperator::Or,
            children: vec![
                LogicTree::Filter(equals("id", "1")),
                LogicTree::Filter(matches("title", None)),
            ],
        },
    )];
    request.query.root_filters = vec![equals("tenant_id", "1")];
    let filters = tree(&request).plan.filters;
    assert!(matches!(&filters[0], LogicPlan::Filter(filter) if filter.field.name == "tenant_id"));
    let LogicPlan::Expr {
        negated: true,
        operator: LogicOperator::Or,
        children,
    } = &filters[1]
    else {
        panic!("{filters:?}");
    };
    assert!(matches!(&children[1], LogicPlan::Filter(filter) if filter.field.to_tsvector.is_some()));
}

#[test]
fn of_two_orders_of_one_relation_the_first_counts() {
    let mut request = get("tickets");
    request.query.order = vec![(Vec::new(), vec![by("id")]), (Vec::new(), vec![by("title")])];
    let order = tree(&request).plan.order;
    assert!(matches!(&order[..], [OrderPlan::Field { field, .. }] if field.name == "id"));
}

#[test]
fn max_rows_caps_the_range_that_was_asked_for() {
    let limits = [
        (None, Some(10)),
        (Some(3), Some(3)),
        (Some(30), Some(10)),
        (Some(0), Some(0)),
    ];
    for (asked, expected) in limits {
        let mut request = get("tickets");
        request.top_range = Range {
            offset: 5,
            limit: asked,
        };
        let settings = crate::rest::settings::RestSettings {
            max_rows: Some(10),
            ..settings()
        };
        let root = tree_of(build(&request, &cache(), &settings).unwrap()).plan;
        assert_eq!(
            root.range,
            Range {
                offset: 5,
                limit: expected
            }
        );
    }
}

#[test]
fn unknown_preferences_are_refused_when_handling_is_strict() {
    let mut request = get("tickets");
    request.preferences = strict();
    assert!(plan(&request).is_ok());
    request.preferences.invalid = vec!["foo".to_owned(), "bar".to_owned()];
    let invalid = RequestError::InvalidPreferences(request.preferences.invalid.clone());
    assert_eq!(request_error(&request), invalid);
    request.preferences.handling = None;
    assert!(plan(&request).is_ok());
}

#[test]
fn thousands_of_columns_and_filters_are_found_by_an_index() {
    let mut cache = cache();
    let columns: Vec<String> = (0..1600).map(|n| format!("c{n}:text")).collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    table(&mut cache, "wide", &columns);
    let mut request = get("wide");
    request.query.root_filters = (0..20_000).map(|_| matches("c1599", None)).collect();
    let root = tree_of(build(&request, &cache, &settings()).unwrap()).plan;
    assert!(
        root.filters
            .iter()
            .all(|filter| matches!(filter, LogicPlan::Filter(filter) if filter.field.to_tsvector.is_some()))
    );
}

#[test]
fn a_schema_is_described_to_who_takes_json() {
    let mut request = options(Action::InspectSchema { head: true });
    assert!(matches!(plan(&request), Ok(Plan::InspectSchema { schema, head: true }) if schema == "api"));
    request.accept = vec![MediaType::Csv];
    assert_eq!(
        request_error(&request),
        RequestError::MediaTypes(vec!["text/csv".to_owned()])
    );
}

#[test]
fn methods_are_told_of_relations_that_exist() {
    let info = |relation: &str| plan(&options(Action::RelationInfo(name(relation))));
    assert!(matches!(info("tickets"), Ok(Plan::RelationInfo(_))));
    assert!(info("unknown").is_err());
    assert!(matches!(plan(&options(Action::SchemaInfo)), Ok(Plan::SchemaInfo)));
}
