use super::*;
use crate::schema_cache::QualifiedName;

fn mutate(mutation: Mutation) -> Action {
    Action::Mutate {
        relation: QualifiedName::new("public", "t"),
        mutation,
    }
}

fn call(method: CallMethod) -> Action {
    Action::Call {
        routine: QualifiedName::new("public", "f"),
        method,
    }
}

fn insert(content_type: &MediaType, body: &[u8]) -> Result<Payload, RequestError> {
    let body = Bytes::copy_from_slice(body);
    parse(&body, content_type, None, &mutate(Mutation::Insert)).map(|(payload, _)| payload.unwrap())
}

fn refusal(content_type: &MediaType, body: &[u8]) -> String {
    match insert(content_type, body) {
        Err(RequestError::InvalidBody(message)) => message,
        other => panic!("{other:?}"),
    }
}

/// A JSON payload as its kind, its keys and its text.
fn shown(payload: &Payload) -> String {
    let Payload::Json { raw, keys, is_object } = payload else {
        panic!("{payload:?}");
    };
    let kind = if *is_object { "object" } else { "array" };
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    format!("{kind} of {}: {}", keys.join(" "), str::from_utf8(raw).unwrap())
}

#[test]
fn json_is_passed_on_as_sent_with_its_keys() {
    for (body, expected) in [
        ("{}", "object of : {}"),
        (
            r#" {"b":1,"a":{"c":2}} "#,
            r#"object of a b:  {"b":1,"a":{"c":2}} "#,
        ),
        (r#"{"a":1,"a":2}"#, r#"object of a: {"a":1,"a":2}"#),
        (r#"{"\u00e4\n":1}"#, "object of ä\n: {\"\\u00e4\\n\":1}"),
        ("[]", "array of : []"),
        (" [ ] ", "array of : []"),
        ("[{}]", "array of : [{}]"),
        (
            r#"[{"a":1,"b":2},{"b":3,"a":4}]"#,
            r#"array of a b: [{"a":1,"b":2},{"b":3,"a":4}]"#,
        ),
        (
            r#"[{"a":1,"b":2},{"\u0061":3,"b":4}]"#,
            r#"array of a b: [{"a":1,"b":2},{"\u0061":3,"b":4}]"#,
        ),
        (
            r#"[{"a":1,"a":1},{"a":2}]"#,
            r#"array of a: [{"a":1,"a":1},{"a":2}]"#,
        ),
        (
            r#"[{"a":1},{"a":2,"a":3}]"#,
            r#"array of a: [{"a":1},{"a":2,"a":3}]"#,
        ),
        (
            r#"[{"a":"\ud83d\ude00"}]"#,
            r#"array of a: [{"a":"\ud83d\ude00"}]"#,
        ),
        ("null", "array of : []"),
        ("true", "array of : []"),
        ("-1.5e9999", "array of : []"),
        (r#""text""#, "array of : []"),
    ] {
        let payload = insert(&MediaType::Json, body.as_bytes()).unwrap();
        assert_eq!(shown(&payload), expected, "{body}");
    }
}

#[test]
fn objects_of_an_array_need_equal_keys() {
    for body in [
        r#"[{"a":1},{"b":1}]"#,
        r#"[{"a":1,"b":1},{"a":1}]"#,
        r#"[{"a":1},{"a":1,"b":1}]"#,
        r#"[{"a":1,"b":1},{"b":1,"b":2}]"#,
        r#"[{"a":1},{"a":1},{}]"#,
        r#"[{},{"a":1}]"#,
        r#"[{"a":1},1]"#,
        r#"[{"a":1},[{"a":1}]]"#,
        r#"[{"a":1},null]"#,
        "[1]",
        "[1.5,-2,true,null,\"x\"]",
        "[[]]",
        r#"[null,{"a":1}]"#,
    ] {
        assert_eq!(
            refusal(&MediaType::Json, body.as_bytes()),
            "All object keys must match",
            "{body}"
        );
    }
}

#[test]
fn malformed_json_is_refused_even_behind_other_faults() {
    for body in [
        &b""[..],
        b"  ",
        b"{",
        b"}{",
        b"{\"a\":1,}",
        b"{a:1}",
        b"{\"a\":1} x",
        b"[{\"a\":1},{\"b\":1},]",
        b"[1,2",
        b"nul",
        b"'a'",
        b"{\"a\":\"\xff\"}",
        b"{\"a\":\"\n\"}",
        br#"{"a":"\ud800"}"#,
        br#"{"a":"\ud800x\udc00"}"#,
        br#"{"a":"\udc00"}"#,
        br#"{"a":"\u12"}"#,
        b"\xef\xbb\xbf{}",
        b"{\"a\":01}",
        b"NaN",
    ] {
        let shown = String::from_utf8_lossy(body);
        assert_eq!(
            refusal(&MediaType::Json, body),
            "Empty or invalid json",
            "{shown}"
        );
    }
}

#[test]
fn nesting_does_not_exhaust_the_stack() {
    let nested = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(insert(&MediaType::Json, nested.as_bytes()).is_ok());
    assert_eq!(
        refusal(&MediaType::Json, "[".repeat(100_000).as_bytes()),
        "Empty or invalid json"
    );
}

#[test]
fn csv_becomes_an_array_of_texts_and_nulls() {
    for (body, expected) in [
        ("a,b\nbar,baz", r#"array of a b: [{"a":"bar","b":"baz"}]"#),
        ("a,b\nNULL,\"NULL\"\n", r#"array of a b: [{"a":null,"b":null}]"#),
        ("a\r\n1\r\n2\r\n", r#"array of a: [{"a":"1"},{"a":"2"}]"#),
        (
            "a,b\n\"x,y\",\"say \"\"hi\"\"\n\"",
            r#"array of a b: [{"a":"x,y","b":"say \"hi\"\n"}]"#,
        ),
        ("a,b\n,\n", r#"array of a b: [{"a":"","b":""}]"#),
        ("a\n\n1\n\n", r#"array of a: [{"a":"1"}]"#),
        ("a,b\n1,2,3", r#"array of a b: [{"a":"1","b":"2"}]"#),
        ("a,b,a\n1,2,3", r#"array of a b: [{"b":"2","a":"3"}]"#),
        ("größe\nä", r#"array of größe: [{"größe":"ä"}]"#),
        ("a,b\n", "array of : []"),
    ] {
        let payload = insert(&MediaType::Csv, body.as_bytes()).unwrap();
        assert_eq!(shown(&payload), expected, "{body}");
    }
}

#[test]
fn wrong_csv_is_refused() {
    assert_eq!(
        refusal(&MediaType::Csv, b"a,b\nfoo,bar\nbaz"),
        "All lines must have same number of fields"
    );
    assert_eq!(refusal(&MediaType::Csv, b""), "The CSV has no header line");
    assert!(refusal(&MediaType::Csv, b"a\n\xff").starts_with("Invalid CSV: "));
}

#[test]
fn a_form_becomes_an_object_or_arguments() {
    let body = Bytes::from_static(b"a=1+1&b=%C3%A9&a=2&c");
    let payload = insert(&MediaType::Form, &body).unwrap();
    assert_eq!(shown(&payload), r#"object of a b c: {"a":"2","b":"é","c":""}"#);

    let (payload, names) = parse(&body, &MediaType::Form, None, &call(CallMethod::Post)).unwrap();
    let Some(Payload::Form { pairs }) = payload else {
        panic!("{payload:?}");
    };
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(pairs, ["a=1 1", "b=é", "a=2", "c="]);
    assert_eq!(names.into_iter().collect::<String>(), "abc");
    assert_eq!(refusal(&MediaType::Form, b"a=%ff"), "The form is not valid UTF-8");
}

#[test]
fn the_columns_parameter_stands_in_for_the_keys() {
    let columns = BTreeSet::from(["a".to_owned()]);
    let body = Bytes::from_static(b"not read here");
    for action in [
        mutate(Mutation::Insert),
        mutate(Mutation::Update),
        call(CallMethod::Post),
    ] {
        let (payload, names) = parse(&body, &MediaType::Json, Some(&columns), &action).unwrap();
        assert!(matches!(payload, Some(Payload::RawJson(_))), "{action:?}");
        assert_eq!(names, columns);
    }
    let put = parse(
        &body,
        &MediaType::Json,
        Some(&columns),
        &mutate(Mutation::SingleUpsert),
    );
    assert!(put.is_err());
    let csv = Bytes::from_static(b"b\n1");
    let (_, names) = parse(&csv, &MediaType::Csv, Some(&columns), &mutate(Mutation::Insert)).unwrap();
    assert_eq!(names.into_iter().collect::<String>(), "b");
}

#[test]
fn functions_take_other_bodies_whole_and_may_have_none() {
    let body = Bytes::from_static(b"<a/>\xff");
    for media_type in [MediaType::Text, MediaType::Xml, MediaType::OctetStream] {
        let (payload, names) = parse(&body, &media_type, None, &call(CallMethod::Post)).unwrap();
        assert!(matches!(payload, Some(Payload::Raw(raw)) if raw == body));
        assert!(names.is_empty());
        let message = format!("Content-Type not acceptable: {}", media_type.mime());
        assert_eq!(refusal(&media_type, &body), message);
    }
    let (payload, _) = parse(&Bytes::new(), &MediaType::Json, None, &call(CallMethod::Post)).unwrap();
    assert_eq!(shown(&payload.unwrap()), "object of : ");
    let image = MediaType::Other("image/png".to_owned());
    assert_eq!(refusal(&image, b""), "Content-Type not acceptable: image/png");
}

#[test]
fn what_takes_no_body_does_not_look_at_it() {
    let body = Bytes::from_static(b"{");
    for action in [
        mutate(Mutation::Delete),
        call(CallMethod::Get),
        call(CallMethod::Head),
        Action::InspectSchema { head: false },
        Action::SchemaInfo,
        Action::RelationInfo(QualifiedName::bare("t")),
        Action::RoutineInfo(QualifiedName::bare("f")),
        Action::Read {
            relation: QualifiedName::bare("t"),
            head: false,
        },
    ] {
        let (payload, names) = parse(&body, &MediaType::Json, None, &action).unwrap();
        assert!(payload.is_none() && names.is_empty(), "{action:?}");
    }
}
