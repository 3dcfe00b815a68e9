//! Settings that the database holds: PostgREST's own, and those of the roles that requests run as.
//!
//! ```sql
//! alter role authenticator set pgrst.db_max_rows = 500;
//! alter role authenticator in database app set pgrst.db_schemas = 'api';  -- wins over the one above
//! alter role anon set statement_timeout = '3s';                           -- applied to each of anon's requests
//! ```

use std::collections::{HashMap, HashSet};

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

use crate::rest::auth::{RoleSettings, Roles};
use crate::schema_cache::QualifiedName;

/// The settings that may stand in the database. The others are fixed when the process starts.
const NAMES: &[&str] = &[
    "client_error_verbosity",
    "db_aggregates_enabled",
    "db_anon_role",
    "db_extra_search_path",
    "db_hoisted_tx_settings",
    "db_max_rows",
    "db_plan_enabled",
    "db_pre_config",
    "db_pre_request",
    "db_prepared_statements",
    "db_root_spec",
    "db_schemas",
    "db_tx_end",
    "jwt_aud",
    "jwt_cache_max_entries",
    "jwt_role_claim_key",
    "jwt_secret",
    "jwt_secret_is_base64",
    "openapi_mode",
    "openapi_security_active",
    "openapi_server_proxy_uri",
    "server_cors_allowed_origins",
    "server_timing_enabled",
    "server_trace_header",
    "url_use_legacy_target_names",
];
/// The setting of a role that decides how its transactions begin.
const ISOLATION: &str = "default_transaction_isolation";
/// First server version with `grant set on parameter`.
const PARAMETER_GRANTS: i32 = 150_000;

/// What the database says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DatabaseSettings {
    /// PostgREST's settings, names in lower case and without `pgrst.`.
    pub settings: Vec<(String, String)>,
    /// Settings of the roles that the login role can become.
    pub roles: Roles,
}

/// Why they could not be read.
#[derive(Debug, thiserror::Error)]
#[error("reading {what} from the database")]
pub struct ReadError {
    what: &'static str,
    source: Error,
}

fn during(what: &'static str) -> impl Fn(Error) -> ReadError {
    move |source| ReadError { what, source }
}

/// Reads them as the role that is logged in, in one read-only transaction.
///
/// `second_role` is one whose `pgrst.…` settings count where the login role has none: on Supabase's surface
/// `authenticator`, where its users set them.
pub async fn read(
    client: &mut Client,
    pre_config: Option<&QualifiedName>,
    second_role: Option<&str>,
) -> Result<DatabaseSettings, ReadError> {
    let transaction = client
        .build_transaction()
        .read_only(true)
        .start()
        .await
        .map_err(during("settings"))?;
    if let Some(function) = pre_config {
        let mut call = String::from("select ");
        function.write_to(&mut call);
        call.push_str("()");
        transaction
            .batch_execute(&call)
            .await
            .map_err(during("settings by the function of db-pre-config"))?;
    }
    let parameters: &[(&(dyn tokio_postgres::types::ToSql + Sync), Type)] = &[
        (&NAMES, Type::TEXT_ARRAY),
        (&second_role, Type::TEXT),
        (&pre_config.is_some(), Type::BOOL),
    ];
    let settings = transaction
        .query_typed(include_str!("../../../sql/catalog/settings.sql"), parameters)
        .await
        .map_err(during("settings"))?
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    let roles = roles(transaction.client())
        .await
        .map_err(during("the settings of roles"))?;
    // It has changed nothing.
    transaction.rollback().await.map_err(during("settings"))?;
    Ok(DatabaseSettings { settings, roles })
}

/// The settings of one role, while they are being found.
#[derive(Default)]
struct Found {
    settings: Vec<(String, String)>,
    isolation: Option<String>,
}

async fn roles(client: &Client) -> Result<Roles, Error> {
    let version = "select current_setting('server_version_num')::int4";
    let version: i32 = client.query_typed_one(version, &[]).await?.get(0);
    let granted: HashSet<String> = if version >= PARAMETER_GRANTS {
        let granted = include_str!("../../../sql/catalog/granted_settings.sql");
        let rows = client.query_typed(granted, &[]).await?;
        rows.iter().map(|row| row.get(0)).collect()
    } else {
        HashSet::new()
    };
    let rows = client
        .query_typed(include_str!("../../../sql/catalog/role_settings.sql"), &[])
        .await?;
    let mut roles: HashMap<String, Found> = HashMap::new();
    for row in &rows {
        let (role, name, value, context): (&str, &str, &str, &str) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        if context != "user" && !granted.contains(name) {
            continue;
        }
        let found = roles.entry(role.to_owned()).or_default();
        if name == ISOLATION {
            found.isolation = Some(isolation_level(value).to_owned());
        } else {
            found.settings.push((name.to_owned(), value.to_owned()));
        }
    }
    Ok(roles
        .into_iter()
        .map(|(role, found)| {
            let settings = RoleSettings {
                settings: found.settings.into(),
                isolation: found.isolation,
            };
            (role, settings)
        })
        .collect())
}

/// The level that a transaction begins with; PostgreSQL's two lowest are one.
fn isolation_level(value: &str) -> &'static str {
    match value.to_ascii_lowercase().as_str() {
        "serializable" => "serializable",
        "repeatable read" => "repeatable read",
        _ => "read committed",
    }
}

#[cfg(test)]
mod tests;
