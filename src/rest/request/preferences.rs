//! `Prefer` (RFC 7240).

/// The preferences of a request. None means not given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preferences {
    /// `resolution=`
    pub resolution: Option<Resolution>,
    /// `return=`
    pub representation: Option<Representation>,
    /// `count=`
    pub count: Option<Count>,
    /// `tx=`; only where the settings allow the request to choose.
    pub transaction: Option<TransactionEnd>,
    /// `missing=`
    pub missing: Option<Missing>,
    /// `handling=`
    pub handling: Option<Handling>,
    /// `timezone=`
    pub timezone: Option<String>,
    /// `max-affected=`
    pub max_affected: Option<i64>,
    /// What is no preference of ours, as sent.
    pub invalid: Vec<String>,
}

impl Preferences {
    /// Whether `handling=strict` was asked for.
    pub fn is_strict(&self) -> bool {
        self.handling == Some(Handling::Strict)
    }
}

/// What an insert does with a row that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// `merge-duplicates`
    MergeDuplicates,
    /// `ignore-duplicates`
    IgnoreDuplicates,
}

/// What a write answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Representation {
    /// `representation`: the rows.
    Full,
    /// `headers-only`: `Location`.
    HeadersOnly,
    /// `minimal`: nothing.
    Minimal,
}

/// How rows are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// `exact`
    Exact,
    /// `planned`: the planner's estimate.
    Planned,
    /// `estimated`: exact up to max-rows, the planner's estimate beyond.
    Estimated,
}

/// How the transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionEnd {
    /// `commit`
    Commit,
    /// `rollback`
    Rollback,
}

/// What columns get that a payload does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// `default`
    ApplyDefaults,
    /// `null`
    ApplyNulls,
}

/// What invalid preferences lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    /// `strict`: an error.
    Strict,
    /// `lenient`: nothing.
    Lenient,
}
