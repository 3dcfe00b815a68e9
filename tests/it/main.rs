//! Contract tests: real HTTP, a real PostgreSQL, a real webhook sink. One file per feature.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

mod adoption;
mod automation_rpc;
mod chaos;
mod cli;
mod clients;
mod compat;
mod crash;
mod create_ticket;
mod database_edge;
mod dev;
mod dispatcher;
mod events;
mod executor_ticket_webhook;
mod gateway;
mod hostile;
mod http_edge;
mod idempotency;
mod migrations;
mod model;
mod onboarding;
mod openapi;
mod pages;
mod rest;
mod roles;
mod row_security;
mod rules;
mod schema;
mod ssrf;
mod story;
mod telegram_webhook;
