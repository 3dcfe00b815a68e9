//! Transactions against a real PostgreSQL.

mod ends;
mod identity;
mod statements;
mod streaming;

use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use tokio_postgres::Client;

use super::*;
use crate::pg::pool::{PoolSettings, Statements};
use crate::pg::test_cluster;
use crate::rest::error::{DatabaseError, RequestError, Unavailable};
use crate::rest::query::Value;

const SCHEMA: &str = "
    create table notes (id int primary key, text text);
    create table parts (id int primary key deferrable initially deferred);
    grant all on notes, parts to authenticated;
    grant select on notes to anon;
    create table calls (n int);
    grant all on calls to authenticated;
";

/// A pool of one, so that each request gets what the last one left; and the owner's own connection.
struct Fixture {
    pool: Pool,
    owner: Client,
}

impl Fixture {
    async fn new() -> Self {
        Self::with(Statements::Prepared).await
    }

    async fn with(statements: Statements) -> Self {
        let target = test_cluster::shared().database().await;
        let settings = PoolSettings {
            max_size: 1,
            wait_timeout: Duration::from_millis(300),
            statements,
        };
        let owner = target.connect().await.unwrap();
        owner.batch_execute(test_cluster::ROLES).await.unwrap();
        owner.batch_execute(SCHEMA).await.unwrap();
        Self {
            pool: Pool::new(&target, settings).unwrap(),
            owner,
        }
    }

    async fn run(&self, transaction: Transaction) -> Result<ResultSet, RestError> {
        run(&self.pool, transaction).await.map(|outcome| match outcome {
            Outcome::Rows(result) => result,
            Outcome::Plan(_) => panic!("a plan"),
        })
    }

    async fn text(&self, transaction: Transaction) -> String {
        text(self.run(transaction).await.unwrap().body).await.unwrap()
    }

    /// Runs a statement on the pool's connection, outside any request, and reads a text.
    async fn outside(&self, sql: &str) -> String {
        let mut lease = self.pool.get().await.unwrap();
        let step = Step {
            wanted: true,
            ..Step::<Value>::command(sql)
        };
        let replies = lease.run(&[step]).await.unwrap();
        assert_eq!(replies.refused, None);
        lease.done();
        let row = replies.rows(0).next();
        row.map_or(String::new(), |row| {
            crate::pg::wire::row::text(row.bytes(0).unwrap().unwrap()).unwrap()
        })
    }

    async fn count(&self, table: &str) -> i64 {
        let sql = format!("select count(*) from {table}");
        self.owner.query_one(&sql, &[]).await.unwrap().get(0)
    }
}

async fn text(body: Body) -> std::io::Result<String> {
    let bytes = match body {
        Body::Whole(bytes) => bytes.to_vec(),
        Body::Rows(rows) => rows.try_collect::<Vec<_>>().await?.concat(),
    };
    Ok(String::from_utf8(bytes).unwrap())
}

fn statement(sql: impl Into<String>, values: &[&str]) -> Statement {
    Statement {
        sql: sql.into(),
        values: values
            .iter()
            .map(|value| Value::Text((*value).to_owned()))
            .collect(),
    }
}

/// The seven columns of a main statement over the rows of a query.
fn answer(rows: &str) -> String {
    format!(
        "select null::int8 as total_result_set, count(*) as page_total, coalesce(json_agg(r), '[]') as body,
           nullif(current_setting('response.headers', true), '') as response_headers,
           nullif(current_setting('response.status', true), '') as response_status,
           null::int8 as response_inserted, null::text[] as header from ({rows}) as r"
    )
}

fn opening(role: &str, read_only: bool) -> Opening {
    let forbid = if read_only {
        "set_config('transaction_read_only', 'on', true), "
    } else {
        ""
    };
    let session =
        format!("select {forbid}set_config('role', $1, true), set_config('request.jwt.claims', $2, true)");
    Opening {
        isolation: None,
        read_only,
        role: role.to_owned(),
        session: statement(session, &[role, &format!("{{\"role\":\"{role}\"}}")]),
        pre_request: None,
        authenticated: role != "anon",
    }
}

fn transaction(role: &str, read_only: bool, main: Statement) -> Transaction {
    Transaction {
        opening: opening(role, read_only),
        main,
        count_estimate: None,
        large: None,
        answer: if read_only { Answer::Read } else { Answer::Mutate },
        count: CountRule::Counted,
        verdict: Verdict::default(),
        rollback: false,
    }
}

fn read(rows: &str) -> Transaction {
    transaction("anon", true, statement(answer(rows), &[]))
}

fn insert(table: &str, id: &str) -> Transaction {
    let sql = format!("with written as (insert into {table} (id) values ($1) returning *) ");
    transaction(
        "authenticated",
        false,
        statement(sql + &answer("select id from written"), &[id]),
    )
}

fn refused(outcome: Result<ResultSet, RestError>) -> DatabaseError {
    match outcome {
        Err(RestError::Database(error)) => *error,
        other => panic!("{other:?}"),
    }
}
