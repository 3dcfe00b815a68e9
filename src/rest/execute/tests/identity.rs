//! Who a request is, and that nothing of it is left to the next.

use super::*;

#[tokio::test]
async fn a_request_runs_as_its_role_and_the_next_one_does_not() {
    let fixture = Fixture::new().await;
    let who = "select current_user::text as who, current_setting('request.jwt.claims', true) as claims";
    let first = fixture
        .text(transaction("authenticated", true, statement(answer(who), &[])))
        .await;
    assert!(first.contains(r#""who":"authenticated""#), "{first}");
    let second = fixture.text(read(who)).await;
    assert!(
        second.contains(r#""who":"anon""#) && !second.contains("authenticated"),
        "{second}"
    );
    let outside = "select current_user::text || current_setting('request.jwt.claims')";
    assert_eq!(fixture.outside(outside).await, "postgres");
}

#[tokio::test]
async fn a_request_that_is_dropped_leaves_nothing_to_the_next() {
    let fixture = Fixture::new().await;
    let slow = transaction(
        "authenticated",
        true,
        statement(answer("select pg_sleep(30)"), &[]),
    );
    let dropped = tokio::time::timeout(Duration::from_millis(100), run(&fixture.pool, slow)).await;
    assert!(dropped.is_err());
    let started = Instant::now();
    let who = fixture.text(read("select current_user::text as who")).await;
    assert_eq!(who, r#"[{"who":"anon"}]"#);
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn settings_of_sql_code_reach_the_result() {
    let fixture = Fixture::new().await;
    let set = "select set_config('response.headers', '[{\"a\":\"b\"}]', true), set_config('response.status', '418', true)";
    let mut request = read("select 1 as a");
    request.opening.pre_request = Some(statement(set, &[]));
    let result = fixture.run(request).await.unwrap();
    assert_eq!(result.headers.as_deref(), Some("[{\"a\":\"b\"}]"));
    assert_eq!(result.status.as_deref(), Some("418"));
    let next = fixture.run(read("select 1 as a")).await.unwrap();
    assert_eq!((next.headers, next.status), (None, None));
}

#[tokio::test]
async fn the_first_error_is_told() {
    let fixture = Fixture::new().await;
    let error = refused(
        fixture
            .run(transaction(
                "nobody at all",
                true,
                statement(answer("select 1/0"), &[]),
            ))
            .await,
    );
    assert_eq!(error.code, "22023", "{error:?}");
    let mut request = read("select 1 as a");
    request.opening.pre_request = Some(statement("select 1 / 0", &[]));
    assert_eq!(refused(fixture.run(request).await).code, "22012");
    let error = refused(
        fixture
            .run(transaction(
                "authenticated",
                true,
                statement("select * from nowhere", &[]),
            ))
            .await,
    );
    assert_eq!((error.code.as_str(), error.authenticated), ("42P01", true));
    fixture.run(read("select 1 as a")).await.unwrap();
}
