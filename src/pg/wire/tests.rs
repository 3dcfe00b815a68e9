//! Pipelines against a real PostgreSQL.

use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair};
use tokio_postgres::Client;

use super::*;
use crate::pg::connect::Target;
use crate::pg::pool::{PoolSettings, Statements as Names};
use crate::pg::test_cluster;
use crate::pg::tls::tests::Server;

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

#[tokio::test]
async fn a_pipeline_is_one_transaction_and_its_identity_ends_with_it() {
    let fixture = Fixture::new().await;
    let mut lease = fixture.lease().await;
    let steps = [
        step(IDENTIFY, &["anon", "{}"]),
        step(WHO, &[]),
        step("select pg_current_xact_id()::text", &[]),
        step("select pg_current_xact_id()::text", &[]),
    ];
    for _ in 0..2 {
        let replies = lease.run(&steps).await.unwrap();
        assert_eq!(
            (value(&replies, 1, 0), value(&replies, 1, 1)),
            ("anon".to_owned(), "{}".to_owned())
        );
        assert_eq!(value(&replies, 2, 0), value(&replies, 3, 0));
        assert!(lease.wire().is_clean());
    }
    lease.done();
    fixture.assert_clean().await;
}

#[tokio::test]
async fn nothing_runs_behind_a_step_that_failed() {
    let fixture = Fixture::new().await;
    fixture
        .owner
        .batch_execute("create table t (a text)")
        .await
        .unwrap();
    let write = "insert into t values ($1) returning a";
    let mut lease = fixture.lease().await;
    // Both unknown and known to the connection.
    for _ in 0..2 {
        let steps = [step(IDENTIFY, &["nobody at all", "{}"]), step(write, &["x"])];
        let replies = lease.run(&steps).await.unwrap();
        assert_eq!(code(&replies), Some((0, "22023")));
        assert_eq!(replies.rows(1).count(), 0);
        assert!(lease.wire().is_clean());
        // The name is free for the next time.
        lease
            .run(&[step(write, &["y"]), step("select 1 / 0", &[])])
            .await
            .unwrap();
    }
    lease.done();
    assert_eq!(fixture.one("select count(*)::text from t").await, "0");
    fixture.assert_clean().await;
}

#[tokio::test]
async fn what_is_checked_at_the_end_fails_the_end() {
    let fixture = Fixture::new().await;
    fixture
        .owner
        .batch_execute("create table parts (id text primary key deferrable initially deferred)")
        .await
        .unwrap();
    let mut lease = fixture.lease().await;
    let twice = step("insert into parts values ($1), ($1) returning id", &["1"]);
    let replies = lease.run(&[twice]).await.unwrap();
    assert_eq!((replies.rows(0).count(), code(&replies)), (2, Some((1, "23505"))));
    assert!(lease.wire().is_clean());
    lease.done();
}

#[tokio::test]
async fn a_lease_given_back_inside_a_transaction_is_not_used_again() {
    let fixture = Fixture::new().await;
    let mut lease = fixture.lease().await;
    let begun = [
        Step::command("begin"),
        step(IDENTIFY, &["anon", "{}"]),
        step(PID, &[]),
    ];
    let pid = value(&lease.run(&begun).await.unwrap(), 2, 0);
    lease.done();
    fixture.assert_clean().await;
    fixture.assert_gone(&pid).await;
    let mut lease = fixture.lease().await;
    let pid = value(&lease.run(&begun).await.unwrap(), 2, 0);
    lease.leave().await;
    fixture.assert_clean().await;
    assert_eq!(fixture.one(PID).await, pid, "left properly, it stays");
}

#[tokio::test]
async fn a_pipeline_dropped_half_way_leaks_nothing_and_is_cancelled() {
    let fixture = Fixture::new().await;
    let pid = fixture.one(PID).await;
    let mut lease = fixture.lease().await;
    let request = async move {
        let steps = [step(IDENTIFY, &["anon", "{}"]), step("select pg_sleep(30)", &[])];
        lease.run(&steps).await.unwrap();
        lease.done();
    };
    assert!(
        tokio::time::timeout(Duration::from_millis(100), request)
            .await
            .is_err()
    );
    fixture.assert_clean().await;
    fixture.assert_gone(&pid).await;
}

#[tokio::test]
async fn a_pipeline_that_never_left_leaks_nothing() {
    let fixture = Fixture::new().await;
    let mut lease = fixture.lease().await;
    lease.wire().send(&[step(IDENTIFY, &["anon", "{}"])]).unwrap();
    drop(lease);
    fixture.assert_clean().await;
}

#[tokio::test]
async fn a_lost_backend_is_told_and_replaced() {
    let fixture = Fixture::new().await;
    let mut lease = fixture.lease().await;
    let error = lease
        .run(&[step("select pg_terminate_backend(pg_backend_pid())", &[])])
        .await
        .unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    lease.done();
    fixture.assert_clean().await;
    // One that was lost while it rested costs nobody a request.
    let pid = fixture.one(PID).await;
    let kill = "select pg_terminate_backend($1::text::int)";
    fixture.owner.execute(kill, &[&pid]).await.unwrap();
    fixture.assert_gone(&pid).await;
    fixture.assert_clean().await;
}

#[tokio::test]
async fn statements_are_prepared_once_a_role_and_the_longest_unused_are_closed() {
    let fixture = Fixture::new().await;
    fixture.pool.keep_statements(3);
    let mut lease = fixture.lease().await;
    for (role, sql) in [
        ("a", "select 1"),
        ("b", "select 1"),
        ("a", "select 2"),
        ("a", "select 1"),
        ("a", "select 3"),
    ] {
        lease
            .run(&[Step {
                role,
                ..step(sql, &[])
            }])
            .await
            .unwrap();
    }
    let kept = "select string_agg(statement, ';' order by name) from pg_prepared_statements where statement like 'select _'";
    let replies = lease.run(&[step(kept, &[])]).await.unwrap();
    // The asking one took the place of another, which is closed with the pipeline that follows.
    assert_eq!(value(&replies, 0, 0), "select 1;select 2;select 3");
    lease.done();
    fixture.pool.forget_statements();
    let lasting = "select count(*)::text from pg_prepared_statements";
    assert_eq!(fixture.one(lasting).await, "1");
}

#[tokio::test]
async fn a_pool_behind_a_transaction_pooler_names_nothing() {
    let fixture = Fixture::with(PoolSettings {
        statements: Names::Unnamed,
        ..settings()
    })
    .await;
    for _ in 0..2 {
        assert_eq!(
            fixture
                .one("select count(*)::text from pg_prepared_statements")
                .await,
            "0"
        );
    }
}

#[tokio::test]
async fn a_stale_statement_is_told_as_such() {
    let fixture = Fixture::new().await;
    fixture
        .owner
        .batch_execute("create table t (a text); insert into t values ('1')")
        .await
        .unwrap();
    let read = "select * from t";
    assert_eq!(fixture.one(read).await, "1");
    fixture
        .owner
        .batch_execute("alter table t add b int")
        .await
        .unwrap();
    let mut lease = fixture.lease().await;
    let refusal = lease.run(&[step(read, &[])]).await.unwrap().refused.unwrap().1;
    assert!(refusal.is_stale(), "{refusal:?}");
    lease.wire().forget_all();
    lease.run(&[step(read, &[])]).await.unwrap();
    lease.run(&[step("deallocate all", &[])]).await.unwrap();
    let refusal = lease.run(&[step(read, &[])]).await.unwrap().refused.unwrap().1;
    assert!(refusal.is_stale(), "{refusal:?}");
    lease.done();
}

#[tokio::test]
async fn long_texts_and_long_answers_pass_at_the_same_time() {
    let fixture = Fixture::new().await;
    let long = "x".repeat(3_000_000);
    let values = [long.as_str()];
    let mut lease = fixture.lease().await;
    let steps = [step("select $1::text", &values), step("select $1::text", &values)];
    let replies = tokio::time::timeout(Duration::from_secs(10), lease.run(&steps))
        .await
        .unwrap()
        .unwrap();
    assert!(value(&replies, 0, 0) == long && value(&replies, 1, 0) == long);
    lease.done();
    fixture.assert_clean().await;
}

#[tokio::test]
async fn nulls_and_binary_values_are_told_apart() {
    struct Value(Option<&'static [u8]>, bool);
    impl Parameter for Value {
        fn bytes(&self) -> Option<&[u8]> {
            self.0
        }
        fn is_binary(&self) -> bool {
            self.1
        }
    }
    let fixture = Fixture::new().await;
    let mut lease = fixture.lease().await;
    let values = [
        Value(None, false),
        Value(Some(b"a\0b"), true),
        Value(Some(b""), false),
    ];
    let replies = lease
        .run(&[Step {
            role: "",
            sql: "select $1::text, $2::bytea, $3::text",
            values: &values,
            wanted: true,
        }])
        .await
        .unwrap();
    let row = replies.rows(0).next().unwrap();
    let columns = [0, 1, 2].map(|column| row.get(column).unwrap());
    assert_eq!(
        columns.each_ref().map(Option::as_deref),
        [None, Some(&b"a\0b"[..]), Some(b"")]
    );
    lease.done();
}

#[tokio::test]
async fn what_cannot_be_written_down_sends_nothing() {
    let fixture = Fixture::new().await;
    let mut lease = fixture.lease().await;
    let many = vec![""; 70_000];
    let error = lease.run(&[step("select 1", &many)]).await.unwrap_err();
    assert!(
        matches!(error, WireError::Encode(_)) && !error.is_unavailable(),
        "{error:?}"
    );
    lease.done();
    fixture.assert_clean().await;
}

#[tokio::test]
async fn an_exhausted_pool_times_out_and_recovers() {
    let fixture = Fixture::new().await;
    let lease = fixture.lease().await;
    assert!(matches!(
        fixture.pool.get().await.err(),
        Some(LeaseError::Timeout { .. })
    ));
    lease.done();
    fixture.assert_clean().await;
    fixture.pool.close_idle(Duration::ZERO, Duration::from_secs(60));
    assert_eq!(fixture.pool.status().size, 0);
    fixture.pool.close();
    assert!(matches!(fixture.pool.get().await.err(), Some(LeaseError::Closed)));
}

#[tokio::test]
async fn a_database_that_is_down_is_named_without_the_password() {
    let target = Target::parse("postgres://u:hush@127.0.0.1:1/d").unwrap();
    let refusal = Pool::new(&target, settings()).unwrap().get().await.err().unwrap();
    assert_eq!(refusal.to_string(), "connecting to u@127.0.0.1:1/d");
    assert!(!format!("{refusal:?}").contains("hush"));
}

#[tokio::test]
async fn a_password_is_put_to_the_test() {
    let target = test_cluster::shared().database().await;
    let owner = target.connect().await.unwrap();
    owner
        .batch_execute("create role \"Wire Scram\" login password 'right'")
        .await
        .unwrap();
    for (password, expected) in [("right", None), ("wrong", Some("28P01"))] {
        let pool = Pool::new(&target.with_login("Wire Scram", password), settings()).unwrap();
        let refused = match pool.get().await {
            Ok(lease) => {
                lease.done();
                None
            }
            Err(LeaseError::Open {
                source: WireError::Refused(refusal),
                ..
            }) => Some(refusal.code),
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(refused.as_deref(), expected);
    }
}

#[tokio::test]
async fn sessions_are_encrypted_bound_to_the_channel_and_held_to_the_mode() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["db.test".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let server = Server::start(&certificate, &key);
    let root = server.file("root.crt", &certificate);
    let owner = server.cluster.target("postgres").connect().await.unwrap();
    owner
        .batch_execute("create role \"U\" login password 'p'")
        .await
        .unwrap();
    let connect = async |host: &str, parameters: &str| {
        let place = format!("host={host} hostaddr=127.0.0.1 port={}", server.port);
        let text = format!("{place} user=U password=p dbname=postgres {parameters}");
        let mut lease = Pool::new(&Target::parse(&text).unwrap(), settings())
            .unwrap()
            .get()
            .await?;
        let ssl = "select ssl::text from pg_stat_ssl where pid = pg_backend_pid()";
        let replies = lease.run(&[step(ssl, &[])]).await.unwrap();
        lease.done();
        Ok::<_, LeaseError>(value(&replies, 0, 0))
    };
    for (parameters, expected) in [
        ("sslmode=disable".to_owned(), "false"),
        ("sslmode=prefer channel_binding=disable".to_owned(), "true"),
        ("sslmode=require channel_binding=require".to_owned(), "true"),
        (
            format!("sslmode=verify-full sslrootcert={root} channel_binding=require"),
            "true",
        ),
    ] {
        assert_eq!(
            connect("db.test", &parameters).await.unwrap(),
            expected,
            "{parameters}"
        );
    }
    let refused = connect("other.test", &format!("sslmode=verify-full sslrootcert={root}"))
        .await
        .unwrap_err();
    assert!(
        crate::error::chain(&refused).contains("not valid for name"),
        "{refused:?}"
    );
    let refused = connect("db.test", "sslmode=disable channel_binding=require")
        .await
        .unwrap_err();
    assert!(
        crate::error::chain(&refused).contains("channel binding"),
        "{refused:?}"
    );
}
