//! What can keep a database from being migrated.

use tokio_postgres::Error;

use crate::pg::connect::ConnectError;

/// Why the schema is not, or cannot be, the one this program needs. The database is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A file in the binary is misnamed.
    #[error("migration {name} must be named NNNN_name.sql")]
    Name {
        /// Its name.
        name: &'static str,
    },
    /// Two files in the binary share a number.
    #[error("migrations {first} and {second} have the same number; give one the next free number")]
    Duplicate {
        /// One of them.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// An applied file was edited afterwards.
    #[error(
        "migration {name} was changed after it had been applied to this database; restore the file and put the \
         change into a new one"
    )]
    Changed {
        /// Its name.
        name: &'static str,
    },
    /// The database has a migration that the binary lacks.
    #[error(
        "the database has migration {name}, which this program does not know; it was set up by a newer version: \
         run that version, or restore a backup made before it"
    )]
    Unknown {
        /// The name under which it was recorded.
        name: String,
    },
    /// A file's SQL failed.
    #[error("migration {name}{} failed with SQLSTATE {code}: {message}", line.map(|line| format!(", line {line},")).unwrap_or_default())]
    File {
        /// Its name.
        name: &'static str,
        /// Line of the file, counted from 1, when the server pointed at one.
        line: Option<usize>,
        /// SQLSTATE.
        code: String,
        /// Message, detail, hint and the place inside a function, as far as given.
        message: String,
    },
    /// A file committed or rolled back by itself, which breaks "all or nothing".
    #[error("migration {name} ends the transaction it runs in; take begin, commit and rollback out of it")]
    Transaction {
        /// Its name.
        name: &'static str,
    },
    /// A step of the adoption failed.
    #[error("adopting the original's database: {doing} failed with SQLSTATE {code}: {message}")]
    Adopt {
        /// What was being done.
        doing: String,
        /// SQLSTATE.
        code: String,
        /// Message, detail, hint and the place inside a function, as far as given.
        message: String,
    },
    /// Rows of the original's database are not what this program relies on.
    #[error(
        "the original's database cannot be adopted as it is; mend these rows and migrate again, nothing was \
         changed:\n  {}",
        problems.join("\n  ")
    )]
    Rows {
        /// Each with its table, the number of rows, and an example.
        problems: Vec<String>,
    },
    /// Something around the files failed.
    #[error("{doing}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// What the server or the driver said.
        source: Error,
    },
}
