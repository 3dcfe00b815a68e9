//! Tables of requests: every case that differs from what is expected is told, not the first alone.

use std::fmt::Write as _;

use serde_json::Value;

use super::app::{RestApp, RestClient};
use crate::support::Answer;

/// A server as PostgREST's over the schema `api` of a database that `sql` makes, with aggregates.
pub async fn api(sql: &str) -> RestApp {
    api_with(sql, &[]).await
}

/// As [`api`], with more variables of the environment; those of the same name win.
pub async fn api_with(sql: &str, variables: &[(&str, &str)]) -> RestApp {
    let mut all = vec![
        ("PGRST_DB_SCHEMAS", "api"),
        ("PGRST_DB_AGGREGATES_ENABLED", "true"),
    ];
    all.extend_from_slice(variables);
    RestApp::rest_only_with(sql, &all).await
}

/// GETs each path: 200, and that JSON.
pub async fn reads(client: &RestClient<'_>, cases: &[(&str, &str)]) {
    let mut wrong = Wrong::default();
    for (path, body) in cases {
        let answer = client.get(path).await;
        wrong.unless_json(path, &answer, 200, body);
    }
    wrong.none();
}

/// GETs each path: that status, and that `code` in a body with all four keys.
pub async fn refuses(client: &RestClient<'_>, cases: &[(&str, u16, &str)]) {
    let mut wrong = Wrong::default();
    for (path, status, code) in cases {
        let answer = client.get(path).await;
        wrong.unless_refused(path, &answer, *status, code);
    }
    wrong.none();
}

/// What went otherwise than expected.
#[derive(Default)]
pub struct Wrong(String);

impl Wrong {
    /// Notes a case whose value is another.
    pub fn unless<T: PartialEq + std::fmt::Debug>(&mut self, case: &str, found: &T, expected: &T) {
        if found != expected {
            writeln!(self.0, "{case}\n  found    {found:?}\n  expected {expected:?}").unwrap();
        }
    }

    /// Notes a case that is not answered by that status and JSON.
    pub fn unless_json(&mut self, case: &str, answer: &Answer, status: u16, json: &str) {
        let expected: Value = serde_json::from_str(json).unwrap_or_else(|_| panic!("no JSON: {json}"));
        if answer.status != status || serde_json::from_str(&answer.text).ok().as_ref() != Some(&expected) {
            let (found, text) = (answer.status, &answer.text);
            writeln!(
                self.0,
                "{case}\n  found    {found} {text}\n  expected {status} {json}"
            )
            .unwrap();
        }
    }

    /// Notes a case that is not refused by that status and code, in PostgREST's four keys.
    pub fn unless_refused(&mut self, case: &str, answer: &Answer, status: u16, code: &str) {
        if !is_refusal(answer, status, code) {
            let (found, text) = (answer.status, &answer.text);
            writeln!(
                self.0,
                "{case}\n  found    {found} {text}\n  expected {status} {code}"
            )
            .unwrap();
        }
    }

    /// Ends the test unless all went as expected.
    pub fn none(self) {
        assert!(self.0.is_empty(), "\n{}", self.0);
    }
}

fn is_refusal(answer: &Answer, status: u16, code: &str) -> bool {
    let Ok(Value::Object(body)) = serde_json::from_str(&answer.text) else {
        return false;
    };
    let proxy_status = format!("PostgREST; error={code}");
    answer.status == status
        && body.len() == 4
        && ["details", "hint", "message"]
            .iter()
            .all(|key| body.contains_key(*key))
        && body.get("code").and_then(Value::as_str) == Some(code)
        && answer
            .headers
            .get("proxy-status")
            .is_some_and(|value| value == &proxy_status)
        && answer.headers["content-type"] == "application/json; charset=utf-8"
}
