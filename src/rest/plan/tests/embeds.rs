//! Embeds: which relationship is meant, how it joins, and what parameters say of it.

use super::asked::*;
use super::fixture::*;
use crate::rest::error::{PlanError, RequestError};
use crate::rest::plan::{EmbedMode, LogicPlan, OrderPlan, ReadNode, RelationSelect, build};
use crate::rest::request::{JoinType, Range, Request, SelectNode};
use crate::rest::settings::RestSettings;
use crate::schema_cache::Relationship;

fn with<const N: usize>(relation: &str, select: [SelectNode; N]) -> Request {
    let mut request = get(relation);
    request.query.select = select.into();
    request
}

/// `from as alias: left = right, …`
fn joined(node: &ReadNode) -> String {
    let plan = &node.plan;
    let conditions: Vec<String> = plan
        .join_conditions
        .iter()
        .map(|on| format!("{}.{} = {}.{}", on.left.0, on.left.1, on.right.0, on.right.1))
        .collect();
    let alias = plan.from_alias.as_deref().unwrap_or("-");
    format!("{} as {alias}: {}", plan.from, conditions.join(", "))
}

/// The constraint, junction or function of the relationship that was found.
fn found(node: &ReadNode) -> String {
    use crate::schema_cache::Cardinality;
    match node.plan.relationship.as_deref().unwrap() {
        Relationship::Computed { function, .. } => function.name.clone(),
        Relationship::ForeignKey { cardinality, .. } => match cardinality {
            Cardinality::OneToMany { constraint, .. } => format!("{constraint} down"),
            Cardinality::ManyToOne { constraint, .. } => format!("{constraint} up"),
            Cardinality::OneToOne { constraint, .. } => format!("{constraint} across"),
            Cardinality::ManyToMany(junction) => junction.table.name.clone(),
        },
    }
}

#[test]
fn every_kind_of_relationship_joins_by_its_columns() {
    let cases = [
        (
            "tickets",
            "tenants",
            "api.tenants as tenants_1: tenants_1.id = api.tickets.tenant_id",
        ),
        (
            "tenants",
            "tickets",
            "api.tickets as tickets_1: tickets_1.tenant_id = api.tenants.id",
        ),
        (
            "tickets",
            "reports",
            "api.reports as reports_1: reports_1.ticket_id = api.tickets.id",
        ),
        (
            "tickets",
            "tags!ticket_tags",
            "api.tags as -: api.ticket_tags.tag_id = api.tags.id, api.ticket_tags.ticket_id = api.tickets.id",
        ),
        (
            "users",
            "manager_id",
            "api.users as users_1: users_1.id = api.users.manager_id",
        ),
        (
            "users",
            "users",
            "api.users as users_1: users_1.manager_id = api.users.id",
        ),
        ("tickets", "owner", "api.users as users_1: "),
    ];
    for (origin, target, expected) in cases {
        let root = tree(&with(origin, [embed(target, [field("id")])]));
        assert_eq!(joined(&root.children[0]), expected, "{origin} -> {target}");
    }
}

#[test]
fn targets_and_hints_say_which_relationship_is_meant() {
    let cases = [
        (
            "tickets",
            "tickets_executor_id_fkey",
            "tickets_executor_id_fkey up",
        ),
        ("tickets", "complainant_id", "tickets_complainant_id_fkey up"),
        (
            "tickets",
            "users!tickets_executor_id_fkey",
            "tickets_executor_id_fkey up",
        ),
        ("tickets", "users!executor_id", "tickets_executor_id_fkey up"),
        ("users", "tickets!executor_id", "tickets_executor_id_fkey down"),
        ("users", "users!manager_id", "users_manager_id_fkey down"),
        ("users", "users", "users_manager_id_fkey down"),
        ("users", "manager_id", "users_manager_id_fkey up"),
        ("tickets", "tags!ticket_labels", "ticket_labels"),
        ("tickets", "reports", "reports_ticket_id_fkey across"),
        ("reports", "tickets", "reports_ticket_id_fkey across"),
        ("tickets", "similar_tickets!whatever", "similar_tickets"),
        ("tenants", "open_tickets", "open_tickets_tenant_id_fkey down"),
    ];
    for (origin, target, expected) in cases {
        let root = tree(&with(origin, [embed(target, [field("id")])]));
        assert_eq!(found(&root.children[0]), expected, "{origin} -> {target}");
    }
}

#[test]
fn constraints_and_columns_do_not_name_views() {
    let request = with("tenants", [embed("open_tickets_tenant_id_fkey", [field("id")])]);
    assert!(matches!(plan_error(&request), PlanError::NoRelationship { .. }));
}

#[test]
fn an_ambiguous_target_lists_its_candidates_in_a_fixed_order() {
    let candidates =
        |origin: &str, target: &str| match plan_error(&with(origin, [embed(target, [field("id")])])) {
            PlanError::AmbiguousRelationship {
                origin: from,
                target: to,
                candidates,
            } => {
                assert_eq!((from.as_str(), to.as_str()), (origin, target));
                let node = |relationship| ReadNode {
                    plan: crate::rest::plan::ReadPlan {
                        relationship: Some(relationship),
                        ..Default::default()
                    },
                    children: Vec::new(),
                };
                candidates
                    .into_iter()
                    .map(|one| found(&node(one)))
                    .collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        };
    assert_eq!(
        candidates("tickets", "users"),
        ["tickets_complainant_id_fkey up", "tickets_executor_id_fkey up"]
    );
    assert_eq!(candidates("tickets", "tags"), ["ticket_labels", "ticket_tags"]);
}

#[test]
fn a_missing_relationship_suggests_what_was_misspelt() {
    let missing = |origin: &str, target: &str| match plan_error(&with(origin, [embed(target, [field("id")])]))
    {
        PlanError::NoRelationship { hint, suggestion, .. } => (hint, suggestion),
        other => panic!("{other:?}"),
    };
    let says = |text: &str| Some(text.to_owned());
    assert_eq!(
        missing("tickets", "tenant"),
        (None, says("Perhaps you meant 'tenants' instead of 'tenant'."))
    );
    assert_eq!(missing("tickets", "nowhere"), (None, None));
    // The target is right; it is the hint that is not.
    assert_eq!(missing("tickets", "users!nobody"), (says("nobody"), None));
    // The relation has no relationships at all.
    assert_eq!(missing("log", "tickets"), (None, None));
}

#[test]
fn names_in_the_statement_tell_depths_apart() {
    let request = with(
        "tenants",
        [embed(
            "users",
            [field("id"), embed("boss:manager_id", [field("id")])],
        )],
    );
    let root = tree(&request);
    let users = &root.children[0];
    let boss = &users.children[0];
    assert_eq!(
        joined(users),
        "api.users as users_1: users_1.tenant_id = api.tenants.id"
    );
    assert_eq!(
        joined(boss),
        "api.users as users_2: users_2.id = users_1.manager_id"
    );
    assert_eq!(users.plan.aggregate_alias, "tenants_users_1");
    assert_eq!(boss.plan.aggregate_alias, "users_boss_2");
    assert_eq!((users.plan.depth, boss.plan.depth), (1, 2));
}

#[test]
fn names_that_postgresql_would_cut_stay_different() {
    let long = "a".repeat(60);
    let request = with(
        "tickets",
        [
            embed(&format!("{long}1:tenants"), [field("id")]),
            embed(&format!("{long}2:tenants"), [field("id")]),
        ],
    );
    let root = tree(&request);
    let aliases: Vec<&str> = root
        .children
        .iter()
        .map(|child| child.plan.aggregate_alias.as_str())
        .collect();
    assert!(aliases.iter().all(|alias| alias.len() <= 63));
    assert_ne!(aliases[0], aliases[1]);
}

#[test]
fn a_computed_relationship_takes_its_parent_by_its_name_in_the_statement() {
    let request = with(
        "tenants",
        [embed(
            "tickets",
            [embed("similar_tickets", [embed("owner", [field("id")])])],
        )],
    );
    let root = tree(&request);
    let similar = &root.children[0].children[0];
    let argument = |node: &ReadNode| node.plan.computed_argument.as_ref().map(ToString::to_string);
    assert_eq!(argument(&root.children[0]), None);
    assert_eq!(argument(similar).as_deref(), Some("tickets_1"));
    assert_eq!(argument(&similar.children[0]).as_deref(), Some("tickets_2"));
}

#[test]
fn an_embed_is_an_object_or_an_array_under_its_alias_or_name() {
    let request = with(
        "tickets",
        [
            embed("tenants", [field("id")]),
            embed("work:activities!inner", [field("id")]),
            embed("reports", []),
            embed("owner", [embed("tenants", [])]),
            embed("ticket_tags", [embed("tags", [field("id")])]),
        ],
    );
    let root = tree(&request);
    let taken: Vec<(&str, EmbedMode, bool)> = root
        .plan
        .relation_select
        .iter()
        .map(|taken| match taken {
            RelationSelect::Embed {
                name, mode, empty, ..
            } => (name.as_str(), *mode, *empty),
            other @ RelationSelect::Spread { .. } => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        taken,
        [
            ("tenants", EmbedMode::Object, false),
            ("work", EmbedMode::Array, false),
            ("reports", EmbedMode::Object, true),
            ("owner", EmbedMode::Object, true),
            ("ticket_tags", EmbedMode::Array, false),
        ]
    );
    assert_eq!(root.children[1].plan.join, Some(JoinType::Inner));
}

#[test]
fn parameters_reach_the_embed_that_they_name() {
    let mut request = with(
        "tenants",
        [
            field("id"),
            embed("people:users", [embed("tickets!executor_id", [])]),
        ],
    );
    request.query.embed_filters = vec![
        (at("people"), equals("name", "a")),
        (at("people.tickets"), equals("id", "1")),
        (at("people"), matches("name", None)),
    ];
    request.query.order = vec![(at("people"), vec![by("name")])];
    request.query.ranges = vec![(
        at("people.tickets"),
        Range {
            offset: 2,
            limit: Some(3),
        },
    )];
    let root = tree(&request);
    let people = &root.children[0];
    let tickets = &people.children[0];
    assert!(root.plan.filters.is_empty());
    assert_eq!(people.plan.filters.len(), 2);
    assert!(
        matches!(&people.plan.filters[1], LogicPlan::Filter(filter) if filter.field.to_tsvector.is_some())
    );
    assert_eq!(people.plan.order.len(), 1);
    assert_eq!(tickets.plan.filters.len(), 1);
    assert_eq!(
        tickets.plan.range,
        Range {
            offset: 2,
            limit: Some(3)
        }
    );
    assert!(!people.plan.named_by_relation);
}

#[test]
fn a_relation_with_an_alias_is_still_known_by_its_name_unless_switched_off() {
    let mut request = with("tenants", [embed("people:users", [field("id")])]);
    request.query.embed_filters = vec![(at("users"), equals("id", "1"))];
    let people = tree(&request).children.remove(0);
    assert!(people.plan.named_by_relation);
    assert_eq!(people.plan.filters.len(), 1);

    let modern = RestSettings {
        legacy_target_names: false,
        ..settings()
    };
    let refused = build(&request, &cache(), &modern).unwrap_err();
    let aliased = Some(("users".to_owned(), "people".to_owned()));
    let expected = RequestError::NotEmbedded {
        name: "users".to_owned(),
        aliased,
    };
    assert_eq!(
        refused.to_string(),
        format!("the request was refused: {expected:?}")
    );
}

#[test]
fn an_embed_that_is_shown_by_a_name_comes_before_one_that_only_has_it() {
    let mut request = with("tenants", [embed("people:users", []), embed("users", [])]);
    request.query.embed_filters = vec![(at("users"), equals("id", "1"))];
    let root = tree(&request);
    let counts: Vec<usize> = root
        .children
        .iter()
        .map(|child| child.plan.filters.len())
        .collect();
    assert_eq!(counts, [0, 1]);
}

#[test]
fn parameters_of_what_is_not_embedded_are_refused() {
    let not_embedded = |name: &str| RequestError::NotEmbedded {
        name: name.to_owned(),
        aliased: None,
    };
    let select = || with("tenants", [embed("users", [])]);
    let mut request = select();
    request.query.embed_filters = vec![(at("users.tickets"), equals("id", "1"))];
    assert_eq!(request_error(&request), not_embedded("tickets"));
    let mut request = select();
    request.query.order = vec![(at("nobody"), vec![by("id")])];
    assert_eq!(request_error(&request), not_embedded("nobody"));
    let mut request = select();
    request.query.ranges = vec![(at("nobody"), Range::ALL)];
    assert_eq!(request_error(&request), not_embedded("nobody"));
    let mut request = select();
    request.query.order = vec![(Vec::new(), vec![by_embed("nobody", "id")])];
    assert_eq!(request_error(&request), not_embedded("nobody"));
}

#[test]
fn a_wrong_path_is_told_before_a_wrong_relation() {
    let mut request = with("tenants", [embed("nowhere", [])]);
    request.query.embed_filters = vec![(at("nobody"), equals("id", "1"))];
    assert!(matches!(
        request_error(&request),
        RequestError::NotEmbedded { .. }
    ));
}

#[test]
fn rows_are_ordered_by_to_one_embeds_alone() {
    let mut request = with("tickets", [embed("tenant:tenants", []), embed("activities", [])]);
    request.query.order = vec![(Vec::new(), vec![by("id"), by_embed("tenant", "name")])];
    let order = tree(&request).plan.order;
    assert!(
        matches!(&order[1], OrderPlan::Relation { aggregate_alias, .. } if aggregate_alias == "tickets_tenant_1")
    );

    request.query.order = vec![(Vec::new(), vec![by_embed("activities", "id")])];
    let expected = RequestError::RelatedOrderNotToOne {
        origin: "tickets".to_owned(),
        target: "activities".to_owned(),
    };
    assert_eq!(request_error(&request), expected);
}

#[test]
fn a_null_test_by_an_embeds_name_asks_whether_it_found_rows() {
    let mut request = with("tickets", [embed("work:activities", []), embed("tenants", [])]);
    request.query.root_filters = vec![
        is_null("work"),
        not(is_null("tenants")),
        is_null("title"),
        equals("work", "1"),
    ];
    let filters = tree(&request).plan.filters;
    let null_embed = |negated, alias: &str| LogicPlan::NullEmbed {
        negated,
        aggregate_alias: alias.to_owned(),
    };
    assert_eq!(filters[0], null_embed(false, "tickets_work_1"));
    assert_eq!(filters[1], null_embed(true, "tickets_tenants_1"));
    assert!(matches!(&filters[2], LogicPlan::Filter(_)));
    assert!(matches!(&filters[3], LogicPlan::Filter(_)));
}

#[test]
fn max_rows_caps_embeds_that_may_have_several_rows() {
    let request = with(
        "tickets",
        [
            embed("tenants", []),
            embed("activities", []),
            embed("owner", []),
            embed("reports", []),
        ],
    );
    let settings = RestSettings {
        max_rows: Some(10),
        ..settings()
    };
    let root = tree_of(build(&request, &cache(), &settings).unwrap());
    let limits: Vec<Option<i64>> = root.children.iter().map(|child| child.plan.range.limit).collect();
    assert_eq!(limits, [None, Some(10), Some(10), None]);
}

#[test]
fn an_embeds_columns_are_typed_and_represented_whatever_named_it() {
    let request = with("ticket_tags", [embed("tag_id", [field("color")])]);
    let tag = tree(&request).children.remove(0);
    assert!(tag.plan.select[0].field.transform.is_some());
    assert_eq!(tag.plan.select[0].alias.as_deref(), Some("color"));
}

#[test]
fn thousands_of_embeds_and_parameters_are_found_by_an_index() {
    let mut request = get("tickets");
    request.query.select = (0..5000).map(|n| embed(&format!("e{n}:tenants"), [])).collect();
    request.query.embed_filters = (0..20_000).map(|_| (at("e4999"), equals("id", "1"))).collect();
    assert_eq!(tree(&request).children[4999].plan.filters.len(), 20_000);
}
