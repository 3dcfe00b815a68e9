//! The body of `user-onboarding-callback`: what is taken and what is refused. Plain functions.
//!
//! Telegram's ids come as numbers or strings, as a Make scenario maps them. Empty texts count as absent: they are what
//! Make sends for a field that is mapped to nothing.

use serde_json::{Map, Value};

use crate::functions::error::FunctionError;
use crate::functions::javascript::{is_falsy, object, to_text};
use crate::onboarding::{CorrelationId, Event, Refusal, Report};

/// How much of an error's text is kept, in characters. More is cut off: the failure itself must get through.
const ERROR_MAX_CHARS: usize = 500;
/// Longest deep link, in bytes; Telegram's have a hundred.
const DEEP_LINK_MAX: usize = 2048;
/// Longest user id, in bytes; Telegram's have some ten digits, a user name at most 32 characters.
const USER_ID_MAX: usize = 64;
/// Longest instant, in bytes.
const INSTANT_MAX: usize = 64;

/// A body with a correlation id.
#[derive(Debug, PartialEq, Eq)]
pub struct Callback {
    /// Whose; `None` for what is no UUID, hence nobody's.
    pub correlation_id: Option<CorrelationId>,
    /// What it says, or what is wrong with that: told only once the user is found, as in the original.
    pub report: Result<Report, Refusal>,
}

/// Parses and checks a body.
pub fn parse(body: &[u8]) -> Result<Callback, FunctionError> {
    let fields = object(body).ok_or(FunctionError::InvalidJson)?;
    let correlation_id = match fields.get("correlation_id") {
        Some(Value::String(id)) if !id.is_empty() => CorrelationId::parse(id),
        Some(other) if !is_falsy(other) => None,
        _ => return Err(Refusal::CorrelationIdMissing.into()),
    };
    Ok(Callback {
        correlation_id,
        report: report(&fields),
    })
}

/// A chat id completes, whatever the status says; `completed` needs one, and 0 will do, as in the original.
fn report(fields: &Map<String, Value>) -> Result<Report, Refusal> {
    let get = |name| fields.get(name).unwrap_or(&Value::Null);
    let status = get("status").as_str().unwrap_or_default();
    let chat = get("chat_id");
    let event = if status == "completed" || !is_falsy(chat) {
        Event::Completed {
            chat_id: chat_id(chat)?,
            telegram_user_id: telegram_user_id(get("telegram_user_id"))?,
            joined_at: joined_at(get("joined_at"))?,
        }
    } else {
        let error = error(get("error"));
        match status {
            "awaiting_chat" => Event::AwaitingChat,
            "failed" => Event::Failed {
                error,
                retry_count: retry_count(get("retry_count"))?,
            },
            "timeout" => Event::TimedOut { error },
            "cancelled" => Event::Cancelled { error },
            _ => Event::InviteSent,
        }
    };
    Ok(Report {
        event,
        deep_link: deep_link(get("deep_link"))?,
    })
}

/// A whole number, or a string of one. Telegram's are whole, negative for groups, and below 2^52.
fn chat_id(value: &Value) -> Result<i64, Refusal> {
    match value {
        Value::Null | Value::Bool(false) => Err(Refusal::ChatIdMissing),
        Value::String(text) if text.is_empty() => Err(Refusal::ChatIdMissing),
        Value::String(_) | Value::Number(_) => {
            let text = to_text(value);
            let number = text.trim_ascii();
            // `1001.0`, as some spreadsheet will have it.
            let whole = match number.split_once('.') {
                Some((whole, zeros)) if zeros.bytes().all(|b| b == b'0') => whole,
                _ => number,
            };
            whole.parse().map_err(|_no_number| Refusal::Unstorable)
        }
        Value::Bool(true) | Value::Array(_) | Value::Object(_) => Err(Refusal::Unstorable),
    }
}

/// A string or number; what is falsy leaves the id on file as it is.
fn telegram_user_id(value: &Value) -> Result<Option<String>, Refusal> {
    match value {
        absent if is_falsy(absent) => Ok(None),
        Value::String(_) | Value::Number(_) => storable(to_text(value), USER_ID_MAX).map(Some),
        _ => Err(Refusal::Unstorable),
    }
}

/// A string that begins like an ISO date; PostgreSQL reads the rest, and would read `tomorrow` too.
fn joined_at(value: &Value) -> Result<Option<String>, Refusal> {
    match value {
        absent if is_falsy(absent) => Ok(None),
        Value::String(text) if text.starts_with(|c: char| c.is_ascii_digit()) => {
            storable(text.clone(), INSTANT_MAX).map(Some)
        }
        _ => Err(Refusal::Unstorable),
    }
}

fn deep_link(value: &Value) -> Result<Option<String>, Refusal> {
    match value {
        absent if is_falsy(absent) => Ok(None),
        Value::String(text) => storable(text.clone(), DEEP_LINK_MAX).map(Some),
        _ => Err(Refusal::Unstorable),
    }
}

/// A number counts, anything else is as if absent, as in the original.
fn retry_count(value: &Value) -> Result<Option<i32>, Refusal> {
    let Value::Number(_) = value else {
        return Ok(None);
    };
    // Printed as JavaScript does, `3.0` is 3.
    to_text(value)
        .parse()
        .map(Some)
        .map_err(|_no_int4| Refusal::Unstorable)
}

/// The text, cut; what is no text as JSON, since a Make scenario may map a whole error bundle.
fn error(value: &Value) -> Option<String> {
    let text = match value {
        absent if is_falsy(absent) => return None,
        Value::String(text) => text.clone(),
        bundle => bundle.to_string(),
    };
    // PostgreSQL stores no NUL.
    Some(
        text.replace('\0', "\u{fffd}")
            .chars()
            .take(ERROR_MAX_CHARS)
            .collect(),
    )
}

/// Refuses what is too long, and U+0000, which PostgreSQL does not store.
fn storable(text: String, limit: usize) -> Result<String, Refusal> {
    if text.len() > limit || text.contains('\0') {
        return Err(Refusal::Unstorable);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ID: &str = "0b7f6a3e-52c1-4b0e-9d7c-3f1a2e4d5c6b";

    fn with(fields: Value) -> Result<Report, Refusal> {
        let mut body = fields;
        body["correlation_id"] = json!(ID);
        parse(body.to_string().as_bytes()).unwrap().report
    }

    fn event(fields: Value) -> Result<Event, Refusal> {
        with(fields).map(|report| report.event)
    }

    fn completed(chat_id: i64) -> Event {
        Event::Completed {
            chat_id,
            telegram_user_id: None,
            joined_at: None,
        }
    }

    #[test]
    fn a_correlation_id_has_to_be_there() {
        for body in [
            json!({}),
            json!([]),
            json!("x"),
            json!({"correlation_id": null}),
            json!({"correlation_id": ""}),
            json!({"correlation_id": 0}),
        ] {
            let error = parse(body.to_string().as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), "correlation_id is required", "{body}");
        }
    }

    #[test]
    fn a_correlation_id_that_is_no_uuid_is_nobodys() {
        for id in [json!("x"), json!(" "), json!(7), json!(true), json!([ID])] {
            let callback = parse(json!({"correlation_id": id}).to_string().as_bytes()).unwrap();
            assert_eq!(callback.correlation_id, None, "{id}");
        }
    }

    #[test]
    fn every_status_has_its_event_and_any_other_means_that_the_mail_is_out() {
        let none = || None::<String>;
        for (status, expected) in [
            (json!("invite_sent"), Event::InviteSent),
            (json!("awaiting_chat"), Event::AwaitingChat),
            (
                json!("failed"),
                Event::Failed {
                    error: none(),
                    retry_count: None,
                },
            ),
            (json!("timeout"), Event::TimedOut { error: none() }),
            (json!("cancelled"), Event::Cancelled { error: none() }),
            (json!(null), Event::InviteSent),
            (json!(""), Event::InviteSent),
            (json!("Failed"), Event::InviteSent),
            (json!("whatever"), Event::InviteSent),
            (json!(7), Event::InviteSent),
        ] {
            assert_eq!(event(json!({"status": status})), Ok(expected), "{status}");
        }
    }

    #[test]
    fn a_chat_id_completes_whatever_the_status_says() {
        for status in [
            "completed",
            "invite_sent",
            "awaiting_chat",
            "failed",
            "cancelled",
            "",
        ] {
            assert_eq!(
                event(json!({"status": status, "chat_id": "7"})),
                Ok(completed(7)),
                "{status}"
            );
        }
    }

    #[test]
    fn chat_ids_are_whole_numbers_or_strings_of_them() {
        for (sent, read) in [
            (json!(123_456_789), 123_456_789),
            (json!("123456789"), 123_456_789),
            (json!(" 1001 "), 1001),
            (json!("+1001"), 1001),
            (json!("-1001234567890"), -1_001_234_567_890),
            (json!(1001.0), 1001),
            (json!("1001.0"), 1001),
            (json!("0"), 0),
        ] {
            assert_eq!(event(json!({"chat_id": sent})), Ok(completed(read)), "{sent}");
        }
        for sent in [
            json!("abc"),
            json!(" "),
            json!("."),
            json!("1.5"),
            json!(1.5),
            json!("NaN"),
            json!("Infinity"),
            json!("9223372036854775808"),
            json!(1e300),
            json!("1\0"),
            json!(true),
            json!([7]),
            json!({}),
        ] {
            assert_eq!(
                event(json!({"chat_id": sent})),
                Err(Refusal::Unstorable),
                "{sent}"
            );
        }
    }

    #[test]
    fn completed_needs_a_chat_id_and_zero_will_do_there_only() {
        for missing in [json!(null), json!(""), json!(false)] {
            let sent = json!({"status": "completed", "chat_id": missing});
            assert_eq!(event(sent), Err(Refusal::ChatIdMissing), "{missing}");
        }
        assert_eq!(
            event(json!({"status": "completed", "chat_id": 0})),
            Ok(completed(0))
        );
        assert_eq!(event(json!({"chat_id": 0})), Ok(Event::InviteSent));
    }

    #[test]
    fn a_telegram_user_is_a_number_or_a_name() {
        let user = |sent: Value| match event(json!({"chat_id": 7, "telegram_user_id": sent})) {
            Ok(Event::Completed { telegram_user_id, .. }) => Ok(telegram_user_id),
            other => other.map(|_| None),
        };
        assert_eq!(user(json!(42)), Ok(Some("42".to_owned())));
        assert_eq!(user(json!("mike")), Ok(Some("mike".to_owned())));
        for absent in [json!(null), json!(""), json!(0), json!(false)] {
            assert_eq!(user(absent), Ok(None));
        }
        for sent in [json!(true), json!([1]), json!("\0"), json!("x".repeat(65))] {
            assert_eq!(user(sent), Err(Refusal::Unstorable));
        }
    }

    #[test]
    fn an_instant_begins_with_a_digit() {
        let joined = |sent: Value| event(json!({"chat_id": 7, "joined_at": sent}));
        assert!(joined(json!("2025-11-13T10:30:00.000Z")).is_ok());
        assert_eq!(joined(json!("")), Ok(completed(7)));
        for sent in [
            json!("tomorrow"),
            json!("infinity"),
            json!(1_731_493_800),
            json!({}),
        ] {
            assert_eq!(joined(sent), Err(Refusal::Unstorable));
        }
    }

    #[test]
    fn a_retry_count_is_an_integer_and_what_is_no_number_does_not_count() {
        let count = |sent: Value| match event(json!({"status": "failed", "retry_count": sent})) {
            Ok(Event::Failed { retry_count, .. }) => Ok(retry_count),
            other => other.map(|_| None),
        };
        for (sent, read) in [
            (json!(3), Some(3)),
            (json!(3.0), Some(3)),
            (json!(0), Some(0)),
            (json!("3"), None),
            (json!(null), None),
        ] {
            assert_eq!(count(sent.clone()), Ok(read), "{sent}");
        }
        for sent in [json!(1.5), json!(2_147_483_648_u32), json!(1e300)] {
            assert_eq!(count(sent.clone()), Err(Refusal::Unstorable), "{sent}");
        }
    }

    #[test]
    fn an_error_gets_through_whatever_it_is() {
        let text = |sent: Value| match event(json!({"status": "timeout", "error": sent})) {
            Ok(Event::TimedOut { error }) => error,
            other => panic!("{other:?}"),
        };
        assert_eq!(text(json!("no mail server")), Some("no mail server".to_owned()));
        assert_eq!(text(json!({"code": 7})), Some(r#"{"code":7}"#.to_owned()));
        assert_eq!(text(json!("a\0b")), Some("a\u{fffd}b".to_owned()));
        assert_eq!(text(json!("é".repeat(600))), Some("é".repeat(500)));
        assert_eq!(text(json!("")), None);
        assert_eq!(text(Value::Null), None);
    }

    #[test]
    fn a_deep_link_comes_with_any_event() {
        let link = "https://t.me/bot?start=1";
        for status in ["invite_sent", "awaiting_chat", "failed", "timeout", "cancelled"] {
            let report = with(json!({"status": status, "deep_link": link})).unwrap();
            assert_eq!(report.deep_link.as_deref(), Some(link), "{status}");
        }
        for sent in [json!(7), json!("\0"), json!("x".repeat(2049))] {
            assert_eq!(with(json!({"deep_link": sent})), Err(Refusal::Unstorable));
        }
    }
}
