//! Row level security and guarded columns (contract, section 9), through SQL and through `/rest/v1`, as each role.

mod catalog;
mod guards;
mod helpers;
mod http;
mod matrix;
mod plans;
mod registration;
mod writers;

use tokio_postgres::{Client, Row, SimpleQueryMessage};

use crate::support::cluster::TestDatabase;

/// Who asks: `anon`, `service_role`, or the name of one of the fixture's users; `stranger` has an account only.
type Caller = &'static str;

/// What became of a statement that row level security may refuse.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// It ran, over this many rows.
    Rows(i64),
    /// SQLSTATE 42501, with the message.
    Denied(String),
}

/// A database with the fixture in it.
struct World {
    database: TestDatabase,
    /// The owner's connection.
    db: Client,
}

impl World {
    async fn new() -> Self {
        let database = TestDatabase::migrated().await;
        let db = database.target().connect().await.unwrap();
        db.batch_execute(include_str!("row_security/fixture.sql"))
            .await
            .unwrap();
        Self { database, db }
    }

    /// Runs one statement as a caller and takes its effects back. Any failure but 42501 fails the test.
    async fn attempt(&self, caller: Caller, statement: &str) -> Outcome {
        self.attempt_all(caller, &[statement.to_owned()]).await.remove(0)
    }

    /// As [`World::attempt`], for each statement on its own.
    async fn attempt_all(&self, caller: Caller, statements: &[String]) -> Vec<Outcome> {
        let outcomes = self
            .db
            .query(
                "select a.row_count, a.denied
                   from unnest($2::text[]) with ordinality as s (statement, place)
                  cross join lateral fixture.attempt($1, s.statement) as a
                  order by s.place",
                &[&caller, &statements],
            )
            .await
            .unwrap_or_else(|error| panic!("{caller}: {statements:#?}: {:?}", error.as_db_error()));
        let read = |row: &Row| match row.get::<_, Option<i64>>(0) {
            Some(count) => Outcome::Rows(count),
            None => Outcome::Denied(row.get(1)),
        };
        outcomes.iter().map(read).collect()
    }

    /// Runs one statement as a caller, for good, and answers the first column of its rows.
    async fn perform(&self, caller: Caller, statement: &str) -> Vec<Option<String>> {
        self.run_and(caller, statement, "commit").await
    }

    /// As [`World::perform`], and takes the effects back.
    async fn ask(&self, caller: Caller, statement: &str) -> Vec<Option<String>> {
        self.run_and(caller, statement, "rollback").await
    }

    async fn run_and(&self, caller: Caller, statement: &str, end: &str) -> Vec<Option<String>> {
        become_caller(&self.db, caller).await;
        let messages = self.db.simple_query(statement).await.unwrap();
        self.db.batch_execute(end).await.unwrap();
        let first_column = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0).map(str::to_owned)),
            _ => None,
        };
        messages.iter().filter_map(first_column).collect()
    }

    /// One value, asked by the owner, as text.
    async fn text(&self, query: &str) -> Option<String> {
        self.db.query_one(query, &[]).await.unwrap().get(0)
    }
}

/// Opens a transaction that is a caller's, as requests do.
async fn become_caller(db: &Client, caller: Caller) {
    let begin = format!("begin; select fixture.become('{caller}')");
    db.batch_execute(&begin).await.unwrap();
}
