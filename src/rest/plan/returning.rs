//! Which columns a write or call has to return so that what is read of its rows can be read.

use std::collections::BTreeSet;

use super::read::{LogicPlan, OrderPlan, ReadNode};
use super::resolve::Columns;
use crate::schema_cache::{Cardinality, Relationship};

/// The columns that a select list, embeds and an order need, and `also` some more. `*` stands for all of them: beside
/// it there are computed fields at most, since a column would be there twice.
pub(super) fn needed(node: &ReadNode, columns: &Columns<'_>, also: &[String]) -> BTreeSet<String> {
    let plan = &node.plan;
    let selected = plan.select.iter().map(|item| &item.field.name);
    let ordered = plan.order.iter().filter_map(|term| match term {
        OrderPlan::Field { field, .. } => Some(&field.name),
        OrderPlan::Relation { .. } => None,
    });
    let mut names: BTreeSet<String> = selected.chain(ordered).cloned().collect();
    if names.contains("*") {
        return all();
    }
    let relationships = || {
        node.children
            .iter()
            .filter_map(|child| child.plan.relationship.as_deref())
    };
    if relationships().any(|relationship| matches!(relationship, Relationship::Computed { .. })) {
        // It takes the row as a whole. Computed fields are in no row, so that they are named beside it.
        names.retain(|name| columns.is_known() && columns.get(name).is_none());
        names.append(&mut all());
        return names;
    }
    for relationship in relationships() {
        names.extend(own_columns(relationship).iter().map(|(own, _)| own.clone()));
    }
    names.extend(also.iter().cloned());
    names
}

fn all() -> BTreeSet<String> {
    BTreeSet::from(["*".to_owned()])
}

/// The pairs whose first columns are the origin's.
fn own_columns(relationship: &Relationship) -> &[(String, String)] {
    match relationship {
        Relationship::Computed { .. } => &[],
        Relationship::ForeignKey { cardinality, .. } => match cardinality {
            Cardinality::OneToMany { columns, .. }
            | Cardinality::ManyToOne { columns, .. }
            | Cardinality::OneToOne { columns, .. } => columns,
            Cardinality::ManyToMany(junction) => &junction.origin_columns,
        },
    }
}

/// The columns that conditions need.
pub(super) fn filtered(filters: &[LogicPlan]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for filter in filters {
        collect(filter, &mut names);
    }
    names
}

fn collect(filter: &LogicPlan, names: &mut BTreeSet<String>) {
    match filter {
        LogicPlan::Filter(filter) => {
            names.insert(filter.field.name.clone());
        }
        LogicPlan::Expr { children, .. } => {
            for child in children {
                collect(child, names);
            }
        }
        LogicPlan::NullEmbed { .. } => {}
    }
}
