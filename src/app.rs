//! The whole of a running server: what requests share, every route, start and shutdown.

use std::sync::Arc;
use std::time::Duration;

use poem::endpoint::make_sync;
use poem::{Endpoint, EndpointExt, IntoResponse as _, Route, Server};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::auth::jwt::Verifier;
use crate::config::{Secret, Settings};
use crate::database::{Database, DatabaseError};
use crate::dev::Inbox;
use crate::egress::{Egress, Policy};
use crate::http::acceptor::{GuardedAcceptor, Limits};
use crate::http::health;
use crate::http::trace::trace;
use crate::onboarding::Onboarding;
use crate::pg::pool::Pool;
use crate::webhook::Dispatcher;
use crate::{dev, functions, metrics};

/// How long requests and deliveries under way may take to finish at shutdown.
const GRACE: Duration = Duration::from_secs(8);

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
        let dispatcher = Dispatcher::new(pool.clone(), egress, settings.webhook.clone());
        Self(Arc::new(Shared {
            settings,
            pool,
            verifier,
            dispatcher,
            onboarding,
        }))
    }
}

/// The route table.
pub fn routes(state: &AppState, inbox: Option<Inbox>) -> impl Endpoint + 'static {
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
    trace(routes.data(state.clone()))
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
    /// The server ended by itself.
    #[error("serving: {0}")]
    Serve(std::io::Error),
}

/// A server that is listening.
pub struct App {
    /// Where it listens.
    pub address: std::net::SocketAddr,
    /// What its requests share.
    pub state: AppState,
    database: Database,
    stop: oneshot::Sender<()>,
    server: JoinHandle<std::io::Result<()>>,
    worker: Option<JoinHandle<()>>,
}

impl App {
    /// Opens the database, binds the address, starts serving and, unless switched off, the built-in dispatcher.
    pub async fn start(mut settings: Settings, inbox: Option<Inbox>) -> Result<Self, AppError> {
        metrics::init();
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

        let state = AppState::new(settings, database.pool.clone(), &database.jwt_secret);
        let (stop, stopped) = oneshot::channel::<()>();
        let server = Server::new_with_acceptor(acceptor)
            .idle_timeout(Duration::from_secs(75))
            .name("dropwire");
        let routes = routes(&state, inbox);
        let server = tokio::spawn(async move {
            let signal = async move { stopped.await.unwrap_or_default() };
            server
                .run_with_graceful_shutdown(routes, signal, Some(GRACE))
                .await
        });
        let worker = state.settings.webhook.poll.map(|poll| {
            let dispatcher = state.dispatcher.clone();
            tokio::spawn(async move {
                tokio::join!(dispatcher.run_forever(poll), dispatcher.keep_house());
            })
        });
        Ok(Self {
            address: state.settings.listen,
            state,
            database,
            stop,
            server,
            worker,
        })
    }

    /// Shuts down: no new requests, what is under way finishes, unfinished webhooks are handed back.
    pub async fn stop(self) -> Result<(), AppError> {
        // Nobody listens for this when the server has ended by itself.
        let _ended = self.stop.send(());
        self.state.dispatcher.shutdown(GRACE).await;
        if let Some(worker) = self.worker {
            worker.abort(); // it has ended by now, unless the database hangs
        }
        let served = self
            .server
            .await
            .unwrap_or_else(|panicked| Err(std::io::Error::other(panicked)));
        self.database.close().await;
        served.map_err(AppError::Serve)
    }
}
