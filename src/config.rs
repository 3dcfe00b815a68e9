//! Typed settings, read once from flags and environment.
//!
//! The original's and Supabase's names work as they are; ours begin with `DROPWIRE_`. A flag wins over the
//! environment, an empty variable counts as absent. A bad value is a [`ConfigError`] that names the setting,
//! shows the value (secrets masked) and says what is allowed.

mod env;
mod postgrest;
pub mod variables;

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

pub use env::{ConfigError, Env};
pub use postgrest::RestEnv;

use crate::auth::{ProjectKey, Role};

/// Where `supabase start` listens, hence where existing scenarios and clients look.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 54321));
/// What `--listen` and `DROPWIRE_LISTEN` take.
pub const LISTEN_ALLOWED: &str = "HOST:PORT, such as 127.0.0.1:54321, [::1]:54321 or 0.0.0.0:54321";
/// PostgREST refuses shorter HS256 secrets too (`jwt-secret` since v13).
const SECRET_MIN_CHARS: usize = 32;
/// Default of `TICKET_ACTIVITY_WEBHOOK_BATCH`, as the original's.
const DEFAULT_BATCH: usize = 10;

/// A value that must not reach a log, an error or a `Debug` print.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// Compares in constant time: how long it takes does not tell how much of it was right.
    pub fn matches(&self, candidate: &str) -> bool {
        use subtle::ConstantTimeEq as _;
        self.0.as_bytes().ct_eq(candidate.as_bytes()).into()
    }

    /// Shows the value, where it is used.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// What the command line says; everything else comes from the environment.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--listen`
    pub listen: Option<SocketAddr>,
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
    /// `--no-dispatch`
    pub no_dispatch: bool,
    /// `--migrate`
    pub migrate: bool,
}

/// All settings of a running server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// `SUPABASE_URL`, without a trailing slash; see [`Settings::public_url`].
    pub given_url: Option<String>,
    /// How patient the server is with its clients.
    pub http: HttpSettings,
    /// Which database, and how.
    pub database: DatabaseSettings,
    /// Keys and tokens.
    pub auth: AuthSettings,
    /// Outgoing ticket webhooks.
    pub webhook: WebhookSettings,
    /// The onboarding calls to and from Make.
    pub onboarding: OnboardingSettings,
    /// The executors' bot.
    pub telegram: TelegramSettings,
    /// What the environment says of `/rest/v1`.
    pub rest: RestEnv,
}

/// How long a client may take to say what it wants, and how much it may say.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Time for a request's head to arrive.
    pub head_timeout: Duration,
    /// Time for a request's body to arrive.
    pub body_timeout: Duration,
    /// Bytes that a body may have below `/rest/v1`.
    pub rest_body_limit: usize,
}

/// Which database, and how to talk to it.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// The owner's connection URL; `None` is the embedded default.
    pub url: Option<Secret>,
    /// Connection URL of the role that requests run as, instead of the one that Dropwire makes for itself.
    pub login_url: Option<Secret>,
    /// Directory of the embedded database.
    pub data_dir: PathBuf,
    /// Directory with `initdb` and `postgres` for the embedded database.
    pub bin_dir: Option<PathBuf>,
    /// Whether `serve` applies pending migrations to a database that it was pointed at.
    pub migrate: bool,
    /// Connections for requests and webhooks, two at least: half of them are for `/rest/v1`.
    pub pool_size: usize,
    /// How long a request waits for a free connection.
    pub pool_timeout: Duration,
    /// Whether a transaction pooler stands between (no named statements, no LISTEN).
    pub transaction_pooler: bool,
}

/// Keys and tokens of the project.
#[derive(Debug, Clone)]
pub struct AuthSettings {
    /// The HS256 secret; `None` only with the embedded database, which keeps one in its data directory.
    pub jwt_secret: Option<Secret>,
    /// Keys that are compared as a whole: `sb_publishable_…`, `sb_secret_…`, and configured legacy keys.
    pub keys: Vec<ProjectKey>,
}

/// Outgoing ticket webhooks.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// Entries per call of the dispatcher route.
    pub batch: usize,
    /// Time for one attempt, from resolution to the end of the answer.
    pub timeout: Duration,
    /// How much longer than an attempt a claim lasts: room for the database calls around it.
    pub lease_margin: Duration,
    /// Cap of the exponential backoff.
    pub max_backoff: Duration,
    /// How long a call of the dispatcher route goes on, batch after batch; `None` is one batch.
    pub budget: Option<Duration>,
    /// Deliveries under way at once in one run.
    pub concurrency: usize,
    /// Deliveries under way at once to one endpoint, in one process.
    pub endpoint_concurrency: usize,
    /// Failures in a row after which an endpoint is only probed.
    pub breaker: usize,
    /// How long delivered entries and attempts are kept; `None` is for ever.
    pub retention: Option<Duration>,
    /// How often the built-in dispatcher looks when nothing woke it; `None` switches it off.
    pub poll: Option<Duration>,
    /// Whether http and private addresses are allowed as targets.
    pub allow_private: bool,
    /// Whether the dispatcher route demands the service_role key.
    pub require_service_role: bool,
}

/// The onboarding calls to and from Make.
#[derive(Debug, Clone)]
pub struct OnboardingSettings {
    /// Where onboarding requests go; never used for tickets.
    pub webhook_url: Option<Secret>,
    /// The callback's bearer token; the service_role key when absent.
    pub callback_token: Option<Secret>,
    /// Time for Make to answer a request, from resolution to the end of the answer.
    pub timeout: Duration,
}

/// The executors' bot.
#[derive(Debug, Clone)]
pub struct TelegramSettings {
    /// Whom to speak as; without it there is no bot.
    pub bot_token: Option<Secret>,
    /// What Telegram has to send with each update; without it anybody can send one.
    pub webhook_secret: Option<Secret>,
    /// The Bot API, without a trailing slash, where it is not Telegram's own.
    pub api_url: Option<String>,
    /// Time for Telegram to answer one call.
    pub timeout: Duration,
}

impl Settings {
    /// Reads all settings.
    pub fn load(flags: &Flags, env: &Env) -> Result<Self, ConfigError> {
        let listen = match flags.listen {
            Some(listen) => listen,
            None => env
                .parse(&["DROPWIRE_LISTEN"], LISTEN_ALLOWED, listen_address)?
                .unwrap_or(DEFAULT_LISTEN),
        };
        Ok(Self {
            listen,
            given_url: base_url(env, "SUPABASE_URL")?,
            http: HttpSettings::load(env)?,
            database: DatabaseSettings::load(flags, env)?,
            auth: AuthSettings::load(env)?,
            webhook: WebhookSettings::load(flags, env)?,
            onboarding: OnboardingSettings::load(env)?,
            telegram: TelegramSettings::load(env)?,
            rest: RestEnv::load(env)?,
        })
    }

    /// The base URL that clients use, without a trailing slash: the given one, else the listening address.
    pub fn public_url(&self) -> String {
        self.given_url
            .clone()
            .unwrap_or_else(|| format!("http://{}", self.listen))
    }
}

/// Reads a base URL, without a trailing slash.
fn base_url(env: &Env, name: &str) -> Result<Option<String>, ConfigError> {
    let url = env.parse(&[name], "an http or https URL", http_url)?;
    Ok(url.map(|url| url.as_str().trim_end_matches('/').to_owned()))
}

/// Reads `HOST:PORT`; of a name's addresses the first IPv4 one is taken, else the first.
pub fn listen_address(value: &str) -> Option<SocketAddr> {
    let addresses: Vec<_> = value.trim().to_socket_addrs().ok()?.collect();
    addresses
        .iter()
        .find(|address| address.is_ipv4())
        .or(addresses.first())
        .copied()
}

/// Reads an http or https URL with a host.
pub fn http_url(value: &str) -> Option<Url> {
    Url::parse(value.trim())
        .ok()
        .filter(|u| matches!(u.scheme(), "http" | "https") && u.has_host())
}

/// How many threads serve requests: half the machine's cores, since PostgreSQL needs the others. With as many as
/// there are cores, waking each other costs them more than they gain where the database runs beside.
pub fn worker_threads(env: &Env) -> Result<usize, ConfigError> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    env.count("DROPWIRE_WORKER_THREADS", (cores / 2).max(1), 1..=1_024)
}

impl HttpSettings {
    /// Reads them.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self {
            head_timeout: env.millis("DROPWIRE_HTTP_HEAD_TIMEOUT_MS", 10_000, 1..=600_000)?,
            body_timeout: env.millis("DROPWIRE_HTTP_BODY_TIMEOUT_MS", 30_000, 1..=600_000)?,
            rest_body_limit: env.count("DROPWIRE_REST_BODY_MAX_BYTES", 50 * 1024 * 1024, 1_024..=1 << 30)?,
        })
    }
}

impl DatabaseSettings {
    fn load(flags: &Flags, env: &Env) -> Result<Self, ConfigError> {
        let url = |names| {
            env.secret(
                names,
                "a PostgreSQL URL: postgresql://user:password@host:5432/db",
                |v| (v.contains("://") || v.contains('=')).then_some(()),
            )
        };
        Ok(Self {
            url: url(&["DATABASE_URL", "SUPABASE_DB_URL"])?,
            login_url: url(&["DROPWIRE_DB_LOGIN_URL"])?,
            data_dir: match &flags.data_dir {
                Some(dir) => dir.clone(),
                None => env
                    .text("DROPWIRE_DATA_DIR")
                    .map_or_else(|| env.default_data_dir(), PathBuf::from),
            },
            bin_dir: env.text("DROPWIRE_POSTGRES_BIN").map(PathBuf::from),
            migrate: flags.migrate || env.flag("DROPWIRE_MIGRATE")?,
            pool_size: env.count("DROPWIRE_DB_POOL_SIZE", 20, 2..=1000)?,
            pool_timeout: env.millis("DROPWIRE_DB_POOL_TIMEOUT_MS", 10_000, 1..=600_000)?,
            transaction_pooler: env.flag("DROPWIRE_DB_TRANSACTION_POOLER")?,
        })
    }
}

impl AuthSettings {
    fn load(env: &Env) -> Result<Self, ConfigError> {
        let jwt_secret = env.secret(
            &["SUPABASE_JWT_SECRET", "JWT_SECRET"],
            "at least 32 characters (`openssl rand -base64 48` makes one)",
            |v| (v.chars().count() >= SECRET_MIN_CHARS).then_some(()),
        )?;
        let mut keys = Vec::new();
        for (role, single, plural) in [
            (
                Role::Anon,
                &["SUPABASE_ANON_KEY", "SUPABASE_PUBLISHABLE_KEY"],
                "SUPABASE_PUBLISHABLE_KEYS",
            ),
            (
                Role::ServiceRole,
                &["SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_SECRET_KEY"],
                "SUPABASE_SECRET_KEYS",
            ),
        ] {
            let listed = env.key_list(plural)?;
            let singles = single.iter().filter_map(|name| env.text(name));
            keys.extend(
                singles
                    .chain(listed)
                    .map(|key| ProjectKey::new(Secret::new(key), role)),
            );
        }
        Ok(Self { jwt_secret, keys })
    }
}

impl WebhookSettings {
    fn load(flags: &Flags, env: &Env) -> Result<Self, ConfigError> {
        let poll = env.millis("DROPWIRE_DISPATCH_POLL_MS", 1_000, 10..=600_000)?;
        Ok(Self {
            batch: env.count("TICKET_ACTIVITY_WEBHOOK_BATCH", DEFAULT_BATCH, 1..=10_000)?,
            timeout: env.millis("TICKET_ACTIVITY_WEBHOOK_TIMEOUT_MS", 10_000, 1..=600_000)?,
            lease_margin: env.millis("DROPWIRE_WEBHOOK_LEASE_MARGIN_MS", 5_000, 100..=3_600_000)?,
            max_backoff: env.millis(
                "TICKET_ACTIVITY_WEBHOOK_MAX_BACKOFF_MS",
                3_600_000,
                1..=604_800_000,
            )?,
            budget: Some(env.millis("TICKET_ACTIVITY_WEBHOOK_BUDGET_MS", 0, 0..=3_600_000)?)
                .filter(|budget| !budget.is_zero()),
            concurrency: env.count("DROPWIRE_WEBHOOK_CONCURRENCY", 256, 1..=10_000)?,
            endpoint_concurrency: env.count("DROPWIRE_WEBHOOK_ENDPOINT_CONCURRENCY", 8, 1..=1_000)?,
            breaker: env.count("DROPWIRE_WEBHOOK_BREAKER_FAILURES", 10, 1..=1_000_000)?,
            retention: match env.count("DROPWIRE_WEBHOOK_RETENTION_DAYS", 30, 0..=36_500)? {
                0 => None,
                days => Some(Duration::from_secs(86_400 * days as u64)),
            },
            poll: (!flags.no_dispatch && !env.flag("DROPWIRE_NO_DISPATCH")?).then_some(poll),
            allow_private: env.flag("DROPWIRE_WEBHOOK_ALLOW_PRIVATE")?,
            require_service_role: env.flag("DROPWIRE_DISPATCH_REQUIRE_SERVICE_ROLE")?,
        })
    }
}

impl OnboardingSettings {
    fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self {
            webhook_url: env.secret(
                &["MAKE_USER_ONBOARDING_WEBHOOK_URL"],
                "an http or https URL",
                |v| http_url(v).map(drop),
            )?,
            callback_token: env.text("MAKE_ONBOARDING_CALLBACK_TOKEN").map(Secret::new),
            timeout: env.millis("DROPWIRE_ONBOARDING_TIMEOUT_MS", 10_000, 1..=600_000)?,
        })
    }
}

impl TelegramSettings {
    fn load(env: &Env) -> Result<Self, ConfigError> {
        let plain = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
        };
        let bot_token = env.secret(
            &["TELEGRAM_BOT_TOKEN"],
            "a token as BotFather gives it: 123456789:AAE…",
            |token| {
                let (id, secret) = token.split_once(':')?;
                (!id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()) && plain(secret)).then_some(())
            },
        )?;
        let webhook_secret = env.secret(
            &["DROPWIRE_TELEGRAM_WEBHOOK_SECRET"],
            "1 to 256 characters of A-Z, a-z, 0-9, _ and -, as setWebhook's secret_token",
            |secret| (plain(secret) && secret.len() <= 256).then_some(()),
        )?;
        Ok(Self {
            bot_token,
            webhook_secret,
            api_url: base_url(env, "DROPWIRE_TELEGRAM_API_URL")?,
            timeout: env.millis("DROPWIRE_TELEGRAM_TIMEOUT_MS", 10_000, 1..=600_000)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(vars: &[(&str, &str)]) -> Result<Settings, ConfigError> {
        Settings::load(&Flags::default(), &Env::from_pairs(vars))
    }

    #[test]
    fn defaults_are_the_originals() {
        let settings = load(&[]).unwrap();
        assert_eq!(settings.listen.to_string(), "127.0.0.1:54321");
        assert_eq!(settings.public_url(), "http://127.0.0.1:54321");
        assert_eq!(settings.webhook.batch, 10);
        assert_eq!(settings.webhook.timeout, Duration::from_secs(10));
        assert_eq!(settings.webhook.max_backoff, Duration::from_secs(3600));
        assert!(settings.webhook.poll.is_some());
        assert!(settings.database.url.is_none());
    }

    #[test]
    fn supabase_names_work_as_they_are_and_the_first_name_wins() {
        let settings = load(&[
            ("SUPABASE_DB_URL", "postgresql://b"),
            ("DATABASE_URL", "postgresql://a"),
            ("JWT_SECRET", "0123456789abcdef0123456789abcdef"),
            ("SUPABASE_ANON_KEY", "anon-key"),
            (
                "SUPABASE_SECRET_KEYS",
                r#"{"default":"sb_secret_x","other":"sb_secret_y"}"#,
            ),
        ])
        .unwrap();
        assert_eq!(settings.database.url.unwrap().expose(), "postgresql://a");
        assert!(settings.auth.jwt_secret.is_some());
        assert_eq!(settings.auth.keys.len(), 3);
    }

    #[test]
    fn an_empty_variable_counts_as_absent() {
        assert!(load(&[("DATABASE_URL", ""), ("TICKET_ACTIVITY_WEBHOOK_BATCH", " ")]).is_ok());
    }

    #[test]
    fn a_bad_value_names_the_setting_the_value_and_what_is_allowed() {
        let error = load(&[("TICKET_ACTIVITY_WEBHOOK_BATCH", "many")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "TICKET_ACTIVITY_WEBHOOK_BATCH: `many` is not allowed; allowed is a whole number from 1 to 10000"
        );
    }

    #[test]
    fn a_bad_secret_is_masked() {
        let error = load(&[("SUPABASE_JWT_SECRET", "hunter2")])
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("SUPABASE_JWT_SECRET: `***` is not allowed"),
            "{error}"
        );
        assert!(!error.contains("hunter2"));
    }

    #[test]
    fn settings_print_without_secrets() {
        let settings = load(&[
            ("DATABASE_URL", "postgresql://u:hunter2@h/d"),
            ("SUPABASE_JWT_SECRET", "hunter2hunter2hunter2hunter2hunter2"),
            ("SUPABASE_SECRET_KEY", "sb_secret_hunter2"),
            ("TELEGRAM_BOT_TOKEN", "7:hunter2"),
            ("DROPWIRE_TELEGRAM_WEBHOOK_SECRET", "hunter2"),
        ])
        .unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn a_bot_token_and_its_secret_have_telegrams_forms_and_are_masked() {
        for (name, value) in [
            ("TELEGRAM_BOT_TOKEN", "hunter2"),
            ("TELEGRAM_BOT_TOKEN", ":hunter2"),
            ("TELEGRAM_BOT_TOKEN", "7:"),
            ("TELEGRAM_BOT_TOKEN", "7:hunter2/../x"),
            ("DROPWIRE_TELEGRAM_WEBHOOK_SECRET", "hunter2 "),
            ("DROPWIRE_TELEGRAM_WEBHOOK_SECRET", &"hunter2".repeat(40)),
        ] {
            let error = load(&[(name, value)]).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("{name}: `***` is not allowed")),
                "{error}"
            );
        }
        let error = load(&[("DROPWIRE_TELEGRAM_API_URL", "api.telegram.org")]).unwrap_err();
        assert!(error.to_string().contains("an http or https URL"), "{error}");
    }
}
