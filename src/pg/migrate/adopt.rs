//! Adoption: a database of the original becomes ours in place, without losing a row.
//!
//! What the tables have to look like is said once, in the migration that creates them. That migration runs in a
//! savepoint, with the original's objects set aside; its result is read from the catalog and rolled back. What differs
//! is then changed in the original's own tables, so that whatever else points at them (views, foreign keys, policies
//! of other tables) holds. Everything happens in the transaction of the migrations: a failing adoption leaves the
//! database as it was.

mod behaviour;
mod catalog;
mod constraints;
mod report;
mod rows;
mod structure;

use std::fmt::Display;

use tokio_postgres::{Client, Error, Row, error::SqlState, types::Type};

use self::catalog::Catalog;
pub use self::report::{Adoption, Change, Kind, Unknown};
use super::{
    MigrateError, during,
    file::{Migration, blame, describe},
};

const SET_ASIDE: &str = include_str!("../../../sql/adopt/set_aside.sql");
const FINISH: &str = include_str!("../../../sql/adopt/finish.sql");

/// The migration that creates the tables, and which an adoption takes the place of.
pub(super) const TABLES: i32 = 2;

/// Functions of the original, by name. Ours of these names replace them; `verify_user_password`, which reads columns
/// that no longer exist, is gone for good.
const FUNCTIONS: [&str; 14] = [
    "can_tenant_admin_access_executor_profile",
    "can_tenant_admin_create_executor_profile",
    "check_ticket_webhook_cron_scheduled",
    "create_ticket_from_automation",
    "enqueue_ticket_activity_webhook",
    "ensure_single_default_executor",
    "generate_ticket_number",
    "get_user_tenant_id",
    "set_executor_ticket_sessions_updated_at",
    "set_telegram_message_seq",
    "touch_ticket_webhook_queue_updated_at",
    "update_rules_updated_at",
    "update_updated_at_column",
    "verify_user_password",
];

/// Triggers of the original that later migrations create anew.
const TRIGGERS: [&str; 2] = ["set_ticket_number", "trigger_enqueue_ticket_activity_webhook"];

/// Tells whether this is the original's database, by the three tables that all of it hangs on.
pub(super) async fn is_original(client: &Client) -> Result<bool, MigrateError> {
    let sql = "select count(*) = 3
                 from pg_catalog.pg_attribute a
                where not a.attisdropped and (a.attrelid, a.attname) in (
                  (to_regclass('public.tenants'), 'name'), (to_regclass('public.users'), 'tenant_id'),
                  (to_regclass('public.tickets'), 'ticket_number'))";
    let row = client.query_typed_one(sql, &[]).await;
    Ok(row.map_err(during("looking for the original's tables"))?.get(0))
}

/// Brings the original's tables to what `migration` creates, in place of running it.
pub(super) async fn tables(client: &Client, migration: &Migration) -> Result<Adoption, MigrateError> {
    let mut work = Work::new(client);
    work.run(
        "preparing the session",
        // Names come out qualified, instants are read as UTC, and rows keep their updated_at.
        "set local search_path = ''; set local timezone = 'UTC'; set constraints all immediate",
    )
    .await?;
    let reference = reference(&work, migration).await?;
    let before = Catalog::read(client).await?;

    structure::clear(&mut work, &before, &reference).await?;
    constraints::clear(&mut work, &before, &reference).await?;
    structure::types(&mut work, &before, &reference).await?;
    // Again, since a type that was replaced has another name now.
    let found = Catalog::read(client).await?;
    structure::columns(&mut work, &found, &reference).await?;
    if work.blocked {
        work.stop_at_problems()?;
    }

    // Before the triggers, which would date every row they see to today.
    let unknown = rows::repair(&mut work).await?;
    constraints::complete(&mut work, &found, &reference).await?;
    work.stop_at_problems()?;

    behaviour::complete(&mut work, &found, &reference).await?;
    structure::tidy(&mut work, &before, &reference).await?;
    work.run("resetting the session", "set local timezone to default")
        .await?;
    Ok(Adoption {
        changes: work.changes,
        unknown,
    })
}

/// Does what needs the later migrations: ticket numbers go on in their form, and the changes are kept.
pub(super) async fn finish(client: &Client, adoption: &mut Adoption) -> Result<(), MigrateError> {
    let mut work = Work::new(client);
    for row in work.rows("continuing the ticket numbers", FINISH).await? {
        work.note(Kind::Rows, "ticket numbers", row.get::<_, String>(0), None);
    }
    adoption.changes.append(&mut work.changes);
    let column =
        |of: fn(&Change) -> Option<&str>| -> Vec<Option<&str>> { adoption.changes.iter().map(of).collect() };
    client
        .execute_typed(
            "insert into dropwire.adoption_changes (kind, object, change, before)
             select * from unnest($1::text[], $2::text[], $3::text[], $4::text[])",
            &[
                (&column(|change| Some(change.kind.name())), Type::TEXT_ARRAY),
                (&column(|change| Some(&change.object)), Type::TEXT_ARRAY),
                (&column(|change| Some(&change.change)), Type::TEXT_ARRAY),
                (&column(|change| change.before.as_deref()), Type::TEXT_ARRAY),
            ],
        )
        .await
        .map_err(during("keeping what the adoption changed"))?;
    tracing::warn!(
        changes = adoption.changes.len(),
        unknown_webhooks = adoption.unknown.count,
        "adopted the original's database; dropwire.adoption_changes tells what was changed"
    );
    Ok(())
}

/// Builds the tables as the migration does on an empty database, reads them and undoes it.
async fn reference(work: &Work<'_>, migration: &Migration) -> Result<Catalog, MigrateError> {
    work.run("setting the original's objects aside", "savepoint reference")
        .await?;
    work.run("setting the original's objects aside", SET_ASIDE)
        .await?;
    work.client
        .batch_execute(migration.sql)
        .await
        .map_err(|error| blame(migration, error))?;
    work.run("reading the new tables", "set local search_path = ''")
        .await?;
    let reference = Catalog::read(work.client).await?;
    work.run(
        "bringing the original's objects back",
        "rollback to savepoint reference; release savepoint reference",
    )
    .await?;
    Ok(reference)
}

/// An adoption under way: its connection, and what there is to say about it.
struct Work<'a> {
    client: &'a Client,
    changes: Vec<Change>,
    /// What keeps the database from being adopted. Collected, so that one run names them all.
    problems: Vec<String>,
    /// Whether a column is not what the next steps need, so that they would only fail in their own words.
    blocked: bool,
}

impl<'a> Work<'a> {
    fn new(client: &'a Client) -> Self {
        Self {
            client,
            changes: Vec::new(),
            problems: Vec::new(),
            blocked: false,
        }
    }

    async fn run(&self, doing: impl Display, sql: &str) -> Result<(), MigrateError> {
        let done = self.client.batch_execute(sql).await;
        done.map_err(|error| failed(&doing, error))
    }

    async fn rows(&self, doing: impl Display, sql: &str) -> Result<Vec<Row>, MigrateError> {
        let rows = self.client.query_typed(sql, &[]).await;
        rows.map_err(|error| failed(&doing, error))
    }

    /// Counts rows and gives an example; `sql` answers with one row of both.
    async fn count(
        &self,
        doing: impl Display,
        sql: &str,
    ) -> Result<Option<(i64, Option<String>)>, MigrateError> {
        let rows = self.rows(doing, sql).await?;
        let counted = rows.first().map(|row| (row.get(0), row.get(1)));
        Ok(counted.filter(|(count, _)| *count > 0))
    }

    /// Runs a `drop`, unless something else depends on the object: then it stays, and the answer is false.
    async fn dropped(&self, doing: impl Display, sql: &str) -> Result<bool, MigrateError> {
        self.run(&doing, "savepoint attempt").await?;
        match self.client.batch_execute(sql).await {
            Ok(()) => self.run(&doing, "release savepoint attempt").await.map(|()| true),
            Err(error) if error.code() == Some(&SqlState::DEPENDENT_OBJECTS_STILL_EXIST) => {
                let undo = "rollback to savepoint attempt; release savepoint attempt";
                self.run(&doing, undo).await.map(|()| false)
            }
            Err(error) => Err(failed(&doing, error)),
        }
    }

    fn note(
        &mut self,
        kind: Kind,
        object: impl Into<String>,
        change: impl Into<String>,
        before: Option<&str>,
    ) {
        self.changes.push(Change {
            kind,
            object: object.into(),
            change: change.into(),
            before: before.map(str::to_owned),
        });
    }

    fn stop_at_problems(&mut self) -> Result<(), MigrateError> {
        if self.problems.is_empty() {
            return Ok(());
        }
        Err(MigrateError::Rows {
            problems: std::mem::take(&mut self.problems),
        })
    }
}

fn failed(doing: &impl Display, error: Error) -> MigrateError {
    match error.as_db_error() {
        Some(refusal) => MigrateError::Adopt {
            doing: doing.to_string(),
            code: refusal.code().code().to_owned(),
            message: describe(refusal),
        },
        None => MigrateError::Database {
            doing: "adopting the original's database",
            source: error,
        },
    }
}

/// A table of ours in SQL, qualified and quoted.
fn table(name: &str) -> String {
    format!("public.{}", quoted(name))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    // E'' where there is a backslash: plain quotes would depend on standard_conforming_strings.
    let escaped = text.replace('\'', "''");
    if escaped.contains('\\') {
        return format!("E'{}'", escaped.replace('\\', "\\\\"));
    }
    format!("'{escaped}'")
}

fn list<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let quoted: Vec<_> = names.into_iter().map(|name| quoted(name)).collect();
    quoted.join(", ")
}
