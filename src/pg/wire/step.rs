//! What a pipeline is made of, and what comes back.

use std::io;

use bytes::{BufMut as _, BytesMut};
use postgres_protocol::IsNull;
use postgres_protocol::message::frontend::{self, BindError};

use super::{Refusal, Row};

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
    pub(super) rows: Vec<(usize, Row)>,
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

/// Writes the message that binds values to a statement. All columns are asked for in binary form.
pub(super) fn bind<P: Parameter>(name: &str, values: &[P], output: &mut BytesMut) -> io::Result<()> {
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
