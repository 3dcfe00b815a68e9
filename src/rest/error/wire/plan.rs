//! `PGRST2xx`.

use serde_json::{Value, json};

use super::Answer;
use crate::rest::error::{NoRoutine, PlanError, RoutineSignature};
use crate::schema_cache::{Cardinality, Relationship};

pub(super) fn answer(error: &PlanError) -> Answer<'_> {
    match error {
        PlanError::NoRelationship {
            origin,
            target,
            hint,
            schema,
            suggestion,
        } => {
            let using = hint
                .as_ref()
                .map_or_else(String::new, |hint| format!("' using the hint '{hint}"));
            let answer = Answer::new(
                400,
                "PGRST200",
                format!("Could not find a relationship between '{origin}' and '{target}' in the schema cache"),
            )
            .details(format!(
                "Searched for a foreign key relationship between '{origin}' and '{target}{using}' in the schema \
                 '{schema}', but no matches were found."
            ));
            with_hint(answer, suggestion.as_deref())
        }
        PlanError::AmbiguousRelationship {
            origin,
            target,
            candidates,
        } => {
            let choices: Vec<String> = candidates
                .iter()
                .filter_map(|candidate| choice(candidate))
                .collect();
            let answer = Answer::new(
                300,
                "PGRST201",
                format!("Could not embed because more than one relationship was found for '{origin}' and '{target}'"),
            )
            .hint(format!(
                "Try changing '{target}' to one of the following: {}. Find the desired relationship in the 'details' \
                 key.",
                choices.join(", ")
            ));
            Answer {
                details: Some(
                    candidates
                        .iter()
                        .map(|candidate| candidate_details(candidate))
                        .collect(),
                ),
                ..answer
            }
        }
        PlanError::NoRoutine(error) => no_routine(error),
        PlanError::AmbiguousRoutine(candidates) => {
            let candidates: Vec<&str> = candidates
                .iter()
                .map(|RoutineSignature(signature)| signature.as_str())
                .collect();
            Answer::new(
                300,
                "PGRST203",
                format!(
                    "Could not choose the best candidate function between: {}",
                    candidates.join(", ")
                ),
            )
            .hint(
                "Try renaming the parameters or the function itself in the database so function overloading can be \
                 resolved",
            )
        }
        PlanError::ColumnNotFound { relation, column } => Answer::new(
            400,
            "PGRST204",
            format!("Could not find the '{column}' column of '{relation}' in the schema cache"),
        ),
        PlanError::TableNotFound { relation, suggestion } => {
            let answer = Answer::new(
                404,
                "PGRST205",
                format!("Could not find the table '{relation}' in the schema cache"),
            );
            let suggestion = suggestion.as_ref();
            with_hint(
                answer,
                suggestion.map(|table| format!("Perhaps you meant the table '{table}'")),
            )
        }
    }
}

fn with_hint<'e>(answer: Answer<'e>, hint: Option<impl Into<std::borrow::Cow<'e, str>>>) -> Answer<'e> {
    match hint {
        Some(hint) => answer.hint(hint),
        None => answer,
    }
}

/// PGRST202.
fn no_routine(error: &NoRoutine) -> Answer<'_> {
    let NoRoutine {
        schema,
        name,
        arguments,
        unnamed,
        only_unnamed,
        suggestion,
    } = error;
    let names = arguments.join(", ");
    let (called, searched) = match arguments.len() {
        0 => (" without parameters".to_owned(), " without parameters".to_owned()),
        1 => (format!("({names})"), format!(" with parameter {names}")),
        _ => (format!("({names})"), format!(" with parameters {names}")),
    };
    let (called, searched) = match unnamed {
        Some(unnamed) if *only_unnamed => (
            String::new(),
            format!(" with a single unnamed {unnamed} parameter"),
        ),
        Some(unnamed) => (
            called,
            format!("{searched} or with a single unnamed {unnamed} parameter"),
        ),
        None => (called, searched),
    };
    let answer = Answer::new(
        404,
        "PGRST202",
        format!("Could not find the function {schema}.{name}{called} in the schema cache"),
    )
    .details(format!(
        "Searched for the function {schema}.{name}{searched}, but no matches were found in the schema cache."
    ));
    with_hint(answer, suggestion.as_deref())
}

/// One of several relationships, in `details`. Computed ones are never ambiguous.
fn candidate_details(relationship: &Relationship) -> Value {
    let Relationship::ForeignKey {
        origin,
        target,
        cardinality,
        ..
    } = relationship
    else {
        return json!({});
    };
    let list = |columns: Vec<&str>| format!("({})", columns.join(", "));
    let firsts =
        |pairs: &'_ [(String, String)]| list(pairs.iter().map(|(first, _)| first.as_str()).collect());
    let seconds =
        |pairs: &'_ [(String, String)]| list(pairs.iter().map(|(_, second)| second.as_str()).collect());
    let path = match cardinality {
        Cardinality::ManyToMany(junction) => format!(
            "{} using {}{} and {}{}",
            junction.table.name,
            junction.origin_constraint,
            seconds(&junction.origin_columns),
            junction.target_constraint,
            seconds(&junction.target_columns)
        ),
        Cardinality::ManyToOne { constraint, columns }
        | Cardinality::OneToMany { constraint, columns }
        | Cardinality::OneToOne {
            constraint, columns, ..
        } => format!(
            "{constraint} using {}{} and {}{}",
            origin.name,
            firsts(columns),
            target.name,
            seconds(columns)
        ),
    };
    json!({
        "cardinality": kind(cardinality),
        "embedding": format!("{} with {}", origin.name, target.name),
        "relationship": path,
    })
}

fn kind(cardinality: &Cardinality) -> &'static str {
    match cardinality {
        Cardinality::ManyToMany(_) => "many-to-many",
        Cardinality::ManyToOne { .. } => "many-to-one",
        Cardinality::OneToMany { .. } => "one-to-many",
        Cardinality::OneToOne { .. } => "one-to-one",
    }
}

/// What to write in `select` for a relationship: `'target!constraint'`.
fn choice(relationship: &Relationship) -> Option<String> {
    let Relationship::ForeignKey {
        target, cardinality, ..
    } = relationship
    else {
        return None;
    };
    let hint = match cardinality {
        Cardinality::ManyToMany(junction) => &junction.table.name,
        Cardinality::ManyToOne { constraint, .. }
        | Cardinality::OneToMany { constraint, .. }
        | Cardinality::OneToOne { constraint, .. } => constraint,
    };
    Some(format!("'{}!{hint}'", target.name))
}
