//! The main statement's answer as a value.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::stream::Rows;
use crate::pg::wire::{Row, WireError, row};

/// What the main statement answered: its columns, as [`crate::rest::query`] lists them.
#[derive(Debug, Default)]
pub struct ResultSet {
    /// Rows there are, limits aside, if they were counted.
    pub total: Option<i64>,
    /// Rows in the body.
    pub page: i64,
    /// `column=eq.value` of the written row, for `Location`.
    pub location: Vec<String>,
    /// The body, its bytes as the server sent them: the text of `json`, `xml` and texts, the content of `bytea`. The
    /// version byte that `jsonb` has before its text stays too, as clients of PostgREST know it from handlers that
    /// return one.
    pub body: Body,
    /// The setting `response.headers`.
    pub headers: Option<String>,
    /// The setting `response.status`.
    pub status: Option<String>,
    /// Rows that an upsert inserted rather than merged.
    pub inserted: Option<i64>,
}

/// A body: at hand, or still in the database.
#[derive(Debug)]
pub enum Body {
    /// All of it.
    Whole(Bytes),
    /// Row by row, as the caller takes them.
    Rows(Rows),
}

impl Default for Body {
    fn default() -> Self {
        Self::Whole(Bytes::new())
    }
}

impl ResultSet {
    pub(super) fn read(row: &Row) -> Result<Self, WireError> {
        let mut result = Self::default();
        row.each(|column, value| {
            let Some(value) = value else { return Ok(()) };
            match column {
                "total_result_set" => result.total = Some(row::int8(&value)?),
                "page_total" => result.page = row::int8(&value)?,
                "body" => result.body = Body::Whole(value),
                "response_headers" => result.headers = Some(row::text(&value)?),
                "response_status" => result.status = Some(row::text(&value)?),
                "response_inserted" => result.inserted = Some(row::int8(&value)?),
                "header" => result.location = row::texts(&value)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(result)
    }
}

/// The lines of a query plan, each ended by a newline.
pub(super) fn lines<'a>(rows: impl Iterator<Item = &'a Row>) -> Result<Bytes, WireError> {
    let mut text = BytesMut::new();
    for row in rows {
        text.put_slice(row.bytes(0)?.unwrap_or_default());
        text.put_u8(b'\n');
    }
    Ok(text.freeze())
}

/// The planner's number of rows, out of `explain (format json)`. None if it cannot be found.
pub(super) fn estimate(row: &Row) -> Option<i64> {
    let plan: serde_json::Value = serde_json::from_slice(row.bytes(0).ok()??).ok()?;
    plan.get(0)?.get("Plan")?.get("Plan Rows")?.as_i64()
}
