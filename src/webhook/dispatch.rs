//! The dispatcher: claims heads, sends them with a bound on concurrency, follows each ticket's chain.
//!
//! A batch run answers a caller (the route, `dropwire dispatch`); the built-in dispatcher of `serve` is in
//! `worker`. Any number of either may run at once, here and in other processes: the claims in the
//! database keep them apart.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

use super::backoff::{delay_after, jittered};
use super::delivery::{self, Attempt};
use super::flight::Flight;
use super::queue::{Claim, Finished, Queue, Recorded, Wanted};
use super::recorder::Recorder;
use super::verdict::Verdict;
use crate::config::WebhookSettings;
use crate::egress::Egress;
use crate::error::chain;
use crate::pg::pool::{Pool, PoolError};

/// How long chains that were told to end may still be writing.
const ABANDON_GRACE: Duration = Duration::from_secs(1);
/// When a ticket that somebody is writing to is looked at again; a little more than the database says.
const SOON: Duration = Duration::from_millis(60);
/// Most entries of one claim.
pub(super) const CLAIM_MAX: usize = 100;

/// What a run did, in entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Accepted by the receiver.
    pub delivered: usize,
    /// Due again later.
    pub failed: usize,
}

impl Report {
    /// Entries that were attempted.
    pub fn processed(&self) -> usize {
        self.delivered + self.failed
    }

    fn add(&mut self, other: Self) {
        self.delivered += other.delivered;
        self.failed += other.failed;
    }
}

/// How far a shutdown has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(super) enum Stop {
    Running,
    /// Nothing new is claimed; what is under way may finish.
    Draining,
    /// What is under way is abandoned and handed back.
    Abandoning,
}

/// Delivers ticket webhooks. Cheap to clone.
#[derive(Clone)]
pub struct Dispatcher(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub queue: Queue,
    recorder: Recorder,
    egress: Egress,
    pub settings: WebhookSettings,
    pub pool: Pool,
    pub flight: Flight,
    /// Callers' runs under way.
    admitted: AtomicUsize,
    /// Tenants that the built-in dispatcher should look at, and the bell that says so.
    hints: Mutex<Hints>,
    pub bell: Notify,
    /// Every run and chain holds a receiver for as long as it lives, so the channel is closed when all are done.
    pub stop: watch::Sender<Stop>,
}

/// Where the built-in dispatcher should look.
#[derive(Debug, Default)]
pub(super) struct Hints {
    /// At everything.
    pub all: bool,
    /// At these tenants.
    pub tenants: HashSet<Uuid>,
}

/// A caller's run, counted until it is dropped; see [`Dispatcher::admit`].
pub struct Admission(Dispatcher);

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.0.admitted.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What came of following one ticket's chain.
#[derive(Default)]
pub(super) struct Followed {
    pub report: Report,
    /// There may be more where this came from: the budget ended first, or the endpoint had all that it may have.
    pub more: bool,
}

impl Dispatcher {
    /// A dispatcher over the outbox behind `pool`.
    pub fn new(pool: Pool, egress: Egress, settings: WebhookSettings) -> Self {
        let queue = Queue::new(
            pool.clone(),
            settings.timeout,
            settings.lease_margin,
            settings.breaker,
            settings.max_backoff,
        );
        Self(Arc::new(Inner {
            recorder: Recorder::new(queue.clone()),
            queue,
            egress,
            settings,
            pool,
            flight: Flight::default(),
            admitted: AtomicUsize::new(0),
            hints: Mutex::default(),
            bell: Notify::new(),
            stop: watch::Sender::new(Stop::Running),
        }))
    }

    /// Tells the built-in dispatcher that there may be something to send: a tenant's, or anybody's.
    pub fn wake(&self, tenant: Option<Uuid>) {
        let mut hints = self.0.hints.lock().unwrap_or_else(PoisonError::into_inner);
        match tenant {
            Some(tenant) => drop(hints.tenants.insert(tenant)),
            None => hints.all = true,
        }
        drop(hints);
        self.0.bell.notify_one();
    }

    /// Takes the hints that came since the last time.
    pub(super) fn take_hints(&self) -> Hints {
        std::mem::take(&mut self.0.hints.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts a caller's run until the value is dropped; with `alone`, `None` while another is under way.
    pub fn admit(&self, alone: bool) -> Option<Admission> {
        let next = |runs: usize| (!alone || runs == 0).then_some(runs + 1);
        let admitted = self
            .0
            .admitted
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        admitted.is_ok().then(|| Admission(self.clone()))
    }

    /// How many entries are under way in this process.
    pub fn in_flight(&self) -> usize {
        self.0.flight.len()
    }

    /// One batch, or, with a budget, batch after batch until nothing is due or the time is up.
    pub async fn run(&self, batch: usize, budget: Option<Duration>) -> Result<Report, PoolError> {
        let began = Instant::now();
        let mut report = self.run_batch(batch).await?;
        let mut last = report;
        while let Some(budget) = budget
            && last.processed() > 0
            && began.elapsed() < budget
        {
            last = match self.run_batch(batch).await {
                Ok(next) => next,
                Err(error) => {
                    tracing::error!(error = chain(&error), "claiming further webhooks failed");
                    break;
                }
            };
            report.add(last);
        }
        Ok(report)
    }

    /// One run of at most `batch` entries. Returns when all of them are done; an error means that none was begun.
    pub async fn run_batch(&self, batch: usize) -> Result<Report, PoolError> {
        let stop = self.0.stop.subscribe();
        let budget = Arc::new(AtomicUsize::new(batch));
        let mut chains = JoinSet::new();
        let mut report = Report::default();
        let mut more = true;
        self.0.queue.run_due_rules().await;
        loop {
            if more && *stop.borrow() == Stop::Running {
                // Taken before the call: chains under way take from the same budget meanwhile.
                let wanted = take(&budget, self.0.settings.concurrency.saturating_sub(chains.len()));
                match self.claim(wanted, None).await {
                    Ok(claims) => {
                        budget.fetch_add(wanted - claims.len(), Ordering::AcqRel);
                        more = claims.len() == wanted;
                        for claim in claims {
                            chains.spawn(self.clone().follow_chain(claim, Some(Arc::clone(&budget))));
                        }
                    }
                    Err(error) if chains.is_empty() && report.processed() == 0 => return Err(error),
                    Err(error) => {
                        // What is under way still ends well; given up, it would be sent again.
                        tracing::error!(error = chain(&error), "claiming further webhooks failed");
                        more = false;
                    }
                }
            }
            match chains.join_next().await {
                Some(finished) => {
                    let followed = finished.unwrap_or_default();
                    report.add(followed.report);
                    // Another chain may have handed back since what this one lacked.
                    more |= followed.more;
                }
                None => return Ok(report),
            }
        }
    }

    /// Ends all runs: no new claims, up to `grace` for what is under way, the rest is handed back.
    pub async fn shutdown(&self, grace: Duration) {
        self.0.stop.send_replace(Stop::Draining);
        if timeout(grace, self.0.stop.closed()).await.is_err() {
            self.0.stop.send_replace(Stop::Abandoning);
            // Chains end at once now; what one is still writing may be written.
            drop(timeout(ABANDON_GRACE, self.0.stop.closed()).await);
        }
        // Also of runs that were dropped half-way.
        let left = self.0.flight.abandon();
        if left.is_empty() {
            return;
        }
        match self.0.queue.release(&left).await {
            Ok(count) => tracing::info!(count, "handed unfinished webhooks back"),
            Err(error) => tracing::warn!(
                error = chain(&error),
                "unfinished webhooks stay claimed until their leases end"
            ),
        }
    }

    /// Claims up to `limit` entries, of these tenants or of all.
    pub(super) async fn claim(
        &self,
        limit: usize,
        tenants: Option<Vec<Uuid>>,
    ) -> Result<Vec<Claim>, PoolError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let (after, busy) = self.0.flight.situation();
        let per_endpoint = self.0.settings.endpoint_concurrency;
        let wanted = Wanted {
            limit,
            after,
            tenants,
            busy,
            per_endpoint,
        };
        let claims = self.0.queue.claim(&wanted).await?;
        self.0.flight.board(&claims, per_endpoint.min(2));
        Ok(claims)
    }

    /// Sends one entry and then its ticket's next ones, for as long as they are due and the budget lasts.
    pub(super) async fn follow_chain(self, first: Claim, budget: Option<Arc<AtomicUsize>>) -> Followed {
        let mut stop = self.0.stop.subscribe();
        let mut followed = Followed::default();
        let tenant_id = first.tenant_id;
        let mut current = Some(first);
        while let Some(claim) = current.take() {
            if Instant::now() > claim.send_by {
                self.hand_back(&claim).await;
                break;
            }
            let attempt = tokio::select! {
                // Asked first: an entry claimed while all ends is not sent any more.
                biased;
                _ = stop.wait_for(|stop| *stop == Stop::Abandoning) => return followed,
                attempt = delivery::attempt(&self.0.egress, &claim, self.0.settings.timeout) => attempt,
            };
            let delivered = attempt.outcome.verdict == Verdict::Delivered;
            let mut follow = false;
            if delivered {
                followed.report.delivered += 1;
                let running = *stop.borrow() == Stop::Running;
                follow = running && budget.as_deref().is_none_or(|budget| take(budget, 1) == 1);
                followed.more = !follow;
            } else {
                followed.report.failed += 1;
                followed.more = false;
            }
            current = self.record(&claim, attempt, follow).await;
            if let (true, None, Some(budget)) = (follow, &current, &budget) {
                budget.fetch_add(1, Ordering::AcqRel);
            }
            self.0.flight.advance(&claim, current.as_ref());
        }
        if self.0.flight.was_crowded(tenant_id) {
            followed.more = true;
            self.wake(Some(tenant_id));
        }
        followed
    }

    /// Gives an entry back unsent: so much time has gone by since its claim (a process that was stopped, a machine that is
    /// overloaded) that somebody else might send it too before the answer is recorded.
    async fn hand_back(&self, claim: &Claim) {
        tracing::warn!(queue.id = %claim.id, "a webhook was claimed too long ago to be sent, handing it back");
        if let Err(error) = self.0.queue.release(&[(claim.id, claim.token)]).await {
            tracing::warn!(error = chain(&error), queue.id = %claim.id, "it waits until its lease ends");
        }
        self.0.flight.advance(claim, None);
    }

    /// Records an attempt; with `follow`, answers the ticket's next entry, claimed.
    async fn record(&self, claim: &Claim, attempt: Attempt, follow: bool) -> Option<Claim> {
        let Attempt { outcome, body, took } = attempt;
        let cap = self.0.settings.max_backoff;
        let delay = match outcome.verdict {
            Verdict::Rejected | Verdict::Gone => cap,
            _ => delay_after(claim.attempt, cap),
        };
        let delay = jittered(delay, chance()).max(outcome.pause.unwrap_or_default());
        crate::metrics::count_attempt(outcome.status, outcome.class, took);
        log(claim, &outcome, delay);
        let finished = Finished {
            claim: claim.clone(),
            outcome,
            body,
            took,
            delay,
            follow,
        };
        match self.0.recorder.record(finished).await? {
            Recorded::Held(next) => next.map(|next| *next),
            Recorded::Waiting => {
                let (dispatcher, tenant_id) = (self.clone(), claim.tenant_id);
                tokio::spawn(async move {
                    tokio::time::sleep(SOON).await;
                    dispatcher.wake(Some(tenant_id));
                });
                None
            }
            Recorded::Lost | Recorded::Busy => {
                tracing::warn!(
                    queue.id = %claim.id, attempt = claim.attempt,
                    "a webhook was sent, but its claim was lost meanwhile"
                );
                None
            }
        }
    }
}

fn log(claim: &Claim, outcome: &super::verdict::Outcome, delay: Duration) {
    let (attempt, id) = (claim.attempt, claim.id);
    match &outcome.error {
        None => tracing::info!(
            queue.id = %id, ticket.id = %claim.ticket_id, tenant.id = %claim.tenant_id, attempt,
            "webhook delivered"
        ),
        Some(error) => tracing::warn!(
            queue.id = %id, ticket.id = %claim.ticket_id, tenant.id = %claim.tenant_id, attempt,
            retry_in_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            "webhook failed: {error}"
        ),
    }
}

/// A number from 0 to 1.
fn chance() -> f64 {
    f64::from(Uuid::new_v4().as_fields().0) / f64::from(u32::MAX)
}

/// Takes up to `wanted` from a budget; answers how many it got.
fn take(budget: &AtomicUsize, wanted: usize) -> usize {
    let mut taken = 0;
    budget
        .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| {
            taken = left.min(wanted);
            Some(left - taken)
        })
        .ok();
    taken
}
