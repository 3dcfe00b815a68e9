//! The embedded server from outside: real processes, real signals.

mod killed;

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tokio::time::sleep;
use tokio_postgres::{Client, NoTls};

use super::*;

/// A statement whose backend takes a second or so to notice that its postmaster is gone.
const BUSY: &str = "do $$ begin for i in 1..60000000 loop null; end loop; end $$";

/// A directory of its own for one test, removed with everything in it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!(
            "dropwire-pg-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::DirBuilder::new().mode(0o755).create(&path).unwrap();
        Self(path.canonicalize().unwrap())
    }

    /// Options for a server in here that need not survive a power cut.
    fn options(&self) -> EmbeddedOptions {
        options(&self.0.join("db"))
    }

    async fn start(&self) -> EmbeddedServer {
        EmbeddedServer::start(self.options()).await.unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // An `initdb` whose process was killed may still write.
        fs::remove_dir_all(&self.0).ok();
    }
}

fn options(data_dir: &Path) -> EmbeddedOptions {
    let parameters = vec![("fsync".to_owned(), "off".to_owned())];
    EmbeddedOptions {
        data_dir: data_dir.to_owned(),
        bin_dir: None,
        parameters,
    }
}

async fn connect(server: &EmbeddedServer) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = server.config().connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn value(server: &EmbeddedServer, query: &str) -> String {
    let client = connect(server).await.unwrap();
    client.query_one(query, &[]).await.unwrap().get(0)
}

fn id(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap())
}

fn is_alive(pid: u32) -> bool {
    // A zombie that nobody reaps counts as dead.
    let zombie = fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "));
    kill(id(pid), None) != Err(Errno::ESRCH) && !zombie
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn second_start_keeps_the_data_and_is_quick() {
    let scratch = Scratch::new();
    let began = Instant::now();
    let server = scratch.start().await;
    let first = began.elapsed();
    assert_eq!(
        value(&server, "select current_database()::text").await,
        "dropwire"
    );
    assert_eq!(
        value(&server, "select current_setting('server_encoding')").await,
        "UTF8"
    );
    let client = connect(&server).await.unwrap();
    client
        .batch_execute("create table kept as select 'yes'::text as answer")
        .await
        .unwrap();
    let began = Instant::now();
    server.stop().await;
    let stop = began.elapsed();

    let began = Instant::now();
    let server = scratch.start().await;
    let second = began.elapsed();
    assert_eq!(value(&server, "select answer from kept").await, "yes");
    server.stop().await;

    eprintln!("first start {first:?}, stop {stop:?}, second start {second:?}");
    assert!(second < first, "first start {first:?}, second start {second:?}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn no_tcp_port_is_open_and_the_directories_are_private() {
    let scratch = Scratch::new();
    let mut options = scratch.options();
    options
        .parameters
        .push(("listen_addresses".to_owned(), "*".to_owned()));
    options
        .parameters
        .push(("max_connections".to_owned(), "17".to_owned()));
    let server = EmbeddedServer::start(options).await.unwrap();

    assert_eq!(
        value(&server, "select current_setting('listen_addresses')").await,
        ""
    );
    assert_eq!(
        value(&server, "select current_setting('max_connections')").await,
        "17"
    );
    let sockets: Vec<String> = fs::read_dir(format!("/proc/{}/fd", server.pid().unwrap()))
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .filter_map(|link| {
            Some(
                link.to_str()?
                    .strip_prefix("socket:[")?
                    .strip_suffix(']')?
                    .to_owned(),
            )
        })
        .collect();
    assert!(!sockets.is_empty());
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let table = fs::read_to_string(table).unwrap_or_default();
        let of_server = |line: &str| {
            line.split_whitespace()
                .nth(9)
                .is_some_and(|inode| sockets.iter().any(|own| own == inode))
        };
        assert!(!table.lines().any(of_server), "{table}");
    }
    for directory in ["db/data", "db/run"] {
        let mode = fs::metadata(scratch.0.join(directory))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700, "{directory}");
    }
    server.stop().await;
}

#[tokio::test]
async fn killed_postmaster_comes_back() {
    let scratch = Scratch::new();
    let server = scratch.start().await;
    let first = server.pid().unwrap();
    let busy = connect(&server).await.unwrap();
    tokio::spawn(async move { busy.batch_execute(BUSY).await.ok() });
    sleep(Duration::from_millis(50)).await;

    let began = Instant::now();
    kill(id(first), Signal::SIGKILL).unwrap();
    eventually("another postmaster accepts connections", async || {
        server.pid().is_some_and(|pid| pid != first) && connect(&server).await.is_ok()
    })
    .await;

    eprintln!("back after {:?}", began.elapsed());
    assert!(!is_alive(first));
    server.stop().await;
}

#[tokio::test]
async fn stop_and_drop_leave_no_process() {
    let scratch = Scratch::new();
    let server = scratch.start().await;
    let pid = server.pid().unwrap();
    let open = connect(&server).await.unwrap();
    server.stop().await;
    assert!(!is_alive(pid));
    assert!(
        !scratch.0.join("db/data/postmaster.pid").exists(),
        "it shut down in order"
    );
    assert!(open.batch_execute("select 1").await.is_err());

    let server = scratch.start().await;
    let pid = server.pid().unwrap();
    drop(server);
    eventually("the dropped server ends", async || !is_alive(pid)).await;
    eventually("the directory is free", async || {
        match EmbeddedServer::start(scratch.options()).await {
            Ok(server) => {
                server.stop().await;
                true
            }
            Err(ServerError::InUse { .. }) => false,
            Err(error) => panic!("{error}"),
        }
    })
    .await;
}

#[tokio::test]
async fn missing_binaries_are_explained_and_nothing_is_written() {
    let scratch = Scratch::new();
    let options = EmbeddedOptions {
        bin_dir: Some(scratch.0.join("bin")),
        ..scratch.options()
    };

    let error = EmbeddedServer::start(options).await.unwrap_err();
    assert!(matches!(&error, ServerError::BinariesNotFound { searched } if searched.len() == 1));
    let text = error.to_string();
    assert!(
        text.contains(&format!(
            "  - {}/bin (the given directory)\n",
            scratch.0.display()
        )),
        "{text}"
    );
    assert!(
        text.contains("apt-get install -y --no-install-recommends postgresql"),
        "{text}"
    );
    assert!(!scratch.0.join("db").exists());
}

#[tokio::test]
async fn second_server_on_one_directory_is_refused() {
    let scratch = Scratch::new();
    let server = scratch.start().await;

    let text = EmbeddedServer::start(scratch.options())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        text.starts_with(&format!("another Dropwire (process {})", std::process::id())),
        "{text}"
    );
    assert!(connect(&server).await.is_ok(), "the first one is not disturbed");
    server.stop().await;
}

#[tokio::test]
async fn long_directory_gets_a_short_socket() {
    let scratch = Scratch::new();
    let options = options(&scratch.0.join("x".repeat(100)).join("db"));
    let server = EmbeddedServer::start(options).await.unwrap();

    assert_eq!(
        value(&server, "select current_database()::text").await,
        "dropwire"
    );
    let run = value(&server, "select current_setting('unix_socket_directories')").await;
    server.stop().await;
    fs::remove_dir_all(run.trim_matches('"')).unwrap();
}

fn initdb_directory(scratch: &Scratch) -> Option<PathBuf> {
    let entries = fs::read_dir(scratch.0.join("db")).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().contains("data.new"))
}

#[tokio::test]
async fn unfinished_initdb_is_started_afresh() {
    let scratch = Scratch::new();
    for leftover in [
        "db/data/pg_wal/archive_status",
        "db/data/global",
        "db/data.new-1/base/1",
    ] {
        fs::create_dir_all(scratch.0.join(leftover)).unwrap();
    }

    let server = scratch.start().await;
    assert_eq!(
        value(&server, "select current_database()::text").await,
        "dropwire"
    );
    server.stop().await;
    assert_eq!(initdb_directory(&scratch), None);
}

#[tokio::test]
async fn cluster_of_another_major_is_refused_with_both_versions() {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.0.join("db/data")).unwrap();
    fs::write(scratch.0.join("db/data/PG_VERSION"), "9.6\n").unwrap();

    let error = EmbeddedServer::start(scratch.options()).await.unwrap_err();
    assert!(
        matches!(
            error,
            ServerError::MajorMismatch {
                cluster_major: 9,
                server_major: 14..,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn bad_setting_is_reported_in_the_words_of_postgresql() {
    let scratch = Scratch::new();
    let mut options = scratch.options();
    options
        .parameters
        .push(("shared_buffer".to_owned(), "1GB".to_owned()));

    let text = EmbeddedServer::start(options).await.unwrap_err().to_string();
    assert!(
        text.contains("unrecognized configuration parameter \"shared_buffer\""),
        "{text}"
    );
}

#[tokio::test]
async fn directory_below_a_private_one_is_named_when_root_drops_its_rights() {
    if !geteuid().is_root() {
        return; // only root changes the user
    }
    let scratch = Scratch::new();
    let private = scratch.0.join("private");
    fs::DirBuilder::new().mode(0o700).create(&private).unwrap();

    let error = EmbeddedServer::start(options(&private.join("below/db")))
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        matches!(error, ServerError::Unreachable { directory, .. } if directory == private),
        "{text}"
    );
    assert!(text.contains("--data-dir"), "{text}");
}

#[tokio::test]
async fn orphaned_postmaster_is_replaced() {
    let scratch = Scratch::new();
    let server = scratch.start().await;
    let account = layout::Account::choose(&scratch.0.join("db/data")).unwrap();
    let program = value(
        &server,
        "select setting || '/postgres' from pg_config where name = 'BINDIR'",
    )
    .await;
    server.stop().await;
    let mut command = Command::new(program);
    command
        .arg("-D")
        .arg(scratch.0.join("db/data"))
        .arg("-clisten_addresses=")
        .arg("-k")
        .arg(scratch.0.join("db/data"));
    command
        .current_dir("/")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if account.switch {
        std::os::unix::process::CommandExt::uid(&mut command, account.uid.as_raw());
    }
    let mut orphan = command.spawn().unwrap();
    // The last line of the lock file says so once connections are taken.
    eventually("the orphan runs", async || {
        fs::read_to_string(scratch.0.join("db/data/postmaster.pid"))
            .is_ok_and(|lock| lock.trim_end().ends_with("ready"))
    })
    .await;
    assert!(orphan.try_wait().unwrap().is_none(), "the orphan goes on running");

    let server = scratch.start().await;
    assert_eq!(
        value(&server, "select current_database()::text").await,
        "dropwire"
    );
    assert!(orphan.try_wait().unwrap().is_some(), "the orphan was stopped");
    server.stop().await;
}
