//! Whether what came is what had to come.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use tokio_postgres::Client;

use super::events::{Event, Happened};
use super::sink::Request;

/// A claim as `log.sql` has it.
#[derive(Debug, Clone)]
struct Claim {
    dispatcher: String,
    at: DateTime<Utc>,
    /// Which life of the database server it was in.
    server: String,
    /// What was recorded of it, and the error; `None` when nothing was.
    recorded: Option<(String, Option<String>)>,
}

/// A promise that was not kept.
#[derive(Debug)]
pub struct Wrong {
    pub what: String,
    /// Whose doing it was, where that is known.
    pub dispatcher: Option<String>,
}

impl From<String> for Wrong {
    fn from(what: String) -> Self {
        Self {
            what,
            dispatcher: None,
        }
    }
}

/// Checks all that was promised; answers a line of figures, or what is wrong.
pub async fn check(db: &Client, requests: &[Request], events: &[Happened]) -> Result<String, Wrong> {
    let sql = "select id::text, ticket_id::text from ticket_webhook_queue order by seq";
    let rows = db.query(sql, &[]).await.unwrap();
    let mut by_ticket: HashMap<String, Vec<String>> = HashMap::new();
    for row in &rows {
        by_ticket.entry(row.get(1)).or_default().push(row.get(0));
    }
    let activities = "select count(*) from ticket_activities a
                       where not exists (select from ticket_webhook_queue q where q.activity_id = a.id)";
    let unqueued: i64 = db.query_one(activities, &[]).await.unwrap().get(0);
    if unqueued > 0 {
        return Err(format!("{unqueued} changes were never queued").into());
    }
    let claims = claims(db).await;
    let mut repeated = 0;
    for (ticket, entries) in &by_ticket {
        let came: Vec<&Request> = requests
            .iter()
            .filter(|request| &request.ticket == ticket)
            .collect();
        repeated += check_ticket(ticket, entries, &came, &claims, events)?;
    }
    let count = |wanted: fn(&Event) -> bool| events.iter().filter(|(event, _)| wanted(event)).count();
    Ok(format!(
        "{} entries of {} tickets in {} requests; {} dispatchers and {} databases killed, {} cuts, {} jumps; {repeated} came again",
        rows.len(),
        by_ticket.len(),
        requests.len(),
        count(|event| matches!(event, Event::DispatcherKilled(_))),
        count(|event| matches!(event, Event::DatabaseKilled)),
        count(|event| matches!(event, Event::Cut)),
        count(|event| matches!(event, Event::Forward | Event::Back)),
    ))
}

/// The claims of each entry, in their order.
async fn claims(db: &Client) -> HashMap<String, Vec<Claim>> {
    let sql = "select entry_id::text, dispatcher, claimed_at, status, error, server from chaos_claims order by claimed_at";
    let mut claims: HashMap<String, Vec<Claim>> = HashMap::new();
    for row in db.query(sql, &[]).await.unwrap() {
        claims.entry(row.get(0)).or_default().push(Claim {
            dispatcher: row.get(1),
            at: row.get(2),
            recorded: row.get::<_, Option<_>>(3).map(|status| (status, row.get(4))),
            server: row.get(5),
        });
    }
    claims
}

/// One ticket: each entry accepted, none before its predecessor; answers how often one came again after it was accepted.
fn check_ticket(
    ticket: &str,
    entries: &[String],
    came: &[&Request],
    claims: &HashMap<String, Vec<Claim>>,
    events: &[Happened],
) -> Result<usize, Wrong> {
    let places: HashMap<&str, usize> = entries
        .iter()
        .enumerate()
        .map(|(at, id)| (id.as_str(), at))
        .collect();
    let mut told: HashSet<usize> = HashSet::new();
    let mut repeated = 0;
    for (nth, request) in came.iter().enumerate() {
        let id = request.webhook_id.as_str();
        let Some(&place) = places.get(id) else {
            return Err(format!("{id} of ticket {ticket} is not in the queue").into());
        };
        // Sent only once the one before is accepted, and not merely tried.
        if let Some(before) = place.checked_sub(1).filter(|before| !told.contains(before)) {
            return Err(
                format!("entry {place} of ticket {ticket} came before entry {before} was accepted").into(),
            );
        }
        if told.contains(&place) {
            repeated += 1;
            for earlier in came[..nth].iter().filter(|r| r.webhook_id == id && r.told) {
                excuse(earlier.came, request.came, &claims[id], events).map_err(|wrong| Wrong {
                    what: format!("entry {id} of ticket {ticket} came again: {}", wrong.what),
                    ..wrong
                })?;
            }
        }
        if request.told {
            told.insert(place);
        }
    }
    if told.len() < entries.len() {
        return Err(format!(
            "{} of {} entries of ticket {ticket} were accepted",
            told.len(),
            entries.len()
        )
        .into());
    }
    Ok(repeated)
}

/// Why an entry that was accepted when it came at `first` may come once more at `again`; an error when it may not.
///
/// It may when the one that sent it was killed before the outcome was written, when the database was killed meanwhile,
/// or when the clock went back and took the lease with it; and when the sender had given up before the answer came. That
/// connections are cut, or that something else was killed, is no reason.
fn excuse(
    first: DateTime<Utc>,
    again: DateTime<Utc>,
    claims: &[Claim],
    events: &[Happened],
) -> Result<(), Wrong> {
    let Some(nth) = claims.iter().rposition(|claim| claim.at <= first) else {
        return Err("it was sent without a claim".to_owned().into());
    };
    let claim = &claims[nth];
    let next = claims.get(nth + 1);
    let until = next.map_or(again, |next| next.at);
    match &claim.recorded {
        Some((status, Some(error))) if status == "failed" && error.contains("did not answer within") => {
            return Ok(());
        }
        Some((status, error)) => return Err(format!("it was recorded as {status} ({error:?})").into()),
        // A killed server's backends live on for a moment: a kill's time says less than whose claims these are.
        None if next.is_some_and(|next| next.server != claim.server) => return Ok(()),
        None => {}
    }
    let meanwhile: Vec<&Happened> = events
        .iter()
        .filter(|(_, at)| (claim.at..=until).contains(at))
        .collect();
    let explains = |event: &Event| match event {
        Event::Back => true,
        Event::DispatcherKilled(number) => claim.dispatcher == number.to_string(),
        Event::DatabaseKilled | Event::Cut | Event::Forward => false,
    };
    if meanwhile.iter().any(|(event, _)| explains(event)) {
        return Ok(());
    }
    Err(Wrong {
        what: format!(
            "dispatcher {} claimed it at {}, it came at {first}, nothing was recorded, the next claim was at {until}, \
             and meanwhile there was only {meanwhile:?}",
            claim.dispatcher, claim.at
        ),
        dispatcher: Some(claim.dispatcher.clone()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn claim(dispatcher: &str, second: i64, recorded: Option<(&str, Option<&str>)>) -> Claim {
        Claim {
            dispatcher: dispatcher.to_owned(),
            at: at(second),
            server: "first".to_owned(),
            recorded: recorded.map(|(status, error)| (status.to_owned(), error.map(str::to_owned))),
        }
    }

    /// Claimed by 1 at second 10, sent at 11, claimed by 2 at 20, sent at 21.
    fn judged(recorded: Option<(&str, Option<&str>)>, events: &[Happened]) -> bool {
        let claims = [claim("1", 10, recorded), claim("2", 20, None)];
        excuse(at(11), at(21), &claims, events).is_ok()
    }

    #[test]
    fn a_repeat_is_excused_by_the_end_of_its_sender_or_of_the_database_and_by_nothing_else() {
        for (event, excused) in [
            (Event::DispatcherKilled(1), true),
            (Event::DispatcherKilled(2), false),
            // No more than the server's life tells.
            (Event::DatabaseKilled, false),
            (Event::Back, true),
            (Event::Forward, false),
            (Event::Cut, false),
        ] {
            assert_eq!(judged(None, &[(event, at(12))]), excused, "{event:?}");
            assert!(!judged(None, &[(event, at(9))]), "{event:?} before the claim");
            assert!(!judged(None, &[(event, at(22))]), "{event:?} after the next");
            let delivered = Some(("delivered", None));
            assert!(!judged(delivered, &[(event, at(12))]), "{event:?}, recorded");
        }
        assert!(!judged(None, &[]));
        let mut claims = [claim("1", 10, None), claim("2", 20, None)];
        claims[1].server = "second".to_owned();
        assert!(
            excuse(at(11), at(21), &claims, &[]).is_ok(),
            "the server was killed"
        );
        assert!(judged(
            Some(("failed", Some("http://h did not answer within 1500 ms: check"))),
            &[]
        ));
        assert!(!judged(Some(("failed", Some("HTTP 500"))), &[]));
    }
}
