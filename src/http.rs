//! What stands between a socket and the routes: connections, request ids and logs, health.

pub mod acceptor;
pub mod health;
pub mod server;
pub mod trace;
