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
mod step;
#[cfg(test)]
mod tests;
mod transport;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Buf as _;
use fallible_iterator::FallibleIterator as _;
use futures_util::FutureExt as _;
use postgres_protocol::message::backend::{self, Message};
use postgres_protocol::message::frontend;

pub use self::error::{LeaseError, Refusal, WireError};
pub use self::pool::{Lease, Pool};
pub use self::row::Row;
pub use self::step::{Event, Parameter, Replies, Step};

use self::cancel::Canceller;
use self::pool::Keeping;
use self::startup::Session;
use self::statements::{Columns, New, Statements};
use self::step::bind;
use self::transport::Transport;

/// A connection. Only one task uses it at a time.
///
/// A future of it that is dropped leaves the rest of the answers outstanding; then [`Wire::is_clean`] is false.
pub struct Wire {
    transport: Transport,
    canceller: Canceller,
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
            transport: Transport::new(session.socket),
            canceller,
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
            frontend::close(b'S', &name, &mut self.transport.output)?;
        }
        for (n, step) in steps.iter().enumerate() {
            self.write_step(n, step)?;
        }
        frontend::sync(&mut self.transport.output);
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
            bind(name, step.values, &mut self.transport.output)?;
        } else {
            let new = self.names.then(|| self.statements.name(step.role, step.sql));
            let name = new.as_ref().map_or("", New::name);
            frontend::parse(name, step.sql, [], &mut self.transport.output)?;
            frontend::describe(b'S', name, &mut self.transport.output)?;
            bind(name, step.values, &mut self.transport.output)?;
            expected.new = new;
        }
        frontend::execute("", 0, &mut self.transport.output)?;
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
        if !self.transport.output.is_empty() {
            self.transport.flush().await?;
        }
        loop {
            let Some(length) = self.transport.message()? else {
                self.transport.fill().await?;
                continue;
            };
            if let Some(event) = self.take(length)? {
                return Ok(event);
            }
        }
    }

    /// Takes one message of that length.
    fn take(&mut self, length: usize) -> Result<Option<Event>, WireError> {
        let front = self.expected.front_mut();
        match (self.transport.input[0], front) {
            (backend::DATA_ROW_TAG, Some(step)) if step.wanted => {
                let columns = step.columns.clone().unwrap_or_default();
                let step = step.step;
                if let Some(Message::DataRow(body)) = Message::parse(&mut self.transport.input)? {
                    return Ok(Some(Event::Row(step, Row::new(body, columns))));
                }
            }
            (backend::COMMAND_COMPLETE_TAG | backend::EMPTY_QUERY_RESPONSE_TAG, Some(_)) => {
                let count = count(&self.transport.input[5..length]);
                self.transport.input.advance(length);
                return Ok(self
                    .expected
                    .pop_front()
                    .map(|step| Event::Done(step.step, count)));
            }
            (backend::PARSE_COMPLETE_TAG, Some(step)) => {
                if let Some(new) = &mut step.new {
                    new.parsed = true;
                }
                self.transport.input.advance(length);
            }
            (backend::ROW_DESCRIPTION_TAG | backend::NO_DATA_TAG, Some(_)) => self.describe()?,
            (backend::ERROR_RESPONSE_TAG, _) => return self.refuse().map(Some),
            (backend::READY_FOR_QUERY_TAG, _) if self.running => {
                self.status = self.transport.input[5];
                self.transport.input.advance(length);
                self.running = false;
                self.transport.rest();
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
            ) => self.transport.input.advance(length),
            _ => return Err(WireError::Protocol("unknown here")),
        }
        Ok(None)
    }

    /// Takes a statement's description, which comes once, and keeps the statement.
    fn describe(&mut self) -> Result<(), WireError> {
        let columns: Columns = match Message::parse(&mut self.transport.input)? {
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
        let Some(Message::ErrorResponse(body)) = Message::parse(&mut self.transport.input)? else {
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

    /// Reads what came while it rested, without waiting, and tells whether it still lives as far as one can tell.
    fn is_alive(&mut self) -> bool {
        if !self.is_clean() {
            return false;
        }
        loop {
            match self.transport.fill().now_or_never() {
                None => break,
                Some(Ok(())) => {}
                Some(Err(_)) => return false,
            }
        }
        // Notices and parameters are passed over; a farewell is not.
        while let Ok(Some(length)) = self.transport.message() {
            if !matches!(self.take(length), Ok(None)) {
                return false;
            }
        }
        true
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.is_clean() {
            self.transport.take_leave();
        }
    }
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
