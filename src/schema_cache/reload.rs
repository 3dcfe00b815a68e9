//! Keeps the schema cache in step with the database.
//!
//! A [`Reloader`] loads once at the start and then whenever it is told that the catalog may have changed: by a
//! notification on its channel, by [`SharedCache::reload`], by SIGUSR1. Requests go on with the cache they have, and a
//! load that fails changes nothing but the [`CacheState`]; it is tried again until it succeeds.

mod listen;
#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::SchemaCache;
use super::load::{self, LoadError, LoadOptions};
use crate::error::chain;
use crate::pg::connect::{ConnectError, Target};

/// Least time from one load to the next, so that a burst of notifications makes two at most.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// Longest wait before a failed load is tried again.
const MAX_DELAY: Duration = Duration::from_secs(32);
/// Longest time that a load may take.
const LOAD_TIMEOUT: Duration = Duration::from_secs(120);

/// Reads the settings anew and says what to load. A failure is the owner's to report, who answers with the old ones.
pub type Configure = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = LoadOptions> + Send>> + Send + Sync>;

/// The schema cache that all requests share; clones are the same one.
#[derive(Debug, Clone)]
pub struct SharedCache(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    current: RwLock<Option<Arc<SchemaCache>>>,
    /// Changes are announced here.
    state: watch::Sender<CacheState>,
    wanted: Wanted,
}

/// How the cache stands, for `/ready`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CacheState {
    /// How often a cache was put in place. 0 is before the first, and requests cannot be served.
    pub loads: u64,
    /// Why the latest load failed, if it did. What is being served may be out of date.
    pub failing: Option<String>,
    /// Whether notifications are being listened for.
    pub listening: bool,
}

impl CacheState {
    /// Whether there is a cache, and the latest load succeeded.
    pub fn is_ready(&self) -> bool {
        self.loads > 0 && self.failing.is_none()
    }
}

/// What has been asked for and not been done.
#[derive(Debug, Default)]
struct Wanted {
    schema: AtomicBool,
    config: AtomicBool,
    wake: Notify,
}

impl Wanted {
    /// Waits until something is.
    async fn any(&self) {
        while !self.schema.load(Ordering::Acquire) && !self.config.load(Ordering::Acquire) {
            self.wake.notified().await;
        }
    }
}

impl SharedCache {
    fn new() -> Self {
        Self(Arc::default())
    }

    /// Shares a finished cache that nothing reloads.
    pub fn fixed(cache: SchemaCache) -> Self {
        let shared = Self::new();
        shared.put(cache);
        shared
    }

    /// The cache as it is now, for one request from its beginning to its end. None before the first load.
    pub fn current(&self) -> Option<Arc<SchemaCache>> {
        let current = self.0.current.read().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }

    /// How the cache stands.
    pub fn state(&self) -> CacheState {
        self.0.state.borrow().clone()
    }

    /// Follows how the cache stands; [`CacheState::loads`] tells one cache from the next.
    pub fn subscribe(&self) -> watch::Receiver<CacheState> {
        self.0.state.subscribe()
    }

    /// Waits for the first load to end, well or not.
    pub async fn settled(&self) -> CacheState {
        let mut state = self.subscribe();
        let settled = state
            .wait_for(|state| state.loads > 0 || state.failing.is_some())
            .await;
        settled.map_or_else(|_closed| self.state(), |state| state.clone())
    }

    /// Asks for a reload; the settings are read anew first. Returns at once.
    pub fn reload(&self) {
        self.0.wanted.schema.store(true, Ordering::Release);
        self.0.wanted.wake.notify_one();
    }

    /// Asks for the settings to be read anew. The cache is reloaded only if they name other schemas.
    pub fn reload_config(&self) {
        self.0.wanted.config.store(true, Ordering::Release);
        self.0.wanted.wake.notify_one();
    }

    fn put(&self, cache: SchemaCache) {
        let cache = Some(Arc::new(cache));
        let old = {
            let mut current = self.0.current.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *current, cache)
        };
        // A large one takes a while to take apart; not under the lock.
        drop(old);
        self.0.state.send_modify(|state| {
            state.loads += 1;
            state.failing = None;
        });
    }

    fn fail(&self, reason: &str) {
        self.0
            .state
            .send_modify(|state| state.failing = Some(reason.to_owned()));
    }

    fn set_listening(&self, listening: bool) {
        self.0
            .state
            .send_if_modified(|state| std::mem::replace(&mut state.listening, listening) != listening);
    }
}

/// Why a load failed.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("the catalog could not be read within {} s", LOAD_TIMEOUT.as_secs())]
    Slow,
}

/// The tasks that keep a [`SharedCache`] in step; they end when this is dropped.
#[derive(Debug)]
pub struct Reloader {
    cache: SharedCache,
    tasks: JoinSet<()>,
}

impl Reloader {
    /// Starts to load, and listens on the channel if there is one (`db-channel`, `db-channel-enabled`).
    ///
    /// Each load opens a connection to the target and closes it again, since a connection that has read a large
    /// catalog keeps it in its own memory; listening keeps one open.
    pub fn start(target: Target, channel: Option<String>, configure: Configure) -> Self {
        let cache = SharedCache::new();
        let mut tasks = JoinSet::new();
        let first = Arc::new(Notify::new());
        if let Some(channel) = channel {
            let listener = listen::run(target.clone(), channel, cache.clone(), Arc::clone(&first));
            tasks.spawn(listener);
        } else {
            first.notify_one();
        }
        let work = Work {
            target,
            configure,
            cache: cache.clone(),
            loaded: None,
        };
        tasks.spawn(async move {
            // What changes after the load is heard only if listening began before it.
            first.notified().await;
            work.run().await;
        });
        Self { cache, tasks }
    }

    /// The cache that is kept in step.
    pub fn cache(&self) -> &SharedCache {
        &self.cache
    }

    /// Reloads on SIGUSR1, and reads the settings anew on SIGUSR2, from now until this is dropped.
    pub fn follow_signals(&mut self) -> std::io::Result<()> {
        let (mut schema, mut config) = (
            signal(SignalKind::user_defined1())?,
            signal(SignalKind::user_defined2())?,
        );
        let cache = self.cache.clone();
        self.tasks.spawn(async move {
            loop {
                tokio::select! {
                    Some(()) = schema.recv() => cache.reload(),
                    Some(()) = config.recv() => cache.reload_config(),
                    else => return,
                }
            }
        });
        Ok(())
    }
}

/// The task that loads.
struct Work {
    target: Target,
    configure: Configure,
    cache: SharedCache,
    /// What the present cache was loaded with.
    loaded: Option<LoadOptions>,
}

impl Work {
    async fn run(mut self) {
        let mut failures = 0_u32;
        loop {
            let began = Instant::now();
            let wanted = &self.cache.0.wanted;
            wanted.config.store(false, Ordering::Release);
            let schema = wanted.schema.swap(false, Ordering::AcqRel);
            let options = (self.configure)().await;
            if schema || failures > 0 || self.loaded.as_ref() != Some(&options) {
                match self.load(options).await {
                    Ok(()) => failures = 0,
                    Err(error) => {
                        failures = failures.saturating_add(1);
                        self.report(&error, failures);
                    }
                }
            }
            let wanted = self.cache.0.wanted.any();
            if failures == 0 {
                wanted.await;
            } else {
                // Whoever changed something may have mended it.
                tokio::time::timeout(delay(failures), wanted).await.ok();
            }
            tokio::time::sleep_until(began + DEBOUNCE).await;
        }
    }

    async fn load(&mut self, options: LoadOptions) -> Result<(), ReloadError> {
        let began = Instant::now();
        let loading = async {
            let client = self.target.connect().await?;
            Ok(load::load(&client, &options).await?)
        };
        let cache = tokio::time::timeout(LOAD_TIMEOUT, loading)
            .await
            .unwrap_or(Err(ReloadError::Slow))?;
        tracing::info!(
            tables = cache.tables.len(),
            relationships = cache.relationships.values().map(Vec::len).sum::<usize>(),
            routines = cache.routines.values().map(Vec::len).sum::<usize>(),
            duration_ms = began.elapsed().as_millis(),
            "the schema cache was loaded"
        );
        self.cache.put(cache);
        self.loaded = Some(options);
        Ok(())
    }

    fn report(&self, error: &ReloadError, failures: u32) {
        let reason = chain(error);
        tracing::error!(
            error = reason,
            retry_in_s = delay(failures).as_secs(),
            "the schema cache could not be loaded; requests are served from the old one, if there is one"
        );
        self.cache.fail(&reason);
    }
}

/// Says how long to wait after so many failures in a row: 1, 2, 4, 8, 16, 32, 32, … s.
fn delay(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.saturating_sub(1).min(5)).min(MAX_DELAY)
}
