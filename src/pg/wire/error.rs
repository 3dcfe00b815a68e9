//! What can go wrong on a direct connection.

use std::io;
use std::time::Duration;

use fallible_iterator::FallibleIterator as _;
use postgres_protocol::message::backend::ErrorResponseBody;

use crate::pg::tls::TlsError;

/// Why a connection, or what was sent over it, failed.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The socket failed.
    #[error("the connection to the database failed")]
    Io(#[from] io::Error),
    /// The server went away.
    #[error("the database closed the connection")]
    Closed,
    /// The server refused.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// The two sides cannot agree on TLS or on a login.
    #[error("{0}")]
    Login(&'static str),
    /// The server's side of the login could not be verified, or read.
    #[error("logging in to the database")]
    Authentication(#[source] io::Error),
    /// The server says what it should not.
    #[error("the database sent an unexpected message ({0})")]
    Protocol(&'static str),
    /// What was to be sent cannot be: it is too long, say.
    #[error("a statement could not be written down")]
    Encode(#[source] io::Error),
}

/// The server's word on a failure, as its `ErrorResponse` has it.
/// <https://www.postgresql.org/docs/current/protocol-error-fields.html>
#[derive(Debug, Default, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{severity}: {message} ({code})")]
pub struct Refusal {
    /// `ERROR`, `FATAL` or `PANIC`, never translated.
    pub severity: String,
    /// SQLSTATE.
    pub code: String,
    /// What happened.
    pub message: String,
    /// More about it.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    /// The server's function that raised it.
    pub routine: Option<String>,
}

impl Refusal {
    pub(super) fn read(body: &ErrorResponseBody) -> io::Result<Self> {
        let mut refusal = Self::default();
        let mut fields = body.fields();
        while let Some(field) = fields.next()? {
            let text = || String::from_utf8_lossy(field.value_bytes()).into_owned();
            match field.type_() {
                b'V' => refusal.severity = text(),
                b'S' if refusal.severity.is_empty() => refusal.severity = text(),
                b'C' => refusal.code = text(),
                b'M' => refusal.message = text(),
                b'D' => refusal.detail = Some(text()),
                b'H' => refusal.hint = Some(text()),
                b'R' => refusal.routine = Some(text()),
                _ => {}
            }
        }
        Ok(refusal)
    }

    /// Whether the server ends the connection with it.
    pub fn is_fatal(&self) -> bool {
        matches!(self.severity.as_str(), "FATAL" | "PANIC")
    }

    /// Whether a prepared statement was refused before it ran: its result has other columns since a migration, or the
    /// session has forgotten it. The first has no SQLSTATE of its own, and its text is translated.
    pub fn is_stale(&self) -> bool {
        self.code == "26000" || self.routine.as_deref() == Some("RevalidateCachedQuery")
    }

    /// Whether the text does not fit the schema, or not any more: SQLSTATE class 42, privileges aside. A prepared
    /// statement holds on to the types that were inferred when it was prepared.
    pub fn is_misread(&self) -> bool {
        self.code.starts_with("42") && self.code != "42501"
    }

    fn is_unavailable(&self) -> bool {
        self.code.starts_with("08")
            || self.code.starts_with("53")
            || matches!(self.code.as_str(), "57P01" | "57P02" | "57P03")
    }
}

impl WireError {
    /// Tells whether it is for want of a database rather than by the statement's own fault: a lost connection, SQLSTATE
    /// class 08 (connection) or 53 (resources), or 57P01 to 57P03 (shutting down, crashed, starting).
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Io(_) | Self::Closed | Self::Protocol(_) | Self::Login(_) | Self::Authentication(_) => true,
            Self::Refused(refusal) => refusal.is_unavailable(),
            Self::Encode(_) => false,
        }
    }
}

/// Why there is no connection to lease.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Every connection stayed busy.
    #[error(
        "no database connection became free within {} ms; allow more connections, or look for slow queries",
        waited.as_millis()
    )]
    Timeout {
        /// The patience that ran out.
        waited: Duration,
    },
    /// TLS could not be set up on this side.
    #[error("setting up TLS for the database connection")]
    Tls(#[from] TlsError),
    /// A connection was needed and could not be opened.
    #[error("connecting to {place}")]
    Open {
        /// User, hosts and database, without the password.
        place: String,
        /// What failed.
        source: WireError,
    },
    /// Nothing was heard for too long.
    #[error("connecting to {place}: no answer within {} s", after.as_secs())]
    Silent {
        /// User, hosts and database, without the password.
        place: String,
        /// How long was waited.
        after: Duration,
    },
    /// The pool was closed: the server is stopping.
    #[error("the connection pool is closed because the server is stopping")]
    Closed,
}
