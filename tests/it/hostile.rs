//! Hostile requests to every function that the OpenAPI document lists: a clear refusal in the function's own words, and
//! nothing written. A function that ignores its body does what it always does.
//!
//! Each hostile body is a good one but for one thing: [`Stage::set`] sees every function take the good one first.

mod described;

use dropwire::dev::{ANON_KEY, SERVICE_ROLE_KEY};
use reqwest::Method;
use reqwest::header::HeaderValue;
use serde_json::{Map, Value};
use tokio::io::AsyncWriteExt as _;

use crate::support::app::{CHAT_ID, TENANT, read, user_token};
use crate::support::raw::{Raw, status};
use crate::support::sql::ADA;
use crate::support::telegram::WEBHOOK_SECRET;
use crate::support::{Answer, Sink, Telegram, TestApp};
use described::{Function, functions};

/// Largest body that is taken.
const LIMIT: usize = 5 * 1024 * 1024;

/// Values of good bodies, by the field's name: what the document's examples name does not exist.
const GOOD: [(&str, &str); 6] = [
    ("tenant_id", TENANT),
    ("chat_id", CHAT_ID),
    ("tenantId", TENANT),
    ("chatId", CHAT_ID),
    ("user_id", "d0000000-0000-4000-8000-0000000000a9"),
    ("correlation_id", "0b7f6a3e-52c1-4b0e-9d7c-3f1a2e4d5c6b"),
];
/// Users of the demo tenant: one to invite, one who was invited.
const PEOPLE: &str =
    "insert into users (id, tenant_id, email, full_name, role, bot_onboarding_status, bot_correlation_id)
  values
    ('d0000000-0000-4000-8000-0000000000a9', 'd0000000-0000-4000-8000-000000000001', 'nina@example.com',
     'Nina New', 'executor', 'pending', null),
    ('d0000000-0000-4000-8000-0000000000aa', 'd0000000-0000-4000-8000-000000000001', 'otto@example.com',
     'Otto Onway', 'executor', 'awaiting_chat', '0b7f6a3e-52c1-4b0e-9d7c-3f1a2e4d5c6b')";

/// Fields that are looked at and not stored, or stored in a form that any text can take: no text in them is hostile.
const HARMLESS: [(&str, &[&str]); 4] = [
    ("telegram-webhook", &["name", "designation", "department"]),
    ("create-ticket", &["complainantId"]),
    // Of an update, what cannot be read is not for the bot.
    (
        "executor-ticket-webhook",
        &["update_id", "message", "callback_query"],
    ),
    ("user-onboarding-callback", &["status", "error", "retry_count"]),
];

/// Rows and a digest of each table.
const CONTENTS: &str = "select string_agg(format('%I.%I %s', schemaname, tablename, (xpath('//digest/text()', query_to_xml(
    format('select count(*) || '' '' || coalesce(md5(string_agg(t::text, chr(10) order by t::text)), '''') as digest
              from %I.%I t', schemaname, tablename), true, true, '')))[1]::text), chr(10) order by schemaname, tablename)
  from pg_tables where schemaname not in ('pg_catalog', 'information_schema')";

/// A function with the key that it wants and a body that it takes.
struct Target {
    function: Function,
    key: String,
    good: Map<String, Value>,
}

impl Target {
    /// The good body with one field as given, whatever that is.
    fn body(&self, field: &str, text: &str) -> String {
        let mut body = self.good.clone();
        body.insert(field.to_owned(), "#".into());
        Value::Object(body).to_string().replace("\"#\"", text)
    }

    fn is_harmless(&self, field: &str) -> bool {
        HARMLESS
            .iter()
            .any(|(name, fields)| *name == self.function.name && fields.contains(&field))
    }
}

struct Stage {
    app: TestApp,
    targets: Vec<Target>,
    contents: String,
}

impl Stage {
    async fn set() -> Self {
        let make = Sink::start().await;
        let telegram = Telegram::start().await;
        let mut variables = telegram.variables().to_vec();
        variables.extend([
            ("MAKE_USER_ONBOARDING_WEBHOOK_URL", make.url.as_str()),
            ("DROPWIRE_ONBOARDING_TIMEOUT_MS", "60000"),
        ]);
        let app = TestApp::with(&variables).await;
        app.set_webhook(&make.url).await;
        app.db.batch_execute(PEOPLE).await.unwrap();
        let mut targets = Vec::new();
        for function in functions() {
            targets.push(target(&app, function).await);
        }
        app.drain_all().await;
        let contents = app.text(CONTENTS).await.unwrap();
        Self {
            app,
            targets,
            contents,
        }
    }

    async fn post(&self, target: &Target, body: impl Into<reqwest::Body>) -> Answer {
        post(&self.app, &target.function.name, &target.key, body).await
    }

    /// Expects a refusal, or the usual answer of a function that ignores its body.
    async fn assert_refused(&self, target: &Target, what: &str, body: String) {
        let function = &target.function;
        let answer = self.post(target, body).await;
        if function.request.is_some() {
            assert!(
                answer.status.is_client_error(),
                "{} with {what}: {answer:?}",
                function.name
            );
        } else {
            assert!(
                answer.status.is_success(),
                "{} with {what}: {answer:?}",
                function.name
            );
        }
        function.assert_described(&answer);
    }

    async fn assert_nothing_written(self) {
        assert_eq!(self.app.text(CONTENTS).await.unwrap(), self.contents);
        self.app.stop().await;
    }
}

/// POSTs with a key of the project and Telegram's secret: each function looks at its own.
async fn post(app: &TestApp, function: &str, key: &str, body: impl Into<reqwest::Body>) -> Answer {
    let url = format!("{}/functions/v1/{function}", app.url);
    let request = app.http.request(Method::POST, url).bearer_auth(key);
    let request = request.header("x-telegram-bot-api-secret-token", WEBHOOK_SECRET);
    read(request.body(body).send().await.unwrap()).await
}

/// Finds the key with which a function takes its good body.
async fn target(app: &TestApp, function: Function) -> Target {
    let mut good = match &function.request {
        Some(request) => request.example.clone(),
        None => Map::new(),
    };
    for (field, value) in GOOD {
        if good.contains_key(field) {
            good.insert(field.to_owned(), value.into());
        }
    }
    let body = Value::Object(good.clone());
    for key in [ANON_KEY, SERVICE_ROLE_KEY, &user_token(ADA.parse().unwrap())] {
        let answer = post(app, &function.name, key, body.to_string()).await;
        function.assert_described(&answer);
        if answer.status.is_success() {
            let key = key.to_owned();
            return Target { function, key, good };
        }
    }
    panic!(
        "{} takes {body} with none of the keys: has GOOD what it needs?",
        function.name
    );
}

/// Texts that no reader of JSON takes, wherever they stand.
fn no_json() -> Vec<(&'static str, String)> {
    let nested = |open: &str, close: &str| format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
    let mut texts = vec![
        ("deep arrays", nested("[", "]")),
        ("deep objects", nested("{\"a\":", "}")),
        ("deep arrays without end", "[".repeat(100_000)),
        ("a number of 400 digits", "1".repeat(400)),
    ];
    let short = [
        ("a number beyond any", "1e400"),
        ("a number below any", "-1e400"),
        ("an exponent beyond any", "1e99999999999999999999"),
        ("NaN", "NaN"),
        ("Infinity", "-Infinity"),
        ("a hexadecimal number", "0x10"),
        ("a high surrogate alone", r#""\ud800""#),
        ("a low surrogate alone", r#""\udc00 x""#),
        ("a high surrogate before none", r#""\ud83d\u0041""#),
        ("a surrogate in a name", r#"{"\ud800":1}"#),
        ("an escape that is none", r#""\x41""#),
        ("NUL as it is", "\"a\0b\""),
        ("a text without end", "\"text"),
        ("nothing", ""),
        ("a byte order mark", "\u{feff}\"text\""),
        ("a comment", "/* */ 1"),
    ];
    texts.extend(short.map(|(what, text)| (what, text.to_owned())));
    texts
}

#[tokio::test]
async fn what_is_no_json_is_refused_wherever_it_stands() {
    let stage = Stage::set().await;
    for target in &stage.targets {
        for (what, text) in no_json() {
            for field in target.function.fields().chain(["hostile"]) {
                stage
                    .assert_refused(target, &format!("{what} in {field}"), target.body(field, &text))
                    .await;
            }
            let good = Value::Object(target.good.clone()).to_string();
            for body in [text.clone(), format!("[{text}]"), format!("{good}{text}x")] {
                stage.assert_refused(target, what, body).await;
            }
        }
    }
    stage.assert_nothing_written().await;
}

#[tokio::test]
async fn a_nul_in_a_text_that_would_be_stored_is_refused() {
    let stage = Stage::set().await;
    for target in &stage.targets {
        for field in target
            .function
            .fields()
            .filter(|field| !target.is_harmless(field))
        {
            for text in [r#""a\u0000b""#, r#""\u0000""#] {
                stage
                    .assert_refused(target, &format!("{text} in {field}"), target.body(field, text))
                    .await;
            }
        }
    }
    stage.assert_nothing_written().await;
}

#[tokio::test]
async fn of_duplicate_keys_the_last_is_what_is_refused() {
    let stage = Stage::set().await;
    for target in &stage.targets {
        let good = Value::Object(target.good.clone()).to_string();
        for field in target.function.required() {
            let last = |repeated: &str| good.replacen('}', &format!(",{repeated}\"{field}\":null}}"), 1);
            stage
                .assert_refused(target, &format!("{field} twice"), last(""))
                .await;
            let repeated = format!("\"{field}\":\"x\",").repeat(50_000);
            stage
                .assert_refused(target, &format!("{field} 50,000 times"), last(&repeated))
                .await;
        }
        let many: Vec<_> = (0..200_000).map(|n| format!("\"k{n}\":0")).collect();
        let many = format!("{{{}}}", many.join(","));
        stage.assert_refused(target, "200,000 unknown fields", many).await;
    }
    stage.assert_nothing_written().await;
}

#[tokio::test]
async fn five_megabytes_are_too_large_whatever_they_are() {
    let stage = Stage::set().await;
    let text = format!("\"{}\"", "x".repeat(LIMIT));
    for target in &stage.targets {
        for body in [
            target.body("hostile", &text),
            text.clone(),
            "[".repeat(LIMIT + 1),
            " ".repeat(6 * LIMIT),
        ] {
            let answer = stage.post(target, body).await;
            let expected = if target.function.request.is_some() {
                413
            } else {
                200
            };
            assert_eq!(answer.status, expected, "{}", target.function.name);
            target.function.assert_described(&answer);
        }
        // As large as can be.
        stage
            .assert_refused(target, "5 MB of brackets", "[".repeat(LIMIT))
            .await;
    }
    stage.assert_nothing_written().await;
}

#[tokio::test]
async fn hostile_headers_are_refused() {
    let stage = Stage::set().await;
    let hostile = [
        vec![b'x'; 10_000],
        vec![b'"'; 300],
        vec![0xff; 10],
        "\u{202e}\u{1f4a3}".as_bytes().to_vec(),
    ];
    for target in &stage.targets {
        let function = &target.function;
        let url = format!("{}/functions/v1/{}", stage.app.url, function.name);
        for value in hostile
            .iter()
            .map(|bytes| HeaderValue::from_bytes(bytes).unwrap())
        {
            // Instead of the key.
            for name in ["authorization", "apikey"] {
                let request = stage.app.http.post(&url).header(name, value.clone());
                let answer = read(request.body("{}").send().await.unwrap()).await;
                assert_eq!(answer.status, 401, "{} {name}: {answer:?}", function.name);
                function.assert_described(&answer);
            }
            // In every header that the function reads.
            for name in function.headers() {
                let request = stage.app.http.post(&url).bearer_auth(&target.key);
                let request = request
                    .header(name, value.clone())
                    .body(Value::Object(target.good.clone()).to_string());
                let answer = read(request.send().await.unwrap()).await;
                assert_eq!(answer.status, 400, "{} {name}: {answer:?}", function.name);
                function.assert_described(&answer);
            }
        }

        // More than a head may have: answered before anybody knows whose it is, hence without a body.
        for flood in [
            (0..5000)
                .map(|n| format!("x-{n}: y\r\n"))
                .collect::<Vec<_>>()
                .concat(),
            "x: y\r\n".repeat(5000),
            format!("x: {}\r\n", "y".repeat(2 * 1024 * 1024)),
        ] {
            let mut raw = Raw::open(&stage.app).await;
            let request = format!(
                "POST /functions/v1/{} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\n{flood}content-length: 0\r\n\r\n",
                function.name, target.key
            );
            // The server may close before it has read all of it.
            drop(raw.0.write_all(request.as_bytes()).await);
            let head = raw.head().await;
            assert_eq!(status(&head), 431, "{}", function.name);
            assert!(head.contains("content-length: 0\r\n"), "{head}");
        }
    }
    stage.assert_nothing_written().await;
}
