//! What happens to a connection that was left in the middle of something.
//!
//! <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-CANCELING-REQUESTS>

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_postgres::Config;

use super::socket::{Place, Socket};
use super::startup::Session;
use super::{Wire, WireError};

/// Wait before the first cancel request: most abandoned connections rest already, and a request costs a connection.
const GRACE: Duration = Duration::from_millis(5);
/// Waits after each cancel request.
const PATIENCE: [Duration; 3] = [
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(5),
];

/// What stops a session's statement: where its server is, and the session's key.
#[derive(Clone)]
pub(super) struct Canceller {
    place: Place,
    config: Arc<Config>,
    tls: Arc<ClientConfig>,
    process_id: i32,
    secret_key: i32,
}

impl Canceller {
    pub(super) fn of(session: &Session, config: &Arc<Config>, tls: &Arc<ClientConfig>) -> Self {
        Self {
            place: session.place.clone(),
            config: Arc::clone(config),
            tls: Arc::clone(tls),
            process_id: session.process_id,
            secret_key: session.secret_key,
        }
    }

    /// Asks the server to stop what the session runs. It answers by closing the connection, whatever came of it.
    async fn cancel(&self) -> Result<(), WireError> {
        let mut socket = Socket::open(&self.place, &self.config, &self.tls).await?;
        let mut request = BytesMut::new();
        frontend::cancel_request(self.process_id, self.secret_key, &mut request);
        socket.write_all(&request).await?;
        socket.flush().await?;
        socket.read_buf(&mut BytesMut::new()).await.ok();
        Ok(())
    }
}

/// Ends a connection: says that nothing more will come, and cancels what runs until the server has hung up. What was
/// open is rolled back with the session.
pub(super) async fn end(mut wire: Wire) {
    wire.transport.socket.shutdown().await.ok();
    let canceller = wire.canceller.clone();
    let hangs_up = async {
        let mut rest = BytesMut::with_capacity(8 * 1024);
        while wire
            .transport
            .socket
            .read_buf(&mut rest)
            .await
            .is_ok_and(|count| count > 0)
        {
            rest.clear();
        }
    };
    let mut hangs_up = std::pin::pin!(hangs_up);
    if tokio::time::timeout(GRACE, &mut hangs_up).await.is_ok() {
        return;
    }
    for patience in PATIENCE {
        let cancelling = async {
            canceller.cancel().await.ok();
            hangs_up.as_mut().await;
        };
        if tokio::time::timeout(patience, cancelling).await.is_ok() {
            return;
        }
    }
    tracing::warn!("an abandoned statement could not be cancelled; its connection is closed anyway");
}
