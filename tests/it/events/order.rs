//! Per ticket, queue order is commit order, and the dispatcher sees nothing out of it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::support::TestSql;
use crate::support::outbox::{RECORD, RECORD_ALONE};

/// Numbers the activities in the order in which their transactions commit: a deferred trigger runs at the commit, and
/// the lock that it takes is given back when everybody sees what was committed.
const COMMIT_ORDER: &str = "
    create table commit_order (position bigint generated always as identity, activity_id uuid);
    create function note_commit() returns trigger language plpgsql as $$
    begin
      lock table commit_order in exclusive mode;
      insert into commit_order (activity_id) values (new.id);
      return null;
    end $$;
    create constraint trigger note_commit after insert on ticket_activities
      deferrable initially deferred for each row execute function note_commit()";

const WRITERS: usize = 12;
const TRANSACTIONS: usize = 8;

/// One writer's transactions: comments and changes of either ticket, with pauses in between.
async fn write(client: Client, writer: usize, tickets: [Uuid; 2]) {
    for transaction in 0..TRANSACTIONS {
        let ticket = tickets[(writer + transaction) % 2];
        let comment = format!(
            "insert into ticket_activities (ticket_id, activity_type) values ('{ticket}', 'admin_comment')"
        );
        let change = format!(
            "update tickets set priority = (array['low', 'medium', 'high'])[1 + floor(random() * 3)::int],
                                status = (array['open', 'resolved'])[1 + floor(random() * 2)::int] where id = '{ticket}'"
        );
        let pause = "select pg_sleep(random() * 0.004)";
        let (first, second) = if writer.is_multiple_of(2) {
            (&comment, &change)
        } else {
            (&change, &comment)
        };
        let statements = match transaction % 3 {
            0 => format!("begin; {pause}; {first}; {pause}; commit"),
            1 => format!("begin; {first}; {pause}; {second}; {pause}; commit"),
            _ => format!(
                "begin; {first}; {pause}; savepoint s; {second}; rollback to s; {pause}; {second}; commit"
            ),
        };
        client.batch_execute(&statements).await.unwrap();
    }
}

async fn undelivered(client: &Client) -> i64 {
    let query = "select count(*) from ticket_webhook_queue where status <> 'delivered'";
    client.query_one(query, &[]).await.unwrap().get(0)
}

/// Claims and completes what is due, following chains as the dispatcher does, and notes what it saw.
async fn dispatch(client: Client, writing: Arc<AtomicUsize>, seen: Arc<Mutex<Vec<Uuid>>>) {
    loop {
        let was_writing = writing.load(Ordering::Acquire) > 0;
        let claim_id = Uuid::new_v4();
        let claims = client
            .query(
                "select id from dropwire.claim_webhooks(3, interval '1 min', $1)",
                &[&claim_id],
            )
            .await
            .unwrap();
        for claim in &claims {
            let (mut id, mut claim_id): (Uuid, _) = (claim.get(0), claim_id);
            loop {
                seen.lock().unwrap().push(id);
                let follow = Uuid::new_v4();
                let row = client
                    .query_one(RECORD, &[&id, &claim_id, &"delivered", &follow])
                    .await
                    .unwrap();
                match row.get(0) {
                    "recorded" | "waiting" => {}
                    // A writer re-points the entry to its activity.
                    "busy" => {
                        seen.lock().unwrap().retain(|other| *other != id);
                        continue;
                    }
                    lost => panic!("{lost}"),
                }
                match row.get(1) {
                    Some(next) => (id, claim_id) = (next, follow),
                    None => break,
                }
            }
        }
        // Nothing to claim may also mean that the other one has it in hand at this moment.
        if claims.is_empty() && !was_writing && undelivered(&client).await == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn entries_follow_commit_order_under_concurrent_writers_and_so_does_the_dispatcher() {
    let sql = TestSql::start().await;
    sql.run(COMMIT_ORDER).await;
    let tickets = [sql.ticket(json!({})).await, sql.ticket(json!({})).await];
    sql.run("delete from ticket_webhook_queue").await;
    let writing = Arc::new(AtomicUsize::new(WRITERS));
    let seen = Arc::new(Mutex::new(Vec::new()));

    let mut tasks = Vec::new();
    for _ in 0..2 {
        tasks.push(tokio::spawn(dispatch(
            sql.connect().await,
            Arc::clone(&writing),
            Arc::clone(&seen),
        )));
    }
    for writer in 0..WRITERS {
        let (client, writing) = (sql.connect().await, Arc::clone(&writing));
        tasks.push(tokio::spawn(async move {
            write(client, writer, tickets).await;
            writing.fetch_sub(1, Ordering::AcqRel);
        }));
    }
    let ended = tokio::time::timeout(Duration::from_secs(60), join_all(tasks)).await;
    for task in ended.expect("entries are left that nobody can claim") {
        task.unwrap();
    }

    let in_order = |column: &str| {
        format!(
            "select array_agg(q.id order by {column}) from ticket_webhook_queue q
               join commit_order o on o.activity_id = q.activity_id where q.ticket_id = $1"
        )
    };
    let seen = seen.lock().unwrap().clone();
    for ticket in tickets {
        let by_commit: Vec<Uuid> = sql
            .owner
            .query_one(&in_order("o.position"), &[&ticket])
            .await
            .unwrap()
            .get(0);
        let by_seq: Vec<Uuid> = sql
            .owner
            .query_one(&in_order("q.seq"), &[&ticket])
            .await
            .unwrap()
            .get(0);
        assert!(by_commit.len() >= WRITERS * TRANSACTIONS / 2);
        assert_eq!(by_seq, by_commit, "queue order is commit order");
        let seen: Vec<_> = seen.iter().copied().filter(|id| by_commit.contains(id)).collect();
        assert_eq!(seen, by_commit, "each entry is seen once, in order");
    }
    let left = sql
        .value("select count(*)::text from ticket_webhook_queue where status <> 'delivered'")
        .await;
    assert_eq!(left.unwrap(), "0");
}

#[tokio::test]
async fn a_lone_claim_is_never_empty_while_committed_entries_are_due() {
    let sql = TestSql::start().await;
    let tickets = [sql.ticket(json!({})).await, sql.ticket(json!({})).await];
    let (client, sender) = (sql.connect().await, sql.connect().await);
    // Each writer is done before the claim begins, so that there is no lock to give way to.
    for writer in 0..WRITERS {
        write(sql.connect().await, writer, tickets).await;
        while undelivered(&client).await > 0 {
            let claimed = claim_and_deliver(&sender, 1).await;
            assert_eq!(claimed, 1, "nothing was claimed after writer {writer}");
        }
    }
}

/// Claims up to `limit` entries and delivers them without following their tickets; answers how many there were.
async fn claim_and_deliver(client: &Client, limit: i32) -> usize {
    let claim_id = Uuid::new_v4();
    let claims = client
        .query(
            "select id from dropwire.claim_webhooks($2, interval '1 min', $1)",
            &[&claim_id, &limit],
        )
        .await
        .unwrap();
    for claim in &claims {
        let id: Uuid = claim.get(0);
        let row = client
            .query_one(RECORD_ALONE, &[&id, &claim_id, &"delivered"])
            .await
            .unwrap();
        assert_eq!(row.get::<_, &str>(0), "recorded");
    }
    claims.len()
}

#[tokio::test]
async fn writers_of_one_ticket_take_turns_and_those_of_another_do_not_wait() {
    let sql = TestSql::start().await;
    let (ticket, other) = (sql.quiet_ticket(json!({})).await, sql.ticket(json!({})).await);
    let comment = |ticket: Uuid, text: &str| {
        format!(
            "insert into ticket_activities (ticket_id, activity_type, comment) values ('{ticket}', 'admin_comment', '{text}')"
        )
    };
    let (first, second) = (sql.connect().await, sql.connect().await);
    first
        .batch_execute(&format!("begin; {}", comment(ticket, "first")))
        .await
        .unwrap();

    second
        .batch_execute(&format!("set lock_timeout = '10 s'; {}", comment(other, "other")))
        .await
        .unwrap();
    let waiting = comment(ticket, "second");
    let waiting = tokio::spawn(async move { second.batch_execute(&waiting).await });
    sql.database.wait_for_lock().await;
    first
        .batch_execute(&format!("{}; commit", comment(ticket, "first again")))
        .await
        .unwrap();
    waiting.await.unwrap().unwrap();

    let order = format!(
        "select a.comment from ticket_webhook_queue q join ticket_activities a on a.id = q.activity_id
          where q.ticket_id = '{ticket}' order by q.seq"
    );
    assert_eq!(
        sql.rows(&order).await,
        json!([{"comment": "first"}, {"comment": "first again"}, {"comment": "second"}])
    );
}

#[tokio::test]
async fn a_completed_entry_does_not_wait_for_a_next_one_that_somebody_holds() {
    let sql = TestSql::start().await;
    let ticket = sql.ticket(json!({})).await;
    sql.run("update tickets set status = 'resolved'").await;
    let claim = Uuid::new_v4();
    let claimed = "select id from dropwire.claim_webhooks(1, interval '1 min', $1)";
    let head: Uuid = sql.owner.query_one(claimed, &[&claim]).await.unwrap().get(0);
    let holder = sql.connect().await;
    let hold = format!(
        "begin; select from ticket_webhook_queue where ticket_id = '{ticket}' and seq = 2 for update"
    );
    holder.batch_execute(&hold).await.unwrap();

    sql.run("set lock_timeout = '5 s'").await;
    let row = sql
        .owner
        .query_one(RECORD, &[&head, &claim, &"delivered", &Uuid::new_v4()])
        .await
        .unwrap();
    assert_eq!(
        (row.get::<_, &str>(0), row.get::<_, Option<Uuid>>(1)),
        ("recorded", None)
    );

    holder.batch_execute("commit").await.unwrap();
    assert_eq!(
        sql.owner.query(claimed, &[&claim]).await.unwrap().len(),
        1,
        "the next claim takes it"
    );
}
