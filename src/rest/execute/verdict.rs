//! Whether a transaction that worked may stand: rules on the number of rows, as requests ask for them.

use super::{Answer, Outcome, Transaction, failure};
use crate::pg::wire::{Refusal, WireError};
use crate::rest::error::{RequestError, RestError};
use crate::rest::plan::Plan;
use crate::rest::request::{Action, MediaType, Mutation, Request};

/// What the number of rows has to fulfil.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// One object was asked for: exactly one row.
    singular: bool,
    /// PUT: its row must be the one that the filters name, so exactly one row.
    put: bool,
    /// `max-affected`, where it counts: under strict handling.
    max_affected: Option<i64>,
}

impl Verdict {
    /// The rules for a plan. A request for the statement's plan has no rows, so there are none for it.
    pub(super) fn of(plan: &Plan, request: &Request) -> Self {
        let (Plan::Read { output, .. } | Plan::Mutate { output, .. } | Plan::Call { output, .. }) = plan
        else {
            return Self::default();
        };
        let preferences = &request.preferences;
        let singular = matches!(output.media_type, MediaType::Object { .. });
        let max_affected = preferences.max_affected.filter(|_| preferences.is_strict());
        let none = Self::default();
        match (plan, &request.action) {
            _ if matches!(output.media_type, MediaType::Plan { .. }) => none,
            (Plan::Call { .. }, _) => Self {
                singular,
                max_affected,
                ..none
            },
            (Plan::Mutate { .. }, Action::Mutate { mutation, .. }) => match mutation {
                Mutation::SingleUpsert => Self { put: true, ..none },
                Mutation::Insert => Self { singular, ..none },
                Mutation::Update | Mutation::Delete => Self {
                    singular,
                    max_affected,
                    ..none
                },
            },
            _ => Self { singular, ..none },
        }
    }

    /// Whether there is anything to fulfil, so that a write cannot be committed before its rows are counted.
    pub(super) fn is_open(&self) -> bool {
        *self != Self::default()
    }

    /// Judges a number of rows.
    pub(super) fn check(&self, rows: i64) -> Result<(), RequestError> {
        if self.put && rows != 1 {
            return Err(RequestError::PutMatchingPk);
        }
        if self.singular && rows != 1 {
            return Err(RequestError::NotSingular(rows));
        }
        match self.max_affected {
            Some(max) if rows > max => Err(RequestError::MaxAffected(rows)),
            _ => Ok(()),
        }
    }
}

/// Why a transaction must not stand.
#[derive(Debug, thiserror::Error)]
pub(super) enum Objection {
    /// The server refused a statement, or a constraint that was put off.
    #[error(transparent)]
    Database(Box<Refusal>),
    /// The answer cannot be read.
    #[error(transparent)]
    Unread(#[from] WireError),
    /// The number of rows.
    #[error(transparent)]
    Rule(#[from] RequestError),
}

impl Objection {
    /// The error as it is told. `authenticated` decides between 401 and 403 where a privilege is missing.
    pub(super) fn told(self, authenticated: bool) -> RestError {
        match self {
            Self::Database(refusal) => failure::of_refusal(&refusal, authenticated),
            Self::Unread(error) => failure::of_wire(&error, authenticated),
            Self::Rule(rule) => rule.into(),
        }
    }
}

/// Judges what a transaction came to; `unchecked` is what its deferred constraints refused.
pub(super) fn judge(
    transaction: &Transaction,
    outcome: &Outcome,
    unchecked: Option<Box<Refusal>>,
) -> Result<(), Objection> {
    let verdict = match outcome {
        Outcome::Rows(result) => transaction.verdict.check(result.page),
        Outcome::Plan(_) => Ok(()),
    };
    match unchecked {
        // A call's constraints are checked before its rows are counted, a write's after.
        Some(refusal) if transaction.answer == Answer::Call || verdict.is_ok() => {
            Err(Objection::Database(refusal))
        }
        _ => Ok(verdict?),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Exactly one row.
    pub(in super::super) fn singular() -> Verdict {
        Verdict {
            singular: true,
            ..Verdict::default()
        }
    }

    #[test]
    fn each_rule_judges_the_number_of_rows() {
        let singular = singular();
        let put = Verdict {
            put: true,
            ..Verdict::default()
        };
        let capped = Verdict {
            max_affected: Some(2),
            ..Verdict::default()
        };
        for (verdict, rows, expected) in [
            (&singular, 1, Ok(())),
            (&singular, 0, Err(RequestError::NotSingular(0))),
            (&singular, 2, Err(RequestError::NotSingular(2))),
            (&put, 1, Ok(())),
            (&put, 0, Err(RequestError::PutMatchingPk)),
            (&capped, 2, Ok(())),
            (&capped, 3, Err(RequestError::MaxAffected(3))),
            (&Verdict::default(), 1000, Ok(())),
        ] {
            assert_eq!(verdict.check(rows), expected, "{verdict:?} on {rows}");
        }
    }
}
