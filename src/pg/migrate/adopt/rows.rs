//! Rows: what the original's defects have left in them.

use super::{Kind, Unknown, Work};
use crate::pg::migrate::MigrateError;

const EXECUTORS: &str = include_str!("../../../../sql/adopt/rows/executors.sql");
const NUMBERS: &str = include_str!("../../../../sql/adopt/rows/ticket_numbers.sql");
const CATEGORIES: &str = include_str!("../../../../sql/adopt/rows/categories.sql");
const PRIORITIES: &str = include_str!("../../../../sql/adopt/rows/priorities.sql");
const UNKNOWN: &str = include_str!("../../../../sql/adopt/rows/unknown_webhooks.sql");
const RECLAIMED: &str = include_str!("../../../../sql/adopt/rows/reclaimed_webhooks.sql");

/// Mends rows that our constraints would refuse or our dispatcher would misread. Runs while no trigger is on.
pub(super) async fn repair(work: &mut Work<'_>) -> Result<Unknown, MigrateError> {
    let translated = work.rows("translating tickets.executor_id", EXECUTORS).await?;
    if !translated.is_empty() {
        let was: Vec<_> = translated.iter().map(|row| row.get::<_, String>(0)).collect();
        let change = format!(
            "executor_id of {} rows named a row of executors and names its user now",
            was.len()
        );
        work.note(Kind::Rows, "public.tickets", change, Some(&was.join(", ")));
    }
    for (object, sql) in [
        ("public.tickets", NUMBERS),
        ("public.categories", CATEGORIES),
        ("public.priorities", PRIORITIES),
    ] {
        let doing = format!("resolving duplicates in {object}");
        for row in work.rows(doing, sql).await? {
            let (id, old, new): (String, String, String) = (row.get(0), row.get(1), row.get(2));
            let change = format!("{old} was there twice; that of {id} is {new} now");
            work.note(Kind::Rows, object, change, Some(&old));
        }
    }
    let reclaimed = work
        .rows("giving leases to running webhook entries", RECLAIMED)
        .await?;
    if !reclaimed.is_empty() {
        let change = format!(
            "entries in processing for less than 10 minutes are due again when these are over: {}",
            reclaimed.len()
        );
        work.note(Kind::Rows, "public.ticket_webhook_queue", change, None);
    }
    let unknown = work.rows("settling abandoned webhook entries", UNKNOWN).await?;
    let count = unknown.first().map_or(0, |row| row.get(1));
    if count > 0 {
        let change = format!(
            "entries in processing for over 10 minutes are delivered now, with last_error `adopted: outcome unknown`: \
             {count}"
        );
        work.note(Kind::Rows, "public.ticket_webhook_queue", change, None);
    }
    Ok(Unknown {
        count,
        last: unknown.iter().map(|row| row.get(0)).collect(),
    })
}
