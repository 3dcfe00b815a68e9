//! Contract tests: real HTTP, a real PostgreSQL, a real webhook sink. One file per feature.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

mod automation_rpc;
mod database_edge;
mod gateway;
mod http_edge;
mod idempotency;
mod story;
mod telegram_webhook;
