//! Pipelines against a real PostgreSQL.

mod connections;
mod pipelines;
mod statements;

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::*;
use crate::pg::connect::Target;
use crate::pg::pool::{PoolSettings, Statements as Names};
use crate::pg::test_cluster;

const IDENTIFY: &str = "select set_config('role', $1, true), set_config('request.jwt.claims', $2, true)";
const WHO: &str = "select current_user::text, coalesce(current_setting('request.jwt.claims', true), '')";

impl Parameter for &str {
    fn bytes(&self) -> Option<&[u8]> {
        Some(str::as_bytes(self))
    }

    fn is_binary(&self) -> bool {
        false
    }
}

fn settings() -> PoolSettings {
    PoolSettings {
        max_size: 1,
        wait_timeout: Duration::from_millis(300),
        statements: Names::Prepared,
    }
}

/// A pool of one, so that the next user gets what the last one left; and the owner's own connection.
struct Fixture {
    pool: Pool,
    owner: Client,
}

impl Fixture {
    async fn new() -> Self {
        Self::with(settings()).await
    }

    async fn with(settings: PoolSettings) -> Self {
        let target = test_cluster::shared().database().await;
        let owner = target.connect().await.unwrap();
        owner.batch_execute(test_cluster::ROLES).await.unwrap();
        Self {
            pool: Pool::new(&target, settings).unwrap(),
            owner,
        }
    }

    async fn lease(&self) -> Lease {
        self.pool.get().await.unwrap()
    }

    /// Runs one statement and gives the connection back.
    async fn one(&self, sql: &str) -> String {
        let mut lease = self.lease().await;
        let replies = lease.run(&[step(sql, &[])]).await.unwrap();
        assert_eq!(replies.refused, None);
        lease.done();
        value(&replies, 0, 0)
    }

    /// Asserts that the next lease is nobody, is in no transaction and comes at once.
    async fn assert_clean(&self) {
        let started = Instant::now();
        let mut lease = self.lease().await;
        let replies = lease.run(&[step(WHO, &[])]).await.unwrap();
        assert_eq!(
            (value(&replies, 0, 0), value(&replies, 0, 1)),
            ("postgres".to_owned(), String::new())
        );
        assert!(
            started.elapsed() < Duration::from_secs(1),
            "served after {:?}",
            started.elapsed()
        );
        lease.done();
    }

    async fn assert_gone(&self, pid: &str) {
        let started = Instant::now();
        let alive = "select count(*) from pg_stat_activity where pid::text = $1";
        while self
            .owner
            .query_one(alive, &[&pid])
            .await
            .unwrap()
            .get::<_, i64>(0)
            > 0
        {
            assert!(
                started.elapsed() < Duration::from_secs(2),
                "the abandoned backend still runs"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn step<'a>(sql: &'a str, values: &'a [&'a str]) -> Step<'a, &'a str> {
    Step {
        role: "",
        sql,
        values,
        wanted: true,
    }
}

fn value(replies: &Replies, step: usize, column: usize) -> String {
    let row = replies.rows(step).next().unwrap();
    row::text(row.bytes(column).unwrap().unwrap()).unwrap()
}

fn code(replies: &Replies) -> Option<(usize, &str)> {
    replies
        .refused
        .as_ref()
        .map(|(step, refusal)| (*step, refusal.code.as_str()))
}

const PID: &str = "select pg_backend_pid()::text";
