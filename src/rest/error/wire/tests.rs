mod database;

use super::*;
use crate::rest::error::{NoRoutine, PlanError, RequestError, RoutineSignature};
use crate::schema_cache::{Cardinality, Junction, QualifiedName, Relationship};
use std::sync::Arc;

fn wire(error: impl Into<RestError>) -> WireError {
    error.into().wire(&RestSettings::default())
}

/// A header's value.
fn header<'w>(wire: &'w WireError, name: &str) -> Option<&'w str> {
    let (_, value) = wire.headers.iter().find(|(header, _)| header == name)?;
    Some(value)
}

fn text(text: &str) -> String {
    text.to_owned()
}

#[test]
fn a_body_has_four_keys_and_two_headers_say_what_it_is() {
    let wire = wire(RequestError::InvalidPath);
    assert_eq!(
        wire,
        WireError {
            status: 404,
            headers: vec![
                ("Content-Type".into(), text("application/json; charset=utf-8")),
                ("Proxy-Status".into(), text("PostgREST; error=PGRST125")),
            ],
            body: text(
                r#"{"code":"PGRST125","details":null,"hint":null,"message":"Invalid path specified in request URL"}"#
            ),
        }
    );
}

#[test]
fn minimal_verbosity_keeps_code_and_message() {
    let settings = RestSettings {
        verbose_errors: false,
        ..RestSettings::default()
    };
    let error = RestError::from(RequestError::RangeNegativeLimit);
    assert_eq!(
        error.wire(&settings).body,
        r#"{"code":"PGRST103","message":"Requested range not satisfiable"}"#
    );
}

#[test]
fn requests_are_refused_in_postgrests_words() {
    for (error, status, body) in [
        (
            RequestError::QueryParam {
                message: text("\"m\""),
                details: text("d"),
            },
            400,
            r#"{"code":"PGRST100","details":"d","hint":null,"message":"\"m\""}"#,
        ),
        (
            RequestError::InvalidRpcMethod(text("PUT")),
            405,
            r#"{"code":"PGRST101","details":null,"hint":null,"message":"Cannot use the PUT method on RPC"}"#,
        ),
        (
            RequestError::InvalidBody(text("Empty or invalid json")),
            400,
            r#"{"code":"PGRST102","details":null,"hint":null,"message":"Empty or invalid json"}"#,
        ),
        (
            RequestError::RangeOutOfBounds { offset: 10, total: 3 },
            416,
            r#"{"code":"PGRST103","details":"An offset of 10 was requested, but there are only 3 rows.","hint":null,"message":"Requested range not satisfiable"}"#,
        ),
        (
            RequestError::PutFilters,
            405,
            r#"{"code":"PGRST105","details":null,"hint":null,"message":"Filters must include all and only primary key columns with 'eq' operators"}"#,
        ),
        (
            RequestError::UnacceptableSchema {
                schema: text("x"),
                exposed: vec![text("a"), text("b")],
            },
            406,
            r#"{"code":"PGRST106","details":null,"hint":"Only the following schemas are exposed: a, b","message":"Invalid schema: x"}"#,
        ),
        (
            RequestError::MediaTypes(vec![text("a/b"), text("c/d")]),
            406,
            r#"{"code":"PGRST107","details":null,"hint":null,"message":"None of these media types are available: a/b, c/d"}"#,
        ),
        (
            RequestError::NotEmbedded {
                name: text("r"),
                aliased: None,
            },
            400,
            r#"{"code":"PGRST108","details":null,"hint":"Verify that 'r' is included in the 'select' query parameter.","message":"'r' is not an embedded resource in this request"}"#,
        ),
        (
            RequestError::NotEmbedded {
                name: text("r"),
                aliased: Some((text("r"), text("a"))),
            },
            400,
            r#"{"code":"PGRST108","details":"Target names are not allowed in filters if they have an alias","hint":"Change 'r' to 'a' in filters, orders or limits.","message":"'r' is not an embedded resource in this request"}"#,
        ),
        (
            RequestError::NotSingular(0),
            406,
            r#"{"code":"PGRST116","details":"The result contains 0 rows","hint":null,"message":"Cannot coerce the result to a single JSON object"}"#,
        ),
        (
            RequestError::RelatedOrderNotToOne {
                origin: text("a"),
                target: text("b"),
            },
            400,
            r#"{"code":"PGRST118","details":"'a' and 'b' do not form a many-to-one or one-to-one relationship","hint":null,"message":"A related order on 'b' is not possible"}"#,
        ),
        (
            RequestError::InvalidPreferences(vec![text("a"), text("b=c")]),
            400,
            r#"{"code":"PGRST122","details":"Invalid preferences: a, b=c","hint":null,"message":"Invalid preferences given with handling=strict"}"#,
        ),
        (
            RequestError::MaxAffected(5),
            400,
            r#"{"code":"PGRST124","details":"The query affects 5 rows","hint":null,"message":"Query result exceeds max-affected preference constraint"}"#,
        ),
    ] {
        let wire = wire(error);
        assert_eq!((wire.status, wire.body.as_str()), (status, body));
    }
}

#[test]
fn every_request_error_has_a_code_of_its_own() {
    let codes: Vec<(u16, String)> = [
        RequestError::GucHeaders,
        RequestError::GucStatus,
        RequestError::PutLimit,
        RequestError::PutMatchingPk,
        RequestError::UnsupportedMethod(text("X")),
        RequestError::UnacceptableFilter(text("x")),
        RequestError::AggregatesNotAllowed,
        RequestError::OpenApiDisabled,
        RequestError::NotImplemented(text("x")),
        RequestError::MaxAffectedRpc,
    ]
    .into_iter()
    .map(|error| {
        let wire = wire(error);
        (
            wire.status,
            header(&wire, "Proxy-Status")
                .unwrap()
                .replace("PostgREST; error=PGRST", ""),
        )
    })
    .collect();
    let expected = [
        (500, "111"),
        (500, "112"),
        (400, "114"),
        (400, "115"),
        (405, "117"),
        (400, "120"),
        (400, "123"),
        (404, "126"),
        (400, "127"),
        (400, "128"),
    ];
    assert_eq!(codes, expected.map(|(status, code)| (status, text(code))));
}

#[test]
fn a_missing_relationship_says_where_it_was_searched() {
    let missing = |hint: Option<&str>, suggestion: Option<&str>| {
        wire(PlanError::NoRelationship {
            origin: text("a"),
            target: text("b"),
            hint: hint.map(str::to_owned),
            schema: text("s"),
            suggestion: suggestion.map(str::to_owned),
        })
        .body
    };
    assert_eq!(
        missing(None, None),
        r#"{"code":"PGRST200","details":"Searched for a foreign key relationship between 'a' and 'b' in the schema 's', but no matches were found.","hint":null,"message":"Could not find a relationship between 'a' and 'b' in the schema cache"}"#
    );
    assert_eq!(
        missing(Some("h"), Some("Perhaps you meant 'c' instead of 'b'.")),
        r#"{"code":"PGRST200","details":"Searched for a foreign key relationship between 'a' and 'b' using the hint 'h' in the schema 's', but no matches were found.","hint":"Perhaps you meant 'c' instead of 'b'.","message":"Could not find a relationship between 'a' and 'b' in the schema cache"}"#
    );
}

#[test]
fn ambiguous_relationships_are_listed() {
    let relationship = |cardinality| {
        Arc::new(Relationship::ForeignKey {
            origin: QualifiedName::new("s", "films"),
            target: QualifiedName::new("s", "people"),
            is_self: false,
            cardinality,
            origin_is_view: false,
            target_is_view: false,
        })
    };
    let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| (text(a), text(b))).collect::<Vec<_>>();
    let wire = wire(PlanError::AmbiguousRelationship {
        origin: text("films"),
        target: text("people"),
        candidates: vec![
            relationship(Cardinality::ManyToOne {
                constraint: text("director"),
                columns: pairs(&[("d1", "p1"), ("d2", "p2")]),
            }),
            relationship(Cardinality::OneToMany {
                constraint: text("favourite"),
                columns: pairs(&[("id", "film")]),
            }),
            relationship(Cardinality::OneToOne {
                constraint: text("only"),
                columns: pairs(&[("id", "id")]),
                origin_is_parent: true,
            }),
            relationship(Cardinality::ManyToMany(Junction {
                table: QualifiedName::new("s", "roles"),
                origin_constraint: text("roles_film"),
                target_constraint: text("roles_person"),
                origin_columns: pairs(&[("id", "film_id")]),
                target_columns: pairs(&[("id", "person_id")]),
            })),
        ],
    });
    assert_eq!(wire.status, 300);
    let body: Value = serde_json::from_str(&wire.body).unwrap();
    assert_eq!(
        body,
        serde_json::json!({
            "code": "PGRST201",
            "message": "Could not embed because more than one relationship was found for 'films' and 'people'",
            "hint": "Try changing 'people' to one of the following: 'people!director', 'people!favourite', \
                     'people!only', 'people!roles'. Find the desired relationship in the 'details' key.",
            "details": [
                {
                    "cardinality": "many-to-one",
                    "embedding": "films with people",
                    "relationship": "director using films(d1, d2) and people(p1, p2)"
                },
                {
                    "cardinality": "one-to-many",
                    "embedding": "films with people",
                    "relationship": "favourite using films(id) and people(film)"
                },
                {
                    "cardinality": "one-to-one",
                    "embedding": "films with people",
                    "relationship": "only using films(id) and people(id)"
                },
                {
                    "cardinality": "many-to-many",
                    "embedding": "films with people",
                    "relationship": "roles using roles_film(film_id) and roles_person(person_id)"
                },
            ],
        })
    );
}

#[test]
fn a_missing_function_says_what_was_searched() {
    let missing = |arguments: &[&str], unnamed, only_unnamed| {
        let wire = wire(PlanError::NoRoutine(Box::new(NoRoutine {
            schema: text("s"),
            name: text("f"),
            arguments: arguments.iter().map(|&name| text(name)).collect(),
            unnamed,
            only_unnamed,
            suggestion: None,
        })));
        let body: Value = serde_json::from_str(&wire.body).unwrap();
        let without = |value: &Value, before: &str, after: &str| {
            let text = value.as_str().unwrap().strip_prefix(before).unwrap();
            text.strip_suffix(after).unwrap().to_owned()
        };
        (
            wire.status,
            without(
                &body["message"],
                "Could not find the function s.f",
                " in the schema cache",
            ),
            without(
                &body["details"],
                "Searched for the function s.f",
                ", but no matches were found in the schema cache.",
            ),
        )
    };
    assert_eq!(
        missing(&[], None, false),
        (404, text(" without parameters"), text(" without parameters"))
    );
    assert_eq!(
        missing(&["a"], None, false),
        (404, text("(a)"), text(" with parameter a"))
    );
    assert_eq!(
        missing(&["a", "b"], Some("json/jsonb"), false),
        (
            404,
            text("(a, b)"),
            text(" with parameters a, b or with a single unnamed json/jsonb parameter")
        )
    );
    assert_eq!(
        missing(&[], Some("bytea"), true),
        (404, text(""), text(" with a single unnamed bytea parameter"))
    );
}

#[test]
fn other_names_that_are_not_there() {
    for (error, status, body) in [
        (
            PlanError::AmbiguousRoutine(vec![
                RoutineSignature(text("s.f(a => integer)")),
                RoutineSignature(text("s.f(a => text)")),
            ]),
            300,
            r#"{"code":"PGRST203","details":null,"hint":"Try renaming the parameters or the function itself in the database so function overloading can be resolved","message":"Could not choose the best candidate function between: s.f(a => integer), s.f(a => text)"}"#,
        ),
        (
            PlanError::ColumnNotFound {
                relation: text("t"),
                column: text("c"),
            },
            400,
            r#"{"code":"PGRST204","details":null,"hint":null,"message":"Could not find the 'c' column of 't' in the schema cache"}"#,
        ),
        (
            PlanError::TableNotFound {
                relation: text("s.t"),
                suggestion: Some(text("s.tt")),
            },
            404,
            r#"{"code":"PGRST205","details":null,"hint":"Perhaps you meant the table 's.tt'","message":"Could not find the table 's.t' in the schema cache"}"#,
        ),
    ] {
        let wire = wire(error);
        assert_eq!((wire.status, wire.body.as_str()), (status, body));
    }
}

#[test]
fn tokens_are_refused_with_a_challenge() {
    for (error, status, code, challenge) in [
        (JwtError::SecretMissing, 500, "PGRST300", None),
        (
            JwtError::Decode {
                message: text("No \"suitable\" key\n"),
                details: Some(text("d")),
            },
            401,
            "PGRST301",
            Some(r#"Bearer error="invalid_token", error_description="No \"suitable\" key""#),
        ),
        (JwtError::TokenRequired, 401, "PGRST302", Some("Bearer")),
        (
            JwtError::Claims(text("JWT expired")),
            401,
            "PGRST303",
            Some(r#"Bearer error="invalid_token", error_description="JWT expired""#),
        ),
    ] {
        let wire = wire(error);
        assert_eq!(wire.status, status);
        assert!(wire.body.contains(code), "{}", wire.body);
        assert_eq!(header(&wire, "WWW-Authenticate"), challenge);
    }
}

#[test]
fn unavailability_says_what_is_missing() {
    for (error, status, code) in [
        (Unavailable::Connection, 503, "PGRST000"),
        (Unavailable::ConnectionLost, 503, "PGRST001"),
        (Unavailable::SchemaCache, 503, "PGRST002"),
        (Unavailable::PoolTimeout, 504, "PGRST003"),
    ] {
        let wire = wire(error);
        assert_eq!(wire.status, status);
        assert!(
            wire.body.starts_with(&format!("{{\"code\":\"{code}\"")),
            "{}",
            wire.body
        );
    }
}

#[test]
fn our_own_faults_are_not_told() {
    let wire = wire(RestError::Internal(text("secret statement")));
    assert_eq!(wire.status, 500);
    assert!(!wire.body.contains("secret"), "{}", wire.body);
}
