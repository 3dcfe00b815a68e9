//! A write under an idempotency key: claim, run, keep the answer, commit; or tell the answer that was kept.
//!
//! The key is claimed and the answer kept as the login role, before the request's role is taken and after it is given
//! back. In between it is the same write as without a key, its deferred triggers included: they run before the role is
//! given back.

use bytes::Bytes;
use postgres_types::Type;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Error, Row};
use tracing::Instrument as _;

use super::result_set::Raw;
use super::verdict::{Objection, judge};
use super::{Ends, Failed, Outcome, Transaction, end, failure, give_back, read, round};
use crate::error::chain;
use crate::pg::pool::{Lease, Pool, is_unavailable};
use crate::rest::error::{IdempotencyError, RestError};
use crate::rest::idempotency::Claim;

const CLAIM: &str = "select state, status, headers, body from dropwire.claim_rest_request($1, $2)";
const KEEP: &str = "select dropwire.keep_rest_answer($1, $2, $3, $4)";
const DROP: &str = "select dropwire.drop_rest_request($1)";

/// How often a transaction is begun. Under `repeatable read`, who has waited for a key does not see the answer that he
/// waited for, and a prepared statement may be out of date.
const BEGINNINGS: usize = 4;

/// An answer as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The status.
    pub status: u16,
    /// Name, value, name, value, …
    pub headers: Vec<String>,
    /// The body.
    pub body: Bytes,
}

/// What came of it.
#[derive(Debug)]
pub enum Once<T> {
    /// The request ran.
    Ran(T),
    /// It had run before.
    Kept(Kept),
}

/// What the database says to a key.
enum State {
    Claimed,
    Kept(Kept),
    OtherRequest,
}

/// Runs a writing transaction once per key. `answer` makes the answer out of what it came to, and says what of it is to
/// be kept, if anything.
pub async fn run_once<T: Send + 'static>(
    pool: &Pool,
    transaction: Transaction,
    claim: Claim,
    answer: impl FnOnce(Outcome) -> Result<(T, Option<Kept>), RestError> + Send + 'static,
) -> Result<Once<T>, RestError> {
    let lease = pool.get().await.map_err(failure::of_pool)?;
    let task = async move { perform(lease, &transaction, &claim, answer).await };
    tokio::spawn(task.in_current_span())
        .await
        .unwrap_or_else(|panicked| Err(RestError::Internal(panicked.to_string())))
}

async fn perform<T>(
    lease: Lease,
    transaction: &Transaction,
    claim: &Claim,
    answer: impl FnOnce(Outcome) -> Result<(T, Option<Kept>), RestError>,
) -> Result<Once<T>, RestError> {
    let authenticated = transaction.opening.authenticated;
    let ends = Ends {
        begin: None,
        check: true,
        end: None,
    };
    let mut beginnings = 0;
    let replies = loop {
        beginnings += 1;
        match begin(&lease, transaction, claim).await {
            Ok(State::Claimed) => {}
            Ok(State::Kept(kept)) => {
                end(lease, "rollback").await;
                return Ok(Once::Kept(kept));
            }
            Ok(State::OtherRequest) => {
                end(lease, "rollback").await;
                return Err(IdempotencyError::Reused.into());
            }
            Err(error) if is_outrun(&error) && beginnings < BEGINNINGS => {
                begin_anew(&lease).await?;
                continue;
            }
            Err(error) => return Err(bookkeeping(lease, &error).await),
        }
        match round(&lease, transaction, ends).await {
            Ok(replies) => break replies,
            Err(Failed { stale: true, .. }) if beginnings < BEGINNINGS => begin_anew(&lease).await?,
            Err(Failed { error, .. }) => return Err(abort(lease, &error, authenticated).await),
        }
    };
    let outcome = match read(transaction, &replies) {
        Ok(outcome) => outcome,
        Err(error) => return Err(abort(lease, &error, authenticated).await),
    };
    match judge(transaction, &outcome, replies.constraints) {
        Some(Objection::Database(error)) => return Err(abort(lease, &error, authenticated).await),
        Some(Objection::Rule(rule)) => {
            end(lease, "rollback").await;
            return Err(rule.into());
        }
        None => {}
    }
    let answered = answer(outcome);
    if transaction.rollback {
        end(lease, "rollback").await;
        return answered.map(|(answer, _)| Once::Ran(answer));
    }
    let kept = match &answered {
        Ok((_, kept)) => kept.as_ref(),
        Err(_) => None,
    };
    if let Err(error) = commit(&lease, claim, kept).await {
        return Err(bookkeeping(lease, &error).await);
    }
    lease.done();
    answered.map(|(answer, _)| Once::Ran(answer))
}

/// Begins the transaction and claims the key, waiting for whoever has it.
async fn begin(lease: &Lease, transaction: &Transaction, claim: &Claim) -> Result<State, Error> {
    let opening = &transaction.opening;
    let params = [claim.id(), claim.fingerprint()];
    let (begun, row) = tokio::join!(
        biased;
        lease.client().batch_execute(opening.begin(opening.isolation)),
        lease.query_one(CLAIM, &params),
    );
    begun?;
    state(&row?)
}

fn state(row: &Row) -> Result<State, Error> {
    Ok(match row.try_get("state")? {
        "claimed" => State::Claimed,
        "kept" => State::Kept(Kept {
            status: u16::try_from(row.try_get::<_, i32>("status")?).unwrap_or_default(),
            headers: row.try_get("headers")?,
            body: row.try_get::<_, Raw>("body")?.0,
        }),
        _ => State::OtherRequest,
    })
}

/// Gives the role back, keeps the answer or drops the key, and commits.
async fn commit(lease: &Lease, claim: &Claim, kept: Option<&Kept>) -> Result<(), Error> {
    let client = lease.client();
    let note = async {
        match kept {
            Some(kept) => {
                let (status, body) = (i32::from(kept.status), &*kept.body);
                let params = [
                    claim.id(),
                    (&status, Type::INT4),
                    (&kept.headers, Type::TEXT_ARRAY),
                    (&body, Type::BYTEA),
                ];
                lease.execute(KEEP, &params).await
            }
            None => lease.execute(DROP, &[claim.id()]).await,
        }
    };
    // Not sent with the rest: a COMMIT behind a failed statement rolls back and calls that a success.
    let (given_back, noted) = tokio::join!(biased; client.batch_execute("reset role"), note);
    given_back?;
    noted?;
    client.batch_execute("commit").await
}

async fn begin_anew(lease: &Lease) -> Result<(), RestError> {
    let ended = lease.client().batch_execute("rollback").await;
    ended.map_err(|error| failure::of_statement(&error, true))
}

/// Rolls back what the request did, and tells why.
async fn abort(lease: Lease, error: &Error, authenticated: bool) -> RestError {
    let told = failure::of_statement(error, authenticated);
    leave(lease, error).await;
    told
}

/// Rolls back after a failure that is none of the request's: a lack of rights here must not look like one there.
async fn bookkeeping(lease: Lease, error: &Error) -> RestError {
    let told = match error.code() {
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE || *code == SqlState::UNDEFINED_FUNCTION => {
            let reason = "the login role cannot keep idempotency keys; it needs `execute` on the functions \
                          claim_rest_request, keep_rest_answer and drop_rest_request of schema dropwire";
            RestError::Internal(format!("{reason}: {}", chain(error)))
        }
        _ => failure::of_statement(error, true),
    };
    leave(lease, error).await;
    told
}

async fn leave(lease: Lease, error: &Error) {
    if is_unavailable(error) {
        give_back(lease, Some(error));
    } else {
        end(lease, "rollback").await;
    }
}

/// Tells whether the key was another's until now, and the snapshot is older than that.
fn is_outrun(error: &Error) -> bool {
    error.code() == Some(&SqlState::T_R_SERIALIZATION_FAILURE)
}
