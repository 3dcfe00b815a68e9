//! The `dropwire` program: see [`dropwire::cli`] for its verbs.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A request allocates some two hundred small values; the system's allocator takes a tenth of its time for them.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    dropwire::cli::run()
}
