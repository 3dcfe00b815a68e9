//! A listening server: from its acceptor to its graceful end.

use std::io;
use std::time::Duration;

use poem::{Endpoint, Server};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::acceptor::GuardedAcceptor;

/// How long requests under way may take to finish at shutdown.
pub const GRACE: Duration = Duration::from_secs(8);
/// How long a kept-alive connection may rest; longer than the load balancers in front wait.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// A server that answers on a task of its own.
#[derive(Debug)]
pub struct HttpServer {
    stop: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
}

impl HttpServer {
    /// Starts to answer what the acceptor takes in.
    pub fn start(acceptor: GuardedAcceptor, endpoint: impl Endpoint + 'static) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let server = Server::new_with_acceptor(acceptor)
            .idle_timeout(IDLE_TIMEOUT)
            .name("dropwire");
        let task = tokio::spawn(async move {
            let signal = async move { stopped.await.unwrap_or_default() };
            server
                .run_with_graceful_shutdown(endpoint, signal, Some(GRACE))
                .await
        });
        Self { stop, task }
    }

    /// Takes no new requests from now on; those under way may finish.
    pub fn stop(self) -> Stopping {
        // Nobody listens for this when the server has ended by itself.
        let _ended = self.stop.send(());
        Stopping(self.task)
    }
}

/// A server that finishes what is under way.
#[derive(Debug)]
pub struct Stopping(JoinHandle<io::Result<()>>);

impl Stopping {
    /// Waits for the end.
    pub async fn ended(self) -> io::Result<()> {
        self.0
            .await
            .unwrap_or_else(|panicked| Err(io::Error::other(panicked)))
    }
}
