//! Sudden ends: the program, or its database, is killed in the middle of delivering. Nothing is lost, each ticket's
//! order stays, and what is sent again carries its old id.

use std::collections::{HashMap, HashSet};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use dropwire::dev;
use dropwire::pg::connect::Target;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio_postgres::Client;

use crate::support::cluster::{TestDatabase, start_server};
use crate::support::sink::{Received, Reply};
use crate::support::{Sink, TestApp};

/// 50 tickets of four entries each.
const ENTRIES: usize = 200;
const TIMEOUT_MS: &str = "3000";
/// Longer than the attempt's time and the lease's margin together, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Fills a migrated database with the entries, to be sent to the sink.
async fn fill(db: &Client, sink: &Sink) {
    db.batch_execute(include_str!("../../sql/dev/demo.sql"))
        .await
        .unwrap();
    db.execute("update tenants set automation_webhook_url = $1", &[&sink.url])
        .await
        .unwrap();
    db.batch_execute(&format!(
        "insert into tickets (title, description, location, category, priority, type, tenant_id)
           select 'T', 'D', 'L', 'Other', 'low', 'M', '{}' from generate_series(1, {});
         insert into ticket_activities (ticket_id, activity_type, comment)
           select t.id, 'admin_comment', n from generate_series(1, 3) n, tickets t;",
        dev::TENANT_ID,
        ENTRIES / 4
    ))
    .await
    .unwrap();
}

/// A sink that takes its time.
async fn slow_sink() -> Sink {
    let sink = Sink::start().await;
    sink.always(Some(Reply::Slow(Duration::from_millis(20))));
    sink
}

/// A filled database, and a sink that takes its time.
async fn filled() -> (TestDatabase, Client, Sink) {
    let database = TestDatabase::migrated().await;
    let db = database.target().connect().await.unwrap();
    let sink = slow_sink().await;
    fill(&db, &sink).await;
    (database, db, sink)
}

/// The real program with nothing but these variables.
fn program(verb: &str, database: &TestDatabase) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dropwire"));
    command
        .arg(verb)
        .env_clear()
        .env("DATABASE_URL", database.url())
        .env("SUPABASE_JWT_SECRET", dev::JWT_SECRET)
        .env("DROPWIRE_LISTEN", "127.0.0.1:0")
        .env("DROPWIRE_WEBHOOK_ALLOW_PRIVATE", "true")
        .env("DROPWIRE_LOG", "error")
        .env("TICKET_ACTIVITY_WEBHOOK_TIMEOUT_MS", TIMEOUT_MS)
        .kill_on_drop(true);
    command
}

fn serve(database: &TestDatabase) -> Child {
    program("serve", database).spawn().unwrap()
}

/// Sends SIGTERM; answers the exit code.
async fn terminate(mut child: Child) -> Option<i32> {
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
    ended.expect("the program ends").unwrap().code()
}

/// Ids of the entries that match.
async fn ids(db: &Client, condition: &str) -> HashSet<String> {
    let sql = format!("select id::text from ticket_webhook_queue where {condition}");
    db.query(&sql, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect()
}

/// Waits until a query's count is as wanted.
async fn wait_until(db: &Client, query: &str, wanted: i64) {
    let began = Instant::now();
    loop {
        let count: i64 = db.query_one(query, &[]).await.unwrap().get(0);
        if count == wanted {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{count} instead of {wanted}: {query}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn wait_delivered(db: &Client) {
    wait_until(
        db,
        "select count(*) from ticket_webhook_queue where status <> 'delivered'",
        0,
    )
    .await;
}

/// Checks that every entry came, and that no later one of a ticket came before an earlier one; answers how often
/// each id came.
async fn assert_all_in_order(db: &Client, received: &[Received]) -> HashMap<String, usize> {
    let rows = db
        .query("select id::text, seq from ticket_webhook_queue", &[])
        .await
        .unwrap();
    let seqs: HashMap<String, i64> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut newest: HashMap<&str, i64> = HashMap::new();
    for webhook in received {
        let id = webhook.webhook_id();
        let seq = seqs[&id];
        let newest = newest
            .entry(webhook.body["ticket_id"].as_str().unwrap())
            .or_default();
        assert!(seq >= *newest, "{id} came after a later one of its ticket");
        *newest = seq;
        *counts.entry(id).or_default() += 1;
    }
    assert_eq!((seqs.len(), counts.len()), (ENTRIES, ENTRIES), "every entry came");
    counts
}

/// Kills the program when `arrived` webhooks have come, starts it again, and looks at what came in all.
async fn kill_and_restart(arrived: usize) {
    let (database, db, sink) = filled().await;
    let mut child = serve(&database);
    sink.wait_for(arrived).await;
    child.kill().await.unwrap();
    // What the dead program had asked for last may still be running.
    let backends = "select count(*) from pg_stat_activity
                     where datname = current_database() and pid <> pg_backend_pid()";
    wait_until(&db, backends, 0).await;
    let in_flight = ids(&db, "status = 'processing'").await;
    let delivered = ids(&db, "status = 'delivered'").await;
    assert!(
        !in_flight.is_empty() && delivered.len() < ENTRIES,
        "killed in the middle"
    );

    let child = serve(&database);
    wait_delivered(&db).await;
    assert_eq!(terminate(child).await, Some(0));
    let counts = assert_all_in_order(&db, &sink.received()).await;
    for (id, count) in counts {
        assert!(
            count == 1 || count == 2 && in_flight.contains(&id),
            "{id} came {count} times"
        );
    }
}

#[tokio::test]
async fn killed_while_delivering_nothing_is_lost_and_only_what_was_under_way_comes_again() {
    tokio::join!(kill_and_restart(10), kill_and_restart(70), kill_and_restart(150));
}

#[tokio::test]
async fn terminated_while_delivering_it_ends_well_and_the_rest_is_due_at_once() {
    let (database, db, sink) = filled().await;
    let child = serve(&database);
    sink.wait_for(60).await;
    assert_eq!(terminate(child).await, Some(0));

    let received = sink.received();
    let came: HashSet<_> = received.iter().map(Received::webhook_id).collect();
    assert_eq!(
        ids(&db, "status = 'delivered'").await,
        came,
        "what was under way was finished"
    );
    let due = ids(
        &db,
        "status = 'pending' and attempt_count = 0 and next_attempt_at <= now()",
    )
    .await;
    assert_eq!(came.len() + due.len(), ENTRIES);
    assert!(!due.is_empty(), "terminated in the middle");

    let child = serve(&database);
    wait_delivered(&db).await;
    assert_eq!(terminate(child).await, Some(0));
    let counts = assert_all_in_order(&db, &sink.received()).await;
    assert!(counts.values().all(|count| *count == 1));
}

#[tokio::test]
async fn dispatch_sends_one_batch_from_a_plain_shell() {
    let (database, db, sink) = filled().await;
    let dispatch = || async {
        let mut command = program("dispatch", &database);
        command
            .env("TICKET_ACTIVITY_WEBHOOK_BATCH", "150")
            .stderr(Stdio::piped());
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().await.unwrap();
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    };
    sink.reply([500]);
    assert_eq!(
        dispatch().await,
        "{\"processed\":150,\"delivered\":149,\"failed\":1}\n"
    );
    db.execute(
        "update ticket_webhook_queue set next_attempt_at = now() where status = 'failed'",
        &[],
    )
    .await
    .unwrap();
    assert_eq!(
        dispatch().await,
        "{\"processed\":51,\"delivered\":51,\"failed\":0}\n"
    );
    let nothing: Value = serde_json::from_str(&dispatch().await).unwrap();
    assert_eq!(nothing["processed"], 0);
    let counts = assert_all_in_order(&db, &sink.received()).await;
    assert_eq!(counts.values().sum::<usize>(), ENTRIES + 1);
}

#[tokio::test]
async fn an_operators_verbs_work_from_a_plain_shell() {
    let (database, db, sink) = filled().await;
    let run = |arguments: &[&str]| {
        let mut command = program("webhooks", &database);
        command.args(arguments).stderr(Stdio::piped());
        async move {
            let output = command.output().await.unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            (output.status.code(), text)
        }
    };
    let tenant = dev::TENANT_ID;
    assert_eq!(
        run(&["pause", tenant]).await,
        (Some(0), "{\"paused\": true}\n".replace(": ", ":"))
    );
    let (_, listed) = run(&["list"]).await;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(
        (&listed["state"], &listed["waiting_tickets"]),
        (&Value::from("paused"), &Value::from(50))
    );
    let (_, blocked) = run(&["blocked", "--tenant", tenant]).await;
    assert_eq!(blocked.lines().count(), 50);
    let nobody = "00000000-0000-4000-8000-000000000000";
    assert_eq!(
        run(&["resume", nobody]).await.0,
        Some(1),
        "there is no such tenant"
    );
    assert_eq!(run(&["resume", tenant]).await.0, Some(0));
    let (code, drained) = run(&["drain"]).await;
    assert_eq!(code, Some(0));
    assert_eq!(
        drained.lines().last(),
        Some("{\"processed\":200,\"delivered\":200,\"failed\":0}")
    );
    assert_eq!(sink.received().len(), ENTRIES);
    assert_all_in_order(&db, &sink.received()).await;
}

/// A connection to a server that may be starting.
async fn connect(target: &Target) -> Client {
    let began = Instant::now();
    loop {
        match target.connect().await {
            Ok(client) => return client,
            Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_killed_postgres_is_waited_for_and_delivery_goes_on_in_order() {
    let server = start_server("dispatch").await;
    let variables = [
        ("DROPWIRE_NO_DISPATCH", "false"),
        ("DROPWIRE_DISPATCH_POLL_MS", "100"),
        ("TICKET_ACTIVITY_WEBHOOK_TIMEOUT_MS", TIMEOUT_MS),
    ];
    let app = TestApp::on(TestDatabase::of(&server).await, &variables).await;
    let sink = slow_sink().await;
    fill(&app.db, &sink).await;

    sink.wait_for(60).await;
    let pid = i32::try_from(server.pid().unwrap()).unwrap();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    let came = sink.received().len();
    assert!(came < ENTRIES, "killed in the middle");
    while server.pid().is_none_or(|now| i32::try_from(now).unwrap() == pid) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    let db = connect(&app.database.target()).await;
    wait_delivered(&db).await;
    let counts = assert_all_in_order(&db, &sink.received()).await;
    // At most what was under way when it died, and only if it stayed away for longer than outcomes are kept.
    let repeated = counts.values().filter(|count| **count > 1).count();
    assert!(repeated <= 16, "{repeated} came again");
    app.stop().await;
    server.stop().await;
}
