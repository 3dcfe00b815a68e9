//! The body of a webhook: the contract's payload, the time of dispatch, and a cap on its size. Plain functions.

use std::borrow::Cow;
use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// Most bytes that Make takes, less some for `generated_at`.
pub const MAX_BYTES: usize = 5_000_000 - 100;
/// Ends a text that was cut.
const MARK: &str = "… [cut by Dropwire: too long for a webhook]";
/// Texts of the ticket that may be cut, in this order, when cutting the comment is not enough.
const TEXTS: [&str; 4] = ["description", "title", "location", "tenant_name"];

/// The contract's body: the payload without PostgreSQL's blanks, and the time of dispatch at its end. At most
/// [`MAX_BYTES`] and a little: a comment that is too long is cut and marked, then the ticket's texts; metadata that
/// alone is too long is replaced by a note.
///
/// Short payloads are not parsed: a number in an activity's metadata that no double holds goes out as it was stored.
pub fn body(payload: &str, now: DateTime<Utc>) -> String {
    let mut body = dense(payload);
    if body.len() > MAX_BYTES {
        body = shortened(&body).unwrap_or(body);
    }
    body.pop(); // the closing brace
    // Writing to a String cannot fail.
    let _written = write!(
        body,
        r#","generated_at":"{}"}}"#,
        now.to_rfc3339_opts(SecondsFormat::Millis, true)
    );
    body
}

fn dense(payload: &str) -> String {
    let (mut quoted, mut escaped) = (false, false);
    let dense = payload.trim_end().chars().filter(|c| {
        let blank = !quoted && c.is_ascii_whitespace();
        quoted ^= *c == '"' && !escaped;
        escaped = quoted && *c == '\\' && !escaped;
        !blank
    });
    dense.collect()
}

/// An object whose members keep their order and their spelling.
struct Members(Vec<(String, Box<RawValue>)>);

impl Members {
    fn of(json: &str) -> serde_json::Result<Self> {
        serde_json::from_str(json)
    }

    fn get_mut(&mut self, name: &str) -> Option<&mut Box<RawValue>> {
        self.0
            .iter_mut()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    /// Cuts the text `name` so that it is `excess` bytes shorter as JSON; answers how many bytes were saved.
    fn cut(&mut self, name: &str, excess: usize) -> serde_json::Result<usize> {
        let Some(value) = self.get_mut(name) else {
            return Ok(0);
        };
        let before = value.get().len();
        let Ok(text) = serde_json::from_str::<Cow<'_, str>>(value.get()) else {
            return Ok(0);
        };
        let room = before.saturating_sub(excess + MARK.len());
        let mut cut = String::new();
        let mut used = 2;
        for c in text.chars() {
            used += encoded_len(c);
            if used > room {
                break;
            }
            cut.push(c);
        }
        cut.push_str(MARK);
        let short = RawValue::from_string(serde_json::to_string(&cut)?)?;
        let saved = before.saturating_sub(short.get().len());
        if saved > 0 {
            *value = short;
        }
        Ok(saved)
    }
}

/// Bytes of a character inside a JSON string, at most.
fn encoded_len(c: char) -> usize {
    match c {
        '"' | '\\' => 2,
        c if c.is_ascii_control() => 6,
        c => c.len_utf8(),
    }
}

/// The same payload with what is too long cut.
fn shortened(json: &str) -> serde_json::Result<String> {
    let mut excess = json.len() - MAX_BYTES;
    let mut ticket = Members::of(json)?;
    if let Some(value) = ticket.get_mut("latest_activity")
        && let Ok(mut activity) = Members::of(value.get())
    {
        let before = value.get().len();
        activity.cut("comment", excess)?;
        let metadata = activity.get_mut("metadata");
        if let Some(metadata) = metadata.filter(|metadata| metadata.get().len() > MAX_BYTES / 2) {
            *metadata = RawValue::from_string(r#"{"cut_by_dropwire":true}"#.to_owned())?;
        }
        let short = RawValue::from_string(serde_json::to_string(&activity)?)?;
        excess = excess.saturating_sub(before - short.get().len());
        *value = short;
    }
    for name in TEXTS {
        if excess > 0 {
            excess = excess.saturating_sub(ticket.cut(name, excess)?);
        }
    }
    serde_json::to_string(&ticket)
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn now() -> DateTime<Utc> {
        "2025-11-13T10:31:02.0009Z".parse().unwrap()
    }

    #[test]
    fn the_body_is_dense_keeps_every_value_and_ends_with_the_time_of_dispatch() {
        let payload =
            r#"{"a" : "b : \" { c\\", "d" : {"e": [1.10, 1e400, 12345678901234567890123]}, "f" : null} "#;
        assert_eq!(
            body(payload, now()),
            r#"{"a":"b : \" { c\\","d":{"e":[1.10,1e400,12345678901234567890123]},"f":null,"generated_at":"2025-11-13T10:31:02.000Z"}"#
        );
    }

    fn long(comment: &str, description: &str, metadata: &Value) -> (String, Value) {
        let payload = json!({
            "tenant_id": "t", "title": "Door", "description": description,
            "latest_activity": {"id": "a", "comment": comment, "metadata": metadata, "created_at": "2025"}
        });
        let body = body(&payload.to_string(), now());
        assert!(body.len() <= 5_000_000, "{}", body.len());
        let value = serde_json::from_str(&body).unwrap();
        (body, value)
    }

    #[test]
    fn a_comment_that_is_too_long_is_cut_and_marked_and_nothing_else_changes() {
        for comment in [
            "x".repeat(6_000_000),
            "\"\\\n\u{1}".repeat(1_500_000),
            "ü😀".repeat(1_000_000),
        ] {
            let (body, value) = long(&comment, "Squeaks", &json!({"n": 1}));
            let cut = value["latest_activity"]["comment"].as_str().unwrap();
            assert!(comment.starts_with(cut.strip_suffix(MARK).unwrap()));
            assert!(
                body.len() > 4_900_000 || comment.contains('\u{1}'),
                "{}",
                body.len()
            );
            assert_eq!(value["latest_activity"]["metadata"], json!({"n": 1}));
            assert_eq!(value["description"], "Squeaks");
            assert_eq!(value["latest_activity"]["created_at"], "2025");
            assert!(body.starts_with(r#"{"tenant_id":"t","title":"Door","#));
        }
    }

    #[test]
    fn where_the_comment_is_not_to_blame_the_rest_is_cut() {
        let (_, value) = long("short", &"d".repeat(6_000_000), &json!(null));
        assert!(value["description"].as_str().unwrap().ends_with(MARK));
        let (_, value) = long("short", "d", &json!({"big": "m".repeat(6_000_000)}));
        assert_eq!(
            value["latest_activity"]["metadata"],
            json!({"cut_by_dropwire": true})
        );
        let (_, value) = long(&"c".repeat(2_000_000), &"d".repeat(6_000_000), &json!(null));
        assert_eq!(value["latest_activity"]["comment"], MARK);
        assert!(value["description"].as_str().unwrap().ends_with(MARK));
    }
}
