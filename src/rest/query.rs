//! Plan -> statement: the only place that writes request SQL. Cannot fail.
//!
//! Identifiers come out of the schema cache and are quoted; values are bound parameters. The text depends on the
//! request's shape alone, so that a connection's prepared statements serve all requests of that shape.

pub mod statement;

pub use self::statement::{Statement, Value};
