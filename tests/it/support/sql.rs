//! A migrated database spoken to in plain SQL, as the owner or as one of the roles.

use dropwire::pg::login;
use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

use super::app::TENANT;
use super::cluster::TestDatabase;

/// A signed-in user of [`TENANT`]: Ada Admin.
pub const ADA: &str = "d0000000-0000-4000-8000-0000000000a1";
/// The tenant's complainant: John Doe.
pub const JOHN: &str = "d0000000-0000-4000-8000-0000000000a2";
/// The executor profiles of Mike Johnson (HVAC) and Ina Itkin (IT), both without a limit.
pub const MIKE_PROFILE: &str = "d0000000-0000-4000-8000-0000000000e1";
pub const INA_PROFILE: &str = "d0000000-0000-4000-8000-0000000000e2";
/// Their users.
pub const MIKE: &str = "d0000000-0000-4000-8000-0000000000a3";
pub const INA: &str = "d0000000-0000-4000-8000-0000000000a4";

/// A migrated database with the demo tenant, and the owner's connection to it.
pub struct TestSql {
    pub database: TestDatabase,
    pub owner: Client,
}

impl TestSql {
    /// The demo tenant with its people and its rules.
    pub async fn with_rules() -> Self {
        let database = TestDatabase::migrated().await;
        let owner = database.target().connect().await.unwrap();
        owner
            .batch_execute(include_str!("../../../sql/dev/demo.sql"))
            .await
            .unwrap();
        Self { database, owner }
    }

    /// The demo tenant with its people, without rules.
    pub async fn start() -> Self {
        let sql = Self::with_rules().await;
        sql.run("delete from rules").await;
        sql
    }

    /// Another connection as the owner.
    pub async fn connect(&self) -> Client {
        self.database.target().connect().await.unwrap()
    }

    /// A connection as the role that requests log in as.
    pub async fn login(&self) -> Client {
        login::ensure(&self.database.target())
            .await
            .unwrap()
            .connect()
            .await
            .unwrap()
    }

    /// Runs statements as the owner.
    pub async fn run(&self, statements: &str) {
        if let Err(error) = self.owner.batch_execute(statements).await {
            panic!("{statements}\n{:?}", error.as_db_error());
        }
    }

    /// A query's rows as JSON objects.
    pub async fn rows(&self, query: &str) -> Value {
        rows(&self.owner, query).await
    }

    /// A query's one value as text.
    pub async fn value(&self, query: &str) -> Option<String> {
        self.owner
            .query_one(query, &[])
            .await
            .unwrap_or_else(|error| panic!("{query}: {error:?}"))
            .get(0)
    }

    /// Inserts a row by plain SQL and answers its id; columns that are not named keep their defaults.
    pub async fn insert(&self, table: &str, row: Value) -> Uuid {
        let columns = row
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
            .join(", ");
        let insert = format!(
            "insert into {table} ({columns})
             select {columns} from jsonb_populate_record(null::{table}, $1) returning id"
        );
        match self.owner.query_one(&insert, &[&row]).await {
            Ok(inserted) => inserted.get(0),
            Err(error) => panic!("{table} {row}\n{:?}", error.as_db_error()),
        }
    }

    /// Inserts a ticket of the tenant, with some columns changed (`{"priority": "low"}`).
    pub async fn ticket(&self, changes: Value) -> Uuid {
        let mut row = json!({
            "title": "Leak", "description": "Leak", "category": "Plumbing", "priority": "medium", "type": "Maintenance",
            "location": "Hall", "tenant_id": TENANT, "complainant_id": JOHN
        });
        for (column, value) in changes.as_object().unwrap() {
            row[column] = value.clone();
        }
        self.insert("tickets", row).await
    }
}

/// A query's rows as JSON objects.
pub async fn rows(client: &Client, query: &str) -> Value {
    let aggregate = format!("select coalesce(json_agg(r), '[]')::text from ({query}) r");
    let row = client
        .query_one(&aggregate, &[])
        .await
        .unwrap_or_else(|error| panic!("{query}: {error:?}"));
    serde_json::from_str(row.get(0)).unwrap()
}

/// The SQLSTATE with which the server refuses statements.
pub async fn refusal(client: &Client, statements: &str) -> String {
    match client.batch_execute(statements).await {
        Ok(()) => panic!("not refused: {statements}"),
        Err(error) => error
            .code()
            .unwrap_or_else(|| panic!("{error:?}"))
            .code()
            .to_owned(),
    }
}
