//! How a body arrives and how it is read: forms that the original takes, and those that no ticket comes of.

use dropwire::dev::ANON_KEY;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use super::{FUNCTION, assert_created, assert_nothing_written, post, post_with};
use crate::support::TestApp;
use crate::support::app::{read, refusal, ticket};
use crate::support::raw::{Raw, post_head, status};

/// Largest body that is taken.
const LIMIT: usize = 5 * 1024 * 1024;

#[tokio::test]
async fn a_body_that_is_no_object_is_refused_as_the_original_sees_it() {
    let app = TestApp::start().await;
    for body in [
        "",
        " ",
        "null",
        "false",
        "0",
        "-0.0",
        "\"\"",
        "{",
        "{\"issue\":\"x\"",
        "{}{}",
        "{'a':1}",
        "\u{feff}{}",
        "nonsense",
    ] {
        let answer = post(&app, body).await;
        assert_eq!(
            answer.function_pair(),
            refusal(400, "Invalid JSON payload"),
            "{body:?}"
        );
    }
    for body in ["{}", "[]", "[{\"issue\":\"x\"}]", "7", "true", "\"text\""] {
        let answer = post(&app, body).await;
        assert_eq!(
            answer.function_pair(),
            refusal(400, "Missing required field: issue"),
            "{body:?}"
        );
    }
    assert_nothing_written(&app).await;
}

#[tokio::test]
async fn json_that_is_hostile_is_400_and_writes_nothing() {
    let app = TestApp::start().await;
    let nested = |open: &str, close: &str| {
        let deep = format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
        ticket(&json!({"designation": "#"}))
            .to_string()
            .replace("\"#\"", &deep)
    };
    let with = |text: &str| ticket(&json!({"issue": "#"})).to_string().replace("\"#\"", text);
    let nul = "Invalid field: issue must not contain U+0000";
    for (body, error) in [
        (nested("[", "]"), "Invalid JSON payload"),
        (nested("{\"a\":", "}"), "Invalid JSON payload"),
        ("[".repeat(1_000_000), "Invalid JSON payload"),
        (with("\"a\\u0000b\""), nul),
        (with("\"\\u0000\""), nul),
        (with("\"a\0b\""), "Invalid JSON payload"),
        (with("\"\\ud800\""), "Invalid JSON payload"),
        (with("\"\\udc00 x\""), "Invalid JSON payload"),
        (with("\"\\ud83d\\u0041\""), "Invalid JSON payload"),
        (with("1e400"), "Invalid JSON payload"),
        (with("\"\\x41\""), "Invalid JSON payload"),
        (with("NaN"), "Invalid JSON payload"),
        (ticket(&json!({"chat_id": "1\0"})).to_string(), "Invalid chat_id"),
        (
            ticket(&json!({"tenant_id": "\0"})).to_string(),
            "Invalid tenant_id",
        ),
        (
            ticket(&json!({"priority": "high\0"})).to_string(),
            "Invalid priority. Must be one of: critical, high, medium, low",
        ),
    ] {
        let answer = post(&app, body.clone()).await;
        assert_eq!(
            answer.function_pair(),
            refusal(400, error),
            "{}",
            body.get(..200).unwrap_or(&body)
        );
    }
    assert_nothing_written(&app).await;
}

#[tokio::test]
async fn of_duplicate_keys_the_last_counts_as_in_javascript() {
    let app = TestApp::start().await;
    let body = ticket(&json!({"issue": "last"})).to_string().replacen(
        '{',
        "{\"issue\":\"first\",\"chat_id\":\"1\",",
        1,
    );
    assert_eq!(post(&app, body).await.status, 200);
    assert_eq!(app.text("select title from tickets").await.unwrap(), "last");
}

#[tokio::test]
async fn bytes_that_are_no_utf8_are_stored_as_replacement_characters() {
    let app = TestApp::start().await;
    let mut body = ticket(&json!({"issue": "#C broken"})).to_string().into_bytes();
    let at = body.iter().position(|byte| *byte == b'#').unwrap();
    body[at] = 0xff;
    assert_created(&post(&app, body).await);
    assert_eq!(
        app.text("select title from tickets").await.unwrap(),
        "\u{fffd}C broken"
    );
}

#[tokio::test]
async fn a_body_is_json_whatever_its_content_type_says() {
    let app = TestApp::start().await;
    for content_type in [
        "application/json; charset=latin1",
        "application/x-www-form-urlencoded",
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/xml",
        "nonsense",
    ] {
        let request = app
            .http
            .post(format!("{}/functions/v1/{FUNCTION}", app.url))
            .bearer_auth(ANON_KEY);
        let request = request
            .header("content-type", content_type)
            .body(ticket(&json!({})).to_string());
        assert_created(&read(request.send().await.unwrap()).await);
    }
    assert_created(&post_with(&app, &json!({})).await); // without any
}

#[tokio::test]
async fn a_chunked_body_without_a_length_is_taken() {
    let app = TestApp::start().await;
    let text = ticket(&json!({})).to_string();
    let (first, second) = text.split_at(40);
    let chunks = [first.to_owned(), second.to_owned()].map(Ok::<_, std::io::Error>);
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    assert_created(&post(&app, body).await);
}

#[tokio::test]
async fn a_body_at_the_limit_is_taken_and_one_byte_more_is_413() {
    let app = TestApp::start().await;
    let mut body = ticket(&json!({"designation": ""})).to_string();
    let at = body.rfind('"').unwrap();
    body.insert_str(at, &"x".repeat(LIMIT - body.len()));
    assert_eq!(body.len(), LIMIT);
    assert_created(&post(&app, body.clone()).await);

    body.push(' ');
    let too_large = refusal(413, "Payload too large");
    assert_eq!(post(&app, body.clone()).await.function_pair(), too_large);
    let chunked = futures_util::stream::iter([Ok::<_, std::io::Error>(body)]);
    assert_eq!(
        post(&app, reqwest::Body::wrap_stream(chunked))
            .await
            .function_pair(),
        too_large
    );
    assert_eq!(app.count("tickets").await, 1);
}

#[tokio::test]
async fn a_caller_far_beyond_the_limit_still_reads_the_413() {
    let app = TestApp::start().await;
    let length = 6 * LIMIT;
    // A client that sends everything before it looks at the answer, as many do.
    let mut raw = Raw::open(&app).await;
    raw.send(post_head("", length)).await;
    raw.send(vec![b' '; length]).await;
    let (head, body) = raw.answer().await;
    assert_eq!(status(&head), 413);
    assert_eq!(body, refusal(413, "Payload too large").1.to_string());
}

#[tokio::test]
async fn a_body_that_stalls_is_408_and_writes_nothing() {
    let app = TestApp::with(&[("DROPWIRE_HTTP_BODY_TIMEOUT_MS", "500")]).await;
    let body = ticket(&json!({})).to_string();
    let mut raw = Raw::open(&app).await;
    raw.send(post_head("", body.len())).await;
    raw.send(body.as_bytes().split_last().unwrap().1).await;
    let (head, text) = raw.answer().await;
    let expected = refusal(408, "Request timeout");
    assert_eq!((status(&head), text), (408, expected.1.to_string()));
    assert!(head.contains("content-type: application/json\r\n"), "{head}");
    assert_eq!(
        raw.rest().await,
        "",
        "closed afterwards: what would come next is still the body"
    );
    assert_eq!(app.count("tickets").await, 0);
    assert_eq!(post(&app, body).await.status, 200);
}

#[tokio::test]
async fn a_body_that_ends_early_writes_nothing() {
    let app = TestApp::start().await;
    let body = ticket(&json!({})).to_string();
    for _ in 0..3 {
        let mut raw = Raw::open(&app).await;
        raw.send(post_head("", body.len() + 1)).await;
        raw.send(&body).await;
        raw.0.shutdown().await.unwrap();
        raw.rest().await;
    }
    assert_eq!(app.count("tickets").await, 0);
    assert_eq!(post(&app, body).await.status, 200);
}
