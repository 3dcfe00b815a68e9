//! Deliveries per second, beside the limits of this machine.

use std::time::{Duration, Instant};

use bytes::Bytes;
use dropwire::egress::{Egress, Policy};
use reqwest::header::HeaderMap;
use tokio::task::JoinSet;
use tokio_postgres::Client;
use uuid::Uuid;

use super::setting;
use super::stage::{Stage, ask, start_sink};

const TENANTS: u64 = 100;
/// Entries per ticket: one for its creation, the others comments.
const CHAIN: u64 = 4;

pub async fn measure(stage: &Stage) {
    let entries = setting("DELIVERIES", 60_000);
    let (sink, url) = start_sink();
    let served = deliver(stage, &url, entries).await;
    let posts = posts_alone(&url, entries).await;
    let sql = sql_alone(stage, entries).await;
    let limit = 1.0 / (1.0 / posts + 1.0 / sql);
    println!(
        "deliveries               {served:7.0} /s over {TENANTS} tenants, bodies verified (goal: 3000; the original: 107)"
    );
    println!(
        "the same POSTs alone     {posts:7.0} /s   deliveries reach {:.2} of it",
        served / posts
    );
    println!(
        "the same SQL alone       {sql:7.0} /s   deliveries reach {:.2} of it",
        served / sql
    );
    println!(
        "one after the other      {limit:7.0} /s   deliveries reach {:.2} of it",
        served / limit
    );
    drop(sink);
}

/// Throughput while an idle transaction keeps every dead row alive, beside throughput without.
pub async fn measure_with_snapshot(stage: &Stage) {
    let seconds = setting("SNAPSHOT_SECONDS", 600);
    let (sink, url) = start_sink();
    let without = deliver_for(stage, &url, seconds, false).await;
    let with = deliver_for(stage, &url, seconds, true).await;
    println!("{seconds} s of load            {without:7.0} /s");
    println!(
        "beside an old snapshot   {with:7.0} /s   costs {:.0} % (goal: under 20)",
        (1.0 - with / without) * 100.0
    );
    drop(sink);
}

/// Tickets with their entries, spread over the tenants.
async fn fill(db: &Client, url: &str, entries: u64) {
    let tickets = i64::try_from(entries / CHAIN).unwrap();
    db.batch_execute(&format!(
        "insert into tenants (name, email, automation_webhook_url)
           select 'T' || n, n || '@example.com', '{url}/' || n from generate_series(1, {TENANTS}) n;
         create table if not exists bench_tenant as select id, row_number() over () - 1 as place from tenants;"
    ))
    .await
    .unwrap();
    add(db, tickets).await;
    db.batch_execute("vacuum analyze").await.unwrap();
    db.batch_execute("checkpoint").await.unwrap();
}

async fn add(db: &Client, tickets: i64) {
    db.batch_execute(&format!(
        "begin;
         with ticket as (
           insert into tickets (title, description, location, category, priority, type, tenant_id)
             select 'Door', 'It squeaks when it opens, and when it closes', 'Lobby', 'Other', 'low', 'M', t.id
               from generate_series(1, {tickets}) n join bench_tenant t on t.place = n % {TENANTS}
           returning id)
         select id into temp table fresh from ticket;
         insert into ticket_activities (ticket_id, activity_type, comment, metadata)
           select f.id, 'admin_comment', f.id || ' ' || n, jsonb_build_object('n', n)
             from fresh f, generate_series(1, {CHAIN} - 1) n;
         drop table fresh;
         commit"
    ))
    .await
    .unwrap();
}

/// Serves until all entries have come; answers how many came per second, from the first to the last.
async fn deliver(stage: &Stage, url: &str, entries: u64) -> f64 {
    ask(&format!("{url}/forget")).await;
    let db = stage.database("bench_serve").await;
    fill(&db, url, entries).await;
    let process = stage.serve("bench_serve");
    let began = Instant::now();
    loop {
        let count: u64 = ask(&format!("{url}/count")).await.parse().unwrap();
        if count >= entries {
            break;
        }
        assert!(
            began.elapsed() < Duration::from_secs(600),
            "{count} of {entries} came"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let receipts = ask(&format!("{url}/receipts")).await;
    let times: Vec<f64> = receipts
        .lines()
        .map(|line| {
            let mut parts = line.split(' ');
            let (_, at, whole) = (parts.next(), parts.next().unwrap(), parts.next().unwrap());
            assert_eq!(whole, "true", "{line}");
            at.parse::<f64>().unwrap() / 1e9
        })
        .collect();
    let ids: std::collections::HashSet<&str> = receipts
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(ids.len() as u64, entries, "each came once");
    drop(process);
    #[expect(clippy::cast_precision_loss, reason = "small")]
    let rate = times.len() as f64 / (times[times.len() - 1] - times[0]);
    rate
}

/// Serves for so long, with entries added so that there is always something to send; answers the rate of the second half.
async fn deliver_for(stage: &Stage, url: &str, seconds: u64, snapshot: bool) -> f64 {
    ask(&format!("{url}/forget")).await;
    let db = stage.database("bench_serve").await;
    fill(&db, url, 20_000).await;
    let holder = stage.connect("bench_serve").await;
    if snapshot {
        holder
            .batch_execute("begin isolation level repeatable read; select count(*) from ticket_webhook_queue")
            .await
            .unwrap();
    }
    let process = stage.serve("bench_serve");
    let count = async || ask(&format!("{url}/count")).await.parse::<u64>().unwrap();
    let (mut queued, began) = (20_000, Instant::now());
    let mut half = None;
    while began.elapsed() < Duration::from_secs(seconds) {
        let came = count().await;
        if queued < came + 15_000 {
            add(&db, 1_000).await;
            queued += 1_000 * CHAIN;
        } else {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if half.is_none() && began.elapsed() > Duration::from_secs(seconds / 2) {
            half = Some((came, Instant::now()));
        }
    }
    let (from, since) = half.unwrap();
    #[expect(clippy::cast_precision_loss, reason = "small")]
    let rate = (count().await - from) as f64 / since.elapsed().as_secs_f64();
    drop(process);
    rate
}

/// The same bodies, as many at once, through the same client, and nothing else.
async fn posts_alone(url: &str, count: u64) -> f64 {
    let egress = Egress::new(Policy { allow_private: true });
    let body = Bytes::from(format!(
        r#"{{"ticket_id":"x","complainant":{{}},"filler":"{}","generated_at":"now"}}"#,
        "x".repeat(600)
    ));
    let mut tasks = JoinSet::new();
    let began = Instant::now();
    for worker in 0..256 {
        let (egress, body, url) = (
            egress.clone(),
            body.clone(),
            format!("{url}/{}", worker % TENANTS),
        );
        tasks.spawn(async move {
            for _ in 0..count / 256 {
                let answer = egress
                    .post_json(&url, HeaderMap::new(), body.clone(), Duration::from_secs(10))
                    .await;
                assert!(answer.unwrap().status.is_success());
            }
        });
    }
    tasks.join_all().await;
    #[expect(clippy::cast_precision_loss, reason = "small")]
    let rate = count as f64 / began.elapsed().as_secs_f64();
    rate
}

/// The same claims and records, by two connections that send nothing.
async fn sql_alone(stage: &Stage, entries: u64) -> f64 {
    let db = stage.database("bench_sql").await;
    fill(&db, "http://127.0.0.1:9", entries).await;
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..2 {
        let db = stage.connect("bench_sql").await;
        tasks.spawn(async move {
            let mut done = 0_u64;
            loop {
                let claim_id = Uuid::new_v4();
                let claim = "select id, ticket_id, tenant_id, payload
                               from dropwire.claim_webhooks(100, interval '1 min', $1, $2)";
                let rows = db.query(claim, &[&claim_id, &Uuid::new_v4()]).await.unwrap();
                if rows.is_empty() {
                    return done;
                }
                let mut batch: Vec<(Uuid, Uuid, Uuid, String)> =
                    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect();
                let mut token = claim_id;
                while !batch.is_empty() {
                    done += batch.len() as u64;
                    let column = |nth: usize| -> Vec<Uuid> {
                        batch.iter().map(|it| [it.0, it.1, it.2][nth]).collect()
                    };
                    let payloads: Vec<&str> = batch.iter().map(|it| it.3.as_str()).collect();
                    let tokens = vec![token; batch.len()];
                    let follow = Uuid::new_v4();
                    let record = "
                        select (r.next).id, (r.next).ticket_id, (r.next).tenant_id, (r.next).payload
                          from (select $1::uuid[] as ids, cardinality($1) as n) g,
                               dropwire.record_webhooks(
                                 $1, $2, array_fill('delivered'::text, array[g.n]), $3, array_fill(null::text, array[g.n]),
                                 array_fill(0::float8, array[g.n]), array_fill(null::float8, array[g.n]),
                                 array_fill(1, array[g.n]), $4, $5, array_fill(200, array[g.n]),
                                 array_fill(null::text, array[g.n]), array_fill(1, array[g.n]),
                                 array_fill('Accepted'::text, array[g.n]), array_fill(true, array[g.n]), $6,
                                 interval '1 min', 10, 3600) r";
                    let rows = db
                        .query(record, &[&column(0), &tokens, &payloads, &column(1), &column(2), &follow])
                        .await
                        .unwrap();
                    token = follow;
                    batch = rows
                        .iter()
                        .filter(|row| row.get::<_, Option<Uuid>>(0).is_some())
                        .map(|row| (row.get(0), row.get(1), row.get(2), row.get(3)))
                        .collect();
                }
            }
        });
    }
    let done: u64 = tasks.join_all().await.into_iter().sum();
    assert_eq!(done, entries);
    #[expect(clippy::cast_precision_loss, reason = "small")]
    let rate = entries as f64 / began.elapsed().as_secs_f64();
    rate
}
