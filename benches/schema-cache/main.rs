//! Loads the catalog of a large database and prints how long that takes and how much memory it keeps.
//!
//! `TABLES` is the number of tables; a throw-away PostgreSQL is started for it.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints its figures, and one that cannot go on fails"
)]

use std::fs;
use std::time::{Duration, Instant};

use dropwire::pg::connect::Target;
use dropwire::pg::server::{EmbeddedOptions, EmbeddedServer};
use dropwire::schema_cache::{LoadOptions, load};

const ROUNDS: usize = 5;

#[tokio::main]
async fn main() {
    // Read as a number, so that `cargo bench`'s own arguments do no harm.
    let tables: usize = std::env::args()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(5000);
    let data_dir = std::env::temp_dir().join(format!("dropwire-bench-{}", std::process::id()));
    let server = EmbeddedServer::start(EmbeddedOptions {
        data_dir: data_dir.clone(),
        bin_dir: None,
        parameters: vec![("fsync".to_owned(), "off".to_owned())],
    })
    .await
    .unwrap();
    let target = Target::from_config(server.config());
    let owner = target.connect().await.unwrap();
    owner.batch_execute(include_str!("database.sql")).await.unwrap();
    owner
        .batch_execute(&format!("call make_tables(1, {tables})"))
        .await
        .unwrap();
    owner.batch_execute("vacuum analyze").await.unwrap();
    drop(owner);
    measure(&target).await;
    drop(server);
    fs::remove_dir_all(data_dir).ok();
}

async fn measure(target: &Target) {
    let options = LoadOptions {
        schemas: vec!["many".to_owned()],
        ..LoadOptions::default()
    };
    println!("resident before: {:.1} MB", resident("VmRSS"));
    let mut times = Vec::new();
    // As a running server does: a connection for each load, and the old cache until the new one is there.
    let mut held = None;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let client = target.connect().await.unwrap();
        let cache = load::load(&client, &options).await.unwrap();
        times.push(began.elapsed());
        held = Some(cache);
    }
    let cache = held.unwrap();
    let columns: usize = cache.tables.values().map(|table| table.columns.len()).sum();
    let relationships: usize = cache.relationships.values().map(Vec::len).sum();
    println!(
        "{} tables, {columns} columns, {} foreign keys",
        cache.tables.len(),
        relationships / 2
    );
    times.sort_unstable();
    let seconds = |time: Option<&Duration>| time.map_or(0.0, Duration::as_secs_f64);
    println!(
        "loaded in {:.2} s (median of {ROUNDS}; slowest {:.2} s; goal: under 2)",
        seconds(times.get(ROUNDS / 2)),
        seconds(times.last())
    );
    println!(
        "resident after: {:.1} MB, at most {:.1} MB (goal: under 150)",
        resident("VmRSS"),
        resident("VmHWM")
    );
}

/// A line of this process' status, in MB.
fn resident(line: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let kilobytes: f64 = status
        .lines()
        .find_map(|text| text.strip_prefix(line)?.split_whitespace().nth(1))
        .unwrap()
        .parse()
        .unwrap();
    kilobytes / 1024.0
}
