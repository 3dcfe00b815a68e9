//! The pool of connections.
//!
//! deadpool keeps them; what is added here is how they are opened, when they are replaced, what the failures mean,
//! and the [`Lease`], without which a connection does not leave the pool.

mod lease;

use std::{error::Error as _, io, pin::Pin, time::Duration};

use deadpool::managed::{self, Hook, HookError, Metrics};
use deadpool_postgres::{
    ClientWrapper, Connect, Manager, ManagerConfig, RecyclingMethod, Runtime, TimeoutType,
};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, Error, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

pub use deadpool_postgres::Status;

pub use self::lease::{Lease, Param, is_stale};
use super::connect::{ConnectError, OPEN_TIMEOUT, Target};

/// Age at which a connection is replaced, so that `alter role … set` arrives and a bloated backend ends.
pub(super) const MAX_AGE: Duration = Duration::from_secs(30 * 60);
/// Rest after which a connection is asked whether it still lives. Busier ones are not: the question costs a round
/// trip, and a connection lost in between fails its statement instead.
pub(super) const PROBE_AFTER: Duration = Duration::from_secs(5);
/// Longest wait for that answer.
pub(super) const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// How large and how patient a pool is.
#[derive(Clone, Copy, Debug)]
pub struct PoolSettings {
    /// Connections at most, idle ones included.
    pub max_size: usize,
    /// Longest wait for a connection to become free.
    pub wait_timeout: Duration,
    /// How single statements are sent.
    pub statements: Statements,
}

/// How single statements reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statements {
    /// Prepared once per connection and kept, which saves the planning: twice the throughput.
    Prepared,
    /// Parsed each time, never named: for transaction poolers (PgBouncer, Supavisor), where the next transaction may
    /// land on a connection that knows no statement of ours. Columns of enum or other user-defined types must be cast
    /// to `text` there, since looking their types up uses a named statement.
    Unnamed,
}

/// Why there is no connection, or no result.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// Every connection stayed busy.
    #[error(
        "no database connection became free within {} ms; allow more connections, or look for slow queries",
        waited.as_millis()
    )]
    Timeout {
        /// The patience that ran out.
        waited: Duration,
    },
    /// A connection was needed and could not be opened.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The statement failed, or its connection did.
    #[error("running a statement")]
    Query(#[from] Error),
    /// The pool was closed: the server is stopping.
    #[error("the connection pool is closed because the server is stopping")]
    Closed,
}

impl PoolError {
    /// Tells whether trying again later may help, without any change to the request: answer 503.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Connect(_) | Self::Closed => true,
            Self::Query(error) => is_unavailable(error),
        }
    }

    /// Tells whether the same call may succeed at once: others were in its way. A deadlock and the like, 55P03 (lock
    /// timeout) or 57014 (cancelled, by `statement_timeout` for one).
    pub fn is_conflict(&self) -> bool {
        self.is_deadlock() || matches!(self.sqlstate(), "55P03" | "57014")
    }

    /// SQLSTATE class 40: the transaction was rolled back so that others could go on.
    fn is_deadlock(&self) -> bool {
        self.sqlstate().starts_with("40")
    }

    fn sqlstate(&self) -> &str {
        match self {
            Self::Query(error) => error.code().map_or("", |state| state.code()),
            _ => "",
        }
    }
}

/// Tells whether a statement failed for want of a database rather than by its own fault: a lost connection, SQLSTATE
/// class 08 (connection) or 53 (resources), or 57P01 to 57P03 (shutting down, crashed, starting).
pub fn is_unavailable(error: &Error) -> bool {
    if let Some(state) = error.code() {
        let code = state.code();
        return code.starts_with("08")
            || code.starts_with("53")
            || matches!(code, "57P01" | "57P02" | "57P03");
    }
    error.is_closed()
        || error
            .source()
            .is_some_and(<dyn std::error::Error>::is::<io::Error>)
}

/// Connections to one [`Target`]; clones share them.
#[derive(Clone)]
pub struct Pool {
    connections: managed::Pool<Manager>,
    opener: Opener,
    settings: PoolSettings,
}

/// How often a statement is run that was ended to resolve a deadlock.
const TRIES: usize = 3;

/// Runs one statement on any connection, and again where it was rolled back for others' sake: it is a transaction of its
/// own, so that nothing of the first run is left.
macro_rules! by_itself {
    ($pool:ident, |$lease:ident| $run:expr) => {{
        let mut tries = 1;
        loop {
            let $lease = $pool.get().await?;
            let outcome = $run.await;
            match $lease.settle(outcome) {
                Err(error) if error.is_deadlock() && tries < TRIES => tries += 1,
                settled => break settled,
            }
        }
    }};
}

impl Pool {
    /// Prepares a pool. Nothing is opened before the first [`Pool::get`], so a database that is down is no error
    /// here; unreadable root certificates are.
    pub fn new(target: &Target, settings: PoolSettings) -> Result<Self, PoolError> {
        let tls = target.connector().map_err(ConnectError::from)?;
        let opener = Opener {
            target: target.clone(),
            tls,
        };
        Ok(Self {
            connections: build(&opener, settings),
            opener,
            settings,
        })
    }

    /// Takes a connection out, waiting for one if all are busy.
    pub async fn get(&self) -> Result<Lease, PoolError> {
        use managed::PoolError as Refusal;
        let target = &self.opener.target;
        let object = self.connections.get().await.map_err(|refusal| match refusal {
            Refusal::Timeout(TimeoutType::Wait) => PoolError::Timeout {
                waited: self.settings.wait_timeout,
            },
            Refusal::Timeout(TimeoutType::Create | TimeoutType::Recycle) => target.silent().into(),
            Refusal::Backend(source) => target.refused(source).into(),
            // The last two cannot happen: a runtime is set, and there is no hook after creation.
            Refusal::Closed | Refusal::NoRuntimeSpecified | Refusal::PostCreateHook(_) => PoolError::Closed,
        })?;
        Ok(Lease::new(
            object,
            self.opener.tls.clone(),
            self.settings.statements,
        ))
    }

    /// Runs one statement on any connection, as [`Lease::query`].
    pub async fn query(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<Row>, PoolError> {
        by_itself!(self, |lease| lease.query(sql, params))
    }

    /// Runs one statement on any connection, as [`Lease::query_one`].
    pub async fn query_one(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Row, PoolError> {
        by_itself!(self, |lease| lease.query_one(sql, params))
    }

    /// Runs one statement on any connection, as [`Lease::query_opt`].
    pub async fn query_opt(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Option<Row>, PoolError> {
        by_itself!(self, |lease| lease.query_opt(sql, params))
    }

    /// Runs one statement on any connection, as [`Lease::execute`].
    pub async fn execute(&self, sql: &'static str, params: &[Param<'_>]) -> Result<u64, PoolError> {
        by_itself!(self, |lease| lease.execute(sql, params))
    }

    /// Where this pool's connections go, for one outside of it. `None` behind a transaction pooler, where a connection has
    /// no session of its own: nothing to listen on, no lock to hold.
    pub fn session_target(&self) -> Option<&Target> {
        (self.settings.statements == Statements::Prepared).then_some(&self.opener.target)
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

fn build(opener: &Opener, settings: PoolSettings) -> managed::Pool<Manager> {
    // `Fast`: only clean connections come back, and the hook looks after those that rested or aged.
    let recycling = ManagerConfig {
        recycling_method: RecyclingMethod::Fast,
    };
    let manager = Manager::from_connect(Config::new(), opener.clone(), recycling);
    managed::Pool::builder(manager)
        .max_size(settings.max_size)
        .wait_timeout(Some(settings.wait_timeout))
        .create_timeout(Some(OPEN_TIMEOUT))
        .pre_recycle(Hook::async_fn(|client: &mut ClientWrapper, metrics| {
            Box::pin(probe(client, *metrics))
        }))
        .runtime(Runtime::Tokio1)
        .build()
        .expect("a pool with a runtime can be built")
}

/// Lets a pooled connection be used again, or has it replaced.
async fn probe(client: &ClientWrapper, metrics: Metrics) -> Result<(), HookError<Error>> {
    if metrics.age() > MAX_AGE {
        return Err(HookError::message("the connection is old"));
    }
    if metrics.last_used() > PROBE_AFTER {
        tokio::time::timeout(PROBE_TIMEOUT, client.check_connection())
            .await
            .map_err(|_elapsed| HookError::message("the connection is dead"))?
            .map_err(HookError::Backend)?;
    }
    Ok(())
}

/// Opens connections the way [`Target`] does; deadpool's own way knows neither our TLS nor our logging.
#[derive(Clone)]
struct Opener {
    target: Target,
    tls: MakeRustlsConnect,
}

impl Connect for Opener {
    fn connect(
        &self,
        _config: &Config,
    ) -> Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + '_>> {
        Box::pin(self.target.open(self.tls.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg::test_cluster;
    use postgres_types::Type;

    const BACKEND: &str = "select pg_backend_pid()";

    fn settings() -> PoolSettings {
        PoolSettings {
            max_size: 1,
            wait_timeout: Duration::from_millis(300),
            statements: Statements::Prepared,
        }
    }

    async fn pool() -> Pool {
        Pool::new(&test_cluster::shared().database().await, settings()).unwrap()
    }

    #[tokio::test]
    async fn an_exhausted_pool_times_out_and_recovers() {
        let pool = pool().await;
        let lease = pool.get().await.unwrap();
        let refusal = pool.get().await.err().unwrap();
        assert!(
            matches!(refusal, PoolError::Timeout { .. }) && refusal.is_unavailable(),
            "{refusal}"
        );
        lease.done();
        pool.get().await.unwrap().done();
    }

    #[tokio::test]
    async fn a_terminated_backend_is_replaced() {
        let pool = pool().await;
        let pid: i32 = pool.query_one(BACKEND, &[]).await.unwrap().get(0);
        let refusal = pool
            .execute("select pg_terminate_backend(pg_backend_pid())", &[])
            .await
            .unwrap_err();
        assert!(refusal.is_unavailable(), "{refusal:?}");
        let now: i32 = pool.query_one(BACKEND, &[]).await.unwrap().get(0);
        assert_ne!(now, pid);
    }

    #[tokio::test]
    async fn what_has_rested_or_lived_too_long_is_closed() {
        let pool = pool().await;
        let (short, long) = (Duration::ZERO, Duration::from_secs(60));
        for (idle, age, left) in [(long, long, 1), (short, long, 0), (long, short, 0)] {
            pool.get().await.unwrap().done();
            pool.close_idle(idle, age);
            assert_eq!(pool.status().size, left, "{idle:?} {age:?}");
        }
    }

    #[tokio::test]
    async fn a_statement_that_ended_in_a_deadlock_runs_again_and_a_fault_of_its_own_does_not() {
        let pool = pool().await;
        for (raise, runs) in [("40P01", 2), ("40001", 2), ("P0001", 1)] {
            pool.execute("drop sequence if exists runs", &[]).await.unwrap();
            pool.execute("create sequence runs", &[]).await.unwrap();
            let sql = "do $$ begin
                         if nextval('runs') < 2 then
                           raise exception using errcode = current_setting('raised.code');
                         end if;
                       end $$";
            let set = "select set_config('raised.code', $1, false)";
            pool.query(set, &[(&raise, Type::TEXT)]).await.unwrap();
            assert_eq!(pool.execute(sql, &[]).await.is_ok(), runs == 2, "{raise}");
            let row = pool.query_one("select last_value from runs", &[]).await.unwrap();
            assert_eq!(row.get::<_, i64>(0), runs, "{raise}");
        }
    }

    #[tokio::test]
    async fn a_closed_pool_refuses() {
        let pool = pool().await;
        pool.close();
        assert!(matches!(pool.get().await.err(), Some(PoolError::Closed)));
    }

    #[tokio::test]
    async fn a_database_that_is_down_is_unavailable_and_named_without_the_password() {
        let target = Target::parse("postgres://u:hush@127.0.0.1:1/d").unwrap();
        let refusal = Pool::new(&target, settings()).unwrap().get().await.err().unwrap();
        assert!(matches!(refusal, PoolError::Connect(_)) && refusal.is_unavailable());
        assert_eq!(refusal.to_string(), "connecting to u@127.0.0.1:1/d");
        assert!(!format!("{refusal:?}").contains("hush"));
    }

    #[tokio::test]
    async fn statements_run_on_spawned_tasks() {
        let pool = pool().await;
        let task = tokio::spawn(async move { pool.query(BACKEND, &[]).await.map(|rows| rows.len()) });
        assert_eq!(task.await.unwrap().unwrap(), 1);
    }

    #[tokio::test]
    async fn a_failing_statement_keeps_its_connection() {
        let pool = pool().await;
        let pid: i32 = pool.query_one(BACKEND, &[]).await.unwrap().get(0);
        let refusal = pool.execute("select 1 / 0", &[]).await.unwrap_err();
        assert!(matches!(refusal, PoolError::Query(_)) && !refusal.is_unavailable());
        let again = pool.query_opt(BACKEND, &[]).await.unwrap().unwrap();
        assert_eq!(again.get::<_, i32>(0), pid);
    }
}
