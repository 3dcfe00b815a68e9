//! One throw-away cluster per test process, one migrated template, one database per test.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dropwire::pg::connect::Target;
use dropwire::pg::server::{EmbeddedOptions, EmbeddedServer};
use dropwire::pg::{login, migrate};

use super::program::TempDir;

const PREFIX: &str = "dropwire-test-";
/// As [`PREFIX`], for the servers that single tests have for themselves.
const OWN_PREFIX: &str = "dropwire-own-test-";
/// Mixed case and a blank on purpose: a missing quote fails.
const TEMPLATE: &str = "Template Dropwire";

static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
    // On a thread and runtime of its own, since every test brings and drops a runtime.
    std::thread::spawn(|| tokio::runtime::Runtime::new().unwrap().block_on(Cluster::start()))
        .join()
        .unwrap()
});
static DATABASES: AtomicUsize = AtomicUsize::new(0);

struct Cluster {
    /// Kept running until the process ends, and ended with it.
    _server: EmbeddedServer,
    config: tokio_postgres::Config,
}

impl Cluster {
    async fn start() -> Self {
        // Beside the tests: it takes long where the disk is slow.
        std::thread::spawn(sweep);
        let server = start(std::env::temp_dir().join(format!("{PREFIX}{}", std::process::id()))).await;
        let config = server.config();
        let owner = Target::from_config(config.clone()).connect().await.unwrap();
        owner
            .batch_execute(&format!("create database \"{TEMPLATE}\""))
            .await
            .unwrap();
        let template = Target::from_config(with_database(&config, TEMPLATE));
        migrate::run(&template).await.unwrap();
        login::ensure(&template).await.unwrap();
        Self {
            _server: server,
            config,
        }
    }
}

/// Starts a server of a test's own, over the directory of that name; a later start finds what an earlier one left.
pub async fn start_server(name: &str) -> EmbeddedServer {
    start(std::env::temp_dir().join(format!("{OWN_PREFIX}{}-{name}", std::process::id()))).await
}

async fn start(data_dir: PathBuf) -> EmbeddedServer {
    let parameters = [
        ("fsync", "off"),
        ("max_connections", "400"),
        ("shared_buffers", "64MB"),
    ];
    EmbeddedServer::start(EmbeddedOptions {
        data_dir,
        bin_dir: None,
        parameters: parameters.map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec(),
    })
    .await
    .unwrap()
}

/// Removes what test processes that are gone have left behind.
fn sweep() {
    for entry in std::fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = [PREFIX, OWN_PREFIX, TempDir::PREFIX]
            .iter()
            .find_map(|prefix| name.strip_prefix(prefix));
        if let Some(pid) = owner.and_then(|rest| rest.split('-').next())
            && !PathBuf::from(format!("/proc/{pid}")).exists()
        {
            // Somebody else's, or gone meanwhile: not ours to worry about.
            drop(std::fs::remove_dir_all(entry.path()));
        }
    }
}

fn with_database(config: &tokio_postgres::Config, name: &str) -> tokio_postgres::Config {
    let mut config = config.clone();
    config.dbname(name);
    config
}

/// A database of its own for one test.
#[derive(Clone)]
pub struct TestDatabase {
    /// Its name.
    pub name: String,
    /// The owner's connection to its server.
    server: tokio_postgres::Config,
}

impl TestDatabase {
    /// A migrated database.
    pub async fn migrated() -> Self {
        Self::create(&format!(" template \"{TEMPLATE}\"")).await
    }

    /// An empty database.
    pub async fn empty() -> Self {
        Self::create("").await
    }

    async fn create(options: &str) -> Self {
        let name = format!("Test {}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let owner = Target::from_config(CLUSTER.config.clone())
            .connect()
            .await
            .unwrap();
        owner
            .batch_execute(&format!("create database \"{name}\"{options}"))
            .await
            .unwrap();
        Self {
            name,
            server: CLUSTER.config.clone(),
        }
    }

    /// The migrated default database of a test's own server.
    pub async fn of(server: &EmbeddedServer) -> Self {
        let config = server.config();
        let database = Self {
            name: config.get_dbname().unwrap().to_owned(),
            server: config,
        };
        migrate::run(&database.target()).await.unwrap();
        database
    }

    /// The owner's connection settings.
    pub fn target(&self) -> Target {
        Target::from_config(with_database(&self.server, &self.name))
    }

    /// Waits until somebody in this database waits for a lock that the test holds.
    pub async fn wait_for_lock(&self) {
        let watcher = self.target().connect().await.unwrap();
        let waiting =
            "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        for _ in 0..1000 {
            if !watcher.query(waiting, &[]).await.unwrap().is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no statement waits for a lock");
    }

    /// Shuts everybody out who is connected or wants to be; or lets them in again.
    pub async fn shut_out(&self, everybody: bool) {
        let owner = Target::from_config(self.server.clone()).connect().await.unwrap();
        let change = format!(
            "alter database \"{}\" allow_connections {}",
            self.name, !everybody
        );
        owner.batch_execute(&change).await.unwrap();
        if everybody {
            let end = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1";
            owner.query(end, &[&self.name]).await.unwrap();
        }
    }

    /// The owner's connection URL.
    pub fn url(&self) -> String {
        self.url_of(self.server.get_user().unwrap())
    }

    /// The connection URL of another role. The cluster asks nobody for a password.
    pub fn url_of(&self, role: &str) -> String {
        let host = match &self.server.get_hosts()[0] {
            tokio_postgres::config::Host::Unix(path) => path.to_string_lossy().into_owned(),
            tokio_postgres::config::Host::Tcp(host) => host.clone(),
        };
        let port = self.server.get_ports().first().copied().unwrap_or(5432);
        let (role, name) = (role.replace(' ', "%20"), self.name.replace(' ', "%20"));
        format!("postgresql://{role}@/{name}?host={host}&port={port}")
    }
}
