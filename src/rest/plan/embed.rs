//! Which relationship an embed means, and how its relation joins its parent.

use std::sync::Arc;

use super::read::JoinCondition;
use super::suggest;
use crate::rest::error::PlanError;
use crate::schema_cache::{Cardinality, QualifiedName, Relationship, SchemaCache};

/// PostgreSQL cuts longer names, which could make two of ours one.
const LONGEST_NAME: usize = 63;

/// Finds the relationship from `origin` that a request means by a target and a hint.
pub(super) fn find(
    cache: &SchemaCache,
    schema: &str,
    origin: &QualifiedName,
    target: &str,
    hint: Option<&str>,
) -> Result<Arc<Relationship>, PlanError> {
    let mut fitting = cache
        .relationships_from(origin, schema)
        .filter(|relationship| fits(relationship, target, hint));
    let Some(first) = fitting.next() else {
        return Err(PlanError::NoRelationship {
            origin: origin.name.clone(),
            target: target.to_owned(),
            hint: hint.map(str::to_owned),
            schema: schema.to_owned(),
            suggestion: suggest::relationship(cache, schema, origin, target),
        });
    };
    let mut candidates: Vec<Arc<Relationship>> = fitting.map(Arc::clone).collect();
    if candidates.is_empty() {
        return Ok(Arc::clone(first));
    }
    candidates.push(Arc::clone(first));
    candidates.sort_by(|a, b| rank(a).cmp(&rank(b)));
    Err(PlanError::AmbiguousRelationship {
        origin: origin.name.clone(),
        target: target.to_owned(),
        candidates,
    })
}

/// Whether a relationship is what a target and a hint name. A computed one is named by its function. Otherwise the
/// target is the relation, or, without a hint and unless it is a view, the constraint or the origin's column; a hint
/// is the constraint, the column of either side, or the junction.
fn fits(relationship: &Relationship, target: &str, hint: Option<&str>) -> bool {
    let (to, is_self, cardinality, target_is_view) = match relationship {
        Relationship::Computed { function, .. } => return function.name == target,
        Relationship::ForeignKey {
            target,
            is_self,
            cardinality,
            target_is_view,
            ..
        } => (target.name.as_str(), *is_self, cardinality, *target_is_view),
    };
    let to_many = matches!(cardinality, Cardinality::OneToMany { .. });
    match (is_self, hint) {
        // One foreign key leads both ways: down by the relation's name, up by the column's.
        (true, None) => {
            (target == to && to_many)
                || (matches!(cardinality, Cardinality::ManyToOne { .. })
                    && single_column(cardinality).is_some_and(|(column, _)| column == target))
        }
        (true, Some(hint)) => {
            target == to && to_many && single_column(cardinality).is_some_and(|(_, column)| column == hint)
        }
        (false, None) => {
            target == to
                || (!target_is_view
                    && (constraint(cardinality) == Some(target)
                        || single_column(cardinality).is_some_and(|(column, _)| column == target)))
        }
        (false, Some(hint)) => {
            target == to
                && (constraint(cardinality) == Some(hint)
                    || single_column(cardinality).is_some_and(|(from, to)| from == hint || to == hint)
                    || matches!(cardinality, Cardinality::ManyToMany(junction) if junction.table.name == hint))
        }
    }
}

fn constraint(cardinality: &Cardinality) -> Option<&str> {
    match cardinality {
        Cardinality::OneToMany { constraint, .. }
        | Cardinality::ManyToOne { constraint, .. }
        | Cardinality::OneToOne { constraint, .. } => Some(constraint),
        Cardinality::ManyToMany(_) => None,
    }
}

/// The (origin, target) columns of a foreign key that has one.
fn single_column(cardinality: &Cardinality) -> Option<(&str, &str)> {
    match cardinality {
        Cardinality::OneToMany { columns, .. }
        | Cardinality::ManyToOne { columns, .. }
        | Cardinality::OneToOne { columns, .. } => match columns.as_slice() {
            [(origin, target)] => Some((origin, target)),
            _ => None,
        },
        Cardinality::ManyToMany(_) => None,
    }
}

/// The order in which candidates are listed: by target, then cardinality, then names.
fn rank(relationship: &Relationship) -> (&QualifiedName, u8, &str, &str, &str, &[(String, String)]) {
    let target = relationship.target();
    let Relationship::ForeignKey { cardinality, .. } = relationship else {
        return (target, 4, "", "", "", &[]);
    };
    match cardinality {
        Cardinality::OneToMany { constraint, columns } => (target, 0, constraint, "", "", columns),
        Cardinality::ManyToOne { constraint, columns } => (target, 1, constraint, "", "", columns),
        Cardinality::OneToOne {
            constraint, columns, ..
        } => (target, 2, constraint, "", "", columns),
        Cardinality::ManyToMany(junction) => (
            target,
            3,
            &junction.table.name,
            &junction.origin_constraint,
            &junction.target_constraint,
            &junction.origin_columns,
        ),
    }
}

/// The columns that join a relation to its parent. `parent` and `own` are their names in the statement.
pub(super) fn join_conditions(
    relationship: &Relationship,
    parent: &QualifiedName,
    own: &QualifiedName,
) -> Vec<JoinCondition> {
    let Relationship::ForeignKey { cardinality, .. } = relationship else {
        return Vec::new();
    };
    match cardinality {
        Cardinality::OneToMany { columns, .. }
        | Cardinality::ManyToOne { columns, .. }
        | Cardinality::OneToOne { columns, .. } => equal(own, parent, columns).collect(),
        Cardinality::ManyToMany(junction) => equal(&junction.table, own, &junction.target_columns)
            .chain(equal(&junction.table, parent, &junction.origin_columns))
            .collect(),
    }
}

/// `left.second = right.first` for each pair.
fn equal<'a>(
    left: &'a QualifiedName,
    right: &'a QualifiedName,
    pairs: &'a [(String, String)],
) -> impl Iterator<Item = JoinCondition> + 'a {
    pairs.iter().map(|(of_right, of_left)| JoinCondition {
        left: (left.clone(), of_left.clone()),
        right: (right.clone(), of_right.clone()),
    })
}

/// The name of an embedded relation in the statement, different from that of every relation around it.
pub(super) fn table_alias(target: &str, depth: usize) -> String {
    fitted(target, &format!("_{depth}"))
}

/// The name of an embed's subquery in its parent's statement. It shows in messages of the database, so it says what
/// was embedded where.
pub(super) fn subquery_alias(origin: &str, shown: &str, depth: usize, position: usize) -> String {
    let alias = format!("{origin}_{shown}_{depth}");
    if alias.len() <= LONGEST_NAME {
        return alias;
    }
    fitted(&format!("{origin}_{shown}"), &format!("_{position}_{depth}"))
}

/// `name` and `suffix`, the name cut so that the suffix survives.
pub(super) fn fitted(name: &str, suffix: &str) -> String {
    let mut end = name.len().min(LONGEST_NAME.saturating_sub(suffix.len()));
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    let mut fitted = String::with_capacity(end + suffix.len());
    fitted.push_str(name.get(..end).unwrap_or_default());
    fitted.push_str(suffix);
    fitted
}
