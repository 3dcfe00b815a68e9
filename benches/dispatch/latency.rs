//! How long it takes from commit to receipt, beside a bare commit followed by a bare POST.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use dropwire::egress::{Egress, Policy};
use reqwest::header::HeaderMap;
use tokio_postgres::Client;
use uuid::Uuid;

use super::stage::{Stage, ask, start_sink};
use super::{percentile, setting};

const PER_SECOND: u64 = 100;

pub async fn measure(stage: &Stage) {
    let seconds = setting("SECONDS", 20);
    let (sink, url) = start_sink();
    let db = stage.database("bench_latency").await;
    db.batch_execute(&format!(
        "insert into tenants (name, email, automation_webhook_url)
           select 'T' || n, n || '@example.com', '{url}/' || n from generate_series(1, 100) n;
         create table bench_tenant as select id, row_number() over () - 1 as place from tenants;
         create table bare (id uuid primary key, text text)"
    ))
    .await
    .unwrap();

    let bare = bare(&db, &url, seconds * PER_SECOND).await;
    ask(&format!("{url}/forget")).await;
    let process = stage.serve("bench_latency");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let served = served(&db, &url, seconds * PER_SECOND).await;
    drop(process);
    for (share, goal) in [(0.5, 3.0), (0.99, 5.0)] {
        let (bare, served) = (percentile(&bare, share), percentile(&served, share));
        println!(
            "commit to receipt at {PER_SECOND}/s, p{:<2.0}: {served:6.2} ms; bare commit and POST {bare:6.2} ms; ratio {:.2} (goal: {goal})",
            share * 100.0,
            served / bare
        );
    }
    drop(sink);
}

fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
        * 1000.0
}

/// Waits for the next beat.
async fn beat(began: Instant, nth: u64) {
    let at = began + Duration::from_millis(1000 * nth / PER_SECOND);
    tokio::time::sleep_until(at.into()).await;
}

/// One row committed, then one POST: from the beginning of the commit's statement to the answer.
async fn bare(db: &Client, url: &str, count: u64) -> Vec<f64> {
    let egress = Egress::new(Policy { allow_private: true });
    let insert = db.prepare("insert into bare values ($1, $2)").await.unwrap();
    let filler = "x".repeat(600);
    let mut millis = Vec::new();
    let began = Instant::now();
    for nth in 0..count {
        beat(began, nth).await;
        let from = now();
        db.execute(&insert, &[&Uuid::new_v4(), &filler]).await.unwrap();
        let body = Bytes::from(format!(r#"{{"filler":"{filler}"}}"#));
        let answer = egress
            .post_json(url, HeaderMap::new(), body, Duration::from_secs(10))
            .await;
        assert!(answer.unwrap().status.is_success());
        millis.push(now() - from);
    }
    millis.sort_by(f64::total_cmp);
    millis
}

/// One ticket committed: from the beginning of the insert's statement to the receipt of its webhook.
async fn served(db: &Client, url: &str, count: u64) -> Vec<f64> {
    let insert = db
        .prepare(
            "insert into tickets (title, description, location, category, priority, type, tenant_id)
               select 'Door', 'Squeaks', 'Lobby', 'Other', 'low', 'M', id from bench_tenant where place = $1 returning id",
        )
        .await
        .unwrap();
    let mut sent: HashMap<Uuid, f64> = HashMap::new();
    let began = Instant::now();
    for nth in 0..count {
        beat(began, nth).await;
        let from = now();
        let row = db
            .query_one(&insert, &[&i64::try_from(nth % 100).unwrap()])
            .await
            .unwrap();
        sent.insert(row.get(0), from);
    }
    let rows = db
        .query("select id::text, ticket_id from ticket_webhook_queue", &[])
        .await
        .unwrap();
    let tickets: HashMap<String, Uuid> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let receipts = loop {
        let receipts = ask(&format!("{url}/receipts")).await;
        if receipts.lines().count() as u64 >= count {
            break receipts;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let mut millis: Vec<f64> = receipts
        .lines()
        .map(|line| {
            let mut parts = line.split(' ');
            let (id, at) = (parts.next().unwrap(), parts.next().unwrap());
            at.parse::<f64>().unwrap() / 1e6 - sent[&tickets[id]]
        })
        .collect();
    millis.sort_by(f64::total_cmp);
    millis
}
