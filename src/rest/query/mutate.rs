//! Writes.

use super::body::{Body, ROWS};
use super::fragment::{column, logic, no_embeds, separated};
use super::statement::Statement;
use crate::rest::plan::{LogicPlan, MutatePlan, PlannedField};
use crate::rest::request::preferences::Resolution;
use crate::schema_cache::QualifiedName;

/// The setting that counts rows which a merge found and changed: what it did not find, it inserted.
pub(super) const UPDATED_SETTING: &str = "pgrst.updated";
/// The returned column that tells whether a merge inserted the row.
pub(super) const INSERTED: &str = "pgrst_inserted";

/// How it is told which rows a merge inserted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// By the row itself, whose `xmax` is 0: for an ordinary table's rows, of which not all columns are returned.
    ByRow,
    /// By [`UPDATED_SETTING`], which costs a call for each row that was found.
    BySetting,
}

/// How a merge tells which rows it inserted. None where nothing is merged.
pub(super) fn told(plan: &MutatePlan) -> Option<Told> {
    match plan {
        MutatePlan::Insert {
            on_conflict: Some((Resolution::MergeDuplicates, target)),
            columns,
            returning,
            has_xmax,
            ..
        } => {
            let merges = !target.is_empty() && !columns.is_empty();
            let whole = returning.iter().any(|column| column == "*");
            Some(if *has_xmax && merges && !whole {
                Told::ByRow
            } else {
                Told::BySetting
            })
        }
        _ => None,
    }
}

/// Appends the write itself, which returns what was written.
pub(super) fn statement(out: &mut Statement, plan: &MutatePlan) {
    match plan {
        MutatePlan::Insert {
            into,
            columns,
            body,
            body_is_object,
            on_conflict,
            put_filters,
            returning: returned,
            apply_defaults,
            ..
        } => {
            let rows = Body {
                json: body.as_ref(),
                is_object: *body_is_object,
                fields: columns,
                defaults: *apply_defaults,
            };
            insert(out, into, &rows, put_filters);
            let told = told(plan);
            if let Some((resolution, target)) = on_conflict {
                resolve_conflict(out, columns, *resolution, target, told);
            }
            returning(out, into, returned);
            if told == Some(Told::ByRow) {
                out.push(", ").name(into).push(".xmax = 0 as ").push(INSERTED);
            }
        }
        // `set` takes no empty list, and there is nothing to do; the columns are needed for their names.
        MutatePlan::Update {
            relation,
            columns,
            returning: returned,
            ..
        } if columns.is_empty() => {
            out.push("select ");
            let bare = QualifiedName::bare(&relation.name);
            if returned.is_empty() {
                out.push("null");
            }
            separated(out, ", ", returned, |out, name| column(out, &bare, name));
            out.push(" from ").name(relation).push(" where false");
        }
        MutatePlan::Update {
            relation,
            columns,
            body,
            body_is_object,
            filters,
            returning: returned,
            apply_defaults,
        } => {
            let rows = Body {
                json: body.as_ref(),
                is_object: *body_is_object,
                fields: columns,
                defaults: *apply_defaults,
            };
            out.push("update ").name(relation).push(" set ");
            separated(out, ", ", columns, |out, field| {
                out.ident(&field.name).push(" = ");
                column(out, &QualifiedName::bare(ROWS), &field.name);
            });
            out.push(" from ");
            rows.write_from(out, false);
            conditions(out, relation, filters);
            returning(out, relation, returned);
        }
        MutatePlan::Delete {
            relation,
            filters,
            returning: returned,
        } => {
            out.push("delete from ").name(relation);
            conditions(out, relation, filters);
            returning(out, relation, returned);
        }
    }
}

fn insert(out: &mut Statement, into: &QualifiedName, rows: &Body<'_>, put_filters: &[LogicPlan]) {
    out.push("insert into ").name(into);
    if !rows.fields.is_empty() {
        out.push(" (");
        separated(out, ", ", rows.fields, |out, field| {
            out.ident(&field.name);
        });
        out.push(")");
    }
    out.push(" select ");
    let from = QualifiedName::bare(ROWS);
    separated(out, ", ", rows.fields, |out, field| {
        column(out, &from, &field.name);
    });
    out.push(" from ");
    rows.write_from(out, false);
    // PUT: a body that is not the row that the URL names inserts nothing.
    conditions(out, &from, put_filters);
}

fn resolve_conflict(
    out: &mut Statement,
    columns: &[PlannedField],
    resolution: Resolution,
    target: &[String],
    told: Option<Told>,
) {
    if target.is_empty() {
        return;
    }
    out.push(" on conflict (");
    separated(out, ", ", target, |out, name| {
        out.ident(name);
    });
    out.push(")");
    if resolution == Resolution::IgnoreDuplicates || columns.is_empty() {
        out.push(" do nothing");
        return;
    }
    out.push(" do update set ");
    separated(out, ", ", columns, |out, field| {
        out.ident(&field.name).push(" = excluded.").ident(&field.name);
    });
    if told == Some(Told::ByRow) {
        return;
    }
    // Always true; evaluated once for each row that was found.
    out.push(" where set_config('").push(UPDATED_SETTING);
    out.push("', (coalesce(nullif(current_setting('")
        .push(UPDATED_SETTING);
    out.push("', true), ''), '0')::int8 + 1)::text, true) is not null");
}

fn conditions(out: &mut Statement, relation: &QualifiedName, filters: &[LogicPlan]) {
    if filters.is_empty() {
        return;
    }
    out.push(" where ");
    separated(out, " and ", filters, |out, tree| {
        logic(out, relation, tree, &no_embeds);
    });
}

fn returning(out: &mut Statement, relation: &QualifiedName, columns: &[String]) {
    out.push(" returning ");
    if columns.is_empty() {
        out.push("1");
    }
    separated(out, ", ", columns, |out, name| column(out, relation, name));
}
