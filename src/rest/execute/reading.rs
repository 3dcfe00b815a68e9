//! A transaction that only reads, by statements that follow from each other: what describes a schema to a role. It is
//! seldom, and uses the catalog's queries, so it stays with tokio-postgres.

use futures_util::TryStreamExt as _;
use tokio_postgres::{Client, Error, types::Type};

use super::{Opening, failure};
use crate::pg::pool::{Lease, Pool, is_unavailable};
use crate::rest::error::RestError;
use crate::rest::query::Statement;

/// An open transaction that only reads.
pub struct Reading {
    lease: Lease,
    authenticated: bool,
}

impl Reading {
    /// Opens it.
    pub async fn begin(pool: &Pool, opening: &Opening) -> Result<Self, RestError> {
        let reading = Self {
            lease: pool.get().await.map_err(failure::of_pool)?,
            authenticated: opening.authenticated,
        };
        match reading.open(opening).await {
            Ok(()) => Ok(reading),
            Err(error) => reading.finish(Err(error)).await,
        }
    }

    async fn open(&self, opening: &Opening) -> Result<(), Error> {
        let begin = opening.begin(opening.isolation);
        self.lease.client().batch_execute(begin).await?;
        for statement in opening.statements() {
            self.run(statement).await?;
        }
        Ok(())
    }

    async fn run(&self, statement: &Statement) -> Result<(), Error> {
        // The server infers what the values, sent as text, are.
        let values = statement.values.iter().map(|value| (value, Type::UNKNOWN));
        let rows = self.client().query_typed_raw(&statement.sql, values).await?;
        rows.try_collect::<Vec<_>>().await.map(drop)
    }

    /// Reaches the connection.
    pub fn client(&self) -> &Client {
        self.lease.client()
    }

    /// Ends it, and tells what came of it.
    pub async fn finish<T>(self, outcome: Result<T, Error>) -> Result<T, RestError> {
        if !outcome.as_ref().is_err_and(is_unavailable)
            && self.lease.client().batch_execute("commit").await.is_ok()
        {
            self.lease.done();
        }
        outcome.map_err(|error| failure::of_statement(&error, self.authenticated))
    }
}
