//! Aggregates, and where spreads put them: a to-one spread's aggregates group its parent's rows.

use std::collections::HashMap;

use super::embed::fitted;
use super::read::{OrderPlan, PlannedField, ReadNode, RelationSelect, SelectField, Spread};
use crate::rest::error::RequestError;
use crate::rest::request::Aggregate;

/// Refuses aggregates where they are switched off.
pub(super) fn check_allowed(node: &ReadNode, allowed: bool) -> Result<(), RequestError> {
    if !allowed && has_aggregate(&node.plan.select) {
        return Err(RequestError::AggregatesNotAllowed);
    }
    node.children
        .iter()
        .try_for_each(|child| check_allowed(child, allowed))
}

fn has_aggregate(select: &[SelectField]) -> bool {
    select.iter().any(|item| item.aggregate.is_some())
}

/// An aggregate on its way up.
struct Hoisted {
    /// The subquery whose column it is.
    subquery: String,
    /// The column.
    column: String,
    aggregate: Aggregate,
    cast: Option<String>,
    alias: Option<String>,
}

/// Moves the aggregates of to-one spreads to the nearest relation around them that is none. There they group its
/// rows; in the spread, each would see one row.
pub(super) fn hoist(root: &mut ReadNode) {
    if !root.children.is_empty() {
        hoist_from(root);
    }
}

fn hoist_from(node: &mut ReadNode) -> Vec<Hoisted> {
    let mut from_children: Vec<Hoisted> = node.children.iter_mut().flat_map(hoist_from).collect();
    let plan = &mut node.plan;
    if plan.spread != Some(Spread::ToOne) {
        apply(&from_children, &mut plan.relation_select);
        return Vec::new();
    }
    let mut hoisted: Vec<Hoisted> = plan
        .select
        .iter_mut()
        .filter_map(|item| {
            Some(Hoisted {
                subquery: plan.aggregate_alias.clone(),
                aggregate: item.aggregate.take()?,
                column: item.alias.as_ref().unwrap_or(&item.field.name).clone(),
                cast: item.aggregate_cast.take(),
                alias: item.alias.clone(),
            })
        })
        .collect();
    // Its own parent sees them as columns of this subquery.
    for below in &mut from_children {
        below.subquery.clone_from(&plan.aggregate_alias);
    }
    hoisted.append(&mut from_children);
    hoisted
}

fn apply(hoisted: &[Hoisted], taken: &mut [RelationSelect]) {
    if hoisted.is_empty() {
        return;
    }
    let mut by_column = HashMap::with_capacity(hoisted.len());
    for aggregate in hoisted {
        by_column
            .entry((aggregate.subquery.as_str(), aggregate.column.as_str()))
            .or_insert(aggregate);
    }
    for taken in taken {
        let RelationSelect::Spread {
            select,
            aggregate_alias,
        } = taken
        else {
            continue;
        };
        for item in select {
            if let Some(hoisted) = by_column.get(&(aggregate_alias.as_str(), item.name.as_str())) {
                item.aggregate = Some(hoisted.aggregate);
                item.aggregate_cast.clone_from(&hoisted.cast);
                item.alias.clone_from(&hoisted.alias);
            }
        }
    }
}

/// Moves the order of to-many spreads into their arrays. What an array is ordered by has to be selected below it, and
/// gets a name of its own there.
pub(super) fn order_spreads(node: &mut ReadNode) -> Result<(), RequestError> {
    if matches!(node.plan.spread, Some(Spread::ToMany { .. })) {
        order_spread(node)?;
    }
    node.children.iter_mut().try_for_each(order_spreads)
}

fn order_spread(node: &mut ReadNode) -> Result<(), RequestError> {
    let plan = &mut node.plan;
    let lifts_aggregate = plan.relation_select.iter().any(|taken| match taken {
        RelationSelect::Spread { select, .. } => select.iter().any(|item| item.aggregate.is_some()),
        RelationSelect::Embed { .. } => false,
    });
    if has_aggregate(&plan.select) || lifts_aggregate {
        return Err(RequestError::NotImplemented(
            "Aggregates are not implemented for one-to-many or many-to-many spreads.".to_owned(),
        ));
    }
    let mut extra_select = Vec::with_capacity(plan.order.len());
    let mut order = Vec::with_capacity(plan.order.len());
    for (n, term) in std::mem::take(&mut plan.order).into_iter().enumerate() {
        let (embed, field, direction, nulls) = match term {
            OrderPlan::Field {
                field,
                direction,
                nulls,
            } => (None, field, direction, nulls),
            OrderPlan::Relation {
                aggregate_alias,
                field,
                direction,
                nulls,
            } => {
                let field = PlannedField {
                    name: field.name,
                    path: field.path,
                    ..PlannedField::default()
                };
                (Some(aggregate_alias), field, direction, nulls)
            }
        };
        let name = fitted(
            &format!("{}_{}", plan.aggregate_alias, field.name),
            &format!("_{}", n + 1),
        );
        order.push(OrderPlan::Field {
            field: PlannedField {
                name: name.clone(),
                ..PlannedField::default()
            },
            direction,
            nulls,
        });
        let item = SelectField {
            field,
            aggregate: None,
            aggregate_cast: None,
            cast: None,
            alias: Some(name),
        };
        extra_select.push((embed, item));
    }
    plan.spread = Some(Spread::ToMany { extra_select, order });
    Ok(())
}
