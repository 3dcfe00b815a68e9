//! The Telegram Bot API, as much of it as the executors' bot speaks: <https://core.telegram.org/bots/api>.
//!
//! The bot's token stands in every URL. It is in no error and no log line: errors name the method and the server.

use std::time::Duration;

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::{Secret, TelegramSettings};
use crate::egress::{Answer, Egress, EgressError, Policy};

/// Telegram's own server.
const API: &str = "https://api.telegram.org";
/// Calls at most, where Telegram says that they come too fast.
const ATTEMPTS: usize = 3;
/// Longest wait between them, whatever Telegram asks for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// A call that came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum TelegramError {
    /// No answer.
    #[error("calling Telegram's {method}: {source}")]
    Unreached {
        /// The method.
        method: &'static str,
        /// Why not.
        source: EgressError,
    },
    /// Telegram said no.
    #[error("Telegram refused {method} with {status}: {description}")]
    Refused {
        /// The method.
        method: &'static str,
        /// The HTTP status.
        status: StatusCode,
        /// Telegram's words.
        description: String,
    },
    /// An answer that is not the Bot API's.
    #[error("{method} was answered with {status} and no result: check DROPWIRE_TELEGRAM_API_URL")]
    Unreadable {
        /// The method.
        method: &'static str,
        /// The HTTP status.
        status: StatusCode,
    },
}

/// A bot. Clones share its connections.
#[derive(Clone)]
pub struct Telegram {
    egress: Egress,
    bot_id: String,
    /// Scheme, host and token.
    base: Secret,
    timeout: Duration,
}

/// What the Bot API answers.
#[derive(Deserialize)]
struct Envelope {
    ok: bool,
    #[serde(default)]
    result: Value,
    #[serde(default)]
    description: String,
    parameters: Option<Parameters>,
}

#[derive(Deserialize)]
struct Parameters {
    /// Seconds.
    retry_after: Option<u64>,
}

impl Telegram {
    /// The bot with the settings' token; `None` when there is none.
    ///
    /// Where the operator names a server of his own, that server may be plain http and in a private network: he knows
    /// it, and no tenant has a say in it.
    pub fn new(settings: &TelegramSettings) -> Option<Self> {
        let token = settings.bot_token.as_ref()?.expose();
        let allow_private = settings.api_url.is_some();
        let api = settings.api_url.as_deref().unwrap_or(API);
        Some(Self {
            egress: Egress::new(Policy { allow_private }),
            bot_id: token.split(':').next().unwrap_or_default().to_owned(),
            base: Secret::new(format!("{api}/bot{token}")),
            timeout: settings.timeout,
        })
    }

    /// The bot's own user id, which its token begins with. Not secret.
    pub fn bot_id(&self) -> &str {
        &self.bot_id
    }

    /// Sends a message of HTML and answers its id. `markup` is a `reply_markup`.
    pub async fn send_message(
        &self,
        chat_id: i64,
        html: &str,
        markup: Option<&Value>,
    ) -> Result<i64, TelegramError> {
        let mut body = json!({"chat_id": chat_id, "text": html, "parse_mode": "HTML"});
        if let Some(markup) = markup {
            body["reply_markup"] = markup.clone();
        }
        let method = "sendMessage";
        let result = self.call(method, &body).await?;
        result["message_id"].as_i64().ok_or(TelegramError::Unreadable {
            method,
            status: StatusCode::OK,
        })
    }

    /// Replaces the text of a message.
    pub async fn edit_message_text(
        &self,
        chat_id: i64,
        message_id: i64,
        html: &str,
    ) -> Result<(), TelegramError> {
        let body = json!({"chat_id": chat_id, "message_id": message_id, "text": html, "parse_mode": "HTML"});
        self.call("editMessageText", &body).await.map(drop)
    }

    /// Replaces the buttons under a message.
    pub async fn edit_message_reply_markup(
        &self,
        chat_id: i64,
        message_id: i64,
        markup: &Value,
    ) -> Result<(), TelegramError> {
        let body = json!({"chat_id": chat_id, "message_id": message_id, "reply_markup": markup});
        self.call("editMessageReplyMarkup", &body).await.map(drop)
    }

    /// Removes a message.
    pub async fn delete_message(&self, chat_id: i64, message_id: i64) -> Result<(), TelegramError> {
        let body = json!({"chat_id": chat_id, "message_id": message_id});
        self.call("deleteMessage", &body).await.map(drop)
    }

    /// Answers a tap on a button with a plain text that fades away.
    pub async fn answer_callback_query(&self, callback_id: &str, text: &str) -> Result<(), TelegramError> {
        let body = json!({"callback_query_id": callback_id, "text": text, "show_alert": false});
        self.call("answerCallbackQuery", &body).await.map(drop)
    }

    /// Calls a method; waits and calls again when Telegram says 429.
    async fn call(&self, method: &'static str, body: &Value) -> Result<Value, TelegramError> {
        let url = format!("{}/{method}", self.base.expose());
        let body = Bytes::from(body.to_string());
        let mut attempt = 1;
        loop {
            let sent = self
                .egress
                .post_json(&url, HeaderMap::new(), body.clone(), self.timeout);
            let answer = sent
                .await
                .map_err(|source| TelegramError::Unreached { method, source })?;
            match read(method, &answer) {
                Err(Refusal {
                    retry_after: Some(pause),
                    ..
                }) if attempt < ATTEMPTS => {
                    tracing::info!(method, attempt, ?pause, "Telegram asks to slow down");
                    tokio::time::sleep(pause).await;
                    attempt += 1;
                }
                outcome => return outcome.map_err(|refusal| refusal.error),
            }
        }
    }
}

/// A refusal, and how long to wait where waiting helps.
struct Refusal {
    error: TelegramError,
    retry_after: Option<Duration>,
}

fn read(method: &'static str, answer: &Answer) -> Result<Value, Refusal> {
    let status = answer.status;
    let Ok(envelope) = serde_json::from_slice::<Envelope>(&answer.body) else {
        return Err(Refusal {
            error: TelegramError::Unreadable { method, status },
            retry_after: None,
        });
    };
    if envelope.ok {
        return Ok(envelope.result);
    }
    let seconds = envelope
        .parameters
        .and_then(|parameters| parameters.retry_after)
        .unwrap_or(1);
    Err(Refusal {
        error: TelegramError::Refused {
            method,
            status,
            description: envelope.description,
        },
        retry_after: (status == StatusCode::TOO_MANY_REQUESTS)
            .then(|| Duration::from_secs(seconds).min(RETRY_AFTER_MAX)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "123456789:AAE-a_hush_hush_token";

    fn settings(api_url: Option<&str>) -> TelegramSettings {
        TelegramSettings {
            bot_token: Some(Secret::new(TOKEN)),
            webhook_secret: None,
            api_url: api_url.map(str::to_owned),
            timeout: Duration::from_millis(500),
        }
    }

    fn answer(status: u16, body: &'static str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::from_static(body.as_bytes()),
            truncated: false,
        }
    }

    #[test]
    fn without_a_token_there_is_no_bot_and_the_tokens_number_is_its_id() {
        let mut none = settings(None);
        none.bot_token = None;
        assert!(Telegram::new(&none).is_none());
        assert_eq!(Telegram::new(&settings(None)).unwrap().bot_id(), "123456789");
    }

    #[test]
    fn a_result_is_what_ok_says() {
        let sent = read(
            "sendMessage",
            &answer(200, r#"{"ok":true,"result":{"message_id":7}}"#),
        );
        assert_eq!(sent.ok().unwrap()["message_id"], 7);
        for body in ["Accepted", "", "[]", r#"{"result":1}"#] {
            let refusal = read("sendMessage", &answer(200, body)).err().unwrap();
            assert!(
                matches!(refusal.error, TelegramError::Unreadable { .. }),
                "{body}"
            );
        }
    }

    #[test]
    fn only_too_many_requests_are_worth_a_wait_and_that_is_bounded() {
        let wait = |status, body| {
            read("sendMessage", &answer(status, body))
                .err()
                .unwrap()
                .retry_after
        };
        let asked = r#"{"ok":false,"description":"Too Many Requests","parameters":{"retry_after":5}}"#;
        assert_eq!(wait(429, asked), Some(Duration::from_secs(5)));
        assert_eq!(wait(400, asked), None);
        assert_eq!(wait(429, r#"{"ok":false}"#), Some(Duration::from_secs(1)));
        let hour = r#"{"ok":false,"parameters":{"retry_after":3600}}"#;
        assert_eq!(wait(429, hour), Some(RETRY_AFTER_MAX));
    }

    #[tokio::test]
    async fn errors_do_not_show_the_token() {
        for url in ["http://127.0.0.1:1", "https://127.0.0.1:1"] {
            let telegram = Telegram::new(&settings(Some(url))).unwrap();
            let error = telegram.send_message(1, "x", None).await.unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(
                shown.contains("sendMessage") && !shown.contains("hush"),
                "{shown}"
            );
        }
    }
}
