//! Opening the database that `serve` works on: embedded or given, migrated, with a login role for requests.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::config::{ConfigError, DatabaseSettings, Secret, Settings};
use crate::pg::connect::{ConnectError, Target};
use crate::pg::login::{self, LoginError};
use crate::pg::migrate::{self, MigrateError};
use crate::pg::pool::{Pool, PoolError, PoolSettings, Statements};
use crate::pg::server::{EmbeddedOptions, EmbeddedServer, ServerError};
use crate::pg::wire::{self, LeaseError};

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// A setting is missing or wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The embedded server could not be started.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The database could not be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A migration failed or does not fit.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// The login role could not be made ready.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// The pool could not be built.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// That of `/rest/v1` could not be built.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The embedded database's own secret could not be kept.
    #[error("keeping the JWT secret in {path}: {source}")]
    Secret {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The database lacks migrations that this binary needs.
    #[error(
        "the database lacks {0} migration(s) of this version; run `dropwire migrate`, or serve with --migrate"
    )]
    Pending(usize),
    /// Demo data could not be written.
    #[error("writing the demo data: {0}")]
    Seed(tokio_postgres::Error),
}

/// An open database.
pub struct Database {
    /// Connections as the login role.
    pub pool: Pool,
    /// Those of `/rest/v1`.
    pub rest: wire::Pool,
    /// The owner's connection.
    pub owner: Target,
    /// The login role's.
    pub login: Target,
    /// The project's HS256 secret.
    pub jwt_secret: Secret,
    embedded: Option<EmbeddedServer>,
}

impl Database {
    /// Opens the database of the settings. The embedded one is migrated at once; a given one only when asked.
    pub async fn open(settings: &Settings) -> Result<Self, DatabaseError> {
        let (owner, embedded) = owner(&settings.database).await?;
        let jwt_secret = jwt_secret(settings)?;
        if embedded.is_some() || settings.database.migrate {
            migrate::run(&owner).await?;
        } else {
            let pending = migrate::pending(&owner).await?;
            if !pending.is_empty() {
                return Err(DatabaseError::Pending(pending.len()));
            }
        }
        let login = login(&owner, &settings.database).await?;
        let (rest, others) = pool_settings(&settings.database);
        Ok(Self {
            pool: Pool::new(&login, others)?,
            rest: wire::Pool::new(&login, rest)?,
            owner,
            login,
            jwt_secret,
            embedded,
        })
    }

    /// Closes the pool and stops an embedded server.
    pub async fn close(self) {
        self.pool.close();
        self.rest.close();
        if let Some(server) = self.embedded {
            server.stop().await;
        }
    }
}

/// The owner's connection; starts the embedded server when no database is given.
pub async fn owner(settings: &DatabaseSettings) -> Result<(Target, Option<EmbeddedServer>), DatabaseError> {
    if let Some(url) = &settings.url {
        return Ok((target("DATABASE_URL", url)?, None));
    }
    let options = EmbeddedOptions {
        data_dir: settings.data_dir.clone(),
        bin_dir: settings.bin_dir.clone(),
        parameters: Vec::new(),
    };
    let server = EmbeddedServer::start(options).await?;
    Ok((Target::from_config(server.config()), Some(server)))
}

/// Reads a connection string; a wrong one is a wrong setting, and is not shown.
pub fn target(name: &'static str, url: &Secret) -> Result<Target, DatabaseError> {
    target_with(name, url, &[])
}

/// As [`target`], with values for options that the string leaves open.
pub fn target_with(
    name: &'static str,
    url: &Secret,
    defaults: &[(&str, String)],
) -> Result<Target, DatabaseError> {
    Target::parse_with(url.expose(), defaults).map_err(|error| match error {
        ConnectError::Syntax(error) => {
            let allowed = format!(
                "a PostgreSQL URL such as postgresql://user:password@host:5432/database?sslmode=verify-full; in this \
                 one, {error}"
            );
            ConfigError::new(name, "***", allowed).into()
        }
        error => error.into(),
    })
}

/// The role that requests log in as: the one that is given, else the database's own.
async fn login(owner: &Target, settings: &DatabaseSettings) -> Result<Target, DatabaseError> {
    match &settings.login_url {
        Some(url) => target("DROPWIRE_DB_LOGIN_URL", url),
        None => Ok(login::ensure(owner).await?),
    }
}

/// The pools of the login role that requests run as: that of `/rest/v1`, and that of all else. They share the
/// connections of the setting evenly, since neither may starve the other.
fn pool_settings(settings: &DatabaseSettings) -> (PoolSettings, PoolSettings) {
    let statements = if settings.transaction_pooler {
        Statements::Unnamed
    } else {
        Statements::Prepared
    };
    let of = |max_size| PoolSettings {
        max_size,
        wait_timeout: settings.pool_timeout,
        statements,
    };
    let others = settings.pool_size / 2;
    (of(settings.pool_size - others), of(others))
}

/// The configured secret; with the embedded database, else the one kept beside it.
pub fn jwt_secret(settings: &Settings) -> Result<Secret, DatabaseError> {
    match &settings.auth.jwt_secret {
        Some(secret) => Ok(secret.clone()),
        None if settings.database.url.is_none() => kept_secret(&settings.database.data_dir),
        None => Err(ConfigError::missing(
            "SUPABASE_JWT_SECRET",
            "the project's HS256 secret, because DATABASE_URL is set (Supabase: Settings, JWT Keys, Legacy JWT secret)",
        )
        .into()),
    }
}

fn kept_secret(data_dir: &Path) -> Result<Secret, DatabaseError> {
    let path = data_dir.join("jwt-secret");
    let failed = |source| DatabaseError::Secret {
        path: path.clone(),
        source,
    };
    std::fs::create_dir_all(data_dir).map_err(failed)?;
    // Written whole under another name and then linked, so that two starting processes agree on one secret.
    if !path.exists() {
        let draft = data_dir.join(format!("jwt-secret.{}", std::process::id()));
        let secret = format!(
            "{}{}",
            uuid::Uuid::new_v4().simple(),
            uuid::Uuid::new_v4().simple()
        );
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)
            .map_err(failed)?;
        file.write_all(secret.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(failed)?;
        match std::fs::hard_link(&draft, &path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(failed(error)),
            _ => std::fs::remove_file(&draft).map_err(failed)?,
        }
    }
    std::fs::read_to_string(&path)
        .map(|secret| Secret::new(secret.trim()))
        .map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Env, Flags};

    #[test]
    fn both_pools_together_have_the_connections_of_the_setting() {
        for (size, rest, others) in [("2", 1, 1), ("5", 3, 2), ("20", 10, 10)] {
            let env = Env::from_pairs(&[("DROPWIRE_DB_POOL_SIZE", size)]);
            let settings = Settings::load(&Flags::default(), &env).unwrap();
            let (of_rest, of_others) = pool_settings(&settings.database);
            assert_eq!((of_rest.max_size, of_others.max_size), (rest, others));
        }
    }
}
