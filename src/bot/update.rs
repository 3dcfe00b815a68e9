//! Telegram's updates as the bot reads them: <https://core.telegram.org/bots/api#update>. Plain functions.

use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value};
use uuid::Uuid;

/// Bytes that are no update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no update of Telegram's")]
pub struct InvalidUpdate;

/// An update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// `update_id`, by which a repeat is known.
    pub(super) id: Option<i64>,
    pub(super) content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// Not for us: an edited message, a picture, somebody who joined a group.
    Nothing,
    Message(Message),
    Callback(Callback),
}

/// A message with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) chat_id: i64,
    /// Who wrote it; the chat where nobody is named.
    pub(super) user_id: i64,
    /// In ISO 8601.
    pub(super) sent_at: Option<String>,
    pub(super) said: Said,
    /// The message that this one replies to.
    pub(super) reply_to: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// `/start`, with the parameter of a deep link.
    Start(Option<String>),
    /// `/mytickets`
    MyTickets,
    /// A command that we do not have.
    OtherCommand,
    /// Anything else, without blanks around it.
    Text(String),
}

/// A tap on a button.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Callback {
    pub(super) id: String,
    pub(super) chat_id: i64,
    /// The message that the button stands under.
    pub(super) message_id: Option<i64>,
    /// What the button's data says, if it can be read.
    pub(super) action: Option<Action>,
}

/// `name|ticket id`, the data of our buttons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Action {
    pub(super) name: String,
    /// `None` when it is no UUID, hence no ticket's.
    pub(super) ticket_id: Option<Uuid>,
}

impl Callback {
    pub(super) fn is_resolution(&self) -> bool {
        self.action
            .as_ref()
            .is_some_and(|action| action.name == "status_resolved")
    }
}

impl Update {
    /// Reads a body. An object is an update if it has an `update_id`, a `message` or a `callback_query`; what is in them
    /// and cannot be read is not for us.
    pub fn parse(body: &[u8]) -> Result<Self, InvalidUpdate> {
        let text = String::from_utf8_lossy(body);
        let Ok(Value::Object(update)) = serde_json::from_str(&text) else {
            return Err(InvalidUpdate);
        };
        let has = |name: &str| update.get(name).is_some_and(|value| !value.is_null());
        if !["update_id", "message", "callback_query"].into_iter().any(has) {
            return Err(InvalidUpdate);
        }
        let object = |name: &str| update.get(name).and_then(Value::as_object);
        let callback = object("callback_query").and_then(callback).map(Content::Callback);
        let message = || object("message").and_then(message).map(Content::Message);
        Ok(Self {
            id: update.get("update_id").and_then(Value::as_i64),
            content: callback.or_else(message).unwrap_or(Content::Nothing),
        })
    }
}

fn message(fields: &Map<String, Value>) -> Option<Message> {
    let chat_id = id_of(fields.get("chat")?)?;
    let sent_at = fields.get("date").and_then(Value::as_i64);
    let sent_at = sent_at.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    Some(Message {
        chat_id,
        user_id: fields.get("from").and_then(id_of).unwrap_or(chat_id),
        sent_at: sent_at.map(|at| at.to_rfc3339_opts(SecondsFormat::Millis, true)),
        said: said(fields.get("text")?.as_str()?)?,
        reply_to: fields.get("reply_to_message").and_then(message_id),
    })
}

/// `None` for a blank text.
fn said(text: &str) -> Option<Said> {
    // PostgreSQL stores no NUL.
    let text = text.trim().replace('\0', "\u{fffd}");
    let mut words = text.split_whitespace();
    let first = words.next()?;
    let Some(command) = first.strip_prefix('/').filter(|command| !command.is_empty()) else {
        return Some(Said::Text(text));
    };
    // In a group, the command may name its bot.
    let command = command.split('@').next().unwrap_or_default();
    Some(match command.to_ascii_lowercase().as_str() {
        "start" => Said::Start(words.next().map(str::to_owned)),
        "mytickets" => Said::MyTickets,
        _ => Said::OtherCommand,
    })
}

fn callback(fields: &Map<String, Value>) -> Option<Callback> {
    let message = fields.get("message");
    let chat = message.and_then(|message| message.get("chat")).and_then(id_of);
    let data = fields.get("data").and_then(Value::as_str).unwrap_or_default();
    Some(Callback {
        id: fields
            .get("id")
            .and_then(Value::as_str)?
            .replace('\0', "\u{fffd}"),
        chat_id: chat.or_else(|| fields.get("from").and_then(id_of))?,
        message_id: message.and_then(message_id),
        action: action(data),
    })
}

fn action(data: &str) -> Option<Action> {
    let (name, ticket) = data.split_once('|')?;
    if name.is_empty() || ticket.is_empty() {
        return None;
    }
    Some(Action {
        name: name.replace('\0', "\u{fffd}"),
        ticket_id: Uuid::try_parse(ticket).ok(),
    })
}

fn id_of(chat_or_user: &Value) -> Option<i64> {
    chat_or_user.get("id")?.as_i64()
}

fn message_id(message: &Value) -> Option<i64> {
    message.get("message_id")?.as_i64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TICKET: &str = "0b7f6a3e-52c1-4b0e-9d7c-3f1a2e4d5c6b";

    fn content(update: &Value) -> Content {
        Update::parse(update.to_string().as_bytes()).unwrap().content
    }

    fn text(text: &str) -> Option<Said> {
        let update = json!({"update_id": 1, "message": {"chat": {"id": 7}, "text": text}});
        match content(&update) {
            Content::Message(message) => Some(message.said),
            Content::Nothing => None,
            Content::Callback(_) => panic!("no callback"),
        }
    }

    #[test]
    fn an_object_with_any_of_the_three_is_an_update() {
        for body in [
            r#"{"update_id":1}"#,
            r#"{"update_id":"x"}"#,
            r#"{"message":{}}"#,
            r#"{"message":5}"#,
            r#"{"callback_query":{}}"#,
            r#"{"update_id":1,"edited_message":{"chat":{"id":7},"text":"x"}}"#,
        ] {
            let update = Update::parse(body.as_bytes()).unwrap();
            assert_eq!(update.content, Content::Nothing, "{body}");
        }
        for body in [
            "",
            "{",
            "null",
            "[]",
            "7",
            "{}",
            r#"{"update_id":null}"#,
            r#"{"message":null,"x":1}"#,
        ] {
            assert_eq!(Update::parse(body.as_bytes()), Err(InvalidUpdate), "{body}");
        }
    }

    #[test]
    fn a_message_says_who_where_when_and_to_what() {
        let update = json!({"update_id": 5, "message": {
            "message_id": 11, "date": 1_763_029_800, "chat": {"id": -100_123}, "from": {"id": 42}, "text": " Done. ",
            "reply_to_message": {"message_id": 10}
        }});
        let parsed = Update::parse(update.to_string().as_bytes()).unwrap();
        assert_eq!(parsed.id, Some(5));
        let expected = Message {
            chat_id: -100_123,
            user_id: 42,
            sent_at: Some("2025-11-13T10:30:00.000Z".to_owned()),
            said: Said::Text("Done.".to_owned()),
            reply_to: Some(10),
        };
        assert_eq!(parsed.content, Content::Message(expected));
    }

    #[test]
    fn commands_are_told_from_texts() {
        let start = |parameter: Option<&str>| Some(Said::Start(parameter.map(str::to_owned)));
        for (sent, read) in [
            ("/start", start(None)),
            ("/start abc", start(Some("abc"))),
            ("/start@fms_bot  abc  x", start(Some("abc"))),
            ("/mytickets", Some(Said::MyTickets)),
            (" /MyTickets@fms_bot now", Some(Said::MyTickets)),
            ("/help", Some(Said::OtherCommand)),
            ("/starting", Some(Said::OtherCommand)),
            ("/", Some(Said::Text("/".to_owned()))),
            ("see /start", Some(Said::Text("see /start".to_owned()))),
            ("a\0b", Some(Said::Text("a\u{fffd}b".to_owned()))),
            (" \n", None),
            ("", None),
        ] {
            assert_eq!(text(sent), read, "{sent:?}");
        }
    }

    #[test]
    fn a_callback_carries_an_action_and_a_ticket() {
        let callback = |data: Value| {
            let message = json!({"message_id": 9, "chat": {"id": 7}});
            let update =
                json!({"callback_query": {"id": "c", "from": {"id": 8}, "message": message, "data": data}});
            match content(&update) {
                Content::Callback(callback) => callback,
                other => panic!("{other:?}"),
            }
        };
        let read = callback(json!(format!("update|{TICKET}")));
        assert_eq!(
            (read.id.as_str(), read.chat_id, read.message_id),
            ("c", 7, Some(9))
        );
        let action = read.action.unwrap();
        assert_eq!(
            (action.name.as_str(), action.ticket_id),
            ("update", TICKET.parse().ok())
        );

        for data in [
            json!(null),
            json!(7),
            json!(""),
            json!("update"),
            json!("update|"),
            json!("|x"),
        ] {
            assert_eq!(callback(data.clone()).action, None, "{data}");
        }
        assert_eq!(callback(json!("update|7")).action.unwrap().ticket_id, None);
    }

    #[test]
    fn without_its_message_a_callback_comes_from_the_users_chat() {
        let update = json!({"callback_query": {"id": "c", "from": {"id": 8}, "data": "x|y"}});
        assert!(matches!(content(&update), Content::Callback(c) if c.chat_id == 8 && c.message_id.is_none()));
        for lacking in [
            json!({"from": {"id": 8}}),
            json!({"id": "c"}),
            json!({"id": "c", "from": {"id": "8"}}),
        ] {
            assert_eq!(content(&json!({ "callback_query": lacking })), Content::Nothing);
        }
    }
}
