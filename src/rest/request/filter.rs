//! Filters and logic trees: `col=op.value`, `or=(…)`.

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
    /// An array's element, with its sign as written; PostgreSQL reads the number.
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
