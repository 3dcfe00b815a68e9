//! Results too large for one value: their rows one by one, in a transaction that counts them first.
//!
//! They are counted first, since their number stands in a header. A relation's are counted by a query, which is cheap
//! beside writing them, and sees the same rows because the transaction has one snapshot. A function is not to be called
//! again for that, so its rows are walked over in a cursor, and walked again into the body. Memory holds some chunks of
//! the body; a client that reads slowly slows the server down. The connection stays with the body until it ends or the
//! client is gone.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::Stream;
use tokio::sync::mpsc;
use tracing::Instrument as _;

use super::result_set::{Body, ResultSet};
use super::round::{settle, step};
use crate::pg::wire::{Event, Lease, Row, Step, WireError, row};
use crate::rest::plan::Handler;
use crate::rest::query::Statement;

/// Bytes of body that are handed on together.
const CHUNK: usize = 64 * 1024;
/// Chunks that wait for the client.
const CHUNKS_AHEAD: usize = 2;
/// Longest wait for a client to take a chunk. It holds a connection of the pool meanwhile.
const STALL: Duration = Duration::from_secs(60);

/// The body of a large result: a stream of chunks. It ends with an error, which is to abort the answer, when the
/// database fails late.
#[derive(Debug)]
pub struct Rows {
    chunks: mpsc::Receiver<io::Result<Chunk>>,
    ended: bool,
}

/// A part of a body.
#[derive(Debug)]
enum Chunk {
    Some(Bytes),
    Last(Bytes),
}

impl Stream for Rows {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(match ready!(self.chunks.poll_recv(cx)) {
            Some(Ok(Chunk::Some(bytes))) => Ok(bytes),
            Some(Ok(Chunk::Last(bytes))) => {
                self.ended = true;
                Ok(bytes)
            }
            // Without its last chunk a body must not look complete.
            broken => {
                self.ended = true;
                Err(match broken {
                    Some(Err(error)) => error,
                    _ => io::Error::other("the rest of the answer was given up"),
                })
            }
        }))
    }
}

/// What a large result is read by.
#[derive(Debug)]
pub(super) struct Large {
    /// Its rows, a text each.
    pub(super) rows: Statement,
    /// How they make a body.
    pub(super) handler: Handler,
    /// How they are counted.
    pub(super) counting: Counting,
    /// Rows passed over before them.
    pub(super) offset: i64,
}

/// How the rows of a large result are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counting {
    /// By a query of its own.
    Query,
    /// By walking a cursor to its end.
    Cursor,
}

/// The rows of a pipeline under way.
struct Reader {
    lease: Lease,
    /// The step whose rows they are.
    step: usize,
    /// What was read ahead.
    ahead: Option<Event>,
}

impl Reader {
    /// Reads the next row. None is the end of a pipeline that went well.
    async fn next(&mut self) -> Result<Option<Row>, WireError> {
        loop {
            let event = match self.ahead.take() {
                Some(event) => event,
                None => self.lease.wire().next().await?,
            };
            match event {
                Event::Row(step, row) if step == self.step => return Ok(Some(row)),
                Event::Row(..) | Event::Done(..) => {}
                Event::Refused(_, refusal) => return Err(WireError::Refused(refusal)),
                Event::Ready => return Ok(None),
            }
        }
    }
}

/// Starts reading the rows, and puts the number of its rows and their stream into the result in place of the probe's.
pub(super) async fn open(
    mut lease: Lease,
    large: &Large,
    role: &str,
    result: &mut ResultSet,
) -> Result<(), WireError> {
    let (count, ahead) = match large.counting {
        Counting::Query => query(&mut lease, &large.rows, role).await?,
        Counting::Cursor => walk(&mut lease, &large.rows, role).await?,
    };
    let step = match large.counting {
        Counting::Query => 1,
        Counting::Cursor => 3,
    };
    if let Event::Refused(_, refusal) = ahead {
        while !matches!(lease.wire().next().await?, Event::Ready) {}
        lease.leave().await;
        return Err(WireError::Refused(refusal));
    }
    let Body::Whole(probe) = &result.body else {
        return Ok(());
    };
    let frame = Frame::of(&large.handler, probe);
    let reader = Reader {
        lease,
        step,
        ahead: Some(ahead),
    };
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
    drop(tokio::spawn(pump(reader, frame, sender).in_current_span()));
    // Where the page is all there is, the probe's total stopped at its cap.
    result.total = result.total.map(|total| total.max(large.offset + count));
    result.page = count;
    result.body = Body::Rows(Rows {
        chunks: receiver,
        ended: false,
    });
    Ok(())
}

/// Counts the rows by a query, and reads them by another. Returns when both have begun to answer.
async fn query(lease: &mut Lease, rows: &Statement, role: &str) -> Result<(i64, Event), WireError> {
    let count = format!("select count(*) from ({}) as counted", rows.sql);
    let count = Step {
        role,
        sql: &count,
        values: &rows.values,
        wanted: true,
    };
    let wire = lease.wire();
    wire.send(&[count, step(role, rows, true)])?;
    let mut count = 0;
    loop {
        match wire.next().await? {
            Event::Row(0, row) => count = row.bytes(0)?.map_or(Ok(0), row::int8)?,
            Event::Done(0, _) => {}
            other => return Ok((count, other)),
        }
    }
}

/// Counts the rows by walking over them, and walks over them again. Returns when they begin to come.
async fn walk(lease: &mut Lease, rows: &Statement, role: &str) -> Result<(i64, Event), WireError> {
    let declare = format!("declare pgrst_rows scroll cursor for {}", rows.sql);
    let declare = Step {
        role,
        sql: &declare,
        values: &rows.values,
        wanted: false,
    };
    let steps = [
        declare,
        Step::command("move forward all in pgrst_rows"),
        Step::command("move absolute 0 in pgrst_rows"),
        Step {
            wanted: true,
            ..Step::command("fetch forward all from pgrst_rows")
        },
    ];
    let wire = lease.wire();
    wire.send(&steps)?;
    let mut count = 0;
    loop {
        match wire.next().await? {
            Event::Done(1, moved) => count = i64::try_from(moved).unwrap_or(i64::MAX),
            Event::Done(0 | 2, _) => {}
            other => return Ok((count, other)),
        }
    }
}

/// What stands around the rows.
struct Frame {
    before: Bytes,
    between: &'static str,
    after: &'static str,
}

impl Frame {
    /// The frame that the probe's body has, so that both forms of a result are alike to the byte.
    fn of(handler: &Handler, probe: &Bytes) -> Self {
        match handler {
            Handler::Csv => {
                let header = probe.iter().position(|byte| *byte == b'\n');
                Self {
                    before: probe.slice(..header.map_or(0, |end| end + 1)),
                    between: "\n",
                    after: "",
                }
            }
            // json_strip_nulls writes the array anew, without the space that json_agg puts in.
            Handler::JsonStripped => Self::array(","),
            _ => Self::array(", \n "),
        }
    }

    fn array(between: &'static str) -> Self {
        Self {
            before: Bytes::from_static(b"["),
            between,
            after: "]",
        }
    }
}

/// Why a body ends early.
enum Cut {
    /// Nobody takes it any more.
    Client,
    /// The rest cannot be read.
    Database(WireError),
}

/// Moves rows into the body until it ends. The last chunk waits for COMMIT: what was read must hold.
async fn pump(mut reader: Reader, frame: Frame, chunks: mpsc::Sender<io::Result<Chunk>>) {
    let cut = match copy(&mut reader, frame, &chunks).await {
        Ok(last) => match settle(&mut reader.lease, &[Step::command("commit")]).await {
            Ok(()) => {
                reader.lease.done();
                // A client that is gone by now misses nothing of ours.
                chunks.send(Ok(Chunk::Last(last))).await.unwrap_or_default();
                return;
            }
            Err(error) => Cut::Database(error),
        },
        Err(cut) => cut,
    };
    match cut {
        // Dropping the lease cancels what still runs.
        Cut::Client => tracing::debug!("a client left a streamed result"),
        Cut::Database(error) => {
            tracing::error!(%error, "a streamed result ended early");
            let broken = io::Error::other("the database failed after the answer had begun");
            chunks.send(Err(broken)).await.unwrap_or_default();
        }
    }
}

/// Hands on chunk by chunk, and returns the last one.
async fn copy(
    rows: &mut Reader,
    frame: Frame,
    chunks: &mpsc::Sender<io::Result<Chunk>>,
) -> Result<Bytes, Cut> {
    let mut chunk = BytesMut::with_capacity(CHUNK + CHUNK / 8);
    chunk.put(frame.before);
    let mut between = "";
    loop {
        let row = tokio::select! {
            biased;
            row = rows.next() => row.map_err(Cut::Database)?,
            () = chunks.closed() => return Err(Cut::Client),
        };
        let Some(row) = row else { break };
        chunk.put_slice(between.as_bytes());
        chunk.put_slice(row.bytes(0).map_err(Cut::Database)?.unwrap_or_default());
        between = frame.between;
        if chunk.len() >= CHUNK {
            let full = chunk.split().freeze();
            match tokio::time::timeout(STALL, chunks.send(Ok(Chunk::Some(full)))).await {
                Ok(Ok(())) => chunk.reserve(CHUNK + CHUNK / 8),
                Ok(Err(_)) => return Err(Cut::Client),
                Err(_) => {
                    tracing::warn!(
                        stall_s = STALL.as_secs(),
                        "a client did not take a streamed result"
                    );
                    return Err(Cut::Client);
                }
            }
        }
    }
    chunk.put_slice(frame.after.as_bytes());
    Ok(chunk.freeze())
}
