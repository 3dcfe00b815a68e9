//! PostgreSQL's protocol, spoken by the task that needs the answer.
//!
//! tokio-postgres drives each connection by a task of its own and ends each statement with a Sync, so that a request of
//! four statements wakes that task up to four times and has the server answer in four packets. A [`Wire`] writes a whole
//! transaction with one system call, has it end with one Sync, and reads the answers where they are wanted. What is
//! between two Syncs is one transaction without any BEGIN or COMMIT, and after an error the server passes over all that
//! follows up to the Sync: nothing ever runs behind a step that failed.
//!
//! <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-PIPELINING>

mod binding;
mod cancel;
mod error;
mod pool;
pub mod row;
mod socket;
mod startup;
mod statements;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};

use bytes::{Buf as _, BufMut as _, BytesMut};
use fallible_iterator::FallibleIterator as _;
use futures_util::FutureExt as _;
use postgres_protocol::IsNull;
use postgres_protocol::message::backend::{self, Header, Message};
use postgres_protocol::message::frontend::{self, BindError};
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, ReadBuf};

pub use self::error::{LeaseError, Refusal, WireError};
pub use self::pool::{Lease, Pool};
pub use self::row::Row;

use self::cancel::Canceller;
use self::pool::Keeping;
use self::socket::Socket;
use self::startup::Session;
use self::statements::{Columns, New, Statements};

/// Bytes that are read at once.
const READ: usize = 8 * 1024;
/// Bytes that are read at once from a long answer.
const READ_AHEAD: usize = 64 * 1024;
/// Size beyond which a write buffer is not kept.
const WRITE_KEPT: usize = 256 * 1024;

/// A value that is bound to a statement.
pub trait Parameter {
    /// Its bytes; None is NULL.
    fn bytes(&self) -> Option<&[u8]>;
    /// Whether they are PostgreSQL's binary form, and not its text.
    fn is_binary(&self) -> bool;
}

/// One statement of a pipeline.
#[derive(Debug)]
pub struct Step<'a, P> {
    /// The role that it will run as; prepared statements are kept apart by it.
    pub role: &'a str,
    /// Its text. The server infers the parameters' types.
    pub sql: &'a str,
    /// What is bound to it.
    pub values: &'a [P],
    /// Whether its rows are of interest.
    pub wanted: bool,
}

impl<P> Clone for Step<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Step<'_, P> {}

impl<'a, P> Step<'a, P> {
    /// A command without values and without an answer.
    pub fn command(sql: &'a str) -> Self {
        Self {
            role: "",
            sql,
            values: &[],
            wanted: false,
        }
    }
}

/// What the server says of a pipeline, in the order of its steps.
#[derive(Debug)]
pub enum Event {
    /// A row of a step that wants them.
    Row(usize, Row),
    /// A step has ended, and touched that many rows.
    Done(usize, u64),
    /// A step was refused, and all that follow it are passed over. The number of steps stands for the transaction's end.
    Refused(usize, Box<Refusal>),
    /// The pipeline has ended.
    Ready,
}

/// What became of a pipeline.
#[derive(Debug, Default)]
pub struct Replies {
    rows: Vec<(usize, Row)>,
    /// The step that was refused, if one was; the number of steps stands for the transaction's end.
    pub refused: Option<(usize, Box<Refusal>)>,
}

impl Replies {
    /// The rows of a step.
    pub fn rows(&self, step: usize) -> impl Iterator<Item = &Row> {
        self.rows
            .iter()
            .filter(move |(of, _)| *of == step)
            .map(|(_, row)| row)
    }
}

/// A connection. Only one task uses it at a time.
///
/// A future of it that is dropped leaves the rest of the answers outstanding; then [`Wire::is_clean`] is false.
pub struct Wire {
    socket: Socket,
    canceller: Canceller,
    input: BytesMut,
    read: usize,
    output: BytesMut,
    /// Bytes of `output` that are written.
    written: usize,
    /// The steps that are not answered.
    expected: VecDeque<Expected>,
    steps: usize,
    /// Whether a Sync is not answered.
    running: bool,
    /// Whether the server stands in a transaction: what it said last.
    status: u8,
    broken: bool,
    names: bool,
    statements: Statements,
    keeping: Arc<Keeping>,
    /// The [`Keeping::generation`] that the statements belong to.
    generation: u64,
}

struct Expected {
    step: usize,
    wanted: bool,
    new: Option<New>,
    columns: Option<Columns>,
}

impl Wire {
    fn new(session: Session, canceller: Canceller, names: bool, keeping: Arc<Keeping>) -> Self {
        let generation = keeping.generation();
        Self {
            socket: session.socket,
            canceller,
            input: BytesMut::with_capacity(READ),
            read: READ,
            output: BytesMut::with_capacity(READ),
            written: 0,
            expected: VecDeque::new(),
            steps: 0,
            running: false,
            status: b'I',
            broken: false,
            names,
            statements: Statements::new(),
            keeping,
            generation,
        }
    }

    /// Whether everything is answered and no transaction is open, so that another may use it.
    pub fn is_clean(&self) -> bool {
        !self.broken && !self.running && self.status == b'I'
    }

    /// Whether a transaction is open, be it a failed one.
    pub fn is_in_transaction(&self) -> bool {
        self.status != b'I'
    }

    /// Whether it is of no more use.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether statements are prepared under names. Otherwise a pooler may stand in between, and session parameters
    /// cannot be relied on.
    pub fn is_direct(&self) -> bool {
        self.names
    }

    /// Drops what was prepared for a text as a role.
    pub fn forget(&mut self, role: &str, sql: &str) {
        self.statements.forget(role, sql);
    }

    /// Drops all that was prepared.
    pub fn forget_all(&mut self) {
        self.statements.clear();
    }

    /// Runs statements in one round trip. Without a BEGIN among them they are one transaction. Refused statements are
    /// in the replies; an error is the connection's.
    pub async fn run<P: Parameter>(&mut self, steps: &[Step<'_, P>]) -> Result<Replies, WireError> {
        self.send(steps)?;
        let mut replies = Replies::default();
        loop {
            match self.next().await? {
                Event::Row(step, row) => replies.rows.push((step, row)),
                Event::Done(..) => {}
                Event::Refused(step, refusal) => replies.refused = Some((step, refusal)),
                Event::Ready => return Ok(replies),
            }
        }
    }

    /// Lines a pipeline up. It leaves with the first [`Wire::next`].
    pub fn send<P: Parameter>(&mut self, steps: &[Step<'_, P>]) -> Result<(), WireError> {
        if self.running || self.broken {
            self.broken = true;
            return Err(WireError::Protocol("a pipeline before the last one's end"));
        }
        self.write(steps).map_err(|error| {
            // Nothing has left, but what is prepared is not known any more.
            self.broken = true;
            WireError::Encode(error)
        })
    }

    fn write<P: Parameter>(&mut self, steps: &[Step<'_, P>]) -> io::Result<()> {
        let generation = self.keeping.generation();
        if self.generation != generation {
            self.generation = generation;
            self.statements.clear();
        }
        for name in self.statements.closing() {
            frontend::close(b'S', &name, &mut self.output)?;
        }
        for (n, step) in steps.iter().enumerate() {
            self.write_step(n, step)?;
        }
        frontend::sync(&mut self.output);
        self.steps = steps.len();
        self.running = true;
        Ok(())
    }

    fn write_step<P: Parameter>(&mut self, n: usize, step: &Step<'_, P>) -> io::Result<()> {
        let mut expected = Expected {
            step: n,
            wanted: step.wanted,
            new: None,
            columns: None,
        };
        let found = if self.names {
            self.statements.find(step.role, step.sql)
        } else {
            None
        };
        if let Some((name, columns)) = found {
            expected.columns = Some(columns);
            bind(name, step.values, &mut self.output)?;
        } else {
            let new = self.names.then(|| self.statements.name(step.role, step.sql));
            let name = new.as_ref().map_or("", New::name);
            frontend::parse(name, step.sql, [], &mut self.output)?;
            frontend::describe(b'S', name, &mut self.output)?;
            bind(name, step.values, &mut self.output)?;
            expected.new = new;
        }
        frontend::execute("", 0, &mut self.output)?;
        self.expected.push_back(expected);
        Ok(())
    }

    /// Waits for what the server says next of the pipeline that was sent.
    pub async fn next(&mut self) -> Result<Event, WireError> {
        let next = self.hear().await;
        if next.is_err() {
            self.broken = true;
        }
        next
    }

    async fn hear(&mut self) -> Result<Event, WireError> {
        if !self.output.is_empty() {
            self.flush().await?;
        }
        loop {
            let Some(length) = self.message()? else {
                self.fill().await?;
                continue;
            };
            if let Some(event) = self.take(length)? {
                return Ok(event);
            }
        }
    }

    /// The length of the next message if all of it is there; makes room for it otherwise.
    fn message(&mut self) -> Result<Option<usize>, WireError> {
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

    /// Takes one message of that length.
    fn take(&mut self, length: usize) -> Result<Option<Event>, WireError> {
        let front = self.expected.front_mut();
        match (self.input[0], front) {
            (backend::DATA_ROW_TAG, Some(step)) if step.wanted => {
                let columns = step.columns.clone().unwrap_or_default();
                let step = step.step;
                if let Some(Message::DataRow(body)) = Message::parse(&mut self.input)? {
                    return Ok(Some(Event::Row(step, Row::new(body, columns))));
                }
            }
            (backend::COMMAND_COMPLETE_TAG | backend::EMPTY_QUERY_RESPONSE_TAG, Some(_)) => {
                let count = count(&self.input[5..length]);
                self.input.advance(length);
                return Ok(self
                    .expected
                    .pop_front()
                    .map(|step| Event::Done(step.step, count)));
            }
            (backend::PARSE_COMPLETE_TAG, Some(step)) => {
                if let Some(new) = &mut step.new {
                    new.parsed = true;
                }
                self.input.advance(length);
            }
            (backend::ROW_DESCRIPTION_TAG | backend::NO_DATA_TAG, Some(_)) => self.describe()?,
            (backend::ERROR_RESPONSE_TAG, _) => return self.refuse().map(Some),
            (backend::READY_FOR_QUERY_TAG, _) if self.running => {
                self.status = self.input[5];
                self.input.advance(length);
                self.running = false;
                self.read = READ;
                return Ok(Some(Event::Ready));
            }
            (
                backend::BIND_COMPLETE_TAG
                | backend::CLOSE_COMPLETE_TAG
                | backend::DATA_ROW_TAG
                | backend::PARAMETER_DESCRIPTION_TAG
                | backend::PARAMETER_STATUS_TAG
                | backend::NOTICE_RESPONSE_TAG
                | backend::NOTIFICATION_RESPONSE_TAG,
                _,
            ) => self.input.advance(length),
            _ => return Err(WireError::Protocol("unknown here")),
        }
        Ok(None)
    }

    /// Takes a statement's description, which comes once, and keeps the statement.
    fn describe(&mut self) -> Result<(), WireError> {
        let columns: Columns = match Message::parse(&mut self.input)? {
            Some(Message::RowDescription(body)) => body
                .fields()
                .map(|field| Ok(Box::from(field.name())))
                .collect::<Vec<_>>()?
                .into(),
            _ => [].into(),
        };
        if let Some(step) = self.expected.front_mut() {
            step.columns = Some(Arc::clone(&columns));
            if let Some(new) = step.new.take() {
                self.statements.keep(new, columns, self.keeping.capacity());
            }
        }
        Ok(())
    }

    fn refuse(&mut self) -> Result<Event, WireError> {
        let Some(Message::ErrorResponse(body)) = Message::parse(&mut self.input)? else {
            return Err(WireError::Protocol("an error"));
        };
        let refusal = Box::new(Refusal::read(&body)?);
        if refusal.is_fatal() || !self.running {
            return Err(WireError::Refused(refusal));
        }
        let step = self.expected.front().map_or(self.steps, |step| step.step);
        for passed_over in self.expected.drain(..) {
            if let Some(new) = passed_over.new {
                self.statements.abandon(new);
            }
        }
        Ok(Event::Refused(step, refusal))
    }

    /// Writes what is lined up. While the server does not take it, its answers are read, since it may be waiting for
    /// that.
    async fn flush(&mut self) -> Result<(), WireError> {
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

    async fn fill(&mut self) -> Result<(), WireError> {
        if self.input.capacity() - self.input.len() < READ / 4 {
            self.input.reserve(self.read);
        }
        match self.socket.read_buf(&mut self.input).await? {
            0 => Err(WireError::Closed),
            _ => Ok(()),
        }
    }

    /// Says goodbye, if that is possible without waiting; the server would find out anyway.
    fn take_leave(&self) {
        const TERMINATE: &[u8] = b"X\0\0\0\x04";
        if self.is_clean() {
            match &self.socket {
                Socket::Unix(stream) => stream.try_write(TERMINATE).ok(),
                Socket::Tcp(stream) => stream.try_write(TERMINATE).ok(),
                Socket::Tls(_) => None,
            };
        }
    }

    /// Reads what came while it rested, without waiting, and tells whether it still lives as far as one can tell.
    fn is_alive(&mut self) -> bool {
        if !self.is_clean() {
            return false;
        }
        loop {
            match self.fill().now_or_never() {
                None => break,
                Some(Ok(())) => {}
                Some(Err(_)) => return false,
            }
        }
        // Notices and parameters are passed over; a farewell is not.
        while let Ok(Some(length)) = self.message() {
            if !matches!(self.take(length), Ok(None)) {
                return false;
            }
        }
        true
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.take_leave();
    }
}

fn bind<P: Parameter>(name: &str, values: &[P], output: &mut BytesMut) -> io::Result<()> {
    let any_binary = values.iter().any(P::is_binary);
    let formats = if any_binary { values } else { &[] };
    let written = frontend::bind(
        "",
        name,
        formats.iter().map(|value| i16::from(value.is_binary())),
        values,
        |value, output| match value.bytes() {
            Some(bytes) => {
                output.put_slice(bytes);
                Ok(IsNull::No)
            }
            None => Ok(IsNull::Yes),
        },
        [1],
        output,
    );
    written.map_err(|error| match error {
        BindError::Conversion(error) => io::Error::other(error),
        BindError::Serialization(error) => error,
    })
}

/// The number at the end of a command's tag, as in `INSERT 0 5`.
fn count(tag: &[u8]) -> u64 {
    let digits = tag
        .strip_suffix(b"\0")
        .unwrap_or(tag)
        .rsplit(|byte| *byte == b' ')
        .next();
    digits
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}
