//! The world of the model: the database, two dispatchers, and a receiver that holds them to the promises.

use std::collections::{HashMap, HashSet};

use tokio_postgres::Client;
use uuid::Uuid;

use crate::support::cluster::TestDatabase;
use crate::support::outbox::RECORD;

/// Longer than any [`Step::Pass`] but the last two.
const LEASE_SECS: u32 = 60;

/// What the receiver says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Accepted,
    Failed,
    Gone,
}

/// One thing that happens.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// A change of the ticket of that number.
    Enqueue(usize),
    Claim {
        who: usize,
        limit: i32,
    },
    /// A dispatcher sends the oldest of its claims that it has not sent.
    Send {
        who: usize,
        answer: Answer,
    },
    /// A dispatcher records the oldest of its answers.
    Record {
        who: usize,
        follow: bool,
    },
    /// A dispatcher forgets everything.
    Crash(usize),
    /// Seconds pass.
    Pass(u32),
    /// An operator gives the oldest undelivered entry up.
    Skip,
    /// An operator sends the oldest entry again.
    Replay,
}

/// What the original did, put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    /// Q1: the column is not null, the error is ignored.
    DeliveryCannotBeRecorded,
    /// Q2: no lease.
    ClaimsLastForEver,
    /// Q3: any due entry, not the ticket's oldest.
    EveryDueEntryIsClaimed,
    /// Q4: by `created_at` alone.
    TiesHaveNoOrder,
    /// Q7: 410 is tried again like any other failure.
    GoneIsOnlyAFailure,
    /// Outcomes are written without comparing the claim id.
    StaleRecordsCount,
}

/// A claim in a dispatcher's hands.
#[derive(Debug, Clone)]
struct Held {
    entry: Uuid,
    token: Uuid,
    ticket: Uuid,
    until: u64,
    answer: Option<Answer>,
}

/// What the receiver and the clock know.
#[derive(Default)]
struct Seen {
    now: u64,
    held: [Vec<Held>; 2],
    /// Entries per ticket in order.
    queued: HashMap<Uuid, Vec<Uuid>>,
    accepted: HashSet<Uuid>,
    skipped: HashSet<Uuid>,
    /// Accepted entries whose dispatcher crashed, or overslept, before it had recorded them; and replayed ones.
    may_repeat: HashSet<Uuid>,
    /// Until when nobody may call, as recorded.
    gone_until: Option<u64>,
}

pub struct World {
    db: Client,
    defect: Option<Defect>,
}

type Played = Result<(), String>;

impl World {
    pub async fn new(database: TestDatabase, defect: Option<Defect>) -> Self {
        let db = database.target().connect().await.unwrap();
        db.batch_execute(
            "set synchronous_commit = off;
             insert into tenants (name, email, automation_webhook_url) values ('T', 't@example.com', 'https://example.com')",
        )
        .await
        .unwrap();
        if defect == Some(Defect::DeliveryCannotBeRecorded) {
            let sql = "alter table ticket_webhook_queue alter next_attempt_at set not null";
            db.batch_execute(sql).await.unwrap();
        }
        Self { db, defect }
    }

    /// Plays a history from a clean start, and then sees to it that everything arrives.
    pub async fn play(&self, steps: &[Step]) -> Played {
        self.db
            .batch_execute(
                "delete from tickets;
                 update dropwire.webhook_endpoints set state = 'open', failures = 0, failed_probes = 0, probing = false,
                        next_probe_at = null, not_before = null, closed_at = null",
            )
            .await
            .unwrap();
        let sql = "insert into tickets (title, description, location, category, priority, type, tenant_id)
                   select 'T', 'D', 'L', 'Other', 'low', 'M', t.id from tenants t, generate_series(1, 3) returning id";
        let tickets: Vec<Uuid> = self
            .db
            .query(sql, &[])
            .await
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect();
        self.db
            .batch_execute("delete from ticket_webhook_queue")
            .await
            .unwrap();
        let mut seen = Seen::default();
        for step in steps {
            self.step(&mut seen, &tickets, *step).await?;
        }
        self.settle(&mut seen).await
    }

    async fn step(&self, seen: &mut Seen, tickets: &[Uuid], step: Step) -> Played {
        match step {
            Step::Enqueue(nth) => self.enqueue(seen, tickets[nth]).await,
            Step::Claim { who, limit } => self.claim(seen, who, limit).await?,
            Step::Send { who, answer } => self.send(seen, who, answer)?,
            Step::Record { who, follow } => self.record(seen, who, follow).await?,
            Step::Crash(who) => {
                for held in std::mem::take(&mut seen.held[who]) {
                    if held.answer == Some(Answer::Accepted) {
                        seen.may_repeat.insert(held.entry);
                    }
                }
            }
            Step::Pass(secs) => self.pass(seen, secs).await,
            Step::Skip => self.skip(seen).await,
            Step::Replay => self.replay(seen).await,
        }
        Ok(())
    }

    async fn enqueue(&self, seen: &mut Seen, ticket: Uuid) {
        // Two at once: of one time, so that only seq tells them apart.
        let sql = "insert into ticket_webhook_queue (ticket_id, tenant_id)
                   select t.id, t.tenant_id from tickets t, generate_series(1, 2) where t.id = $1 returning id, seq";
        let mut rows: Vec<(i64, Uuid)> = self
            .db
            .query(sql, &[&ticket])
            .await
            .unwrap()
            .iter()
            .map(|row| (row.get(1), row.get(0)))
            .collect();
        rows.sort_unstable();
        seen.queued
            .entry(ticket)
            .or_default()
            .extend(rows.into_iter().map(|(_, id)| id));
    }

    async fn claim(&self, seen: &mut Seen, who: usize, limit: i32) -> Played {
        let token = Uuid::new_v4();
        let lease = match self.defect {
            Some(Defect::ClaimsLastForEver) => 1_000_000_000,
            _ => LEASE_SECS,
        };
        let sql = match self.defect {
            Some(Defect::EveryDueEntryIsClaimed) => ORIGINAL_CLAIM,
            Some(Defect::TiesHaveNoOrder) => UNORDERED_CLAIM,
            _ => "select id, ticket_id from dropwire.claim_webhooks($1, make_interval(secs => $2), $3)",
        };
        let rows = self
            .db
            .query(sql, &[&limit, &f64::from(lease), &token])
            .await
            .unwrap();
        for row in rows {
            let (entry, ticket): (Uuid, Uuid) = (row.get(0), row.get(1));
            self.take(seen, who, entry, ticket, token)?;
        }
        Ok(())
    }

    /// A dispatcher gets an entry.
    #[expect(clippy::unused_self, reason = "beside its kin")]
    fn take(&self, seen: &mut Seen, who: usize, entry: Uuid, ticket: Uuid, token: Uuid) -> Played {
        let now = seen.now;
        let in_flight = seen
            .held
            .iter()
            .flatten()
            .any(|held| held.ticket == ticket && held.until > now);
        if in_flight {
            return Err("two of a ticket are under way at once".to_owned());
        }
        if seen.gone_until.is_some_and(|until| now < until) {
            return Err("the endpoint is gone, and called on".to_owned());
        }
        seen.held[who].push(Held {
            entry,
            token,
            ticket,
            until: now + u64::from(LEASE_SECS),
            answer: None,
        });
        Ok(())
    }

    #[expect(clippy::unused_self, reason = "beside its kin")]
    fn send(&self, seen: &mut Seen, who: usize, answer: Answer) -> Played {
        let now = seen.now;
        // An attempt ends before its lease does: one that did not begin in time is not made.
        let next = seen.held[who]
            .iter_mut()
            .find(|held| held.answer.is_none() && held.until > now);
        let Some(held) = next else { return Ok(()) };
        held.answer = Some(answer);
        let (entry, ticket) = (held.entry, held.ticket);
        let earlier = seen.queued[&ticket].iter().take_while(|id| **id != entry);
        if let Some(missed) = earlier
            .into_iter()
            .find(|id| !seen.accepted.contains(id) && !seen.skipped.contains(id))
        {
            return Err(format!("{entry} came before {missed}"));
        }
        if seen.accepted.contains(&entry) && !seen.may_repeat.contains(&entry) {
            return Err(format!("{entry} came again"));
        }
        if answer == Answer::Accepted {
            seen.accepted.insert(entry);
            seen.may_repeat.remove(&entry);
        }
        Ok(())
    }

    async fn record(&self, seen: &mut Seen, who: usize, follow: bool) -> Played {
        let Some(at) = seen.held[who].iter().position(|held| held.answer.is_some()) else {
            return Ok(());
        };
        let held = seen.held[who].remove(at);
        let answer = held.answer.unwrap();
        let result = match answer {
            Answer::Accepted => "delivered",
            Answer::Gone if self.defect != Some(Defect::GoneIsOnlyAFailure) => "gone",
            Answer::Gone | Answer::Failed => "failed",
        };
        let mut token = held.token;
        if self.defect == Some(Defect::StaleRecordsCount) {
            let sql = "update ticket_webhook_queue set status = 'processing', lease_expires_at = now(), claim_id = $2
                        where id = $1";
            token = Uuid::new_v4();
            self.db.execute(sql, &[&held.entry, &token]).await.unwrap();
        }
        let follow_token = Uuid::new_v4();
        let sql = if follow {
            RECORD.to_owned()
        } else {
            RECORD.replace("array[true]", "array[false]")
        };
        let row = match self
            .db
            .query_one(&sql, &[&held.entry, &token, &result, &follow_token])
            .await
        {
            Ok(row) => row,
            // The original ignored it.
            Err(_) if self.defect == Some(Defect::DeliveryCannotBeRecorded) => return Ok(()),
            Err(error) => panic!("{error:?}"),
        };
        let is_recorded = matches!(row.get(0), "recorded" | "waiting");
        if is_recorded {
            match answer {
                Answer::Accepted => seen.gone_until = None,
                Answer::Gone => seen.gone_until = Some(seen.now + 3_600),
                Answer::Failed => {}
            }
        } else if answer == Answer::Accepted {
            // Overslept: somebody else has it, and may send it again.
            seen.may_repeat.insert(held.entry);
        }
        if let Some(next) = row.get::<_, Option<Uuid>>(1) {
            self.take(seen, who, next, held.ticket, follow_token)?;
        }
        Ok(())
    }

    async fn pass(&self, seen: &mut Seen, secs: u32) {
        let sql = format!(
            "begin; set local dropwire.dispatcher = 'on';
             update dropwire.webhook_heads set due_at = due_at - interval '{secs} s';
             update ticket_webhook_queue set next_attempt_at = next_attempt_at - interval '{secs} s',
                    lease_expires_at = lease_expires_at - interval '{secs} s';
             update dropwire.webhook_endpoints set next_probe_at = next_probe_at - interval '{secs} s';
             commit"
        );
        self.db.batch_execute(&sql).await.unwrap();
        seen.now += u64::from(secs);
        let now = seen.now;
        let overslept = seen
            .held
            .iter()
            .flatten()
            .filter(|held| held.until <= now && held.answer == Some(Answer::Accepted));
        seen.may_repeat.extend(overslept.map(|held| held.entry));
    }

    async fn skip(&self, seen: &mut Seen) {
        let sql =
            "select id from ticket_webhook_queue where status in ('pending', 'failed') order by seq limit 1";
        if let Some(row) = self.db.query_opt(sql, &[]).await.unwrap() {
            let id: Uuid = row.get(0);
            match self.db.query_one("select skip_webhook($1)", &[&id]).await {
                Ok(_) => drop(seen.skipped.insert(id)),
                Err(_) if self.defect == Some(Defect::DeliveryCannotBeRecorded) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    async fn replay(&self, seen: &mut Seen) {
        let sql = "select id from ticket_webhook_queue order by seq limit 1";
        if let Some(row) = self.db.query_opt(sql, &[]).await.unwrap() {
            let id: Uuid = row.get(0);
            let replayed = self
                .db
                .query_one("select replay_webhook($1)", &[&id])
                .await
                .unwrap();
            if replayed.get(0) {
                seen.may_repeat.insert(id);
            }
        }
    }

    /// Everybody behaves from now on: whatever is queued arrives.
    async fn settle(&self, seen: &mut Seen) -> Played {
        for who in 0..2 {
            while seen.held[who].iter().any(|held| held.answer.is_some()) {
                self.record(seen, who, false).await?;
            }
            self.step(seen, &[], Step::Crash(who)).await?;
        }
        for _ in 0..40 {
            self.pass(seen, 4_000).await;
            for _ in 0..8 {
                self.claim(seen, 0, 10).await?;
                if seen.held[0].is_empty() {
                    break;
                }
                while !seen.held[0].is_empty() {
                    self.send(seen, 0, Answer::Accepted)?;
                    self.record(seen, 0, true).await?;
                }
            }
            let left = "select count(*) from ticket_webhook_queue where status <> 'delivered'";
            if self.db.query_one(left, &[]).await.unwrap().get::<_, i64>(0) == 0 {
                break;
            }
        }
        let all = seen.queued.values().flatten();
        let lost = all
            .filter(|id| !seen.accepted.contains(id) && !seen.skipped.contains(id))
            .count();
        let left = "select count(*) from ticket_webhook_queue where status <> 'delivered'";
        let left: i64 = self.db.query_one(left, &[]).await.unwrap().get(0);
        let heads = "select count(*) from dropwire.webhook_heads";
        let heads: i64 = self.db.query_one(heads, &[]).await.unwrap().get(0);
        if lost > 0 || left > 0 {
            return Err(format!("{lost} entries never came, {left} stays undelivered"));
        }
        if heads > 0 {
            return Err(format!("{heads} heads are left over"));
        }
        Ok(())
    }
}

/// As the original chose: what is due, oldest first, whatever its ticket.
const ORIGINAL_CLAIM: &str = "
    with due as (
      select id from ticket_webhook_queue
       where status in ('pending', 'failed') and next_attempt_at <= now()
          or status = 'processing' and lease_expires_at <= now()
       order by created_at, seq limit $1::int for update skip locked)
    update ticket_webhook_queue q
       set status = 'processing', attempt_count = attempt_count + 1, claim_id = $3,
           lease_expires_at = now() + make_interval(secs => $2)
      from due where q.id = due.id returning q.id, q.ticket_id";

/// One per ticket, but by a time that two may share.
const UNORDERED_CLAIM: &str = "
    with due as (
      select q.id from ticket_webhook_queue q
       where (q.status in ('pending', 'failed') and q.next_attempt_at <= now()
          or q.status = 'processing' and q.lease_expires_at <= now())
         and q.id = (select e.id from ticket_webhook_queue e
                      where e.ticket_id = q.ticket_id and dropwire.is_undelivered(e) order by e.created_at, e.id limit 1)
       limit $1::int for update skip locked)
    update ticket_webhook_queue q
       set status = 'processing', attempt_count = attempt_count + 1, claim_id = $3,
           lease_expires_at = now() + make_interval(secs => $2)
      from due where q.id = due.id returning q.id, q.ticket_id";
