//! Inviting users to the Telegram bot: an admin asks, Make sends the invitation, Make or the bot calls back.
//!
//! What moves a user from one state to the next, and which notification goes with it, is in
//! `sql/migrations/0007_onboarding.sql`; here is the order of the steps and the call to Make between them.
//!
//! The steps of a request are two transactions with the call in between, and no lock outlives either. So:
//!
//! - A process that ends in between leaves the user `pending`. The next request starts over with a new correlation
//!   id, and the link of the first one, should Make have sent it, answers 404.
//! - Of two requests at once the last wins: the second replaces the correlation id, Make hears both, each with an id
//!   of its own, only the newer link works, and only the newer outcome is recorded. One id is never sent twice at
//!   once: a repeat of a request under way is refused.
//! - A callback that is faster than Make's own answer counts: the answer then changes nothing any more.

mod correlation;
mod refusal;

use std::time::Duration;

use bytes::Bytes;
use postgres_types::Type;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use uuid::Uuid;

pub use correlation::CorrelationId;
pub use refusal::{REASON_MAX_CHARS, Refusal};

use crate::config::OnboardingSettings;
use crate::egress::{Answer, Egress};
use crate::error::chain;
use crate::pg::pool::{Pool, PoolError};

const BEGIN: &str = include_str!("../sql/onboarding/begin.sql");
const SETTLE: &str = include_str!("../sql/onboarding/settle.sql");
const FIND: &str = include_str!("../sql/onboarding/find.sql");
const RECEIVE: &str = include_str!("../sql/onboarding/receive.sql");

/// How much of Make's answer a notification keeps, in characters.
const EXCERPT_CHARS: usize = 500;
/// How much longer than the call itself a request counts as under way: two statements fit in.
const SLACK: Duration = Duration::from_secs(5);

/// Why a step was not taken.
#[derive(Debug, thiserror::Error)]
pub enum OnboardingError {
    /// The rules are against it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database could not be asked.
    #[error(transparent)]
    Database(#[from] PoolError),
    /// The database's payload could not be read.
    #[error("reading the payload for Make: {0}")]
    Payload(#[from] serde_json::Error),
}

/// What an admin asks for.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The admin's own id.
    pub caller_id: Uuid,
    /// Whom to invite; `None` for an id that is no UUID, hence nobody's.
    pub user_id: Option<Uuid>,
    /// What ties Make's callbacks to this request.
    pub correlation_id: CorrelationId,
    /// Why, for the notification.
    pub reason: String,
}

/// What came of a request that nothing was against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requested {
    /// Make took it.
    Queued,
    /// The user is connected already; nothing was written.
    AlreadyCompleted,
}

/// What a callback says, and the deep link it may bring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What happened.
    pub event: Event,
    /// The link that was sent to the user.
    pub deep_link: Option<String>,
}

/// What happened to an invitation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The mail is out.
    InviteSent,
    /// The mail is out and the bot waits for the user.
    AwaitingChat,
    /// The user has started the bot.
    Completed {
        /// The Telegram chat.
        chat_id: i64,
        /// The user in Telegram; what is on file stays when absent.
        telegram_user_id: Option<String>,
        /// When, in ISO 8601; now when absent.
        joined_at: Option<String>,
    },
    /// Something went wrong in Make.
    Failed {
        /// What went wrong.
        error: Option<String>,
        /// Attempts so far; one more than on file when absent.
        retry_count: Option<i32>,
    },
    /// The user did not start the bot in time.
    TimedOut {
        /// Make's words for it.
        error: Option<String>,
    },
    /// Make gave up on purpose.
    Cancelled {
        /// Make's words for it.
        error: Option<String>,
    },
}

impl Event {
    /// Its name in the database.
    fn name(&self) -> &'static str {
        match self {
            Self::InviteSent => "invited",
            Self::AwaitingChat => "awaiting_chat",
            Self::Completed { .. } => "completed",
            Self::Failed { .. } => "failed",
            Self::TimedOut { .. } => "timeout",
            Self::Cancelled { .. } => "cancelled",
        }
    }
}

/// A callback that was taken.
#[derive(Debug, Clone)]
pub struct Received {
    /// The user's status now.
    pub status: String,
    /// The user.
    pub user_id: Uuid,
    /// The user's tenant.
    pub tenant_id: Uuid,
}

/// Onboarding over a database, with a way to reach Make. Cheap to clone.
#[derive(Clone)]
pub struct Onboarding {
    pool: Pool,
    egress: Egress,
    settings: OnboardingSettings,
}

impl Onboarding {
    /// Onboarding with the project's settings.
    pub fn new(pool: Pool, egress: Egress, settings: OnboardingSettings) -> Self {
        Self {
            pool,
            egress,
            settings,
        }
    }

    /// Makes the user pending, calls Make, records what came of it.
    ///
    /// Takes as long as Make does, at most the configured timeout. Must not be dropped half-way: run it on a task.
    pub async fn request(&self, ask: &Ask) -> Result<Requested, OnboardingError> {
        let Some(payload) = self.begin(ask).await? else {
            return Ok(Requested::AlreadyCompleted);
        };
        // The row is there only with a URL and a user.
        let (Some(url), Some(user_id)) = (&self.settings.webhook_url, ask.user_id) else {
            return Err(Refusal::NotConfigured.into());
        };
        let call = self.egress.post_json(
            url.expose(),
            HeaderMap::new(),
            Bytes::from(payload),
            self.settings.timeout,
        );
        let outcome = match call.await {
            Ok(answer) => Outcome::from(&answer),
            Err(error) => {
                tracing::warn!(user.id = %user_id, %error, "onboarding request did not reach Make");
                Outcome::Unreachable(error.to_string())
            }
        };
        // Whatever Make did is done: a failure to write it down does not change the answer. A callback or the next
        // request brings the state in order.
        if let Err(error) = self.settle(ask, user_id, &outcome).await {
            tracing::error!(user.id = %user_id, error = chain(&error), "recording an onboarding request failed");
        }
        outcome.answer(&ask.correlation_id).map_err(OnboardingError::from)
    }

    /// Makes the user pending; answers the body for Make, `None` when there is nothing to do.
    async fn begin(&self, ask: &Ask) -> Result<Option<String>, OnboardingError> {
        let patience = (self.settings.timeout + SLACK).as_secs_f64();
        let row = self
            .pool
            .query_one(
                BEGIN,
                &[
                    (&ask.caller_id, Type::UUID),
                    (&ask.user_id, Type::UUID),
                    (&ask.correlation_id.as_str(), Type::TEXT),
                    (&ask.reason, Type::TEXT),
                    (&self.settings.webhook_url.is_some(), Type::BOOL),
                    (&patience, Type::FLOAT8),
                ],
            )
            .await?;
        match row.get("outcome") {
            "queued" => Ok(Some(compact(row.get("payload"))?)),
            "already_completed" => Ok(None),
            refused => Err(Refusal::from_outcome(refused).into()),
        }
    }

    async fn settle(&self, ask: &Ask, user_id: Uuid, outcome: &Outcome) -> Result<(), PoolError> {
        let (accepted, status, detail) = match outcome {
            Outcome::Answered {
                accepted,
                status,
                body,
            } => (*accepted, Some(i32::from(*status)), body),
            Outcome::Unreachable(error) => (false, None, error),
        };
        let excerpt: String = detail.chars().take(EXCERPT_CHARS).collect();
        let row = self
            .pool
            .query_one(
                SETTLE,
                &[
                    (&ask.caller_id, Type::UUID),
                    (&user_id, Type::UUID),
                    (&ask.correlation_id.as_str(), Type::TEXT),
                    (&accepted, Type::BOOL),
                    (&status, Type::INT4),
                    (&excerpt, Type::TEXT),
                ],
            )
            .await?;
        if !row.get::<_, bool>(0) {
            tracing::info!(user.id = %user_id, "a callback or a newer request was faster than Make's answer");
        }
        Ok(())
    }

    /// Tells why there is nobody to receive a callback, if so.
    pub async fn find(&self, correlation_id: &CorrelationId) -> Result<(), OnboardingError> {
        let row = self
            .pool
            .query_one(FIND, &[(&correlation_id.as_str(), Type::TEXT)])
            .await?;
        match row.get("outcome") {
            "found" => Ok(()),
            refused => Err(Refusal::from_outcome(refused).into()),
        }
    }

    /// Takes a callback's word. Safe to repeat: a completed user stays completed.
    pub async fn receive(
        &self,
        correlation_id: &CorrelationId,
        report: &Report,
    ) -> Result<Received, OnboardingError> {
        let Report { event, deep_link } = report;
        let (mut chat_id, mut telegram_user_id, mut joined_at) = (None, None, None);
        let (mut error, mut retry_count) = (None, None);
        match event {
            Event::InviteSent | Event::AwaitingChat => {}
            Event::Completed {
                chat_id: chat,
                telegram_user_id: user,
                joined_at: joined,
            } => (chat_id, telegram_user_id, joined_at) = (Some(*chat), user.as_deref(), joined.as_deref()),
            Event::Failed {
                error: text,
                retry_count: count,
            } => (error, retry_count) = (text.as_deref(), *count),
            Event::TimedOut { error: text } | Event::Cancelled { error: text } => error = text.as_deref(),
        }
        let row = self
            .pool
            .query_one(
                RECEIVE,
                &[
                    (&correlation_id.as_str(), Type::TEXT),
                    (&event.name(), Type::TEXT),
                    (&chat_id, Type::INT8),
                    (&telegram_user_id, Type::TEXT),
                    (&joined_at, Type::TEXT),
                    (&error, Type::TEXT),
                    (&retry_count, Type::INT4),
                    (deep_link, Type::TEXT),
                ],
            )
            .await
            .map_err(unstorable)?;
        match row.get("outcome") {
            "received" => Ok(Received {
                status: row.get("status"),
                user_id: row.get("user_id"),
                tenant_id: row.get("tenant_id"),
            }),
            refused => Err(Refusal::from_outcome(refused).into()),
        }
    }
}

/// A value that the row does not take, by its type or by a constraint of the operator's, is the caller's mistake.
fn unstorable(error: PoolError) -> OnboardingError {
    match &error {
        PoolError::Query(cause)
            if cause
                .code()
                .is_some_and(|state| state.code().starts_with("22") || state.code().starts_with("23")) =>
        {
            tracing::warn!(error = chain(&error), "storing an onboarding callback failed");
            Refusal::Unstorable.into()
        }
        _ => error.into(),
    }
}

/// JSON as `JSON.stringify` writes it: PostgreSQL puts blanks between.
fn compact(json: &str) -> serde_json::Result<String> {
    serde_json::from_str::<serde_json::Value>(json).map(|value| value.to_string())
}

/// What became of the call to Make.
enum Outcome {
    Answered {
        accepted: bool,
        status: u16,
        body: String,
    },
    Unreachable(String),
}

impl From<&Answer> for Outcome {
    /// 2xx is accepted, and so is 303, Make's "done, see there"; other redirects lead away and are not followed.
    fn from(answer: &Answer) -> Self {
        Self::Answered {
            accepted: answer.status.is_success() || answer.status == StatusCode::SEE_OTHER,
            status: answer.status.as_u16(),
            // PostgreSQL stores no NUL.
            body: String::from_utf8_lossy(&answer.body).replace('\0', "\u{fffd}"),
        }
    }
}

impl Outcome {
    fn answer(self, correlation_id: &CorrelationId) -> Result<Requested, Refusal> {
        let correlation_id = correlation_id.clone();
        match self {
            Self::Answered { accepted: true, .. } => Ok(Requested::Queued),
            Self::Answered { status, body, .. } => Err(Refusal::MakeRefused {
                correlation_id,
                status,
                body,
            }),
            Self::Unreachable(_) => Err(Refusal::MakeUnreachable { correlation_id }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_is_compact_and_keeps_its_order() {
        let json = r#"{"b" : null, "a" : {"z" : "x : y", "c" : 1}}"#;
        assert_eq!(compact(json).unwrap(), r#"{"b":null,"a":{"z":"x : y","c":1}}"#);
    }

    fn outcome(status: u16) -> Result<Requested, Refusal> {
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::from_static(b"a\0b"),
            truncated: false,
        };
        Outcome::from(&answer).answer(&CorrelationId::generate())
    }

    #[test]
    fn success_and_see_other_are_accepted_and_nothing_else() {
        for status in [200, 202, 204, 299, 303] {
            assert_eq!(outcome(status).unwrap(), Requested::Queued, "{status}");
        }
        for status in [301, 302, 307, 400, 404, 410, 429, 500, 503] {
            let refusal = outcome(status).unwrap_err();
            assert!(
                matches!(&refusal, Refusal::MakeRefused { status: s, body, .. } if *s == status && body == "a\u{fffd}b"),
                "{refusal:?}"
            );
        }
    }
}
