//! PostgREST's variables as they stand in the environment; what they mean is in the charge of `rest::settings`.

use std::collections::BTreeMap;
use std::fmt;

use super::{ConfigError, Env};

/// What begins the names of PostgREST's variables.
const PREFIX: &str = "PGRST_";
/// What begins the names of settings that are passed on to SQL.
const APP_SETTINGS: &str = "APP_SETTINGS_";

/// `PGRST_…`, and our own switches of `/rest/v1`. Kept, since settings out of the database are laid over it again
/// at each reload.
#[derive(Clone, Default)]
pub struct RestEnv {
    /// Values by the name without its prefix, such as `DB_SCHEMAS`; empty ones too.
    variables: BTreeMap<String, String>,
    /// `DROPWIRE_REST_ALLOW_UNFILTERED_WRITES`
    pub allow_unfiltered_writes: bool,
    /// `DROPWIRE_REST_OPENAPI_FOR_ANON`
    pub openapi_for_anon: bool,
}

impl RestEnv {
    /// Takes PostgREST's variables out of the environment.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self {
            variables: env.with_prefix(PREFIX),
            allow_unfiltered_writes: env.flag("DROPWIRE_REST_ALLOW_UNFILTERED_WRITES")?,
            openapi_for_anon: env.flag("DROPWIRE_REST_OPENAPI_FOR_ANON")?,
        })
    }

    /// The value of a setting by its name in lower case, such as `db_schemas`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.variables.get(&key.to_ascii_uppercase()).map(String::as_str)
    }

    /// `PGRST_APP_SETTINGS_x` as `app.settings.x`, in the order of their names.
    pub fn app_settings(&self) -> Vec<(String, String)> {
        self.variables
            .iter()
            .filter_map(|(name, value)| {
                let name = name.strip_prefix(APP_SETTINGS)?;
                Some((format!("app.settings.{name}"), value.clone()))
            })
            .collect()
    }
}

/// Names without values, some of which are secrets.
impl fmt::Debug for RestEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestEnv")
            .field("variables", &self.variables.keys())
            .field("allow_unfiltered_writes", &self.allow_unfiltered_writes)
            .field("openapi_for_anon", &self.openapi_for_anon)
            .finish()
    }
}
