//! The same matrix through `/rest/v1`, with each caller's own key or token.

use dropwire::dev;
use reqwest::Method;
use serde_json::Value;
use uuid::Uuid;

use super::matrix::{Attempt, CALLERS, MATRIX, Operation, Table};
use super::{Caller, World};
use crate::support::TestApp;
use crate::support::app::{Answer, read, user_token};

#[tokio::test]
async fn every_role_does_over_http_what_the_matrix_says_and_nothing_else() {
    let world = World::new().await;
    // Each request's effects are taken back, so that the next one finds the fixture.
    let app = TestApp::on(
        world.database.clone(),
        &[("PGRST_DB_TX_END", "rollback-allow-override")],
    )
    .await;
    let mut wrong = Vec::new();
    for table in MATRIX {
        for caller in CALLERS {
            let key = key(&world, caller).await;
            for attempt in table.cells(caller) {
                let answer = send(&app, &world, table, &attempt, &key).await;
                if outcome(&attempt, &answer) != Some(attempt.works) {
                    let (operation, row) = (attempt.operation, &attempt.key);
                    wrong.push(format!(
                        "{caller}: {operation:?} {} {row}: {answer:?}",
                        table.name
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    app.stop().await;
}

/// Whether it worked. None for an answer that is neither a success over one row, over none, nor a refusal.
fn outcome(attempt: &Attempt, answer: &Answer) -> Option<bool> {
    let refused = matches!(answer.status.as_u16(), 401 | 403);
    if refused && answer.json()["code"] == "42501" {
        return Some(false);
    }
    let range = answer
        .headers
        .get("content-range")
        .map(|range| range.to_str().unwrap());
    match (attempt.operation, answer.status.as_u16(), range) {
        (Operation::Create, 201, Some("*/1"))
        | (Operation::Read, 200, Some("0-0/1"))
        | (Operation::Update, 204, Some("0-0/1"))
        | (Operation::Delete, 204, Some("*/1")) => Some(true),
        (Operation::Read, 200, Some("*/0")) | (Operation::Update | Operation::Delete, 204, Some("*/0")) => {
            Some(false)
        }
        _ => None,
    }
}

async fn send(app: &TestApp, world: &World, table: &Table, attempt: &Attempt, key: &str) -> Answer {
    let (column, value) = attempt.key.split_once(" = ").unwrap();
    let value = world.text(&format!("select {value}::text")).await.unwrap();
    let row = format!("{}/rest/v1/{}?{column}=eq.{value}", app.url, table.name);
    let (method, url, body) = match attempt.operation {
        Operation::Create => {
            let rows = format!("(values ({})) as r ({})", attempt.values, table.columns);
            let url = format!("{}/rest/v1/{}", app.url, table.name);
            (Method::POST, url, json(world, &rows).await)
        }
        Operation::Read => (Method::GET, row, None),
        Operation::Update => {
            let touched: Vec<String> = table
                .touch
                .split(", ")
                .map(|set| {
                    let (column, value) = set.split_once(" = ").unwrap();
                    format!("{value} as {column}")
                })
                .collect();
            let rows = format!(
                "(select {} from {} where {}) as r",
                touched.join(", "),
                table.name,
                attempt.key
            );
            (Method::PATCH, row, json(world, &rows).await)
        }
        Operation::Delete => (Method::DELETE, row, None),
    };
    let mut request = app.http.request(method, url).bearer_auth(key);
    request = request
        .header("apikey", dev::ANON_KEY)
        .header("prefer", "count=exact");
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body);
    }
    read(request.send().await.unwrap()).await
}

/// The only row of a FROM item as JSON.
async fn json(world: &World, rows: &str) -> Option<String> {
    let json = world
        .text(&format!("select row_to_json(r)::text from {rows}"))
        .await;
    assert!(
        json.as_deref()
            .is_some_and(|json| serde_json::from_str::<Value>(json).is_ok())
    );
    json
}

/// The caller's key or token.
async fn key(world: &World, caller: Caller) -> String {
    match caller {
        "anon" => dev::ANON_KEY.to_owned(),
        "service_role" => dev::SERVICE_ROLE_KEY.to_owned(),
        user => {
            let id = world
                .text(&format!("select fixture.id('{user}')::text"))
                .await
                .unwrap();
            user_token(id.parse::<Uuid>().unwrap())
        }
    }
}
