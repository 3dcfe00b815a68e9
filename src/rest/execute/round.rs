//! The pipeline of a transaction: which steps it has, and where each answer is.

use super::{End, Isolation, Opening, Transaction};
use crate::pg::wire::{Lease, Replies, Step, WireError};
use crate::rest::query::{Statement, Value};

/// A transaction's steps, in one round trip.
pub(super) struct Round<'a> {
    steps: Vec<Step<'a, Value>>,
    /// The step of the main statement.
    pub(super) main: usize,
    /// That of the planner's count.
    pub(super) estimate: Option<usize>,
    /// That of the constraints which a rolled back write checks.
    pub(super) check: Option<usize>,
}

impl<'a> Round<'a> {
    /// Lines the steps up. On a direct connection, what is between two Syncs is a transaction by itself, read committed.
    pub(super) fn of(transaction: &'a Transaction, direct: bool) -> Self {
        let opening = &transaction.opening;
        let end = transaction.end();
        let isolated = !matches!(opening.isolation, None | Some(Isolation::ReadCommitted));
        let block = !direct || isolated || end != End::Commit;
        let begin = block.then_some(opening.isolation.unwrap_or(Isolation::ReadCommitted));
        let mut round = Self::line_up(transaction, begin, transaction.checks_constraints());
        match end {
            End::Rollback => round.steps.push(Step::command("rollback")),
            End::Commit if block => round.steps.push(Step::command("commit")),
            End::Commit | End::Open => {}
        }
        round
    }

    /// Lines up what runs within a transaction that others begin and end. Its deferred constraints are checked.
    pub(super) fn within(transaction: &'a Transaction) -> Self {
        Self::line_up(transaction, None, true)
    }

    fn line_up(transaction: &'a Transaction, begin: Option<Isolation>, checks: bool) -> Self {
        let opening = &transaction.opening;
        let mut steps = opening.steps(begin);
        let mut push = |step| {
            steps.push(step);
            steps.len() - 1
        };
        let main = push(step(&opening.role, &transaction.main, true));
        let estimate = transaction.count_estimate.as_ref();
        let estimate = estimate.map(|explain| push(step(&opening.role, explain, true)));
        let check = checks.then(|| push(Step::command("set constraints all immediate")));
        Self {
            steps,
            main,
            estimate,
            check,
        }
    }

    /// Sends them and reads the answers.
    pub(super) async fn run(&self, lease: &mut Lease) -> Result<Replies, WireError> {
        send(lease, &self.steps).await
    }

    /// Whether nothing is wrong but what was prepared.
    pub(super) fn is_stale(&self, replies: &Replies) -> bool {
        let refused = replies.refused.as_ref();
        refused.is_some_and(|(at, refusal)| *at < self.steps.len() && refusal.is_stale())
    }
}

/// Sends steps and reads the answers. What the connection has prepared is forgotten where it is out of date.
pub(super) async fn send(lease: &mut Lease, steps: &[Step<'_, Value>]) -> Result<Replies, WireError> {
    let replies = lease.run(steps).await?;
    if let Some((at, refusal)) = &replies.refused {
        if refusal.is_stale() {
            lease.wire().forget_all();
        } else if let Some(step) = steps.get(*at)
            && refusal.is_misread()
        {
            lease.wire().forget(step.role, step.sql);
        }
    }
    Ok(replies)
}

/// Runs steps whose answers do not matter, and tells a refusal as an error.
pub(super) async fn settle(lease: &mut Lease, steps: &[Step<'_, Value>]) -> Result<(), WireError> {
    match lease.run(steps).await?.refused {
        Some((_, refusal)) => Err(WireError::Refused(refusal)),
        None => Ok(()),
    }
}

impl Opening {
    /// What runs first: BEGIN if an isolation is given, and the statements of the session.
    pub(super) fn steps(&self, isolation: Option<Isolation>) -> Vec<Step<'_, Value>> {
        let mut steps = Vec::with_capacity(8);
        steps.extend(isolation.map(|level| Step::command(self.begin(Some(level)))));
        steps.push(step("", &self.session, false));
        steps.extend(
            self.pre_request
                .as_ref()
                .map(|call| step(&self.role, call, false)),
        );
        steps
    }

    /// The session's settings, and the pre-request.
    pub(super) fn statements(&self) -> impl Iterator<Item = &Statement> {
        [Some(&self.session), self.pre_request.as_ref()]
            .into_iter()
            .flatten()
    }
}

/// A statement as a step.
pub(super) fn step<'a>(role: &'a str, statement: &'a Statement, wanted: bool) -> Step<'a, Value> {
    Step {
        role,
        sql: &statement.sql,
        values: &statement.values,
        wanted,
    }
}
