//! Prepared statements, counts and plans.

use super::*;

#[tokio::test]
async fn the_number_of_prepared_statements_is_bounded() {
    let fixture = Fixture::new().await;
    fixture.pool.keep_statements(10);
    for n in 0..40 {
        fixture.run(read(&format!("select {n} as a"))).await.unwrap();
    }
    let kept = fixture
        .outside("select count(*)::text from pg_prepared_statements")
        .await;
    // This very statement is one more; what it displaces is closed after it.
    assert_eq!(kept, "11");
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
    fixture.outside("deallocate all").await;
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
