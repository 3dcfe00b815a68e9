//! Calling functions.

use bytes::Bytes;
use std::collections::BTreeSet;

use super::read::ReadNode;
use super::resolve::Columns;
use super::returning;
use crate::rest::request::{Action, CallMethod, Payload, Request};
use crate::schema_cache::{Parameter, QualifiedName, Routine};

/// A call.
#[derive(Debug, Clone)]
pub struct CallPlan {
    /// The function.
    pub function: QualifiedName,
    /// Its parameters that are passed.
    pub parameters: CallParameters,
    /// What is passed.
    pub arguments: Arguments,
    /// Whether it returns one value that is no row.
    pub scalar: bool,
    /// Whether it returns a set of values that are no rows.
    pub set_of_scalar: bool,
    /// Columns that filters need; none if `returning` has `*`.
    pub filter_fields: BTreeSet<String>,
    /// Columns that the result needs. Beside `*` there are computed fields at most. Nothing is what nothing is
    /// selected of.
    pub returning: BTreeSet<String>,
}

/// How parameters are passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallParameters {
    /// By name; possibly none.
    Named(Vec<Parameter>),
    /// The one parameter that has no name takes the body whole.
    Positional(Parameter),
}

/// What is passed.
#[derive(Debug, Clone)]
pub enum Arguments {
    /// Texts, from a query string or form.
    Direct(Vec<(String, Argument)>),
    /// A body: JSON for named parameters, anything for a positional one.
    Body(Option<Bytes>),
}

/// One argument from a query string or form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// One value.
    Fixed(String),
    /// The values of a variadic parameter.
    Variadic(Vec<String>),
}

/// Plans the call of a function that was found.
pub(super) fn build(
    request: &Request,
    routine: &Routine,
    arguments: &[&str],
    read: &ReadNode,
    columns: &Columns<'_>,
) -> CallPlan {
    let parameters = match routine.parameters.as_slice() {
        [unnamed] if unnamed.name.is_empty() => CallParameters::Positional(unnamed.clone()),
        parameters => CallParameters::Named(
            parameters
                .iter()
                .filter(|parameter| arguments.binary_search(&parameter.name.as_str()).is_ok())
                .cloned()
                .collect(),
        ),
    };
    let mut returning = returning::needed(read, columns, &[]);
    let mut filter_fields = returning::filtered(&read.plan.filters);
    if returning.contains("*") {
        filter_fields.retain(|name| columns.is_known() && columns.get(name).is_none());
        returning.append(&mut filter_fields);
    }
    CallPlan {
        function: routine.name.clone(),
        arguments: passed(request, routine, &parameters),
        parameters,
        scalar: routine.returns_scalar(),
        set_of_scalar: routine.returns_set_of_scalar(),
        filter_fields,
        returning,
    }
}

fn passed(request: &Request, routine: &Routine, parameters: &CallParameters) -> Arguments {
    let pairs = match (&request.action, &request.payload) {
        (
            Action::Call {
                method: CallMethod::Post,
                ..
            },
            Some(Payload::Json { raw, .. } | Payload::RawJson(raw) | Payload::Raw(raw)),
        ) => return Arguments::Body(Some(raw.clone())),
        (
            Action::Call {
                method: CallMethod::Post,
                ..
            },
            Some(Payload::Form { pairs }),
        ) => pairs,
        (
            Action::Call {
                method: CallMethod::Post,
                ..
            },
            None,
        ) => return Arguments::Body(None),
        _ => &request.query.arguments,
    };
    match parameters {
        // An argument without a name: the arguments as one object are what is left to pass.
        CallParameters::Positional(_) => Arguments::Body(Some(object(pairs))),
        CallParameters::Named(_) => Arguments::Direct(texts(pairs, routine)),
    }
}

/// One argument for each name: a variadic parameter gets all values, any other the last.
fn texts(pairs: &[(String, String)], routine: &Routine) -> Vec<(String, Argument)> {
    let variadic = routine.parameters.iter().find(|parameter| parameter.variadic);
    let mut arguments: Vec<(String, Argument)> =
        Vec::with_capacity(pairs.len().min(routine.parameters.len()));
    for (name, value) in pairs {
        // No more names than the function has parameters, which PostgreSQL limits.
        let known = arguments.iter_mut().find(|(known, _)| known == name);
        match known {
            Some((_, Argument::Fixed(last))) => last.clone_from(value),
            Some((_, Argument::Variadic(values))) => values.push(value.clone()),
            None => {
                let argument = if variadic.is_some_and(|parameter| parameter.name == *name) {
                    Argument::Variadic(vec![value.clone()])
                } else {
                    Argument::Fixed(value.clone())
                };
                arguments.push((name.clone(), argument));
            }
        }
    }
    arguments
}

/// A JSON object of texts; of equal names the last counts.
pub(super) fn object(pairs: &[(String, String)]) -> Bytes {
    let object: serde_json::Map<String, serde_json::Value> = pairs
        .iter()
        .map(|(name, value)| (name.clone(), serde_json::Value::String(value.clone())))
        .collect();
    Bytes::from(serde_json::Value::Object(object).to_string())
}
