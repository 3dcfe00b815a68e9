//! Transactions against a real PostgreSQL.

use std::time::{Duration, Instant};

use super::*;
use crate::pg::pool::{PoolSettings, Statements};
use crate::pg::test_cluster;
use crate::rest::error::{DatabaseError, RequestError, Unavailable};
use crate::rest::plan::Handler;
use crate::rest::query::Value;

const SCHEMA: &str = "
    create table notes (id int primary key, text text);
    create table parts (id int primary key deferrable initially deferred);
    grant all on notes, parts to authenticated;
    grant select on notes to anon;
    create table calls (n int);
    grant all on calls to authenticated;
";

/// A pool of one, so that each request gets what the last one left; and the owner's own connection.
struct Fixture {
    pool: Pool,
    owner: Client,
}

impl Fixture {
    async fn new() -> Self {
        Self::with(Statements::Prepared).await
    }

    async fn with(statements: Statements) -> Self {
        let target = test_cluster::shared().database().await;
        let settings = PoolSettings {
            max_size: 1,
            wait_timeout: Duration::from_millis(300),
            statements,
        };
        let owner = target.connect().await.unwrap();
        owner.batch_execute(test_cluster::ROLES).await.unwrap();
        owner.batch_execute(SCHEMA).await.unwrap();
        Self {
            pool: Pool::new(&target, settings).unwrap(),
            owner,
        }
    }

    async fn run(&self, transaction: Transaction) -> Result<ResultSet, RestError> {
        run(&self.pool, transaction).await.map(|outcome| match outcome {
            Outcome::Rows(result) => result,
            Outcome::Plan(_) => panic!("a plan"),
        })
    }

    async fn text(&self, transaction: Transaction) -> String {
        text(self.run(transaction).await.unwrap().body).await.unwrap()
    }

    async fn count(&self, table: &str) -> i64 {
        let sql = format!("select count(*) from {table}");
        self.owner.query_one(&sql, &[]).await.unwrap().get(0)
    }
}

async fn text(body: Body) -> std::io::Result<String> {
    let bytes = match body {
        Body::Whole(bytes) => bytes.to_vec(),
        Body::Rows(rows) => rows.try_collect::<Vec<_>>().await?.concat(),
    };
    Ok(String::from_utf8(bytes).unwrap())
}

fn statement(sql: impl Into<String>, values: &[&str]) -> Statement {
    Statement {
        sql: sql.into(),
        values: values
            .iter()
            .map(|value| Value::Text((*value).to_owned()))
            .collect(),
    }
}

/// The seven columns of a main statement over the rows of a query.
fn answer(rows: &str) -> String {
    format!(
        "select null::int8 as total_result_set, count(*) as page_total, coalesce(json_agg(r), '[]') as body,
           nullif(current_setting('response.headers', true), '') as response_headers,
           nullif(current_setting('response.status', true), '') as response_status,
           null::int8 as response_inserted, null::text[] as header from ({rows}) as r"
    )
}

fn opening(role: &str, read_only: bool) -> Opening {
    let session = "select set_config('role', $1, true), set_config('request.jwt.claims', $2, true)";
    Opening {
        isolation: None,
        read_only,
        session: statement(session, &[role, &format!("{{\"role\":\"{role}\"}}")]),
        pre_request: None,
        authenticated: role != "anon",
    }
}

fn transaction(role: &str, read_only: bool, main: Statement) -> Transaction {
    Transaction {
        opening: opening(role, read_only),
        main,
        count_estimate: None,
        large: None,
        answer: if read_only { Answer::Read } else { Answer::Mutate },
        count: CountRule::Counted,
        verdict: Verdict::default(),
        rollback: false,
    }
}

fn read(rows: &str) -> Transaction {
    transaction("anon", true, statement(answer(rows), &[]))
}

fn insert(table: &str, id: &str) -> Transaction {
    let sql = format!("with written as (insert into {table} (id) values ($1) returning *) ");
    transaction(
        "authenticated",
        false,
        statement(sql + &answer("select id from written"), &[id]),
    )
}

fn refused(outcome: Result<ResultSet, RestError>) -> DatabaseError {
    match outcome {
        Err(RestError::Database(error)) => *error,
        other => panic!("{other:?}"),
    }
}

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
    let lease = fixture.pool.get().await.unwrap();
    let outside = lease.client().query_one(
        "select current_user::text, current_setting('request.jwt.claims')",
        &[],
    );
    let row = outside.await.unwrap();
    assert_eq!((row.get::<_, &str>(0), row.get::<_, &str>(1)), ("postgres", ""));
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

#[tokio::test]
async fn a_read_cannot_write_and_a_write_has_its_isolation() {
    let fixture = Fixture::new().await;
    let mut forbidden = insert("notes", "1");
    forbidden.opening.read_only = true;
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

#[tokio::test]
async fn the_number_of_prepared_statements_is_bounded() {
    let fixture = Fixture::new().await;
    fixture.pool.keep_statements(10);
    for n in 0..40 {
        fixture.run(read(&format!("select {n} as a"))).await.unwrap();
    }
    let lease = fixture.pool.get().await.unwrap();
    let kept = lease
        .client()
        .query_one("select count(*) from pg_prepared_statements", &[])
        .await
        .unwrap();
    // This very statement is one more.
    assert_eq!(kept.get::<_, i64>(0), 11);
}

#[tokio::test]
async fn a_statement_out_of_date_is_sent_again_and_writes_once() {
    let fixture = Fixture::new().await;
    fixture.owner.batch_execute("create table shape (v text); insert into shape values ('1'); grant all on shape to authenticated").await.unwrap();
    let sql = "with written as (insert into calls values ($1) returning n)
        select null::int8 as total_result_set, count(*) as page_total, (select v from shape) as body,
               null as response_headers, null as response_status, null::int8 as response_inserted,
               null::text[] as header from written";
    let write = || transaction("authenticated", false, statement(sql, &["1"]));
    for _ in 0..2 {
        assert_eq!(fixture.text(write()).await, "1");
    }
    fixture
        .owner
        .batch_execute("alter table shape alter v type json using v::json")
        .await
        .unwrap();
    assert_eq!(fixture.text(write()).await, "1");
    assert_eq!(fixture.count("calls").await, 3);
    // A server, or a pooler, that forgot all names.
    let lease = fixture.pool.get().await.unwrap();
    lease.client().batch_execute("deallocate all").await.unwrap();
    lease.done();
    assert_eq!(fixture.text(write()).await, "1");
    assert_eq!(fixture.count("calls").await, 4);
}

#[tokio::test]
async fn a_changed_column_type_costs_one_request_at_most() {
    let fixture = Fixture::new().await;
    fixture
        .owner
        .batch_execute("create table typed (k int); grant select on typed to anon")
        .await
        .unwrap();
    let look = || {
        transaction(
            "anon",
            true,
            statement(answer("select k from typed where k = $1"), &["1"]),
        )
    };
    for _ in 0..2 {
        fixture.run(look()).await.unwrap();
    }
    fixture
        .owner
        .batch_execute("alter table typed alter k type text")
        .await
        .unwrap();
    // The parameter was an integer when the statement was prepared.
    let first = fixture.run(look()).await;
    assert_eq!(refused(first).code, "42883");
    fixture.run(look()).await.unwrap();
    fixture
        .owner
        .batch_execute("alter table typed alter k type int using k::int")
        .await
        .unwrap();
    fixture.pool.forget_statements();
    fixture.run(look()).await.unwrap();
}

#[tokio::test]
async fn a_pool_behind_a_transaction_pooler_works_without_names() {
    let fixture = Fixture::with(Statements::Unnamed).await;
    for id in ["1", "2"] {
        fixture.run(insert("notes", id)).await.unwrap();
    }
    assert_eq!(
        fixture.text(read("select id from notes order by 1")).await,
        "[{\"id\":1}, \n {\"id\":2}]"
    );
}

#[tokio::test]
async fn the_planners_count_is_read() {
    let fixture = Fixture::new().await;
    let mut request = read("select 1 as a");
    request.count_estimate = Some(statement(
        "explain (format json) select * from generate_series(1, $1::int)",
        &["7"],
    ));
    request.count = CountRule::Planned;
    assert_eq!(fixture.run(request).await.unwrap().total, Some(7));
}

#[test]
fn estimates_replace_counts_only_beyond_the_cap() {
    let estimated = |max_rows| CountRule::Estimated { max_rows };
    for (rule, counted, planned, expected) in [
        (CountRule::Counted, Some(3), Some(9), Some(3)),
        (CountRule::Planned, None, Some(9), Some(9)),
        (estimated(Some(10)), Some(3), Some(9), Some(3)),
        (estimated(Some(10)), Some(11), Some(900), Some(900)),
        (estimated(Some(10)), Some(11), Some(5), Some(11)),
        (estimated(None), Some(3), Some(9), Some(9)),
    ] {
        assert_eq!(rule.total(counted, planned), expected, "{rule:?}");
    }
}

#[tokio::test]
async fn a_plan_is_told_line_by_line() {
    let fixture = Fixture::new().await;
    let mut request = read("");
    request.main = statement("explain (format text, costs off) select 1 where $1 = 'a'", &["b"]);
    request.answer = Answer::Plan;
    let Outcome::Plan(plan) = run(&fixture.pool, request).await.unwrap() else {
        panic!()
    };
    assert_eq!(plan, "Result\n  One-Time Filter: false\n");
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
    let rows = "select n, repeat('x', 100) as t from generate_series(1, 300000) as n";
    let result = fixture
        .run(large(rows, "row_to_json(r)::text", Handler::Json))
        .await
        .unwrap();
    let Body::Rows(mut body) = result.body else {
        panic!()
    };
    body.try_next().await.unwrap().unwrap();
    drop(body);
    fixture.run(read("select 1 as a")).await.unwrap();
}

#[tokio::test]
async fn a_late_failure_breaks_the_body_off() {
    let fixture = Fixture::new().await;
    let rows = "select n, repeat('x', 100) as t from generate_series(1, 300000) as n";
    let result = fixture
        .run(large(rows, "row_to_json(r)::text", Handler::Json))
        .await
        .unwrap();
    let Body::Rows(mut body) = result.body else {
        panic!()
    };
    body.try_next().await.unwrap().unwrap();
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
