//! `/rest/v1` over real HTTP: on Supabase's surface, and as `serve --rest-only`. One file a feature.

pub mod app;

mod auth;
mod cases;
mod configuration;
mod embedding;
mod errors;
mod hidden_rows;
mod hostile;
mod media_types;
mod openapi;
mod reading;
mod rpc;
