//! A row as it came: its values lie in the buffer that was read, and are not copied.

use std::io;

use bytes::Bytes;
use fallible_iterator::FallibleIterator as _;
use postgres_protocol::message::backend::DataRowBody;
use postgres_protocol::types::{array_from_sql, int4_from_sql, int8_from_sql};

use super::WireError;
use super::statements::Columns;

/// A row in PostgreSQL's binary form.
#[derive(Debug)]
pub struct Row {
    body: DataRowBody,
    columns: Columns,
}

impl Row {
    pub(super) fn new(body: DataRowBody, columns: Columns) -> Self {
        Self { body, columns }
    }

    /// The bytes of a column by its place; None is NULL, or no such column.
    pub fn get(&self, column: usize) -> Result<Option<Bytes>, WireError> {
        let range = self.body.ranges().nth(column).map_err(malformed)?.flatten();
        Ok(range.map(|range| self.body.buffer_bytes().slice(range)))
    }

    /// The bytes of a column by its place, where they lie.
    pub fn bytes(&self, column: usize) -> Result<Option<&[u8]>, WireError> {
        let range = self.body.ranges().nth(column).map_err(malformed)?.flatten();
        Ok(range.map(|range| &self.body.buffer()[range]))
    }

    /// Calls for each column with its name and bytes.
    pub fn each<'a>(
        &'a self,
        mut read: impl FnMut(&'a str, Option<Bytes>) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        let mut ranges = self.body.ranges();
        for column in self.columns.iter() {
            let range = ranges.next().map_err(malformed)?.flatten();
            read(column, range.map(|range| self.body.buffer_bytes().slice(range)))?;
        }
        Ok(())
    }
}

/// Reads an `int4`.
pub fn int4(bytes: &[u8]) -> Result<i32, WireError> {
    int4_from_sql(bytes).map_err(|_malformed| WireError::Protocol("an int4"))
}

/// Reads an `int8`.
pub fn int8(bytes: &[u8]) -> Result<i64, WireError> {
    int8_from_sql(bytes).map_err(|_malformed| WireError::Protocol("an int8"))
}

/// Reads a text.
pub fn text(bytes: &[u8]) -> Result<String, WireError> {
    String::from_utf8(bytes.to_vec()).map_err(|_malformed| WireError::Protocol("a text"))
}

/// Reads a `text[]` without nulls.
pub fn texts(bytes: &[u8]) -> Result<Vec<String>, WireError> {
    let malformed = || WireError::Protocol("a text[]");
    let array = array_from_sql(bytes).map_err(|_malformed| malformed())?;
    let mut values = array.values();
    let mut texts = Vec::new();
    while let Some(value) = values.next().map_err(|_malformed| malformed())? {
        texts.push(text(value.ok_or_else(malformed)?)?);
    }
    Ok(texts)
}

fn malformed(_: io::Error) -> WireError {
    WireError::Protocol("a row")
}
