//! The body of `create-ticket`: what is taken, what is refused, and in which order. Plain functions.
//!
//! The original hands the fields to an RPC as they are, and REST turns each into text there: numbers and truth values as
//! JSON writes them, arrays and objects as JSON. Nothing is trimmed but what goes behind the location.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::Refusal;
use crate::functions::error::FunctionError;
use crate::functions::javascript::{is_falsy, to_text, trim};
use crate::functions::postgresql;

const REQUIRED: [&str; 6] = ["issue", "category", "priority", "location", "tenantId", "chatId"];
const PRIORITIES: [&str; 4] = ["critical", "high", "medium", "low"];
/// What `type` is when it is absent or empty.
const DEFAULT_TYPE: &str = "Maintenance";
/// How much of an invalid id its refusal repeats, in characters.
const ECHO_MAX_CHARS: usize = 200;

/// A checked request to create a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTicket {
    /// The tenant.
    pub tenant_id: Uuid,
    /// The chat id in a form that PostgreSQL's numeric reads.
    pub chat_number: String,
    /// The chat id as it was sent, compared with `telegram_user_id`.
    pub chat_text: String,
    /// Becomes title and description.
    pub issue: String,
    /// Where it is: location, building, floor, room.
    pub location: String,
    /// Stored as text; its id is looked up.
    pub category: String,
    /// One of critical, high, medium, low.
    pub priority: String,
    /// `Maintenance` unless given.
    pub kind: String,
}

/// Parses and checks a body. Bytes that are no UTF-8 become U+FFFD, as in the original.
pub fn parse(body: &[u8]) -> Result<NewTicket, FunctionError> {
    let fields = match serde_json::from_str(&String::from_utf8_lossy(body)) {
        Ok(Value::Object(fields)) => fields,
        Err(_) | Ok(Value::Null) => return Err(FunctionError::InvalidJson),
        // To JavaScript, an array, a number or a string is an object without our fields.
        Ok(_) => Map::new(),
    };
    if REQUIRED.iter().any(|name| fields.get(*name).is_none_or(is_falsy)) {
        return Err(Refusal::MissingFields.into());
    }
    let fields = Fields(fields);

    let tenant_text = fields.required("tenantId")?;
    let tenant_id =
        postgresql::uuid(&tenant_text).ok_or_else(|| Refusal::InvalidTenantId(echo(&tenant_text)))?;
    let priority = fields.required("priority")?;
    if !PRIORITIES.contains(&priority.as_str()) {
        return Err(FunctionError::InvalidPriority);
    }
    let chat_text = fields.required("chatId")?;
    let chat_number =
        postgresql::numeric(&chat_text).ok_or_else(|| Refusal::InvalidChatId(echo(&chat_text)))?;

    let mut location = fields.required("location")?;
    for (name, label) in [("building", "Building"), ("floor", "Floor"), ("room", "Room")] {
        if let Some(part) = fields.optional(name)? {
            location.extend([", ", label, ": ", &part]);
        }
    }
    Ok(NewTicket {
        tenant_id,
        chat_number,
        chat_text,
        issue: fields.required("issue")?,
        location,
        category: fields.required("category")?,
        priority,
        kind: fields
            .optional("type")?
            .unwrap_or_else(|| DEFAULT_TYPE.to_owned()),
    })
}

struct Fields(Map<String, Value>);

impl Fields {
    /// The text of a field that is there.
    fn required(&self, name: &'static str) -> Result<String, FunctionError> {
        let text = self.0.get(name).map(as_text).unwrap_or_default();
        if text.contains('\0') {
            return Err(FunctionError::ContainsNul(name));
        }
        Ok(text)
    }

    /// The text of a field without white space around it; `None` when it is absent, null or blank.
    fn optional(&self, name: &'static str) -> Result<Option<String>, FunctionError> {
        if self.0.get(name).is_none_or(Value::is_null) {
            return Ok(None);
        }
        let text = self.required(name)?;
        Ok(Some(trim(&text).to_owned()).filter(|text| !text.is_empty()))
    }
}

/// A value as REST hands it to an argument of type text.
fn as_text(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) => value.to_string(),
        scalar => to_text(scalar),
    }
}

fn echo(text: &str) -> String {
    text.chars().take(ECHO_MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TENANT: &str = "6f9619ff-8b86-d011-b42d-00cf4fc964ff";

    fn with(changes: Value) -> Result<NewTicket, String> {
        let mut body = json!({
            "issue": "Leak", "category": "Plumbing", "priority": "high", "location": "Hall", "tenantId": TENANT,
            "chatId": "1001"
        });
        let Value::Object(changes) = changes else {
            panic!("no object")
        };
        body.as_object_mut().unwrap().extend(changes);
        parse(body.to_string().as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_body_that_is_no_object_has_no_fields_and_null_is_none() {
        for body in ["", "null", "{", "\"\\ud800\"", "\u{feff}{}"] {
            let error = parse(body.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), "Invalid JSON payload", "{body}");
        }
        for body in ["{}", "[]", "false", "0", "\"\"", "7", "\"text\""] {
            let error = parse(body.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), Refusal::MissingFields.to_string(), "{body}");
        }
    }

    #[test]
    fn falsy_is_missing_and_blank_is_not() {
        for name in REQUIRED {
            for value in [json!(null), json!(false), json!(0), json!("")] {
                assert_eq!(
                    with(json!({ name: value })).unwrap_err(),
                    Refusal::MissingFields.to_string(),
                    "{name}: {value}"
                );
            }
        }
        let ticket = with(json!({"issue": " ", "category": "\t", "location": "  "})).unwrap();
        assert_eq!(
            (&*ticket.issue, &*ticket.category, &*ticket.location),
            (" ", "\t", "  ")
        );
    }

    #[test]
    fn of_several_mistakes_the_tenant_comes_first_then_priority_then_chat() {
        let tenant = "invalid input syntax for type uuid: \"acme\"";
        let priority = "Invalid priority. Must be one of: critical, high, medium, low";
        let chat = "Invalid chat_id format: @john. Must be a numeric value.";
        for (changes, error) in [
            (
                json!({"tenantId": "acme", "priority": "urgent", "chatId": "@john"}),
                tenant,
            ),
            (json!({"priority": "urgent", "chatId": "@john"}), priority),
            (json!({"priority": "High"}), priority),
            (json!({"chatId": "@john"}), chat),
        ] {
            assert_eq!(with(changes.clone()).unwrap_err(), error, "{changes}");
        }
    }

    #[test]
    fn values_become_text_as_rest_makes_it() {
        let ticket = with(json!({"issue": 7, "category": true, "location": [1, {"a": "b"}], "chatId": 1001}));
        let ticket = ticket.unwrap();
        assert_eq!(
            (&*ticket.issue, &*ticket.category, &*ticket.location),
            ("7", "true", r#"[1,{"a":"b"}]"#)
        );
        assert_eq!((&*ticket.chat_number, &*ticket.chat_text), ("1001", "1001"));
    }

    #[test]
    fn building_floor_and_room_go_behind_the_location() {
        for (changes, location) in [
            (json!({}), "Hall"),
            (json!({"building": null, "floor": "", "room": " \t"}), "Hall"),
            (json!({"floor": 3}), "Hall, Floor: 3"),
            (json!({"floor": 0}), "Hall, Floor: 0"),
            (
                json!({"room": "301", "building": " B ", "floor": "2"}),
                "Hall, Building: B, Floor: 2, Room: 301",
            ),
        ] {
            assert_eq!(with(changes.clone()).unwrap().location, location, "{changes}");
        }
    }

    #[test]
    fn a_type_is_maintenance_unless_given() {
        for (sent, kind) in [
            (json!(null), "Maintenance"),
            (json!(""), "Maintenance"),
            (json!(" "), "Maintenance"),
            (json!("Repair"), "Repair"),
        ] {
            assert_eq!(with(json!({ "type": sent })).unwrap().kind, kind);
        }
    }

    #[test]
    fn a_nul_is_named() {
        for name in [
            "issue", "category", "priority", "location", "tenantId", "chatId", "type", "building", "floor",
            "room",
        ] {
            assert_eq!(
                with(json!({ name: "a\0b" })).unwrap_err(),
                format!("Invalid field: {name} must not contain U+0000")
            );
        }
    }

    #[test]
    fn an_invalid_id_is_not_repeated_without_end() {
        let long = "x".repeat(10_000);
        for name in ["tenantId", "chatId"] {
            assert!(with(json!({ name: long })).unwrap_err().len() < 300);
        }
        assert!(with(json!({"chatId": "1".repeat(129)})).is_err());
    }
}
