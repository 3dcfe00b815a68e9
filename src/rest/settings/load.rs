//! PostgREST's settings, each by its name.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use poem::http::HeaderName;

use super::value::{Sources, is_proxy_uri, is_uri};
use super::{ConnectionSettings, LogLevel, OpenApiMode, RestConfig, RestSettings, ServerSettings, Surface};
use crate::config::{ConfigError, RestEnv, Secret};
use crate::rest::auth::{JwtSettings, KeySet, RolePath};

/// Schemas that are never exposed.
const RESTRICTED: [&str; 2] = ["pg_catalog", "information_schema"];
/// What `jwt-secret` may be.
const SECRET_ALLOWED: &str =
    "a secret of at least 32 characters, a JWK, a JWK set, or @ and the path of a file with one of them";

impl RestConfig {
    /// Reads all settings. `database` is what the database says, names in lower case and without `pgrst.`.
    pub fn load(env: &RestEnv, database: &[(String, String)], surface: Surface) -> Result<Self, ConfigError> {
        let sources = Sources { env, database };
        let requests = requests(&sources, surface)?;
        Ok(Self {
            jwt: jwt(&sources, requests.anon_role.clone())?,
            requests: Arc::new(requests),
            connection: connection(&sources)?,
            server: server(&sources)?,
            log_level: log_level(&sources)?,
        })
    }
}

fn requests(sources: &Sources<'_>, surface: Surface) -> Result<RestSettings, ConfigError> {
    let defaults = RestSettings::of(surface);
    let (tx_rollback, tx_allow_override) = tx_end(sources)?.unwrap_or_default();
    Ok(RestSettings {
        schemas: schemas(sources)?.unwrap_or(defaults.schemas),
        extra_search_path: sources
            .names("db_extra_search_path")
            .unwrap_or(defaults.extra_search_path),
        anon_role: sources.text(&["db_anon_role"]).or(defaults.anon_role),
        max_rows: sources
            .count(&["db_max_rows", "max_rows"], 0)?
            .or(defaults.max_rows),
        pre_request: sources.function(&["db_pre_request", "pre_request"]),
        root_spec: sources.function(&["db_root_spec", "root_spec"]),
        aggregates: sources
            .flag(&["db_aggregates_enabled"])?
            .unwrap_or(defaults.aggregates),
        plan: sources.flag(&["db_plan_enabled"])?.unwrap_or(defaults.plan),
        tx_rollback,
        tx_allow_override,
        hoisted_tx_settings: sources
            .some_names(&["db_hoisted_tx_settings"])?
            .unwrap_or(defaults.hoisted_tx_settings),
        app_settings: sources.env.app_settings(),
        openapi_mode: openapi_mode(sources)?.unwrap_or(defaults.openapi_mode),
        openapi_security: sources.flag(&["openapi_security_active"])?.unwrap_or(false),
        openapi_proxy_uri: sources.parse(
            &["openapi_server_proxy_uri"],
            "an http or https URL without query, such as https://example.com:8443/basePath",
            |value| is_proxy_uri(value).then(|| value.to_owned()),
        )?,
        server_timing: sources.flag(&["server_timing_enabled"])?.unwrap_or(false),
        trace_header: sources.parse(
            &["server_trace_header"],
            "the name of a header, such as X-Request-Id",
            |value| HeaderName::try_from(value).ok().map(|_name| value.to_owned()),
        )?,
        cors_origins: sources.some_names(&["server_cors_allowed_origins"])?,
        legacy_target_names: sources
            .flag(&["url_use_legacy_target_names"])?
            .unwrap_or(defaults.legacy_target_names),
        verbose_errors: sources
            .parse(
                &["client_error_verbosity"],
                "minimal or verbose",
                |value| match value {
                    "minimal" => Some(false),
                    "verbose" => Some(true),
                    _ => None,
                },
            )?
            .unwrap_or(true),
        log_query: sources.flag(&["log_query"])?.unwrap_or(false),
        refuse_unfiltered_writes: defaults.refuse_unfiltered_writes && !sources.env.allow_unfiltered_writes,
        openapi_for_anon: defaults.openapi_for_anon || sources.env.openapi_for_anon,
    })
}

fn schemas(sources: &Sources<'_>) -> Result<Option<Vec<String>>, ConfigError> {
    let keys = ["db_schemas", "db_schema"];
    let schemas = sources.some_names(&keys)?;
    // Asked again for its name and text, for the error.
    sources.parse(
        &keys,
        "any schemas but pg_catalog and information_schema",
        |_value| {
            let restricted = schemas
                .iter()
                .flatten()
                .any(|schema| RESTRICTED.contains(&schema.as_str()));
            (!restricted).then_some(())
        },
    )?;
    Ok(schemas)
}

/// (whether transactions are rolled back, whether requests may choose)
fn tx_end(sources: &Sources<'_>) -> Result<Option<(bool, bool)>, ConfigError> {
    sources.parse(
        &["db_tx_end"],
        "commit, commit-allow-override, rollback or rollback-allow-override",
        |value| match value {
            "commit" => Some((false, false)),
            "commit-allow-override" => Some((false, true)),
            "rollback" => Some((true, false)),
            "rollback-allow-override" => Some((true, true)),
            _ => None,
        },
    )
}

fn openapi_mode(sources: &Sources<'_>) -> Result<Option<OpenApiMode>, ConfigError> {
    sources.parse(
        &["openapi_mode"],
        "follow-privileges, ignore-privileges or disabled",
        |value| match value {
            "follow-privileges" => Some(OpenApiMode::FollowPrivileges),
            "ignore-privileges" => Some(OpenApiMode::IgnorePrivileges),
            "disabled" => Some(OpenApiMode::Disabled),
            _ => None,
        },
    )
}

fn log_level(sources: &Sources<'_>) -> Result<Option<LogLevel>, ConfigError> {
    sources.parse(
        &["log_level"],
        "crit, error, warn, info or debug",
        |value| match value {
            "crit" => Some(LogLevel::Crit),
            "error" => Some(LogLevel::Error),
            "warn" => Some(LogLevel::Warn),
            "info" => Some(LogLevel::Info),
            "debug" => Some(LogLevel::Debug),
            _ => None,
        },
    )
}

fn jwt(sources: &Sources<'_>, anon_role: Option<String>) -> Result<JwtSettings, ConfigError> {
    let is_base64 = sources
        .flag(&["jwt_secret_is_base64", "secret_is_base64"])?
        .unwrap_or(false);
    let keys = sources.secret(&["jwt_secret"], |text| keys(text, is_base64))?;
    if let Some(keys) = &keys
        && keys.unsupported_count > 0
    {
        let count = keys.unsupported_count;
        tracing::warn!(
            count,
            "some keys of PGRST_JWT_SECRET are of no use for verifying tokens"
        );
    }
    let role_path = sources
        .parse(
            &["jwt_role_claim_key", "role_claim_key"],
            RolePath::ALLOWED,
            RolePath::parse,
        )?
        .unwrap_or_default();
    if role_path.is_legacy() {
        let path = role_path.as_str();
        tracing::warn!(
            path,
            "PGRST_JWT_ROLE_CLAIM_KEY is written as before PostgREST 16; write it as $.role"
        );
    }
    Ok(JwtSettings {
        keys: keys.map(Arc::new),
        audience: sources.parse(&["jwt_aud"], "a text without a colon, or a URI", |value| {
            (!value.contains(':') || is_uri(value)).then(|| value.to_owned())
        })?,
        role_path,
        anon_role,
        cache_max_entries: sources.count(&["jwt_cache_max_entries"], 0)?.unwrap_or(1_000),
    })
}

fn keys(text: &str, is_base64: bool) -> Result<KeySet, String> {
    let mut secret = match text.strip_prefix('@') {
        None => text.as_bytes().to_vec(),
        Some(path) => {
            let mut secret = std::fs::read(path)
                .map_err(|error| format!("{SECRET_ALLOWED}; reading {path} failed: {error}"))?;
            if secret.last() == Some(&b'\n') {
                secret.pop();
            }
            secret
        }
    };
    if is_base64 {
        secret = decode(&secret).ok_or(
            "a secret in base64, because PGRST_JWT_SECRET_IS_BASE64 is true (`openssl rand -base64 48` makes one)",
        )?;
    }
    KeySet::parse(&secret).map_err(|error| format!("{SECRET_ALLOWED}; in this one, {error}"))
}

/// Decodes base64 in either alphabet, padded by `=` or by the `.` of older web tokens.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let text: Vec<u8> = text
        .trim_ascii()
        .iter()
        .map(|byte| match byte {
            b'_' => b'/',
            b'-' => b'+',
            b'.' => b'=',
            other => *other,
        })
        .collect();
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count().min(2);
    STANDARD_NO_PAD.decode(&text[..text.len() - padding]).ok()
}

fn connection(sources: &Sources<'_>) -> Result<ConnectionSettings, ConfigError> {
    let seconds = |key: &str, older: &str, default: u64, least: i64| {
        let given = sources.count(&[older, key], least)?;
        Ok::<_, ConfigError>(Duration::from_secs(given.unwrap_or(default)))
    };
    Ok(ConnectionSettings {
        uri: sources.secret(&["db_uri"], uri)?,
        pool_size: sources.count(&["db_pool"], 1)?.unwrap_or(10),
        acquisition_timeout: seconds("db_pool_acquisition_timeout", "", 10, 1)?,
        max_lifetime: seconds("db_pool_max_lifetime", "", 1_800, 1)?,
        max_idletime: seconds("db_pool_max_idletime", "db_pool_timeout", 30, 1)?,
        automatic_recovery: sources.flag(&["db_pool_automatic_recovery"])?.unwrap_or(true),
        prepared_statements: sources.flag(&["db_prepared_statements"])?.unwrap_or(true),
        channel: sources
            .text(&["db_channel"])
            .unwrap_or_else(|| "pgrst".to_owned()),
        channel_enabled: sources.flag(&["db_channel_enabled"])?.unwrap_or(true),
        read_database: sources.flag(&["db_config"])?.unwrap_or(true),
        pre_config: sources.function(&["db_pre_config"]),
    })
}

fn uri(text: &str) -> Result<Secret, String> {
    let allowed = "a PostgreSQL URL such as postgresql://user:password@host:5432/database, or @ and the path of a file with one";
    let Some(path) = text.strip_prefix('@') else {
        return Ok(Secret::new(text));
    };
    std::fs::read_to_string(path)
        .map(|uri| Secret::new(uri.trim()))
        .map_err(|error| format!("{allowed}; reading {path} failed: {error}"))
}

fn server(sources: &Sources<'_>) -> Result<ServerSettings, ConfigError> {
    sources.unsupported(
        "server_unix_socket",
        "use PGRST_SERVER_HOST and PGRST_SERVER_PORT",
    )?;
    sources.unsupported(
        "admin_server_unix_socket",
        "use PGRST_ADMIN_SERVER_HOST and PGRST_ADMIN_SERVER_PORT",
    )?;
    let settings = ServerSettings {
        host: sources.text(&["server_host"]),
        port: sources.port("server_port")?,
        reuse_port: sources.flag(&["server_reuseport"])?.unwrap_or(false),
        admin_host: sources.text(&["admin_server_host", "server_host"]),
        admin_port: sources.port("admin_server_port")?,
    };
    if let Some(port) = settings.admin_port
        && port != 0
        && port == settings.port.unwrap_or(super::DEFAULT_PORT)
    {
        return Err(ConfigError::new(
            "PGRST_ADMIN_SERVER_PORT",
            port.to_string(),
            "another port than PGRST_SERVER_PORT",
        ));
    }
    Ok(settings)
}

#[cfg(test)]
mod tests;
