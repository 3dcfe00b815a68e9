//! The whole of a running server: what requests share, every route, start and shutdown.

pub mod rest_only;

use std::sync::Arc;

use poem::endpoint::make_sync;
use poem::{Endpoint, EndpointExt, IntoResponse as _, Request, Response, Route};
use tokio::task::JoinHandle;

use crate::auth::jwt::Verifier;
use crate::bot::Bot;
use crate::config::{ConfigError, Secret, Settings};
use crate::database::{Database, DatabaseError};
use crate::dev::Inbox;
use crate::egress::{Egress, Policy};
use crate::http::acceptor::{GuardedAcceptor, Limits};
use crate::http::health;
use crate::http::server::{GRACE, HttpServer};
use crate::http::trace::trace;
use crate::onboarding::Onboarding;
use crate::pg::pool::Pool;
use crate::rest::openapi::Server;
use crate::rest::settings::{RestConfig, Surface};
use crate::rest::state::{Access, LiveSettings, RefreshError, RestState};
use crate::schema_cache::reload::Reloader;
use crate::webhook::Dispatcher;
use crate::{dev, functions, metrics, rest};

/// Where PostgREST's interface is mounted.
const REST: &str = "/rest/v1";

/// What requests share. Cheap to clone.
#[derive(Clone)]
pub struct AppState(Arc<Shared>);

/// The contents of [`AppState`].
pub struct Shared {
    /// All settings.
    pub settings: Settings,
    /// Connections as the login role.
    pub pool: Pool,
    /// The project's keys.
    pub verifier: Verifier,
    /// Delivery of ticket webhooks.
    pub dispatcher: Dispatcher,
    /// Invitations to the Telegram bot.
    pub onboarding: Onboarding,
    /// The executors' bot, if it has a token.
    pub bot: Option<Bot>,
}

impl std::ops::Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl AppState {
    /// What requests share, over an opened database.
    pub fn new(settings: Settings, pool: Pool, secret: &Secret) -> Self {
        let verifier = Verifier::new(secret, settings.auth.keys.clone());
        let egress = Egress::new(Policy {
            allow_private: settings.webhook.allow_private,
        });
        let onboarding = Onboarding::new(pool.clone(), egress.clone(), settings.onboarding.clone());
        let bot = Bot::new(pool.clone(), &settings.telegram);
        let dispatcher = Dispatcher::new(pool.clone(), egress, settings.webhook.clone());
        Self(Arc::new(Shared {
            settings,
            pool,
            verifier,
            dispatcher,
            onboarding,
            bot,
        }))
    }
}

/// The route table.
pub fn routes(state: &AppState, rest: &Arc<RestState>, inbox: Option<Inbox>) -> impl Endpoint + 'static {
    let service = functions::service(&state.settings.public_url());
    let yaml = service.spec_yaml();
    let mut routes = Route::new()
        .at("/live", poem::get(health::live))
        .at("/ready", poem::get(health::ready))
        .at("/metrics", poem::get(metrics::page))
        .nest("/functions/v1", functions::endpoint(state.clone()))
        .nest("/docs", service.swagger_ui())
        .at(
            "/openapi.yaml",
            poem::get(make_sync(move |_| {
                yaml.clone().with_content_type("application/yaml")
            })),
        );
    if let Some(inbox) = inbox {
        routes = routes.at(dev::INBOX_PATH, dev::inbox_endpoint(inbox));
    }
    let routes = routes
        .data(state.clone())
        .data(state.pool.clone())
        .data(Arc::clone(rest));
    // /rest/v1 in front of the table: below it, paths are read undecoded.
    trace(RestMount {
        rest: Arc::clone(rest),
        others: routes.map_to_response(),
    })
}

/// PostgREST's interface at [`REST`], and something else beside it.
struct RestMount<E> {
    rest: Arc<RestState>,
    others: E,
}

impl<E: Endpoint<Output = Response>> Endpoint for RestMount<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        if is_below_rest(request.uri().path()) {
            return Ok(rest::handle(&self.rest, REST, request).await);
        }
        self.others.call(request).await
    }
}

/// Whether a path is [`REST`] or below it.
fn is_below_rest(path: &str) -> bool {
    path.strip_prefix(REST)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Why a server could not start or had to end.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The address could not be bound.
    #[error("listening on {address}: {source}; choose another with --listen")]
    Listen {
        /// The address that was asked for.
        address: std::net::SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The database could not be opened.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A setting is missing or wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The settings in the database cannot be read, or are wrong.
    #[error(transparent)]
    Settings(#[from] RefreshError),
    /// The server ended by itself.
    #[error("serving: {0}")]
    Serve(std::io::Error),
    /// Signals cannot be waited for.
    #[error("waiting for signals: {0}")]
    Signals(std::io::Error),
    /// The database is lost, and `PGRST_DB_POOL_AUTOMATIC_RECOVERY` is off.
    #[error("the database is lost, and PGRST_DB_POOL_AUTOMATIC_RECOVERY is off: {0}")]
    Lost(String),
}

/// A server that is listening.
pub struct App {
    /// Where it listens.
    pub address: std::net::SocketAddr,
    /// What its requests share.
    pub state: AppState,
    /// What those below `/rest/v1` share.
    pub rest: Arc<RestState>,
    database: Database,
    reloader: Reloader,
    server: HttpServer,
    worker: Option<JoinHandle<()>>,
}

impl App {
    /// Opens the database, binds the address, starts serving and, unless switched off, the built-in dispatcher.
    pub async fn start(mut settings: Settings, inbox: Option<Inbox>) -> Result<Self, AppError> {
        metrics::init();
        // Before anything is touched; it is read again with the database's share.
        RestConfig::load(&settings.rest, &[], Surface::Supabase)?;
        let address = settings.listen;
        // Bound first: a second server on the address fails before it touches anything.
        let limits = Limits {
            head_timeout: settings.http.head_timeout,
            ..Limits::default()
        };
        let acceptor = GuardedAcceptor::bind(address, limits)
            .await
            .map_err(|source| AppError::Listen { address, source })?;
        settings.listen = acceptor.local_addr();
        let database = Database::open(&settings).await?;
        if inbox.is_some() {
            dev::seed(&database, settings.listen).await?;
        }

        let access = Access::Project {
            secret: database.jwt_secret.clone(),
            keys: settings.auth.keys.clone(),
        };
        let live = LiveSettings::load(settings.rest.clone(), access)?;
        // Poolers in transaction mode pass no notifications on.
        let listens = !settings.database.transaction_pooler;
        let (rest, reloader) = rest_state(live, &settings, &database, listens).await?;

        let state = AppState::new(settings, database.pool.clone(), &database.jwt_secret);
        let server = HttpServer::start(acceptor, routes(&state, &rest, inbox));
        let worker = state.settings.webhook.poll.map(|poll| {
            let dispatcher = state.dispatcher.clone();
            tokio::spawn(async move {
                tokio::join!(dispatcher.run_forever(poll), dispatcher.keep_house());
            })
        });
        Ok(Self {
            address: state.settings.listen,
            state,
            rest,
            database,
            reloader,
            server,
            worker,
        })
    }

    /// Shuts down: no new requests, what is under way finishes, unfinished webhooks are handed back.
    pub async fn stop(self) -> Result<(), AppError> {
        let stopping = self.server.stop();
        drop(self.reloader);
        self.state.dispatcher.shutdown(GRACE).await;
        if let Some(worker) = self.worker {
            worker.abort(); // it has ended by now, unless the database hangs
        }
        let served = stopping.ended().await;
        self.database.close().await;
        served.map_err(AppError::Serve)
    }
}

/// Loads the schema cache and keeps it in step; returns once the first load has ended, well or not.
async fn rest_state(
    live: Arc<LiveSettings>,
    settings: &Settings,
    database: &Database,
    listens: bool,
) -> Result<(Arc<RestState>, Reloader), AppError> {
    let channel = live.channel().filter(|_| listens);
    let configure = live.configure(&database.login);
    let mut reloader = Reloader::start(database.login.clone(), channel, configure);
    reloader.follow_signals().map_err(AppError::Signals)?;
    let url = format!("{}{REST}", settings.public_url());
    let server = Server::from_uri(&url).unwrap_or_else(|| Server::listening(settings.listen, REST));
    let (pool, cache) = (database.rest.clone(), reloader.cache().clone());
    let rest = RestState::new(
        live,
        pool,
        database.pool.clone(),
        cache,
        server,
        settings.http.clone(),
    );
    reloader.cache().settled().await;
    Ok((Arc::new(rest), reloader))
}
