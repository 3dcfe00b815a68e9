//! The default database: a real PostgreSQL that Dropwire starts, watches and stops.
//!
//! Used when no `DATABASE_URL` is given. The binaries are the machine's own; nothing is downloaded. The server
//! has no TCP port: it listens on a unix socket in a directory that only its own user (and root) can enter, which
//! is what makes `trust` authentication safe.
//!
//! What keeps it alive and what ends it:
//!
//! - A thread of its own, `postgres-supervisor`, spawns the postmaster and lives as long as it, because Linux
//!   ties the parent-death signal to the *thread* that forked. When Dropwire is killed, even with SIGKILL, the
//!   kernel sends the postmaster SIGINT, which is PostgreSQL's fast shutdown. On other systems the next start
//!   finds the survivor by its pid file.
//! - A postmaster that ends without being asked to is started again, after a short and growing delay.
//! - `dropwire.lock` is held for the whole life, so that one directory never has two masters.
//!
//! Everything lives below one directory: `data/` (the cluster), `run/` (the socket), `postgres.log`,
//! `postgres.log.1` and `dropwire.lock`.

mod binaries;
mod cluster;
mod error;
mod layout;
mod log;
mod process;
mod supervisor;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::oneshot;

pub use self::error::ServerError;

/// The database that Dropwire keeps its tables in.
const DATABASE: &str = "dropwire";

/// The superuser of the cluster.
const SUPERUSER: &str = "postgres";

/// Where and how the embedded server runs.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// The directory that everything of this server lives in; made when absent. When Dropwire runs as root, the
    /// unprivileged user it drops to has to be able to enter the directories above it.
    pub data_dir: PathBuf,
    /// Where `initdb` and `postgres` are. When given, no other place is searched.
    pub bin_dir: Option<PathBuf>,
    /// Further server settings, as `postgres -c name=value`. They win over Dropwire's defaults, but not over what
    /// keeps the server private: `listen_addresses`, `port` and the `unix_socket_*` settings.
    pub parameters: Vec<(String, String)>,
}

/// A running PostgreSQL and the thread that watches it.
///
/// Dropping it asks for a fast shutdown and does not wait; [`EmbeddedServer::stop`] waits.
#[derive(Debug)]
pub struct EmbeddedServer {
    config: tokio_postgres::Config,
    postmaster: Arc<AtomicU32>,
    /// Sending, or dropping it, ends the supervisor.
    stop: oneshot::Sender<()>,
    /// Resolves when the postmaster is gone and the directory is unlocked.
    ended: oneshot::Receiver<()>,
}

impl EmbeddedServer {
    /// Starts the server and waits until the database `dropwire` accepts connections.
    ///
    /// The first start makes the cluster, which takes one to a few seconds; later ones take about 0.1 s. A postmaster that an earlier, killed Dropwire left
    /// behind is given a few seconds to end by itself and is then told to. Dropping the returned future stops
    /// whatever was started so far.
    ///
    /// Errors say what was being done and the way out; without PostgreSQL on the machine nothing is written.
    pub async fn start(options: EmbeddedOptions) -> Result<Self, ServerError> {
        let (ready, started) = oneshot::channel();
        std::thread::Builder::new()
            .name("postgres-supervisor".to_owned())
            .spawn(move || supervisor::run(&options, ready))
            .map_err(ServerError::Supervisor)?;
        started.await.unwrap_or(Err(ServerError::SupervisorEnded))
    }

    /// Returns the settings of a superuser connection to the database `dropwire`, over the unix socket.
    ///
    /// They stay valid across a restart of the postmaster.
    pub fn config(&self) -> tokio_postgres::Config {
        self.config.clone()
    }

    /// Returns the process id of the postmaster, or nothing while it is being started again.
    pub fn pid(&self) -> Option<u32> {
        match self.postmaster.load(Ordering::Relaxed) {
            0 => None,
            pid => Some(pid),
        }
    }

    /// Stops the server and waits until it is gone.
    ///
    /// Open connections are ended and their transactions rolled back (SIGINT, fast shutdown). What has not ended
    /// after 30 seconds gets SIGQUIT, and the next start then recovers from the write-ahead log.
    pub async fn stop(self) {
        // An error means that the supervisor is already gone, and the postmaster with it.
        self.stop.send(()).ok();
        self.ended.await.ok();
    }
}
