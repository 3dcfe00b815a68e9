//! A write under an idempotency key: claim, run, keep the answer, commit; or tell the answer that was kept.
//!
//! The key is claimed and the answer kept as the login role, before the request's role is taken and after it is given
//! back. In between it is the same write as without a key, its deferred triggers included: they run before the role is
//! given back.

use bytes::Bytes;
use tracing::Instrument as _;

use super::round::{Round, send, settle};
use super::{Outcome, Transaction, failure};
use crate::pg::wire::{Lease, Pool, Row, Step, WireError, row};
use crate::rest::error::{IdempotencyError, RestError};
use crate::rest::idempotency::Claim;
use crate::rest::query::Value;

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
    let mut lease = pool.get().await.map_err(|error| failure::of_lease(&error))?;
    let task = async move {
        let ran = perform(&mut lease, &transaction, &claim, answer).await;
        // Whatever is open still is not to stand.
        lease.leave().await;
        ran
    };
    tokio::spawn(task.in_current_span())
        .await
        .unwrap_or_else(|panicked| Err(RestError::Internal(panicked.to_string())))
}

/// Leaves the transaction open where it is not to be committed.
async fn perform<T>(
    lease: &mut Lease,
    transaction: &Transaction,
    claim: &Claim,
    answer: impl FnOnce(Outcome) -> Result<(T, Option<Kept>), RestError>,
) -> Result<Once<T>, RestError> {
    let authenticated = transaction.opening.authenticated;
    let round = Round::within(transaction);
    let mut beginnings = 0;
    let replies = loop {
        beginnings += 1;
        let may_begin_anew = beginnings < BEGINNINGS;
        match begin(lease, transaction, claim).await {
            Ok(State::Claimed) => {}
            Ok(State::Kept(kept)) => return Ok(Once::Kept(kept)),
            Ok(State::OtherRequest) => return Err(IdempotencyError::Reused.into()),
            Err(error) if is_outrun(&error) && may_begin_anew => {
                begin_anew(lease).await?;
                continue;
            }
            Err(error) => return Err(bookkeeping(&error)),
        }
        let replies = round.run(lease).await;
        let replies = replies.map_err(|error| failure::of_wire(&error, authenticated))?;
        if !(round.is_stale(&replies) && may_begin_anew) {
            break replies;
        }
        begin_anew(lease).await?;
    };
    let outcome = super::answer(transaction, &round, replies);
    let answered = answer(outcome.map_err(|objection| objection.told(authenticated))?);
    if !transaction.rollback {
        let kept = match &answered {
            Ok((_, kept)) => kept.as_ref(),
            Err(_) => None,
        };
        commit(lease, claim, kept)
            .await
            .map_err(|error| bookkeeping(&error))?;
    }
    answered.map(|(answer, _)| Once::Ran(answer))
}

/// Begins the transaction and claims the key, waiting for whoever has it.
async fn begin(lease: &mut Lease, transaction: &Transaction, claim: &Claim) -> Result<State, WireError> {
    let opening = &transaction.opening;
    let values = [claim.id(), claim.fingerprint()];
    let claim = Step {
        role: "",
        sql: CLAIM,
        values: &values,
        wanted: true,
    };
    let replies = send(lease, &[Step::command(opening.begin(opening.isolation)), claim]).await?;
    if let Some((_, refusal)) = replies.refused {
        return Err(WireError::Refused(refusal));
    }
    let row = replies.rows(1).next();
    state(row.ok_or(WireError::Protocol("no state of an idempotency key"))?)
}

fn state(row: &Row) -> Result<State, WireError> {
    let present = |column| row.get(column)?.ok_or(WireError::Protocol("a kept answer"));
    Ok(match row.bytes(0)?.unwrap_or_default() {
        b"claimed" => State::Claimed,
        b"kept" => State::Kept(Kept {
            status: u16::try_from(row::int4(&present(1)?)?).unwrap_or_default(),
            headers: row::texts(&present(2)?)?,
            body: present(3)?,
        }),
        _ => State::OtherRequest,
    })
}

/// Gives the role back, keeps the answer or drops the key, and commits: what fails is followed by nothing.
async fn commit(lease: &mut Lease, claim: &Claim, kept: Option<&Kept>) -> Result<(), WireError> {
    let (sql, values) = match kept {
        Some(kept) => (
            KEEP,
            vec![
                claim.id(),
                Value::Text(kept.status.to_string()),
                Value::Text(array(&kept.headers)),
                Value::Binary(kept.body.clone()),
            ],
        ),
        None => (DROP, vec![claim.id()]),
    };
    let note = Step {
        role: "",
        sql,
        values: &values,
        wanted: false,
    };
    settle(
        lease,
        &[Step::command("reset role"), note, Step::command("commit")],
    )
    .await
}

/// The text of a `text[]`.
fn array(items: &[String]) -> String {
    let mut text = String::from("{");
    for (n, item) in items.iter().enumerate() {
        text.push_str(if n == 0 { "\"" } else { ",\"" });
        text.push_str(&item.replace('\\', "\\\\").replace('"', "\\\""));
        text.push('"');
    }
    text.push('}');
    text
}

async fn begin_anew(lease: &mut Lease) -> Result<(), RestError> {
    settle(lease, &[Step::command("rollback")])
        .await
        .map_err(|error| failure::of_wire(&error, true))
}

/// Tells a failure that is none of the request's: a lack of rights here must not look like one there.
fn bookkeeping(error: &WireError) -> RestError {
    if let WireError::Refused(refusal) = error
        && matches!(refusal.code.as_str(), "42501" | "42883")
    {
        return RestError::Internal(format!(
            "the login role cannot keep idempotency keys; it needs `execute` on the functions claim_rest_request, \
             keep_rest_answer and drop_rest_request of schema dropwire: {refusal}"
        ));
    }
    failure::of_wire(error, true)
}

/// Tells whether the transaction is to be begun anew: the key was another's until now, and the snapshot is older than
/// that; or what was prepared is out of date.
fn is_outrun(error: &WireError) -> bool {
    matches!(error, WireError::Refused(refusal) if refusal.code == "40001" || refusal.is_stale())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_quotes_its_items() {
        let items = ["a", "", r#"b"c"#, r"d\e", "{f,g}"].map(str::to_owned);
        assert_eq!(array(&items), r#"{"a","","b\"c","d\\e","{f,g}"}"#);
        assert_eq!(array(&[]), "{}");
    }
}
