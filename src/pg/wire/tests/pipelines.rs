//! Pipelines: one transaction each, of which nothing is left.

use super::*;

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
