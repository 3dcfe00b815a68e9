//! Logs: text on a terminal, JSON lines elsewhere, to standard error.

use std::error::Error;
use std::fmt::Write as _;
use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::{ConfigError, Env};

/// What is logged unless `DROPWIRE_LOG` says otherwise; poem's own notes are below our level.
const DEFAULT_FILTER: &str = "info,poem=warn";

/// Starts logging as the environment asks.
pub fn init(env: &Env) -> Result<(), ConfigError> {
    let filter = env
        .parse(
            &["DROPWIRE_LOG"],
            "a filter such as info or dropwire=debug",
            |v| EnvFilter::try_new(v).ok(),
        )?
        .unwrap_or_else(|| EnvFilter::new(DEFAULT_FILTER));
    let json = env
        .parse(&["DROPWIRE_LOG_FORMAT"], "text or json", |v| match v {
            "text" => Some(false),
            "json" => Some(true),
            _ => None,
        })?
        .unwrap_or_else(|| !std::io::stderr().is_terminal());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second start in one process (tests) keeps the first one's logs.
    let started = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.try_init()
    };
    drop(started);
    Ok(())
}

/// The error and its causes in one line; a cause that the text above it repeats is left out.
pub fn with_causes(error: &dyn Error) -> String {
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
            with_causes(&outer),
            "connecting to db: error connecting: connection refused"
        );
    }
}
