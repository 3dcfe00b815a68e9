//! `order=`.

use super::field::{delimiter, field, name};
use super::filter::Field;
use super::parser::{Failed, Parsed, Parser};

/// One term of `order`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderTerm {
    /// By a field: `col.desc.nullslast`.
    Field {
        /// The field.
        field: Field,
        /// `asc` or `desc`.
        direction: Option<Direction>,
        /// `nullsfirst` or `nullslast`.
        nulls: Option<Nulls>,
    },
    /// By a field of a to-one embed: `rel(col).desc`.
    Relation {
        /// The embed, by its alias or name.
        relation: String,
        /// The field in it.
        field: Field,
        /// `asc` or `desc`.
        direction: Option<Direction>,
        /// `nullsfirst` or `nullslast`.
        nulls: Option<Nulls>,
    },
}

/// Ascending or descending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// `asc`
    Asc,
    /// `desc`
    Desc,
}

/// Where nulls stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nulls {
    /// `nullsfirst`
    First,
    /// `nullslast`
    Last,
}

/// The terms of `order`.
pub(super) fn terms(p: &mut Parser<'_>) -> Parsed<Vec<OrderTerm>> {
    p.separated(
        |p| p.lexeme(|p| p.either(|p| p.attempt(relation_term), field_term)),
        |p| p.char(','),
    )
}

fn field_term(p: &mut Parser<'_>) -> Parsed<OrderTerm> {
    let field = field(p)?;
    let (direction, nulls) = modifiers(p)?;
    Ok(OrderTerm::Field {
        field,
        direction,
        nulls,
    })
}

fn relation_term(p: &mut Parser<'_>) -> Parsed<OrderTerm> {
    let relation = name(p)?;
    p.char('(')?;
    let field = field(p)?;
    p.char(')')?;
    let (direction, nulls) = modifiers(p)?;
    Ok(OrderTerm::Relation {
        relation: relation.into_owned(),
        field,
        direction,
        nulls,
    })
}

fn modifiers(p: &mut Parser<'_>) -> Parsed<(Option<Direction>, Option<Nulls>)> {
    let direction = p.optional(|p| modifier(p, &[("asc", Direction::Asc), ("desc", Direction::Desc)]))?;
    let nulls = p.either(
        |p| {
            let nulls =
                p.optional(|p| modifier(p, &[("nullsfirst", Nulls::First), ("nullslast", Nulls::Last)]))?;
            term_end(p)?;
            Ok(nulls)
        },
        |p| {
            term_end(p)?;
            Ok(None)
        },
    )?;
    Ok((direction, nulls))
}

/// The first of these words that stands behind a dot.
fn modifier<T: Copy>(p: &mut Parser<'_>, words: &[(&'static str, T)]) -> Parsed<T> {
    for (word, value) in words {
        let found = p.attempt(|p| {
            delimiter(p)?;
            p.word(word)
        });
        if found.is_ok() {
            return Ok(*value);
        }
    }
    Err(Failed)
}

/// Behind a term: `,` or the end.
fn term_end(p: &mut Parser<'_>) -> Parsed<()> {
    p.either(
        |p| p.attempt(|p| p.look_ahead(|p| p.char(',').map(drop))),
        |p| p.attempt(Parser::end),
    )
}

#[cfg(test)]
mod tests;
