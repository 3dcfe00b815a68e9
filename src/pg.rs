//! Everything that talks to PostgreSQL.

pub mod connect;
pub mod login;
pub mod migrate;
pub mod pool;
pub mod server;
#[cfg(test)]
pub(crate) mod test_cluster;
pub mod tls;
pub mod wire;
