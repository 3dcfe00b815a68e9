//! The body of `telegram-webhook`: what is taken, what is refused, and in which order. Plain functions.

use serde_json::{Map, Value};

use crate::functions::error::FunctionError;
use crate::functions::javascript::{is_falsy, to_text, trim};
use crate::functions::postgresql;

/// In the order in which they are checked; the first failure answers.
const REQUIRED: [&str; 7] = [
    "issue",
    "location",
    "category",
    "priority",
    "name",
    "chat_id",
    "tenant_id",
];
const PRIORITIES: [&str; 4] = ["critical", "high", "medium", "low"];
/// What `type` is when it is absent or empty.
const DEFAULT_TYPE: &str = "Maintenance";

/// A checked request to create a ticket. Texts are trimmed as JavaScript trims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTicket {
    /// The tenant as a hyphenated UUID.
    pub tenant_id: uuid::Uuid,
    /// The tenant as it was sent, for the 404's text.
    pub tenant_text: String,
    /// The chat id in a form that PostgreSQL's numeric reads.
    pub chat_number: String,
    /// The chat id as it was sent, for the 404's text.
    pub chat_text: String,
    /// The chat id without the quotes that may stand around it, compared with `telegram_user_id`.
    pub chat_name: String,
    /// Becomes title and description.
    pub issue: String,
    /// Where it is.
    pub location: String,
    /// Stored as text.
    pub category: String,
    /// One of critical, high, medium, low.
    pub priority: String,
    /// `Maintenance` unless given.
    pub kind: String,
    /// Null when absent; an empty text stays.
    pub building: Option<String>,
    /// Null when absent; an empty text stays.
    pub floor: Option<String>,
    /// Null when absent; an empty text stays.
    pub room: Option<String>,
}

/// Parses and checks a body. Bytes that are no UTF-8 become U+FFFD, as in the original.
pub fn parse(body: &[u8]) -> Result<NewTicket, FunctionError> {
    let text = String::from_utf8_lossy(body);
    let value: Value = serde_json::from_str(&text).map_err(|_any| FunctionError::InvalidJson)?;
    if is_falsy(&value) {
        return Err(FunctionError::InvalidJson);
    }
    // To JavaScript, an array, a number or a string is an object without our fields.
    let fields = if let Value::Object(fields) = value {
        fields
    } else {
        Map::new()
    };
    let fields = Fields(fields);

    for name in REQUIRED {
        fields.require(name)?;
    }
    let priority = match fields.get("priority") {
        Some(Value::String(priority)) if PRIORITIES.contains(&priority.as_str()) => priority.clone(),
        _ => return Err(FunctionError::InvalidPriority),
    };
    let issue = fields.text("issue")?.unwrap_or_default();
    let location = fields.text("location")?.unwrap_or_default();
    let category = fields.text("category")?.unwrap_or_default();
    let kind = fields
        .text("type")?
        .filter(|kind| !kind.is_empty())
        .unwrap_or_else(|| DEFAULT_TYPE.to_owned());
    let building = fields.text("building")?;
    let floor = fields.text("floor")?;
    let room = fields.text("room")?;

    let tenant_text = fields.printed("tenant_id");
    let tenant_id = postgresql::uuid(&tenant_text).ok_or(FunctionError::InvalidTenantId)?;
    let chat_text = fields.printed("chat_id");
    let chat_name = unquoted(&chat_text).to_owned();
    let chat_number = postgresql::numeric(&chat_name).ok_or(FunctionError::InvalidChatId)?;

    Ok(NewTicket {
        tenant_id,
        tenant_text,
        chat_number,
        chat_text,
        chat_name,
        issue,
        location,
        category,
        priority,
        kind,
        building,
        floor,
        room,
    })
}

struct Fields(Map<String, Value>);

impl Fields {
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Refuses an absent, falsy or blank value.
    fn require(&self, name: &'static str) -> Result<(), FunctionError> {
        let missing = match self.get(name) {
            None => true,
            Some(Value::String(text)) => trim(text).is_empty(),
            Some(value) => is_falsy(value),
        };
        if missing {
            Err(FunctionError::MissingField(name))
        } else {
            Ok(())
        }
    }

    /// A string, trimmed; `None` when absent or null.
    fn text(&self, name: &'static str) -> Result<Option<String>, FunctionError> {
        match self.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.contains('\0') => Err(FunctionError::ContainsNul(name)),
            Some(Value::String(text)) => Ok(Some(trim(text).to_owned())),
            Some(_) => Err(FunctionError::NotAString(name)),
        }
    }

    fn printed(&self, name: &str) -> String {
        self.get(name).map(to_text).unwrap_or_default()
    }
}

/// A text without one pair of double quotes around it: the original's REST filter took them for its own.
fn unquoted(text: &str) -> &str {
    text.strip_prefix('"')
        .and_then(|t| t.strip_suffix('"'))
        .unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TENANT: &str = "6f9619ff-8b86-d011-b42d-00cf4fc964ff";

    fn guide() -> Value {
        json!({
            "issue": "AC not working in Building A", "location": "Building A, Floor 3", "category": "HVAC",
            "priority": "high", "name": "John Doe", "chat_id": "123456789", "tenant_id": TENANT
        })
    }

    fn with(name: &str, value: Value) -> Result<NewTicket, String> {
        let mut body = guide();
        body[name] = value;
        parse(body.to_string().as_bytes()).map_err(|e| e.to_string())
    }

    #[test]
    fn the_guides_payload_is_taken() {
        let ticket = parse(guide().to_string().as_bytes()).unwrap();
        assert_eq!(ticket.issue, "AC not working in Building A");
        assert_eq!(ticket.kind, "Maintenance");
        assert_eq!(ticket.building, None);
    }

    #[test]
    fn falsy_bodies_and_broken_json_are_no_payload() {
        for body in [
            "",
            "null",
            "false",
            "0",
            "-0.0",
            "\"\"",
            "{",
            "{\"a\":1}x",
            "\u{feff}{}",
            "\"\\ud800\"",
        ] {
            assert_eq!(
                parse(body.as_bytes()).unwrap_err().to_string(),
                "Invalid JSON payload",
                "{body}"
            );
        }
    }

    #[test]
    fn other_json_is_an_object_without_fields() {
        for body in ["[]", "7", "true", "\"text\"", "{}"] {
            assert_eq!(
                parse(body.as_bytes()).unwrap_err().to_string(),
                "Missing required field: issue",
                "{body}"
            );
        }
    }

    #[test]
    fn the_first_missing_field_in_order_answers() {
        let mut body = guide().as_object().unwrap().clone();
        for name in REQUIRED.iter().rev() {
            body.remove(*name);
            let error = parse(Value::Object(body.clone()).to_string().as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), format!("Missing required field: {name}"));
        }
    }

    #[test]
    fn falsy_and_blank_values_are_missing() {
        for value in [
            json!(null),
            json!(false),
            json!(0),
            json!(""),
            json!(" \t\u{a0}\u{feff}"),
        ] {
            for name in REQUIRED {
                assert_eq!(
                    with(name, value.clone()).unwrap_err(),
                    format!("Missing required field: {name}")
                );
            }
        }
    }

    #[test]
    fn texts_are_trimmed_and_must_be_strings() {
        assert_eq!(
            with("issue", json!("\u{2003} leak \u{feff}")).unwrap().issue,
            "leak"
        );
        for name in [
            "issue", "location", "category", "type", "building", "floor", "room",
        ] {
            for value in [json!(5), json!(true), json!(["x"]), json!({})] {
                assert_eq!(
                    with(name, value).unwrap_err(),
                    format!("Invalid field: {name} must be a string")
                );
            }
            assert_eq!(
                with(name, json!("a\0b")).unwrap_err(),
                format!("Invalid field: {name} must not contain U+0000")
            );
        }
    }

    #[test]
    fn optional_texts_default_or_stay_null_or_empty() {
        assert_eq!(with("type", json!("  ")).unwrap().kind, "Maintenance");
        assert_eq!(with("type", json!(null)).unwrap().kind, "Maintenance");
        assert_eq!(with("type", json!(" Repair ")).unwrap().kind, "Repair");
        assert_eq!(with("room", json!("")).unwrap().room.as_deref(), Some(""));
        assert_eq!(with("room", json!(null)).unwrap().room, None);
    }

    #[test]
    fn name_designation_and_department_take_any_type() {
        for name in ["name", "designation", "department"] {
            assert!(with(name, json!({"first": "John"})).is_ok());
        }
    }

    #[test]
    fn priority_is_matched_exactly() {
        for value in [
            json!("High"),
            json!(" high"),
            json!("urgent"),
            json!(1),
            json!(["high"]),
        ] {
            assert_eq!(
                with("priority", value).unwrap_err(),
                "Invalid priority. Must be one of: critical, high, medium, low"
            );
        }
    }

    #[test]
    fn chat_ids_are_read_as_postgresql_reads_numeric() {
        for (sent, number) in [
            (json!(1001), "1001"),
            (json!(1001.0), "1001"),
            (json!(" 1001"), "1001"),
            (json!("+1001"), "+1001"),
            (json!("01001"), "01001"),
            (json!("1001.0"), "1001.0"),
            (json!("1e3"), "1e3"),
            (json!("\"1001\""), "1001"),
            (json!("-5"), "-5"),
            (json!(".5"), ".5"),
            (json!("5."), "5."),
            (json!("NaN"), "NaN"),
            (json!("Infinity"), "NaN"),
            (json!([1001]), "1001"),
            (json!(9_007_199_254_740_993_u64), "9007199254740992"),
            (json!("9007199254740993"), "9007199254740993"),
        ] {
            assert_eq!(
                with("chat_id", sent.clone()).unwrap().chat_number,
                number,
                "{sent}"
            );
        }
        for sent in [
            json!("abc"),
            json!("1)"),
            json!("1,id.neq.0"),
            json!("1e9999"),
            json!("."),
            json!("1 2"),
            json!({}),
        ] {
            assert_eq!(
                with("chat_id", sent.clone()).unwrap_err(),
                "Invalid chat_id",
                "{sent}"
            );
        }
    }

    #[test]
    fn tenant_ids_are_read_as_postgresql_reads_uuid() {
        let plain: String = TENANT.chars().filter(|c| *c != '-').collect();
        for sent in [
            TENANT.to_uppercase(),
            plain.clone(),
            format!("{{{TENANT}}}"),
            "6f96-19ff-8b86-d011-b42d-00cf-4fc9-64ff".to_owned(),
        ] {
            assert_eq!(
                with("tenant_id", json!(sent)).unwrap().tenant_id.to_string(),
                TENANT
            );
        }
        for sent in [
            format!(" {TENANT}"),
            "x".to_owned(),
            format!("{{{TENANT}"),
            format!("{plain}0"),
            format!("{TENANT}-"),
            "6f9-619ff8b86d011b42d00cf4fc964ff".to_owned(),
        ] {
            assert_eq!(
                with("tenant_id", json!(sent)).unwrap_err(),
                "Invalid tenant_id",
                "{sent}"
            );
        }
    }

    #[test]
    fn bytes_that_are_no_utf8_become_replacement_characters() {
        let mut body = guide().to_string().into_bytes();
        let at = body.windows(2).position(|w| w == b"AC").unwrap();
        body[at] = 0xff;
        assert_eq!(parse(&body).unwrap().issue, "\u{fffd}C not working in Building A");
    }

    #[test]
    fn of_duplicate_keys_the_last_counts() {
        let body = guide().to_string().replacen('{', r#"{"issue":"first","#, 1);
        assert_eq!(
            parse(body.as_bytes()).unwrap().issue,
            "AC not working in Building A"
        );
    }
}
