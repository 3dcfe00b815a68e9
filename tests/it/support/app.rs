//! The real application over a database of its own, reached over real HTTP.

use std::time::Duration;

use dropwire::app::App;
use dropwire::auth::{Role, jwt};
use dropwire::config::{Env, Flags, Secret, Settings};
use dropwire::dev;
use dropwire::rest::state::RestState;
use dropwire::webhook::Dispatcher;
use poem::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

use super::cluster::TestDatabase;

/// The tenant of [`TestApp::seed_tenant`], the demo's.
pub const TENANT: &str = dev::TENANT_ID;
/// The chat id of that tenant's complainant.
pub const CHAT_ID: &str = dev::CHAT_ID;

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    /// As [`Answer::pair`], once the headers are checked that every JSON answer of a function carries.
    pub fn function_pair(&self) -> (u16, Value) {
        assert_eq!(self.headers["content-type"], "application/json", "{self:?}");
        self.assert_cors();
        self.pair()
    }

    /// Asserts the CORS headers of a function's answers.
    pub fn assert_cors(&self) {
        let allowed = "authorization, x-client-info, apikey, content-type, idempotency-key";
        for (name, value) in [
            ("access-control-allow-origin", "*"),
            ("access-control-allow-headers", allowed),
            ("access-control-allow-methods", "POST, OPTIONS"),
        ] {
            let values: Vec<_> = self.headers.get_all(name).iter().collect();
            assert_eq!(values, [value], "{name} of {self:?}");
        }
    }

    /// Status and body in one, for comparisons.
    pub fn pair(&self) -> (u16, Value) {
        (self.status.as_u16(), self.json())
    }
}

/// A running application.
pub struct TestApp {
    app: Option<App>,
    pub database: TestDatabase,
    /// The owner's connection, for arranging and looking.
    pub db: Client,
    pub http: reqwest::Client,
    /// The base URL.
    pub url: String,
}

impl TestApp {
    /// An application with the demo tenant, no built-in dispatcher, and a backoff of at most 50 ms.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// As [`TestApp::start`], with more variables of the environment.
    pub async fn with(variables: &[(&str, &str)]) -> Self {
        Self::on(TestDatabase::migrated().await, variables).await
    }

    /// As [`TestApp::with`], over a migrated database that the test chose.
    pub async fn on(database: TestDatabase, variables: &[(&str, &str)]) -> Self {
        let db = database.target().connect().await.unwrap();
        db.batch_execute(include_str!("../../../sql/dev/demo.sql"))
            .await
            .unwrap();
        Self::over(database, db, variables).await
    }

    async fn over(database: TestDatabase, db: Client, variables: &[(&str, &str)]) -> Self {
        let url = database.url();
        let mut all = vec![
            ("DATABASE_URL", url.as_str()),
            ("SUPABASE_JWT_SECRET", dev::JWT_SECRET),
            ("SUPABASE_PUBLISHABLE_KEY", dev::PUBLISHABLE_KEY),
            ("SUPABASE_SECRET_KEY", dev::SECRET_KEY),
            ("DROPWIRE_LISTEN", "127.0.0.1:0"),
            ("DROPWIRE_NO_DISPATCH", "true"),
            ("DROPWIRE_WEBHOOK_ALLOW_PRIVATE", "true"),
            ("DROPWIRE_DB_POOL_SIZE", "8"),
            ("TICKET_ACTIVITY_WEBHOOK_MAX_BACKOFF_MS", "50"),
            ("TICKET_ACTIVITY_WEBHOOK_TIMEOUT_MS", "2000"),
        ];
        all.extend_from_slice(variables);
        let settings = Settings::load(&Flags::default(), &Env::from_pairs(&all)).unwrap();
        let app = App::start(settings, None).await.unwrap();
        let url = format!("http://{}", app.address);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            app: Some(app),
            database,
            db,
            http,
            url,
        }
    }

    /// Another application over the same database: a second replica.
    pub async fn replica(&self, variables: &[(&str, &str)]) -> Self {
        let database = self.database.clone();
        let db = database.target().connect().await.unwrap();
        Self::over(database, db, variables).await
    }

    /// The application's dispatcher.
    pub fn dispatcher(&self) -> &Dispatcher {
        &self.app.as_ref().unwrap().state.dispatcher
    }

    /// What requests below `/rest/v1` share.
    pub fn rest(&self) -> &RestState {
        &self.app.as_ref().unwrap().rest
    }

    /// Ends the application gracefully.
    pub async fn stop(mut self) {
        self.app.take().unwrap().stop().await.unwrap();
    }

    /// Points the demo tenant's webhook to `url`.
    pub async fn set_webhook(&self, url: &str) {
        self.db
            .execute(
                "update tenants set automation_webhook_url = $1 where id = $2",
                &[&url, &tenant()],
            )
            .await
            .unwrap();
    }

    /// POSTs JSON to a function with a key.
    pub async fn call(&self, function: &str, key: &str, body: &Value) -> Answer {
        self.send(function, reqwest::Method::POST, Some(key), body.to_string())
            .await
    }

    /// Any request to a function.
    pub async fn send(
        &self,
        function: &str,
        method: reqwest::Method,
        key: Option<&str>,
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let mut request = self
            .http
            .request(method, format!("{}/functions/v1/{function}", self.url))
            .body(body);
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        read(request.send().await.unwrap()).await
    }

    /// Creates a ticket as Make does, with some fields changed; answers its id.
    pub async fn create_ticket(&self, changes: &Value) -> Uuid {
        let answer = self
            .call("telegram-webhook", dev::ANON_KEY, &ticket(changes))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["ticket_id"].as_str().unwrap().parse().unwrap()
    }

    /// One call of the dispatcher's route as cron makes it; answers its body.
    pub async fn drain(&self) -> Value {
        let answer = self
            .call("ticket-activity-webhook", dev::SERVICE_ROLE_KEY, &json!({}))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }

    /// Waits until one of the application's statements waits for a lock that the test holds.
    pub async fn wait_for_lock(&self) {
        self.database.wait_for_lock().await;
    }

    /// Calls the dispatcher until nothing is left to deliver.
    pub async fn drain_all(&self) {
        for _ in 0..200 {
            self.drain().await;
            let left: i64 = self
                .count("ticket_webhook_queue where status <> 'delivered'")
                .await;
            if left == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the queue does not become empty");
    }

    /// How many rows there are: `count("tickets where …")`.
    pub async fn count(&self, from: &str) -> i64 {
        self.db
            .query_one(&format!("select count(*) from {from}"), &[])
            .await
            .unwrap()
            .get(0)
    }

    /// One value of one row as text.
    pub async fn text(&self, query: &str) -> Option<String> {
        self.db.query_one(query, &[]).await.unwrap().get(0)
    }
}

/// Reads an answer whole.
pub async fn read(response: reqwest::Response) -> Answer {
    let status = response.status();
    let headers = response.headers().clone();
    Answer {
        status,
        headers,
        text: response.text().await.unwrap(),
    }
}

/// The demo tenant's id.
pub fn tenant() -> Uuid {
    TENANT.parse().unwrap()
}

/// The guide's ticket for the demo tenant, with some fields changed; null removes one.
pub fn ticket(changes: &Value) -> Value {
    let mut body = json!({
        "issue": "AC not working in Building A", "location": "Building A, Floor 3", "category": "HVAC",
        "priority": "high", "name": "John Doe", "chat_id": CHAT_ID, "tenant_id": TENANT
    });
    for (name, value) in changes.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body
}

/// What telegram-webhook answers to a request that it refuses.
pub fn refusal(status: u16, error: &str) -> (u16, Value) {
    (
        status,
        json!({"success": false, "error": error, "status": status}),
    )
}

/// A signed-in user's token.
pub fn user_token(user: Uuid) -> String {
    let claims = json!({"sub": user, "role": Role::Authenticated.name(), "aud": "authenticated"});
    jwt::sign(&Secret::new(dev::JWT_SECRET), &claims).unwrap()
}
