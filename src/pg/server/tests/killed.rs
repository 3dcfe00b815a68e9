//! What happens when Dropwire itself is killed: its process is this test binary, started again.

use super::*;

/// Names the directory for [`holds_a_server_for_another_test`], in a process of its own.
const CHILD: &str = "DROPWIRE_TEST_SERVER_DIR";

/// Not a test by itself: this binary, started again by the tests below, holds a server until it is killed.
#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "tells the process that a test started from the test run itself"
)]
async fn holds_a_server_for_another_test() {
    let Some(directory) = std::env::var_os(CHILD).map(PathBuf::from) else {
        return;
    };
    let server = EmbeddedServer::start(options(&directory.join("db")))
        .await
        .unwrap();
    connect(&server)
        .await
        .unwrap()
        .batch_execute("create table kept (id int)")
        .await
        .unwrap();
    fs::write(directory.join("pid.new"), server.pid().unwrap().to_string()).unwrap();
    fs::rename(directory.join("pid.new"), directory.join("pid")).unwrap();
    std::future::pending::<()>().await;
}

fn process_with_a_server(scratch: &Scratch) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "pg::server::tests::killed::holds_a_server_for_another_test",
        ])
        .env(CHILD, &scratch.0)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn server_dies_with_its_process() {
    let scratch = Scratch::new();
    let mut process = process_with_a_server(&scratch);
    let note = scratch.0.join("pid");
    eventually("the process has a server", async || note.exists()).await;
    let pid = fs::read_to_string(note).unwrap().parse().unwrap();
    assert!(is_alive(pid));

    process.kill().unwrap();
    process.wait().unwrap();
    // Nothing but the kernel tells the postmaster.
    eventually("the postmaster ends", async || !is_alive(pid)).await;
    assert!(
        !scratch.0.join("db/data/postmaster.pid").exists(),
        "it shut down in order"
    );
}

#[tokio::test]
async fn successor_of_a_killed_process_starts_at_once() {
    let scratch = Scratch::new();
    let mut process = process_with_a_server(&scratch);
    eventually("the process has a server", async || {
        scratch.0.join("pid").exists()
    })
    .await;

    process.kill().unwrap();
    process.wait().unwrap();
    let server = scratch.start().await;
    assert_eq!(value(&server, "select count(*)::text from kept").await, "0");
    server.stop().await;
}

#[tokio::test]
async fn process_killed_during_its_first_start_leaves_nothing_half_done() {
    let scratch = Scratch::new();
    let mut process = process_with_a_server(&scratch);
    eventually("initdb works", async || {
        initdb_directory(&scratch).is_some_and(|unfinished| unfinished.join("base").exists())
    })
    .await;

    process.kill().unwrap();
    process.wait().unwrap();
    assert!(!scratch.0.join("db/data").exists());
    let server = scratch.start().await;
    assert_eq!(
        value(&server, "select current_database()::text").await,
        "dropwire"
    );
    server.stop().await;
}

#[tokio::test]
async fn successor_waits_for_backends_that_lost_both_process_and_postmaster() {
    let scratch = Scratch::new();
    let mut process = process_with_a_server(&scratch);
    let note = scratch.0.join("pid");
    eventually("the process has a server", async || note.exists()).await;
    let pid: u32 = fs::read_to_string(note).unwrap().parse().unwrap();
    let mut config = tokio_postgres::Config::new();
    config
        .user("postgres")
        .dbname("dropwire")
        .host_path(scratch.0.join("db/run"));
    let (busy, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    tokio::spawn(async move { busy.batch_execute(BUSY).await.ok() });
    let (watcher, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    let is_busy = "select from pg_stat_activity where state = 'active' and pid <> pg_backend_pid()
                      and datname = current_database()";
    eventually("a backend is busy", async || {
        watcher
            .query(is_busy, &[])
            .await
            .is_ok_and(|rows| !rows.is_empty())
    })
    .await;

    kill(id(pid), Signal::SIGKILL).unwrap();
    process.kill().unwrap();
    process.wait().unwrap();
    let server = scratch.start().await;
    let log = fs::read_to_string(scratch.0.join("db/postgres.log")).unwrap();
    assert!(
        log.contains("pre-existing shared memory block"),
        "the case was met:\n{log}"
    );
    server.stop().await;
}
