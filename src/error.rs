//! What all error types share: how a failure reads in a log or on the terminal.

use std::error::Error;
use std::fmt::Write as _;

/// Joins an error and its causes; tokio-postgres' own texts say little without the cause.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a String cannot fail.
        let _written = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
