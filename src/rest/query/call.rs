//! Calls of functions.

use super::body::{Body, ROWS};
use super::fragment::{array_literal, column, separated};
use super::statement::{Statement, Value};
use crate::rest::plan::{Argument, Arguments, CallParameters, CallPlan, PlannedField};
use crate::schema_cache::{Parameter, QualifiedName};
use bytes::Bytes;

/// The name of a call's rows.
const CALL: &str = "pgrst_call";
/// The name of the only column of a result that is no row.
pub(super) const SCALAR: &str = "pgrst_scalar";

/// Appends a select of the function's result.
pub(super) fn statement(out: &mut Statement, plan: &CallPlan) {
    out.push("select ");
    returned(out, plan);
    out.push(" from ");
    match (&plan.parameters, &plan.arguments) {
        (CallParameters::Positional(parameter), Arguments::Body(body)) => {
            call(out, plan, |out| positional(out, parameter, body.as_ref()));
        }
        // The planner made a body of them; no function takes one text for all of them.
        (CallParameters::Positional(_), Arguments::Direct(_)) => call(out, plan, |_| ()),
        (CallParameters::Named(parameters), _) if parameters.is_empty() => call(out, plan, |_| ()),
        (CallParameters::Named(parameters), Arguments::Direct(arguments)) => {
            call(out, plan, |out| direct(out, parameters, arguments));
        }
        (CallParameters::Named(parameters), Arguments::Body(body)) => {
            from_body(out, parameters, body.as_ref());
            out.push(", lateral ");
            call(out, plan, |out| by_column(out, parameters));
        }
    }
}

/// Columns that the result or its filters need; all of them where that cannot be told.
fn returned(out: &mut Statement, plan: &CallPlan) {
    let rows = QualifiedName::bare(CALL);
    if plan.scalar || plan.set_of_scalar {
        column(out, &rows, SCALAR);
    } else if plan.returning.is_empty() {
        column(out, &rows, "*");
    } else {
        let columns = plan.returning.union(&plan.filter_fields);
        separated(out, ", ", columns, |out, name| column(out, &rows, name));
    }
}

fn call(out: &mut Statement, plan: &CallPlan, arguments: impl FnOnce(&mut Statement)) {
    let scalar = plan.scalar || plan.set_of_scalar;
    out.push(if scalar { "(select " } else { "" });
    out.name(&plan.function).push("(");
    arguments(out);
    out.push(")");
    if scalar {
        out.push(" as ").push(SCALAR).push(")");
    }
    out.push(" as ").push(CALL);
}

/// `"a" := value`, cast so that overloads do not compete.
fn direct(out: &mut Statement, parameters: &[Parameter], arguments: &[(String, Argument)]) {
    separated(out, ", ", parameters, |out, parameter| {
        named(out, parameter);
        let value = arguments.iter().find(|(name, _)| *name == parameter.name);
        match value {
            None => out.push("null"),
            Some((_, Argument::Fixed(value))) => out.bind_text(value),
            Some((_, Argument::Variadic(values))) => out.bind_text(array_literal(values)),
        };
        out.push("::").push(&parameter.widened_type);
    });
}

/// `"a" := pgrst_body."a"`
fn by_column(out: &mut Statement, parameters: &[Parameter]) {
    separated(out, ", ", parameters, |out, parameter| {
        named(out, parameter);
        column(out, &QualifiedName::bare(ROWS), &parameter.name);
    });
}

fn named(out: &mut Statement, parameter: &Parameter) {
    out.push(if parameter.variadic { "variadic " } else { "" });
    out.ident(&parameter.name).push(" := ");
}

fn from_body(out: &mut Statement, parameters: &[Parameter], body: Option<&Bytes>) {
    let fields: Vec<PlannedField> = parameters
        .iter()
        .map(|parameter| PlannedField {
            name: parameter.name.clone(),
            nominal_type: parameter.widened_type.clone(),
            ..PlannedField::default()
        })
        .collect();
    let rows = Body {
        json: body,
        is_object: body.is_some_and(|json| starts_object(json)),
        fields: &fields,
        defaults: false,
    };
    rows.write_from(out, true);
}

/// The whole body for the one parameter.
fn positional(out: &mut Statement, parameter: &Parameter, body: Option<&Bytes>) {
    let value = match body {
        None => Value::Null,
        Some(body) if parameter.sql_type == "bytea" => Value::Binary(body.clone()),
        Some(body) => Value::Body(body.clone()),
    };
    out.bind(value).push("::").push(&parameter.sql_type);
}

/// Whether the function is called exactly once: an array of objects may be empty.
pub(super) fn has_one_row(plan: &CallPlan) -> bool {
    match (&plan.parameters, &plan.arguments) {
        (CallParameters::Positional(_), _) | (_, Arguments::Direct(_)) => true,
        (CallParameters::Named(parameters), Arguments::Body(body)) => {
            parameters.is_empty() || body.as_ref().is_some_and(|json| starts_object(json))
        }
    }
}

fn starts_object(json: &[u8]) -> bool {
    json.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}
