//! What stands between a socket and the routes: connections, bodies, request ids and logs, health.

pub mod abort;
pub mod acceptor;
pub mod body;
pub mod health;
pub mod server;
pub mod trace;
