//! `/rest/v1` over real HTTP: on Supabase's surface, and as `serve --rest-only`. One file a feature.

pub mod app;

mod auth;
mod availability;
mod cases;
mod configuration;
mod deleting;
mod embedding;
mod headers;
mod idempotency;
mod inserting;
mod large;
mod media_types;
mod preferences;
mod reading;
mod reliability;
mod rpc;
mod schema_cache;
mod session;
mod streaming;
mod transactions;
mod updating;
mod upserting;
mod writing;
