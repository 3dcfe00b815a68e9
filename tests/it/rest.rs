//! `/rest/v1` over real HTTP: on Supabase's surface, and as `serve --rest-only`. One file a feature.

pub mod app;

mod auth;
mod availability;
mod cases;
mod configuration;
mod embedding;
mod errors;
mod hidden_rows;
mod hostile;
mod large;
mod media_types;
mod openapi;
mod reading;
mod rpc;
mod transactions;
