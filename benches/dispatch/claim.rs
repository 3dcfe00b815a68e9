//! What a claim of 100 costs, and that it does not grow with what waits.

use std::time::Instant;

use tokio_postgres::Client;
use uuid::Uuid;

use super::{percentile, setting, stage::Stage};

const TENANTS: u64 = 1_000;

pub async fn measure(stage: &Stage) {
    let entries = setting("ENTRIES", 1_000_000);
    let mut medians = Vec::new();
    for count in [1_000.min(entries), entries] {
        let db = stage.database("bench_claim").await;
        fill(&db, count).await;
        // In turns of claiming and handing back, so that there is always as much to claim.
        let rounds = setting("CLAIMS", 200);
        let mut millis = Vec::new();
        for round in 0..rounds + 20 {
            let claim_id = Uuid::new_v4();
            let began = Instant::now();
            let sql = "select id from dropwire.claim_webhooks(100, interval '1 min', $1, $2)";
            let rows = db.query(sql, &[&claim_id, &Uuid::new_v4()]).await.unwrap();
            if round >= 20 {
                millis.push(began.elapsed().as_secs_f64() * 1000.0);
            }
            let ids: Vec<Uuid> = rows.iter().map(|row| row.get(0)).collect();
            assert_eq!(ids.len(), 100);
            let tokens = vec![claim_id; ids.len()];
            db.query_one("select dropwire.release_webhooks($1, $2)", &[&ids, &tokens])
                .await
                .unwrap();
        }
        millis.sort_by(f64::total_cmp);
        let (p50, p99) = (percentile(&millis, 0.5), percentile(&millis, 0.99));
        println!(
            "claim of 100, {count:>9} entries: p50 {p50:6.2} ms  p99 {p99:6.2} ms (goal for the most: 10)"
        );
        medians.push(p50);
    }
    println!(
        "claim, most entries / fewest: {:.2} (goal: at most 1.30)",
        medians[1] / medians[0]
    );
}

/// Nine of ten entries stand behind a head that failed and is due in an hour: ten each. The others are due, five each.
async fn fill(db: &Client, count: u64) {
    let count = i64::try_from(count).unwrap();
    let tenants = i64::try_from(TENANTS).unwrap();
    let (dead, live) = (count * 9 / 100, (count / 50).max(200));
    db.batch_execute(&format!(
        "insert into tenants (name, email, automation_webhook_url)
           select 'T' || n, n || '@example.com', 'http://127.0.0.1:9/' || n from generate_series(1, {tenants}) n;
         create temp table tenant as select id, row_number() over () - 1 as place from tenants;
         alter table tickets disable trigger user;
         insert into tickets (title, description, location, category, priority, type, tenant_id, ticket_number)
           select 'Door', 'Squeaks', 'Lobby', 'Other', 'low', case when n <= {dead} then 'dead' else 'live' end, t.id, 'B-' || n
             from generate_series(1, {dead} + {live}) n join tenant t on t.place = n % {tenants};
         alter table tickets enable trigger user;
         insert into ticket_webhook_queue (ticket_id, tenant_id, status, attempt_count, next_attempt_at)
           select id, tenant_id, 'failed', 3, now() + interval '1 hour' from tickets where type = 'dead';
         insert into ticket_webhook_queue (ticket_id, tenant_id)
           select id, tenant_id from tickets, generate_series(1, 9) n where type = 'dead';
         insert into ticket_webhook_queue (ticket_id, tenant_id)
           select id, tenant_id from tickets, generate_series(1, 5) n where type = 'live';"
    ))
    .await
    .unwrap();
    db.batch_execute("vacuum analyze").await.unwrap();
    db.batch_execute("checkpoint").await.unwrap();
}
