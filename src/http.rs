//! What stands between a socket and the routes.

pub mod acceptor;
