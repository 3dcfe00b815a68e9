//! The small parts of statements: columns, conditions, orders, select items.

use super::statement::{Statement, Value};
use super::type_name::write_type;
use crate::rest::plan::{LogicPlan, OrderPlan, PlannedField, PlannedFilter, SelectField};
use crate::rest::request::{
    Aggregate, Direction, FtsOperator, IsValue, JsonOperand, JsonStep, LogicOperator, Nulls, Operation,
    QuantifiedOperator, Quantifier, SimpleOperator,
};
use crate::schema_cache::QualifiedName;

/// Appends items with a separator between them.
pub(super) fn separated<T>(
    out: &mut Statement,
    separator: &str,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Statement, T),
) {
    for (n, item) in items.into_iter().enumerate() {
        if n > 0 {
            out.push(separator);
        }
        write(out, item);
    }
}

/// Appends `relation.column`, or `relation.*`.
pub(super) fn column(out: &mut Statement, relation: &QualifiedName, column: &str) {
    out.name(relation).push(".");
    if column == "*" {
        out.push("*");
    } else {
        out.ident(column);
    }
}

/// Appends a column with its path and what full text search makes of it.
pub(super) fn field(out: &mut Statement, relation: &QualifiedName, field: &PlannedField) {
    match &field.to_tsvector {
        Some(conversion) => {
            out.push("to_tsvector(");
            fts_language(out, conversion.language.as_deref());
            bare_field(out, relation, field);
            out.push(")");
        }
        None => bare_field(out, relation, field),
    }
}

fn bare_field(out: &mut Statement, relation: &QualifiedName, field: &PlannedField) {
    if field.full_row {
        out.ident(&relation.name);
    } else if field.path.is_empty() {
        column(out, relation, &field.name);
    } else if field.to_json {
        out.push("to_jsonb(");
        column(out, relation, &field.name);
        out.push(")");
        json_path(out, &field.path);
    } else {
        column(out, relation, &field.name);
        json_path(out, &field.path);
    }
}

fn json_path(out: &mut Statement, path: &[JsonStep]) {
    for step in path {
        out.push(match step {
            JsonStep::Arrow(_) => "->",
            JsonStep::DoubleArrow(_) => "->>",
        });
        match step.operand() {
            // Left without a type, which the operator settles: `->` on text is then told as PostgREST tells it.
            JsonOperand::Key(key) => out.bind_text(key),
            JsonOperand::Index(index) => out.bind_text(index).push("::int"),
        };
    }
}

fn fts_language(out: &mut Statement, language: Option<&str>) {
    if let Some(language) = language {
        out.bind_text(language).push("::regconfig, ");
    }
}

/// Appends an item of a select list.
pub(super) fn select_item(out: &mut Statement, relation: &QualifiedName, item: &SelectField) {
    with_aggregate(out, item.aggregate, item.aggregate_cast.as_deref(), |out| {
        with_cast(out, item.cast.as_deref(), |out| match &item.field.transform {
            Some(function) => {
                out.push(function).push("(");
                field(out, relation, &item.field);
                out.push(")");
            }
            None => field(out, relation, &item.field),
        });
    });
    alias(out, item.alias.as_deref());
}

/// Appends `aggregate(inner)`, cast if a cast is given.
pub(super) fn with_aggregate(
    out: &mut Statement,
    aggregate: Option<Aggregate>,
    cast: Option<&str>,
    inner: impl FnOnce(&mut Statement),
) {
    match aggregate {
        None => inner(out),
        Some(aggregate) => with_cast(out, cast, |out| {
            out.push(aggregate.name()).push("(");
            inner(out);
            out.push(")");
        }),
    }
}

fn with_cast(out: &mut Statement, cast: Option<&str>, inner: impl FnOnce(&mut Statement)) {
    match cast {
        None => inner(out),
        Some(cast) => {
            out.push("cast(");
            inner(out);
            out.push(" as ");
            write_type(&mut out.sql, cast);
            out.push(")");
        }
    }
}

/// Appends ` as "alias"`.
pub(super) fn alias(out: &mut Statement, alias: Option<&str>) {
    if let Some(alias) = alias {
        out.push(" as ").ident(alias);
    }
}

/// Appends ` order by …`, or nothing.
pub(super) fn order_by(out: &mut Statement, relation: &QualifiedName, order: &[OrderPlan]) {
    if order.is_empty() {
        return;
    }
    out.push(" order by ");
    separated(out, ", ", order, |out, term| {
        let (direction, nulls) = match term {
            OrderPlan::Field {
                field: by,
                direction,
                nulls,
            } => {
                field(out, relation, by);
                (direction, nulls)
            }
            OrderPlan::Relation {
                aggregate_alias,
                field: by,
                direction,
                nulls,
            } => {
                let planned = PlannedField {
                    name: by.name.clone(),
                    path: by.path.clone(),
                    ..PlannedField::default()
                };
                field(out, &QualifiedName::bare(aggregate_alias), &planned);
                (direction, nulls)
            }
        };
        out.push(match direction {
            None => "",
            Some(Direction::Asc) => " asc",
            Some(Direction::Desc) => " desc",
        });
        out.push(match nulls {
            None => "",
            Some(Nulls::First) => " nulls first",
            Some(Nulls::Last) => " nulls last",
        });
    });
}

/// Appends a tree of conditions; what a null test of an embed looks like is the caller's to say.
pub(super) fn logic(
    out: &mut Statement,
    relation: &QualifiedName,
    tree: &LogicPlan,
    null_embed: &dyn Fn(&mut Statement, bool, &str),
) {
    match tree {
        LogicPlan::Expr {
            negated,
            operator,
            children,
        } => {
            out.push(if *negated { "not (" } else { "(" });
            let separator = match operator {
                LogicOperator::And => " and ",
                LogicOperator::Or => " or ",
            };
            separated(out, separator, children, |out, child| {
                logic(out, relation, child, null_embed);
            });
            out.push(")");
        }
        LogicPlan::Filter(condition) => filter(out, relation, condition),
        LogicPlan::NullEmbed {
            negated,
            aggregate_alias,
        } => null_embed(out, *negated, aggregate_alias),
    }
}

/// For statements that embed nothing, so that no null test of an embed can stand in them.
pub(super) fn no_embeds(out: &mut Statement, _negated: bool, _aggregate_alias: &str) {
    out.push("true");
}

/// Appends a condition on a column.
fn filter(out: &mut Statement, relation: &QualifiedName, filter: &PlannedFilter) {
    if filter.expr.negated {
        out.push("not ");
    }
    let on = &filter.field;
    match &filter.expr.operation {
        Operation::Simple(operator, value) => {
            field(out, relation, on);
            out.push(simple_operator(*operator));
            parsed(out, on, value);
        }
        Operation::Quantified(operator, quantifier, value) => {
            field(out, relation, on);
            out.push(quantified_operator(*operator));
            out.push(match quantifier {
                None => "",
                Some(Quantifier::Any) => "any(",
                Some(Quantifier::All) => "all(",
            });
            match operator {
                // An asterisk needs no escaping in URLs; a percent sign does.
                QuantifiedOperator::Like | QuantifiedOperator::ILike => {
                    out.bind_text(value.replace('*', "%"));
                }
                _ => parsed(out, on, value),
            }
            out.push(if quantifier.is_some() { ")" } else { "" });
        }
        // Not IN: its list would make a text of its own for each length, and it cannot be empty.
        Operation::In(values) => {
            field(out, relation, on);
            if values.len() == 1 && values[0].is_empty() {
                out.push(" = any('{}')");
            } else {
                out.push(" = any(");
                parsed_array(out, on, values);
                out.push(")");
            }
        }
        Operation::Is(value) => {
            field(out, relation, on);
            out.push(match value {
                IsValue::Null => " is null",
                IsValue::NotNull => " is not null",
                IsValue::True => " is true",
                IsValue::False => " is false",
                IsValue::Unknown => " is unknown",
            });
        }
        Operation::IsDistinctFrom(value) => {
            field(out, relation, on);
            out.push(" is distinct from ").bind_text(value);
        }
        Operation::Fts(operator, language, query) => {
            field(out, relation, on);
            out.push(match operator {
                FtsOperator::Query => " @@ to_tsquery(",
                FtsOperator::Plain => " @@ plainto_tsquery(",
                FtsOperator::Phrase => " @@ phraseto_tsquery(",
                FtsOperator::Websearch => " @@ websearch_to_tsquery(",
            });
            fts_language(out, language.as_deref());
            out.bind_text(query).push(")");
        }
    }
}

/// Appends a value, read by the database's own cast if the column has one.
fn parsed(out: &mut Statement, on: &PlannedField, value: &str) {
    match &on.transform {
        Some(function) => out.push(function).push("(").bind_text(value).push(")"),
        None => out.bind_text(value),
    };
}

/// Appends several values as one array, each read by the database's own cast if the column has one.
fn parsed_array(out: &mut Statement, on: &PlannedField, values: &[String]) {
    let literal = array_literal(values);
    match &on.transform {
        Some(function) => out
            .push("(select ")
            .push(function)
            .push("(unnest(")
            .bind_text(literal)
            .push("::text[])))"),
        None => out.bind_text(literal),
    };
}

/// An array in PostgreSQL's input syntax, each element in quotes.
/// <https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO>
pub(super) fn array_literal(values: &[String]) -> String {
    let mut literal = String::with_capacity(values.iter().map(|v| v.len() + 3).sum::<usize>() + 2);
    literal.push('{');
    for (n, value) in values.iter().enumerate() {
        if n > 0 {
            literal.push(',');
        }
        literal.push('"');
        for c in value.chars() {
            if matches!(c, '"' | '\\') {
                literal.push('\\');
            }
            literal.push(c);
        }
        literal.push('"');
    }
    literal.push('}');
    literal
}

fn simple_operator(operator: SimpleOperator) -> &'static str {
    match operator {
        SimpleOperator::NotEqual => " <> ",
        SimpleOperator::Contains => " @> ",
        SimpleOperator::ContainedBy => " <@ ",
        SimpleOperator::Overlaps => " && ",
        SimpleOperator::StrictlyLeft => " << ",
        SimpleOperator::StrictlyRight => " >> ",
        SimpleOperator::NotExtendsRight => " &< ",
        SimpleOperator::NotExtendsLeft => " &> ",
        SimpleOperator::Adjacent => " -|- ",
    }
}

fn quantified_operator(operator: QuantifiedOperator) -> &'static str {
    match operator {
        QuantifiedOperator::Equal => " = ",
        QuantifiedOperator::GreaterThanEqual => " >= ",
        QuantifiedOperator::GreaterThan => " > ",
        QuantifiedOperator::LessThanEqual => " <= ",
        QuantifiedOperator::LessThan => " < ",
        QuantifiedOperator::Like => " like ",
        QuantifiedOperator::ILike => " ilike ",
        QuantifiedOperator::Match => " ~ ",
        QuantifiedOperator::IMatch => " ~* ",
    }
}

/// Binds what a catalog text cannot be: a name that stands for itself in a result.
pub(super) fn bind_name(out: &mut Statement, name: &str) {
    out.bind(Value::Text(name.to_owned())).push("::text");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_literal_quotes_every_element() {
        let values = ["a,b", r#"say "hi""#, r"back\slash", ""].map(str::to_owned);
        assert_eq!(array_literal(&values), r#"{"a,b","say \"hi\"","back\\slash",""}"#);
    }
}
