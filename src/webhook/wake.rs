//! Falling asleep without missing anything: LISTEN/NOTIFY, sent only while somebody sleeps.
//!
//! A notification makes commits queue up behind each other, so writers send one only when they have to: whoever adds an
//! entry tries an advisory lock, shared and until its commit, and notifies when it does not get it. The sleeper holds
//! that lock exclusively, and looks into the queue once more between taking it and falling asleep. So an entry is either
//! seen in that look, or its writer sees the lock. One process sleeps this way; others poll. See `dropwire.webhook_queued`.

use tokio::sync::mpsc::UnboundedReceiver;
use tokio_postgres::{Client, Notification};
use uuid::Uuid;

use crate::error::chain;
use crate::pg::connect::Target;

/// The class of our advisory locks, and the lock of the sleeper.
const LOCK: &str = "7237125, 1";

/// How falling asleep went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sleep {
    /// The lock is ours: look once more, then sleep.
    Ready,
    /// Somebody is writing: try again in a moment.
    Writers,
    /// Another process sleeps already: poll.
    Elsewhere,
    /// No connection of our own: poll.
    Deaf,
}

/// A connection that hears of new entries.
pub(super) struct Ears {
    target: Option<Target>,
    session: Option<Session>,
}

struct Session {
    client: Client,
    notes: UnboundedReceiver<Notification>,
    asleep: bool,
}

impl Ears {
    /// Ears that connect on first use; without a target, none.
    pub fn new(target: Option<Target>) -> Self {
        Self {
            target,
            session: None,
        }
    }

    /// Whether writers notify us.
    pub fn asleep(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.asleep)
    }

    /// Takes the sleeper's lock, if nobody is in the way.
    pub async fn fall_asleep(&mut self) -> Sleep {
        let outcome = self.try_to().await;
        outcome.unwrap_or_else(|error| {
            tracing::debug!(error, "not listening for webhooks, polling");
            self.session = None;
            Sleep::Deaf
        })
    }

    async fn try_to(&mut self) -> Result<Sleep, String> {
        let Some(target) = &self.target else {
            return Ok(Sleep::Deaf);
        };
        if self.session.is_none() {
            let (client, notes) = target.listen().await.map_err(|error| chain(&error))?;
            client
                .batch_execute("listen dropwire_webhooks")
                .await
                .map_err(|error| chain(&error))?;
            self.session = Some(Session {
                client,
                notes,
                asleep: false,
            });
        }
        let Some(session) = &mut self.session else {
            return Ok(Sleep::Deaf);
        };
        if session.lock("pg_try_advisory_lock").await? {
            session.asleep = true;
            return Ok(Sleep::Ready);
        }
        // Writers share the lock, another sleeper does not.
        if session.lock("pg_try_advisory_lock_shared").await? {
            session.lock("pg_advisory_unlock_shared").await?;
            return Ok(Sleep::Writers);
        }
        Ok(Sleep::Elsewhere)
    }

    /// Gives the lock back: writers need not notify while we look anyway.
    pub async fn stay_awake(&mut self) {
        if let Some(session) = &mut self.session
            && session.asleep
        {
            session.asleep = false;
            if session.lock("pg_advisory_unlock").await.is_err() {
                self.session = None;
            }
        }
    }

    /// The tenant of the next notification. Never ends while there is nobody to hear; a lost connection ends it with
    /// `None`.
    pub async fn hear(&mut self) -> Option<Uuid> {
        let Some(session) = &mut self.session else {
            return std::future::pending().await;
        };
        if let Some(note) = session.notes.recv().await {
            return note.payload().parse().ok();
        }
        self.session = None;
        None
    }
}

impl Session {
    async fn lock(&self, function: &str) -> Result<bool, String> {
        let sql = format!("select {function}({LOCK})");
        let row = self.client.query_typed_one(&sql, &[]).await;
        row.map(|row| row.get(0)).map_err(|error| chain(&error))
    }
}
