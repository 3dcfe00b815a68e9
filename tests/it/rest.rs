//! `/rest/v1` over real HTTP: on Supabase's surface, and as `serve --rest-only`. One file a feature.

pub mod app;

mod auth;
mod cases;
mod configuration;
mod embedding;
mod idempotency;
mod media_types;
mod reading;
mod rpc;
