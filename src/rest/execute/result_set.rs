//! The main statement's answer as a value.

use std::error::Error as StdError;

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio_postgres::types::{FromSql, Type};
use tokio_postgres::{Error, Row};

use super::stream::Rows;

/// What the main statement answered: its columns, as [`crate::rest::query`] lists them.
#[derive(Debug, Default)]
pub struct ResultSet {
    /// Rows there are, limits aside, if they were counted.
    pub total: Option<i64>,
    /// Rows in the body.
    pub page: i64,
    /// `column=eq.value` of the written row, for `Location`.
    pub location: Vec<String>,
    /// The body.
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
    pub(super) fn read(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            total: row.try_get("total_result_set")?,
            page: row.try_get("page_total")?,
            body: Body::Whole(row.try_get::<_, Option<Raw>>("body")?.unwrap_or_default().0),
            headers: row.try_get("response_headers")?,
            status: row.try_get("response_status")?,
            inserted: row.try_get("response_inserted")?,
            location: row.try_get::<_, Option<_>>("header")?.unwrap_or_default(),
        })
    }
}

/// The lines of a query plan, each ended by a newline.
pub(super) fn lines(rows: &[Row]) -> Result<Bytes, Error> {
    let mut text = BytesMut::new();
    for row in rows {
        text.put(row.try_get::<_, Raw>(0)?.0);
        text.put_u8(b'\n');
    }
    Ok(text.freeze())
}

/// The planner's number of rows, out of `explain (format json)`. None if it cannot be found.
pub(super) fn estimate(rows: &[Row]) -> Option<i64> {
    let plan: serde_json::Value = serde_json::from_slice(&rows.first()?.try_get::<_, Raw>(0).ok()?.0).ok()?;
    plan.get(0)?.get("Plan")?.get("Plan Rows")?.as_i64()
}

/// A value's bytes as the server sent them: the text of `json`, `xml` and texts, the content of `bytea`. The version
/// byte that `jsonb` has before its text stays too, as clients of PostgREST know it from handlers that return one.
#[derive(Default)]
pub(super) struct Raw(pub(super) Bytes);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(Bytes::copy_from_slice(raw)))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
