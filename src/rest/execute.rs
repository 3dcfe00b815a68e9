//! Statements in one transaction -> result set.
//!
//! Everything that does not depend on an answer goes out at once: BEGIN, the session's settings, the pre-request, the
//! main statement, and COMMIT, in one round trip. Then the answers are read in that order, so that the first error is
//! the one that is told: after it the server refuses the rest (25P02), and COMMIT, which rolls back then, succeeds all
//! the same. COMMIT waits only where the number of rows decides whether a write stands. A result that turns out to be
//! too large for one value is read again, row by row, in a transaction of its own.
//!
//! A read ends with its request. A write runs on a task of its own, so that a client that goes away cannot leave it
//! half-way: it is committed or refused as if the client had stayed.

mod failure;
pub mod once;
mod result_set;
mod stream;
#[cfg(test)]
mod tests;
mod verdict;

use futures_util::TryStreamExt as _;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, Row};
use tracing::Instrument as _;

use self::stream::{Counting, Large};
use self::verdict::{Objection, Verdict, judge};
use crate::pg::pool::{Lease, Pool, Text, is_stale, is_unavailable};
use crate::rest::auth::Identity;
use crate::rest::error::RestError;
use crate::rest::plan::Plan;
use crate::rest::query::{self, STREAM_THRESHOLD, Statement};
use crate::rest::request::preferences::{Count, TransactionEnd};
use crate::rest::request::{MediaType, Request};
use crate::rest::settings::RestSettings;

pub use self::once::{Kept, Once, run_once};
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
    read_only: bool,
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
            read_only: match plan {
                Plan::Call { read_only, .. } => *read_only,
                Plan::Mutate { .. } => false,
                _ => true,
            },
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

    /// How the transaction ends, where that does not depend on what it answers.
    fn end(&self) -> Option<&'static str> {
        if self.rollback {
            Some("rollback")
        } else if self.opening.read_only || !self.verdict.is_open() {
            Some("commit")
        } else {
            None
        }
    }

    /// Whether deferred constraints are checked before the end, as a COMMIT would have: a rolled back write is to
    /// fail where a committed one would.
    fn checks_constraints(&self) -> bool {
        self.rollback && !self.opening.read_only
    }
}

/// Runs a transaction on a connection of the pool.
pub async fn run(pool: &Pool, transaction: Transaction) -> Result<Outcome, RestError> {
    let lease = pool.get().await.map_err(failure::of_pool)?;
    if transaction.opening.read_only {
        return perform(lease, &transaction).await;
    }
    let task = async move { perform(lease, &transaction).await };
    tokio::spawn(task.in_current_span())
        .await
        .unwrap_or_else(|panicked| Err(RestError::Internal(panicked.to_string())))
}

/// A transaction that only reads, by statements that follow from each other.
pub struct Reading {
    lease: Lease,
    authenticated: bool,
}

impl Reading {
    /// Opens it.
    pub async fn begin(pool: &Pool, opening: &Opening) -> Result<Self, RestError> {
        let lease = pool.get().await.map_err(failure::of_pool)?;
        Self::begin_on(lease, opening, opening.isolation).await
    }

    async fn begin_on(
        lease: Lease,
        opening: &Opening,
        isolation: Option<Isolation>,
    ) -> Result<Self, RestError> {
        let reading = Self {
            lease,
            authenticated: opening.authenticated,
        };
        match reading.open(opening, isolation).await {
            Ok(()) => Ok(reading),
            Err(error) => reading.finish(Err(error)).await,
        }
    }

    async fn open(&self, opening: &Opening, isolation: Option<Isolation>) -> Result<(), Error> {
        let lease = &self.lease;
        lease.client().batch_execute(opening.begin(isolation)).await?;
        for statement in [Some(&opening.session), opening.pre_request.as_ref()]
            .into_iter()
            .flatten()
        {
            Step::of(lease, statement).run(lease).await?;
        }
        Ok(())
    }

    /// Reaches the connection.
    pub fn client(&self) -> &Client {
        self.lease.client()
    }

    /// Ends it, and tells what came of it.
    pub async fn finish<T>(self, outcome: Result<T, Error>) -> Result<T, RestError> {
        match &outcome {
            Err(error) if is_unavailable(error) => give_back(self.lease, Some(error)),
            _ => end(self.lease, "commit").await,
        }
        outcome.map_err(|error| failure::of_statement(&error, self.authenticated))
    }
}

/// Runs a transaction on a connection. One that fails only because a prepared statement is out of date is run again:
/// the server refused that statement before running it, and rolled back what ran before.
async fn perform(lease: Lease, transaction: &Transaction) -> Result<Outcome, RestError> {
    let ends = Ends::of(transaction);
    let mut replies = round(&lease, transaction, ends).await;
    if replies.as_ref().is_err_and(|failed| failed.stale) {
        if transaction.end().is_none()
            && let Err(error) = lease.client().batch_execute("rollback").await
        {
            return Err(refuse(lease, transaction, error).await);
        }
        replies = round(&lease, transaction, ends).await;
    }
    match replies {
        Ok(replies) => conclude(lease, transaction, replies).await,
        Err(failed) => Err(refuse(lease, transaction, failed.error).await),
    }
}

/// Reads the answer, and ends the transaction by it where it has not ended.
async fn conclude(lease: Lease, transaction: &Transaction, replies: Replies) -> Result<Outcome, RestError> {
    let outcome = match read(transaction, &replies) {
        Ok(outcome) => outcome,
        Err(error) => return Err(refuse(lease, transaction, error).await),
    };
    match judge(transaction, &outcome, replies.constraints) {
        Some(Objection::Database(error)) => return Err(refuse(lease, transaction, error).await),
        Some(Objection::Rule(rule)) => {
            leave(lease, transaction, None).await;
            return Err(rule.into());
        }
        None => {}
    }
    if transaction.end().is_some() {
        return match (outcome, &transaction.large) {
            (Outcome::Rows(probe), Some(large)) if probe.page > STREAM_THRESHOLD => {
                stream(lease, transaction, large, probe).await
            }
            (outcome, _) => {
                lease.done();
                Ok(outcome)
            }
        };
    }
    match lease.client().batch_execute("commit").await {
        Ok(()) => {
            lease.done();
            Ok(outcome)
        }
        Err(error) => Err(refuse(lease, transaction, error).await),
    }
}

/// Reads a large result row by row. Its transaction has one snapshot, so that what is counted is what is sent.
async fn stream(
    lease: Lease,
    transaction: &Transaction,
    large: &Large,
    mut probe: ResultSet,
) -> Result<Outcome, RestError> {
    let opening = &transaction.opening;
    let isolation = match opening.isolation {
        Some(Isolation::Serializable) => Isolation::Serializable,
        _ => Isolation::RepeatableRead,
    };
    let reading = Reading::begin_on(lease, opening, Some(isolation)).await?;
    stream::open(reading.lease, large, &mut probe)
        .await
        .map_err(|error| failure::of_statement(&error, opening.authenticated))?;
    Ok(Outcome::Rows(probe))
}

/// Leaves the connection behind, and tells the error.
async fn refuse(lease: Lease, transaction: &Transaction, error: Error) -> RestError {
    let told = failure::of_statement(&error, transaction.opening.authenticated);
    leave(lease, transaction, Some(&error)).await;
    told
}

/// Rolls back what may be open and gives the connection back, unless it is broken.
async fn leave(lease: Lease, transaction: &Transaction, error: Option<&Error>) {
    if transaction.end().is_none() && !error.is_some_and(is_unavailable) {
        end(lease, "rollback").await;
    } else {
        give_back(lease, error);
    }
}

async fn end(lease: Lease, how: &str) {
    let ended = lease.client().batch_execute(how).await;
    give_back(lease, ended.as_ref().err());
}

/// Gives a connection back that is outside any transaction. A broken one is dropped, which takes it out of the pool.
fn give_back(lease: Lease, error: Option<&Error>) {
    if !error.is_some_and(is_unavailable) {
        lease.done();
    }
}

/// What the pipeline answered.
struct Replies {
    main: Vec<Row>,
    count_estimate: Option<Vec<Row>>,
    constraints: Result<(), Error>,
}

/// The first error of a pipeline.
struct Failed {
    error: Error,
    /// Whether nothing is wrong but prepared statements, which are forgotten now.
    stale: bool,
}

/// What goes out around a transaction's statements.
#[derive(Debug, Clone, Copy)]
struct Ends {
    begin: Option<&'static str>,
    /// Whether deferred constraints and triggers are run behind the statements.
    check: bool,
    end: Option<&'static str>,
}

impl Ends {
    fn of(transaction: &Transaction) -> Self {
        Self {
            begin: Some(transaction.opening.begin(transaction.opening.isolation)),
            check: transaction.checks_constraints(),
            end: transaction.end(),
        }
    }
}

/// Sends all that can go at once, and reads the answers in their order.
async fn round(lease: &Lease, transaction: &Transaction, ends: Ends) -> Result<Replies, Failed> {
    let client = lease.client();
    let opening = &transaction.opening;
    let session = Step::of(lease, &opening.session);
    let pre_request = opening.pre_request.as_ref().map(|call| Step::of(lease, call));
    let main = Step::of(lease, &transaction.main);
    let estimate = transaction
        .count_estimate
        .as_ref()
        .map(|explain| Step::of(lease, explain));
    let steps = [
        Some(&session),
        pre_request.as_ref(),
        Some(&main),
        estimate.as_ref(),
    ];
    let is_new = steps.iter().flatten().any(|step| lease.is_new(&step.text));
    let check = ends.check.then_some("set constraints all immediate");

    let (begun, set, called, answered, estimated, _kept, checked, ended) = tokio::join!(
        biased;
        optional(ends.begin.map(|begin| client.batch_execute(begin))),
        session.run(lease),
        // What is seldom is boxed, so that the rest stays small.
        optional(pre_request.as_ref().map(|step| Box::pin(step.run(lease)))),
        main.run(lease),
        optional(estimate.as_ref().map(|step| Box::pin(step.run(lease)))),
        optional(is_new.then(|| Box::pin(keep(lease, steps)))),
        optional(check.map(|check| client.batch_execute(check))),
        optional(ends.end.map(|end| client.batch_execute(end))),
    );

    let replies = || {
        begun.transpose().map_err(|error| (error, None))?;
        set.map_err(|error| (error, Some(&session)))?;
        called
            .transpose()
            .map_err(|error| (error, pre_request.as_ref()))?;
        let main = answered.map_err(|error| (error, Some(&main)))?;
        let count_estimate = estimated
            .transpose()
            .map_err(|error| (error, estimate.as_ref()))?;
        ended.transpose().map_err(|error| (error, None))?;
        Ok(Replies {
            main,
            count_estimate,
            constraints: checked.unwrap_or(Ok(())),
        })
    };
    replies().map_err(|(error, step): (Error, Option<&Step<'_>>)| {
        let named = step.filter(|step| step.text.is_named());
        let stale = named.is_some() && is_stale(&error);
        if stale {
            for step in steps.into_iter().flatten() {
                lease.forget_text(&step.text);
            }
        } else if let Some(step) = named
            && is_misread(&error)
        {
            lease.forget_text(&step.text);
        }
        Failed { error, stale }
    })
}

/// Tells whether the text does not fit the schema, or not any more: SQLSTATE class 42, privileges aside. A prepared
/// statement holds on to the types that were inferred when it was prepared.
fn is_misread(error: &Error) -> bool {
    error
        .code()
        .is_some_and(|state| state.code().starts_with("42") && *state != SqlState::INSUFFICIENT_PRIVILEGE)
}

/// A statement on its way.
struct Step<'a> {
    text: Text<'a>,
    statement: &'a Statement,
}

impl<'a> Step<'a> {
    fn of(lease: &Lease, statement: &'a Statement) -> Self {
        Self {
            text: lease.text(&statement.sql),
            statement,
        }
    }

    async fn run(&self, lease: &Lease) -> Result<Vec<Row>, Error> {
        lease
            .send(&self.text, &self.statement.values)
            .await?
            .try_collect()
            .await
    }
}

/// Prepares the texts that are new to the connection. All of it is sent at the first poll.
async fn keep(lease: &Lease, [session, pre_request, main, estimate]: [Option<&Step<'_>>; 4]) {
    tokio::join!(
        biased;
        optional(session.map(|step| lease.keep(&step.text))),
        optional(pre_request.map(|step| lease.keep(&step.text))),
        optional(main.map(|step| lease.keep(&step.text))),
        optional(estimate.map(|step| lease.keep(&step.text))),
    );
}

async fn optional<T>(future: Option<impl Future<Output = T>>) -> Option<T> {
    match future {
        Some(future) => Some(future.await),
        None => None,
    }
}

/// Reads the answer of the main statement.
fn read(transaction: &Transaction, replies: &Replies) -> Result<Outcome, Error> {
    let mut result = match (transaction.answer, replies.main.first()) {
        (Answer::Plan, _) => return Ok(Outcome::Plan(result_set::lines(&replies.main)?)),
        (_, Some(row)) => ResultSet::read(row)?,
        (Answer::Call, None) => ResultSet {
            total: Some(0),
            ..ResultSet::default()
        },
        (_, None) => ResultSet::default(),
    };
    if let Some(rows) = &replies.count_estimate {
        let estimate = result_set::estimate(rows);
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
