//! Statements whose texts are made at run time.
//!
//! The first use of a text on a connection sends it whole and unnamed, so that it costs one round trip like any other;
//! [`Lease::keep`], sent behind it in the same pipeline, prepares it for the next time. The server infers the
//! parameters' types, so the values are to be sent as text, or as the binary form of the only type that fits.

use tokio_postgres::{
    Error, RowStream, Statement,
    types::{BorrowToSql, Type},
};

use super::{Lease, Statements};

/// A text that is about to be sent on a certain connection: by the name it was prepared under, or whole.
pub struct Text<'a> {
    sql: &'a str,
    kept: Option<Statement>,
}

impl Lease {
    /// Looks up whether a text is prepared on this connection.
    pub fn text<'a>(&self, sql: &'a str) -> Text<'a> {
        let kept = self.names_statements().then(|| self.connection().kept(sql));
        Text {
            sql,
            kept: kept.flatten(),
        }
    }

    /// Sends a text with its values. The message leaves at the first poll, so joined futures make a pipeline.
    pub async fn send<P>(&self, text: &Text<'_>, values: &[P]) -> Result<RowStream, Error>
    where
        for<'v> &'v P: BorrowToSql,
    {
        if let Some(statement) = &text.kept {
            return self.client().query_raw(statement, values).await;
        }
        let typed = values.iter().map(|value| (value, Type::UNKNOWN));
        // Boxed, since it is seldom, and large.
        Box::pin(self.client().query_typed_raw(text.sql, typed)).await
    }

    /// Whether [`Lease::keep`] would do something.
    pub fn is_new(&self, text: &Text<'_>) -> bool {
        text.kept.is_none() && self.names_statements()
    }

    /// Prepares a text for its next use, where this pool names statements and it is not prepared already. The server
    /// looks names up as the role and in the search path of the transaction, so it belongs behind a first use that
    /// succeeds; what fails here fails in vain, and the next use sends the text again.
    pub async fn keep(&self, text: &Text<'_>) {
        if !self.is_new(text) {
            return;
        }
        if let Ok(statement) = self.client().prepare(text.sql).await {
            self.connection().keep(text.sql, statement);
        }
    }

    /// Drops what was prepared for a text.
    pub fn forget_text(&self, text: &Text<'_>) {
        if text.kept.is_some() {
            self.connection().forget(text.sql);
        }
    }

    fn names_statements(&self) -> bool {
        self.statements() == Statements::Prepared
    }
}

impl Text<'_> {
    /// Whether it goes out under the name of a prepared statement, which the server may have invalidated.
    pub fn is_named(&self) -> bool {
        self.kept.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::TryStreamExt as _;
    use tokio_postgres::Row;

    use super::*;
    use crate::pg::pool::{Pool, PoolSettings};
    use crate::pg::test_cluster;

    async fn pool(statements: Statements) -> Pool {
        let settings = PoolSettings {
            max_size: 1,
            wait_timeout: Duration::from_secs(5),
            statements,
        };
        Pool::new(&test_cluster::shared().database().await, settings).unwrap()
    }

    /// Sends a text without parameters, keeps it, and tells whether it went out by name.
    async fn run(lease: &Lease, sql: &str) -> (Vec<Row>, bool) {
        let text = lease.text(sql);
        let rows = lease.send::<String>(&text, &[]).await.unwrap();
        let rows = rows.try_collect().await.unwrap();
        lease.keep(&text).await;
        (rows, text.is_named())
    }

    async fn kept_by_the_server(lease: &Lease) -> Vec<String> {
        let sql = "select statement from pg_prepared_statements where statement like 'select%' order by 1";
        let rows = lease.client().query_typed(sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    #[tokio::test]
    async fn a_text_is_named_from_its_second_use_on() {
        let pool = pool(Statements::Prepared).await;
        let lease = pool.get().await.unwrap();
        assert!(!run(&lease, "select 1").await.1);
        assert!(run(&lease, "select 1").await.1);
        lease.done();
        let lease = pool.get().await.unwrap();
        assert!(run(&lease, "select 1").await.1, "it stays with the connection");
    }

    #[tokio::test]
    async fn the_longest_unused_statement_is_closed_on_the_server_too() {
        let pool = pool(Statements::Prepared).await;
        pool.keep_statements(2);
        let lease = pool.get().await.unwrap();
        for sql in ["select 1", "select 2", "select 1", "select 3"] {
            run(&lease, sql).await;
        }
        assert_eq!(kept_by_the_server(&lease).await, ["select 1", "select 3"]);
    }

    #[tokio::test]
    async fn statements_of_before_a_schema_change_are_forgotten() {
        let pool = pool(Statements::Prepared).await;
        let lease = pool.get().await.unwrap();
        run(&lease, "select 1").await;
        pool.forget_statements();
        assert!(!run(&lease, "select 2").await.1);
        assert_eq!(kept_by_the_server(&lease).await, ["select 2"]);
    }

    #[tokio::test]
    async fn an_unnamed_pool_leaves_nothing_on_the_server() {
        let pool = pool(Statements::Unnamed).await;
        let lease = pool.get().await.unwrap();
        for _ in 0..2 {
            assert!(!run(&lease, "select 1").await.1);
        }
        assert!(kept_by_the_server(&lease).await.is_empty());
    }

    #[tokio::test]
    async fn a_text_that_cannot_be_prepared_is_not_kept() {
        let pool = pool(Statements::Prepared).await;
        let lease = pool.get().await.unwrap();
        let text = lease.text("select * from nowhere");
        assert!(lease.send::<String>(&text, &[]).await.is_err());
        lease.keep(&text).await;
        assert!(!lease.text("select * from nowhere").is_named());
    }
}
