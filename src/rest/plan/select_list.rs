//! Select lists: what `*` stands for, and under which names fields are shown.

use super::read::{PlannedField, SelectField};
use super::resolve::Columns;
use super::sketch::Sketch;
use crate::rest::request::{Aggregate, Field, JsonOperand, JsonStep, SelectItem};

/// A field of a select list.
pub(super) struct FieldItem<'a> {
    pub(super) field: &'a Field,
    pub(super) aggregate: Option<Aggregate>,
    aggregate_cast: Option<&'a String>,
    cast: Option<&'a String>,
    alias: Option<&'a String>,
}

impl FieldItem<'_> {
    /// Whether it is `*`, with or without an aggregate.
    pub(super) fn is_star(&self) -> bool {
        self.field.name == "*" && self.field.path.is_empty()
    }
}

/// The fields of a select list, without its embeds.
pub(super) fn fields<'a>(sketch: &Sketch<'a>) -> impl Iterator<Item = FieldItem<'a>> {
    sketch.select.iter().filter_map(|node| match &node.item {
        SelectItem::Field {
            field,
            aggregate,
            aggregate_cast,
            cast,
            alias,
        } => Some(FieldItem {
            field,
            aggregate: *aggregate,
            aggregate_cast: aggregate_cast.as_ref(),
            cast: cast.as_ref(),
            alias: alias.as_ref(),
        }),
        SelectItem::Relation { .. } | SelectItem::Spread { .. } => None,
    })
}

/// The select list of a node. With `expand`, `*` becomes the columns that it stands for.
pub(super) fn select_list(
    sketch: &Sketch<'_>,
    columns: &Columns<'_>,
    is_spread: bool,
    expand: bool,
) -> Vec<SelectField> {
    let mut list = Vec::with_capacity(sketch.select.len());
    for item in fields(sketch) {
        let select = |field: PlannedField, alias: Option<String>| SelectField {
            field,
            aggregate: item.aggregate,
            aggregate_cast: item.aggregate_cast.cloned(),
            cast: item.cast.cloned(),
            alias,
        };
        if item.is_star() && expand && item.aggregate.is_none() {
            list.extend(columns.all().iter().map(|column| {
                let field = columns.starred(column);
                let alias = field.transform.is_some().then(|| column.name.clone());
                select(field, alias)
            }));
            continue;
        }
        let mut field = columns.selected(item.field);
        // Lifted to a parent, `count(*)` would count the parent's rows.
        field.full_row = item.is_star() && expand && is_spread && item.aggregate == Some(Aggregate::Count);
        let alias = match (item.alias, item.aggregate) {
            (Some(alias), _) => Some(alias.clone()),
            // The parent has to know by which name to lift it.
            (None, Some(aggregate)) => is_spread.then(|| aggregate.name().to_owned()),
            (None, None) => path_alias(item.field)
                .or_else(|| field.transform.is_some().then_some(&item.field.name))
                .cloned(),
        };
        list.push(select(field, alias));
    }
    list
}

/// What a JSON path is shown as: its last key, or the column if it has none.
fn path_alias(field: &Field) -> Option<&String> {
    if field.path.is_empty() {
        return None;
    }
    let last = field
        .path
        .iter()
        .rev()
        .map(JsonStep::operand)
        .find_map(|operand| match operand {
            JsonOperand::Key(key) => Some(key),
            JsonOperand::Index(_) => None,
        });
    Some(last.unwrap_or(&field.name))
}
