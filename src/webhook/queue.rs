//! The outbox as the dispatcher sees it: claim, complete, fail, release. The rules are in
//! `sql/migrations/0005_webhook_dispatch.sql`; this is their Rust face.

use std::time::Duration;

use postgres_types::Type;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::pg::pool::{Pool, PoolError};

const CLAIM: &str = include_str!("../../sql/queue/claim.sql");
const COMPLETE: &str = include_str!("../../sql/queue/complete.sql");
const FAIL: &str = include_str!("../../sql/queue/fail.sql");
const RELEASE: &str = include_str!("../../sql/queue/release.sql");

/// An entry that is ours to send until its lease ends.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub id: Uuid,
    /// The claim id: ties outcomes to this claim, so that who lost the lease changes nothing.
    pub token: Uuid,
    pub ticket_id: Uuid,
    pub tenant_id: Uuid,
    /// Counted from 1, this one included.
    pub attempt: u32,
    /// The tenant's webhook.
    pub url: Option<String>,
    /// Why no payload can be built.
    pub problem: Option<String>,
    /// The contract's body but for `generated_at`, as JSON text.
    pub payload: Option<String>,
}

impl Claim {
    /// Reads the seven columns of `dropwire.webhook_claim` that begin at `first`.
    fn read(row: &Row, first: usize, token: Uuid) -> Self {
        Self {
            id: row.get(first),
            token,
            ticket_id: row.get(first + 1),
            tenant_id: row.get(first + 2),
            attempt: row.get::<_, i32>(first + 3).unsigned_abs(),
            url: row.get(first + 4),
            problem: row.get(first + 5),
            payload: row.get(first + 6),
        }
    }
}

/// What became of a completion.
pub(super) struct Completion {
    /// False when the claim had been lost meanwhile.
    pub held: bool,
    /// The ticket's next entry, claimed by the same statement.
    pub next: Option<Claim>,
}

/// The outbox in the database.
#[derive(Clone)]
pub(super) struct Queue {
    pool: Pool,
    lease_secs: f64,
}

impl Queue {
    /// A queue whose claims last for `lease`.
    pub fn new(pool: Pool, lease: Duration) -> Self {
        Self {
            pool,
            lease_secs: lease.as_secs_f64(),
        }
    }

    /// Claims up to `limit` due heads, at most one a ticket.
    pub async fn claim(&self, limit: usize) -> Result<Vec<Claim>, PoolError> {
        let claim_id = Uuid::new_v4();
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let rows = self
            .pool
            .query(
                CLAIM,
                &[
                    (&limit, Type::INT4),
                    (&self.lease_secs, Type::FLOAT8),
                    (&claim_id, Type::UUID),
                ],
            )
            .await?;
        Ok(rows.iter().map(|row| Claim::read(row, 0, claim_id)).collect())
    }

    /// Marks an entry delivered with the body that was sent; with `follow`, claims the ticket's next due entry.
    pub async fn complete(
        &self,
        claim: &Claim,
        payload: Option<&str>,
        follow: bool,
    ) -> Result<Completion, PoolError> {
        let next_claim = follow.then(Uuid::new_v4);
        let row = self
            .pool
            .query_one(
                COMPLETE,
                &[
                    (&claim.id, Type::UUID),
                    (&claim.token, Type::UUID),
                    (&payload, Type::TEXT),
                    (&next_claim, Type::UUID),
                    (&self.lease_secs, Type::FLOAT8),
                ],
            )
            .await?;
        let next = next_claim
            .filter(|_| row.get::<_, Option<Uuid>>(1).is_some())
            .map(|claim_id| Claim::read(&row, 1, claim_id));
        Ok(Completion {
            held: row.get(0),
            next,
        })
    }

    /// Records a failed attempt, due again after `delay`; false when the claim had been lost.
    pub async fn fail(&self, claim: &Claim, error: &str, delay: Duration) -> Result<bool, PoolError> {
        let row = self
            .pool
            .query_one(
                FAIL,
                &[
                    (&claim.id, Type::UUID),
                    (&claim.token, Type::UUID),
                    (&error, Type::TEXT),
                    (&delay.as_secs_f64(), Type::FLOAT8),
                ],
            )
            .await?;
        Ok(row.get(0))
    }

    /// Hands entries back, due at once: pairs of entry and claim id. Answers how many were still ours.
    pub async fn release(&self, claims: &[(Uuid, Uuid)]) -> Result<i64, PoolError> {
        let (ids, claim_ids): (Vec<Uuid>, Vec<Uuid>) = claims.iter().copied().unzip();
        let row = self
            .pool
            .query_one(
                RELEASE,
                &[(&ids, Type::UUID_ARRAY), (&claim_ids, Type::UUID_ARRAY)],
            )
            .await?;
        Ok(row.get(0))
    }
}
