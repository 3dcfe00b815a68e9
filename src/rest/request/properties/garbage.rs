//! Requests that no client means to send.

use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select as one_of;

use super::super::parser::{Parsed, Parser, both_ways};
use super::super::{field, filter, logic, order, select};
use super::{config, parse_any, status};

const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE",
];

/// Pieces of the grammars, so that texts made of them get far into these.
const PIECES: [&str; 72] = [
    ".",
    ",",
    "(",
    ")",
    "\"",
    "\\",
    ":",
    "::",
    "!",
    "*",
    "-",
    ">",
    "->",
    "->>",
    " ",
    "\t",
    "\n",
    "\0",
    "{",
    "}",
    "...",
    "=",
    "&",
    ";",
    "?",
    "%",
    "%2",
    "%00",
    "%ff",
    "%c3%a9",
    "+",
    "a",
    "b c",
    "é",
    "0",
    "-1",
    "99999999999999999999",
    "eq",
    "neq",
    "in",
    "is",
    "isdistinct",
    "fts",
    "plfts",
    "like",
    "not",
    "and",
    "or",
    "any",
    "all",
    "null",
    "true",
    "select",
    "order",
    "limit",
    "offset",
    "columns",
    "on_conflict",
    "asc",
    "desc",
    "nullsfirst",
    "nullslast",
    "inner",
    "left",
    "count()",
    "sum()",
    "min",
    "rpc",
    "/",
    "eq.1",
    "in.(",
    "or=(",
];

/// Pieces of JSON, CSV and forms.
const BODY_PIECES: [&[u8]; 30] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"\\",
    b"\\u",
    b"d800",
    b"dc00",
    b"\"a\":1",
    b"\"b\":",
    b"{\"a\":1}",
    b"1",
    b"-",
    b"1e999",
    b"null",
    b"true",
    b"NULL",
    b"\n",
    b"\r",
    b" ",
    b"a",
    b"a,b\n",
    b"=",
    b"&",
    b"%",
    b"\xff",
    b"\0",
];

const CONTENT_TYPES: [&str; 7] = [
    "application/json",
    "text/csv",
    "application/x-www-form-urlencoded",
    "text/plain",
    "text/xml",
    "application/octet-stream",
    "nonsense",
];

fn soup() -> impl Strategy<Value = String> {
    vec(one_of(PIECES.to_vec()), 0..24).prop_map(|pieces| pieces.concat())
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![3 => soup(), 1 => any::<String>()]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        2 => vec(one_of(BODY_PIECES.to_vec()), 0..24).prop_map(|pieces| pieces.concat()),
        1 => vec(any::<u8>(), 0..64),
        1 => soup().prop_map(String::into_bytes),
    ]
}

/// Whether a grammar answers alike without and with messages kept.
fn agrees<T: PartialEq + std::fmt::Debug>(
    text: &str,
    grammar: impl for<'p, 'a> Fn(&'p mut Parser<'a>) -> Parsed<T>,
) -> Result<(), TestCaseError> {
    let [quick, thorough] = both_ways(text, grammar);
    // Where a failed grammar stood does not matter.
    prop_assert_eq!(&quick.0, &thorough.0);
    if quick.0.is_some() {
        prop_assert_eq!(quick.1, thorough.1);
    }
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn keeping_messages_changes_no_answer(text in text()) {
        agrees(&text, select::forest)?;
        agrees(&text, order::terms)?;
        agrees(&text, logic::tree)?;
        agrees(&text, logic::path)?;
        agrees(&text, field::tree_path)?;
        agrees(&text, field::names)?;
        agrees(&text, |p| filter::op_expr(p, filter::single_value))?;
    }

    #[test]
    fn no_query_string_is_more_than_a_client_error(
        method in one_of(METHODS.to_vec()),
        path in one_of(vec!["/t", "/rpc/f", "/"]),
        parameter in one_of(vec!["select", "order", "or", "a.not.and", "columns", "on_conflict", "limit", "id", ""]),
        value in text(),
        rest in text(),
    ) {
        let target = format!("{path}?{parameter}={value}&{rest}");
        let status = status(parse_any(method, &target, &[], b"{}"));
        prop_assert!(status < 500, "{status}");
    }

    #[test]
    fn no_path_or_method_is_more_than_a_client_error(method in text(), target in text()) {
        prop_assert!(status(parse_any(&method, &target, &[], b"")) < 500);
        prop_assert!(status(parse_any("GET", &target, &[], b"")) < 500);
    }

    #[test]
    fn no_header_is_more_than_a_client_error(
        method in one_of(METHODS.to_vec()),
        name in one_of(vec!["accept", "content-type", "prefer", "range", "cookie", "accept-profile", "content-profile"]),
        value in bytes(),
        again in bytes(),
    ) {
        let headers: [(&str, &[u8]); 2] = [(name, &value), (name, &again)];
        let status = status(parse_any(method, "/t?limit=3", &headers, b"{}"));
        prop_assert!(status < 500, "{status}");
    }

    #[test]
    fn no_body_is_more_than_a_client_error(
        method in one_of(vec!["POST", "PUT", "PATCH"]),
        path in one_of(vec!["/t", "/rpc/f"]),
        content_type in one_of(CONTENT_TYPES.to_vec()),
        body in bytes(),
    ) {
        let headers: [(&str, &[u8]); 1] = [("content-type", content_type.as_bytes())];
        prop_assert!(status(parse_any(method, path, &headers, &body)) < 500);
    }
}

/// As long as the `http` crate lets a URI be; a megabyte where the code is optimised.
const LONG: usize = if cfg!(debug_assertions) { 1 << 16 } else { 1 << 20 };

/// Tens of times what these tests take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What makes careless parsers slow. A quadratic one would take minutes, and hours for a megabyte.
#[test]
fn long_query_strings_are_read_in_linear_time() {
    let long = |piece: &str| piece.repeat(LONG / piece.len());
    for (target, expected) in [
        (format!("/t?select={}", long("a,")), 400),
        (format!("/t?select={}a", long("a,")), 200),
        (format!("/t?select={}", long("a(")), 400),
        (format!("/t?select={}", long("...a(),")), 400),
        (format!("/t?select={}", long("a->")), 400),
        (format!("/t?select={}", long("a-")), 400),
        (format!("/t?select=\"{}", long("\\\"")), 400),
        (format!("/t?select={}", long("a:")), 400),
        (format!("/t?order={}", long("a.asc,")), 400),
        (format!("/t?order={}", long("a(b)")), 400),
        (format!("/t?or={}", long("(and")), 400),
        (format!("/t?or=({})", long("a.eq.{b},")), 400),
        (format!("/t?or=({}", long("a.eq.{")), 400),
        (format!("/t?or=({}", long("a.eq.\"x\",")), 400),
        (format!("/t?a=in.({}", long("\"a,")), 400),
        (format!("/t?a=in.({}", long("\",")), 400),
        (format!("/t?a=in.({})", long("1,")), 200),
        (format!("/t?{}=eq.1", long("a.")), 400),
        (format!("/t?{}", long("a=eq.1&")), 200),
        (format!("/t?{}", long("a.limit=1&b.offset=2&")), 200),
        (format!("/t?{}", long("&;")), 200),
        (format!("/t?a=eq.{}", long("%")), 200),
        (format!("/t?a=eq.{}", long("%41+")), 200),
        (format!("/rpc/f?{}", long("a=1&")), 200),
        (format!("/{}", long("a/")), 404),
    ] {
        let begun = Instant::now();
        let shown: String = target.chars().take(30).collect();
        assert_eq!(status(parse_any("GET", &target, &[], b"")), expected, "{shown}");
        assert!(begun.elapsed() < PATIENCE, "{shown}: {:?}", begun.elapsed());
    }
}

/// Bodies of a few megabytes.
#[test]
fn large_bodies_are_read_in_linear_time() {
    let row = r#"{"id":1,"name":"a name","tags":["x","y"],"extra":{"a":null}},"#;
    for (content_type, body, expected) in [
        (
            "application/json",
            format!("[{}{}]", row.repeat(50_000), row.trim_end_matches(',')),
            200,
        ),
        ("application/json", format!("[{}{{}}]", row.repeat(50_000)), 400),
        (
            "application/json",
            format!("{{{}\"z\":1}}", r#""\ud83d\ude00":"\\","#.repeat(100_000)),
            200,
        ),
        ("application/json", "[".repeat(1 << 20), 400),
        ("application/json", "{\"a\":".repeat(1 << 18), 400),
        (
            "text/csv",
            format!("a,b\n{}", "1,\"x\"\"y\"\n".repeat(100_000)),
            200,
        ),
        ("text/csv", format!("{}\n1", "a,".repeat(100_000)), 400),
        ("application/x-www-form-urlencoded", "a=%20&".repeat(100_000), 200),
    ] {
        let begun = Instant::now();
        let headers: [(&str, &[u8]); 1] = [("content-type", content_type.as_bytes())];
        let shown: String = body.chars().take(30).collect();
        assert_eq!(
            status(parse_any("POST", "/t", &headers, body.as_bytes())),
            expected,
            "{shown}"
        );
        assert!(begun.elapsed() < PATIENCE, "{shown}: {:?}", begun.elapsed());
    }
}
