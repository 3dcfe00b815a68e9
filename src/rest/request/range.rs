//! Ranges of rows: `limit`, `offset`, `Range: 0-9`.

/// Rows from `offset` on, `limit` of them at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Range {
    /// Rows passed over.
    pub offset: i64,
    /// Rows at most; None is all.
    pub limit: Option<i64>,
}

impl Range {
    /// Every row.
    pub const ALL: Self = Self {
        offset: 0,
        limit: None,
    };

    /// Caps the number of rows.
    #[must_use]
    pub fn restricted(self, max_rows: Option<i64>) -> Self {
        let limit = match (self.limit, max_rows) {
            (Some(limit), Some(max)) => Some(limit.min(max)),
            (limit, max) => limit.or(max),
        };
        Self { limit, ..self }
    }
}
