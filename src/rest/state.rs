//! What requests share: settings as they are now, the schema cache, connections.
//!
//! Settings are read from the environment at the start; the database's are laid over them before each load of the
//! schema cache, and whenever a reload of the settings is asked for. What cannot be read changes nothing.

use std::sync::Arc;

use arc_swap::ArcSwap;
use poem::http::HeaderMap;

use super::auth::gate::{Gate, Refusal};
use super::auth::{Authenticator, Identity, KeySet, Roles};
use super::openapi::Server;
use super::settings::database::{self, DatabaseSettings, ReadError};
use super::settings::{ConnectionSettings, RestConfig, RestSettings, Surface};
use crate::auth::ProjectKey;
use crate::config::{ConfigError, HttpSettings, RestEnv, Secret};
use crate::error::chain;
use crate::pg::connect::{ConnectError, Target};
use crate::pg::{pool, wire};
use crate::schema_cache::SchemaCache;
use crate::schema_cache::load::LoadOptions;
use crate::schema_cache::reload::{CacheState, Configure, SharedCache};

/// The role for which Supabase's users set `pgrst.…`, whoever logs in.
const AUTHENTICATOR: &str = "authenticator";

/// Who is let in, and on whose word.
#[derive(Debug, Clone)]
pub enum Access {
    /// PostgREST's surface: tokens by `PGRST_JWT_SECRET`.
    Tokens,
    /// Supabase's: the project's keys, and tokens by its secret too.
    Project {
        /// The project's HS256 secret.
        secret: Secret,
        /// Keys that are compared as a whole.
        keys: Vec<ProjectKey>,
    },
}

impl Access {
    /// Whose defaults hold.
    pub fn surface(&self) -> Surface {
        match self {
            Self::Tokens => Surface::Postgrest,
            Self::Project { .. } => Surface::Supabase,
        }
    }

    fn gate(&self) -> Gate {
        match self {
            Self::Tokens => Gate::Open,
            Self::Project { keys, .. } => Gate::Keys(keys.clone()),
        }
    }
}

/// Settings, one reading of them: a request works on one from its beginning to its end.
pub struct Current {
    /// What requests depend on.
    pub settings: Arc<RestSettings>,
    /// What the database says of the roles.
    pub roles: Roles,
    authenticator: Arc<Authenticator>,
    connection: ConnectionSettings,
}

/// The settings in force, and where they come from.
pub struct LiveSettings {
    env: RestEnv,
    access: Access,
    current: ArcSwap<Current>,
}

/// Why the settings in force could not be replaced.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// The database could not be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It did not say its settings.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// One of them is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl LiveSettings {
    /// Reads the environment's settings.
    pub fn load(env: RestEnv, access: Access) -> Result<Arc<Self>, ConfigError> {
        let config = RestConfig::load(&env, &[], access.surface())?;
        let current = Current::new(config, Roles::default(), &access, None);
        Ok(Arc::new(Self {
            env,
            access,
            current: ArcSwap::from_pointee(current),
        }))
    }

    /// The settings in force.
    pub fn current(&self) -> Arc<Current> {
        self.current.load_full()
    }

    /// Where reloads are asked for, if anybody listens.
    pub fn channel(&self) -> Option<String> {
        let connection = &self.current().connection;
        connection.channel_enabled.then(|| connection.channel.clone())
    }

    /// Lays what the database says over the environment's settings, unless `db-config` is off. A failure is logged,
    /// and the settings in force stay.
    pub async fn refresh(&self, target: &Target) {
        if !self.current().connection.read_database {
            return;
        }
        if let Err(error) = self.try_refresh(target).await {
            tracing::error!(
                error = chain(&error),
                "the settings in the database could not be read; those in force stay"
            );
        }
    }

    async fn try_refresh(&self, target: &Target) -> Result<(), RefreshError> {
        let old = self.current();
        let (config, roles) = self.read(target).await?;
        let new = Current::new(config, roles, &self.access, Some(&old));
        self.current.store(Arc::new(new));
        Ok(())
    }

    /// Reads the environment's settings with what the database says laid over them, and leaves those in force alone.
    pub async fn read(&self, target: &Target) -> Result<(RestConfig, Roles), RefreshError> {
        let connection = &self.current().connection;
        if !connection.read_database {
            let config = RestConfig::load(&self.env, &[], self.access.surface())?;
            return Ok((config, Roles::default()));
        }
        let mut client = target.connect().await?;
        let second_role = (self.access.surface() == Surface::Supabase).then_some(AUTHENTICATOR);
        let pre_config = connection.pre_config.as_ref();
        let DatabaseSettings { settings, roles } =
            database::read(&mut client, pre_config, second_role).await?;
        let config = RestConfig::load(&self.env, &settings, self.access.surface())?;
        Ok((config, roles))
    }

    /// What the schema cache is loaded with, read anew before each load.
    pub fn configure(self: &Arc<Self>, target: &Target) -> Configure {
        let (settings, target) = (Arc::clone(self), target.clone());
        Arc::new(move || {
            let (settings, target) = (Arc::clone(&settings), target.clone());
            Box::pin(async move {
                settings.refresh(&target).await;
                let requests = Arc::clone(&settings.current().settings);
                LoadOptions {
                    schemas: requests.schemas.clone(),
                    extra_search_path: requests.extra_search_path.clone(),
                    hoisted_settings: requests.hoisted_tx_settings.clone(),
                }
            })
        })
    }
}

impl Current {
    fn new(config: RestConfig, roles: Roles, access: &Access, old: Option<&Self>) -> Self {
        let mut jwt = config.jwt;
        if let Access::Project { secret, .. } = access {
            let project = KeySet::of_secret(secret.expose().as_bytes());
            let keys = match jwt.keys.take().and_then(Arc::into_inner) {
                Some(more) => project.and(more),
                None => project,
            };
            jwt.keys = Some(Arc::new(keys));
        }
        // What is remembered of tokens stays, as long as they are checked in the same way.
        let authenticator = match old {
            Some(old) if *old.authenticator.settings() == jwt => Arc::clone(&old.authenticator),
            _ => Arc::new(Authenticator::new(jwt)),
        };
        Self {
            settings: config.requests,
            roles,
            authenticator,
            connection: config.connection,
        }
    }
}

/// What requests share.
pub struct RestState {
    /// Connections as the login role.
    pub pool: wire::Pool,
    /// Those of the schema's description, which the catalog's queries need.
    pub describing: pool::Pool,
    /// Where the OpenAPI document says that this is reached.
    pub server: Server,
    /// How large a body may be, and how slow.
    pub http: HttpSettings,
    gate: Gate,
    surface: Surface,
    settings: Arc<LiveSettings>,
    cache: SharedCache,
}

impl RestState {
    /// What requests share, over settings and a cache that are kept up to date elsewhere. Prepared statements are
    /// forgotten with the cache they were made by.
    pub fn new(
        settings: Arc<LiveSettings>,
        pool: wire::Pool,
        describing: pool::Pool,
        cache: SharedCache,
        server: Server,
        http: HttpSettings,
    ) -> Self {
        drop(tokio::spawn(forget_statements(pool.clone(), cache.clone())));
        Self {
            pool,
            describing,
            server,
            http,
            gate: settings.access.gate(),
            surface: settings.access.surface(),
            settings,
            cache,
        }
    }

    /// Whose surface this is.
    pub fn surface(&self) -> Surface {
        self.surface
    }

    /// The settings in force.
    pub fn current(&self) -> Arc<Current> {
        self.settings.current()
    }

    /// The schema cache as it is now; None before the first load.
    pub fn schema_cache(&self) -> Option<Arc<SchemaCache>> {
        self.cache.current()
    }

    /// How the schema cache stands.
    pub fn cache_state(&self) -> CacheState {
        self.cache.state()
    }

    /// Tells who is asking.
    pub fn identify(
        &self,
        current: &Current,
        headers: &HeaderMap,
        query: Option<&str>,
    ) -> Result<Identity, Refusal> {
        let now = chrono::Utc::now().timestamp();
        let (authenticator, roles) = (&current.authenticator, &current.roles);
        self.gate.identify(headers, query, authenticator, roles, now)
    }

    /// The query string as it is parsed: without the gateway's key.
    pub fn query<'a>(&self, query: &'a str) -> std::borrow::Cow<'a, str> {
        self.gate.query(query)
    }
}

/// Follows a cache for as long as it lives.
async fn forget_statements(pool: wire::Pool, cache: SharedCache) {
    let mut state = cache.subscribe();
    let mut loads = state.borrow_and_update().loads;
    // Its own hold would keep it alive.
    drop(cache);
    while state.changed().await.is_ok() {
        let now = state.borrow_and_update().loads;
        if now != loads {
            loads = now;
            pool.forget_statements();
        }
    }
}
