//! The lease: what keeps one request's identity from reaching the next.
//!
//! Requests write `begin`, the role and the claims by hand, pipelined with their statement. When such a request is
//! dropped half-way, its connection stands inside an open transaction under somebody's role, and no recycling query
//! cleans that up both safely and quickly: it would wait for the abandoned statement first. So a connection goes back
//! into the pool only by [`Lease::done`]; a lease that is merely dropped takes it out for good.

use std::{pin::pin, time::Duration};

use deadpool::managed::Object;
use deadpool_postgres::{ClientWrapper, Manager};
use tokio_postgres::{
    Client, Error, Row, Statement,
    error::SqlState,
    types::{ToSql, Type},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{PoolError, Statements, is_unavailable};

/// Wait before the first cancel request: most abandoned connections rest already, and a request costs a connection.
const CANCEL_GRACE: Duration = Duration::from_millis(5);
/// Waits after each cancel request.
const CANCEL_PATIENCE: [Duration; 3] = [
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(5),
];

/// One parameter and the type it is sent as.
pub type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// One connection, for one user at a time.
///
/// Call [`Lease::done`] when every transaction on it has ended. A lease dropped without it, by an error or because
/// the caller went away, costs its connection: the running statement is cancelled, what was open is rolled back
/// and the connection is closed. The place in the pool is free at once.
pub struct Lease {
    /// Present until the lease ends.
    object: Option<Object<Manager>>,
    tls: MakeRustlsConnect,
    statements: Statements,
}

/// Sends one statement in the lease's way. A plan that the server no longer takes is dropped, and the statement
/// sent once more, unnamed; inside a failed transaction that cannot work, and the first error is the telling one.
macro_rules! send {
    ($lease:ident, $sql:ident, $params:ident, $named:ident, $unnamed:ident) => {
        match $lease.prepare($sql, $params).await? {
            None => $lease.client().$unnamed($sql, $params).await,
            Some((statement, values)) => match $lease.client().$named(&statement, &values).await {
                Err(stale) if is_stale(&stale) => {
                    $lease.forget($sql, $params);
                    let again = $lease.client().$unnamed($sql, $params).await;
                    again.map_err(|error| {
                        if is_failed_transaction(&error) {
                            stale
                        } else {
                            error
                        }
                    })
                }
                outcome => outcome,
            },
        }
    };
}

impl Lease {
    pub(super) fn new(object: Object<Manager>, tls: MakeRustlsConnect, statements: Statements) -> Self {
        Self {
            object: Some(object),
            tls,
            statements,
        }
    }

    /// Runs one statement and collects its rows.
    ///
    /// One round trip, save for the first use of a text on a connection, which prepares it. Texts are `'static` so
    /// that a connection cannot collect prepared statements without bound.
    pub async fn query(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<Row>, Error> {
        send!(self, sql, params, query, query_typed)
    }

    /// Runs one statement that answers with exactly one row; any other number is an error.
    pub async fn query_one(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Row, Error> {
        send!(self, sql, params, query_one, query_typed_one)
    }

    /// Runs one statement that answers with at most one row; more are an error.
    pub async fn query_opt(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Option<Row>, Error> {
        send!(self, sql, params, query_opt, query_typed_opt)
    }

    /// Runs one statement for its effect and counts the rows it touched.
    pub async fn execute(&self, sql: &'static str, params: &[Param<'_>]) -> Result<u64, Error> {
        send!(self, sql, params, execute, execute_typed)
    }

    /// Reaches the connection itself, for transactions and pipelines.
    pub fn client(&self) -> &Client {
        self.wrapper()
    }

    /// Gives the connection back for others. It must stand outside any transaction, with no session setting changed.
    pub fn done(mut self) {
        drop(self.object.take());
    }

    /// Ends the lease of a statement that ran alone. Even a failed one leaves nothing open, so its connection goes back,
    /// unless it is the connection that failed.
    pub(super) fn settle<T>(self, outcome: Result<T, Error>) -> Result<T, PoolError> {
        if !outcome.as_ref().is_err_and(is_unavailable) {
            self.done();
        }
        outcome.map_err(PoolError::Query)
    }

    fn wrapper(&self) -> &ClientWrapper {
        self.object
            .as_ref()
            .expect("a lease has its connection until it ends")
    }

    /// Prepares a statement and lines up its values, if this pool names statements.
    async fn prepare<'a>(
        &self,
        sql: &'static str,
        params: &[Param<'a>],
    ) -> Result<Option<(Statement, Vec<&'a (dyn ToSql + Sync)>)>, Error> {
        if self.statements == Statements::Unnamed {
            return Ok(None);
        }
        let statement = self.wrapper().prepare_typed_cached(sql, &types(params)).await?;
        Ok(Some((
            statement,
            params.iter().map(|(value, _)| *value).collect(),
        )))
    }

    fn forget(&self, sql: &'static str, params: &[Param<'_>]) {
        drop(self.wrapper().statement_cache.remove(sql, &types(params)));
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(object) = self.object.take() else { return };
        let client = Object::take(object);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn(abandon(client, self.tls.clone())));
        }
    }
}

/// Brings an abandoned connection to rest and closes it.
///
/// The cancel request goes out while the connection still stands, since poolers forget a client's key with the
/// client. It is repeated because it hits whatever statement runs at that moment, and pipelined ones may follow.
async fn abandon(client: ClientWrapper, tls: MakeRustlsConnect) {
    let token = client.cancel_token();
    // Answered once everything sent before is over.
    let mut rest = pin!(client.simple_query("rollback"));
    if tokio::time::timeout(CANCEL_GRACE, &mut rest).await.is_ok() {
        return;
    }
    for patience in CANCEL_PATIENCE {
        let cancelling = async {
            token.cancel_query(tls.clone()).await.ok();
            rest.as_mut().await.ok();
        };
        if tokio::time::timeout(patience, cancelling).await.is_ok() {
            return;
        }
    }
    tracing::warn!("an abandoned statement could not be cancelled; its connection is closed anyway");
}

fn types(params: &[Param<'_>]) -> Vec<Type> {
    params.iter().map(|(_, kind)| kind.clone()).collect()
}

/// Tells whether the server refused a prepared statement before running it: its result has other columns since a
/// migration, or the session has forgotten it. The first has no SQLSTATE of its own, and its text is translated.
pub fn is_stale(error: &Error) -> bool {
    error.as_db_error().is_some_and(|refusal| {
        *refusal.code() == SqlState::INVALID_SQL_STATEMENT_NAME
            || refusal.routine() == Some("RevalidateCachedQuery")
    })
}

fn is_failed_transaction(error: &Error) -> bool {
    error.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::pg::{
        pool::{Pool, PoolSettings},
        test_cluster,
    };

    /// A pool of one, so that the next user gets what the last one left.
    async fn pool(statements: Statements) -> Pool {
        let settings = PoolSettings {
            max_size: 1,
            wait_timeout: Duration::from_secs(5),
            statements,
        };
        let pool = Pool::new(&test_cluster::shared().database().await, settings).unwrap();
        let lease = pool.get().await.unwrap();
        lease.client().batch_execute(test_cluster::ROLES).await.unwrap();
        lease.done();
        pool
    }

    async fn backend(lease: &Lease) -> i32 {
        lease
            .query_one("select pg_backend_pid()", &[])
            .await
            .unwrap()
            .get(0)
    }

    const IDENTIFY: &str = "begin; set local role authenticated;
        select set_config('request.jwt.claims', '{\"sub\":\"victim\"}', true)";

    /// Asserts that the next lease of a pool of one is nobody, is in no transaction and comes at once.
    async fn assert_clean(pool: &Pool, abandoned: i32) {
        let started = Instant::now();
        let lease = pool.get().await.unwrap();
        let identity = "select current_user::text, coalesce(current_setting('request.jwt.claims', true), '')";
        let row = lease.query_one(identity, &[]).await.unwrap();
        assert!(
            started.elapsed() < Duration::from_secs(1),
            "served after {:?}",
            started.elapsed()
        );
        assert_eq!((row.get(0), row.get(1)), ("postgres", ""));
        let outside = lease.client().batch_execute("savepoint a").await.unwrap_err();
        assert_eq!(outside.code(), Some(&SqlState::NO_ACTIVE_SQL_TRANSACTION));
        let alive = "select count(*) from pg_stat_activity where pid = $1";
        let params: &[Param<'_>] = &[(&abandoned, Type::INT4)];
        while lease.query_one(alive, params).await.unwrap().get::<_, i64>(0) > 0 {
            assert!(
                started.elapsed() < Duration::from_secs(2),
                "the abandoned backend still runs"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        lease.done();
    }

    #[tokio::test]
    async fn a_lease_dropped_between_statements_leaks_nothing() {
        let pool = pool(Statements::Prepared).await;
        let lease = pool.get().await.unwrap();
        let pid = backend(&lease).await;
        lease.client().batch_execute(IDENTIFY).await.unwrap();
        drop(lease);
        assert_clean(&pool, pid).await;
    }

    #[tokio::test]
    async fn a_lease_dropped_during_a_long_query_leaks_nothing_and_cancels_it() {
        let pool = pool(Statements::Prepared).await;
        let lease = pool.get().await.unwrap();
        let pid = backend(&lease).await;
        let request = async move {
            let client = lease.client();
            let sleep = client.batch_execute("select pg_sleep(30)");
            let (begun, slept) = tokio::join!(biased; client.batch_execute(IDENTIFY), sleep);
            begun.and(slept).unwrap();
            lease.done();
        };
        assert!(
            tokio::time::timeout(Duration::from_millis(100), request)
                .await
                .is_err()
        );
        assert_clean(&pool, pid).await;
    }

    #[tokio::test]
    async fn a_lease_given_back_is_used_again() {
        let pool = pool(Statements::Prepared).await;
        let lease = pool.get().await.unwrap();
        let pid = backend(&lease).await;
        lease.done();
        let lease = pool.get().await.unwrap();
        assert_eq!(backend(&lease).await, pid);
    }

    #[tokio::test]
    async fn a_statement_survives_a_change_of_its_result() {
        let pool = pool(Statements::Prepared).await;
        let lease = pool.get().await.unwrap();
        lease
            .client()
            .batch_execute("create table t (a int); insert into t values (1)")
            .await
            .unwrap();
        assert_eq!(lease.query_one("select * from t", &[]).await.unwrap().len(), 1);
        lease
            .client()
            .batch_execute("alter table t add b int")
            .await
            .unwrap();
        assert_eq!(lease.query_one("select * from t", &[]).await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn only_prepared_statements_are_named() {
        const SQL: &str = "select $1::int4 + 1";
        for (statements, expected) in [(Statements::Prepared, 1_i64), (Statements::Unnamed, 0)] {
            let pool = pool(statements).await;
            let lease = pool.get().await.unwrap();
            for _ in 0..3 {
                assert_eq!(
                    lease
                        .query_one(SQL, &[(&1_i32, Type::INT4)])
                        .await
                        .unwrap()
                        .get::<_, i32>(0),
                    2
                );
            }
            let named = "select count(*) from pg_prepared_statements where statement = $1";
            let row = lease
                .client()
                .query_typed_one(named, &[(&SQL, Type::TEXT)])
                .await
                .unwrap();
            assert_eq!(row.get::<_, i64>(0), expected, "{statements:?}");
        }
    }
}
