//! CSV bodies, converted to JSON.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;

use super::{Payload, json};
use crate::rest::error::RequestError;

/// Converts a table with a header line into an array of objects.
///
/// Values are texts, which PostgreSQL casts; `NULL`, quoted or not, is null. A line with fewer fields than the header
/// is refused, further fields of a longer one do not count, empty lines neither.
pub(super) fn parse(body: &Bytes) -> Result<Payload, RequestError> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(body.as_ref());
    let mut line = csv::StringRecord::new();
    if !read(&mut reader, &mut line)? {
        return Err(RequestError::InvalidBody("The CSV has no header line".to_owned()));
    }
    let header = line.clone();
    let members = Members::new(&header);
    let mut rows = Vec::with_capacity(body.len() * 2);
    while read(&mut reader, &mut line)? {
        if line.len() < header.len() {
            let message = "All lines must have same number of fields";
            return Err(RequestError::InvalidBody(message.to_owned()));
        }
        rows.push(if rows.is_empty() { b'[' } else { b',' });
        members.write(&mut rows, &line);
    }
    if rows.is_empty() {
        return Ok(json::empty_array());
    }
    rows.push(b']');
    Ok(Payload::Json {
        raw: rows.into(),
        keys: members.names,
        is_object: false,
    })
}

fn read(reader: &mut csv::Reader<&[u8]>, line: &mut csv::StringRecord) -> Result<bool, RequestError> {
    // A slice does not fail to be read: what may be wrong is the encoding.
    let invalid = |error: csv::Error| RequestError::InvalidBody(format!("Invalid CSV: {error}"));
    reader.read_record(line).map_err(invalid)
}

/// The members that each row's object has.
struct Members {
    names: BTreeSet<String>,
    /// What stands before each value: `"name":`. None for a column whose name comes again; the last counts.
    keys: Vec<Option<Vec<u8>>>,
}

impl Members {
    fn new(header: &csv::StringRecord) -> Self {
        let last: HashMap<&str, usize> = header.iter().zip(0..).collect();
        let keys = header.iter().enumerate().map(|(i, name)| {
            (last.get(name) == Some(&i)).then(|| {
                let mut key = Vec::new();
                write_text(&mut key, name);
                key.push(b':');
                key
            })
        });
        Self {
            names: header.iter().map(str::to_owned).collect(),
            keys: keys.collect(),
        }
    }

    fn write(&self, rows: &mut Vec<u8>, line: &csv::StringRecord) {
        rows.push(b'{');
        let mut first = true;
        for (key, value) in self.keys.iter().zip(line) {
            let Some(key) = key else { continue };
            if !first {
                rows.push(b',');
            }
            first = false;
            rows.extend_from_slice(key);
            if value == "NULL" {
                rows.extend_from_slice(b"null");
            } else {
                write_text(rows, value);
            }
        }
        rows.push(b'}');
    }
}

fn write_text(json: &mut Vec<u8>, text: &str) {
    // Writing a text into memory does not fail.
    drop(serde_json::to_writer(json, text));
}
