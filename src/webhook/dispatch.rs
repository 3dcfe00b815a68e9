//! The dispatcher: claims heads, sends them with a bound on concurrency, follows each ticket's chain.
//!
//! A batch run answers a caller (the route, `dropwire dispatch`); [`Dispatcher::run_forever`] is the built-in
//! dispatcher of `serve`. Any number of either may run at once, here and in other processes: the claims in the
//! database keep them apart.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::backoff::delay_after;
use super::delivery::{self, Outcome};
use super::queue::{Claim, Completion, Queue};
use crate::config::WebhookSettings;
use crate::egress::Egress;
use crate::error::chain;
use crate::pg::pool::{Pool, PoolError};

/// How much longer than an attempt a lease lasts: room for the database calls around the POST.
const LEASE_MARGIN: Duration = Duration::from_secs(5);
/// Pause after the database failed the built-in dispatcher.
const ERROR_PAUSE: Duration = Duration::from_secs(1);

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
enum Stop {
    Running,
    /// Nothing new is claimed; what is under way may finish.
    Draining,
    /// What is under way is abandoned and handed back.
    Abandoning,
}

/// Delivers ticket webhooks. Cheap to clone.
#[derive(Clone)]
pub struct Dispatcher(Arc<Inner>);

struct Inner {
    queue: Queue,
    egress: Egress,
    settings: WebhookSettings,
    /// Entries that are ours right now, with their claim ids.
    in_flight: Mutex<HashMap<Uuid, Uuid>>,
    exclusive: AtomicBool,
    /// Runs under way; with none, nothing is in flight.
    runs: AtomicUsize,
    wake: Notify,
    stop: watch::Sender<Stop>,
}

/// Held by a run that excludes other callers' runs; see [`Dispatcher::try_exclusive`].
pub struct ExclusiveRun(Dispatcher);

impl Drop for ExclusiveRun {
    fn drop(&mut self) {
        self.0.0.exclusive.store(false, Ordering::Release);
    }
}

/// Counts a run for as long as it lives.
struct ActiveRun<'a>(&'a AtomicUsize);

impl<'a> ActiveRun<'a> {
    fn begin(runs: &'a AtomicUsize) -> Self {
        runs.fetch_add(1, Ordering::AcqRel);
        Self(runs)
    }
}

impl Drop for ActiveRun<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Dispatcher {
    /// A dispatcher over the outbox behind `pool`.
    pub fn new(pool: Pool, egress: Egress, settings: WebhookSettings) -> Self {
        let queue = Queue::new(pool, settings.timeout + LEASE_MARGIN);
        Self(Arc::new(Inner {
            queue,
            egress,
            settings,
            in_flight: Mutex::default(),
            exclusive: AtomicBool::new(false),
            runs: AtomicUsize::new(0),
            wake: Notify::new(),
            stop: watch::Sender::new(Stop::Running),
        }))
    }

    /// Tells the built-in dispatcher that there may be something to send.
    pub fn wake(&self) {
        self.0.wake.notify_one();
    }

    /// The right to be the only such run of this process, until the guard is dropped; `None` when taken.
    pub fn try_exclusive(&self) -> Option<ExclusiveRun> {
        let free = !self.0.exclusive.swap(true, Ordering::AcqRel);
        free.then(|| ExclusiveRun(self.clone()))
    }

    /// One run of at most `batch` entries. Returns when all of them are done.
    pub async fn run_batch(&self, batch: usize) -> Result<Report, PoolError> {
        let _active = ActiveRun::begin(&self.0.runs);
        let remaining = Arc::new(AtomicUsize::new(batch));
        let mut chains = JoinSet::new();
        let mut report = Report::default();
        let mut more = true;
        loop {
            let free = self.0.settings.concurrency.saturating_sub(chains.len());
            let wanted = free.min(remaining.load(Ordering::Acquire));
            if more && wanted > 0 && !self.stopping() {
                let claims = self.claim(wanted).await?;
                more = claims.len() == wanted;
                take(&remaining, claims.len());
                for claim in claims {
                    chains.spawn(self.clone().follow_chain(claim, Some(Arc::clone(&remaining))));
                }
            }
            match chains.join_next().await {
                Some(finished) => report.add(finished.unwrap_or_default()),
                None => return Ok(report),
            }
        }
    }

    /// The built-in dispatcher: sends what is due, then waits for [`Dispatcher::wake`] or `poll`, until
    /// [`Dispatcher::shutdown`].
    pub async fn run_forever(&self, poll: Duration) {
        let _active = ActiveRun::begin(&self.0.runs);
        let mut stop = self.0.stop.subscribe();
        let mut chains = JoinSet::new();
        while !self.stopping() {
            let free = self.0.settings.concurrency.saturating_sub(chains.len());
            let mut pause = poll;
            if free > 0 {
                match self.claim(free).await {
                    Ok(claims) => {
                        for claim in claims {
                            chains.spawn(self.clone().follow_chain(claim, None));
                        }
                    }
                    Err(error) => {
                        tracing::warn!(error = chain(&error), "claiming webhooks failed, trying again");
                        pause = ERROR_PAUSE;
                    }
                }
            }
            // With every slot taken, only a finished chain makes room; else anything may bring work.
            let full = chains.len() >= self.0.settings.concurrency;
            tokio::select! {
                Some(_) = chains.join_next(), if !chains.is_empty() => {
                    while chains.try_join_next().is_some() {}
                }
                () = self.0.wake.notified(), if !full => {}
                () = tokio::time::sleep(pause), if !full => {}
                _ = stop.wait_for(|stop| *stop > Stop::Running) => {}
            }
        }
        while chains.join_next().await.is_some() {}
    }

    /// Ends all runs: no new claims, up to `grace` for what is under way, the rest is handed back.
    pub async fn shutdown(&self, grace: Duration) {
        self.0.stop.send_replace(Stop::Draining);
        if tokio::time::timeout(grace, self.idle()).await.is_ok() {
            return;
        }
        self.0.stop.send_replace(Stop::Abandoning);
        // Chains end at once now; what a run is still writing may be written.
        drop(tokio::time::timeout(ERROR_PAUSE, self.idle()).await);
        let left: Vec<_> = self.lock_in_flight().drain().collect();
        match self.0.queue.release(&left).await {
            Ok(count) => tracing::info!(count, "handed unfinished webhooks back"),
            Err(error) => tracing::warn!(
                error = chain(&error),
                "unfinished webhooks stay claimed until their leases end"
            ),
        }
    }

    async fn idle(&self) {
        while self.0.runs.load(Ordering::Acquire) > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn claim(&self, limit: usize) -> Result<Vec<Claim>, PoolError> {
        let claims = self.0.queue.claim(limit).await?;
        self.lock_in_flight()
            .extend(claims.iter().map(|claim| (claim.id, claim.token)));
        Ok(claims)
    }

    /// Sends one entry and then its ticket's next ones, for as long as they are due and the budget lasts.
    async fn follow_chain(self, first: Claim, budget: Option<Arc<AtomicUsize>>) -> Report {
        let mut report = Report::default();
        let mut current = Some(first);
        while let Some(claim) = current.take() {
            let mut stop = self.0.stop.subscribe();
            let outcome = tokio::select! {
                outcome = delivery::attempt(&self.0.egress, &claim, self.0.settings.timeout) => outcome,
                _ = stop.wait_for(|stop| *stop == Stop::Abandoning) => return report,
            };
            match outcome {
                Outcome::Delivered(payload) => {
                    report.delivered += 1;
                    current = self
                        .record_delivery(&claim, payload.as_deref(), budget.as_deref())
                        .await;
                }
                Outcome::Failed(error) => {
                    report.failed += 1;
                    self.record_failure(&claim, &error).await;
                }
            }
            let mut in_flight = self.lock_in_flight();
            in_flight.remove(&claim.id);
            in_flight.extend(current.iter().map(|next| (next.id, next.token)));
        }
        report
    }

    async fn record_delivery(
        &self,
        claim: &Claim,
        payload: Option<&str>,
        budget: Option<&AtomicUsize>,
    ) -> Option<Claim> {
        let follow = !self.stopping() && budget.is_none_or(|budget| take(budget, 1));
        let next = match self.0.queue.complete(claim, payload, follow).await {
            Ok(Completion { held: true, next }) => {
                tracing::info!(
                    queue.id = %claim.id, ticket.id = %claim.ticket_id, tenant.id = %claim.tenant_id,
                    attempt = claim.attempt, "webhook delivered"
                );
                next
            }
            Ok(Completion { held: false, .. }) => {
                tracing::warn!(queue.id = %claim.id, attempt = claim.attempt, "webhook delivered after its lease ended");
                None
            }
            Err(error) => {
                // Made known to nobody but the receiver: the lease ends, and it is sent again with the same id.
                tracing::error!(error = chain(&error), queue.id = %claim.id, "recording a delivery failed");
                None
            }
        };
        if let (true, None, Some(budget)) = (follow, &next, budget) {
            budget.fetch_add(1, Ordering::AcqRel);
        }
        next
    }

    async fn record_failure(&self, claim: &Claim, error: &str) {
        let delay = delay_after(claim.attempt, self.0.settings.max_backoff);
        tracing::warn!(
            queue.id = %claim.id, ticket.id = %claim.ticket_id, tenant.id = %claim.tenant_id,
            attempt = claim.attempt, retry_in_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            "webhook failed: {error}"
        );
        match self.0.queue.fail(claim, error, delay).await {
            Ok(true) => {}
            Ok(false) => tracing::warn!(queue.id = %claim.id, "webhook failed after its lease ended"),
            Err(error) => {
                tracing::error!(error = chain(&error), queue.id = %claim.id, "recording a failure failed");
            }
        }
    }

    fn stopping(&self) -> bool {
        *self.0.stop.borrow() > Stop::Running
    }

    fn lock_in_flight(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Uuid>> {
        self.0.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes `count` from a budget; false, and nothing taken, when there is less.
fn take(budget: &AtomicUsize, count: usize) -> bool {
    budget
        .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| {
            left.checked_sub(count)
        })
        .is_ok()
}
