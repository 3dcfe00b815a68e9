//! One migration file: its name, its text, and where in it something failed.

use std::fmt::Write as _;

use include_dir::{Dir, include_dir};
use sha2::{Digest as _, Sha256};
use tokio_postgres::{
    Error,
    error::{DbError, ErrorPosition},
};

use super::MigrateError;

static FILES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/sql/migrations");

/// One file of `sql/migrations`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migration {
    /// The number its name starts with; files are applied in this order.
    pub version: i32,
    /// Its file name, as in `0001_roles.sql`.
    pub name: &'static str,
    /// Its text.
    pub sql: &'static str,
}

impl Migration {
    /// Reads the version off a file name of the form `NNNN_name.sql`.
    pub fn new(name: &'static str, sql: &'static str) -> Result<Self, MigrateError> {
        let digits = name
            .strip_suffix(".sql")
            .and_then(|stem| stem.split_once('_'))
            .map(|(digits, _)| digits);
        let version = digits
            .filter(|digits| digits.len() == 4)
            .and_then(|digits| digits.parse().ok());
        Ok(Self {
            version: version.ok_or(MigrateError::Name { name })?,
            name,
            sql,
        })
    }

    /// Hashes its text: SHA-256 in lower-case hexadecimal digits.
    pub fn checksum(&self) -> String {
        Sha256::digest(self.sql)
            .iter()
            .fold(String::with_capacity(64), |mut text, byte| {
                write!(text, "{byte:02x}").ok();
                text
            })
    }
}

/// Lists the files inside the binary.
pub(super) fn embedded() -> Result<Vec<Migration>, MigrateError> {
    FILES
        .files()
        .filter(|file| file.path().extension().is_some_and(|kind| kind == "sql"))
        .map(|file| {
            let name = file.path().to_str().expect("file names are UTF-8");
            Migration::new(name, file.contents_utf8().expect("SQL files are UTF-8"))
        })
        .collect()
}

/// Turns a failure inside a file into one that leads to the line.
pub(super) fn blame(migration: &Migration, error: Error) -> MigrateError {
    match error.as_db_error() {
        Some(refusal) => MigrateError::File {
            name: migration.name,
            line: line_of(migration.sql, refusal),
            code: refusal.code().code().to_owned(),
            message: describe(refusal),
        },
        None => MigrateError::Database {
            doing: "running a migration",
            source: error,
        },
    }
}

/// Finds the line an error points at. The server counts characters from 1 over the whole text it was sent.
fn line_of(sql: &str, refusal: &DbError) -> Option<usize> {
    let Some(ErrorPosition::Original(position)) = refusal.position() else {
        return None;
    };
    let before = usize::try_from(*position).ok()?.checked_sub(1)?;
    Some(sql.chars().take(before).filter(|letter| *letter == '\n').count() + 1)
}

/// Joins all that the server says about a failure.
pub(super) fn describe(refusal: &DbError) -> String {
    let mut text = refusal.message().to_owned();
    for (label, part) in [
        ("detail", refusal.detail()),
        ("hint", refusal.hint()),
        ("context", refusal.where_()),
    ] {
        if let Some(part) = part {
            write!(text, "; {label}: {part}").ok();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misnamed_file_is_refused() {
        for name in [
            "1_first.sql",
            "first.sql",
            "0001first.sql",
            "0001_first",
            "00a1_first.sql",
        ] {
            assert!(
                matches!(Migration::new(name, ""), Err(MigrateError::Name { .. })),
                "{name}"
            );
        }
    }

    #[test]
    fn a_checksum_is_sha_256_in_hexadecimal() {
        let empty = Migration::new("0001_empty.sql", "").unwrap();
        assert_eq!(
            empty.checksum(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
