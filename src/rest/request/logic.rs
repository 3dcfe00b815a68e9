//! Logic trees: `or=(a.eq.1,and(b.gt.2,c.is.null))`, `embed.not.and=(…)`.

use super::field::{delimiter, field, owned_name};
use super::filter::{Filter, LogicOperator, LogicTree, element, op_expr, unquoted};
use super::parser::{Parsed, Parser};
use super::query_params::EmbedPath;

/// `and(…)`, `not.or(…)` or a filter.
pub(super) fn tree(p: &mut Parser<'_>) -> Parsed<LogicTree> {
    p.either(
        |p| p.attempt(filter).map(LogicTree::Filter),
        |p| {
            let negated = p.label("negation operator (not)", |p| {
                p.optional(|p| {
                    p.attempt(|p| {
                        p.word("not")?;
                        delimiter(p)
                    })
                })
            })?;
            let operator = p.label("logic operator (and, or)", |p| {
                p.either(
                    |p| p.attempt(|p| p.word("and")).map(|()| LogicOperator::And),
                    |p| p.word("or").map(|()| LogicOperator::Or),
                )
            })?;
            p.lexeme(|p| p.char('('))?;
            let children = p.nested(|p| p.separated(tree, |p| p.lexeme(|p| p.char(','))))?;
            p.lexeme(|p| p.char(')'))?;
            Ok(LogicTree::Expr {
                negated: negated.is_some(),
                operator,
                children,
            })
        },
    )
}

fn filter(p: &mut Parser<'_>) -> Parsed<Filter> {
    let field = field(p)?;
    delimiter(p)?;
    Ok(Filter {
        field,
        expr: op_expr(p, value)?,
    })
}

/// A value that `,` and `)` end, unless they stand in quotes or in an array.
fn value(p: &mut Parser<'_>) -> Parsed<String> {
    p.either(element, |p| p.either(|p| p.attempt(array), |p| Ok(unquoted(p))))
}

/// `{1,2}`, as it stands.
fn array(p: &mut Parser<'_>) -> Parsed<String> {
    p.word("{")?;
    let elements = p.take_while(&[], |c| !matches!(c, '{' | '}'));
    p.word("}")?;
    Ok(format!("{{{elements}}}"))
}

/// The name of a parameter that holds a tree: the embeds that lead to it, and its operator as the tree's text has it.
pub(super) fn path(p: &mut Parser<'_>) -> Parsed<(EmbedPath, String)> {
    let mut path = p.separated(owned_name, delimiter)?;
    let operator = path.pop().unwrap_or_default();
    let before = path.len();
    let negated = {
        path.retain(|name| name != "not");
        path.len() < before || operator == "not"
    };
    Ok((
        path,
        if negated {
            format!("not.{operator}")
        } else {
            operator
        },
    ))
}

#[cfg(test)]
mod tests;
