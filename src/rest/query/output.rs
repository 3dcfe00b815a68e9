//! How rows become a body, inside the database.

use super::call::SCALAR;
use super::fragment::column;
use super::statement::Statement;
use crate::rest::plan::{Handler, SOURCE};
use crate::schema_cache::{QualifiedName, Routine};

/// The name of the rows that are written out.
pub(super) const ROWS: &str = "_pgrst_rows";

/// Appends the expression that writes all rows as the body.
pub(super) fn body(out: &mut Statement, handler: &Handler, routine: Option<&Routine>) {
    match handler {
        Handler::None => {
            out.push("''");
        }
        Handler::Json => json(out, routine, false),
        Handler::JsonStripped => json(out, routine, true),
        Handler::SingleJson { stripped } => {
            let element = if routine.is_some_and(Routine::returns_scalar) {
                SCALAR
            } else {
                ""
            };
            aggregate(out, element, *stripped, "->0", "null");
        }
        Handler::Csv => csv(out),
        Handler::GeoJson => {
            out.push(
                "json_build_object('type', 'FeatureCollection', 'features', coalesce(json_agg(st_asgeojson(",
            )
            .push(ROWS)
            .push(")::json), '[]'))");
        }
        Handler::Custom { function, target } => custom(out, function, target.as_ref(), routine),
    }
}

/// Appends the expression that writes the only value of a result that is no row.
pub(super) fn value(out: &mut Statement) {
    out.push("coalesce(to_json(")
        .push(ROWS)
        .push(".")
        .push(SCALAR)
        .push("), 'null')");
}

fn json(out: &mut Statement, routine: Option<&Routine>, stripped: bool) {
    match routine {
        Some(routine) if routine.returns_single_composite() => aggregate(out, "", stripped, "->0", "null"),
        Some(routine) if routine.returns_scalar() => aggregate(out, SCALAR, stripped, "->0", "null"),
        Some(routine) if routine.returns_set_of_scalar() => aggregate(out, SCALAR, stripped, "", "[]"),
        _ => aggregate(out, "", stripped, "", "[]"),
    }
}

/// `coalesce(json_agg(rows.element)then, 'empty')`
fn aggregate(out: &mut Statement, element: &str, stripped: bool, then: &str, empty: &str) {
    out.push("coalesce(");
    out.push(if stripped { "json_strip_nulls(" } else { "" });
    out.push("json_agg(").push(ROWS);
    if !element.is_empty() {
        out.push(".").push(element);
    }
    out.push(")").push(then);
    out.push(if stripped { ")" } else { "" });
    out.push(", '").push(empty).push("')");
}

/// A header line of the first row's columns, then a line for each row: a row's text form without its parentheses is
/// a line of CSV. The header comes from the source, since the rows are aggregated.
fn csv(out: &mut Statement) {
    out.push("(select coalesce(string_agg(k, ','), '') from (select json_object_keys(row_to_json(r)) as k from (select * from ")
        .push(SOURCE)
        .push(" limit 1) as r) as header) || E'\\n' || coalesce(string_agg(");
    csv_line(out);
    out.push(", E'\\n'), '')");
}

/// One row as a line of CSV.
pub(super) fn csv_line(out: &mut Statement) {
    out.push("substring(").push(ROWS).push("::text, 2, length(");
    out.push(ROWS).push("::text) - 2)");
}

fn custom(
    out: &mut Statement,
    function: &QualifiedName,
    target: Option<&QualifiedName>,
    routine: Option<&Routine>,
) {
    out.name(function).push("(");
    if routine.is_some_and(Routine::returns_scalar) {
        column(out, &QualifiedName::bare(ROWS), SCALAR);
    } else {
        out.push(ROWS);
        if let Some(target) = target {
            out.push("::").name(target);
        }
    }
    out.push(")");
}
