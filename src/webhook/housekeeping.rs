//! Keeps the outbox small: removes what is delivered and older than the retention period.

use std::time::Duration;

use tokio::time::sleep;

use super::dispatch::{Dispatcher, Stop};
use crate::error::chain;

/// Pause between two rounds.
const ROUND: Duration = Duration::from_secs(60);
/// Pause between two slices of a round, so that deliveries come first.
const SLICE: Duration = Duration::from_millis(200);

impl Dispatcher {
    /// Removes old entries now and then until [`Dispatcher::shutdown`]; ends at once when they are kept for ever.
    pub async fn keep_house(&self) {
        let Some(keep) = self.0.settings.retention else {
            return;
        };
        let mut stop = self.0.stop.subscribe();
        loop {
            let pause = match self.0.queue.prune(keep).await {
                Ok(0) => ROUND,
                Ok(_) => SLICE,
                Err(error) => {
                    tracing::warn!(
                        error = chain(&error),
                        "removing old webhooks failed, trying again"
                    );
                    ROUND
                }
            };
            tokio::select! {
                () = sleep(pause) => {}
                _ = stop.wait_for(|stop| *stop > Stop::Running) => return,
            }
        }
    }

    /// Removes one slice of old entries, for runs from a crontab.
    pub async fn keep_house_once(&self) {
        if let Some(keep) = self.0.settings.retention
            && let Err(error) = self.0.queue.prune(keep).await
        {
            tracing::warn!(error = chain(&error), "removing old webhooks failed");
        }
    }
}
