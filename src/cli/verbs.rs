//! What each verb of the command line does.

use std::io::Write as _;
use std::path::PathBuf;

use chrono::{DateTime, Duration, Utc};
use postgres_types::Type;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::rest_only::{RestOnly, RestOnlySettings};
use crate::app::{App, AppError, AppState};
use crate::auth::{Role, jwt};
use crate::config::{ConfigError, Env, Flags, Settings};
use crate::database::{self, DatabaseError};
use crate::dev::{self, Inbox};
use crate::error::chain;
use crate::pg::connect::ConnectError;
use crate::pg::migrate::{self as migrations, MigrateError};
use crate::pg::server::ServerError;
use crate::rest::settings::LogLevel;
use crate::rest::state::RefreshError;
use crate::webhook::dispatch::Report;
use crate::{functions, rest, telemetry};

/// Entries per run of `webhooks drain`.
const SEND_ALL_BATCH: usize = 1_000;

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum VerbError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    App(#[from] AppError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    #[error("minting a key: {0}")]
    Key(#[from] jwt::JwtError),
    #[error("dispatching webhooks: {0}")]
    Dispatch(#[from] crate::pg::pool::PoolError),
    #[error("queueing adopted webhooks again, on a database that `dropwire migrate` has been run on")]
    Replay(#[source] tokio_postgres::Error),
    #[error("asking the database, which `dropwire migrate` has to have been run on")]
    Webhooks(#[source] tokio_postgres::Error),
    #[error(
        "there is nothing of that id, or nothing to be done about it; see `dropwire webhooks list --all`"
    )]
    NothingToDo,
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the server is not ready: {0}")]
    NotReady(String),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl VerbError {
    /// 2 for a bad setting, 3 where there is no PostgreSQL to embed, else 1.
    pub(super) fn exit_code(&self) -> u8 {
        let database = match self {
            Self::Database(error) | Self::App(AppError::Database(error)) => Some(error),
            Self::Config(_)
            | Self::App(AppError::Config(_) | AppError::Settings(RefreshError::Config(_))) => {
                return 2;
            }
            _ => None,
        };
        match database {
            Some(DatabaseError::Config(_)) => 2,
            Some(DatabaseError::Server(ServerError::BinariesNotFound { .. })) => 3,
            _ => 1,
        }
    }
}

/// Reads the settings and starts logging.
fn begin(flags: &Flags) -> Result<Settings, ConfigError> {
    let env = Env::from_process();
    let settings = Settings::load(flags, &env)?;
    telemetry::init(&env)?;
    Ok(settings)
}

pub(super) async fn serve(flags: Flags) -> Result<(), VerbError> {
    let settings = begin(&flags)?;
    let app = App::start(settings, None).await?;
    tracing::info!(listen = %app.address, "Dropwire is ready");
    run_until_signal(app).await
}

pub(super) async fn serve_rest_only(flags: &Flags) -> Result<(), VerbError> {
    let env = Env::from_process();
    let settings = RestOnlySettings::load(flags, &env)?;
    let filter = settings
        .log_level
        .map_or(telemetry::DEFAULT_FILTER, LogLevel::filter);
    telemetry::init_with(&env, filter)?;
    let app = RestOnly::start(settings).await?;
    tracing::info!(
        listen = %app.address,
        admin = app.admin_address.map(tracing::field::display),
        "Dropwire serves /rest/v1 alone"
    );
    tokio::select! {
        signalled = until_signal() => signalled?,
        lost = app.lost() => return Err(lost.into()),
    }
    Ok(app.stop().await?)
}

pub(super) async fn dump_config(flags: &Flags) -> Result<(), VerbError> {
    let env = Env::from_process();
    let settings = RestOnlySettings::load(flags, &env)?;
    telemetry::init(&env)?;
    let config = settings.config().await?;
    std::io::stdout().write_all(rest::settings::dump(&config).as_bytes())?;
    Ok(())
}

pub(super) async fn dev(flags: Flags) -> Result<(), VerbError> {
    let mut settings = begin(&flags)?;
    if !settings.listen.ip().is_loopback() {
        let allowed =
            "a loopback address: the keys of `dropwire dev` are public; use `dropwire serve` elsewhere";
        return Err(ConfigError::new("--listen", settings.listen.to_string(), allowed).into());
    }
    if let Some(url) = &settings.database.url
        && !database::target("DATABASE_URL", url)?.is_local()
    {
        let allowed =
            "a database on this machine: `dropwire dev` writes demo data; unset it for the embedded one";
        return Err(ConfigError::new("DATABASE_URL", "***", allowed).into());
    }
    if flags.data_dir.is_none() {
        settings.database.data_dir = beside(&settings.database.data_dir);
    }
    settings.database.migrate = true;
    dev::adapt(&mut settings);
    let app = App::start(settings, Some(Inbox::default())).await?;
    std::io::stdout().write_all(dev::banner(app.address).as_bytes())?;
    run_until_signal(app).await
}

/// The demo's data directory beside the real one, so that the two never mix.
fn beside(data_dir: &std::path::Path) -> PathBuf {
    let mut name = data_dir.as_os_str().to_owned();
    name.push("-dev");
    name.into()
}

async fn run_until_signal(app: App) -> Result<(), VerbError> {
    until_signal().await?;
    Ok(app.stop().await?)
}

async fn until_signal() -> Result<(), VerbError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("shutting down");
    Ok(())
}

pub(super) async fn migrate(flags: Flags) -> Result<(), VerbError> {
    let settings = begin(&flags)?;
    let (owner, server) = database::owner(&settings.database).await?;
    let report = migrations::run(&owner).await;
    if let Some(server) = server {
        server.stop().await;
    }
    let report = report?;
    let mut out = std::io::stdout().lock();
    for name in &report.applied {
        writeln!(out, "applied {name}")?;
    }
    if let Some(adoption) = &report.adoption {
        write!(out, "\n{adoption}")?;
    }
    if report.applied.is_empty() {
        writeln!(
            out,
            "nothing to do: all {} migrations are applied",
            report.already
        )?;
    }
    Ok(())
}

pub(super) async fn dispatch(flags: Flags) -> Result<(), VerbError> {
    let settings = begin(&flags)?;
    let database = database::Database::open(&settings).await?;
    let (batch, budget) = (settings.webhook.batch, settings.webhook.budget);
    let state = AppState::new(settings, database.pool.clone(), &database.jwt_secret);
    let report = state.dispatcher.run(batch, budget).await;
    state.dispatcher.keep_house_once().await;
    database.close().await;
    let report: Report = report?;
    let body = json!({
        "processed": report.processed(), "delivered": report.delivered, "failed": report.failed
    });
    writeln!(std::io::stdout(), "{body}")?;
    Ok(())
}

/// Sends until nothing is due.
pub(super) async fn send_all(settings: &Settings) -> Result<(), VerbError> {
    let database = database::Database::open(settings).await?;
    let state = AppState::new(settings.clone(), database.pool.clone(), &database.jwt_secret);
    let report = state
        .dispatcher
        .run(SEND_ALL_BATCH, Some(std::time::Duration::MAX))
        .await;
    database.close().await;
    let report = report?;
    let body = json!({
        "processed": report.processed(), "delivered": report.delivered, "failed": report.failed
    });
    writeln!(std::io::stdout(), "{body}")?;
    Ok(())
}

/// Queues the webhooks again whose outcome was unknown when the database was adopted.
pub(super) async fn replay(flags: Flags, since: Option<DateTime<Utc>>) -> Result<(), VerbError> {
    let settings = begin(&flags)?;
    let (owner, server) = database::owner(&settings.database).await?;
    let replayed = async {
        let client = owner.connect().await?;
        let sql = "select public.replay_adopted_webhooks(coalesce($1, '-infinity'))";
        let row = client.query_typed_one(sql, &[(&since, Type::TIMESTAMPTZ)]).await;
        Ok::<i64, VerbError>(row.map_err(VerbError::Replay)?.get(0))
    }
    .await;
    if let Some(server) = server {
        server.stop().await;
    }
    let count = replayed?;
    writeln!(
        std::io::stdout(),
        "{count} webhook entries are due again; the dispatcher sends them"
    )?;
    Ok(())
}

pub(super) fn keys(
    flags: &Flags,
    role: Option<Role>,
    sub: Option<uuid::Uuid>,
    days: u32,
) -> Result<(), VerbError> {
    let settings = Settings::load(flags, &Env::from_process())?;
    let secret = database::jwt_secret(&settings)?;
    let (now, lifetime) = (Utc::now(), Duration::days(days.into()));
    let mut out = std::io::stdout().lock();
    match (role, sub) {
        (Some(role), Some(sub)) => {
            let claims = json!({
                "iss": format!("{}/auth/v1", settings.public_url()), "sub": sub, "aud": "authenticated",
                "role": role.name(), "iat": now.timestamp(), "exp": (now + lifetime).timestamp(),
            });
            writeln!(out, "{}", jwt::sign(&secret, &claims)?)?;
        }
        (Some(role), None) => writeln!(out, "{}", jwt::mint_key(&secret, role, now, lifetime)?)?,
        (None, _) => {
            writeln!(
                out,
                "SUPABASE_ANON_KEY={}",
                jwt::mint_key(&secret, Role::Anon, now, lifetime)?
            )?;
            let service = jwt::mint_key(&secret, Role::ServiceRole, now, lifetime)?;
            writeln!(out, "SUPABASE_SERVICE_ROLE_KEY={service}")?;
        }
    }
    Ok(())
}

pub(super) fn openapi() -> Result<(), VerbError> {
    let yaml = functions::service(&format!("http://{}", crate::config::DEFAULT_LISTEN)).spec_yaml();
    std::io::stdout().write_all(yaml.as_bytes())?;
    Ok(())
}

pub(super) async fn healthcheck(url: Option<String>) -> Result<(), VerbError> {
    let settings = Settings::load(&Flags::default(), &Env::from_process())?;
    let base = url.unwrap_or_else(|| format!("http://{}", settings.listen));
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(std::time::Duration::from_secs(5))
        .build();
    let answer = match client {
        Ok(client) => {
            client
                .get(format!("{}/ready", base.trim_end_matches('/')))
                .send()
                .await
        }
        Err(error) => Err(error),
    };
    match answer {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(VerbError::NotReady(format!("it answers {}", answer.status()))),
        Err(error) => Err(VerbError::NotReady(chain(&error))),
    }
}
