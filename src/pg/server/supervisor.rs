//! The thread that starts the postmaster, watches it, and starts it again when it ends by itself.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::process::Child;
use tokio::sync::oneshot;
use tokio::time::{Instant, interval, sleep};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Config, NoTls};

use super::binaries::{self, Search};
use super::cluster::{self, Contents};
use super::error::ServerError;
use super::layout::{Account, Layout};
use super::log::Log;
use super::process::{Environment, Launcher, Postmaster, shut_down};
use super::{DATABASE, EmbeddedOptions, EmbeddedServer, SUPERUSER};

/// How long a starting postmaster may give no sign of life. Recovery after a crash is one: it answers "starting up".
const SILENCE: Duration = Duration::from_secs(60);

/// How often a starting postmaster is asked.
const GLANCE: Duration = Duration::from_millis(10);

/// How often the size of the log is looked at.
const LOG_CHECK: Duration = Duration::from_secs(60);

/// A postmaster that lived this long had started well, and the next failure counts as the first.
const STABLE_AFTER: Duration = Duration::from_secs(30);

/// A server that accepts connections, and what it needs to stay so.
struct Running {
    postmaster: Postmaster,
    child: Child,
    log: Log,
    config: Config,
    /// Unlocked by dropping it, after the child has ended.
    layout: Layout,
}

/// Runs the server from start to stop, on the thread that calls it.
pub(super) fn run(options: &EmbeddedOptions, ready: oneshot::Sender<Result<EmbeddedServer, ServerError>>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            // The receiver is gone when nobody waits for the start any more.
            ready.send(Err(ServerError::Supervisor(error))).ok();
            return;
        }
    };
    runtime.block_on(async {
        let running = match boot(options).await {
            Ok(running) => running,
            Err(error) => {
                ready.send(Err(error)).ok();
                return;
            }
        };
        let (stop, stopped) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let pid = Arc::new(AtomicU32::new(running.child.id().unwrap_or_default()));
        let config = running.config.clone();
        let server = EmbeddedServer {
            config,
            postmaster: Arc::clone(&pid),
            stop,
            ended,
        };
        // If nobody waits, the server is dropped with the message, which is a request to stop.
        ready.send(Ok(server)).ok();
        supervise(running, &pid, stopped).await;
        end.send(()).ok();
    });
}

/// Goes from nothing to a server whose database accepts connections.
async fn boot(options: &EmbeddedOptions) -> Result<Running, ServerError> {
    let began = Instant::now();
    let environment = Environment::read();
    let data = options.data_dir.join("data");
    let launcher = Launcher {
        account: Account::choose(&data)?,
        environment,
    };
    let major = match cluster::contents(&data)? {
        Contents::Cluster(major) => Some(major),
        Contents::Nothing | Contents::Unfinished => None,
    };
    let search = Search {
        explicit: options.bin_dir.as_deref(),
        path: launcher.environment.path.as_deref(),
        root: Path::new("/"),
        major,
    };
    let binaries = binaries::find(&search, &launcher).await?;

    let layout = Layout::open(&options.data_dir, &launcher.account)?;
    layout.check_reachable(&launcher, &binaries.postgres()).await?;
    let session = launcher.environment.runtime_dir.as_deref().map(Path::new);
    let run = layout.run_directory(&launcher.account, session)?;
    let durable = !options
        .parameters
        .iter()
        .any(|(name, value)| name == "fsync" && value == "off");
    cluster::ensure(&layout, &binaries, &launcher, durable).await?;
    cluster::clear_earlier(&layout.data(), &run).await?;

    let log = Log::begin(&layout.root)?;
    let mut config = Config::new();
    config
        .user(SUPERUSER)
        .dbname(DATABASE)
        .host_path(&run)
        .port(5432)
        .application_name("dropwire");
    let parameters = options.parameters.clone();
    let (program, data) = (binaries.postgres(), layout.data());
    let postmaster = Postmaster {
        launcher,
        program,
        data,
        run,
        parameters,
    };
    let child = first_start(&postmaster, &config, &log).await?;
    tracing::info!(
        postgres.pid = child.id(),
        postgres.version = %binaries.version,
        data_dir = %layout.root.display(),
        duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        "PostgreSQL accepts connections"
    );
    Ok(Running {
        postmaster,
        child,
        log,
        config,
        layout,
    })
}

/// Spawns the postmaster and prepares its database; leaves no process behind when that fails.
///
/// Backends that lost their postmaster to a SIGKILL take a moment to notice, and nothing can start on their shared
/// memory until then; that alone is tried again.
async fn first_start(postmaster: &Postmaster, config: &Config, log: &Log) -> Result<Child, ServerError> {
    let deadline = Instant::now() + SILENCE;
    let mut failure_count = 0;
    loop {
        let mut child = postmaster.spawn(log)?;
        match prepare(&mut child, config, log).await {
            Ok(()) => return Ok(child),
            Err(ServerError::EndedWhileStarting { .. })
                if log.blames_orphans() && Instant::now() < deadline =>
            {
                tracing::warn!(
                    "backends of an earlier PostgreSQL still hold its shared memory; trying again"
                );
                sleep(delay_after(failure_count)).await;
                failure_count += 1;
            }
            Err(error) => {
                shut_down(&mut child).await;
                return Err(error);
            }
        }
    }
}

/// Waits until the server accepts connections to our database, and creates that when it is absent.
async fn prepare(child: &mut Child, config: &Config, log: &Log) -> Result<(), ServerError> {
    let mut deadline = Instant::now() + SILENCE;
    let mut config = config.clone();
    config.connect_timeout(Duration::from_secs(5));
    loop {
        let attempt = tokio::select! {
            status = child.wait() => {
                let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                let (log, tail) = (log.path().to_owned(), log.tail());
                return Err(ServerError::EndedWhileStarting { status, log, tail });
            }
            attempt = config.connect(NoTls) => attempt,
        };
        let Err(source) = attempt else { return Ok(()) };
        match source.code() {
            Some(code) if *code == SqlState::INVALID_CATALOG_NAME => create_database(&config).await?,
            Some(code) if *code == SqlState::CANNOT_CONNECT_NOW => deadline = Instant::now() + SILENCE,
            Some(_) => {
                return Err(ServerError::Database {
                    action: "the first connection",
                    source,
                });
            }
            None if Instant::now() > deadline => {
                let (log, tail) = (log.path().to_owned(), log.tail());
                return Err(ServerError::NotReady {
                    seconds: SILENCE.as_secs(),
                    log,
                    tail,
                });
            }
            None => {}
        }
        sleep(GLANCE).await;
    }
}

/// Creates our database by way of the one that every cluster has.
async fn create_database(config: &Config) -> Result<(), ServerError> {
    let failed = |source| ServerError::Database {
        action: "the creation of the database",
        source,
    };
    let mut config = config.clone();
    let (client, connection) = config.dbname("postgres").connect(NoTls).await.map_err(failed)?;
    tokio::spawn(connection);
    client
        .batch_execute(&format!("create database {DATABASE}"))
        .await
        .map_err(failed)
}

/// Keeps the postmaster running until `stop` resolves, whichever way; then shuts it down and unlocks the directory.
async fn supervise(running: Running, pid: &AtomicU32, mut stop: oneshot::Receiver<()>) {
    let Running {
        postmaster,
        mut child,
        log,
        layout,
        ..
    } = running;
    let mut log_check = interval(LOG_CHECK);
    let mut failure_count = 0;
    loop {
        let began = Instant::now();
        let ended = loop {
            tokio::select! {
                _ = &mut stop => {
                    shut_down(&mut child).await;
                    pid.store(0, Ordering::Relaxed);
                    drop(layout);
                    return;
                }
                ended = child.wait() => break ended,
                _ = log_check.tick() => log.trim(),
            }
        };
        pid.store(0, Ordering::Relaxed);
        if began.elapsed() > STABLE_AFTER {
            failure_count = 0;
        }
        let status = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
        // The log itself is not repeated here, it can hold values of rows.
        tracing::error!(
            status,
            log = %log.path().display(),
            orphans_remain = log.blames_orphans(),
            "PostgreSQL ended unexpectedly; starting it again"
        );
        let respawned = tokio::select! {
            _ = &mut stop => return,
            respawned = respawn(&postmaster, &log, &mut failure_count) => respawned,
        };
        child = respawned;
        pid.store(child.id().unwrap_or_default(), Ordering::Relaxed);
    }
}

/// Spawns the postmaster again after a delay, as often as it takes.
async fn respawn(postmaster: &Postmaster, log: &Log, failure_count: &mut u32) -> Child {
    loop {
        sleep(delay_after(*failure_count)).await;
        *failure_count = failure_count.saturating_add(1);
        let cleared = cluster::clear_earlier(&postmaster.data, &postmaster.run).await;
        match cleared.and_then(|()| postmaster.spawn(log)) {
            Ok(child) => {
                tracing::info!(
                    postgres.pid = child.id(),
                    attempt = *failure_count,
                    "started PostgreSQL again"
                );
                return child;
            }
            Err(error) => {
                tracing::error!(%error, attempt = *failure_count, "cannot start PostgreSQL again; trying on");
            }
        }
    }
}

/// Returns how long to wait before the next start: 100, 200, 400, 800, ... milliseconds, at most 5 seconds.
fn delay_after(failure_count: u32) -> Duration {
    Duration::from_millis(100 << failure_count.min(6)).min(Duration::from_secs(5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delay_doubles_then_stops_at_the_cap() {
        let delays = [0, 1, 2, 5, 6, 1000].map(|failure_count| delay_after(failure_count).as_millis());
        assert_eq!(delays, [100, 200, 400, 3200, 5000, 5000]);
    }
}
