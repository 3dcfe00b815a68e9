//! Everything breaks at random while webhooks are sent: dispatchers and PostgreSQL are killed, connections are cut, clocks
//! jump, receivers hang, lie and die. Afterwards every committed change has arrived, in its ticket's order, and what
//! came twice was in the hands of a dispatcher when that one, or the database, was killed: the database keeps a log of
//! who claimed what.
//!
//! `make chaos` runs the long form. `CHAOS_SEED` replays a run's choices, `CHAOS_KILLS` says how many kills there are.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "the seed comes from the environment, and is printed to be replayed"
)]

mod events;
mod sink;
mod verdict;

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use chrono::Utc;
use dropwire::dev;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio_postgres::Client;
use uuid::Uuid;

use self::events::{Dice, Event, Happened};
use self::sink::ChaosSink;
use crate::support::cluster::{TestDatabase, start_server};
use crate::support::program::TempDir;

/// Kills of the form that runs with the other tests.
const SHORT: usize = 12;
const DISPATCHERS: usize = 3;
const TENANTS: usize = 5;
const TICKETS: usize = 8;
const TIMEOUT: Duration = Duration::from_millis(1500);
/// How long the end may take: leases, probes and backoffs run out.
const PATIENCE: Duration = Duration::from_secs(120);

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// A process under the name by which the log knows it.
struct Dispatcher {
    number: usize,
    child: Child,
}

/// Dispatchers, replaced as they end.
struct Crew {
    database: TestDatabase,
    dice: Dice,
    /// What each of them says, in a file by its number.
    logs: TempDir,
    hired: usize,
    at_work: Vec<Dispatcher>,
}

impl Crew {
    fn new(database: &TestDatabase, dice: Dice) -> Self {
        let logs = TempDir::new();
        std::fs::create_dir_all(logs.path()).unwrap();
        Self {
            database: database.clone(),
            dice,
            logs,
            hired: 0,
            at_work: Vec::new(),
        }
    }

    /// Replaces those that have ended.
    fn fill_up(&mut self) {
        self.at_work
            .retain_mut(|dispatcher| dispatcher.child.try_wait().unwrap().is_none());
        while self.at_work.len() < DISPATCHERS {
            self.hired += 1;
            let log = self.logs.path().join(self.hired.to_string());
            let child = dispatcher(&self.database, self.hired, &mut self.dice, &log);
            self.at_work.push(Dispatcher {
                number: self.hired,
                child,
            });
        }
    }
}

/// One dispatcher: now `serve`, now `dispatch` with a budget, as a cron job would call it.
fn dispatcher(database: &TestDatabase, number: usize, dice: &mut Dice, log: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dropwire"));
    command
        .arg(if dice.one_in(4) { "dispatch" } else { "serve" })
        .env_clear()
        .env(
            "DATABASE_URL",
            format!("{}&application_name={number}", database.url()),
        )
        .env("SUPABASE_JWT_SECRET", dev::JWT_SECRET)
        .env("DROPWIRE_LISTEN", "127.0.0.1:0")
        .env("DROPWIRE_WEBHOOK_ALLOW_PRIVATE", "true")
        .env("DROPWIRE_LOG", "warn")
        .env("DROPWIRE_DB_POOL_SIZE", "8")
        .env("DROPWIRE_DISPATCH_POLL_MS", "200")
        .env("DROPWIRE_WEBHOOK_LEASE_MARGIN_MS", "3000")
        .env("DROPWIRE_WEBHOOK_BREAKER_FAILURES", "4")
        .env("TICKET_ACTIVITY_WEBHOOK_BATCH", "50")
        .env("TICKET_ACTIVITY_WEBHOOK_BUDGET_MS", "5000")
        .env("TICKET_ACTIVITY_WEBHOOK_MAX_BACKOFF_MS", "700")
        .env(
            "TICKET_ACTIVITY_WEBHOOK_TIMEOUT_MS",
            TIMEOUT.as_millis().to_string(),
        )
        .stdout(Stdio::from(std::fs::File::create(log).unwrap()))
        .stderr(Stdio::from(
            std::fs::File::options().append(true).open(log).unwrap(),
        ))
        .kill_on_drop(true);
    command.spawn().unwrap()
}

/// Tenants with a webhook each, and their tickets.
async fn fill(db: &Client, url: &str) -> Vec<Uuid> {
    let tenants = "insert into tenants (name, email, automation_webhook_url)
                   select 'T' || n, n || '@example.com', $1 || '/' || n from generate_series(1, $2::int) n";
    let count = i32::try_from(TENANTS).unwrap();
    db.execute(tenants, &[&url, &count]).await.unwrap();
    let tickets = "insert into tickets (title, description, location, category, priority, type, tenant_id)
                   select 'T', 'D', 'L', 'Other', 'low', 'M', t.id from tenants t, generate_series(1, $1::int)
                   returning id";
    let count = i32::try_from(TICKETS).unwrap();
    let rows = db.query(tickets, &[&count]).await.unwrap();
    db.batch_execute(include_str!("chaos/log.sql")).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Comments on random tickets until told to stop. What fails is not repeated: only what is committed counts.
async fn write(
    database: TestDatabase,
    tickets: Vec<Uuid>,
    mut dice: Dice,
    mut stop: tokio::sync::watch::Receiver<bool>,
) {
    let mut client = None;
    while !*stop.borrow() {
        if client.is_none() {
            client = database.target().connect().await.ok();
        }
        if let Some(db) = &client {
            let ticket = tickets[dice.below(tickets.len())];
            let comments = i32::try_from(1 + dice.below(3)).unwrap();
            let sql = "insert into ticket_activities (ticket_id, activity_type, comment)
                       select $1, 'admin_comment', 'c' || n from generate_series(1, $2::int) n";
            if db.execute(sql, &[&ticket, &comments]).await.is_err() {
                client = None;
            }
        }
        let pause = Duration::from_millis(20 + u64::try_from(dice.below(120)).unwrap());
        drop(tokio::time::timeout(pause, stop.changed()).await);
    }
}

/// Moves every stored time, which is what a jump of the database's clock looks like from inside.
async fn jump(database: &TestDatabase, seconds: f64) {
    let sql = format!(
        "update dropwire.webhook_heads set due_at = due_at + make_interval(secs => {seconds});
         alter table ticket_webhook_queue disable trigger user;
         update ticket_webhook_queue set next_attempt_at = next_attempt_at + make_interval(secs => {seconds}),
                lease_expires_at = lease_expires_at + make_interval(secs => {seconds}) where status <> 'delivered';
         alter table ticket_webhook_queue enable trigger user;
         update dropwire.webhook_endpoints set next_probe_at = next_probe_at + make_interval(secs => {seconds}),
                not_before = not_before + make_interval(secs => {seconds})"
    );
    // The database may be away: then there is no jump.
    if let Ok(db) = database.target().connect().await {
        drop(db.batch_execute(&format!("begin; {sql}; commit")).await);
    }
}

async fn cut_connections(database: &TestDatabase) {
    if let Ok(db) = database.target().connect().await {
        let sql = "select pg_terminate_backend(pid) from pg_stat_activity
                    where datname = current_database() and pid <> pg_backend_pid() and random() < 0.5";
        drop(db.batch_execute(sql).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_breaks_every_change_arrives_in_order_and_twice_only_around_a_kill() {
    let seed = setting("CHAOS_SEED").unwrap_or_else(|| u64::from(Uuid::new_v4().as_fields().0));
    let kills = setting("CHAOS_KILLS").map_or(SHORT, |kills| usize::try_from(kills).unwrap());
    println!("chaos: CHAOS_SEED={seed} CHAOS_KILLS={kills}");
    let mut dice = Dice::new(seed);
    let server = start_server("chaos").await;
    let database = TestDatabase::of(&server).await;
    let db = database.target().connect().await.unwrap();
    let sink = ChaosSink::start(dice.split(), TIMEOUT).await;
    let tickets = fill(&db, &sink.url).await;
    drop(db);

    let mut events: Vec<Happened> = Vec::new();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let writers: Vec<_> = (0..2)
        .map(|_| {
            let (database, tickets) = (database.clone(), tickets.clone());
            tokio::spawn(write(database, tickets, dice.split(), stopped.clone()))
        })
        .collect();
    let mut crew = Crew::new(&database, dice.split());
    crew.fill_up();
    let mut killed = 0;
    while killed < kills {
        tokio::time::sleep(Duration::from_millis(
            u64::try_from(300 + dice.below(2400)).unwrap(),
        ))
        .await;
        let mut note = |event| events.push((event, Utc::now()));
        match dice.below(20) {
            0..=1 => {
                note(Event::Cut);
                cut_connections(&database).await;
            }
            2 => {
                let by = [-4.0, -1.0, 1.0, 5.0][dice.below(4)];
                note(if by > 0.0 { Event::Forward } else { Event::Back });
                jump(&database, by).await;
            }
            3..=5 => {
                if let Some(pid) = server.pid() {
                    note(Event::DatabaseKilled);
                    kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL).ok();
                    killed += 1;
                }
            }
            _ => {
                let victim = &mut crew.at_work[dice.below(DISPATCHERS)];
                note(Event::DispatcherKilled(victim.number));
                victim.child.kill().await.unwrap();
                killed += 1;
            }
        }
        crew.fill_up();
    }

    // Peace: receivers behave, and whatever waits is sent.
    stop.send_replace(true);
    for writer in writers {
        writer.await.unwrap();
    }
    sink.behave();
    let began = Instant::now();
    loop {
        assert!(
            began.elapsed() < PATIENCE,
            "CHAOS_SEED={seed}: something stays undelivered"
        );
        crew.fill_up();
        if let Ok(db) = database.target().connect().await {
            let left = "select count(*) from ticket_webhook_queue where status <> 'delivered'";
            if let Ok(row) = db.query_one(left, &[]).await
                && row.get::<_, i64>(0) == 0
            {
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(std::mem::take(&mut crew.at_work));

    let db = database.target().connect().await.unwrap();
    let summary = verdict::check(&db, &sink.requests(), &events)
        .await
        .unwrap_or_else(|wrong| {
            let log = wrong
                .dispatcher
                .map(|name| std::fs::read_to_string(crew.logs.path().join(name)));
            panic!("CHAOS_SEED={seed}: {}; its log: {log:?}", wrong.what)
        });
    println!("chaos: {summary}");
    server.stop().await;
}
