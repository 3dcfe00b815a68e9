//! How values travel to PostgreSQL.

use std::error::Error;

use bytes::{BufMut as _, BytesMut};
use tokio_postgres::types::{Format, IsNull, ToSql, Type};

use super::Value;
use crate::pg::wire::Parameter;

/// Takes any type: the server reads the text form of whatever type it inferred, which refuses what does not fit with
/// an error that says so (22P02, …).
impl ToSql for Value {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => return Ok(IsNull::Yes),
            Self::Text(text) => out.put_slice(text.as_bytes()),
            Self::Body(bytes) | Self::Binary(bytes) => out.put_slice(bytes),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.to_sql(ty, out)
    }

    fn encode_format(&self, _: &Type) -> Format {
        match self {
            Self::Null | Self::Text(_) | Self::Body(_) => Format::Text,
            Self::Binary(_) => Format::Binary,
        }
    }
}

impl Parameter for Value {
    fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Null => None,
            Self::Text(text) => Some(text.as_bytes()),
            Self::Body(bytes) | Self::Binary(bytes) => Some(bytes),
        }
    }

    fn is_binary(&self) -> bool {
        matches!(self, Self::Binary(_))
    }
}
