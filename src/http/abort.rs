//! Cuts the connection of an answer that broke off.
//!
//! Over HTTP/1.1 nothing but a cut connection tells a client that a body without a length is incomplete. poem polls a
//! connection once more after a body has failed, and hyper then writes the chunk that ends the body as if all were well.
//! So a failing body marks the task that polls it, which is its connection's, and the connection's stream fails when
//! that task comes to it next. HTTP/2 resets the stream by itself; there the mark is on a task that has no connection.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use tokio::task::{self, Id};

thread_local! {
    /// The task on this thread whose body failed last. It is polled further by the poll that it failed in.
    static FAILED: Cell<Option<Id>> = const { Cell::new(None) };
}

/// A body whose failure cuts the connection.
pub struct Aborting<S>(pub S);

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Stream for Aborting<S> {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = Pin::new(&mut self.0).poll_next(context);
        if let Poll::Ready(Some(Err(_))) = &polled {
            FAILED.set(task::try_id());
        }
        polled
    }
}

/// Fails on a task whose body failed.
pub(super) fn check() -> io::Result<()> {
    match FAILED.get() {
        Some(failed) if task::try_id() == Some(failed) => Err(io::Error::new(
            io::ErrorKind::ConnectionAborted,
            "the answer broke off",
        )),
        _ => Ok(()),
    }
}
