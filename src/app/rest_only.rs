//! `serve --rest-only`: PostgREST's interface in front of any database, and nothing else. A drop-in for its binary.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use poem::{Endpoint, EndpointExt as _, Request, Response, Route};
use tokio::task::JoinHandle;

use super::{AppError, REST, is_below_rest};
use crate::config::{self, ConfigError, Env, Flags, HttpSettings, RestEnv, Secret};
use crate::database::{self, DatabaseError};
use crate::http::acceptor::{GuardedAcceptor, Limits};
use crate::http::health;
use crate::http::server::HttpServer;
use crate::http::trace::trace;
use crate::pg::connect::Target;
use crate::pg::pool::{Pool, PoolError, PoolSettings, Statements};
use crate::pg::wire;
use crate::rest;
use crate::rest::openapi::Server;
use crate::rest::settings::{
    ConnectionSettings, DEFAULT_PORT, LogLevel, RestConfig, ServerSettings, Surface,
};
use crate::rest::state::{Access, LiveSettings, RestState};
use crate::schema_cache::reload::Reloader;

/// What PostgREST listens on unless told otherwise: every IPv4 address.
const DEFAULT_HOST: &str = "!4";
/// Least pause between looks for connections that have rested too long.
const SWEEP_MIN: Duration = Duration::from_secs(1);

/// All settings of `serve --rest-only`.
#[derive(Debug, Clone)]
pub struct RestOnlySettings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where `/live` and `/ready` are, if anywhere.
    pub admin: Option<SocketAddr>,
    /// Whether other processes may listen on the same address.
    pub reuse_port: bool,
    /// How patient the server is with its clients.
    pub http: HttpSettings,
    /// The database, by the login role of requests.
    pub target: Target,
    /// How the database is reached.
    pub connection: ConnectionSettings,
    /// `log-level`, if it was given.
    pub log_level: Option<LogLevel>,
    env: RestEnv,
}

impl RestOnlySettings {
    /// Reads flags and environment.
    pub fn load(flags: &Flags, env: &Env) -> Result<Self, DatabaseError> {
        let rest = RestEnv::load(env)?;
        let config = RestConfig::load(&rest, &[], Surface::Postgrest)?;
        let (name, uri) = uri(&config.connection, env)?;
        Ok(Self {
            listen: listen(flags, env, &config.server)?,
            admin: admin(&config.server)?,
            reuse_port: config.server.reuse_port,
            http: HttpSettings::load(env)?,
            target: database::target_with(name, &uri, &libpq_defaults(env))?,
            connection: config.connection,
            log_level: config.log_level,
            env: rest,
        })
    }

    /// Reads the database's settings too, and answers all of them.
    pub async fn config(&self) -> Result<RestConfig, AppError> {
        let live = LiveSettings::load(self.env.clone(), Access::Tokens)?;
        Ok(live.read(&self.target).await?.0)
    }
}

/// The variable that names the database, and what it says.
fn uri(connection: &ConnectionSettings, env: &Env) -> Result<(&'static str, Secret), ConfigError> {
    if let Some(uri) = &connection.uri {
        return Ok(("PGRST_DB_URI", uri.clone()));
    }
    let given = ["DATABASE_URL", "SUPABASE_DB_URL"]
        .into_iter()
        .find_map(|name| Some((name, Secret::new(env.text(name)?))));
    // PostgREST's own default, where libpq's variables say the rest.
    let by_libpq = || {
        env.text("PGHOST")
            .map(|_host| ("PGRST_DB_URI", Secret::new("postgresql://")))
    };
    given.or_else(by_libpq).ok_or_else(|| {
        ConfigError::missing(
            "PGRST_DB_URI",
            "the PostgreSQL URL of the role that requests log in as, or DATABASE_URL with it; only `dropwire serve` \
             without --rest-only brings a database of its own",
        )
    })
}

/// What libpq's variables say, for what the connection string leaves open; PostgREST's clients rely on it.
fn libpq_defaults(env: &Env) -> Vec<(&'static str, String)> {
    let variables = [
        ("PGHOST", "host"),
        ("PGPORT", "port"),
        ("PGUSER", "user"),
        ("PGPASSWORD", "password"),
        ("PGDATABASE", "dbname"),
        ("PGSSLMODE", "sslmode"),
        ("PGSSLROOTCERT", "sslrootcert"),
        ("PGOPTIONS", "options"),
    ];
    variables
        .into_iter()
        .filter_map(|(variable, option)| Some((option, env.text(variable)?)))
        .collect()
}

/// `--listen`, else PostgREST's variables, else ours, else PostgREST's default.
fn listen(flags: &Flags, env: &Env, server: &ServerSettings) -> Result<SocketAddr, ConfigError> {
    if let Some(listen) = flags.listen {
        return Ok(listen);
    }
    if server.host.is_none() && server.port.is_none() {
        let names = ["DROPWIRE_LISTEN"];
        if let Some(listen) = env.parse(&names, config::LISTEN_ALLOWED, config::listen_address)? {
            return Ok(listen);
        }
    }
    address(
        "PGRST_SERVER_HOST",
        server.host.as_deref(),
        server.port.unwrap_or(DEFAULT_PORT),
    )
}

fn admin(server: &ServerSettings) -> Result<Option<SocketAddr>, ConfigError> {
    server
        .admin_port
        .map(|port| address("PGRST_ADMIN_SERVER_HOST", server.admin_host.as_deref(), port))
        .transpose()
}

/// The address of a host, with PostgREST's words for all of them.
fn address(name: &'static str, host: Option<&str>, port: u16) -> Result<SocketAddr, ConfigError> {
    let host = host.unwrap_or(DEFAULT_HOST);
    let text = match host {
        "*" | "*4" | "!4" => format!("0.0.0.0:{port}"),
        "*6" | "!6" => format!("[::]:{port}"),
        host if host.contains(':') && !host.starts_with('[') => format!("[{host}]:{port}"),
        host => format!("{host}:{port}"),
    };
    config::listen_address(&text).ok_or_else(|| {
        let allowed =
            "a host name or address of this machine, or one of *, *4, !4, *6 and !6 for all addresses";
        ConfigError::new(name, host, allowed)
    })
}

/// A server that is listening.
pub struct RestOnly {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where `/live` and `/ready` are, if anywhere.
    pub admin_address: Option<SocketAddr>,
    /// What its requests share.
    pub rest: Arc<RestState>,
    automatic_recovery: bool,
    reloader: Reloader,
    server: HttpServer,
    admin: Option<HttpServer>,
    sweeper: JoinHandle<()>,
}

impl RestOnly {
    /// Binds the addresses, loads the schema cache and starts serving. A database that cannot be reached is waited
    /// for while serving, unless automatic recovery is off.
    pub async fn start(settings: RestOnlySettings) -> Result<Self, AppError> {
        let limits = Limits {
            head_timeout: settings.http.head_timeout,
            ..Limits::default()
        };
        let acceptor = bind(settings.listen, limits, settings.reuse_port).await?;
        let admin_acceptor = match settings.admin {
            Some(address) => Some(bind(address, limits, settings.reuse_port).await?),
            None => None,
        };
        let connection = &settings.connection;
        let pool =
            wire::Pool::new(&settings.target, pool_settings(connection)).map_err(DatabaseError::Lease)?;
        let describing = describing(&settings.target, connection).map_err(DatabaseError::Pool)?;
        let live = LiveSettings::load(settings.env, Access::Tokens)?;
        let configure = live.configure(&settings.target);
        let mut reloader = Reloader::start(settings.target, live.channel(), configure);
        reloader.follow_signals().map_err(AppError::Signals)?;
        let server = Server::listening(acceptor.local_addr(), "/");
        let cache = reloader.cache().clone();
        let rest = Arc::new(RestState::new(
            live,
            pool.clone(),
            describing.clone(),
            cache,
            server,
            settings.http,
        ));
        // Listens on the admin address before there is a cache, so that /ready can say so.
        let (address, admin_address) = (
            acceptor.local_addr(),
            admin_acceptor.as_ref().map(GuardedAcceptor::local_addr),
        );
        let admin = admin_acceptor.map(|acceptor| HttpServer::start(acceptor, admin_routes(&rest)));
        let state = reloader.cache().settled().await;
        if let (Some(reason), false) = (state.failing, connection.automatic_recovery) {
            return Err(AppError::Lost(reason));
        }
        let server = HttpServer::start(acceptor, trace(Everywhere(Arc::clone(&rest))));
        Ok(Self {
            address,
            admin_address,
            rest,
            automatic_recovery: connection.automatic_recovery,
            reloader,
            server,
            admin,
            sweeper: tokio::spawn(sweep(
                pool,
                describing,
                connection.max_idletime,
                connection.max_lifetime,
            )),
        })
    }

    /// Waits until the database is lost for good; for ever, where recovery is automatic.
    pub async fn lost(&self) -> AppError {
        if self.automatic_recovery {
            return std::future::pending().await;
        }
        let mut state = self.reloader.cache().subscribe();
        match state.wait_for(|state| state.failing.is_some()).await {
            Ok(state) => AppError::Lost(state.failing.clone().unwrap_or_default()),
            Err(_closed) => AppError::Lost("the schema cache is not loaded any more".to_owned()),
        }
    }

    /// Shuts down: no new requests, what is under way finishes.
    pub async fn stop(self) -> Result<(), AppError> {
        self.sweeper.abort();
        drop(self.reloader);
        let served = self.server.stop().ended().await;
        if let Some(admin) = self.admin {
            admin.stop().ended().await.map_err(AppError::Serve)?;
        }
        self.rest.pool.close();
        self.rest.describing.close();
        served.map_err(AppError::Serve)
    }
}

async fn bind(address: SocketAddr, limits: Limits, shared: bool) -> Result<GuardedAcceptor, AppError> {
    let bound = if shared {
        GuardedAcceptor::bind_shared(address, limits)
    } else {
        GuardedAcceptor::bind(address, limits).await
    };
    bound.map_err(|source| AppError::Listen { address, source })
}

/// The schema is described seldom, and one request at a time.
fn describing(target: &Target, connection: &ConnectionSettings) -> Result<Pool, PoolError> {
    let settings = PoolSettings {
        max_size: 1,
        ..pool_settings(connection)
    };
    Pool::new(target, settings)
}

fn pool_settings(connection: &ConnectionSettings) -> PoolSettings {
    let statements = if connection.prepared_statements {
        Statements::Prepared
    } else {
        Statements::Unnamed
    };
    PoolSettings {
        max_size: connection.pool_size,
        wait_timeout: connection.acquisition_timeout,
        statements,
    }
}

/// Closes connections that have rested or lived for too long.
async fn sweep(pool: wire::Pool, describing: Pool, idle: Duration, age: Duration) {
    let pause = (idle.min(age) / 2).max(SWEEP_MIN);
    loop {
        tokio::time::sleep(pause).await;
        pool.close_idle(idle, age);
        describing.close_idle(idle, age);
    }
}

/// PostgREST's interface at the root, and at `/rest/v1` too.
struct Everywhere(Arc<RestState>);

impl Endpoint for Everywhere {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let mount = if is_below_rest(request.uri().path()) {
            REST
        } else {
            ""
        };
        Ok(rest::handle(&self.0, mount, request).await)
    }
}

fn admin_routes(rest: &Arc<RestState>) -> impl Endpoint + 'static {
    let routes = Route::new()
        .at("/live", poem::get(health::live))
        .at("/ready", poem::get(health::ready))
        .data(Arc::clone(rest));
    trace(routes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(variables: &[(&str, &str)]) -> Result<RestOnlySettings, String> {
        RestOnlySettings::load(&Flags::default(), &Env::from_pairs(variables))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_address_is_postgrests_unless_only_ours_is_given() {
        let uri = ("PGRST_DB_URI", "postgresql://u@h/d");
        let cases: [(&[(&str, &str)], &str); 9] = [
            (&[], "0.0.0.0:3000"),
            (&[("DROPWIRE_LISTEN", "127.0.0.1:7")], "127.0.0.1:7"),
            (
                &[("DROPWIRE_LISTEN", "127.0.0.1:7"), ("PGRST_SERVER_PORT", "8")],
                "0.0.0.0:8",
            ),
            (&[("PGRST_SERVER_HOST", "127.0.0.1")], "127.0.0.1:3000"),
            (
                &[("PGRST_SERVER_HOST", "localhost"), ("PGRST_SERVER_PORT", "0")],
                "127.0.0.1:0",
            ),
            (&[("PGRST_SERVER_HOST", "::1")], "[::1]:3000"),
            (&[("PGRST_SERVER_HOST", "*6")], "[::]:3000"),
            (&[("PGRST_SERVER_HOST", "!4")], "0.0.0.0:3000"),
            (&[("PGRST_SERVER_HOST", "*")], "0.0.0.0:3000"),
        ];
        for (variables, expected) in cases {
            let settings = load(&[&[uri], variables].concat()).unwrap();
            assert_eq!(settings.listen.to_string(), expected, "{variables:?}");
            assert_eq!(settings.admin, None);
        }
        let admin = load(&[
            uri,
            ("PGRST_SERVER_HOST", "::1"),
            ("PGRST_ADMIN_SERVER_PORT", "3001"),
        ])
        .unwrap();
        assert_eq!(admin.admin.unwrap().to_string(), "[::1]:3001");
        let nowhere = load(&[uri, ("PGRST_SERVER_HOST", "no host")]).unwrap_err();
        assert!(
            nowhere.starts_with("PGRST_SERVER_HOST: `no host` is not allowed"),
            "{nowhere}"
        );
    }

    #[test]
    fn the_database_is_postgrests_then_ours_then_libpqs() {
        let cases: [(&[(&str, &str)], &str); 5] = [
            (
                &[
                    ("PGRST_DB_URI", "postgresql://a@h/d"),
                    ("DATABASE_URL", "postgresql://b@h/d"),
                ],
                "a@h:5432/d",
            ),
            (
                &[("DATABASE_URL", "postgresql://b@h/d"), ("PGHOST", "x")],
                "b@h:5432/d",
            ),
            (
                &[("PGHOST", "/run/pg"), ("PGUSER", "c"), ("PGDATABASE", "e")],
                "c@/run/pg:5432/e",
            ),
            (
                &[
                    ("PGRST_DB_URI", "postgresql://"),
                    ("PGHOST", "h"),
                    ("PGPORT", "7"),
                    ("PGUSER", "c"),
                ],
                "c@h:7/c",
            ),
            (
                &[
                    ("PGRST_DB_URI", "postgresql:///d?user=u"),
                    ("PGHOST", "h"),
                    ("PGDATABASE", "e"),
                ],
                "u@h:5432/d",
            ),
        ];
        for (variables, expected) in cases {
            assert_eq!(
                load(variables).unwrap().target.to_string(),
                expected,
                "{variables:?}"
            );
        }
        assert!(
            load(&[])
                .unwrap_err()
                .starts_with("PGRST_DB_URI is not set; needed is ")
        );
        let wrong = load(&[("PGRST_DB_URI", "postgresql://h:hush/d")]).unwrap_err();
        assert!(wrong.starts_with("PGRST_DB_URI: `***` is not allowed"), "{wrong}");
    }
}
