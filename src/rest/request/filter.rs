//! Filters: `col=op.value`.

use super::field::{delimiter, identifier, quoted};
use super::parser::{Parsed, Parser};

/// A column or a path into one: `data->a->>b`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The column.
    pub name: String,
    /// Steps into it.
    pub path: Vec<JsonStep>,
}

/// One step of a JSON path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonStep {
    /// `->`: stays JSON.
    Arrow(JsonOperand),
    /// `->>`: becomes text.
    DoubleArrow(JsonOperand),
}

impl JsonStep {
    /// Where the step leads.
    pub fn operand(&self) -> &JsonOperand {
        match self {
            Self::Arrow(operand) | Self::DoubleArrow(operand) => operand,
        }
    }
}

/// Where a JSON step leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonOperand {
    /// An object's member.
    Key(String),
    /// An array's element: digits, perhaps with a `-` before them; PostgreSQL reads the number.
    Index(String),
}

/// A condition on a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// What is compared.
    pub field: Field,
    /// With what.
    pub expr: OpExpr,
}

/// An operation, possibly negated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpExpr {
    /// `not.` stood before it.
    pub negated: bool,
    /// The operation.
    pub operation: Operation,
}

impl OpExpr {
    /// Whether it holds for one value alone: `eq`, without `not`, `any` and `all`.
    pub fn is_equality(&self) -> bool {
        let is_equal = matches!(
            self.operation,
            Operation::Quantified(QuantifiedOperator::Equal, None, _)
        );
        is_equal && !self.negated
    }
}

/// An operator with its operand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// An operator that takes no `any`/`all`.
    Simple(SimpleOperator, String),
    /// An operator that may carry `(any)` or `(all)`.
    Quantified(QuantifiedOperator, Option<Quantifier>, String),
    /// `in.(…)`.
    In(Vec<String>),
    /// `is.…`.
    Is(IsValue),
    /// `isdistinct.…`.
    IsDistinctFrom(String),
    /// Full text search: operator, language, query.
    Fts(FtsOperator, Option<String>, String),
}

/// Operators that take no quantifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SimpleOperator {
    /// `neq`
    NotEqual,
    /// `cs`
    Contains,
    /// `cd`
    ContainedBy,
    /// `ov`
    Overlaps,
    /// `sl`
    StrictlyLeft,
    /// `sr`
    StrictlyRight,
    /// `nxr`
    NotExtendsRight,
    /// `nxl`
    NotExtendsLeft,
    /// `adj`
    Adjacent,
}

/// Operators that take `(any)` and `(all)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuantifiedOperator {
    /// `eq`
    Equal,
    /// `gte`
    GreaterThanEqual,
    /// `gt`
    GreaterThan,
    /// `lte`
    LessThanEqual,
    /// `lt`
    LessThan,
    /// `like`
    Like,
    /// `ilike`
    ILike,
    /// `match`
    Match,
    /// `imatch`
    IMatch,
}

/// `(any)` or `(all)` behind an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantifier {
    /// One element is enough.
    Any,
    /// Each element must match.
    All,
}

/// Operands of `is`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsValue {
    /// `null`
    Null,
    /// `not_null`
    NotNull,
    /// `true`
    True,
    /// `false`
    False,
    /// `unknown`
    Unknown,
}

/// Full text search operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FtsOperator {
    /// `fts`
    Query,
    /// `plfts`
    Plain,
    /// `phfts`
    Phrase,
    /// `wfts`
    Websearch,
}

/// Conditions joined by AND and OR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogicTree {
    /// Several, joined.
    Expr {
        /// `not.` stood before it.
        negated: bool,
        /// How they are joined.
        operator: LogicOperator,
        /// What is joined.
        children: Vec<LogicTree>,
    },
    /// One.
    Filter(Filter),
}

/// How conditions are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogicOperator {
    /// All must hold.
    And,
    /// One must hold.
    Or,
}

/// The value of a filter in a parameter of its own, or in a logic tree, where `,` and `)` end it.
pub(super) type Value = fn(&mut Parser<'_>) -> Parsed<String>;

/// `not.op.value`
pub(super) fn op_expr(p: &mut Parser<'_>, value: Value) -> Parsed<OpExpr> {
    let negated = p
        .optional(|p| {
            p.attempt(|p| {
                p.word("not")?;
                delimiter(p)
            })
        })?
        .is_some();
    Ok(OpExpr {
        negated,
        operation: operation(p, value)?,
    })
}

fn operation(p: &mut Parser<'_>, value: Value) -> Parsed<Operation> {
    p.label("operator (eq, gt, ...)", |p| {
        if p.optional(|p| prefix(p, "in"))?.is_some() {
            return list(p).map(Operation::In);
        }
        if p.optional(|p| prefix(p, "is"))?.is_some() {
            return is_value(p).map(Operation::Is);
        }
        if p.optional(|p| prefix(p, "isdistinct"))?.is_some() {
            return value(p).map(Operation::IsDistinctFrom);
        }
        p.either(
            |p| p.attempt(|p| full_text(p, value)),
            |p| {
                p.either(
                    |p| p.attempt(|p| simple(p, value)),
                    |p| p.attempt(|p| quantified(p, value)),
                )
            },
        )
    })
}

/// An operator with its dot, or nothing.
fn prefix(p: &mut Parser<'_>, operator: &'static str) -> Parsed<()> {
    p.attempt(|p| {
        p.word(operator)?;
        delimiter(p)
    })
}

fn simple(p: &mut Parser<'_>, value: Value) -> Parsed<Operation> {
    let operator = p.label("unknown single value operator", |p| {
        p.one_of_words(&[
            ("neq", SimpleOperator::NotEqual),
            ("cs", SimpleOperator::Contains),
            ("cd", SimpleOperator::ContainedBy),
            ("ov", SimpleOperator::Overlaps),
            ("sl", SimpleOperator::StrictlyLeft),
            ("sr", SimpleOperator::StrictlyRight),
            ("nxr", SimpleOperator::NotExtendsRight),
            ("nxl", SimpleOperator::NotExtendsLeft),
            ("adj", SimpleOperator::Adjacent),
        ])
    })?;
    delimiter(p)?;
    Ok(Operation::Simple(operator, value(p)?))
}

fn quantified(p: &mut Parser<'_>, value: Value) -> Parsed<Operation> {
    let operator = p.label("unknown single value operator", |p| {
        p.one_of_words(&[
            ("eq", QuantifiedOperator::Equal),
            ("gte", QuantifiedOperator::GreaterThanEqual),
            ("gt", QuantifiedOperator::GreaterThan),
            ("lte", QuantifiedOperator::LessThanEqual),
            ("lt", QuantifiedOperator::LessThan),
            ("like", QuantifiedOperator::Like),
            ("ilike", QuantifiedOperator::ILike),
            ("match", QuantifiedOperator::Match),
            ("imatch", QuantifiedOperator::IMatch),
        ])
    })?;
    let quantifier = p.optional(|p| p.attempt(|p| parenthesised(p, quantifier)))?;
    delimiter(p)?;
    Ok(Operation::Quantified(operator, quantifier, value(p)?))
}

fn quantifier(p: &mut Parser<'_>) -> Parsed<Quantifier> {
    p.either(
        |p| p.attempt(|p| p.word("any")).map(|()| Quantifier::Any),
        |p| p.word("all").map(|()| Quantifier::All),
    )
}

fn full_text(p: &mut Parser<'_>, value: Value) -> Parsed<Operation> {
    let operator = p.one_of_words(&[
        ("fts", FtsOperator::Query),
        ("plfts", FtsOperator::Plain),
        ("phfts", FtsOperator::Phrase),
        ("wfts", FtsOperator::Websearch),
    ])?;
    let language = p.optional(|p| p.attempt(|p| parenthesised(p, |p| identifier(p).map(str::to_owned))))?;
    delimiter(p)?;
    Ok(Operation::Fts(operator, language, value(p)?))
}

fn parenthesised<T>(p: &mut Parser<'_>, inner: impl FnOnce(&mut Parser<'_>) -> Parsed<T>) -> Parsed<T> {
    p.char('(')?;
    let value = inner(p)?;
    p.char(')')?;
    Ok(value)
}

/// In either case; what follows the word is not looked at.
fn is_value(p: &mut Parser<'_>) -> Parsed<IsValue> {
    p.label("isVal: (null, not_null, true, false, unknown)", |p| {
        for (word, value) in [
            ("null", IsValue::Null),
            ("not_null", IsValue::NotNull),
            ("true", IsValue::True),
            ("false", IsValue::False),
        ] {
            if let Some(value) = p.optional(|p| any_case(p, word, value))? {
                return Ok(value);
            }
        }
        any_case(p, "unknown", IsValue::Unknown)
    })
}

fn any_case(p: &mut Parser<'_>, word: &str, value: IsValue) -> Parsed<IsValue> {
    p.attempt(|p| {
        for c in word.chars() {
            p.either(|p| p.char(c), |p| p.char(c.to_ascii_uppercase()))?;
        }
        Ok(value)
    })
}

/// A value that takes the rest of its parameter.
#[expect(clippy::unnecessary_wraps, reason = "a grammar like the other kind of value")]
pub(super) fn single_value(p: &mut Parser<'_>) -> Parsed<String> {
    Ok(p.take_rest().to_owned())
}

/// `(1,"two, three",four)`
fn list(p: &mut Parser<'_>) -> Parsed<Vec<String>> {
    p.lexeme(|p| p.char('('))?;
    let list = p.separated(|p| p.either(element, |p| Ok(unquoted(p))), |p| p.char(','))?;
    p.lexeme(|p| p.char(')'))?;
    Ok(list)
}

/// A quoted element of a list. One with anything behind its closing quote is none.
pub(super) fn element(p: &mut Parser<'_>) -> Parsed<String> {
    p.attempt(|p| {
        let element = quoted(p)?;
        p.not_followed_by(None, |c| !matches!(c, ',' | ')'))?;
        Ok(element.into_owned())
    })
}

/// An element as it stands, up to `,` or `)`.
pub(super) fn unquoted(p: &mut Parser<'_>) -> String {
    p.take_while(&[], |c| !matches!(c, ',' | ')')).to_owned()
}

#[cfg(test)]
mod tests;
