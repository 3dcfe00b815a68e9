//! What a transaction is told before its statement runs: who asks, and how.
//!
//! <https://docs.postgrest.org/en/latest/references/transactions.html>

use super::statement::Statement;
use crate::rest::auth::Identity;
use crate::rest::plan::Plan;
use crate::rest::request::Request;
use crate::rest::settings::RestSettings;
use crate::schema_cache::name::write_ident;

/// `FUNC_MAX_ARGS`: PostgreSQL's bound on the arguments of a function.
const ARGUMENTS: usize = 100;

/// One `select` that sets everything for the transaction. Settings of the role come before the role itself, so that a
/// `grant set on parameter` to the login role is enough for them.
///
/// A read forbids writes first, so that it needs no BEGIN for that. `num_nulls` takes the values in their order and
/// answers with one number in place of them all, which nobody wants to have sent back. More than a hundred of them stand
/// without it, since it takes no more.
pub fn session(plan: &Plan, request: &Request, settings: &RestSettings, identity: &Identity) -> Statement {
    let mut out = Statement::default();
    out.push("select ");
    if plan.is_read_only() {
        out.push("set_config('transaction_read_only', 'on', true), ");
    }
    constant(&mut out, "search_path", search_path(&request.schema, settings));
    for (name, value) in identity.role_settings.iter() {
        named(&mut out, name, value);
    }
    constant(&mut out, "role", identity.role.clone());
    constant(&mut out, "request.jwt.claims", identity.claims_json.clone());
    constant(&mut out, "request.method", request.method.clone());
    constant(&mut out, "request.path", request.path.clone());
    constant(&mut out, "request.headers", json_object(&request.headers));
    constant(&mut out, "request.cookies", json_object(&request.cookies));
    if let Some(timezone) = &request.preferences.timezone {
        constant(&mut out, "timezone", timezone.clone());
    }
    if let Plan::Call { routine, .. } = plan {
        for (name, value) in &routine.settings {
            named(&mut out, name, value);
        }
    }
    for (name, value) in &settings.app_settings {
        named(&mut out, name, value);
    }
    if out.values.len() < ARGUMENTS {
        out.sql.insert_str("select ".len(), "num_nulls(");
        out.push(")");
    }
    out
}

/// The call of `db-pre-request`, if there is one.
pub fn pre_request(settings: &RestSettings) -> Option<Statement> {
    settings.pre_request.as_ref().map(|function| {
        let mut out = Statement::default();
        out.push("select ").name(function).push("()");
        out
    })
}

fn constant(out: &mut Statement, name: &'static str, value: String) {
    comma(out);
    out.push("set_config('").push(name).push("', ");
    out.bind_text(value).push(", true)");
}

fn named(out: &mut Statement, name: &str, value: &str) {
    comma(out);
    out.push("set_config(").bind_text(name).push(", ");
    out.bind_text(value).push(", true)");
}

fn comma(out: &mut Statement) {
    if !out.values.is_empty() {
        out.push(", ");
    }
}

fn search_path(schema: &str, settings: &RestSettings) -> String {
    let mut path = String::with_capacity(64);
    write_ident(&mut path, schema);
    for extra in &settings.extra_search_path {
        path.push_str(", ");
        write_ident(&mut path, extra);
    }
    path
}

/// A JSON object; of names that come twice, the last counts.
fn json_object(pairs: &[(String, String)]) -> String {
    let len: usize = pairs
        .iter()
        .map(|(name, value)| name.len() + value.len() + 8)
        .sum();
    let mut json = Vec::with_capacity(len + 2);
    json.push(b'{');
    let last = |n: usize, name: &str| pairs[n + 1..].iter().all(|(later, _)| later != name);
    for (n, (name, value)) in pairs.iter().enumerate() {
        if !last(n, name) {
            continue;
        }
        if json.len() > 1 {
            json.push(b',');
        }
        string(&mut json, name);
        json.push(b':');
        string(&mut json, value);
    }
    json.push(b'}');
    String::from_utf8(json).expect("JSON is UTF-8")
}

fn string(json: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(json, text).expect("a vector takes what is written to it");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_names_the_last_counts() {
        let pairs = [("a", "1"), ("b", "\"x\""), ("a", "2")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(json_object(&pairs), r#"{"b":"\"x\"","a":"2"}"#);
    }

    #[test]
    fn the_search_path_quotes_each_schema() {
        let settings = RestSettings {
            extra_search_path: vec!["public".to_owned(), "EXTRA \"x".to_owned()],
            ..RestSettings::default()
        };
        assert_eq!(search_path("api", &settings), r#""api", "public", "EXTRA ""x""#);
    }
}
