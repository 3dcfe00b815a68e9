//! Results that are too large for one value.

use super::*;
use crate::rest::plan::Handler;

/// A read of many rows, as the renderer makes it.
fn large(rows: &str, text: &str, handler: Handler) -> Transaction {
    Transaction {
        large: Some(Large {
            rows: statement(format!("select {text} from ({rows}) as r"), &[]),
            handler,
            counting: Counting::Cursor,
            offset: 0,
        }),
        ..read(&format!(
            "select * from ({rows}) as capped limit {}",
            STREAM_THRESHOLD + 1
        ))
    }
}

/// A body of many rows whose first chunk is read.
async fn begun(fixture: &Fixture) -> Rows {
    let rows = "select n, repeat('x', 100) as t from generate_series(1, 300000) as n";
    let mut body = streamed(
        fixture
            .run(large(rows, "row_to_json(r)::text", Handler::Json))
            .await,
    );
    body.try_next().await.unwrap().unwrap();
    body
}

fn streamed(result: Result<ResultSet, RestError>) -> Rows {
    match result.unwrap().body {
        Body::Rows(rows) => rows,
        Body::Whole(_) => panic!("a whole body"),
    }
}

#[tokio::test]
async fn a_result_up_to_the_threshold_is_the_probes() {
    let fixture = Fixture::new().await;
    let rows = format!("select n from generate_series(1, {STREAM_THRESHOLD}) as n");
    let result = fixture
        .run(large(&rows, "row_to_json(r)::text", Handler::Json))
        .await
        .unwrap();
    assert_eq!(result.page, STREAM_THRESHOLD);
    assert!(matches!(result.body, Body::Whole(_)));
    fixture.run(read("select 1 as a")).await.unwrap();
}

#[tokio::test]
async fn a_streamed_result_is_that_of_one_value() {
    let fixture = Fixture::new().await;
    let rows = "select n, 'text, \"' || n as t, null as e from generate_series(1, 5000) as n";
    for (text_of_row, all, handler, counting) in [
        (
            "row_to_json(r)::text",
            "json_agg(r)",
            Handler::Json,
            Counting::Cursor,
        ),
        (
            "row_to_json(r)::text",
            "json_agg(r)",
            Handler::Json,
            Counting::Query,
        ),
        (
            "json_strip_nulls(row_to_json(r))::text",
            "json_strip_nulls(json_agg(r))",
            Handler::JsonStripped,
            Counting::Query,
        ),
    ] {
        let mut request = large(rows, text_of_row, handler);
        request.large.as_mut().unwrap().counting = counting;
        let result = fixture.run(request).await.unwrap();
        assert_eq!(result.page, 5000);
        let sql = format!("select {all}::text from ({rows}) as r");
        let whole: String = fixture.owner.query_one(&sql, &[]).await.unwrap().get(0);
        assert!(matches!(result.body, Body::Rows(_)));
        assert_eq!(text(result.body).await.unwrap(), whole, "{counting:?}");
    }
}

#[tokio::test]
async fn rows_that_come_while_a_result_is_counted_are_neither_counted_nor_sent() {
    let fixture = Fixture::new().await;
    fixture
        .owner
        .batch_execute("insert into notes select n from generate_series(1, 5000) as n")
        .await
        .unwrap();
    // Between the probe and the count, another transaction commits.
    let mut request = large("select id from notes", "row_to_json(r)::text", Handler::Json);
    request.large.as_mut().unwrap().counting = Counting::Query;
    let slow = request
        .main
        .sql
        .replace("from (select", "from (select pg_sleep(0.2)) as wait, (select");
    request.main.sql = slow.replace("json_agg(r)", "json_agg(r.*)");
    let writer = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        fixture
            .owner
            .batch_execute("insert into notes values (0)")
            .await
            .unwrap();
    };
    let (result, ()) = tokio::join!(fixture.run(request), writer);
    let result = result.unwrap();
    let page = usize::try_from(result.page).unwrap();
    let sent = text(result.body).await.unwrap().matches("\"id\":").count();
    assert_eq!(sent, page, "what is counted is what is sent");
}

#[tokio::test]
async fn streamed_csv_has_the_probes_header() {
    let fixture = Fixture::new().await;
    let rows = "select n, n + 1 as m from generate_series(1, 5000) as n";
    let mut request = large(rows, "substring(r::text, 2, length(r::text) - 2)", Handler::Csv);
    request.main = statement(
        answer(&format!("select * from ({rows}) as capped limit 3000"))
            .replace("coalesce(json_agg(r), '[]')", "E'n,m\\n1,2'"),
        &[],
    );
    let csv = text(fixture.run(request).await.unwrap().body).await.unwrap();
    assert!(
        csv.starts_with("n,m\n1,2\n2,3\n") && csv.ends_with("\n5000,5001"),
        "{csv}"
    );
}

#[tokio::test]
async fn a_million_rows_stay_out_of_memory() {
    let fixture = Fixture::new().await;
    let rows = "select n, repeat('x', 100) as t from generate_series(1, 1000000) as n";
    let mut request = large(rows, "row_to_json(r)::text", Handler::Json);
    request.count = CountRule::Counted;
    let before = resident_mb();
    let result = fixture.run(request).await.unwrap();
    assert_eq!(result.page, 1_000_000);
    let Body::Rows(mut body) = result.body else {
        panic!()
    };
    let (mut bytes, mut peak) = (0, before);
    while let Some(chunk) = body.try_next().await.unwrap() {
        bytes += chunk.len();
        peak = peak.max(resident_mb());
    }
    assert!(bytes > 100_000_000, "{bytes} bytes");
    // The body itself adds a megabyte or two; other tests of this process run at the same time.
    assert!(peak < before + 100, "{before} MB before, {peak} MB at most");
    fixture.run(read("select 1 as a")).await.unwrap();
}

#[tokio::test]
async fn a_body_that_nobody_reads_on_frees_its_connection() {
    let fixture = Fixture::new().await;
    drop(begun(&fixture).await);
    fixture.run(read("select 1 as a")).await.unwrap();
}

#[tokio::test]
async fn a_late_failure_breaks_the_body_off() {
    let fixture = Fixture::new().await;
    let body = begun(&fixture).await;
    let kill = "select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()";
    fixture.owner.execute(kill, &[]).await.unwrap();
    assert!(body.try_collect::<Vec<_>>().await.is_err());
    fixture.run(read("select 1 as a")).await.unwrap();
}

#[tokio::test]
async fn an_error_of_the_rows_is_told_before_the_body_begins() {
    let fixture = Fixture::new().await;
    let rows = "select n, 1 / (n - 4000) as t from generate_series(1, 5000) as n";
    assert_eq!(
        refused(
            fixture
                .run(large(rows, "row_to_json(r)::text", Handler::Json))
                .await
        )
        .code,
        "22012"
    );
    fixture.run(read("select 1 as a")).await.unwrap();
}

fn resident_mb() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = pages.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096 / 1_000_000
}
