//! Two processes, one database, and every call sent to both at the same moment.

use std::process::Stdio;
use std::time::Duration;

use dropwire::dev;
use futures_util::{StreamExt as _, future, stream};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::{is_replayed, post_keys};
use crate::support::app::ticket;
use crate::support::cluster::TestDatabase;

const KEYS: i64 = 1_000;
/// Keys in flight; each is two requests.
const CONCURRENCY: usize = 8;
/// Longest start of a process on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The real binary, serving. Killed when dropped.
struct Process {
    _child: Child,
    url: String,
}

impl Process {
    async fn serve(database: &TestDatabase) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_dropwire"))
            .args(["serve", "--no-dispatch", "--listen", "127.0.0.1:0"])
            .env_clear()
            .env("DATABASE_URL", database.url())
            .env("SUPABASE_JWT_SECRET", dev::JWT_SECRET)
            .env("DROPWIRE_DB_POOL_SIZE", (2 * CONCURRENCY).to_string())
            .env("DROPWIRE_LOG", "warn,dropwire::cli=info")
            .env("DROPWIRE_LOG_FORMAT", "json")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = async {
            while let Some(line) = log.next_line().await.unwrap() {
                let line: Value = serde_json::from_str(&line).unwrap();
                if let Some(address) = line["listen"].as_str() {
                    return address.to_owned();
                }
            }
            panic!("the program ended: {:?}", child.wait().await);
        };
        let address = timeout(PATIENCE, address)
            .await
            .expect("the program does not start");
        // Read on, so that the program can go on writing.
        tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
        Self {
            _child: child,
            url: format!("http://{address}"),
        }
    }
}

#[tokio::test]
async fn two_processes_race_for_each_of_1000_keys_and_make_one_ticket_of_it() {
    let database = TestDatabase::migrated().await;
    let db = database.target().connect().await.unwrap();
    db.batch_execute(include_str!("../../../sql/dev/demo.sql"))
        .await
        .unwrap();
    let (one, two) = future::join(Process::serve(&database), Process::serve(&database)).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();

    let race = async |n: i64| {
        let key = format!("key-{n}");
        let body = ticket(&json!({"issue": format!("Issue {n}"), "category": "Other", "priority": "low"}))
            .to_string();
        let send =
            async |process: &Process| post_keys(&http, &process.url, &[key.as_bytes()], body.clone()).await;
        let (a, b) = future::join(send(&one), send(&two)).await;
        assert_eq!(a.status, 200, "{a:?}");
        assert_eq!((a.status, &a.text), (b.status, &b.text), "{key}");
        let (a, b) = (is_replayed(&a.headers), is_replayed(&b.headers));
        assert!(a != b, "one of the two creates, the other repeats: {a}, {b}");
        i64::from(b)
    };
    let won_by_one: i64 = stream::iter(0..KEYS)
        .map(race)
        .buffer_unordered(CONCURRENCY)
        .fold(0, async |won, one| won + one)
        .await;

    let row = db
        .query_one(
            "select (select count(*) from tickets), (select count(distinct title) from tickets),
                    (select count(*) from ticket_webhook_queue where origin = 'creation'),
                    (select count(*) from dropwire.idempotency_keys k join tickets t
                       on k.answer ->> 'ticket_id' = t.id::text and k.answer ->> 'ticket_number' = t.ticket_number)",
            &[],
        )
        .await
        .unwrap();
    let counts: [i64; 4] = std::array::from_fn(|column| row.get(column));
    assert_eq!(counts, [KEYS; 4], "tickets, issues, creation entries, keys");
    assert!(
        (1..KEYS).contains(&won_by_one),
        "no race: one process won {won_by_one} times"
    );
}
