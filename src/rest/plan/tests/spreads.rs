//! Spreads: columns among the parent's, arrays of to-many ones, aggregates that move up.

use super::asked::*;
use crate::rest::error::RequestError;
use crate::rest::plan::{OrderPlan, ReadNode, RelationSelect, Spread, SpreadSelect};
use crate::rest::request::{Aggregate, Request, SelectNode};

fn with<const N: usize>(relation: &str, select: [SelectNode; N]) -> Request {
    let mut request = get(relation);
    request.query.select = select.into();
    request
}

fn spread_select(node: &ReadNode) -> &[SpreadSelect] {
    match &node.plan.relation_select[..] {
        [RelationSelect::Spread { select, .. }] => select,
        other => panic!("{other:?} is no spread"),
    }
}

fn names(select: &[SpreadSelect]) -> Vec<&str> {
    select.iter().map(|item| item.name.as_str()).collect()
}

#[test]
fn a_to_one_spread_lifts_its_columns_and_embeds_under_their_shown_names() {
    let root = tree(&with(
        "tickets",
        [spread(
            "tenants",
            [
                field("name"),
                embed("people:users", [field("id")]),
                embed("tickets", []),
            ],
        )],
    ));
    assert_eq!(root.children[0].plan.spread, Some(Spread::ToOne));
    assert_eq!(names(spread_select(&root)), ["name", "people"]);
}

#[test]
fn spreads_in_spreads_lift_all_the_way() {
    let root = tree(&with(
        "activities",
        [spread(
            "tickets",
            [
                field("title"),
                spread("tenants", [field("name"), field("data->a")]),
            ],
        )],
    ));
    assert_eq!(names(spread_select(&root)), ["title", "name", "a"]);
}

#[test]
fn a_to_many_spread_names_its_columns_and_orders_its_arrays_by_selected_copies() {
    let mut request = with("tickets", [spread("activities", [field("*")])]);
    request.query.order = vec![(at("activities"), vec![by("kind"), by("minutes")])];
    let root = tree(&request);
    let child = &root.children[0].plan;
    assert_eq!(
        names(spread_select(&root)),
        ["id", "ticket_id", "kind", "minutes"]
    );
    assert!(child.order.is_empty());
    let Some(Spread::ToMany { extra_select, order }) = &child.spread else {
        panic!("{child:?}");
    };
    let copies: Vec<(Option<&str>, &str, Option<&str>)> = extra_select
        .iter()
        .map(|(embed, item)| (embed.as_deref(), item.field.name.as_str(), item.alias.as_deref()))
        .collect();
    assert_eq!(
        copies,
        [
            (None, "kind", Some("tickets_activities_1_kind_1")),
            (None, "minutes", Some("tickets_activities_1_minutes_2")),
        ]
    );
    assert!(
        matches!(&order[1], OrderPlan::Field { field, .. } if field.name == "tickets_activities_1_minutes_2")
    );
}

#[test]
fn a_to_many_spread_is_ordered_by_its_own_embeds_through_their_subqueries() {
    let mut request = with("tenants", [spread("tickets", [field("id"), embed("owner", [])])]);
    request.query.order = vec![(at("tickets"), vec![by_embed("owner", "name")])];
    let root = tree(&request);
    let Some(Spread::ToMany { extra_select, .. }) = &root.children[0].plan.spread else {
        panic!("{root:?}");
    };
    assert_eq!(extra_select[0].0.as_deref(), Some("tickets_owner_2"));
    assert_eq!(extra_select[0].1.field.name, "name");
}

#[test]
fn an_aggregate_in_a_to_one_spread_moves_to_the_rows_around_it() {
    let root = tree(&with(
        "activities",
        [
            field("kind"),
            spread(
                "tickets",
                [
                    field("title"),
                    aggregate("id", Aggregate::Max, None),
                    spread("tenants", [aggregate("name", Aggregate::Min, Some("first"))]),
                ],
            ),
        ],
    ));
    let lifted: Vec<(&str, Option<Aggregate>, Option<&str>)> = spread_select(&root)
        .iter()
        .map(|item| (item.name.as_str(), item.aggregate, item.alias.as_deref()))
        .collect();
    assert_eq!(
        lifted,
        [
            ("title", None, None),
            ("max", Some(Aggregate::Max), Some("max")),
            ("first", Some(Aggregate::Min), Some("first")),
        ]
    );
    let tickets = &root.children[0];
    assert!(tickets.plan.select.iter().all(|item| item.aggregate.is_none()));
    assert_eq!(tickets.plan.select[1].alias.as_deref(), Some("max"));
    assert!(spread_select(tickets).iter().all(|item| item.aggregate.is_none()));
}

#[test]
fn an_aggregate_in_an_embed_stays_there() {
    let root = tree(&with(
        "tickets",
        [embed(
            "activities",
            [field("kind"), aggregate("minutes", Aggregate::Sum, None)],
        )],
    ));
    let select = &root.children[0].plan.select;
    assert_eq!(
        (select[1].aggregate, &select[1].alias),
        (Some(Aggregate::Sum), &None)
    );
}

#[test]
fn a_count_in_a_spread_counts_rows_of_the_spread() {
    let root = tree(&with(
        "activities",
        [
            field("kind"),
            spread("tickets", [aggregate("*", Aggregate::Count, None)]),
        ],
    ));
    let counted = &root.children[0].plan.select[0];
    assert!(counted.field.full_row);
    assert_eq!(counted.alias.as_deref(), Some("count"));
    assert_eq!(spread_select(&root)[0].aggregate, Some(Aggregate::Count));
}

#[test]
fn aggregates_in_to_many_spreads_are_not_implemented() {
    let not_implemented =
        "Aggregates are not implemented for one-to-many or many-to-many spreads.".to_owned();
    let direct = with(
        "tickets",
        [spread("activities", [aggregate("minutes", Aggregate::Sum, None)])],
    );
    assert_eq!(
        request_error(&direct),
        RequestError::NotImplemented(not_implemented.clone())
    );
    let lifted = with(
        "tenants",
        [spread(
            "tickets",
            [spread("owner", [aggregate("id", Aggregate::Max, None)])],
        )],
    );
    assert_eq!(
        request_error(&lifted),
        RequestError::NotImplemented(not_implemented)
    );
}
