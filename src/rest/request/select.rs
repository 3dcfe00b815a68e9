//! `select=`: columns, aliases, casts, aggregates, embeds, spreads.

use std::borrow::Cow;

use super::field::{field, identifier, name, owned_name};
use super::filter::Field;
use super::parser::{Failed, Parsed, Parser};

/// One item of `select`, with the items inside its parentheses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectNode {
    /// The item.
    pub item: SelectItem,
    /// What an embed selects; empty for fields.
    pub children: Vec<SelectNode>,
}

/// One item of `select`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SelectItem {
    /// `alias:field::cast.aggregate()::cast`
    Field {
        /// The column or path; `*` is a column of that name here.
        field: Field,
        /// The aggregate.
        aggregate: Option<Aggregate>,
        /// The cast behind the aggregate.
        aggregate_cast: Option<String>,
        /// The cast of the field itself.
        cast: Option<String>,
        /// The name in the answer.
        alias: Option<String>,
    },
    /// `alias:relation!hint!inner(…)`
    Relation {
        /// The relation, or what else names the relationship.
        relation: String,
        /// The name in the answer.
        alias: Option<String>,
        /// Constraint, column or junction that settles which relationship is meant.
        hint: Option<String>,
        /// `!inner` or `!left`.
        join: Option<JoinType>,
    },
    /// `...relation!hint!inner(…)`
    Spread {
        /// The relation, or what else names the relationship.
        relation: String,
        /// Constraint, column or junction that settles which relationship is meant.
        hint: Option<String>,
        /// `!inner` or `!left`.
        join: Option<JoinType>,
    },
}

/// Aggregate functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregate {
    /// `sum()`
    Sum,
    /// `avg()`
    Avg,
    /// `max()`
    Max,
    /// `min()`
    Min,
    /// `count()`
    Count,
}

impl Aggregate {
    /// Its name, in lower case, in requests and in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Max => "max",
            Self::Min => "min",
            Self::Count => "count",
        }
    }
}

/// Whether rows without an embedded row stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinType {
    /// They go.
    Inner,
    /// They stay.
    Left,
}

/// The items of `select`, or those within an embed's parentheses.
pub(super) fn forest(p: &mut Parser<'_>) -> Parsed<Vec<SelectNode>> {
    let items = p.optional(|p| p.separated(node, |p| p.lexeme(|p| p.char(','))))?;
    Ok(items.unwrap_or_default())
}

fn node(p: &mut Parser<'_>) -> Parsed<SelectNode> {
    p.either(
        |p| {
            let item = p.attempt(|p| p.lexeme(spread))?;
            with_children(p, item)
        },
        |p| {
            p.either(
                |p| {
                    let item = p.attempt(|p| p.lexeme(relation))?;
                    with_children(p, item)
                },
                |p| {
                    Ok(SelectNode {
                        item: p.lexeme(column)?,
                        children: Vec::new(),
                    })
                },
            )
        },
    )
}

fn with_children(p: &mut Parser<'_>, item: SelectItem) -> Parsed<SelectNode> {
    p.char('(')?;
    let children = p.nested(forest)?;
    p.char(')')?;
    Ok(SelectNode { item, children })
}

fn relation(p: &mut Parser<'_>) -> Parsed<SelectItem> {
    let alias = alias(p)?;
    let relation = name(p)?;
    if relation == "count" {
        return Err(Failed); // `count()` is the aggregate
    }
    let (hint, join) = embed_parameters(p)?;
    next_is(p, "(")?;
    Ok(SelectItem::Relation {
        relation: relation.into_owned(),
        alias: alias.map(Cow::into_owned),
        hint,
        join,
    })
}

fn spread(p: &mut Parser<'_>) -> Parsed<SelectItem> {
    p.word("...")?;
    let relation = name(p)?;
    let (hint, join) = embed_parameters(p)?;
    next_is(p, "(")?;
    Ok(SelectItem::Spread {
        relation: relation.into_owned(),
        hint,
        join,
    })
}

/// `alias:`, if it is there. The colons of a cast are none.
fn alias<'a>(p: &mut Parser<'a>) -> Parsed<Option<Cow<'a, str>>> {
    p.optional(|p| {
        p.attempt(|p| {
            let alias = name(p)?;
            p.char(':')?;
            p.not_followed_by(Some(':'), |c| c == ':')?;
            Ok(alias)
        })
    })
}

fn next_is(p: &mut Parser<'_>, word: &'static str) -> Parsed<()> {
    p.attempt(|p| p.look_ahead(|p| p.word(word)))
}

/// What stands behind a `!`.
enum EmbedParameter {
    Hint(String),
    Join(JoinType),
}

/// At most two of them, in either order. Of two of a kind the first counts.
fn embed_parameters(p: &mut Parser<'_>) -> Parsed<(Option<String>, Option<JoinType>)> {
    let mut hint = None;
    let mut join = None;
    for _ in 0..2 {
        match p.optional(embed_parameter)? {
            Some(EmbedParameter::Hint(given)) => hint = hint.or(Some(given)),
            Some(EmbedParameter::Join(given)) => join = join.or(Some(given)),
            None => {}
        }
    }
    Ok((hint, join))
}

fn embed_parameter(p: &mut Parser<'_>) -> Parsed<EmbedParameter> {
    p.char('!')?;
    p.either(
        |p| {
            p.one_of_words(&[("left", JoinType::Left), ("inner", JoinType::Inner)])
                .map(EmbedParameter::Join)
        },
        |p| p.attempt(owned_name).map(EmbedParameter::Hint),
    )
}

fn column(p: &mut Parser<'_>) -> Parsed<SelectItem> {
    p.either(
        |p| p.attempt(star),
        |p| p.either(|p| p.attempt(count), plain_column),
    )
}

fn star(p: &mut Parser<'_>) -> Parsed<SelectItem> {
    p.word("*")?;
    item_end(p)?;
    Ok(SelectItem::Field {
        field: every_column(),
        aggregate: None,
        aggregate_cast: None,
        cast: None,
        alias: None,
    })
}

/// `count()`: of rows rather than of a column.
fn count(p: &mut Parser<'_>) -> Parsed<SelectItem> {
    let alias = alias(p)?;
    p.word("count()")?;
    let aggregate_cast = cast(p)?;
    item_end(p)?;
    Ok(SelectItem::Field {
        field: every_column(),
        aggregate: Some(Aggregate::Count),
        aggregate_cast,
        cast: None,
        alias: alias.map(Cow::into_owned),
    })
}

fn plain_column(p: &mut Parser<'_>) -> Parsed<SelectItem> {
    let alias = alias(p)?;
    let field = field(p)?;
    let own_cast = cast(p)?;
    let aggregate = p.optional(|p| {
        p.attempt(|p| {
            p.char('.')?;
            let aggregate = aggregate(p)?;
            p.word("()")?;
            Ok(aggregate)
        })
    })?;
    let aggregate_cast = cast(p)?;
    item_end(p)?;
    Ok(SelectItem::Field {
        field,
        aggregate,
        aggregate_cast,
        cast: own_cast,
        alias: alias.map(Cow::into_owned),
    })
}

fn every_column() -> Field {
    Field {
        name: "*".to_owned(),
        path: Vec::new(),
    }
}

/// `::type`. A type's name has letters, digits, blanks, `_` and `$` only.
fn cast(p: &mut Parser<'_>) -> Parsed<Option<String>> {
    p.optional(|p| {
        p.word("::")?;
        Ok(identifier(p)?.to_owned())
    })
}

fn aggregate(p: &mut Parser<'_>) -> Parsed<Aggregate> {
    p.either(
        |p| p.word("sum").map(|()| Aggregate::Sum),
        |p| {
            p.either(
                |p| p.word("avg").map(|()| Aggregate::Avg),
                |p| {
                    p.either(
                        |p| p.word("count").map(|()| Aggregate::Count),
                        // Both begin alike, so the first must be able to turn back.
                        |p| p.one_of_words(&[("max", Aggregate::Max), ("min", Aggregate::Min)]),
                    )
                },
            )
        },
    )
}

/// Behind an item: `)`, `,` or the end.
fn item_end(p: &mut Parser<'_>) -> Parsed<()> {
    p.either(
        |p| next_is(p, ")"),
        |p| p.either(|p| next_is(p, ","), |p| p.attempt(Parser::end)),
    )
}

#[cfg(test)]
mod tests;
