//! Whether what came is what had to come.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::events::Event;
use super::sink::Request;

/// How long after an answer its record may be under way: when a dispatcher is killed within, the entry may come again.
const RECORDING: Duration = Duration::from_secs(2);
/// How long before a request comes its entry may have been claimed, on a busy machine: what is killed in between leaves
/// its record no less open.
const SENDING: Duration = Duration::from_secs(1);
/// The same for a database that is killed: outcomes are offered to it for five seconds.
const OFFERING: Duration = Duration::from_secs(8);

/// Checks all that was promised; answers a line of figures, or what is wrong.
pub async fn check(
    db: &Client,
    requests: &[Request],
    events: &[(Event, Instant)],
    timeout: Duration,
) -> Result<String, String> {
    let sql = "select id::text, ticket_id::text, seq from ticket_webhook_queue order by seq";
    let rows = db.query(sql, &[]).await.unwrap();
    let mut by_ticket: HashMap<String, Vec<String>> = HashMap::new();
    for row in &rows {
        by_ticket.entry(row.get(1)).or_default().push(row.get(0));
    }
    let activities = "select count(*) from ticket_activities a
                       where not exists (select from ticket_webhook_queue q where q.activity_id = a.id)";
    let unqueued: i64 = db.query_one(activities, &[]).await.unwrap().get(0);
    if unqueued > 0 {
        return Err(format!("{unqueued} changes were never queued"));
    }
    let heads: i64 = db
        .query_one("select count(*) from dropwire.webhook_heads", &[])
        .await
        .unwrap()
        .get(0);
    if heads > 0 {
        // One that a writer held on to goes with the next look.
        tracing::debug!(heads, "heads are left");
    }

    let mut repeated = 0;
    for (ticket, entries) in &by_ticket {
        let came: Vec<&Request> = requests
            .iter()
            .filter(|request| &request.ticket == ticket)
            .collect();
        repeated += check_ticket(ticket, entries, &came, events, timeout)?;
    }
    let count = |wanted| events.iter().filter(|(event, _)| *event == wanted).count();
    Ok(format!(
        "{} entries of {} tickets in {} requests; {} dispatchers and {} databases killed, {} cuts, {} jumps; {repeated} came again",
        rows.len(),
        by_ticket.len(),
        requests.len(),
        count(Event::DispatcherKilled),
        count(Event::DatabaseKilled),
        count(Event::Cut),
        count(Event::Jump),
    ))
}

/// One ticket: each entry accepted, none before its predecessor; answers how often one came again after it was accepted.
fn check_ticket(
    ticket: &str,
    entries: &[String],
    came: &[&Request],
    events: &[(Event, Instant)],
    timeout: Duration,
) -> Result<usize, String> {
    let places: HashMap<&str, usize> = entries
        .iter()
        .enumerate()
        .map(|(at, id)| (id.as_str(), at))
        .collect();
    let mut answered: HashMap<usize, Instant> = HashMap::new();
    let mut told: HashSet<usize> = HashSet::new();
    let (mut furthest, mut repeated) = (0, 0);
    for (nth, request) in came.iter().enumerate() {
        let Some(&place) = places.get(request.webhook_id.as_str()) else {
            return Err(format!(
                "{} of ticket {ticket} is not in the queue",
                request.webhook_id
            ));
        };
        if place > furthest + 1 || place == furthest + 1 && nth == 0 {
            return Err(format!(
                "entry {place} of ticket {ticket} came when only {furthest} had come"
            ));
        }
        // Sent only once the one before is accepted, and not merely tried.
        if let Some(before) = place.checked_sub(1).filter(|before| !told.contains(before)) {
            return Err(format!(
                "entry {place} of ticket {ticket} came before entry {before} was accepted"
            ));
        }
        if place < furthest && !around_a_kill(came, nth, place, &places, events, timeout) {
            return Err(format!(
                "entry {place} of ticket {ticket} came after entry {furthest}, with nothing killed"
            ));
        }
        if answered.contains_key(&place) {
            repeated += 1;
            if !around_a_kill(came, nth, place, &places, events, timeout) {
                let times: Vec<_> = came[..=nth]
                    .iter()
                    .filter(|earlier| earlier.webhook_id == request.webhook_id)
                    .map(|earlier| {
                        (
                            request.came - earlier.came,
                            earlier.accepted.map(|at| request.came - at),
                        )
                    })
                    .collect();
                let near: Vec<_> = events
                    .iter()
                    .filter(|(_, at)| *at + Duration::from_secs(20) > request.came && *at < request.came)
                    .map(|(event, at)| (*event, request.came - *at))
                    .collect();
                return Err(format!(
                    "entry {place} of ticket {ticket} came again, with nothing killed; before that it came and was \
                     accepted {times:?} ago; {near:?} ago"
                ));
            }
        }
        furthest = furthest.max(place);
        if request.told.is_some() {
            told.insert(place);
        }
        if let Some(at) = request.accepted {
            answered.entry(place).or_insert(at);
        }
    }
    if furthest + 1 < entries.len() || came.is_empty() {
        return Err(format!(
            "{} of {} entries of ticket {ticket} came",
            furthest + 1,
            entries.len()
        ));
    }
    Ok(repeated)
}

/// Whether an earlier request of the same entry was under way, or being recorded, when something was killed.
fn around_a_kill(
    came: &[&Request],
    nth: usize,
    place: usize,
    places: &HashMap<&str, usize>,
    events: &[(Event, Instant)],
    timeout: Duration,
) -> bool {
    let same = |request: &&&Request| places.get(request.webhook_id.as_str()) == Some(&place);
    came[..nth].iter().filter(same).any(|earlier| {
        let answered = earlier.accepted.unwrap_or(earlier.came + timeout);
        events.iter().any(|(event, at)| {
            let recorded = match event {
                Event::DatabaseKilled => OFFERING,
                Event::DispatcherKilled | Event::Cut | Event::Jump => RECORDING,
            };
            *at + SENDING >= earlier.came && *at <= answered + recorded
        })
    })
}
