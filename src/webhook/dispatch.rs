//! The dispatcher: claims heads, sends them with a bound on concurrency, follows each ticket's chain.
//!
//! A batch run answers a caller (the route, `dropwire dispatch`); [`Dispatcher::run_forever`] is the built-in
//! dispatcher of `serve`. Any number of either may run at once, here and in other processes: the claims in the
//! database keep them apart.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
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
/// How long chains that were told to end may still be writing.
const ABANDON_GRACE: Duration = Duration::from_secs(1);

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
    /// Entries that are ours right now, each with its claim id.
    in_flight: Mutex<HashSet<(Uuid, Uuid)>>,
    /// Callers' runs under way.
    admitted: AtomicUsize,
    wake: Notify,
    /// Every run and chain holds a receiver for as long as it lives, so the channel is closed when all are done.
    stop: watch::Sender<Stop>,
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
struct Followed {
    report: Report,
    /// The budget ended before the chain did.
    starved: bool,
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
            admitted: AtomicUsize::new(0),
            wake: Notify::new(),
            stop: watch::Sender::new(Stop::Running),
        }))
    }

    /// Tells the built-in dispatcher that there may be something to send.
    pub fn wake(&self) {
        self.0.wake.notify_one();
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

    /// One run of at most `batch` entries. Returns when all of them are done; an error means that none was begun.
    pub async fn run_batch(&self, batch: usize) -> Result<Report, PoolError> {
        let stop = self.0.stop.subscribe();
        let budget = Arc::new(AtomicUsize::new(batch));
        let mut chains = JoinSet::new();
        let mut report = Report::default();
        let mut more = true;
        loop {
            if more && *stop.borrow() == Stop::Running {
                // Taken before the call: chains under way take from the same budget meanwhile.
                let wanted = take(&budget, self.0.settings.concurrency.saturating_sub(chains.len()));
                match self.claim(wanted).await {
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
                    more |= followed.starved;
                }
                None => return Ok(report),
            }
        }
    }

    /// The built-in dispatcher: sends what is due, then waits for [`Dispatcher::wake`] or `poll`, until
    /// [`Dispatcher::shutdown`].
    pub async fn run_forever(&self, poll: Duration) {
        let mut stop = self.0.stop.subscribe();
        let mut chains = JoinSet::new();
        while *stop.borrow() == Stop::Running {
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
        if timeout(grace, self.0.stop.closed()).await.is_err() {
            self.0.stop.send_replace(Stop::Abandoning);
            // Chains end at once now; what one is still writing may be written.
            drop(timeout(ABANDON_GRACE, self.0.stop.closed()).await);
        }
        // Also of runs that were dropped half-way.
        let left: Vec<_> = self.lock_in_flight().drain().collect();
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

    async fn claim(&self, limit: usize) -> Result<Vec<Claim>, PoolError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let claims = self.0.queue.claim(limit).await?;
        self.lock_in_flight()
            .extend(claims.iter().map(|claim| (claim.id, claim.token)));
        Ok(claims)
    }

    /// Sends one entry and then its ticket's next ones, for as long as they are due and the budget lasts.
    async fn follow_chain(self, first: Claim, budget: Option<Arc<AtomicUsize>>) -> Followed {
        let mut stop = self.0.stop.subscribe();
        let mut followed = Followed::default();
        let mut current = Some(first);
        while let Some(claim) = current.take() {
            let outcome = tokio::select! {
                // Asked first: an entry claimed while all ends is not sent any more.
                biased;
                _ = stop.wait_for(|stop| *stop == Stop::Abandoning) => return followed,
                outcome = delivery::attempt(&self.0.egress, &claim, self.0.settings.timeout) => outcome,
            };
            match outcome {
                Outcome::Delivered(payload) => {
                    followed.report.delivered += 1;
                    let running = *stop.borrow() == Stop::Running;
                    let follow = running && budget.as_deref().is_none_or(|budget| take(budget, 1) == 1);
                    followed.starved = !follow;
                    current = self.record_delivery(&claim, payload.as_deref(), follow).await;
                    if let (true, None, Some(budget)) = (follow, &current, &budget) {
                        budget.fetch_add(1, Ordering::AcqRel);
                    }
                }
                Outcome::Failed(error) => {
                    followed.report.failed += 1;
                    self.record_failure(&claim, &error).await;
                }
            }
            let mut in_flight = self.lock_in_flight();
            in_flight.remove(&(claim.id, claim.token));
            in_flight.extend(current.iter().map(|next| (next.id, next.token)));
        }
        followed
    }

    /// Records a delivery; with `follow`, answers the ticket's next entry, claimed.
    async fn record_delivery(&self, claim: &Claim, payload: Option<&str>, follow: bool) -> Option<Claim> {
        match self.0.queue.complete(claim, payload, follow).await {
            Ok(Completion { held: true, next }) => {
                tracing::info!(
                    queue.id = %claim.id, ticket.id = %claim.ticket_id, tenant.id = %claim.tenant_id,
                    attempt = claim.attempt, "webhook delivered"
                );
                next
            }
            Ok(Completion { held: false, .. }) => {
                tracing::warn!(
                    queue.id = %claim.id, attempt = claim.attempt,
                    "webhook delivered, but its claim was lost meanwhile"
                );
                None
            }
            Err(error) => {
                // Made known to nobody but the receiver: the lease ends, and it is sent again with the same id.
                tracing::error!(error = chain(&error), queue.id = %claim.id, "recording a delivery failed");
                None
            }
        }
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
            Ok(false) => {
                tracing::warn!(queue.id = %claim.id, "webhook failed, and its claim was lost meanwhile");
            }
            Err(error) => {
                tracing::error!(error = chain(&error), queue.id = %claim.id, "recording a failure failed");
            }
        }
    }

    fn lock_in_flight(&self) -> MutexGuard<'_, HashSet<(Uuid, Uuid)>> {
        self.0.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
