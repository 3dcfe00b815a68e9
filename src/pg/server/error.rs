//! What can go wrong around the embedded PostgreSQL, in words for the person who started Dropwire.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why the embedded PostgreSQL could not be started.
#[derive(Debug, Error)]
pub enum ServerError {
    /// No place has both `initdb` and `postgres`.
    #[error(
        "PostgreSQL is not installed, or not where Dropwire looks. Searched:\n{}\n\
         Install it with one of\n  \
         apt-get install -y --no-install-recommends postgresql\n  \
         brew install postgresql@17\n\
         or set DATABASE_URL to a PostgreSQL that is already running.",
        bullets(.searched)
    )]
    BinariesNotFound {
        /// The places in the order they were searched, each with what was wrong there if something was.
        searched: Vec<String>,
    },

    /// Binaries were found, but none of a major version that Dropwire is made for.
    #[error(
        "found PostgreSQL {version} in {}, but Dropwire works with majors {} to {}; install one of these, or set \
         DATABASE_URL",
        .bin_dir.display(), super::binaries::MAJORS.start(), super::binaries::MAJORS.end()
    )]
    UnsupportedVersion {
        /// The version as `postgres --version` names it.
        version: String,
        /// Where it was found.
        bin_dir: PathBuf,
    },

    /// The cluster was made by another major version than the one found on this machine.
    #[error(
        "the database in {} was made by PostgreSQL {cluster_major}, but {} has PostgreSQL {server_major}; install \
         PostgreSQL {cluster_major} again, or convert the directory with pg_upgrade, or choose an empty --data-dir",
        .data.display(), .bin_dir.display()
    )]
    MajorMismatch {
        /// The cluster's directory.
        data: PathBuf,
        /// The major version that made it.
        cluster_major: u32,
        /// The major version found.
        server_major: u32,
        /// Where that one was found.
        bin_dir: PathBuf,
    },

    /// `data/` holds something that is not a cluster, so it is left alone.
    #[error(
        "{} has files in it but is not a complete PostgreSQL data directory, and is left untouched; choose another \
         --data-dir, or move it away",
        .path.display()
    )]
    NotACluster {
        /// The directory.
        path: PathBuf,
    },

    /// Another Dropwire holds the directory.
    #[error(
        "another Dropwire{} is using {}; stop it, or give this one its own --data-dir",
        .holder.map(|pid| format!(" (process {pid})")).unwrap_or_default(), .data_dir.display()
    )]
    InUse {
        /// The directory.
        data_dir: PathBuf,
        /// The process id the other one left in the lock file.
        holder: Option<u32>,
    },

    /// An earlier postmaster on this directory does not end.
    #[error(
        "an earlier PostgreSQL (process {pid}) is still running on {} and does not stop; end it by hand \
         (kill -QUIT {pid}), then start again",
        .data.display()
    )]
    EarlierServer {
        /// Its process id.
        pid: i32,
        /// The cluster's directory.
        data: PathBuf,
    },

    /// Running as root, and there is no user to drop to.
    #[error(
        "PostgreSQL refuses to run as root and this machine has neither a user `postgres` nor `nobody`; create one, \
         start Dropwire as an ordinary user, or set DATABASE_URL"
    )]
    NoUnprivilegedUser,

    /// The user that PostgreSQL runs as cannot get to the data directory.
    #[error(
        "PostgreSQL runs as user `{user}`, who may not enter {}; choose a reachable place with --data-dir (such as \
         /var/lib/dropwire), or run: chmod o+x {}",
        .directory.display(), .directory.display()
    )]
    Unreachable {
        /// The user that Dropwire drops to.
        user: String,
        /// The topmost directory that keeps it out.
        directory: PathBuf,
    },

    /// A file or directory below the data directory could not be made, read or changed.
    #[error("cannot {action} {}: {source}; choose a place that Dropwire may write with --data-dir", .path.display())]
    File {
        /// What was being done, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// The short directory for the socket belongs to somebody else.
    #[error("{} is needed for the database's socket but belongs to someone else; remove it", .path.display())]
    NotOurs {
        /// The directory.
        path: PathBuf,
    },

    /// A PostgreSQL program could not be run.
    #[error("cannot run {}: {source}", .program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// `initdb` failed.
    #[error("initdb could not make a database in {}:\n{output}", .data.display())]
    Initdb {
        /// The directory it worked in.
        data: PathBuf,
        /// The last lines it wrote.
        output: String,
    },

    /// The postmaster ended before it accepted connections.
    #[error("PostgreSQL ended while starting ({status}); the last lines of {} are:\n{tail}", .log.display())]
    EndedWhileStarting {
        /// How it ended.
        status: String,
        /// Its log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },

    /// The postmaster lives but does not answer.
    #[error("PostgreSQL did not answer for {seconds} seconds; the last lines of {} are:\n{tail}", .log.display())]
    NotReady {
        /// How long was waited since its last sign of life.
        seconds: u64,
        /// Its log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },

    /// The server answers, but refused a step of the preparation.
    #[error("PostgreSQL refused {action}: {}", describe(.source))]
    Database {
        /// What was being done, as a noun.
        action: &'static str,
        /// What PostgreSQL said.
        source: tokio_postgres::Error,
    },

    /// The thread that watches PostgreSQL could not be started.
    #[error("cannot start the thread that watches PostgreSQL: {0}")]
    Supervisor(#[source] io::Error),

    /// The thread that watches PostgreSQL ended before it answered; its panic is in the log.
    #[error("the thread that watches PostgreSQL ended unexpectedly")]
    SupervisorEnded,
}

/// Renders one line per entry.
fn bullets(entries: &[String]) -> String {
    entries
        .iter()
        .map(|entry| format!("  - {entry}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Renders PostgreSQL's own message where there is one: the driver's text for it is only "db error".
fn describe(error: &tokio_postgres::Error) -> String {
    error
        .as_db_error()
        .map_or_else(|| error.to_string(), ToString::to_string)
}
