//! Statements in one transaction -> result set.
//!
//! Everything that does not depend on an answer goes out at once: the session's settings, the pre-request, and the main
//! statement, in one round trip. The server takes what stands before one Sync for one transaction, and passes over what
//! follows an error, so BEGIN and COMMIT are sent only where they say more than that: another isolation, a rollback, an
//! end that waits for the number of rows, or a pooler in between. A result that turns out to be too large for one value
//! is read again, row by row, in a transaction of its own.
//!
//! A read ends with its request. A write runs on a task of its own, so that a client that goes away cannot leave it
//! half-way: it is committed or refused as if the client had stayed.

mod failure;
pub mod once;
mod reading;
mod result_set;
mod round;
mod stream;
#[cfg(test)]
mod tests;
mod verdict;

use tracing::Instrument as _;

use self::round::{Round, settle};
use self::stream::{Counting, Large};
use self::verdict::{Objection, Verdict};
use crate::pg::wire::{Lease, Pool, Replies, Step, WireError};
use crate::rest::auth::Identity;
use crate::rest::error::RestError;
use crate::rest::plan::Plan;
use crate::rest::query::{self, STREAM_THRESHOLD, Statement};
use crate::rest::request::preferences::{Count, TransactionEnd};
use crate::rest::request::{MediaType, Request};
use crate::rest::settings::RestSettings;

pub use self::once::{Kept, Once, run_once};
pub use self::reading::Reading;
pub use self::result_set::{Body, ResultSet};
pub use self::stream::Rows;

/// What a request runs, from BEGIN to the transaction's end. Owns its values, so that it can outlive the request.
#[derive(Debug)]
pub struct Transaction {
    opening: Opening,
    main: Statement,
    /// `explain` of the count, run behind the main statement.
    count_estimate: Option<Statement>,
    /// The rows of a result that may be too large for the main statement.
    large: Option<Large>,
    answer: Answer,
    count: CountRule,
    verdict: Verdict,
    rollback: bool,
}

/// How a transaction starts: as whom, and with which settings.
#[derive(Debug)]
pub struct Opening {
    /// None where nobody asked for a certain one.
    isolation: Option<Isolation>,
    /// The session forbids writes too, where there is no BEGIN.
    read_only: bool,
    /// The role that the session takes on.
    role: String,
    session: Statement,
    pre_request: Option<Statement>,
    /// Whether the request had a token.
    authenticated: bool,
}

/// What the main statement answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// The row of a read.
    Read,
    /// The row of a write; none stands for a write of nothing.
    Mutate,
    /// The row of a call; none stands for an empty result.
    Call,
    /// The lines of its plan.
    Plan,
}

/// Which number of rows is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CountRule {
    /// The counted one, if any.
    Counted,
    /// The planner's.
    Planned,
    /// The counted one up to a cap, beyond it the planner's.
    Estimated {
        /// `db-max-rows`
        max_rows: Option<i64>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Isolation {
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Commit,
    Rollback,
    /// What it answers decides.
    Open,
}

/// What a transaction came to.
#[derive(Debug)]
pub enum Outcome {
    /// The main statement's answer.
    Rows(ResultSet),
    /// The main statement's plan.
    Plan(bytes::Bytes),
}

impl Opening {
    /// The opening of a plan's transaction.
    pub fn of(plan: &Plan, request: &Request, settings: &RestSettings, identity: &Identity) -> Self {
        let isolation = match plan {
            Plan::Call { routine, .. } => routine.isolation.as_deref(),
            _ => None,
        };
        Self {
            isolation: isolation
                .or(identity.role_isolation.as_deref())
                .map(Isolation::named),
            read_only: plan.is_read_only(),
            role: identity.role.clone(),
            session: query::session(plan, request, settings, identity),
            pre_request: query::pre_request(settings),
            authenticated: identity.authenticated,
        }
    }

    fn begin(&self, isolation: Option<Isolation>) -> &'static str {
        match (isolation, self.read_only) {
            (None | Some(Isolation::ReadCommitted), true) => "begin isolation level read committed read only",
            (None | Some(Isolation::ReadCommitted), false) => "begin isolation level read committed",
            (Some(Isolation::RepeatableRead), true) => "begin isolation level repeatable read read only",
            (Some(Isolation::RepeatableRead), false) => "begin isolation level repeatable read",
            (Some(Isolation::Serializable), true) => "begin isolation level serializable read only",
            (Some(Isolation::Serializable), false) => "begin isolation level serializable",
        }
    }
}

impl Isolation {
    /// The level of that name; PostgreSQL treats its lowest as the next one.
    fn named(name: &str) -> Self {
        match name {
            "serializable" => Self::Serializable,
            "repeatable read" => Self::RepeatableRead,
            _ => Self::ReadCommitted,
        }
    }
}

impl Transaction {
    /// Logs the main statement where `log-query` is on: its text, in which values are parameters.
    pub fn log(&self, wanted: bool) {
        if wanted {
            tracing::info!(sql = %self.main.sql, role = %self.opening.role, "query");
        }
    }

    /// The transaction of a plan. None for plans that are answered without one: OPTIONS, and the root, whose
    /// statements are not of this kind.
    pub fn of(plan: &Plan, request: &Request, settings: &RestSettings, identity: &Identity) -> Option<Self> {
        let (answer, output) = match plan {
            Plan::Read { output, .. } => (Answer::Read, output),
            Plan::Mutate { output, .. } => (Answer::Mutate, output),
            Plan::Call { output, .. } => (Answer::Call, output),
            Plan::InspectSchema { .. } | Plan::RelationInfo(_) | Plan::RoutineInfo(_) | Plan::SchemaInfo => {
                return None;
            }
        };
        let rendered = query::render(plan, request, settings);
        let is_plan = matches!(output.media_type, MediaType::Plan { .. });
        let preferences = &request.preferences;
        let opening = Opening::of(plan, request, settings, identity);
        Some(Self {
            opening,
            main: rendered.main,
            count_estimate: rendered.count_estimate.filter(|_| !is_plan),
            large: rendered.stream.map(|rows| Large {
                rows,
                handler: output.handler.clone(),
                counting: match answer {
                    // Calling a function only to count its rows would double its work.
                    Answer::Call => Counting::Cursor,
                    _ => Counting::Query,
                },
                offset: request.top_range.offset,
            }),
            answer: if is_plan { Answer::Plan } else { answer },
            count: match preferences.count {
                Some(Count::Planned) if answer == Answer::Read => CountRule::Planned,
                Some(Count::Estimated) if answer == Answer::Read => CountRule::Estimated {
                    max_rows: settings.max_rows,
                },
                _ => CountRule::Counted,
            },
            verdict: Verdict::of(plan, request),
            rollback: match preferences.transaction {
                Some(end) => end == TransactionEnd::Rollback,
                None => settings.tx_rollback,
            },
        })
    }

    /// Whether it may write.
    pub fn writes(&self) -> bool {
        !self.opening.read_only
    }

    /// How the transaction ends.
    fn end(&self) -> End {
        if self.rollback {
            End::Rollback
        } else if self.opening.read_only || !self.verdict.is_open() {
            End::Commit
        } else {
            End::Open
        }
    }

    /// Whether deferred constraints are checked before the end, as a COMMIT would have: a rolled back write is to
    /// fail where a committed one would.
    fn checks_constraints(&self) -> bool {
        self.rollback && !self.opening.read_only
    }

    /// An error of the connection, as it is told.
    fn told(&self, error: &WireError) -> RestError {
        failure::of_wire(error, self.opening.authenticated)
    }
}

/// Runs a transaction on a connection of the pool.
pub async fn run(pool: &Pool, transaction: Transaction) -> Result<Outcome, RestError> {
    let lease = pool.get().await.map_err(|error| failure::of_lease(&error))?;
    if transaction.opening.read_only {
        return perform(lease, &transaction).await;
    }
    let task = async move { perform(lease, &transaction).await };
    tokio::spawn(task.in_current_span())
        .await
        .unwrap_or_else(|panicked| Err(RestError::Internal(panicked.to_string())))
}

/// Runs a transaction on a connection. One that fails only because a prepared statement is out of date is run again:
/// the server refused that statement before running it, and rolled back what ran before.
async fn perform(mut lease: Lease, transaction: &Transaction) -> Result<Outcome, RestError> {
    let round = Round::of(transaction, lease.wire().is_direct());
    let mut replies = round.run(&mut lease).await;
    if replies.as_ref().is_ok_and(|replies| round.is_stale(replies)) {
        if lease.wire().is_in_transaction()
            && let Err(error) = settle(&mut lease, &[Step::command("rollback")]).await
        {
            return Err(transaction.told(&error));
        }
        replies = round.run(&mut lease).await;
    }
    match replies {
        Ok(replies) => conclude(lease, transaction, &round, replies).await,
        Err(error) => Err(transaction.told(&error)),
    }
}

/// Reads the answer, and ends the transaction by it where it has not ended.
async fn conclude(
    mut lease: Lease,
    transaction: &Transaction,
    round: &Round<'_>,
    replies: Replies,
) -> Result<Outcome, RestError> {
    let outcome = match answer(transaction, round, replies) {
        Ok(outcome) => outcome,
        Err(objection) => {
            lease.leave().await;
            return Err(objection.told(transaction.opening.authenticated));
        }
    };
    if transaction.end() != End::Open {
        return match (outcome, &transaction.large) {
            (Outcome::Rows(probe), Some(large)) if probe.page > STREAM_THRESHOLD => {
                Box::pin(stream(lease, transaction, large, probe)).await
            }
            (outcome, _) => {
                lease.done();
                Ok(outcome)
            }
        };
    }
    match settle(&mut lease, &[Step::command("commit")]).await {
        Ok(()) => {
            lease.done();
            Ok(outcome)
        }
        Err(error) => {
            lease.leave().await;
            Err(transaction.told(&error))
        }
    }
}

/// Reads a large result row by row. Its transaction has one snapshot, so that what is counted is what is sent.
async fn stream(
    mut lease: Lease,
    transaction: &Transaction,
    large: &Large,
    mut probe: ResultSet,
) -> Result<Outcome, RestError> {
    let opening = &transaction.opening;
    let isolation = match opening.isolation {
        Some(Isolation::Serializable) => Isolation::Serializable,
        _ => Isolation::RepeatableRead,
    };
    if let Err(error) = settle(&mut lease, &opening.steps(Some(isolation))).await {
        lease.leave().await;
        return Err(transaction.told(&error));
    }
    stream::open(lease, large, &opening.role, &mut probe)
        .await
        .map_err(|error| transaction.told(&error))?;
    Ok(Outcome::Rows(probe))
}

/// Reads what a round came to, and judges whether it may stand.
fn answer(transaction: &Transaction, round: &Round<'_>, mut replies: Replies) -> Result<Outcome, Objection> {
    let unchecked = match replies.refused.take() {
        // What is checked behind a write waits for the verdict.
        Some((step, refusal)) if Some(step) == round.check => Some(refusal),
        Some((_, refusal)) => return Err(Objection::Database(refusal)),
        None => None,
    };
    let outcome = read(transaction, round, &replies)?;
    verdict::judge(transaction, &outcome, unchecked)?;
    Ok(outcome)
}

/// Reads the answer of the main statement.
fn read(transaction: &Transaction, round: &Round<'_>, replies: &Replies) -> Result<Outcome, WireError> {
    let mut main = replies.rows(round.main);
    if transaction.answer == Answer::Plan {
        return Ok(Outcome::Plan(result_set::lines(main)?));
    }
    let mut result = match (transaction.answer, main.next()) {
        (_, Some(row)) => ResultSet::read(row)?,
        (Answer::Call, None) => ResultSet {
            total: Some(0),
            ..ResultSet::default()
        },
        (_, None) => ResultSet::default(),
    };
    if let Some(step) = round.estimate {
        let estimate = replies.rows(step).next().and_then(result_set::estimate);
        result.total = transaction.count.total(result.total, estimate);
    }
    Ok(Outcome::Rows(result))
}

impl CountRule {
    /// The number to tell, of the counted and the planner's.
    fn total(self, counted: Option<i64>, planned: Option<i64>) -> Option<i64> {
        match self {
            Self::Planned => planned,
            Self::Estimated { max_rows } if counted > max_rows => Some(counted?.max(planned?)),
            Self::Counted | Self::Estimated { .. } => counted,
        }
    }
}
