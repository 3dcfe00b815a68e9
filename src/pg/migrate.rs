//! Schema migrations: numbered SQL files inside the binary, applied all or not at all.
//!
//! Every pending file runs in one transaction under one advisory lock of that transaction. So a failing file leaves
//! nothing behind, replicas that start together do the work once, and a transaction pooler in between does no harm.
//! In return a file must not control transactions, and `create index concurrently` is not available to it. A database
//! of the original is adopted on the way: see [`adopt`].

pub mod adopt;
mod error;
mod file;

use tokio_postgres::{Client, Error, IsolationLevel, Transaction, types::Type};

use self::adopt::Adoption;
pub use self::error::MigrateError;
pub use self::file::Migration;
use self::file::{blame, embedded};
use super::connect::Target;

/// Key of the advisory lock around everything that changes schema `dropwire` itself: the bytes of "dropwire".
pub(super) const SETUP_LOCK: i64 = i64::from_be_bytes(*b"dropwire");

/// The record of applied files. Without a statement timeout from here on: a migration takes what it takes.
const LEDGER: &str = "
    set local statement_timeout = 0;
    create schema if not exists dropwire;
    create table if not exists dropwire.schema_migrations (
      version    integer     primary key,
      name       text        not null,
      checksum   text        not null,  -- of the file as it was applied: SHA-256, hexadecimal
      applied_at timestamptz not null default now()
    )";

/// Asks running servers to reload their schema cache, in PostgREST's words.
const RELOAD: &str = "notify pgrst, 'reload schema'";

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Names of the files applied just now, in order.
    pub applied: Vec<String>,
    /// How many had been applied before.
    pub already: usize,
    /// What was changed in a database of the original, where this was one.
    pub adoption: Option<Adoption>,
}

/// Applies what is pending. Needs a role that owns, or may create, schema `dropwire`.
pub async fn run(target: &Target) -> Result<Report, MigrateError> {
    run_files(target, &embedded()?).await
}

/// Names the files that [`run`] would apply, without changing anything; on an empty database, all.
pub async fn pending(target: &Target) -> Result<Vec<String>, MigrateError> {
    pending_files(target, &embedded()?).await
}

async fn run_files(target: &Target, files: &[Migration]) -> Result<Report, MigrateError> {
    let mut client = target.connect().await?;
    // Read committed, whatever the server's default: what the previous holder of the lock did must be seen.
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::ReadCommitted)
        .start()
        .await
        .map_err(during("beginning the migration transaction"))?;
    lock(&transaction).await?;
    transaction
        .batch_execute(LEDGER)
        .await
        .map_err(during("creating dropwire.schema_migrations"))?;
    let applied = applied(transaction.client()).await?;
    let pending = compare(files, &applied)?;
    let adopts = applied.is_empty() && adopt::is_original(transaction.client()).await?;
    let mut adoption = None;
    for migration in &pending {
        if adopts && migration.version == adopt::TABLES {
            adoption = Some(adopt::tables(transaction.client(), migration).await?);
            record(transaction.client(), migration).await?;
        } else {
            apply(&transaction, migration).await?;
        }
    }
    if let Some(adoption) = &mut adoption {
        adopt::finish(transaction.client(), adoption).await?;
    }
    if !pending.is_empty() {
        // Heard when the transaction has ended well.
        transaction
            .batch_execute(RELOAD)
            .await
            .map_err(during("telling running servers to reload their schema cache"))?;
    }
    transaction
        .commit()
        .await
        .map_err(during("committing the migrations"))?;
    Ok(Report {
        applied: names(&pending),
        already: applied.len(),
        adoption,
    })
}

async fn pending_files(target: &Target, files: &[Migration]) -> Result<Vec<String>, MigrateError> {
    let client = target.connect().await?;
    let found = client
        .query_typed(
            "select to_regclass('dropwire.schema_migrations') is not null",
            &[],
        )
        .await
        .map_err(during("looking for dropwire.schema_migrations"))?;
    let is_set_up = found.first().is_some_and(|row| row.get(0));
    let applied = if is_set_up {
        applied(&client).await?
    } else {
        Vec::new()
    };
    Ok(names(&compare(files, &applied)?))
}

/// Waits for whoever else is setting this database up.
async fn lock(transaction: &Transaction<'_>) -> Result<(), MigrateError> {
    let key: &[(&(dyn tokio_postgres::types::ToSql + Sync), Type)] = &[(&SETUP_LOCK, Type::INT8)];
    let locking = during("locking the database for migrations");
    let client = transaction.client();
    let free = client
        .query_typed("select pg_try_advisory_xact_lock($1)", key)
        .await
        .map_err(locking)?;
    if !free.first().is_some_and(|row| row.get(0)) {
        tracing::info!("another process is migrating the database; waiting for it");
        client
            .query_typed("select pg_advisory_xact_lock($1)", key)
            .await
            .map_err(locking)?;
    }
    Ok(())
}

/// A row of the ledger.
struct Applied {
    version: i32,
    name: String,
    checksum: String,
}

async fn applied(client: &Client) -> Result<Vec<Applied>, MigrateError> {
    let rows = client
        .query_typed(
            "select version, name, checksum from dropwire.schema_migrations order by version",
            &[],
        )
        .await
        .map_err(during("reading dropwire.schema_migrations"))?;
    let read = |row: &tokio_postgres::Row| Applied {
        version: row.get(0),
        name: row.get(1),
        checksum: row.get(2),
    };
    Ok(rows.iter().map(read).collect())
}

/// Picks the files that the ledger lacks, in order, once it is clear that the rest is the same history.
fn compare(files: &[Migration], applied: &[Applied]) -> Result<Vec<Migration>, MigrateError> {
    let mut pending = files.to_vec();
    pending.sort_by_key(|migration| migration.version);
    if let Some(pair) = pending.windows(2).find(|pair| pair[0].version == pair[1].version) {
        return Err(MigrateError::Duplicate {
            first: pair[0].name,
            second: pair[1].name,
        });
    }
    for row in applied {
        let Some(at) = pending
            .iter()
            .position(|migration| migration.version == row.version)
        else {
            return Err(MigrateError::Unknown {
                name: row.name.clone(),
            });
        };
        let migration = pending.remove(at);
        if migration.checksum() != row.checksum {
            return Err(MigrateError::Changed { name: migration.name });
        }
    }
    Ok(pending)
}

async fn apply(transaction: &Transaction<'_>, migration: &Migration) -> Result<(), MigrateError> {
    let client = transaction.client();
    let before = transaction_id(client).await?;
    client
        .batch_execute(migration.sql)
        .await
        .map_err(|error| blame(migration, error))?;
    if transaction_id(client).await? != before {
        return Err(MigrateError::Transaction { name: migration.name });
    }
    record(client, migration).await
}

async fn record(client: &Client, migration: &Migration) -> Result<(), MigrateError> {
    // What one file sets must not reach the next, nor the ledger.
    client
        .batch_execute("reset role; reset search_path")
        .await
        .map_err(during("resetting the session after a migration"))?;
    client
        .execute_typed(
            "insert into dropwire.schema_migrations (version, name, checksum) values ($1, $2, $3)",
            &[
                (&migration.version, Type::INT4),
                (&migration.name, Type::TEXT),
                (&migration.checksum(), Type::TEXT),
            ],
        )
        .await
        .map_err(during("recording a migration"))?;
    tracing::info!(migration = migration.name, "applied a migration");
    Ok(())
}

async fn transaction_id(client: &Client) -> Result<i64, MigrateError> {
    let row = client.query_typed_one("select txid_current()", &[]).await;
    Ok(row.map_err(during("checking the migration transaction"))?.get(0))
}

fn names(migrations: &[Migration]) -> Vec<String> {
    migrations
        .iter()
        .map(|migration| migration.name.to_owned())
        .collect()
}

fn during(doing: &'static str) -> impl Fn(Error) -> MigrateError + Copy {
    move |source| MigrateError::Database { doing, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg::test_cluster;

    const FIRST: (&str, &str) = ("0001_first.sql", "create table first (a int)");
    const SECOND: (&str, &str) = ("0002_second.sql", "create table second (a int)");

    fn files(files: &[(&'static str, &'static str)]) -> Vec<Migration> {
        files
            .iter()
            .map(|(name, sql)| Migration::new(name, sql).unwrap())
            .collect()
    }

    async fn database() -> Target {
        test_cluster::shared().database().await
    }

    async fn exists(target: &Target, relation: &str) -> bool {
        let client = target.connect().await.unwrap();
        let sql = "select to_regclass($1) is not null";
        client
            .query_typed_one(sql, &[(&relation, Type::TEXT)])
            .await
            .unwrap()
            .get(0)
    }

    #[test]
    fn the_files_of_this_program_are_one_history() {
        let files = embedded().unwrap();
        assert_eq!(compare(&files, &[]).unwrap().len(), files.len());
    }

    #[test]
    fn two_files_with_one_number_are_refused() {
        let twice = files(&[FIRST, ("0001_other.sql", "")]);
        assert!(matches!(
            compare(&twice, &[]),
            Err(MigrateError::Duplicate { .. })
        ));
    }

    #[tokio::test]
    async fn pending_files_are_applied_once_and_in_order() {
        let target = database().await;
        let both = files(&[("0002_second.sql", "alter table first add b int"), FIRST]);
        assert_eq!(
            pending_files(&target, &both).await.unwrap(),
            ["0001_first.sql", "0002_second.sql"]
        );
        assert!(!exists(&target, "dropwire.schema_migrations").await);

        let report = run_files(&target, &both).await.unwrap();
        assert_eq!(report.applied, ["0001_first.sql", "0002_second.sql"]);
        assert_eq!(
            run_files(&target, &both).await.unwrap(),
            Report {
                applied: Vec::new(),
                already: 2,
                adoption: None
            }
        );
        assert!(pending_files(&target, &both).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_failing_file_leaves_nothing_behind_and_names_its_line() {
        let target = database().await;
        let broken = (
            "0002_broken.sql",
            "-- größer\nselect 1;\n\nselect * from missing;\n",
        );
        let error = run_files(&target, &files(&[FIRST, broken])).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "migration 0002_broken.sql, line 4, failed with SQLSTATE 42P01: relation \"missing\" does not exist"
        );
        assert!(!exists(&target, "first").await);
        assert!(!exists(&target, "dropwire.schema_migrations").await);
    }

    #[tokio::test]
    async fn an_error_inside_a_block_tells_its_place() {
        let block = (
            "0001_block.sql",
            "do $$\nbegin\n  raise exception 'no' using hint = 'yes';\nend $$",
        );
        let error = run_files(&database().await, &files(&[block])).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "migration 0001_block.sql failed with SQLSTATE P0001: no; hint: yes; \
             context: PL/pgSQL function inline_code_block line 3 at RAISE"
        );
    }

    #[tokio::test]
    async fn a_changed_file_is_refused_by_name() {
        let target = database().await;
        run_files(&target, &files(&[FIRST])).await.unwrap();
        let changed = files(&[("0001_first.sql", "create table first (a bigint)"), SECOND]);
        let error = run_files(&target, &changed).await.unwrap_err();
        assert!(
            matches!(
                error,
                MigrateError::Changed {
                    name: "0001_first.sql"
                }
            ),
            "{error}"
        );
        assert!(pending_files(&target, &changed).await.is_err());
        assert!(!exists(&target, "second").await);
    }

    #[tokio::test]
    async fn a_database_newer_than_the_program_is_refused() {
        let target = database().await;
        run_files(&target, &files(&[FIRST, SECOND])).await.unwrap();
        let error = run_files(&target, &files(&[FIRST])).await.unwrap_err();
        assert!(
            matches!(&error, MigrateError::Unknown { name } if name == "0002_second.sql"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_file_that_ends_the_transaction_is_refused() {
        let rash = files(&[("0001_rash.sql", "create table rash (a int); commit; begin")]);
        let error = run_files(&database().await, &rash).await.unwrap_err();
        assert!(
            matches!(
                error,
                MigrateError::Transaction {
                    name: "0001_rash.sql"
                }
            ),
            "{error}"
        );
    }

    #[tokio::test]
    async fn what_a_file_sets_does_not_reach_the_next() {
        let setting = (
            "0001_setting.sql",
            "select set_config('search_path', '', false); set role pg_monitor",
        );
        let report = run_files(&database().await, &files(&[setting, SECOND]))
            .await
            .unwrap();
        assert_eq!(report.applied.len(), 2);
    }

    #[tokio::test]
    async fn of_two_migrators_at_once_one_does_the_work() {
        let target = database().await;
        let slow = files(&[("0001_slow.sql", "select pg_sleep(0.2); create table slow (a int)")]);
        let (one, other) = tokio::join!(run_files(&target, &slow), run_files(&target, &slow));
        let mut counts = [one, other].map(|report| report.unwrap().applied.len());
        counts.sort_unstable();
        assert_eq!(counts, [0, 1]);
    }
}
