//! PostgREST's settings, as `PGRST_…` variables name them.
//!
//! Read from the environment, and again with what the database says laid over it (`alter role authenticator set
//! pgrst.…`), at the start and at each reload. A wrong value says which it is and what a right one looks like.

pub mod database;
mod dump;
mod load;
mod value;

use std::sync::Arc;
use std::time::Duration;

pub use self::dump::dump;
use crate::config::Secret;
use crate::rest::auth::JwtSettings;
use crate::schema_cache::QualifiedName;

/// Where PostgREST listens unless told otherwise: on every address.
pub const DEFAULT_PORT: u16 = 3000;

/// Whose defaults hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// Supabase's, in front of our own database.
    Supabase,
    /// PostgREST's: a drop-in for its binary.
    Postgrest,
}

/// Everything that PostgREST's settings say.
#[derive(Debug, Clone, PartialEq)]
pub struct RestConfig {
    /// What requests depend on.
    pub requests: Arc<RestSettings>,
    /// What tokens are checked against.
    pub jwt: JwtSettings,
    /// How the database is reached. Fixed for as long as the process lives.
    pub connection: ConnectionSettings,
    /// Where to listen. Fixed for as long as the process lives.
    pub server: ServerSettings,
    /// `log-level`, if it was given. Fixed for as long as the process lives.
    pub log_level: Option<LogLevel>,
}

/// How the database is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "switches of their own")]
pub struct ConnectionSettings {
    /// `db-uri`
    pub uri: Option<Secret>,
    /// `db-pool`: connections at most.
    pub pool_size: usize,
    /// `db-pool-acquisition-timeout`
    pub acquisition_timeout: Duration,
    /// `db-pool-max-lifetime`
    pub max_lifetime: Duration,
    /// `db-pool-max-idletime`
    pub max_idletime: Duration,
    /// `db-pool-automatic-recovery`: whether a lost database is waited for; the process ends otherwise.
    pub automatic_recovery: bool,
    /// `db-prepared-statements`
    pub prepared_statements: bool,
    /// `db-channel`: where reloads are asked for.
    pub channel: String,
    /// `db-channel-enabled`: whether the channel is listened on.
    pub channel_enabled: bool,
    /// `db-config`: whether the database's settings count.
    pub read_database: bool,
    /// `db-pre-config`: a function that sets settings.
    pub pre_config: Option<QualifiedName>,
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// `server-host`; None where it was not given.
    pub host: Option<String>,
    /// `server-port`; None where it was not given.
    pub port: Option<u16>,
    /// `server-reuseport`
    pub reuse_port: bool,
    /// `admin-server-host`, else `server-host`.
    pub admin_host: Option<String>,
    /// `admin-server-port`; without it there is no admin server.
    pub admin_port: Option<u16>,
}

/// `log-level`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Nothing but what ends the process.
    Crit,
    /// Failures of ours.
    Error,
    /// Refused requests too.
    Warn,
    /// Every request.
    Info,
    /// Everything.
    Debug,
}

impl LogLevel {
    /// The same as a filter of the log.
    pub fn filter(self) -> &'static str {
        match self {
            Self::Crit => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info,poem=warn",
            Self::Debug => "debug",
        }
    }
}

/// What requests depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "switches of their own")]
pub struct RestSettings {
    /// `db-schemas`: exposed schemas, the first is the default.
    pub schemas: Vec<String>,
    /// `db-extra-search-path`
    pub extra_search_path: Vec<String>,
    /// `db-anon-role`: the role of requests without a token.
    pub anon_role: Option<String>,
    /// `db-max-rows`
    pub max_rows: Option<i64>,
    /// `db-pre-request`
    pub pre_request: Option<QualifiedName>,
    /// `db-root-spec`: a function that answers the root.
    pub root_spec: Option<QualifiedName>,
    /// `db-aggregates-enabled`
    pub aggregates: bool,
    /// `db-plan-enabled`
    pub plan: bool,
    /// `db-tx-end`: whether transactions are rolled back.
    pub tx_rollback: bool,
    /// `db-tx-end`: whether `Prefer: tx=` may choose.
    pub tx_allow_override: bool,
    /// `db-hoisted-tx-settings`
    pub hoisted_tx_settings: Vec<String>,
    /// `app.settings.*`
    pub app_settings: Vec<(String, String)>,
    /// `openapi-mode`
    pub openapi_mode: OpenApiMode,
    /// `openapi-security-active`
    pub openapi_security: bool,
    /// `openapi-server-proxy-uri`
    pub openapi_proxy_uri: Option<String>,
    /// `server-timing-enabled`
    pub server_timing: bool,
    /// `server-trace-header`
    pub trace_header: Option<String>,
    /// `server-cors-allowed-origins`; None is any.
    pub cors_origins: Option<Vec<String>>,
    /// `url-use-legacy-target-names`: an embed with an alias may be named by its relation, with a `Warning`.
    pub legacy_target_names: bool,
    /// `client-error-verbosity`: whether details and hints are told.
    pub verbose_errors: bool,
    /// `log-query`: whether statements are logged.
    pub log_query: bool,
    /// Supabase loads pg-safeupdate: PATCH and DELETE without a filter are refused.
    pub refuse_unfiltered_writes: bool,
    /// Whether anonymous callers may read the root.
    pub openapi_for_anon: bool,
}

/// What the root tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenApiMode {
    /// What the role may use.
    FollowPrivileges,
    /// Everything.
    IgnorePrivileges,
    /// Nothing.
    Disabled,
}

impl RestSettings {
    /// The defaults of a surface.
    pub fn of(surface: Surface) -> Self {
        match surface {
            Surface::Postgrest => Self::default(),
            Surface::Supabase => Self {
                extra_search_path: ["public", "extensions"].map(str::to_owned).to_vec(),
                anon_role: Some("anon".to_owned()),
                max_rows: Some(1_000),
                refuse_unfiltered_writes: true,
                openapi_for_anon: false,
                ..Self::default()
            },
        }
    }
}

impl Default for RestSettings {
    /// PostgREST's defaults.
    fn default() -> Self {
        Self {
            schemas: vec!["public".to_owned()],
            extra_search_path: vec!["public".to_owned()],
            anon_role: None,
            max_rows: None,
            pre_request: None,
            root_spec: None,
            aggregates: false,
            plan: false,
            tx_rollback: false,
            tx_allow_override: false,
            hoisted_tx_settings: [
                "statement_timeout",
                "plan_filter.statement_cost_limit",
                "default_transaction_isolation",
            ]
            .map(str::to_owned)
            .to_vec(),
            app_settings: Vec::new(),
            openapi_mode: OpenApiMode::FollowPrivileges,
            openapi_security: false,
            openapi_proxy_uri: None,
            server_timing: false,
            trace_header: None,
            cors_origins: None,
            legacy_target_names: true,
            verbose_errors: true,
            log_query: false,
            refuse_unfiltered_writes: false,
            openapi_for_anon: true,
        }
    }
}
