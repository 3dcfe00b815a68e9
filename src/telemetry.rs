//! Logs: text on a terminal, JSON lines elsewhere, to standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::{ConfigError, Env};

/// What is logged unless `DROPWIRE_LOG` says otherwise; poem's own notes are below our level.
pub const DEFAULT_FILTER: &str = "info,poem=warn";

/// Starts logging as the environment asks.
pub fn init(env: &Env) -> Result<(), ConfigError> {
    init_with(env, DEFAULT_FILTER)
}

/// As [`init`], with what is logged unless the environment says otherwise.
pub fn init_with(env: &Env, default_filter: &str) -> Result<(), ConfigError> {
    let filter = env
        .parse(
            &["DROPWIRE_LOG"],
            "a filter such as info or dropwire=debug",
            |v| EnvFilter::try_new(v).ok(),
        )?
        .unwrap_or_else(|| EnvFilter::new(default_filter));
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
