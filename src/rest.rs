//! `/rest/v1`: PostgREST's wire behaviour.
//!
//! ```text
//! HTTP -> auth -> request::parse -> plan::build(&SchemaCache) -> query::render -> execute -> response::build
//!        PGRST3xx  PGRST1xx          PGRST2xx                     (cannot fail)   SQLSTATE   406, 416
//! ```

pub mod auth;
pub mod error;
pub mod plan;
pub mod query;
pub mod request;
pub mod settings;
