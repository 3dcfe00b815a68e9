//! Dropwire: a Supabase-compatible, drop-in backend in one binary.

pub mod cli;
pub mod config;
pub mod egress;
pub mod http;
pub mod pg;
