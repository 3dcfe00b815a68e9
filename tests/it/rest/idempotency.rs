//! `Idempotency-Key` on POST: one key, one effect, and the first answer for whoever asks again.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use super::app::{RestApp, RestClient};
use super::cases::Wrong;
use crate::support::Answer;

const SQL: &str = include_str!("idempotency.sql");
const USER: Uuid = Uuid::from_u128(7);

/// Headers of a request.
type Headers = &'static [(&'static str, &'static str)];

const OBJECT: Headers = &[
    ("accept", "application/vnd.pgrst.object+json"),
    ("prefer", "return=representation"),
];

fn is_replayed(answer: &Answer) -> bool {
    let values: Vec<_> = answer.headers.get_all("idempotency-replayed").iter().collect();
    assert!(
        values.len() <= 1 && values.iter().all(|value| *value == "true"),
        "{answer:?}"
    );
    !values.is_empty()
}

/// Status, body, and the headers but those that every answer has for itself.
fn essence(answer: &Answer) -> (u16, String, Vec<(String, String)>) {
    let own = ["date", "x-request-id", "idempotency-replayed"];
    let mut headers: Vec<_> = answer
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .filter(|(name, _)| !own.contains(&name.as_str()))
        .collect();
    headers.sort();
    (answer.status.as_u16(), answer.text.clone(), headers)
}

async fn count(app: &RestApp, from: &str) -> i64 {
    let sql = format!("select count(*) from {from}");
    app.db.query_one(&sql, &[]).await.unwrap().get(0)
}

async fn orders(app: &RestApp) -> i64 {
    count(app, "orders").await
}

async fn kept(app: &RestApp) -> i64 {
    count(app, "dropwire.rest_answers").await
}

/// Waits until that many statements wait for a lock.
async fn wait_for_waiting(app: &RestApp, wanted: i64) {
    let waiting = "pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    for _ in 0..1_000 {
        if count(app, waiting).await >= wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never do {wanted} statements wait");
}

fn with_key<'a>(client: RestClient<'a>, key: &str) -> RestClient<'a> {
    client.with("idempotency-key", key)
}

#[tokio::test]
async fn a_repeat_gets_the_first_answer_and_writes_nothing() {
    let app = RestApp::supabase(SQL).await;
    let one = json!({"item": "chair"});
    let two = json!([{"item": "chair"}, {"item": "table"}]);
    let cases: [(&str, Headers, &Value, u16, i64); 8] = [
        ("/orders", &[], &one, 201, 1),
        ("/orders", &[("prefer", "return=representation")], &two, 201, 2),
        ("/orders", &[("prefer", "return=headers-only")], &one, 201, 1),
        (
            "/orders?select=id,item",
            &[
                ("prefer", "return=representation, count=exact"),
                ("accept", "application/vnd.pgrst.object+json"),
            ],
            &one,
            201,
            1,
        ),
        (
            "/orders",
            &[("prefer", "return=representation"), ("accept", "text/csv")],
            &two,
            201,
            2,
        ),
        ("/rpc/buy", &[], &one, 200, 1),
        ("/rpc/buy_silently", &[], &one, 204, 1),
        ("/rpc/buy_with_headers", &[], &one, 202, 1),
    ];
    for (n, (path, headers, body, status, rows)) in cases.into_iter().enumerate() {
        let mut client = with_key(app.anon(), &format!("key-{n}"));
        for (name, value) in headers {
            client = client.with(name, value);
        }
        let before = orders(&app).await;
        let first = client.post(path, body).await;
        assert_eq!(first.status, status, "{path}: {first:?}");
        assert!(!is_replayed(&first));
        for _ in 0..2 {
            let again = client.post(path, body).await;
            assert!(is_replayed(&again), "{path}: {again:?}");
            assert_eq!(essence(&again), essence(&first), "{path}");
        }
        assert_eq!(orders(&app).await, before + rows, "{path}");
    }
    let last = with_key(app.anon(), "key-7")
        .post("/rpc/buy_with_headers", &one)
        .await;
    let cookies: Vec<_> = last.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    app.stop().await;
}

#[tokio::test]
async fn another_request_under_the_same_key_is_refused_and_told_what_to_do() {
    let app = RestApp::supabase(SQL).await;
    let full = || with_key(app.anon(), "k").with("prefer", "return=representation");
    let chair = json!({"item": "chair"});
    assert_eq!(full().post("/orders?select=id", &chair).await.status, 201);
    let others = [
        full().post("/orders?select=id", &json!({"item": "table"})).await,
        full().post("/orders?select=id,item", &chair).await,
        full()
            .with("accept", "text/csv")
            .post("/orders?select=id", &chair)
            .await,
        with_key(app.anon(), "k").post("/orders?select=id", &chair).await,
        full()
            .post_as("/orders?select=id", "application/json", r#"{"item":  "chair"}"#)
            .await,
    ];
    let expected = json!({
        "code": "idempotency_key_reused",
        "details": "Body, query string, Prefer, Accept, Content-Type, profile and range have to be the same.",
        "hint": "Use a new key for a new request. To hear the first answer again, send the first request again unchanged.",
        "message": "Idempotency-Key was already used with a different request",
    });
    for other in others {
        assert_eq!(other.pair(), (422, expected.clone()), "{other:?}");
    }
    assert_eq!(orders(&app).await, 1);
    assert!(is_replayed(&full().post("/orders?select=id", &chair).await));
    app.stop().await;
}

#[tokio::test]
async fn a_key_belongs_to_its_caller_and_path() {
    let app = RestApp::supabase(SQL).await;
    let chair = json!({"item": "chair"});
    let callers = || {
        [
            app.anon(),
            app.user(USER),
            app.user(Uuid::from_u128(8)),
            app.service_role(),
        ]
    };
    for replayed in [false, true] {
        for caller in callers() {
            for path in ["/orders", "/rpc/buy"] {
                let answer = with_key(caller.clone(), "same").post(path, &chair).await;
                assert!(answer.status.is_success(), "{answer:?}");
                assert_eq!(is_replayed(&answer), replayed, "{path}");
            }
        }
    }
    assert_eq!((orders(&app).await, kept(&app).await), (8, 8));
    app.stop().await;
}

#[tokio::test]
async fn what_fails_keeps_no_key_and_leaves_nothing() {
    let app = RestApp::supabase(SQL).await;
    let cases: [(&str, Headers, Value, u16); 7] = [
        ("/orders", &[], json!({"item": null}), 400),
        ("/orders", &[], json!({"nothing": 1}), 400),
        ("/orders", &[], json!({"item": "forbidden"}), 400),
        ("/orders", &[], json!({"item": "late"}), 400),
        ("/orders", OBJECT, json!([{"item": "a"}, {"item": "b"}]), 406),
        ("/rpc/fail", &[], json!({}), 418),
        ("/secrets", &[], json!({"id": 1}), 401),
    ];
    let mut wrong = Wrong::default();
    for (path, headers, body, status) in cases {
        let mut client = with_key(app.anon(), "k");
        for (name, value) in headers {
            client = client.with(name, value);
        }
        for _ in 0..2 {
            let answer = client.post(path, &body).await;
            let found = (answer.status.as_u16(), is_replayed(&answer));
            wrong.unless(
                &format!("{path} {body}: {}", answer.text),
                &found,
                &(status, false),
            );
        }
    }
    wrong.none();
    assert_eq!((orders(&app).await, kept(&app).await), (0, 0));

    // An answer that SQL code calls an error stands, as it does without a key, and the next one runs again.
    let client = with_key(app.anon(), "k");
    for ran in [1, 2] {
        let answer = client.post("/rpc/buy_in_vain", &json!({"item": "chair"})).await;
        assert_eq!((answer.status.as_u16(), is_replayed(&answer)), (409, false));
        assert_eq!((orders(&app).await, kept(&app).await), (ran, 0));
    }
    // What was refused may be sent again once it can work.
    app.run("alter table orders drop constraint allowed").await;
    let answer = client.post("/orders", &json!({"item": "forbidden"})).await;
    assert_eq!((answer.status.as_u16(), is_replayed(&answer)), (201, false));
    app.stop().await;
}

#[tokio::test]
async fn duplicates_at_the_same_time_wait_for_the_first_and_get_its_answer() {
    let app = RestApp::supabase(SQL).await;
    // In each of these, who waits sees what the first one did in another way.
    for path in ["/rpc/buy_slowly", "/rpc/buy_slowly_serializable"] {
        let before = orders(&app).await;
        app.run("select pg_advisory_lock(1)").await;
        let client = with_key(app.anon(), path);
        let body = json!({"item": "chair"});
        let requests = (0..3).map(|_| client.post(path, &body));
        let (answers, ()) = tokio::join!(join_all(requests), async {
            wait_for_waiting(&app, 3).await;
            app.run("select pg_advisory_unlock(1)").await;
        });
        for answer in &answers {
            assert_eq!(
                (answer.status.as_u16(), &answer.text),
                (200, &answers[0].text),
                "{path}: {answer:?}"
            );
        }
        assert_eq!(
            answers.iter().filter(|answer| is_replayed(answer)).count(),
            2,
            "{path}"
        );
        assert_eq!(orders(&app).await, before + 1, "{path}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_duplicate_takes_the_place_of_a_first_that_fails() {
    let app = RestApp::supabase(SQL).await;
    app.run("select pg_advisory_lock(1)").await;
    let client = with_key(app.anon(), "k");
    let body = json!({"item": "lottery"});
    let requests = [
        client.post("/rpc/buy_slowly", &body),
        client.post("/rpc/buy_slowly", &body),
    ];
    let (answers, ()) = tokio::join!(join_all(requests), async {
        wait_for_waiting(&app, 2).await;
        app.run("select pg_advisory_unlock(1)").await;
    });
    // The function fails at its first call for this item.
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400], "{answers:?}");
    assert!(!answers.iter().any(is_replayed));
    assert_eq!((orders(&app).await, kept(&app).await), (1, 1));
    app.stop().await;
}

#[tokio::test]
async fn a_rolled_back_request_keeps_nothing() {
    let app = RestApp::supabase_with(SQL, &[("PGRST_DB_TX_END", "commit-allow-override")]).await;
    let client = with_key(app.anon(), "k").with("prefer", "tx=rollback");
    for _ in 0..2 {
        let answer = client.post("/orders", &json!({"item": "chair"})).await;
        assert_eq!((answer.status.as_u16(), is_replayed(&answer)), (201, false));
        assert_eq!(answer.headers["preference-applied"], "tx=rollback");
        assert_eq!((orders(&app).await, kept(&app).await), (0, 0));
    }
    app.stop().await;
}

#[tokio::test]
async fn a_key_is_kept_for_a_day_and_then_given_free() {
    let app = RestApp::supabase(SQL).await;
    let chair = json!({"item": "chair"});
    let send = async |key: &str| is_replayed(&with_key(app.anon(), key).post("/orders", &chair).await);
    let age = async |interval: &str| {
        app.run(&format!(
            "update dropwire.rest_answers set created_at = now() - interval '{interval}'"
        ))
        .await;
    };
    for key in ["a", "b", "c"] {
        assert!(!send(key).await);
    }
    age("23 hours 59 minutes").await;
    assert!(send("a").await);
    age("24 hours 1 second").await;
    assert!(!send("a").await, "it stands for a new request");
    assert_eq!(kept(&app).await, 1, "the others were taken away");
    assert!(send("a").await);
    assert_eq!(orders(&app).await, 4);
    app.stop().await;
}

#[tokio::test]
async fn a_header_that_holds_no_key_is_refused() {
    let app = RestApp::supabase(SQL).await;
    let message = "Invalid Idempotency-Key: send one value of 1 to 255 visible ASCII characters";
    let hint = "Leave the header out, or send a UUID.";
    let body = json!({"code": "idempotency_key_invalid", "details": null, "hint": hint, "message": message});
    let (chair, long) = (json!({"item": "chair"}), "k".repeat(256));
    for client in [
        with_key(app.anon(), "a b"),
        with_key(app.anon(), &long),
        with_key(with_key(app.anon(), "a"), "b"),
    ] {
        assert_eq!(client.post("/orders", &chair).await.pair(), (400, body.clone()));
    }
    assert_eq!(orders(&app).await, 0);
    app.stop().await;
}

#[tokio::test]
async fn only_posts_that_write_have_keys() {
    let app = RestApp::supabase(SQL).await;
    let chair = json!({"item": "chair"});
    app.anon().post("/orders", &chair).await;
    let client = with_key(app.anon(), "k");
    for _ in 0..2 {
        for answer in [
            client.get("/orders").await,
            client.patch("/orders?id=eq.1", &json!({"item": "table"})).await,
            client.post("/rpc/look", &json!({})).await,
            client.delete("/orders?id=eq.0").await,
        ] {
            assert!(answer.status.is_success() && !is_replayed(&answer), "{answer:?}");
        }
    }
    assert_eq!(kept(&app).await, 0, "no key, no trace");
    app.stop().await;

    // A foreign database keeps no answers, and PostgREST knows no such header.
    let app = RestApp::rest_only(SQL).await;
    for key in ["k", "k", "no key"] {
        let answer = with_key(app.anon(), key).post("/orders", &chair).await;
        assert_eq!((answer.status.as_u16(), is_replayed(&answer)), (201, false));
    }
    assert_eq!((orders(&app).await, kept(&app).await), (3, 0));
    app.stop().await;
}

#[tokio::test]
async fn the_write_is_the_callers_to_its_end_and_the_bookkeeping_is_not() {
    let app = RestApp::supabase(SQL).await;
    let answer = with_key(app.user(USER), "k")
        .post("/orders", &json!({"item": "chair"}))
        .await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let seen = "select string_agg(moment || ' ' || role || ' ' || sub, ', ' order by moment) from witnessed";
    let seen: String = app.db.query_one(seen, &[]).await.unwrap().get(0);
    assert_eq!(
        seen,
        format!("at once authenticated {USER}, at the end authenticated {USER}")
    );

    // Nobody reaches the bookkeeping: not by SQL, ...
    let login = super::app::login_role(&app.database).await;
    let functions = [
        "select dropwire.claim_rest_request('', '')",
        "select dropwire.keep_rest_answer('', 200, '{}', '')",
        "select dropwire.drop_rest_request('')",
        "select from dropwire.rest_answers",
    ];
    for role in ["anon", "authenticated", "service_role"] {
        for statement in functions {
            app.run(&format!("set role {role}")).await;
            let refused = app.db.batch_execute(statement).await.unwrap_err();
            assert_eq!(refused.code().unwrap().code(), "42501", "{role}: {statement}");
            app.run("reset role").await;
        }
    }
    // ... nor by a call, whichever schema is asked for.
    for path in ["/rpc/claim_rest_request", "/rest_answers"] {
        assert_eq!(
            app.service_role().post(path, &json!({})).await.status,
            404,
            "{path}"
        );
        let there = app.service_role().with("content-profile", "dropwire");
        assert_eq!(there.post(path, &json!({})).await.status, 406, "{path}");
    }
    // The login role calls the functions, and reads no answer by itself.
    app.run(&format!("set role \"{login}\"")).await;
    app.run("begin; select dropwire.claim_rest_request('x', 'y'); rollback")
        .await;
    assert!(app.db.batch_execute(functions[3]).await.is_err());
    app.stop().await;
}
