//! Onboarding through Telegram: contract 1.4, 1.5 and 3, against a real HTTP double of Make.

mod callback;
mod callback_refusals;
mod concurrency;
mod held;
mod request;
mod request_refusals;

use dropwire::dev;
use reqwest::Method;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::support::app::{TENANT, read, user_token};
use crate::support::{Answer, Sink, TestApp};

const REQUEST: &str = "user-onboarding-request";
const CALLBACK: &str = "user-onboarding-callback";
/// The callback's bearer token: opaque, no JWT.
const TOKEN: &str = "an-opaque-callback-token";

/// The demo tenant's admin.
const ADMIN: &str = "d0000000-0000-4000-8000-0000000000a1";
/// The demo tenant's complainant, connected already.
const JOHN: &str = "d0000000-0000-4000-8000-0000000000a2";
/// A new executor of the demo tenant.
const NINA: &str = "d0000000-0000-4000-8000-0000000000a9";
const NINA_ROW: &str = "insert into users
    (id, tenant_id, email, full_name, role, emp_code, telegram_user_id, is_active, bot_onboarding_status)
  values ('d0000000-0000-4000-8000-0000000000a9', 'd0000000-0000-4000-8000-000000000001', 'nina@example.com',
    'Nina New', 'executor', 'E-7', 'nina_bot', false, 'pending')";

/// A correlation id that tests give.
const GIVEN: &str = "0b7f6a3e-52c1-4b0e-9d7c-3f1a2e4d5c6b";

/// An application whose Make is a sink.
struct Stage {
    app: TestApp,
    make: Sink,
}

impl Stage {
    async fn set() -> Self {
        Self::with(&[]).await
    }

    async fn with(variables: &[(&str, &str)]) -> Self {
        let make = Sink::start().await;
        let mut all = vec![
            ("MAKE_USER_ONBOARDING_WEBHOOK_URL", make.url.as_str()),
            ("MAKE_ONBOARDING_CALLBACK_TOKEN", TOKEN),
            // However busy the machine is.
            ("DROPWIRE_ONBOARDING_TIMEOUT_MS", "60000"),
        ];
        all.extend_from_slice(variables);
        let app = TestApp::with(&all).await;
        app.db.batch_execute(NINA_ROW).await.unwrap();
        Self { app, make }
    }

    /// Changes rows by hand.
    async fn sql(&self, statements: &str) {
        self.app.db.batch_execute(statements).await.unwrap();
    }

    /// The admin's request for Nina, with more fields.
    async fn request(&self, fields: Value) -> Answer {
        self.ask(&merged(json!({"user_id": NINA}), fields)).await
    }

    /// Any request of the admin's.
    async fn ask(&self, body: &Value) -> Answer {
        self.app.call(REQUEST, &token(ADMIN), body).await
    }

    /// Makes Nina invited under [`GIVEN`], and forgets how.
    async fn invite(&self) {
        let answer = self.request(json!({"correlation_id": GIVEN})).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        self.sql("delete from tenant_notifications").await;
        self.make.clear();
    }

    /// A callback under [`GIVEN`], with more fields.
    async fn callback(&self, fields: Value) -> Answer {
        self.app
            .call(CALLBACK, TOKEN, &merged(json!({"correlation_id": GIVEN}), fields))
            .await
    }

    /// A callback with exactly these bytes.
    async fn raw(&self, function: &str, key: &str, body: &str) -> Answer {
        self.app
            .send(function, Method::POST, Some(key), body.to_owned())
            .await
    }

    /// A POST with one Authorization header, or none.
    async fn post_as(&self, function: &str, authorization: Option<&str>, body: &Value) -> Answer {
        let url = format!("{}/functions/v1/{function}", self.app.url);
        let mut request = self.app.http.post(url).body(body.to_string());
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        read(request.send().await.unwrap()).await
    }

    /// A user's whole row, without the time of its last change.
    async fn row(&self, user: &str) -> Map<String, Value> {
        let row = self
            .app
            .text(&format!(
                "select (to_jsonb(u) - 'updated_at')::text from users u where id = '{user}'"
            ))
            .await;
        serde_json::from_str(&row.unwrap()).unwrap()
    }

    /// Nina's row.
    async fn nina(&self) -> Map<String, Value> {
        self.row(NINA).await
    }

    async fn status(&self) -> String {
        self.nina().await["bot_onboarding_status"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// All notifications, oldest first, without their id and time.
    async fn notifications(&self) -> Vec<Value> {
        let rows = self
            .app
            .db
            .query(
                "select (to_jsonb(n) - '{id,created_at}'::text[])::text from tenant_notifications n order by created_at",
                &[],
            )
            .await
            .unwrap();
        rows.iter()
            .map(|row| serde_json::from_str(row.get(0)).unwrap())
            .collect()
    }

    /// Asserts that nothing was written and Make was not called since `before`.
    async fn assert_untouched(&self, before: &Map<String, Value>, case: &str) {
        assert_eq!(changes(before, &self.nina().await), json!({}), "{case}");
        assert_eq!(self.notifications().await, Vec::<Value>::new(), "{case}");
        assert!(self.make.received().is_empty(), "{case}");
    }

    async fn end(self) {
        self.app.stop().await;
    }
}

/// A signed-in user's token.
fn token(user: &str) -> String {
    user_token(user.parse().unwrap())
}

fn merged(mut body: Value, fields: Value) -> Value {
    let Value::Object(fields) = fields else {
        return body;
    };
    body.as_object_mut().unwrap().extend(fields);
    body
}

/// The columns that differ, with their new values.
fn changes(before: &Map<String, Value>, after: &Map<String, Value>) -> Value {
    let changed = after.iter().filter(|(column, value)| before[*column] != **value);
    Value::Object(
        changed
            .map(|(column, value)| (column.clone(), value.clone()))
            .collect(),
    )
}

/// Takes a column out that holds a time of this moment.
fn take_recent(changes: &mut Value, column: &str) {
    let taken = changes.as_object_mut().unwrap().remove(column);
    let text = taken.expect("the column did not change");
    let at: chrono::DateTime<chrono::Utc> = text.as_str().unwrap().parse().unwrap();
    assert!(
        (chrono::Utc::now() - at).num_seconds().abs() < 60,
        "{column} is {at}"
    );
}

/// A notification about Nina, as [`Stage::notifications`] has it.
#[expect(
    clippy::needless_pass_by_value,
    reason = "callers write the metadata in place"
)]
fn notification(
    by: Option<&str>,
    kind: &str,
    level: &str,
    title: &str,
    message: &str,
    metadata: Value,
) -> Value {
    json!({
        "tenant_id": TENANT, "user_id": NINA, "triggered_by": by, "type": kind, "level": level, "title": title,
        "message": message, "status": "unread", "read_at": null, "metadata": metadata
    })
}

/// The metadata of every notification of a request, and more.
fn request_metadata(correlation_id: &str, more: Value) -> Value {
    merged(
        json!({
            "correlation_id": correlation_id, "tenant_id": TENANT, "email": "nina@example.com", "role": "executor",
            "employee_id": "E-7"
        }),
        more,
    )
}

/// The notification that begins a request.
fn queued(correlation_id: &str, reason: &str) -> Value {
    notification(
        Some(ADMIN),
        "onboarding.queued",
        "info",
        "Onboarding started for nina@example.com",
        "Preparing Telegram deep-link email for nina@example.com.",
        request_metadata(correlation_id, json!({"reason": reason, "initiated_by": ADMIN})),
    )
}

/// The notification of a call that Make took.
fn sent(correlation_id: &str, make_status: u16, response_body: &str) -> Value {
    notification(
        Some(ADMIN),
        "onboarding.invite_sent",
        "info",
        "Invite email sent to nina@example.com",
        "Telegram deep-link email dispatched successfully.",
        request_metadata(
            correlation_id,
            json!({"make_status": make_status, "response_body": response_body}),
        ),
    )
}

fn error(text: &str) -> Value {
    json!({ "error": text })
}

/// The guide's section 10, step by step.
#[tokio::test]
async fn an_invited_user_starts_the_bot_and_creates_a_ticket() {
    let stage = Stage::set().await;
    let answer = stage.request(json!({})).await;
    let correlation_id = answer.json()["correlation_id"].as_str().unwrap().to_owned();
    assert_eq!(
        answer.pair(),
        (202, json!({"status": "queued", "correlation_id": correlation_id}))
    );
    let make = stage.make.wait_for(1).await;
    assert_eq!(make[0].body["correlation_id"], correlation_id.as_str());
    assert_eq!(Uuid::try_parse(&correlation_id).unwrap().get_version_num(), 4);

    // What Make and the bot make of it.
    let link = format!("https://t.me/fms_bot?start={correlation_id}");
    for (fields, status) in [
        (json!({"status": "invite_sent", "deep_link": link}), "invited"),
        (json!({"status": "awaiting_chat"}), "awaiting_chat"),
        (
            json!({"status": "completed", "chat_id": 555, "telegram_user_id": 555}),
            "completed",
        ),
    ] {
        let body = merged(json!({"correlation_id": correlation_id}), fields);
        let answer = stage.app.call(CALLBACK, TOKEN, &body).await;
        let expected = json!({
            "status": status, "user_id": NINA, "tenant_id": TENANT, "correlation_id": correlation_id
        });
        assert_eq!(answer.pair(), (200, expected));
    }

    let kinds: Vec<_> = stage
        .notifications()
        .await
        .iter()
        .map(|n| n["type"].clone())
        .collect();
    assert_eq!(
        kinds,
        [
            "onboarding.queued",
            "onboarding.invite_sent",
            "onboarding.invite_sent",
            "onboarding.awaiting_chat",
            "onboarding.completed"
        ]
    );
    let ticket = stage.app.create_ticket(&json!({"chat_id": "555"})).await;
    let complainant = format!("select complainant_id::text from tickets where id = '{ticket}'");
    assert_eq!(stage.app.text(&complainant).await.as_deref(), Some(NINA));
    assert_eq!(
        stage.request(json!({})).await.pair(),
        (200, json!({"status": "already_completed"}))
    );
    stage.end().await;
}

#[tokio::test]
async fn a_preflight_needs_no_token() {
    let stage = Stage::set().await;
    for function in [REQUEST, CALLBACK] {
        let answer = stage.app.send(function, Method::OPTIONS, None, "").await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, "ok"));
        assert_eq!(answer.headers["access-control-allow-origin"], "*");
    }
    stage.end().await;
}

/// The key of the project that is nobody's token.
fn project_keys() -> [&'static str; 4] {
    [
        dev::ANON_KEY,
        dev::SERVICE_ROLE_KEY,
        dev::PUBLISHABLE_KEY,
        dev::SECRET_KEY,
    ]
}
