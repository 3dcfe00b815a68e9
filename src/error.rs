//! What all error types share: how a failure reads in a log or on the terminal.

use std::error::Error;
use std::fmt::Write as _;

/// Joins an error and its causes; tokio-postgres' own texts say little without the cause. A cause that the text
/// before it has already is left out.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            // Writing to a String cannot fail.
            let _written = write!(text, ": {said}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    #[test]
    fn causes_are_told_once_each() {
        let layer = |text, source| Layer { text, source };
        let refused = layer("connection refused", None);
        let connect = layer("error connecting: connection refused", Some(Box::new(refused)));
        let outer = layer("connecting to db", Some(Box::new(connect)));
        assert_eq!(
            chain(&outer),
            "connecting to db: error connecting: connection refused"
        );
    }
}
