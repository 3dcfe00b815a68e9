//! What is prepared, and how values are written.

use super::*;

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
