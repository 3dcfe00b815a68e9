use super::*;
use poem::http::{HeaderName, HeaderValue};

/// Settings with two schemas.
fn settings() -> RestSettings {
    RestSettings {
        schemas: vec!["v1".to_owned(), "v2".to_owned()],
        ..RestSettings::default()
    }
}

fn with_headers(
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &'static str,
) -> Result<Request, RequestError> {
    parse_with(&settings(), method, target, headers, body)
}

fn parse_with(
    settings: &RestSettings,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &'static str,
) -> Result<Request, RequestError> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let input = RawRequest {
        method,
        path,
        query,
        headers: &map,
        body: Bytes::from_static(body.as_bytes()),
    };
    parse(&input, settings)
}

fn action(method: &str, target: &str) -> Result<Action, RequestError> {
    with_headers(method, target, &[], "{}").map(|request| request.action)
}

fn name(name: &str) -> QualifiedName {
    QualifiedName::new("v1", name)
}

#[test]
fn method_and_path_make_the_action() {
    let relation = || name("films");
    let routine = || name("f");
    let call = |method| Action::Call {
        routine: routine(),
        method,
    };
    let mutate = |mutation| Action::Mutate {
        relation: relation(),
        mutation,
    };
    let read = |head| Action::Read {
        relation: relation(),
        head,
    };
    for (method, target, expected) in [
        ("GET", "/films", read(false)),
        ("HEAD", "/films", read(true)),
        ("POST", "/films", mutate(Mutation::Insert)),
        ("PUT", "/films", mutate(Mutation::SingleUpsert)),
        ("PATCH", "/films", mutate(Mutation::Update)),
        ("DELETE", "/films", mutate(Mutation::Delete)),
        ("OPTIONS", "/films", Action::RelationInfo(relation())),
        ("GET", "/rpc/f", call(CallMethod::Get)),
        ("HEAD", "/rpc/f", call(CallMethod::Head)),
        ("POST", "/rpc/f", call(CallMethod::Post)),
        ("OPTIONS", "/rpc/f", Action::RoutineInfo(routine())),
        ("GET", "/", Action::InspectSchema { head: false }),
        ("HEAD", "/", Action::InspectSchema { head: true }),
        ("GET", "", Action::InspectSchema { head: false }),
        ("OPTIONS", "/", Action::SchemaInfo),
        (
            "GET",
            "/f%C3%A4%20%2Fms+",
            Action::Read {
                relation: name("fä /ms+"),
                head: false,
            },
        ),
    ] {
        assert_eq!(action(method, target), Ok(expected), "{method} {target}");
    }
}

#[test]
fn other_methods_and_paths_are_refused() {
    for (method, target, expected) in [
        (
            "PATCH",
            "/rpc/f",
            RequestError::InvalidRpcMethod("PATCH".to_owned()),
        ),
        (
            "TRACE",
            "/films",
            RequestError::UnsupportedMethod("TRACE".to_owned()),
        ),
        ("get", "/films", RequestError::UnsupportedMethod("get".to_owned())),
        ("POST", "/", RequestError::UnsupportedMethod("POST".to_owned())),
        ("GET", "/films/1", RequestError::InvalidPath),
        ("GET", "/films/", RequestError::InvalidPath),
        ("GET", "//films", RequestError::InvalidPath),
        ("GET", "/rpc/f/x", RequestError::InvalidPath),
    ] {
        assert_eq!(action(method, target), Err(expected), "{method} {target}");
    }
    // `/rpc` alone is a relation of that name.
    assert_eq!(
        action("GET", "/rpc"),
        Ok(Action::Read {
            relation: name("rpc"),
            head: false
        })
    );
}

#[test]
fn the_root_may_be_a_function_or_nothing() {
    let root =
        |settings: &RestSettings| parse_with(settings, "GET", "/", &[], "").map(|request| request.action);
    let mut settings = settings();
    settings.root_spec = Some(QualifiedName::new("other", "root"));
    assert_eq!(
        root(&settings),
        Ok(Action::Call {
            routine: name("root"),
            method: CallMethod::Get
        })
    );
    settings.openapi_mode = OpenApiMode::Disabled;
    assert_eq!(root(&settings), Err(RequestError::OpenApiDisabled));
}

#[test]
fn profiles_choose_the_schema() {
    for (method, headers, expected) in [
        ("GET", &[][..], Ok(("v1", true))),
        ("GET", &[("accept-profile", "v2")], Ok(("v2", true))),
        ("GET", &[("content-profile", "v2")], Ok(("v1", true))),
        ("POST", &[("content-profile", "v2")], Ok(("v2", true))),
        ("DELETE", &[("accept-profile", "v2")], Ok(("v1", true))),
        ("GET", &[("accept-profile", "nope")], Err("nope")),
    ] {
        let request = with_headers(method, "/films", headers, "{}");
        let chosen = request
            .as_ref()
            .map(|request| (request.schema.as_str(), request.negotiated_by_profile));
        match expected {
            Ok(expected) => assert_eq!(chosen, Ok(expected), "{method} {headers:?}"),
            Err(schema) => assert_eq!(
                chosen,
                Err(&RequestError::UnacceptableSchema {
                    schema: schema.to_owned(),
                    exposed: settings().schemas
                })
            ),
        }
    }
    let one = RestSettings::default();
    let request = parse_with(&one, "GET", "/films", &[], "").unwrap();
    assert_eq!(
        (request.schema.as_str(), request.negotiated_by_profile),
        ("public", false)
    );
}

#[test]
fn headers_are_read_once_each() {
    let request = with_headers(
        "GET",
        "/films?limit=30",
        &[
            ("Accept", "text/csv;q=0.1, application/json"),
            ("Prefer", "count=exact"),
            ("Prefer", "tx=rollback, what"),
            ("Range", "10-19"),
            ("Cookie", "a=1;  b=x=y; c"),
            ("X-Twice", "one"),
            ("X-Twice", "two"),
        ],
        "",
    )
    .unwrap();
    assert_eq!(request.accept, [MediaType::Json, MediaType::Csv]);
    assert_eq!(request.content_type, MediaType::Json);
    assert_eq!(
        request.top_range,
        Range {
            offset: 10,
            limit: Some(10)
        }
    );
    assert_eq!(request.preferences.count, Some(preferences::Count::Exact));
    assert_eq!(
        (request.preferences.transaction, request.preferences.invalid),
        (None, vec!["what".to_owned()])
    );
    let pairs = |pairs: &[(String, String)]| -> Vec<String> {
        pairs
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    };
    assert_eq!(pairs(&request.cookies), ["a=1", "b=x=y", "c="]);
    let headers = pairs(&request.headers);
    assert!(headers.contains(&"x-twice=one".to_owned()) && headers.contains(&"x-twice=two".to_owned()));
    assert!(
        !headers.iter().any(|header| header.starts_with("cookie=")),
        "{headers:?}"
    );
    assert_eq!(
        (request.method.as_str(), request.path.as_str()),
        ("GET", "/films")
    );
}

#[test]
fn without_headers_anything_is_accepted() {
    let request = with_headers("GET", "/films", &[], "").unwrap();
    assert_eq!(request.accept, [MediaType::Any]);
    assert_eq!(request.preferences, Preferences::default());
    assert!(request.headers.is_empty() && request.cookies.is_empty());
}

#[test]
fn bytes_that_are_no_text_in_headers_do_no_harm() {
    let mut headers = HeaderMap::new();
    for name in ["accept", "content-type", "cookie", "prefer", "range", "x-other"] {
        headers.insert(name, HeaderValue::from_bytes(b"\xff\xfe=\xe9").unwrap());
    }
    let input = RawRequest {
        method: "GET",
        path: "/%ff",
        query: "",
        headers: &headers,
        body: Bytes::new(),
    };
    let request = parse(&input, &settings()).unwrap();
    assert_eq!(request.accept, [MediaType::Other("ÿþ=é".to_owned())]);
    assert_eq!(
        request.action,
        Action::Read {
            relation: name("\u{fffd}"),
            head: false
        }
    );
    headers.insert("accept-profile", HeaderValue::from_bytes(b"\xff").unwrap());
    let input = RawRequest {
        method: "GET",
        path: "/",
        query: "",
        headers: &headers,
        body: Bytes::new(),
    };
    assert!(matches!(
        parse(&input, &settings()),
        Err(RequestError::UnacceptableSchema { .. })
    ));
}

#[test]
fn of_several_faults_the_first_stage_tells() {
    let profile = [
        ("accept-profile", "x"),
        ("content-profile", "x"),
        ("content-type", "x/y"),
    ];
    for (method, target, headers, expected) in [
        ("NOPE", "/a/b/c?order=!&limit=-1", &profile[..], "InvalidPath"),
        ("NOPE", "/a?order=!&limit=-1", &profile, "UnacceptableSchema"),
        ("NOPE", "/a?order=!&limit=-1", &profile[2..], "UnsupportedMethod"),
        ("PUT", "/a?order=!&limit=-1", &profile[2..], "QueryParam"),
        ("PUT", "/a?limit=-1", &profile[2..], "RangeNegativeLimit"),
        ("PUT", "/a?limit=1", &profile[2..], "PutLimit"),
        ("PUT", "/a", &profile[2..], "InvalidBody"),
    ] {
        let error = format!("{:?}", with_headers(method, target, headers, "").unwrap_err());
        assert!(error.starts_with(expected), "{target}: {error}");
    }
}
