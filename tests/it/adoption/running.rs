//! An adopted database at work: ticket numbers, tickets from Make, webhooks, replay.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Value, json};
use tokio_postgres::Client;

use super::{ACME, DATA, LABS, adopted, assert_says, original, run, value};
use crate::support::app::ticket;
use crate::support::program;
use crate::support::{Sink, TestApp};

/// A ticket of the tenant as psql inserts it; answers the number it got.
pub async fn new_number(db: &Client, tenant: Option<&str>) -> String {
    let insert = "insert into tickets (title, description, category, priority, type, location, tenant_id)
                  values ('t', 'd', 'HVAC', 'low', 'Maintenance', 'Hall', $1::text::uuid) returning ticket_number";
    db.query_one(insert, &[&tenant]).await.unwrap().get(0)
}

#[tokio::test]
async fn ticket_numbers_go_on_in_their_form_unique_over_tenants_and_writers() {
    let (database, db, _report) = adopted(DATA).await;
    assert_eq!(new_number(&db, Some(ACME)).await, "FMS-ACM-10000", "never cut");
    assert_eq!(
        new_number(&db, Some(LABS)).await,
        "FMS-ACM-10001",
        "two tenants, one prefix"
    );
    assert_eq!(new_number(&db, None).await, "FMS-DEF-0011");
    run(
        &db,
        "insert into tenants (id, name, email) values ('a0000000-0000-4000-8000-000000000009', 'Öl & K7', 'k@example.com')",
    )
    .await;
    let new = Some("a0000000-0000-4000-8000-000000000009");
    assert_eq!(new_number(&db, new).await, "FMS-K7X-0001", "a prefix of later");
    // A number that a client gave is stepped over, and so is one that is none.
    run(
        &db,
        "update tickets set ticket_number = 'FMS-K7X-0002' where ticket_number = 'FMS-ACM-0001';
         update tickets set ticket_number = 'FMS-K7X-NEW' where ticket_number = 'FMS-ACM-0002'",
    )
    .await;
    assert_eq!(new_number(&db, new).await, "FMS-K7X-0003");

    // An open transaction holds nobody up.
    let slow = database.target().connect().await.unwrap();
    run(&slow, "begin").await;
    new_number(&slow, Some(ACME)).await;
    let mut numbers = HashSet::new();
    let writers = (0..8).map(|writer| {
        let target = database.target();
        tokio::spawn(async move {
            let db = target.connect().await.unwrap();
            let mut numbers = Vec::new();
            for n in 0..25 {
                // A tenant each, and the first use of a prefix all at once.
                let name = format!("QQ{}", n % 5);
                let insert = "with n as (insert into tenants (name, email) values ($1, gen_random_uuid()::text) returning id)
                              select id::text from n";
                let tenant: String = db.query_one(insert, &[&name]).await.unwrap().get(0);
                numbers.push(new_number(&db, Some(&tenant)).await);
                numbers.push(new_number(&db, Some([ACME, LABS][writer % 2])).await);
            }
            numbers
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        numbers.extend(writer.await.unwrap());
    }
    assert_eq!(numbers.len(), 8 * 50);
    run(&slow, "rollback").await;
}

#[tokio::test]
async fn a_database_that_counted_tkt_goes_on_with_it() {
    let (_database, db, report) = adopted(
        "insert into tickets (ticket_number, title, description, category, priority, type, location)
         values ('TKT-1234', 't', 'd', 'c', 'low', 'x', 'y'), ('TKT-1001', 't', 'd', 'c', 'low', 'x', 'y')",
    )
    .await;
    assert_says(&report, &["new ones keep the form TKT-<number>, next: TKT-1235"]);
    assert_eq!(new_number(&db, None).await, "TKT-1235");
}

#[tokio::test]
async fn the_main_job_runs_on_an_adopted_database() {
    let (database, _db, _report) = adopted(DATA).await;
    let app = TestApp::on(database, &[("TICKET_ACTIVITY_WEBHOOK_BATCH", "500")]).await;
    let sink = Sink::start().await;
    app.db
        .execute(
            "update tenants set automation_webhook_url = $1 where id = $2::text::uuid",
            &[&sink.url, &ACME],
        )
        .await
        .unwrap();

    let answer = app
        .call(
            "telegram-webhook",
            dropwire::dev::ANON_KEY,
            &ticket(&json!({"tenant_id": ACME, "chat_id": "1001", "priority": "low"})),
        )
        .await;
    let (status, body) = answer.pair();
    assert_eq!((status, &body["ticket_number"]), (200, &json!("FMS-ACM-10000")));
    app.drain().await;

    // What was waiting: tickets 29 and 31 to 40 whole. 26 to 28 wait for the lease of their first entry.
    let received = sink.received();
    let of_new: Vec<_> = received
        .iter()
        .filter(|webhook| webhook.body["ticket_id"] == body["ticket_id"])
        .map(|webhook| {
            (
                webhook.body["priority"].clone(),
                webhook.body["latest_activity"]["type"].clone(),
            )
        })
        .collect();
    assert_eq!(
        of_new,
        [
            (json!("critical"), Value::Null),
            (json!("critical"), json!("priority_change")),
            (json!("critical"), json!("reassignment"))
        ],
        "the adopted rule ran, the default executor got the ticket, and Make hears of all"
    );
    let mut comments: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let waiting = received
        .iter()
        .filter(|webhook| webhook.body["ticket_id"] != body["ticket_id"]);
    for webhook in waiting {
        if let Some(comment) = webhook.body["latest_activity"]["comment"].as_str() {
            let number = webhook.body["ticket_number"].as_str().unwrap().to_owned();
            comments.entry(number).or_default().push(comment.to_owned());
        }
    }
    assert_eq!(comments.len(), 11);
    for (number, comments) in &comments {
        let n: u32 = number.rsplit('-').next().unwrap().parse().unwrap();
        assert_eq!(comments[0], format!("{n}.1"), "{number}: oldest first");
        assert_eq!(comments.len(), 3, "{number}");
    }

    // The lease of those on their way ends: they come back, in order.
    sink.clear();
    app.db
        .batch_execute("update ticket_webhook_queue set lease_expires_at = now() where status = 'processing'")
        .await
        .unwrap();
    app.drain_all().await;
    assert_eq!(sink.received().len(), 9);
    app.stop().await;
}

#[tokio::test]
async fn replay_sends_what_may_have_been_lost_once_more_and_in_order() {
    let (database, db) = original(DATA).await;
    let url = database.url();
    let variables = [("DATABASE_URL", url.as_str()), ("RUST_LOG", "error")];
    let migrated = program::run(&["migrate"], &variables).await;
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    assert_says(
        &migrated.stdout,
        &[
            "applied 0002_tables.sql",
            "adopted the original's database; no row was removed",
            "resend: dropwire replay --adopted [--since 2026-01-31T00:00:00Z]",
        ],
    );

    let refused = program::run(&["replay"], &variables).await;
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    let since = value(
        &db,
        "select to_char(updated_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') from ticket_webhook_queue
          where last_error = 'adopted: outcome unknown' order by seq desc limit 1",
    )
    .await;
    let some = program::run(&["replay", "--adopted", "--since", &since], &variables).await;
    assert_eq!(some.code, Some(0), "{}", some.stderr);
    // Two of one instant.
    assert_eq!(
        some.stdout,
        "2 webhook entries are due again; the dispatcher sends them\n"
    );
    let all = program::run(&["replay", "--adopted"], &variables).await;
    assert_eq!(
        all.stdout,
        "73 webhook entries are due again; the dispatcher sends them\n"
    );
    let none = program::run(&["replay", "--adopted"], &variables).await;
    assert_eq!(
        none.stdout,
        "0 webhook entries are due again; the dispatcher sends them\n"
    );

    let app = TestApp::on(database, &[("TICKET_ACTIVITY_WEBHOOK_BATCH", "500")]).await;
    let sink = Sink::start().await;
    app.db
        .execute("update tenants set automation_webhook_url = $1", &[&sink.url])
        .await
        .unwrap();
    app.drain().await;
    let replayed: Vec<_> = sink
        .received()
        .iter()
        .filter(|webhook| webhook.body["ticket_number"] == "FMS-ACM-0007")
        .map(|webhook| {
            webhook.body["latest_activity"]["comment"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(replayed.len(), 3);
    assert_eq!(replayed[0], "7.1");

    // Who is not the server's does not replay.
    for role in ["anon", "authenticated"] {
        let refused = app
            .db
            .batch_execute(&format!("set role {role}; select replay_adopted_webhooks()"))
            .await
            .unwrap_err();
        assert_eq!(refused.code().unwrap().code(), "42501");
        app.db.batch_execute("reset role").await.unwrap();
    }
    app.stop().await;
}
