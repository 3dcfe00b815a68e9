//! All settings in the form of PostgREST's configuration file, as its `--dump-config` prints them.

use std::fmt::Display;

use super::{DEFAULT_PORT, LogLevel, OpenApiMode, RestConfig};
use crate::schema_cache::QualifiedName;

/// What stands for a secret.
const MASK: &str = "***";

/// Writes a line a setting, sorted; secrets are masked.
#[expect(clippy::too_many_lines, reason = "a line a setting")]
pub fn dump(config: &RestConfig) -> String {
    let requests = &config.requests;
    let connection = &config.connection;
    let server = &config.server;
    let mode = match requests.openapi_mode {
        OpenApiMode::FollowPrivileges => "follow-privileges",
        OpenApiMode::IgnorePrivileges => "ignore-privileges",
        OpenApiMode::Disabled => "disabled",
    };
    let level = match config.log_level {
        None | Some(LogLevel::Error) => "error",
        Some(LogLevel::Crit) => "crit",
        Some(LogLevel::Warn) => "warn",
        Some(LogLevel::Info) => "info",
        Some(LogLevel::Debug) => "debug",
    };
    let tx_end = match (requests.tx_rollback, requests.tx_allow_override) {
        (false, false) => "commit",
        (false, true) => "commit-allow-override",
        (true, false) => "rollback",
        (true, true) => "rollback-allow-override",
    };
    let verbosity = if requests.verbose_errors {
        "verbose"
    } else {
        "minimal"
    };
    let host = |host: &Option<String>| text(host.as_deref().unwrap_or("!4"));
    let uri = connection.uri.as_ref().map_or("postgresql://", |_secret| MASK);
    let secret = config.jwt.keys.as_ref().map_or("", |_keys| MASK);
    let settings = [
        ("admin-server-host", host(&server.admin_host)),
        ("admin-server-port", optional(server.admin_port)),
        ("client-error-verbosity", text(verbosity)),
        ("db-aggregates-enabled", requests.aggregates.to_string()),
        ("db-anon-role", text_or_empty(requests.anon_role.as_deref())),
        ("db-channel", text(&connection.channel)),
        ("db-channel-enabled", connection.channel_enabled.to_string()),
        ("db-config", connection.read_database.to_string()),
        ("db-extra-search-path", list(&requests.extra_search_path)),
        ("db-hoisted-tx-settings", list(&requests.hoisted_tx_settings)),
        ("db-max-rows", optional(requests.max_rows)),
        ("db-plan-enabled", requests.plan.to_string()),
        ("db-pool", connection.pool_size.to_string()),
        (
            "db-pool-acquisition-timeout",
            seconds(connection.acquisition_timeout),
        ),
        (
            "db-pool-automatic-recovery",
            connection.automatic_recovery.to_string(),
        ),
        ("db-pool-max-idletime", seconds(connection.max_idletime)),
        ("db-pool-max-lifetime", seconds(connection.max_lifetime)),
        ("db-pre-config", function(connection.pre_config.as_ref())),
        ("db-pre-request", function(requests.pre_request.as_ref())),
        (
            "db-prepared-statements",
            connection.prepared_statements.to_string(),
        ),
        ("db-root-spec", function(requests.root_spec.as_ref())),
        ("db-schemas", list(&requests.schemas)),
        ("db-tx-end", text(tx_end)),
        ("db-uri", text(uri)),
        ("jwt-aud", text_or_empty(config.jwt.audience.as_deref())),
        ("jwt-cache-max-entries", config.jwt.cache_max_entries.to_string()),
        // A file's own syntax doubles the sign.
        (
            "jwt-role-claim-key",
            text(&config.jwt.role_path.as_str().replace('$', "$$")),
        ),
        ("jwt-secret", text(secret)),
        ("log-level", text(level)),
        ("log-query", requests.log_query.to_string()),
        ("openapi-mode", text(mode)),
        ("openapi-security-active", requests.openapi_security.to_string()),
        (
            "openapi-server-proxy-uri",
            text_or_empty(requests.openapi_proxy_uri.as_deref()),
        ),
        (
            "server-cors-allowed-origins",
            list(requests.cors_origins.as_deref().unwrap_or_default()),
        ),
        ("server-host", host(&server.host)),
        ("server-port", server.port.unwrap_or(DEFAULT_PORT).to_string()),
        ("server-reuseport", server.reuse_port.to_string()),
        ("server-timing-enabled", requests.server_timing.to_string()),
        (
            "server-trace-header",
            text_or_empty(requests.trace_header.as_deref()),
        ),
        (
            "url-use-legacy-target-names",
            requests.legacy_target_names.to_string(),
        ),
    ];
    let app_settings = requests
        .app_settings
        .iter()
        .map(|(name, value)| (name.as_str(), text(value)));
    let mut lines: Vec<String> = settings
        .into_iter()
        .chain(app_settings)
        .map(|(name, value)| format!("{name} = {value}\n"))
        .collect();
    lines.sort();
    lines.concat()
}

fn text(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\\\""))
}

fn text_or_empty(value: Option<&str>) -> String {
    text(value.unwrap_or_default())
}

fn optional(value: Option<impl Display>) -> String {
    value.map_or_else(|| text(""), |value| value.to_string())
}

fn list(names: &[String]) -> String {
    text(&names.join(","))
}

fn function(name: Option<&QualifiedName>) -> String {
    text(&name.map(ToString::to_string).unwrap_or_default())
}

fn seconds(duration: std::time::Duration) -> String {
    duration.as_secs().to_string()
}
