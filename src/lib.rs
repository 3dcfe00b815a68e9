//! Dropwire: a Supabase-compatible, drop-in backend for Make-driven ticket systems, in one binary.
//!
//! # The map
//!
//! | Module | What it is in charge of |
//! | --- | --- |
//! | [`cli`] | The command line: `serve`, `dev`, `migrate`, `dispatch`, `keys`, `openapi`, `healthcheck` |
//! | [`config`] | Typed settings, read once from flags and environment |
//! | [`app`] | The route table on one page; start and shutdown |
//! | [`dev`] | Demo data and the inbox of `dropwire dev` |
//! | [`http`] | Connections, request ids and logs, health |
//! | [`gateway`], [`auth`] | Where the key stands; roles, keys and tokens |
//! | [`functions`] | `/functions/v1`: one file a function, and the gate in front of them |
//! | [`rest`], [`schema_cache`] | `/rest/v1`: PostgREST's interface; the catalog that requests are planned against |
//! | [`onboarding`] | Inviting users to the Telegram bot, and what Make and the bot answer |
//! | [`bot`], [`telegram`] | The executors' Telegram bot, and the Bot API that it speaks |
//! | [`idempotency`] | One key, one effect, across replicas |
//! | [`webhook`] | The outbox: claim, deliver, record, follow the ticket's chain |
//! | [`egress`] | The one HTTP client that leaves the house |
//! | [`database`] | Opening the database: embedded or given, migrated, with a login role |
//! | [`metrics`] | `/metrics` |
//! | [`pg`] | Connections, the pool, migrations, the embedded server |
//!
//! What must hold whoever writes a row is in `sql/`: tables, triggers, rules, queue.
//!
//! # How a ticket travels
//!
//! ```text
//! Make -> POST /functions/v1/telegram-webhook -> one SQL function: find the user, insert the ticket
//!           trigger: creation entry -> rules -> their effects -> activities -> entries      (one transaction)
//! dispatcher: claim heads -> POST to the tenant's Make webhook -> record, claim the ticket's next -> …
//! ```
//!
//! Dependencies point one way:
//! `cli -> app -> { rest, functions, dev } -> { webhook, onboarding, bot, idempotency } -> { telegram, egress, auth }
//! -> pg -> config`.

pub mod app;
pub mod auth;
pub mod bot;
pub mod cli;
pub mod config;
pub mod database;
pub mod dev;
pub mod egress;
pub mod error;
pub mod functions;
pub mod gateway;
pub mod http;
pub mod idempotency;
pub mod metrics;
pub mod onboarding;
pub mod pg;
pub mod rest;
pub mod schema_cache;
pub mod telegram;
pub mod telemetry;
pub mod webhook;
