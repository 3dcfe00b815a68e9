//! The built-in dispatcher of `serve`: sleeps until it is woken, looks where it was told to, and everywhere now and then.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use uuid::Uuid;

use super::dispatch::{CLAIM_MAX, Dispatcher, Followed, Stop};
use super::wake::{Ears, Sleep};
use crate::error::chain;

/// Pause after the database failed.
const ERROR_PAUSE: Duration = Duration::from_secs(1);
/// Pause before the next look while writers keep us from falling asleep, or bring more than is worth a notification each.
const BRIEF: Duration = Duration::from_millis(20);
/// So many notifications within [`WINDOW`] are too many: we stay awake instead, for [`AWAKE`].
const FLOOD: usize = 100;
const WINDOW: Duration = Duration::from_millis(500);
const AWAKE: Duration = Duration::from_secs(2);
/// How often rules are asked whether their time has come.
const RULES_PAUSE: Duration = Duration::from_secs(1);
/// How often an endpoint with a limited rate is looked at again, and for how long after its last entry.
const RATED_PAUSE: Duration = Duration::from_millis(100);
const RATED_MEMORY: Duration = Duration::from_secs(3);
/// A claim that takes longer may be stepping over what an old snapshot keeps.
const SLOW_CLAIM: Duration = Duration::from_millis(25);
/// Least time between two raisings of floors, as a multiple of what the last one took, and in any case.
const FLOOR_SHARE: u32 = 30;
const FLOOR_PAUSE: Duration = Duration::from_secs(2);

/// What the built-in dispatcher remembers between two looks.
struct Worker {
    dispatcher: Dispatcher,
    poll: Duration,
    ears: Ears,
    chains: JoinSet<Followed>,
    /// When everything was looked at last; `None` when it has to be now.
    looked: Option<Instant>,
    /// Tenants to look at.
    tenants: Vec<Uuid>,
    rules_ran: Option<Instant>,
    /// Endpoints with a limited rate, and when they last had something.
    rated: HashMap<Uuid, Instant>,
    /// Notifications since when.
    heard: (usize, Instant),
    awake_until: Instant,
    /// When floors may be raised again, and whether there are any.
    floors_after: Instant,
    has_floors: bool,
}

impl Dispatcher {
    /// The built-in dispatcher: sends what is due, then waits to be woken or for `poll`, until
    /// [`Dispatcher::shutdown`].
    pub async fn run_forever(&self, poll: Duration) {
        let now = Instant::now();
        let mut worker = Worker {
            dispatcher: self.clone(),
            poll,
            ears: Ears::new(self.0.pool.session_target().cloned()),
            chains: JoinSet::new(),
            looked: None,
            tenants: Vec::new(),
            rules_ran: None,
            rated: HashMap::new(),
            heard: (0, now),
            awake_until: now,
            floors_after: now,
            has_floors: false,
        };
        worker.run().await;
        while worker.chains.join_next().await.is_some() {}
    }
}

impl Worker {
    async fn run(&mut self) {
        let mut stop = self.dispatcher.0.stop.subscribe();
        while *stop.borrow() == Stop::Running {
            let pause = self.look().await;
            let deadline = tokio::time::Instant::now() + pause;
            let inner = &self.dispatcher.0;
            tokio::select! {
                Some(_) = self.chains.join_next(), if !self.chains.is_empty() => {
                    while self.chains.try_join_next().is_some() {}
                }
                tenant = self.ears.hear() => self.heard(tenant),
                () = inner.bell.notified() => {}
                () = tokio::time::sleep_until(deadline) => {}
                _ = stop.wait_for(|stop| *stop > Stop::Running) => {}
            }
        }
        self.ears.stay_awake().await;
    }

    fn heard(&mut self, tenant: Option<Uuid>) {
        match tenant {
            Some(tenant) => self.tenants.push(tenant),
            None => self.looked = None, // the connection was lost, and with it whatever it had to say
        }
        let (count, since) = &mut self.heard;
        if since.elapsed() > WINDOW {
            (*count, *since) = (0, Instant::now());
        }
        *count += 1;
        if *count > FLOOD {
            self.awake_until = Instant::now() + AWAKE;
        }
    }

    /// Claims what there is room for; answers how long there is nothing to do.
    async fn look(&mut self) -> Duration {
        let hints = self.dispatcher.take_hints();
        // While we sleep, who writes notifies, and says for which tenant: no need to look at all of them.
        if hints.all && !self.ears.asleep() {
            self.looked = None;
        }
        self.tenants.extend(hints.tenants);
        let settings = &self.dispatcher.0.settings;
        let free = settings.concurrency.saturating_sub(self.chains.len());
        // Nearly full: a claim for each place that becomes free would be a waste.
        if free < (settings.concurrency / 4).clamp(1, CLAIM_MAX / 2) {
            return self.poll;
        }
        let everything = self
            .looked
            .is_none_or(|looked| looked.elapsed() >= self.interval());
        if everything || !self.tenants.is_empty() {
            match self.claim(free.min(CLAIM_MAX), everything).await {
                Ok(true) => return Duration::ZERO,
                Ok(false) => {}
                Err(pause) => return pause,
            }
        }
        self.rest().await
    }

    /// How often to look at everything: seldom while we are told, at once while we are not.
    fn interval(&self) -> Duration {
        let now = Instant::now();
        if now < self.awake_until { BRIEF } else { self.poll }
    }

    /// Claims and starts chains; answers whether there may be more right now.
    async fn claim(&mut self, limit: usize, everything: bool) -> Result<bool, Duration> {
        let began = Instant::now();
        let tenants = (!everything).then(|| {
            let mut tenants = std::mem::take(&mut self.tenants);
            tenants.sort_unstable();
            tenants.dedup();
            tenants
        });
        if everything {
            self.tenants.clear();
            if self.rules_ran.is_none_or(|ran| ran.elapsed() >= RULES_PAUSE) {
                self.rules_ran = Some(began);
                self.dispatcher.0.queue.run_due_rules().await;
            }
        }
        let claims = match self.dispatcher.claim(limit, tenants.clone()).await {
            Ok(claims) => claims,
            Err(error) => {
                tracing::warn!(error = chain(&error), "claiming webhooks failed, trying again");
                self.looked = None;
                return Err(ERROR_PAUSE);
            }
        };
        let more = claims.len() == limit;
        match tenants {
            None => self.looked = (!more).then_some(began),
            Some(tenants) if more => self.tenants.extend(tenants),
            Some(_) => {}
        }
        for claim in claims {
            if claim.rated {
                self.rated.insert(claim.tenant_id, began);
            }
            self.chains
                .spawn(self.dispatcher.clone().follow_chain(claim, None));
        }
        self.mind_floors(began.elapsed()).await;
        Ok(more)
    }

    /// Raises floors when a claim was slow, and looks after them while there are any.
    async fn mind_floors(&mut self, took: Duration) {
        let now = Instant::now();
        if now < self.floors_after || !(self.has_floors || took > SLOW_CLAIM) {
            return;
        }
        match self.dispatcher.0.queue.raise_floors().await {
            Ok(count) => self.has_floors = count > 0,
            Err(error) => tracing::debug!(error = chain(&error), "raising floors failed"),
        }
        self.floors_after = Instant::now() + (now.elapsed() * FLOOR_SHARE).max(FLOOR_PAUSE);
    }

    /// Gets ready to wait; answers for how long.
    async fn rest(&mut self) -> Duration {
        let now = Instant::now();
        self.rated
            .retain(|_, last| now.duration_since(*last) < RATED_MEMORY);
        if now < self.awake_until {
            self.ears.stay_awake().await;
            return BRIEF;
        }
        let mut pause = self.poll;
        if !self.ears.asleep() {
            match self.ears.fall_asleep().await {
                Sleep::Ready => {
                    // The look between taking the lock and falling asleep.
                    self.looked = None;
                    return Duration::ZERO;
                }
                Sleep::Writers => {
                    self.looked = None;
                    pause = BRIEF;
                }
                Sleep::Elsewhere | Sleep::Deaf => {}
            }
        }
        if !self.rated.is_empty() {
            self.tenants.extend(self.rated.keys());
            pause = pause.min(RATED_PAUSE);
        }
        pause
    }
}
