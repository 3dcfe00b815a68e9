//! `/rest/v1` over real HTTP: on Supabase's surface, and as `serve --rest-only`. One file a feature.

pub mod app;

mod auth;
mod cases;
mod configuration;
mod cors;
mod deleting;
mod embedding;
mod errors;
mod headers;
mod hidden_rows;
mod hostile;
mod idempotency;
mod inserting;
mod media_types;
mod openapi;
mod preferences;
mod reading;
mod reliability;
mod rpc;
mod schema_cache;
mod session;
mod streaming;
mod updating;
mod upserting;
mod versions;
mod writing;
