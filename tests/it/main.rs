//! Contract tests: real HTTP, a real PostgreSQL, a real webhook sink. One file per feature.

mod support;

mod events;
mod migrations;
mod roles;
mod rules;
mod schema;
mod story;
