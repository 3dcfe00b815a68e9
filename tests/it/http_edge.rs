//! What the internet does to a server: odd, slow, hostile and broken requests against the whole of it.

use std::net::Ipv4Addr;

use dropwire::http::acceptor::{GuardedAcceptor, Limits};
use dropwire::http::trace::trace;
use futures_util::future::join_all;
use poem::endpoint::make_sync;
use poem::{Route, Server};
use reqwest::Method;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use crate::support::app::{read, ticket};
use crate::support::raw::{Raw, post, post_head, status};
use crate::support::{Answer, TestApp};

const LIVE: (u16, &str) = (200, r#"{"status":"live"}"#);

async fn get(app: &TestApp, path: &str) -> Answer {
    read(app.http.get(format!("{}{path}", app.url)).send().await.unwrap()).await
}

async fn assert_lives(app: &TestApp) {
    let answer = get(app, "/live").await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), LIVE);
}

#[tokio::test]
async fn an_unknown_path_is_404_json() {
    let app = TestApp::start().await;
    for path in [
        "/",
        "/nope",
        "/rest/v1tickets",
        "/functions",
        "/functions/v2/telegram-webhook",
        "/live/x",
        "/%00",
        "/a?b=c",
    ] {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            let answer = read(
                app.http
                    .request(method, format!("{}{path}", app.url))
                    .send()
                    .await
                    .unwrap(),
            )
            .await;
            assert_eq!(
                answer.pair(),
                (404, json!({"message": "no Route matched with those values"})),
                "{path}"
            );
            assert!(
                answer.headers["content-type"]
                    .to_str()
                    .unwrap()
                    .starts_with("application/json")
            );
        }
    }
    let answer = read(app.http.post(format!("{}/live", app.url)).send().await.unwrap()).await;
    assert_eq!(answer.pair(), (405, json!({"message": "Method Not Allowed"})));
}

#[tokio::test]
async fn every_answer_carries_a_request_id_and_a_plain_one_of_the_callers_is_kept() {
    let app = TestApp::start().await;
    for path in [
        "/live",
        "/nope",
        "/functions/v1/telegram-webhook",
        "/functions/v1/nope",
    ] {
        let answer = get(&app, path).await;
        let id = answer.headers["x-request-id"].to_str().unwrap();
        id.parse::<uuid::Uuid>()
            .unwrap_or_else(|_| panic!("{path}: {id}"));
        assert_ne!(get(&app, path).await.headers["x-request-id"], id, "{path}");
    }
    let longest = "x".repeat(128);
    let too_long = "x".repeat(129);
    for (given, kept) in [
        ("make-4711:3", true),
        ("0195f1a2-6a3e-7cc1-8d2c-5b1f0e6a9d11", true),
        (&longest, true),
        (&too_long, false),
        ("two words", false),
        ("tab\there", false),
        ("caf\u{e9}", false),
        ("", false),
    ] {
        let value = reqwest::header::HeaderValue::from_bytes(given.as_bytes()).unwrap();
        let request = app
            .http
            .get(format!("{}/live", app.url))
            .header("x-request-id", value);
        let answer = read(request.send().await.unwrap()).await;
        let ids: Vec<_> = answer.headers.get_all("x-request-id").iter().collect();
        assert_eq!(ids.len(), 1);
        assert_eq!(
            ids[0].as_bytes() == given.as_bytes(),
            kept,
            "{given:?} became {ids:?}"
        );
    }
}

#[tokio::test]
async fn a_panic_is_500_json_with_a_request_id_and_the_server_lives_on() {
    let limits = Limits::default();
    let acceptor = GuardedAcceptor::bind((Ipv4Addr::LOCALHOST, 0).into(), limits)
        .await
        .unwrap();
    let url = format!("http://{}", acceptor.local_addr());
    let fragile = make_sync(|req| match req.uri().path() {
        "/fragile" => panic!("a bug"),
        _ => "fine",
    });
    let routes = Route::new().nest_no_strip("/", fragile);
    tokio::spawn(Server::new_with_acceptor(acceptor).run(trace(routes)));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for _ in 0..3 {
        let answer = read(
            http.get(format!("{url}/fragile"))
                .header("x-request-id", "mine")
                .send()
                .await
                .unwrap(),
        )
        .await;
        assert_eq!(answer.pair(), (500, json!({"message": "Internal server error"})));
        assert_eq!(answer.headers["x-request-id"], "mine");
        assert_eq!(
            http.get(format!("{url}/x"))
                .send()
                .await
                .unwrap()
                .text()
                .await
                .unwrap(),
            "fine"
        );
    }
}

#[tokio::test]
async fn a_slow_request_head_is_closed_and_others_are_served_meanwhile() {
    let app = TestApp::with(&[("DROPWIRE_HTTP_HEAD_TIMEOUT_MS", "500")]).await;
    let mut half = Raw::open(&app).await;
    half.send("POST /functions/v1/telegram-webhook HTTP/1.1\r\nhost: a\r\n")
        .await;
    let mut silent = Raw::open(&app).await;
    assert_lives(&app).await;
    assert_eq!(half.rest().await, "");
    assert_eq!(silent.rest().await, "");
    assert_lives(&app).await;
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_sends_everything_first() {
    let app = TestApp::start().await;
    let body = vec![b' '; 4 * 1024 * 1024];
    for (path, code) in [("telegram-webhook", 401), ("nope", 404)] {
        let mut raw = Raw::open(&app).await;
        let head = format!(
            "POST /functions/v1/{path} HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        raw.send(head).await;
        raw.send(&body).await;
        assert_eq!(status(&raw.answer().await.0), code);
        raw.send("GET /live HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert_eq!(raw.answer().await.1, LIVE.1, "the connection is still good");
    }
}

#[tokio::test]
async fn a_refusal_does_not_wait_for_the_body() {
    let app = TestApp::start().await;
    let mut raw = Raw::open(&app).await;
    raw.send("POST /functions/v1/telegram-webhook HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf")
        .await;
    assert_eq!(status(&raw.answer().await.0), 401);
}

#[tokio::test]
async fn many_bodies_announced_with_expect_are_asked_for_and_taken() {
    let app = TestApp::start().await;
    let body = ticket(&json!({})).to_string();
    let head = post_head("expect: 100-continue\r\n", body.len());
    join_all((0..20).map(async |_| {
        let mut raw = Raw::open(&app).await;
        for _ in 0..3 {
            raw.send(&head).await;
            assert_eq!(raw.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
            raw.send(&body).await;
            assert_eq!(status(&raw.answer().await.0), 200);
        }
    }))
    .await;
    assert_eq!(app.count("tickets").await, 60);
}

#[tokio::test]
async fn a_body_announced_with_expect_is_not_asked_for_when_it_is_unwanted() {
    let app = TestApp::start().await;
    let too_large = post_head("expect: 100-continue\r\n", 6 * 1024 * 1024);
    let no_key = "POST /functions/v1/telegram-webhook HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n";
    for (head, code) in [(too_large.as_str(), 413), (no_key, 401)] {
        let mut raw = Raw::open(&app).await;
        raw.send(head).await;
        assert_eq!(status(&raw.answer().await.0), code);
        assert_eq!(
            raw.rest().await,
            "",
            "closed: nobody can tell what would come next"
        );
    }
}

#[tokio::test]
async fn one_connection_serves_any_sequence_of_answers() {
    let app = TestApp::start().await;
    let mut raw = Raw::open(&app).await;
    let good = ticket(&json!({})).to_string();
    for _ in 0..3 {
        for (request, code) in [
            (post("", &good), 200),
            (post("", "{"), 400),
            ("GET /nope HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(), 404),
            (
                "GET /functions/v1/telegram-webhook HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
                401,
            ),
            (
                "OPTIONS /functions/v1/telegram-webhook HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
                200,
            ),
            (post("", &ticket(&json!({"chat_id": 5})).to_string()), 404),
        ] {
            raw.send(&request).await;
            assert_eq!(status(&raw.answer().await.0), code, "{request}");
        }
    }
    // Pipelined: all at once, answered in order.
    raw.send(format!(
        "{}GET /live HTTP/1.1\r\nhost: a\r\n\r\n",
        post("", &good)
    ))
    .await;
    assert!(raw.answer().await.1.contains("TKT-1003"));
    assert_eq!(raw.answer().await.1, LIVE.1);
}

#[tokio::test]
async fn head_is_answered_without_a_body() {
    let app = TestApp::start().await;
    for (path, code) in [
        ("/live", 200),
        ("/ready", 200),
        ("/nope", 404),
        ("/functions/v1/telegram-webhook", 401),
    ] {
        let mut raw = Raw::open(&app).await;
        raw.send(format!(
            "HEAD {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
        ))
        .await;
        assert_eq!(status(&raw.head().await), code, "{path}");
        assert_eq!(raw.rest().await, "", "{path}");
    }
}

#[tokio::test]
async fn floods_and_garbage_before_the_body_are_4xx_and_the_server_lives_on() {
    let app = TestApp::start().await;
    let many = (0..5000)
        .map(|n| format!("x-{n}: y\r\n"))
        .collect::<Vec<_>>()
        .concat();
    let repeated = "x: y\r\n".repeat(5000);
    let long = format!("x: {}\r\n", "y".repeat(100 * 1024));
    let endless = format!("x: {}\r\n", "y".repeat(2 * 1024 * 1024));
    let good = ticket(&json!({})).to_string();
    for (what, request, code) in [
        ("thousands of headers", post(&many, &good), 431),
        ("one header thousands of times", post(&repeated, &good), 431),
        ("a header of 100 KB", post(&long, &good), 431),
        ("a header of 2 MB", post(&endless, &good), 431),
        (
            "a path of 100 KB",
            format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(100 * 1024)),
            414,
        ),
        ("a blank in a header's name", post("x y: z\r\n", &good), 400),
        ("two lengths", post("content-length: 3\r\n", &good), 400),
        (
            "a length that is none",
            post_head("", 0).replace("length: 0", "length: -1"),
            400,
        ),
        ("no HTTP at all", "\u{16}\u{3}\u{1} hello\r\n\r\n".to_owned(), 400),
    ] {
        let mut raw = Raw::open(&app).await;
        // The server may close before it has read all of it.
        drop(raw.0.write_all(request.as_bytes()).await);
        assert_eq!(status(&raw.head().await), code, "{what}");
        assert_lives(&app).await;
    }
    assert_eq!(app.count("tickets").await, 0);
}
