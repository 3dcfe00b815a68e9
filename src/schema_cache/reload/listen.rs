//! Hears `NOTIFY pgrst`.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_postgres::{Client, Notification};

use super::{DEBOUNCE, SharedCache, delay};
use crate::error::chain;
use crate::pg::connect::{ConnectError, Target};
use crate::schema_cache::name::quoted;

#[derive(Debug, thiserror::Error)]
enum ListenError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("listening")]
    Listen(#[from] tokio_postgres::Error),
}

/// Listens for ever, with a new connection whenever one is lost. `first` is told when the first attempt has ended,
/// well or not.
pub(super) async fn run(target: Target, channel: String, cache: SharedCache, first: Arc<Notify>) {
    let mut failures = 0_u32;
    let mut missed = false;
    loop {
        match listen(&target, &channel).await {
            Ok((connection, notifications)) => {
                failures = 0;
                cache.set_listening(true);
                tracing::info!(channel, "listening for reloads");
                first.notify_one();
                if missed {
                    // Nobody knows what was said meanwhile.
                    cache.reload();
                }
                hear(notifications, &cache).await;
                drop(connection);
                cache.set_listening(false);
                tracing::warn!(channel, "the listening connection was lost");
                tokio::time::sleep(DEBOUNCE).await;
            }
            Err(error) => {
                first.notify_one();
                failures = failures.saturating_add(1);
                tracing::warn!(
                    channel,
                    error = chain(&error),
                    retry_in_s = delay(failures).as_secs(),
                    "cannot listen for reloads; SIGUSR1 reloads too"
                );
                tokio::time::sleep(delay(failures)).await;
            }
        }
        missed = true;
    }
}

async fn listen(
    target: &Target,
    channel: &str,
) -> Result<(Client, UnboundedReceiver<Notification>), ListenError> {
    let (client, notifications) = target.listen().await?;
    client
        .batch_execute(&format!("listen {}", quoted(channel)))
        .await?;
    Ok((client, notifications))
}

/// Passes on what is said until the connection ends. Other payloads are somebody else's.
async fn hear(mut notifications: UnboundedReceiver<Notification>, cache: &SharedCache) {
    while let Some(notification) = notifications.recv().await {
        match notification.payload() {
            "" | "reload schema" => cache.reload(),
            "reload config" => cache.reload_config(),
            other => tracing::debug!(payload = other, "a notification that asks for nothing known"),
        }
    }
}
