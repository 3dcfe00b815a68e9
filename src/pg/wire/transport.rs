//! The bytes of a connection: what is lined up for the server, and what came from it.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Poll, ready};

use bytes::{BufMut as _, BytesMut};
use postgres_protocol::message::backend::Header;
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, ReadBuf};

use super::WireError;
use super::socket::Socket;

/// Bytes that are read at once.
const READ: usize = 8 * 1024;
/// Bytes that are read at once from a long answer.
const READ_AHEAD: usize = 64 * 1024;
/// Size beyond which a write buffer is not kept.
const WRITE_KEPT: usize = 256 * 1024;

/// A socket with its buffers.
pub(super) struct Transport {
    pub(super) socket: Socket,
    /// What came and is not taken.
    pub(super) input: BytesMut,
    /// How much is read at once.
    read: usize,
    /// What is lined up.
    pub(super) output: BytesMut,
    /// Bytes of `output` that are written.
    written: usize,
}

impl Transport {
    pub(super) fn new(socket: Socket) -> Self {
        Self {
            socket,
            input: BytesMut::with_capacity(READ),
            read: READ,
            output: BytesMut::with_capacity(READ),
            written: 0,
        }
    }

    /// Expects short answers again.
    pub(super) fn rest(&mut self) {
        self.read = READ;
    }

    /// The length of the next message if all of it is there; makes room for it otherwise.
    pub(super) fn message(&mut self) -> Result<Option<usize>, WireError> {
        let Some(header) = Header::parse(&self.input)? else {
            return Ok(None);
        };
        let length = usize::try_from(header.len()).map_or(0, |length| length + 1);
        if self.input.len() >= length {
            return Ok(Some(length));
        }
        self.read = if length > READ { READ_AHEAD } else { self.read };
        self.input.reserve(length - self.input.len());
        Ok(None)
    }

    /// Writes what is lined up. While the server does not take it, its answers are read, since it may be waiting for
    /// that.
    pub(super) async fn flush(&mut self) -> Result<(), WireError> {
        while self.written < self.output.len() {
            poll_fn(|cx| {
                match Pin::new(&mut self.socket).poll_write(cx, &self.output[self.written..]) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(WireError::Closed)),
                    Poll::Ready(Ok(count)) => {
                        self.written += count;
                        return Poll::Ready(Ok(()));
                    }
                    Poll::Ready(Err(_)) => {
                        // The server may have said why before it went.
                        self.written = self.output.len();
                        return Poll::Ready(Ok(()));
                    }
                    Poll::Pending => {}
                }
                let mut chunk = [0; READ];
                let mut chunk = ReadBuf::new(&mut chunk);
                ready!(Pin::new(&mut self.socket).poll_read(cx, &mut chunk))?;
                if chunk.filled().is_empty() {
                    return Poll::Ready(Err(WireError::Closed));
                }
                self.input.put_slice(chunk.filled());
                Poll::Ready(Ok(()))
            })
            .await?;
        }
        if matches!(self.socket, Socket::Tls(_)) {
            poll_fn(|cx| Pin::new(&mut self.socket).poll_flush(cx)).await?;
        }
        self.written = 0;
        if self.output.capacity() > WRITE_KEPT {
            self.output = BytesMut::with_capacity(READ);
        } else {
            self.output.clear();
        }
        Ok(())
    }

    /// Reads what there is, and waits for it.
    pub(super) async fn fill(&mut self) -> Result<(), WireError> {
        if self.input.capacity() - self.input.len() < READ / 4 {
            self.input.reserve(self.read);
        }
        match self.socket.read_buf(&mut self.input).await? {
            0 => Err(WireError::Closed),
            _ => Ok(()),
        }
    }

    /// Says goodbye, if that is possible without waiting; the server would find out anyway.
    pub(super) fn take_leave(&self) {
        const TERMINATE: &[u8] = b"X\0\0\0\x04";
        match &self.socket {
            Socket::Unix(stream) => stream.try_write(TERMINATE).ok(),
            Socket::Tcp(stream) => stream.try_write(TERMINATE).ok(),
            Socket::Tls(_) => None,
        };
    }
}
