//! A server with `/rest/v1` over a database of its own, and a client per identity.

use dropwire::app::rest_only::{RestOnly, RestOnlySettings};
use dropwire::config::{Env, Flags};
use dropwire::dev;
use dropwire::pg::login;
use dropwire::rest::state::RestState;
use reqwest::Method;
use serde_json::Value;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::support::TestApp;
use crate::support::app::{Answer, read, user_token};
use crate::support::cluster::TestDatabase;

/// A running server, on one surface or the other.
pub struct RestApp {
    /// The owner's connection, for arranging and looking.
    pub db: Client,
    /// The base URL of `/rest/v1`.
    pub url: String,
    /// Where `/ready` is.
    pub admin_url: String,
    pub database: TestDatabase,
    http: reqwest::Client,
    server: Server,
}

enum Server {
    Supabase(Box<TestApp>),
    RestOnly(Box<RestOnly>),
}

impl RestApp {
    /// `serve` over a migrated database with the demo tenant, and `sql` run before it starts.
    pub async fn supabase(sql: &str) -> Self {
        Self::supabase_with(sql, &[]).await
    }

    /// As [`RestApp::supabase`], with more variables of the environment.
    pub async fn supabase_with(sql: &str, variables: &[(&str, &str)]) -> Self {
        let (database, db) = arranged(sql).await;
        let app = TestApp::on(database.clone(), variables).await;
        Self {
            db,
            url: format!("{}/rest/v1", app.url),
            admin_url: app.url.clone(),
            database,
            http: app.http.clone(),
            server: Server::Supabase(Box::new(app)),
        }
    }

    /// `serve --rest-only` over a migrated database, with the anonymous role `anon` and the demo's secret, and `sql` run
    /// before it starts.
    pub async fn rest_only(sql: &str) -> Self {
        Self::rest_only_with(sql, &[]).await
    }

    /// As [`RestApp::rest_only`], with more variables of the environment; those of the same name win.
    pub async fn rest_only_with(sql: &str, variables: &[(&str, &str)]) -> Self {
        let (database, db) = arranged(sql).await;
        let url = database.url_of(login_role(&database).await.as_str());
        let mut all = vec![
            ("PGRST_DB_URI", url.as_str()),
            ("PGRST_DB_ANON_ROLE", "anon"),
            ("PGRST_JWT_SECRET", dev::JWT_SECRET),
            ("PGRST_DB_POOL", "4"),
            ("PGRST_ADMIN_SERVER_PORT", "0"),
            ("PGRST_SERVER_HOST", "127.0.0.1"),
            ("PGRST_SERVER_PORT", "0"),
        ];
        // Later ones replace earlier ones of the same name.
        all.extend_from_slice(variables);
        let settings = RestOnlySettings::load(&Flags::default(), &Env::from_pairs(&all)).unwrap();
        let app = RestOnly::start(settings).await.unwrap();
        Self {
            db,
            url: format!("http://{}/rest/v1", app.address),
            admin_url: format!("http://{}", app.admin_address.unwrap()),
            database,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            server: Server::RestOnly(Box::new(app)),
        }
    }

    /// Somebody with the anon key, on Supabase's surface; without any token on PostgREST's.
    pub fn anon(&self) -> RestClient<'_> {
        match &self.server {
            Server::Supabase(_) => self.bearer(dev::ANON_KEY),
            Server::RestOnly(_) => self.nobody(),
        }
    }

    /// A signed-in user.
    pub fn user(&self, id: Uuid) -> RestClient<'_> {
        self.bearer(&user_token(id))
    }

    /// The operator's own programs.
    pub fn service_role(&self) -> RestClient<'_> {
        self.bearer(dev::SERVICE_ROLE_KEY)
    }

    /// Somebody with this token; on Supabase's surface with the anon key beside it, as its clients have it.
    pub fn bearer(&self, token: &str) -> RestClient<'_> {
        let client = self.nobody().with("authorization", &format!("Bearer {token}"));
        match &self.server {
            Server::Supabase(_) => client.with("apikey", dev::ANON_KEY),
            Server::RestOnly(_) => client,
        }
    }

    /// Somebody without any key or token.
    pub fn nobody(&self) -> RestClient<'_> {
        RestClient {
            app: self,
            headers: Vec::new(),
        }
    }

    /// What `/ready` says: the status and the body.
    pub async fn ready(&self) -> (u16, Value) {
        let url = format!("{}/ready", self.admin_url);
        read(self.http.get(url).send().await.unwrap()).await.pair()
    }

    /// Runs statements as the owner.
    pub async fn run(&self, statements: &str) {
        if let Err(error) = self.db.batch_execute(statements).await {
            panic!("{statements}\n{:?}", error.as_db_error());
        }
    }

    /// Runs statements as the owner and waits until the server has loaded its schema cache anew.
    pub async fn reload_after(&self, statements: &str) {
        self.run(statements).await;
        // A load may have been under way that began before the statements; the one after it did not.
        for _ in 0..2 {
            let before = self.rest().cache_state().loads;
            self.run("notify pgrst, 'reload schema'").await;
            self.wait_for_load(before).await;
        }
    }

    /// Waits until the server has loaded its schema cache more than that many times.
    pub async fn wait_for_load(&self, loads: u64) {
        for _ in 0..1_000 {
            if self.rest().cache_state().loads > loads {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!(
            "the schema cache is not reloaded: {:?}",
            self.rest().cache_state()
        );
    }

    /// What the server's requests share.
    pub fn rest(&self) -> &RestState {
        match &self.server {
            Server::Supabase(app) => app.rest(),
            Server::RestOnly(app) => &app.rest,
        }
    }

    /// Ends the server gracefully.
    pub async fn stop(self) {
        match self.server {
            Server::Supabase(app) => app.stop().await,
            Server::RestOnly(app) => app.stop().await.unwrap(),
        }
    }
}

/// Somebody who sends requests.
#[derive(Clone)]
pub struct RestClient<'a> {
    app: &'a RestApp,
    headers: Vec<(String, String)>,
}

impl RestClient<'_> {
    /// The same with one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// GETs a path below `/rest/v1`, with its query string: `/tickets?id=eq.1`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    /// POSTs JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    /// PATCHes JSON.
    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PATCH, path, Some(body)).await
    }

    /// DELETEs.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    /// POSTs a body of that media type.
    pub async fn post_as(&self, path: &str, media_type: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self
            .request(Method::POST, path)
            .header("content-type", media_type);
        read(request.body(body).send().await.unwrap()).await
    }

    /// Any request, with JSON as its body or without one.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        read(request.send().await.unwrap()).await
    }

    /// GETs a path and answers before its body is read.
    pub async fn open(&self, path: &str) -> reqwest::Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let mut request = self.app.http.request(method, format!("{}{path}", self.app.url));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request
    }
}

async fn arranged(sql: &str) -> (TestDatabase, Client) {
    let database = TestDatabase::migrated().await;
    let db = database.target().connect().await.unwrap();
    if let Err(error) = db.batch_execute(sql).await {
        panic!("{sql}\n{:?}", error.as_db_error());
    }
    (database, db)
}

/// The role that requests log in as.
pub async fn login_role(database: &TestDatabase) -> String {
    let login = login::ensure(&database.target()).await.unwrap();
    login.user().unwrap().to_owned()
}
