//! The `dropwire` program: see [`dropwire::cli`] for its verbs.

use std::process::ExitCode;

fn main() -> ExitCode {
    dropwire::cli::run()
}
