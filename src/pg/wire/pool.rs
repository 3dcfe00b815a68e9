//! A pool of direct connections, and the lease that keeps one request's identity from reaching the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{
    self, Metrics, Object, QueueMode, RecycleError, RecycleResult, Status, TimeoutType, Timeouts,
};
use rustls::ClientConfig;
use tokio::runtime::Handle;
use tokio_postgres::Config;

use super::cancel::{self, Canceller};
use super::{LeaseError, Parameter, Replies, Step, Wire, WireError, startup};
use crate::pg::connect::{OPEN_TIMEOUT, Target};
use crate::pg::pool::{MAX_AGE, PROBE_AFTER, PROBE_TIMEOUT, PoolSettings, Statements};

/// Statements that a connection keeps, unless [`Pool::keep_statements`] says otherwise. Each costs the backend some 5
/// to 50 KB.
const KEPT_STATEMENTS: usize = 200;
/// What a session starts with where it is ours alone: what is not said of a transaction is then known without a BEGIN.
const OPTIONS: &str = r"-c default_transaction_isolation=read\ committed";

/// How many prepared statements each connection keeps, and which are out of date. Shared by a pool's connections.
pub(super) struct Keeping {
    capacity: AtomicUsize,
    generation: AtomicU64,
}

impl Keeping {
    pub(super) fn capacity(&self) -> usize {
        self.capacity.load(Ordering::Relaxed)
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}

/// Direct connections to one [`Target`]; clones share them.
#[derive(Clone)]
pub struct Pool {
    connections: managed::Pool<Opener>,
    keeping: Arc<Keeping>,
    place: Arc<str>,
    wait_timeout: Duration,
    /// Takes what is free, for which no timer is needed.
    impatient: Timeouts,
}

impl Pool {
    /// Prepares a pool. Nothing is opened before the first [`Pool::get`], so a database that is down is no error here;
    /// unreadable root certificates are.
    pub fn new(target: &Target, settings: PoolSettings) -> Result<Self, LeaseError> {
        let keeping = Arc::new(Keeping {
            capacity: AtomicUsize::new(KEPT_STATEMENTS),
            generation: AtomicU64::new(0),
        });
        let opener = Opener {
            config: Arc::new(target.config().clone()),
            tls: Arc::new(target.tls_config()?),
            names: settings.statements == Statements::Prepared,
            keeping: Arc::clone(&keeping),
        };
        let connections = build(opener, settings);
        let impatient = Timeouts {
            wait: Some(Duration::ZERO),
            ..connections.timeouts()
        };
        Ok(Self {
            connections,
            keeping,
            place: target.to_string().into(),
            wait_timeout: settings.wait_timeout,
            impatient,
        })
    }

    /// Takes a connection out, waiting for one if all are busy.
    pub async fn get(&self) -> Result<Lease, LeaseError> {
        use managed::PoolError as Refusal;
        let place = || self.place.to_string();
        let taken = match self.connections.timeout_get(&self.impatient).await {
            Err(Refusal::Timeout(TimeoutType::Wait)) => Box::pin(self.connections.get()).await,
            taken => taken,
        };
        match taken {
            Ok(object) => Ok(Lease { object: Some(object) }),
            Err(Refusal::Timeout(TimeoutType::Wait)) => Err(LeaseError::Timeout {
                waited: self.wait_timeout,
            }),
            Err(Refusal::Timeout(TimeoutType::Create | TimeoutType::Recycle)) => Err(LeaseError::Silent {
                place: place(),
                after: OPEN_TIMEOUT,
            }),
            Err(Refusal::Backend(source)) => Err(LeaseError::Open {
                place: place(),
                source,
            }),
            // The last two cannot happen: a runtime is set, and there is no hook after creation.
            Err(Refusal::Closed | Refusal::NoRuntimeSpecified | Refusal::PostCreateHook(_)) => {
                Err(LeaseError::Closed)
            }
        }
    }

    /// Tells whether a connection answers.
    pub async fn ping(&self) -> Result<(), LeaseError> {
        let mut lease = self.get().await?;
        let answer = lease.run::<Nothing>(&[Step::command("select 1")]).await;
        lease.done();
        let answer = answer.and_then(|replies| match replies.refused {
            Some((_, refusal)) => Err(WireError::Refused(refusal)),
            None => Ok(()),
        });
        answer.map_err(|source| LeaseError::Open {
            place: self.place.to_string(),
            source,
        })
    }

    /// Sets how many prepared statements each connection keeps; 200 at first.
    pub fn keep_statements(&self, capacity: usize) {
        self.keeping.capacity.store(capacity, Ordering::Relaxed);
    }

    /// Makes every connection forget its prepared statements before its next use. Call it when the schema has changed:
    /// what the server once inferred of their parameters may no longer be true.
    pub fn forget_statements(&self) {
        self.keeping.generation.fetch_add(1, Ordering::Release);
    }

    /// Counts connections, for metrics and health.
    pub fn status(&self) -> Status {
        self.connections.status()
    }

    /// Closes connections that have rested for longer than `idle`, or are older than `age`. Those that are out stay.
    pub fn close_idle(&self, idle: Duration, age: Duration) {
        let closed = self
            .connections
            .retain(|_, metrics| metrics.last_used() <= idle && metrics.age() <= age);
        drop(closed);
    }

    /// Closes idle connections and refuses further leases; those that are out end as they come back.
    pub fn close(&self) {
        self.connections.close();
    }
}

fn build(opener: Opener, settings: PoolSettings) -> managed::Pool<Opener> {
    managed::Pool::builder(opener)
        .max_size(settings.max_size)
        .wait_timeout(Some(settings.wait_timeout))
        .create_timeout(Some(OPEN_TIMEOUT))
        // The last one that was used: its statements are prepared, and its backend's caches are warm.
        .queue_mode(QueueMode::Lifo)
        .runtime(Runtime::Tokio1)
        .build()
        .expect("a pool with a runtime can be built")
}

/// Opens connections, and has those replaced that are of no more use.
struct Opener {
    config: Arc<Config>,
    tls: Arc<ClientConfig>,
    names: bool,
    keeping: Arc<Keeping>,
}

impl managed::Manager for Opener {
    type Type = Wire;
    type Error = WireError;

    async fn create(&self) -> Result<Wire, WireError> {
        let options = self.names.then_some(OPTIONS);
        let session = startup::open(&self.config, &self.tls, options).await?;
        let canceller = Canceller::of(&session, &self.config, &self.tls);
        Ok(Wire::new(
            session,
            canceller,
            self.names,
            Arc::clone(&self.keeping),
        ))
    }

    async fn recycle(&self, wire: &mut Wire, metrics: &Metrics) -> RecycleResult<WireError> {
        if !wire.is_alive() {
            return Err(RecycleError::message("the connection was lost"));
        }
        if metrics.age() > MAX_AGE {
            return Err(RecycleError::message("the connection is old"));
        }
        if metrics.last_used() > PROBE_AFTER {
            tokio::time::timeout(PROBE_TIMEOUT, wire.run::<Nothing>(&[]))
                .await
                .map_err(|_elapsed| RecycleError::message("the connection is dead"))??;
        }
        Ok(())
    }
}

/// No value at all.
enum Nothing {}

impl Parameter for Nothing {
    fn bytes(&self) -> Option<&[u8]> {
        match *self {}
    }

    fn is_binary(&self) -> bool {
        match *self {}
    }
}

/// One connection, for one user at a time.
///
/// It goes back into the pool by [`Lease::done`], and only outside any transaction with nothing outstanding. Otherwise,
/// and when it is merely dropped, by an error or because the caller went away, it is taken out for good: what runs is
/// cancelled, what was open is rolled back, and the connection is closed. The place in the pool is free at once.
pub struct Lease {
    /// Present until the lease ends.
    object: Option<Object<Opener>>,
}

impl Lease {
    /// Reaches the connection.
    pub fn wire(&mut self) -> &mut Wire {
        self.leased()
    }

    fn leased(&mut self) -> &mut Wire {
        self.object
            .as_mut()
            .expect("a lease has its connection until it ends")
    }

    /// Runs statements in one round trip, as [`Wire::run`].
    pub async fn run<P: Parameter>(&mut self, steps: &[Step<'_, P>]) -> Result<Replies, WireError> {
        self.wire().run(steps).await
    }

    /// Rolls back what is open, and gives the connection back.
    pub async fn leave(mut self) {
        let wire = self.wire();
        if wire.is_in_transaction() && !wire.is_broken() {
            wire.run::<Nothing>(&[Step::command("rollback")]).await.ok();
        }
        self.done();
    }

    /// Gives the connection back for others, if it is fit for that.
    pub fn done(mut self) {
        if self.object.as_ref().is_some_and(|wire| wire.is_clean()) {
            drop(self.object.take());
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(object) = self.object.take() else { return };
        let wire = Object::take(object);
        // Without a runtime the process ends, and the server sees the socket close.
        if let Ok(runtime) = Handle::try_current() {
            drop(runtime.spawn(cancel::end(wire)));
        }
    }
}
