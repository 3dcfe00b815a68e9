//! Where the key may stand, and what a request without a valid one gets: Supabase's gateway, hosted flavour, in front
//! of both functions, over real HTTP.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dropwire::auth::jwt;
use dropwire::config::Secret;
use dropwire::dev::{ANON_KEY, JWT_SECRET, PUBLISHABLE_KEY, SECRET_KEY, SERVICE_ROLE_KEY};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::app::{Answer, read, ticket, user_token};

const FUNCTIONS: [&str; 2] = ["telegram-webhook", "ticket-activity-webhook"];

const MISSING: &str = "Missing authorization header";
const FORMAT: &str = "Invalid Token or Protected Header formatting";
const INVALID: &str = "Invalid JWT";

/// POSTs a body that both functions take, with these headers and nothing else.
async fn post(app: &TestApp, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = app
        .http
        .post(format!("{}/functions/v1/{path}", app.url))
        .body(ticket(&json!({})).to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    read(request.send().await.unwrap()).await
}

fn refused(message: &str) -> (u16, Value) {
    (401, json!({"code": 401, "message": message}))
}

async fn assert_refused(app: &TestApp, path: &str, headers: &[(&str, &str)], message: &str) {
    let answer = post(app, path, headers).await;
    assert_eq!(answer.function_pair(), refused(message), "{path} {headers:?}");
}

async fn assert_accepted(app: &TestApp, path: &str, headers: &[(&str, &str)]) {
    let answer = post(app, path, headers).await;
    let (status, body) = answer.function_pair();
    assert_eq!(status, 200, "{path} {headers:?}: {body}");
}

fn signed(claims: &Value) -> String {
    jwt::sign(&Secret::new(JWT_SECRET), claims).unwrap()
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

fn in_seconds(seconds: i64) -> i64 {
    chrono::Utc::now().timestamp() + seconds
}

/// All but the last character.
fn cut_short(key: &str) -> String {
    key.chars().take(key.len() - 1).collect()
}

/// A token of these two parts with a signature of none.
fn unsigned(header: &str, claims: &str) -> String {
    format!(
        "{}.{}.",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    )
}

#[tokio::test]
async fn a_missing_key_and_a_malformed_header_are_told_apart() {
    let app = TestApp::start().await;
    for function in FUNCTIONS {
        assert_refused(&app, function, &[], MISSING).await;
        assert_refused(&app, function, &[("apikey", "")], MISSING).await;
        assert_refused(&app, &format!("{function}?apikey="), &[], MISSING).await;
        for malformed in ["Basic dTpw", "Bearer", "Bearer ", ANON_KEY, "Token x"] {
            assert_refused(&app, function, &[("authorization", malformed)], FORMAT).await;
        }
    }
    assert_eq!(app.count("tickets").await, 0);
}

#[tokio::test]
async fn a_token_that_does_not_verify_is_refused() {
    let app = TestApp::start().await;
    let claims = json!({"role": "service_role"});
    let service = signed(&claims);
    let (head, rest) = service.split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let forged = URL_SAFE_NO_PAD.encode(r#"{"role":"service_role","sub":"me"}"#);
    let tokens = [
        ("garbage", "nonsense".to_owned()),
        ("three dots", "a.b.c".to_owned()),
        ("quoted", format!("\"{service}\"")),
        ("cut short", cut_short(&service)),
        ("another payload", format!("{head}.{forged}.{signature}")),
        (
            "no signature",
            format!("{head}.{}.", rest.split_once('.').unwrap().0),
        ),
        (
            "alg none",
            unsigned(r#"{"alg":"none","typ":"JWT"}"#, r#"{"role":"service_role"}"#),
        ),
        (
            "alg NONE",
            unsigned(r#"{"alg":"NONE"}"#, r#"{"role":"service_role"}"#),
        ),
        (
            "alg RS256",
            unsigned(r#"{"alg":"RS256"}"#, r#"{"role":"service_role"}"#),
        ),
        (
            "wrong secret",
            jwt::sign(&Secret::new("another-secret-of-thirty-two-characters"), &claims).unwrap(),
        ),
        ("empty secret", jwt::sign(&Secret::new(""), &claims).unwrap()),
        (
            "expired",
            signed(&json!({"role": "service_role", "exp": in_seconds(-120)})),
        ),
        (
            "expiry that is no time",
            signed(&json!({"role": "service_role", "exp": "tomorrow"})),
        ),
        (
            "not yet valid",
            signed(&json!({"role": "service_role", "nbf": in_seconds(120)})),
        ),
        ("no role", signed(&json!({"sub": "somebody"}))),
        ("unknown role", signed(&json!({"role": "postgres"}))),
        ("role of another type", signed(&json!({"role": ["service_role"]}))),
        ("role in other letters", signed(&json!({"role": "Service_Role"}))),
        ("unknown opaque key", "sb_secret_nonsense".to_owned()),
        ("beginning of an opaque key", cut_short(SECRET_KEY)),
    ];
    for (what, token) in &tokens {
        for function in FUNCTIONS {
            for header in [("authorization", bearer(token)), ("apikey", token.clone())] {
                let answer = post(&app, function, &[(header.0, &header.1)]).await;
                assert_eq!(
                    answer.function_pair(),
                    refused(INVALID),
                    "{what} as {} at {function}",
                    header.0
                );
            }
        }
    }
    assert_eq!(app.count("tickets").await, 0);
}

#[tokio::test]
async fn every_kind_of_key_is_taken_wherever_it_stands() {
    let app = TestApp::start().await;
    let user = user_token("d0000000-0000-4000-8000-0000000000a1".parse().unwrap());
    let lasting =
        signed(&json!({"role": "anon", "exp": in_seconds(3600), "nbf": in_seconds(-1), "aud": "anything"}));
    for key in [
        ANON_KEY,
        SERVICE_ROLE_KEY,
        PUBLISHABLE_KEY,
        SECRET_KEY,
        &user,
        &lasting,
    ] {
        for function in FUNCTIONS {
            assert_accepted(&app, function, &[("authorization", &bearer(key))]).await;
            assert_accepted(&app, function, &[("apikey", key)]).await;
            assert_accepted(&app, &format!("{function}?apikey={key}"), &[]).await;
            assert_accepted(
                &app,
                function,
                &[("authorization", &bearer(key)), ("apikey", key)],
            )
            .await;
        }
    }
    assert_accepted(
        &app,
        FUNCTIONS[0],
        &[("authorization", &format!("bearer {ANON_KEY}"))],
    )
    .await;
}

#[tokio::test]
async fn a_bearer_token_wins_over_an_apikey_and_the_header_over_the_query() {
    let app = TestApp::with(&[("DROPWIRE_DISPATCH_REQUIRE_SERVICE_ROLE", "true")]).await;
    // This function tells which key counted.
    let function = "ticket-activity-webhook";
    let (anon, service) = (bearer(ANON_KEY), bearer(SERVICE_ROLE_KEY));
    let query = format!("{function}?apikey={SERVICE_ROLE_KEY}");

    assert_accepted(
        &app,
        function,
        &[("authorization", &service), ("apikey", ANON_KEY)],
    )
    .await;
    assert_accepted(
        &app,
        function,
        &[("authorization", &service), ("apikey", "nonsense")],
    )
    .await;
    assert_accepted(
        &app,
        function,
        &[("authorization", "Basic dTpw"), ("apikey", SECRET_KEY)],
    )
    .await;
    assert_refused(
        &app,
        function,
        &[("authorization", "Bearer nonsense"), ("apikey", SERVICE_ROLE_KEY)],
        INVALID,
    )
    .await;
    let denied = (403, json!({"error": "This route needs the service_role key"}));
    for (path, headers) in [
        (
            function,
            vec![("authorization", anon.as_str()), ("apikey", SERVICE_ROLE_KEY)],
        ),
        (&query, vec![("apikey", ANON_KEY)]),
        (&query, vec![("authorization", anon.as_str())]),
    ] {
        assert_eq!(
            post(&app, path, &headers).await.function_pair(),
            denied,
            "{path} {headers:?}"
        );
    }
}

#[tokio::test]
async fn an_unknown_function_is_404_with_or_without_a_key() {
    let app = TestApp::start().await;
    let unknown = (
        404,
        json!({"code": "NOT_FOUND", "message": "Requested function was not found"}),
    );
    for path in [
        "nope",
        "",
        "nope/telegram-webhook",
        "Telegram-Webhook",
        "telegram-webhookx",
        "telegram-webhook%00",
    ] {
        assert_eq!(post(&app, path, &[]).await.function_pair(), unknown, "{path:?}");
        assert_eq!(
            post(&app, path, &[("apikey", ANON_KEY)]).await.function_pair(),
            unknown,
            "{path:?}"
        );
        let got = app.send(path, Method::GET, None, "").await;
        assert_eq!(got.function_pair(), unknown, "GET {path:?}");
    }
}

#[tokio::test]
async fn what_follows_a_functions_name_belongs_to_the_function() {
    let app = TestApp::start().await;
    for function in FUNCTIONS {
        for path in [
            format!("{function}/"),
            format!("{function}/a/b"),
            format!("{function}?x=1"),
            format!("{function}//"),
        ] {
            assert_accepted(&app, &path, &[("apikey", ANON_KEY)]).await;
            assert_refused(&app, &path, &[], MISSING).await;
        }
    }
    assert_eq!(app.count("tickets").await, 4);
}

#[tokio::test]
async fn a_preflight_needs_no_key_anywhere() {
    let app = TestApp::start().await;
    for path in [
        "telegram-webhook",
        "ticket-activity-webhook",
        "ticket-activity-webhook/a",
        "user-onboarding-request",
        "create-ticket",
        "executor-ticket-webhook",
        "",
    ] {
        for key in [None, Some("nonsense")] {
            let answer = app.send(path, Method::OPTIONS, key, "").await;
            assert_eq!(
                (answer.status.as_u16(), answer.text.as_str()),
                (200, "ok"),
                "{path}"
            );
            assert!(
                answer.headers["content-type"]
                    .to_str()
                    .unwrap()
                    .starts_with("text/plain"),
                "{path}"
            );
            answer.assert_cors();
        }
    }
}

#[tokio::test]
async fn the_key_is_asked_for_before_the_method() {
    let app = TestApp::start().await;
    for function in FUNCTIONS {
        let answer = app.send(function, Method::GET, None, "").await;
        assert_eq!(
            answer.function_pair(),
            (401, json!({"code": 401, "message": MISSING}))
        );
        let answer = app.send(function, Method::GET, Some(ANON_KEY), "").await;
        assert_eq!(answer.status, 405);
        assert_eq!(answer.json()["error"], "Method not allowed");
    }
}
