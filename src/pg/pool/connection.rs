//! A pooled connection with the statements that were prepared on it, and how the pool makes and keeps one.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use deadpool::managed::{self, Metrics, RecycleResult};
use deadpool_postgres::{ClientWrapper, Manager};
use tokio_postgres::{Error, Statement};

use super::lru::Lru;

/// Statements that a connection keeps, unless [`super::Pool::keep_statements`] says otherwise. Each costs the backend
/// some 5 to 50 KB.
const KEPT_STATEMENTS: usize = 200;

/// How many prepared statements each connection keeps, and which are out of date. Shared by a pool's connections.
pub(super) struct Keeping {
    capacity: AtomicUsize,
    generation: AtomicU64,
}

impl Keeping {
    pub(super) fn new() -> Self {
        Self {
            capacity: AtomicUsize::new(KEPT_STATEMENTS),
            generation: AtomicU64::new(0),
        }
    }

    pub(super) fn set_capacity(&self, capacity: usize) {
        self.capacity.store(capacity, Ordering::Relaxed);
    }

    /// Makes every connection drop what it has kept so far, before its next use.
    pub(super) fn expire(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }
}

/// A connection and its prepared statements by text.
pub(super) struct Connection {
    /// Stands first, so that it is closed first: then the statements need no messages to be closed one by one.
    pub(super) client: ClientWrapper,
    keeping: Arc<Keeping>,
    kept: Mutex<Kept>,
}

struct Kept {
    statements: Lru<Statement>,
    /// The [`Keeping::generation`] that the statements belong to.
    generation: u64,
}

impl Connection {
    /// Finds the statement that was prepared for a text.
    pub(super) fn kept(&self, sql: &str) -> Option<Statement> {
        let generation = self.keeping.generation.load(Ordering::Acquire);
        let mut kept = self.lock();
        if kept.generation != generation {
            kept.statements.clear();
            kept.generation = generation;
        }
        kept.statements.get(sql).cloned()
    }

    /// Keeps a statement. One that was prepared while its generation expired is not.
    pub(super) fn keep(&self, sql: &str, statement: Statement) {
        let capacity = self.keeping.capacity.load(Ordering::Relaxed);
        let mut kept = self.lock();
        if kept.generation == self.keeping.generation.load(Ordering::Acquire) {
            kept.statements.insert(sql, statement, capacity);
        }
    }

    /// Drops the statement of a text, which closes it on the server.
    pub(super) fn forget(&self, sql: &str) {
        self.lock().statements.remove(sql);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes connections by deadpool's manager and adds what we keep with each.
pub(super) struct Keeper {
    pub(super) manager: Manager,
    pub(super) keeping: Arc<Keeping>,
}

impl managed::Manager for Keeper {
    type Type = Connection;
    type Error = Error;

    async fn create(&self) -> Result<Connection, Error> {
        let client = self.manager.create().await?;
        Ok(Connection {
            client,
            keeping: Arc::clone(&self.keeping),
            kept: Mutex::new(Kept {
                statements: Lru::new(),
                generation: self.keeping.generation.load(Ordering::Acquire),
            }),
        })
    }

    async fn recycle(&self, connection: &mut Connection, metrics: &Metrics) -> RecycleResult<Error> {
        self.manager.recycle(&mut connection.client, metrics).await
    }

    fn detach(&self, connection: &mut Connection) {
        self.manager.detach(&mut connection.client);
    }
}
