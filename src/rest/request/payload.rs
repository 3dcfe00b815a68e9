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
