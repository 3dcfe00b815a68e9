//! PostgreSQL's errors, and answers that functions raise.

use serde_json::Value;

use super::{header, text, wire};
use crate::rest::error::wire::WireError;
use crate::rest::error::{DatabaseError, RestError};

fn database(error: DatabaseError) -> WireError {
    wire(RestError::Database(Box::new(error)))
}

fn sqlstate(code: &str, message: &str) -> DatabaseError {
    DatabaseError {
        code: code.to_owned(),
        message: message.to_owned(),
        ..DatabaseError::default()
    }
}

fn raised(message: &str, detail: Option<&str>) -> WireError {
    database(DatabaseError {
        detail: detail.map(str::to_owned),
        ..sqlstate("PGRST", message)
    })
}

#[test]
fn an_sqlstate_decides_the_status() {
    for (status, codes) in [
        (
            400,
            "P0001 22P02 23502 23514 42703 22001 21S01 428C9 0A000 22023 PT",
        ),
        (401, "42501"),
        (403, "0L000 0P000 28000 28P01"),
        (404, "42883 42P01 PT404"),
        (405, "25006"),
        (409, "23503 23505"),
        (
            500,
            "09000 21000 25001 2D000 38000 39000 3B000 40001 40P01 53400 54001 55000 55P03 57014 58000 F0000 HV000 \
             P0000 P0004 XX000 42P17 PTABC PT000 PT099 PT-1",
        ),
        (503, "08000 08006 53000 53300 57P01"),
        (999, "PT999"),
    ] {
        for code in codes.split_whitespace() {
            let expected = if code == "PT" { 500 } else { status };
            assert_eq!(database(sqlstate(code, "m")).status, expected, "{code}");
        }
    }
}

#[test]
fn some_messages_decide_the_status() {
    for (code, message, status) in [
        ("21000", "UPDATE requires a WHERE clause", 400),
        (
            "21000",
            "ON CONFLICT DO UPDATE command cannot affect row a second time",
            400,
        ),
        ("55000", "cannot insert into view \"v\"", 405),
        ("22023", "role \"x\" does not exist", 401),
        ("42883", "function xmlagg(integer) does not exist", 406),
    ] {
        assert_eq!(database(sqlstate(code, message)).status, status, "{message}");
    }
}

#[test]
fn a_missing_privilege_asks_for_a_token_unless_there_was_one() {
    let denied = sqlstate("42501", "permission denied for table t");
    let anonymous = database(denied.clone());
    assert_eq!(
        (anonymous.status, header(&anonymous, "WWW-Authenticate")),
        (401, Some("Bearer"))
    );
    let known = database(DatabaseError {
        authenticated: true,
        ..denied
    });
    assert_eq!((known.status, header(&known, "WWW-Authenticate")), (403, None));
}

#[test]
fn postgresqls_own_texts_pass_through() {
    let wire = database(DatabaseError {
        detail: Some(text("Key (id)=(1) already exists.")),
        hint: Some(text("h\0\"")),
        ..sqlstate("23505", "duplicate key")
    });
    assert_eq!(
        wire.body,
        r#"{"code":"23505","details":"Key (id)=(1) already exists.","hint":"h\u0000\"","message":"duplicate key"}"#
    );
    assert_eq!(header(&wire, "Proxy-Status"), Some("PostgREST; error=23505"));
}

#[test]
fn an_unfiltered_write_is_refused_as_by_pg_safeupdate() {
    let wire = database(DatabaseError::without_where("DELETE"));
    assert_eq!(wire.status, 400);
    assert_eq!(
        wire.body,
        r#"{"code":"21000","details":null,"hint":null,"message":"DELETE requires a WHERE clause"}"#
    );
}

#[test]
fn a_raised_answer_sets_status_headers_and_body() {
    let wire = raised(
        r#"{"code":"123","message":"Payment Required","details":"Quota exceeded","hint":"Upgrade your plan"}"#,
        Some(r#"{"status":402,"status_text":"Pay","headers":{"X-Powered-By":"Nerd Rage"}}"#),
    );
    assert_eq!(wire.status, 402);
    assert_eq!(
        wire.body,
        r#"{"code":"123","details":"Quota exceeded","hint":"Upgrade your plan","message":"Payment Required"}"#
    );
    assert_eq!(header(&wire, "X-Powered-By"), Some("Nerd Rage"));
    assert_eq!(header(&wire, "Proxy-Status"), Some("PostgREST; error=123"));
}

#[test]
fn a_raised_answer_cannot_break_the_response() {
    let wire = raised(
        r#"{"code":"a\r\nb","message":"m"}"#,
        Some(
            r#"{"status":404.0,"headers":{"Bad Name":"x","X-Bad":"a\r\nb","Content-Length":"1","Content-Type":"a/b"}}"#,
        ),
    );
    assert_eq!(wire.status, 404);
    assert_eq!(
        wire.headers,
        [
            ("Proxy-Status".into(), text("PostgREST; error=ab")),
            ("Content-Type".into(), text("a/b")),
        ]
    );
    for status in ["0", "99", "1000", "-1", "99999999999"] {
        let detail = format!(r#"{{"status":{status},"headers":{{}}}}"#);
        let wire = raised(r#"{"code":"a","message":"m"}"#, Some(&detail));
        assert_eq!(wire.status, 500, "{status}");
    }
}

#[test]
fn a_raised_answer_that_does_not_parse_says_which_part() {
    let message = r#"{"code":"1","message":"m"}"#;
    for (raised_message, detail, expected) in [
        ("m", Some("{}"), "Invalid JSON value for MESSAGE: 'm'"),
        (
            r#"{"code":1,"message":"m"}"#,
            Some("{}"),
            r#"Invalid JSON value for MESSAGE: '{"code":1,"message":"m"}'"#,
        ),
        (
            r#"{"code":"1"}"#,
            None,
            r#"Invalid JSON value for MESSAGE: '{"code":"1"}'"#,
        ),
        (message, None, "DETAIL is missing in the RAISE statement"),
        (message, Some("d"), "Invalid JSON value for DETAIL: 'd'"),
        (
            message,
            Some(r#"{"status":404}"#),
            r#"Invalid JSON value for DETAIL: '{"status":404}'"#,
        ),
        (
            message,
            Some(r#"{"status":"404","headers":{}}"#),
            r#"Invalid JSON value for DETAIL: '{"status":"404","headers":{}}'"#,
        ),
        (
            message,
            Some(r#"{"status":404,"headers":{"a":1}}"#),
            r#"Invalid JSON value for DETAIL: '{"status":404,"headers":{"a":1}}'"#,
        ),
    ] {
        let wire = raised(raised_message, detail);
        let body: Value = serde_json::from_str(&wire.body).unwrap();
        assert_eq!((wire.status, body["code"].as_str()), (500, Some("PGRST121")));
        assert_eq!(body["details"], expected);
        let part = if expected.contains("MESSAGE") {
            "MESSAGE"
        } else {
            "DETAIL"
        };
        assert!(body["hint"].as_str().unwrap().starts_with(part));
    }
}
