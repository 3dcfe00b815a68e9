//! The outbox as the dispatcher sees it: claim, record, release. The rules are in
//! `sql/migrations/0013_webhook_heads.sql` to `0015_webhook_outcomes.sql`; this is their Rust face.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use postgres_types::Type;
use tokio_postgres::Row;
use uuid::Uuid;

use super::verdict::{Outcome, Verdict};
use crate::error::chain;
use crate::pg::pool::{Param, Pool, PoolError};

const CLAIM: &str = include_str!("../../sql/queue/claim.sql");
const RECORD: &str = include_str!("../../sql/queue/record.sql");
const RELEASE: &str = include_str!("../../sql/queue/release.sql");
const RAISE_FLOORS: &str = include_str!("../../sql/queue/raise_floors.sql");

const PRUNE: &str = include_str!("../../sql/queue/prune.sql");
const RUN_DUE_RULES: &str = include_str!("../../sql/queue/run_due_rules.sql");

/// Most rules of one pass.
const DUE_RULES_MAX: i32 = 100;
/// How long an outcome is offered to a database that is away or busy: while it is away nobody can take the entry over,
/// even when the lease has ended, so a failover need not cost a repeat. What stays unrecorded is sent again.
const RECORD_PATIENCE: Duration = Duration::from_secs(60);
const RECORD_PAUSE: Duration = Duration::from_millis(100);

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
    /// Secrets to sign with, the newest first.
    pub secrets: Vec<String>,
    /// The endpoint has a limit on its rate: what follows has to be claimed, which takes a token.
    pub rated: bool,
    /// The last moment to send it: an attempt begun later could outlive the lease.
    pub send_by: Instant,
}

impl Claim {
    /// Reads the nine columns of `dropwire.webhook_claim` that begin at `first`.
    fn read(row: &Row, first: usize, token: Uuid, send_by: Instant) -> Self {
        Self {
            id: row.get(first),
            token,
            ticket_id: row.get(first + 1),
            tenant_id: row.get(first + 2),
            attempt: row.get::<_, i32>(first + 3).unsigned_abs(),
            url: row.get(first + 4),
            problem: row.get(first + 5),
            payload: row.get(first + 6),
            secrets: row.get::<_, Option<_>>(first + 7).unwrap_or_default(),
            rated: row.get(first + 8),
            send_by,
        }
    }
}

/// What to claim.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// How many at most.
    pub limit: usize,
    /// The endpoint after which to begin.
    pub after: Uuid,
    /// The only tenants to look at; `None` for all.
    pub tenants: Option<Vec<Uuid>>,
    /// Entries under way per tenant.
    pub busy: HashMap<Uuid, usize>,
    /// How many an endpoint may have under way.
    pub per_endpoint: usize,
}

/// One attempt's end, to be recorded.
#[derive(Debug)]
pub(super) struct Finished {
    pub claim: Claim,
    pub outcome: Outcome,
    /// The body that was sent.
    pub body: Option<String>,
    /// How long the attempt took; `None` when nothing was sent.
    pub took: Option<Duration>,
    /// For an entry that is not delivered, when it is due again.
    pub delay: Duration,
    /// Whether to claim the ticket's next entry at once.
    pub follow: bool,
}

/// What became of a [`Finished`] attempt's record.
#[derive(Debug)]
pub(super) enum Recorded {
    /// Written; the ticket's next entry, claimed by the same statement.
    Held(Option<Box<Claim>>),
    /// Written; somebody is writing to the ticket, so that it may have more in a moment.
    Waiting,
    /// The claim had been lost: nothing was changed.
    Lost,
    /// Somebody else is at work on the row: ask again.
    Busy,
}

/// The outbox in the database.
#[derive(Clone)]
pub(super) struct Queue {
    pool: Pool,
    lease_secs: f64,
    /// How much of a lease may pass before its entry is sent: half of the margin, the other half is for the record.
    slack: Duration,
    breaker: i32,
    cap_secs: f64,
}

impl Queue {
    /// A queue for attempts that take up to `timeout`, with claims that last for `margin` longer; whose endpoints break
    /// after `breaker` failures in a row and are then probed at least every `cap`.
    pub fn new(pool: Pool, timeout: Duration, margin: Duration, breaker: usize, cap: Duration) -> Self {
        Self {
            pool,
            lease_secs: (timeout + margin).as_secs_f64(),
            slack: margin / 2,
            breaker: i32::try_from(breaker).unwrap_or(i32::MAX),
            cap_secs: cap.as_secs_f64(),
        }
    }

    /// Claims due heads, at most one a ticket.
    pub async fn claim(&self, wanted: &Wanted) -> Result<Vec<Claim>, PoolError> {
        let claim_id = Uuid::new_v4();
        let limit = i32::try_from(wanted.limit).unwrap_or(i32::MAX);
        let per_endpoint = i32::try_from(wanted.per_endpoint).unwrap_or(i32::MAX);
        let busy = serde_json::to_string(&wanted.busy).unwrap_or_else(|_| "{}".to_owned());
        let params: [Param<'_>; 7] = [
            (&limit, Type::INT4),
            (&self.lease_secs, Type::FLOAT8),
            (&claim_id, Type::UUID),
            (&wanted.after, Type::UUID),
            (&wanted.tenants, Type::UUID_ARRAY),
            (&busy, Type::TEXT),
            (&per_endpoint, Type::INT4),
        ];
        // Leases begin after this.
        let send_by = Instant::now() + self.slack;
        let rows = self.pool.query(CLAIM, &params).await?;
        let claims = rows.iter().map(|row| Claim::read(row, 0, claim_id, send_by));
        Ok(claims.collect())
    }

    /// Records how attempts ended, in one transaction; answers in their order.
    ///
    /// Offered again and again while the database is away, and when it ended the call because others were in the way:
    /// neither a restart of PostgreSQL nor somebody's lock is a reason to send a delivered webhook once more.
    pub async fn record(&self, batch: &[Finished]) -> Result<Vec<Recorded>, PoolError> {
        let columns = Columns::of(batch);
        let follow_id = Uuid::new_v4();
        let params = columns.params(&follow_id, self);
        let began = Instant::now();
        let mut send_by;
        let rows = loop {
            send_by = Instant::now() + self.slack;
            match self.pool.query(RECORD, &params).await {
                Err(error)
                    if (error.is_unavailable() || error.is_conflict())
                        && began.elapsed() < RECORD_PATIENCE =>
                {
                    tracing::debug!(error = chain(&error), "recording outcomes again");
                    tokio::time::sleep(RECORD_PAUSE).await;
                }
                outcome => break outcome?,
            }
        };
        let mut recorded: HashMap<Uuid, Recorded> = rows
            .iter()
            .map(|row| {
                let next = row.get::<_, Option<Uuid>>(2);
                let next = next.map(|_| Box::new(Claim::read(row, 2, follow_id, send_by)));
                let recorded = match row.get(1) {
                    "recorded" => Recorded::Held(next),
                    "waiting" => Recorded::Waiting,
                    "busy" => Recorded::Busy,
                    _ => Recorded::Lost,
                };
                (row.get(0), recorded)
            })
            .collect();
        let of = |finished: &Finished| recorded.remove(&finished.claim.id).unwrap_or(Recorded::Lost);
        Ok(batch.iter().map(of).collect())
    }

    /// Hands entries back, due at once: pairs of entry and claim id. Answers how many were still ours.
    pub async fn release(&self, claims: &[(Uuid, Uuid)]) -> Result<i64, PoolError> {
        let (ids, claim_ids): (Vec<Uuid>, Vec<Uuid>) = claims.iter().copied().unzip();
        let params: [Param<'_>; 2] = [(&ids, Type::UUID_ARRAY), (&claim_ids, Type::UUID_ARRAY)];
        Ok(self.pool.query_one(RELEASE, &params).await?.get(0))
    }

    /// Runs the rules whose time has come, where the database has such. What they change is queued behind them; a failure
    /// is theirs and does not keep webhooks from going out.
    pub async fn run_due_rules(&self) {
        if let Err(error) = self
            .pool
            .query(RUN_DUE_RULES, &[(&DUE_RULES_MAX, Type::INT4)])
            .await
        {
            tracing::warn!(error = chain(&error), "running due rules failed");
        }
    }

    /// Removes some of what is delivered and older than `keep`; answers 0 when there is none left.
    pub async fn prune(&self, keep: Duration) -> Result<i64, PoolError> {
        let params: [Param<'_>; 1] = [(&keep.as_secs_f64(), Type::FLOAT8)];
        Ok(self.pool.query_one(PRUNE, &params).await?.get(0))
    }

    /// Keeps claims quick while an old snapshot is open; answers how many endpoints need it.
    pub async fn raise_floors(&self) -> Result<i64, PoolError> {
        Ok(self.pool.query_one(RAISE_FLOORS, &[]).await?.get(0))
    }
}

/// A batch as the statement takes it: an array per column.
struct Columns<'a> {
    ids: Vec<Uuid>,
    tokens: Vec<Uuid>,
    results: Vec<&'static str>,
    bodies: Vec<Option<&'a str>>,
    errors: Vec<Option<&'a str>>,
    delays: Vec<f64>,
    pauses: Vec<Option<f64>>,
    attempts: Vec<i32>,
    tickets: Vec<Uuid>,
    tenants: Vec<Uuid>,
    statuses: Vec<Option<i32>>,
    classes: Vec<Option<&'a str>>,
    durations: Vec<Option<i32>>,
    excerpts: Vec<Option<&'a str>>,
    follows: Vec<bool>,
}

impl<'a> Columns<'a> {
    fn of(batch: &'a [Finished]) -> Self {
        fn each<'a, T>(batch: &'a [Finished], column: impl FnMut(&'a Finished) -> T) -> Vec<T> {
            batch.iter().map(column).collect()
        }
        Self {
            ids: each(batch, |f| f.claim.id),
            tokens: each(batch, |f| f.claim.token),
            results: each(batch, |f| match f.outcome.verdict {
                Verdict::Delivered => "delivered",
                Verdict::Transient | Verdict::Rejected => "failed",
                Verdict::Gone => "gone",
                Verdict::Problem => "problem",
            }),
            bodies: each(batch, |f| f.body.as_deref()),
            errors: each(batch, |f| f.outcome.error.as_deref()),
            delays: each(batch, |f| f.delay.as_secs_f64()),
            pauses: each(batch, |f| f.outcome.pause.map(|pause| pause.as_secs_f64())),
            attempts: each(batch, |f| i32::try_from(f.claim.attempt).unwrap_or(i32::MAX)),
            tickets: each(batch, |f| f.claim.ticket_id),
            tenants: each(batch, |f| f.claim.tenant_id),
            statuses: each(batch, |f| {
                f.outcome.status.map(|status| i32::from(status.as_u16()))
            }),
            classes: each(batch, |f| f.outcome.class),
            durations: each(batch, |f| {
                f.took
                    .map(|took| i32::try_from(took.as_millis()).unwrap_or(i32::MAX))
            }),
            excerpts: each(batch, |f| f.outcome.excerpt.as_deref()),
            follows: each(batch, |f| f.follow),
        }
    }

    fn params<'b>(&'b self, follow_id: &'b Uuid, queue: &'b Queue) -> [Param<'b>; 19] {
        [
            (&self.ids, Type::UUID_ARRAY),
            (&self.tokens, Type::UUID_ARRAY),
            (&self.results, Type::TEXT_ARRAY),
            (&self.bodies, Type::TEXT_ARRAY),
            (&self.errors, Type::TEXT_ARRAY),
            (&self.delays, Type::FLOAT8_ARRAY),
            (&self.pauses, Type::FLOAT8_ARRAY),
            (&self.attempts, Type::INT4_ARRAY),
            (&self.tickets, Type::UUID_ARRAY),
            (&self.tenants, Type::UUID_ARRAY),
            (&self.statuses, Type::INT4_ARRAY),
            (&self.classes, Type::TEXT_ARRAY),
            (&self.durations, Type::INT4_ARRAY),
            (&self.excerpts, Type::TEXT_ARRAY),
            (&self.follows, Type::BOOL_ARRAY),
            (follow_id, Type::UUID),
            (&queue.lease_secs, Type::FLOAT8),
            (&queue.breaker, Type::INT4),
            (&queue.cap_secs, Type::FLOAT8),
        ]
    }
}
