//! What the tests stand on: a throw-away PostgreSQL cluster, an application over a database of its own, a sink.

pub mod app;
pub mod cluster;
pub mod outbox;
pub mod program;
pub mod raw;
pub mod sink;
pub mod sql;
pub mod telegram;

pub use app::{Answer, TestApp};
pub use sink::Sink;
pub use sql::TestSql;
pub use telegram::Telegram;
