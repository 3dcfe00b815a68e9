//! Bodies of writes and calls.

use bytes::Bytes;
use std::collections::BTreeSet;

/// A body, checked as far as its media type and the action demand.
#[derive(Debug, Clone)]
pub enum Payload {
    /// JSON whose keys are known: an object, or an array of objects with equal keys. CSV arrives here converted.
    Json {
        /// The text, as sent.
        raw: Bytes,
        /// Keys of the object or of each object.
        keys: BTreeSet<String>,
        /// Whether it is one object rather than an array.
        is_object: bool,
    },
    /// A form, in its order.
    Form {
        /// Fields.
        pairs: Vec<(String, String)>,
    },
    /// JSON whose keys do not matter, because `columns=` names them or a function takes it whole.
    RawJson(Bytes),
    /// Anything else, for a function that takes it whole.
    Raw(Bytes),
}

mod csv;
mod json;

use super::media_type::MediaType;
use super::query_string::{NotUtf8, pairs};
use super::{Action, CallMethod, Mutation};
use crate::rest::error::RequestError;

/// Reads a body, and says which columns it writes or which arguments it passes.
///
/// `columns` is the parameter of that name, which stands in for the keys of a JSON body on POST and PATCH, so that
/// the body is not read.
pub(super) fn parse(
    body: &Bytes,
    content_type: &MediaType,
    columns: Option<&BTreeSet<String>>,
    action: &Action,
) -> Result<(Option<Payload>, BTreeSet<String>), RequestError> {
    let (takes_columns, is_call) = match action {
        Action::Mutate { mutation, .. } => match mutation {
            Mutation::Insert | Mutation::Update => (true, false),
            Mutation::SingleUpsert => (false, false),
            Mutation::Delete => return Ok((None, BTreeSet::new())),
        },
        Action::Call {
            method: CallMethod::Post,
            ..
        } => (true, true),
        Action::Call { .. }
        | Action::Read { .. }
        | Action::InspectSchema { .. }
        | Action::RelationInfo(_)
        | Action::RoutineInfo(_)
        | Action::SchemaInfo => return Ok((None, BTreeSet::new())),
    };
    let columns = columns.filter(|_| takes_columns);
    let payload = match (content_type, columns) {
        (MediaType::Json, Some(_)) => Payload::RawJson(body.clone()),
        // A function that takes no arguments needs no body.
        (MediaType::Json, None) if is_call && body.is_empty() => Payload::Json {
            raw: body.clone(),
            keys: BTreeSet::new(),
            is_object: true,
        },
        (MediaType::Json, None) => json::parse(body)?,
        (MediaType::Csv, _) => csv::parse(body)?,
        (MediaType::Form, _) => form(body, is_call)?,
        (MediaType::Text | MediaType::Xml | MediaType::OctetStream, _) if is_call => {
            Payload::Raw(body.clone())
        }
        (other, _) => {
            return Err(RequestError::InvalidBody(format!(
                "Content-Type not acceptable: {}",
                other.mime()
            )));
        }
    };
    let names = match (&payload, columns) {
        (Payload::Json { keys, .. }, _) => keys.clone(),
        (Payload::Form { pairs }, _) => pairs.iter().map(|(name, _)| name.clone()).collect(),
        (Payload::RawJson(_), Some(columns)) => columns.clone(),
        (Payload::RawJson(_) | Payload::Raw(_), _) => BTreeSet::new(),
    };
    Ok((Some(payload), names))
}

/// A form is passed to a function as it is, and written to a relation as a JSON object.
fn form(body: &[u8], is_call: bool) -> Result<Payload, RequestError> {
    let pairs = pairs(body)
        .map_err(|NotUtf8| RequestError::InvalidBody("The form is not valid UTF-8".to_owned()))?
        .into_iter()
        .map(|(name, value)| (name.into_owned(), value.unwrap_or_default().into_owned()))
        .collect();
    if is_call {
        return Ok(Payload::Form { pairs });
    }
    Ok(json::object(pairs))
}

#[cfg(test)]
mod tests;
