//! How transactions begin and end.

use super::*;

#[tokio::test]
async fn a_read_cannot_write_and_a_write_has_its_isolation() {
    let fixture = Fixture::new().await;
    let mut forbidden = insert("notes", "1");
    forbidden.opening = opening("authenticated", true);
    assert_eq!(refused(fixture.run(forbidden).await).code, "25006");
    let isolation = "select current_setting('transaction_isolation') as i";
    for (level, expected) in [
        (Isolation::ReadCommitted, "read committed"),
        (Isolation::RepeatableRead, "repeatable read"),
        (Isolation::Serializable, "serializable"),
    ] {
        for read_only in [false, true] {
            let mut request = transaction("anon", read_only, statement(answer(isolation), &[]));
            request.opening.isolation = Some(level);
            assert_eq!(fixture.text(request).await, format!(r#"[{{"i":"{expected}"}}]"#));
        }
    }
}

#[tokio::test]
async fn a_write_is_committed_or_rolled_back_as_asked() {
    let fixture = Fixture::new().await;
    fixture.run(insert("notes", "1")).await.unwrap();
    assert_eq!(fixture.count("notes").await, 1);
    let mut rolled_back = insert("notes", "2");
    rolled_back.rollback = true;
    assert_eq!(fixture.text(rolled_back).await, r#"[{"id":2}]"#);
    assert_eq!(fixture.count("notes").await, 1);
}

#[tokio::test]
async fn constraints_checked_at_the_end_fail_the_request_either_way() {
    let fixture = Fixture::new().await;
    fixture.run(insert("parts", "1")).await.unwrap();
    for rollback in [false, true] {
        let mut request = insert("parts", "1");
        request.rollback = rollback;
        assert_eq!(
            refused(fixture.run(request).await).code,
            "23505",
            "rollback: {rollback}"
        );
    }
    assert_eq!(fixture.count("parts").await, 1);
}

#[tokio::test]
async fn a_write_of_the_wrong_number_of_rows_leaves_nothing() {
    let fixture = Fixture::new().await;
    let sql = "with written as (insert into notes (id) values (1), (2) returning *) ";
    let mut request = transaction(
        "authenticated",
        false,
        statement(sql.to_owned() + &answer("select id from written"), &[]),
    );
    request.verdict = verdict::tests::singular();
    let outcome = fixture.run(request).await;
    assert!(
        matches!(outcome, Err(RestError::Request(RequestError::NotSingular(2)))),
        "{outcome:?}"
    );
    assert_eq!(fixture.count("notes").await, 0);
    let mut request = insert("notes", "1");
    request.verdict = verdict::tests::singular();
    fixture.run(request).await.unwrap();
    assert_eq!(fixture.count("notes").await, 1);
}

#[tokio::test]
async fn a_write_whose_client_goes_away_is_finished() {
    let fixture = Fixture::new().await;
    let sql = "with written as (insert into notes (id) select 1 from pg_sleep(0.3) returning id) ";
    let write = transaction(
        "authenticated",
        false,
        statement(sql.to_owned() + &answer("select id from written"), &[]),
    );
    let dropped = tokio::time::timeout(Duration::from_millis(50), run(&fixture.pool, write)).await;
    assert!(dropped.is_err());
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(fixture.count("notes").await, 1);
    fixture.run(read("select 1 as a")).await.unwrap();
}

#[tokio::test]
async fn an_exhausted_pool_is_told_and_recovers() {
    let fixture = Fixture::new().await;
    let lease = fixture.pool.get().await.unwrap();
    let outcome = fixture.run(read("select 1 as a")).await;
    assert!(
        matches!(outcome, Err(RestError::Unavailable(Unavailable::PoolTimeout))),
        "{outcome:?}"
    );
    lease.done();
    fixture.run(read("select 1 as a")).await.unwrap();
}

#[tokio::test]
async fn a_lost_backend_is_told_and_replaced() {
    let fixture = Fixture::new().await;
    for request in [read("select pg_terminate_backend(pg_backend_pid())"), {
        let mut write = transaction(
            "postgres",
            false,
            statement(answer("select pg_terminate_backend(pg_backend_pid())"), &[]),
        );
        write.verdict = verdict::tests::singular();
        write
    }] {
        let mut request = request;
        request.opening.session = statement("select set_config('role', 'postgres', true)", &[]);
        let outcome = fixture.run(request).await;
        let lost = match &outcome {
            Err(RestError::Unavailable(Unavailable::ConnectionLost)) => true,
            Err(RestError::Database(error)) => error.code == "57P01",
            _ => false,
        };
        assert!(lost, "{outcome:?}");
        fixture.run(read("select 1 as a")).await.unwrap();
    }
}

#[tokio::test]
async fn a_database_that_is_down_is_told() {
    let target = crate::pg::connect::Target::parse("postgres://u:hush@127.0.0.1:1/d").unwrap();
    let settings = PoolSettings {
        max_size: 1,
        wait_timeout: Duration::from_secs(1),
        statements: Statements::Prepared,
    };
    let outcome = run(&Pool::new(&target, settings).unwrap(), read("select 1")).await;
    assert!(
        matches!(outcome, Err(RestError::Unavailable(Unavailable::Connection))),
        "{outcome:?}"
    );
}
