//! Accepts connections, and closes those whose client does not say what it wants.
//!
//! poem's own acceptor leaves four things open: a half-sent request head may hold its connection for ever,
//! Nagle's algorithm delays small answers, an accept error (no file descriptor left) is retried in a hot
//! loop, and nothing bounds the number of connections. [`GuardedAcceptor`] settles all four, below the HTTP
//! layer, and encodes request targets that hyper would refuse. Idle kept-alive connections are poem's
//! `Server::idle_timeout`; slow bodies are the routes' concern.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use poem::http::uri::Scheme;
use poem::listener::Acceptor;
use poem::web::{LocalAddr, RemoteAddr};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use self::framing::Framing;
use self::target::Encoded;
use super::abort;

mod framing;
mod target;

/// Pause after a failed accept. Most such errors (no file descriptor, no memory) pass only when something
/// else closes, so an immediate retry would burn a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections that the kernel keeps waiting, tokio's own default.
const BACKLOG: u32 = 1024;

/// What one client, and all of them together, may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Time for a request head to be complete: counted from accept for the first one, from its first byte
    /// for each further one on a kept-alive connection. Default 10 s.
    pub head_timeout: Duration,
    /// Connections open at once, at least 1. Further ones wait in the kernel's backlog until one closes.
    /// Default 4096, a few dozen megabytes when all of them are idle. A process that may open fewer files
    /// (`ulimit -n`, often 1024) meets that limit first; accepting then pauses in the same way.
    pub max_connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(10),
            max_connections: 4096,
        }
    }
}

/// A TCP acceptor for poem's `Server::new_with_acceptor` that keeps [`Limits`].
#[derive(Debug)]
pub struct GuardedAcceptor {
    listener: TcpListener,
    local_addr: SocketAddr,
    limits: Limits,
    slots: Arc<Semaphore>,
    /// A streak of accept errors is going on, and was logged.
    failing: bool,
    /// The last accept had to wait for a slot, and that was logged.
    full: bool,
}

impl GuardedAcceptor {
    /// Listens on `addr`; port 0 takes a free one.
    ///
    /// Fails with the operating system's error when the address is taken, not local or not permitted.
    pub async fn bind(addr: SocketAddr, limits: Limits) -> io::Result<Self> {
        Self::over(TcpListener::bind(addr).await?, limits)
    }

    /// As [`GuardedAcceptor::bind`], beside other processes that listen on the same address in this way; the kernel
    /// spreads connections over them (`SO_REUSEPORT`).
    pub fn bind_shared(addr: SocketAddr, limits: Limits) -> io::Result<Self> {
        let socket = if addr.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(true)?;
        socket.bind(addr)?;
        Self::over(socket.listen(BACKLOG)?, limits)
    }

    fn over(listener: TcpListener, limits: Limits) -> io::Result<Self> {
        let slots = limits.max_connections.clamp(1, Semaphore::MAX_PERMITS);
        Ok(Self {
            local_addr: listener.local_addr()?,
            listener,
            limits,
            slots: Arc::new(Semaphore::new(slots)),
            failing: false,
            full: false,
        })
    }

    /// The address listened on, with the port that was chosen for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Waits for a free slot, before a connection is taken from the backlog.
    async fn slot(&mut self) -> io::Result<OwnedSemaphorePermit> {
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            self.full = false;
            return Ok(slot);
        }
        if !self.full {
            self.full = true;
            tracing::warn!(
                max_connections = self.limits.max_connections,
                "all connections are in use: new ones wait until one closes"
            );
        }
        Arc::clone(&self.slots)
            .acquire_owned()
            .await
            .map_err(io::Error::other)
    }

    /// Waits for a connection, however many errors come before it.
    async fn connection(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => {
                    self.failing = false;
                    return accepted;
                }
                // The client is already gone again; nothing of ours is short.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    if !self.failing {
                        self.failing = true;
                        tracing::error!(%error, "accepting connections fails: trying again every 50 ms");
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Acceptor for GuardedAcceptor {
    type Io = GuardedStream;

    fn local_addr(&self) -> Vec<LocalAddr> {
        vec![LocalAddr(self.local_addr.into())]
    }

    async fn accept(&mut self) -> io::Result<(Self::Io, LocalAddr, RemoteAddr, Scheme)> {
        let slot = self.slot().await?;
        let (stream, remote_addr) = self.connection().await;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, %remote_addr, "setting TCP_NODELAY failed: answers may be delayed");
        }
        let stream = GuardedStream {
            stream,
            deadline: HeadDeadline::new(self.limits.head_timeout),
            encoded: Encoded::default(),
            _slot: slot,
        };
        Ok((
            stream,
            LocalAddr(self.local_addr.into()),
            RemoteAddr(remote_addr.into()),
            Scheme::HTTP,
        ))
    }
}

/// One accepted connection: reading fails with `TimedOut` once a request head is late.
///
/// Protocol upgrades (a `101` answer) are not followed; this server offers none.
#[derive(Debug)]
pub struct GuardedStream {
    stream: TcpStream,
    deadline: HeadDeadline,
    encoded: Encoded,
    /// Given back when the connection is dropped.
    _slot: OwnedSemaphorePermit,
}

impl AsyncRead for GuardedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.encoded.is_empty() {
            this.encoded.pass_on(buffer);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Ready(read) => {
                this.deadline.received(&buffer.filled()[before..]);
                let places = this.deadline.framing.to_encode();
                if !places.is_empty() {
                    this.encoded.encode(buffer, before, places);
                }
                Poll::Ready(read)
            }
            // Only a reader left waiting ends the connection: what the client sent in time but was read
            // late, because an earlier request took its time, does not count against it.
            Poll::Pending => {
                ready!(this.deadline.poll_late(context));
                tracing::debug!(peer = ?this.stream.peer_addr().ok(), "closing: the request head is late");
                Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the request head was not complete in time",
                )))
            }
        }
    }
}

/// Fails once the answer was broken off: what would follow could pass for its end.
fn writable() -> io::Result<()> {
    if abort::is_broken_off() {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    Ok(())
}

impl Drop for GuardedStream {
    fn drop(&mut self) {
        abort::forget();
    }
}

impl AsyncWrite for GuardedStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        writable()?;
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        writable()?;
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        writable()?;
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

/// The moment until which the head now being sent must be complete.
#[derive(Debug)]
struct HeadDeadline {
    framing: Framing,
    timeout: Duration,
    /// None between heads, and for a timeout beyond what the clock can count.
    due: Option<Instant>,
    /// Made when a reader first has to wait for a head; most requests come whole and need none.
    timer: Option<Pin<Box<Sleep>>>,
}

impl HeadDeadline {
    /// Starts counting for the first head.
    fn new(timeout: Duration) -> Self {
        Self {
            framing: Framing::new(),
            timeout,
            due: Instant::now().checked_add(timeout),
            timer: None,
        }
    }

    /// Follows what the client sent: a completed head stops the clock, the beginning of one starts it.
    fn received(&mut self, bytes: &[u8]) {
        if self.framing.feed(bytes) {
            self.due = None;
        }
        if self.due.is_none() && self.framing.in_head() {
            self.due = Instant::now().checked_add(self.timeout);
        }
    }

    /// Ready once the head is late; otherwise wakes the task when it will be.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(due) = self.due else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        timer.as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests;
