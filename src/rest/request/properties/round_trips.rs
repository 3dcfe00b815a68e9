//! What is written by the rules is read as it was meant.

mod written;

use std::collections::BTreeSet;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value};

use self::written::{
    encoded, order_terms, quoted, select_nodes, tree, write_order, write_select, write_tree,
};
use super::super::preferences::{Count, Handling, Missing, Representation, Resolution, TransactionEnd};
use super::super::{
    LogicOperator, LogicTree, MediaType, Operation, Payload, PlanFormat, PlanOption, Preferences,
    QueryParams, Range, Request,
};
use super::{config, parse_any};
use crate::rest::error::RequestError;

fn query(query: &str) -> QueryParams {
    parse_any("GET", &format!("/t?{query}"), &[], b"").unwrap().query
}

fn media_type() -> impl Strategy<Value = MediaType> {
    let plain = || {
        select(vec![
            MediaType::Json,
            MediaType::GeoJson,
            MediaType::Csv,
            MediaType::Text,
            MediaType::Xml,
            MediaType::OpenApi,
            MediaType::Form,
            MediaType::OctetStream,
            MediaType::Any,
            MediaType::ArrayStripped,
            MediaType::Object { stripped: true },
            MediaType::Object { stripped: false },
            MediaType::Other("image/png".to_owned()),
        ])
    };
    let options = proptest::sample::subsequence(
        vec![
            PlanOption::Analyze,
            PlanOption::Verbose,
            PlanOption::Settings,
            PlanOption::Buffers,
            PlanOption::Wal,
        ],
        0..=5,
    );
    let explained = (plain(), any::<bool>(), options).prop_map(|(target, json, options)| MediaType::Plan {
        target: Box::new(target),
        format: if json { PlanFormat::Json } else { PlanFormat::Text },
        options,
    });
    prop_oneof![plain(), explained]
}

fn preferences() -> impl Strategy<Value = Preferences> {
    use proptest::option::of;
    (
        of(select(vec![
            Resolution::MergeDuplicates,
            Resolution::IgnoreDuplicates,
        ])),
        of(select(vec![
            Representation::Full,
            Representation::HeadersOnly,
            Representation::Minimal,
        ])),
        of(select(vec![Count::Exact, Count::Planned, Count::Estimated])),
        of(select(vec![TransactionEnd::Commit, TransactionEnd::Rollback])),
        of(select(vec![Missing::ApplyDefaults, Missing::ApplyNulls])),
        of("[A-Z][a-z]{1,8}/[A-Z][a-z]{1,8}|[+-][0-9]{2}"),
        of(any::<i64>().prop_filter("the smallest has no opposite", |n| *n > i64::MIN)),
    )
        .prop_map(
            |(resolution, representation, count, transaction, missing, timezone, max_affected)| Preferences {
                resolution,
                representation,
                count,
                transaction,
                missing,
                handling: Some(Handling::Strict),
                timezone,
                max_affected,
                invalid: vec![],
            },
        )
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::String),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let key = prop_oneof![3 => "[abc]", 1 => any::<String>()];
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            btree_map(key, inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// What a JSON body's keys are, told from the value itself. None: they differ.
fn keys(value: &Value) -> Option<BTreeSet<String>> {
    let of = |object: &Map<String, Value>| object.keys().cloned().collect::<BTreeSet<_>>();
    match value {
        Value::Object(object) => Some(of(object)),
        Value::Array(elements) => {
            let mut sets = elements.iter().map(|element| element.as_object().map(of));
            let Some(first) = sets.next() else {
                return Some(BTreeSet::new());
            };
            if sets.all(|set| set == first) { first } else { None }
        }
        _ => Some(BTreeSet::new()),
    }
}

fn post(content_type: &str, body: &[u8]) -> Result<Request, RequestError> {
    parse_any("POST", "/t", &[("content-type", content_type.as_bytes())], body)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn names_and_list_elements_survive_quoting(name in any::<String>(), list in vec(any::<String>(), 1..5)) {
        let elements: Vec<String> = list.iter().map(|element| quoted(element)).collect();
        // The last part of a parameter's name may be reserved, quotes or not.
        let target = format!("{}=in.({})", encoded(&quoted(&format!("{name}_"))), encoded(&elements.join(",")));
        let params = query(&target);
        prop_assert_eq!(&params.root_filters[0].field.name, &format!("{name}_"));
        prop_assert_eq!(&params.root_filters[0].expr.operation, &Operation::In(list));
    }

    #[test]
    fn values_survive_as_they_are(value in any::<String>()) {
        let params = query(&format!("a=neq.{}&b=not.eq.{}", encoded(&value), encoded(&value)));
        let operations = params.root_filters.iter().map(|filter| &filter.expr.operation);
        for operation in operations {
            let (Operation::Simple(_, found) | Operation::Quantified(_, _, found)) = operation else {
                panic!("{operation:?}");
            };
            prop_assert_eq!(found, &value);
        }
    }

    #[test]
    fn a_select_is_read_as_written(nodes in select_nodes()) {
        let params = query(&format!("select={}", encoded(&write_select(&nodes))));
        prop_assert_eq!(params.select, nodes);
    }

    #[test]
    fn a_logic_tree_is_read_as_written(tree in tree(), negated: bool) {
        let not = if negated { "not." } else { "" };
        let params = query(&format!("a.{not}and={}", encoded(&format!("({})", write_tree(&tree)))));
        let expected = LogicTree::Expr { negated, operator: LogicOperator::And, children: vec![tree] };
        prop_assert_eq!(params.logic, [(vec!["a".to_owned()], expected)]);
    }

    #[test]
    fn an_order_is_read_as_written(terms in order_terms()) {
        let params = query(&format!("order={}", encoded(&write_order(&terms))));
        prop_assert_eq!(params.order, [(vec![], terms)]);
    }

    #[test]
    fn the_canonical_form_means_the_same_and_stays_as_it_is(
        pairs in btree_map("[ -~]{0,6}_", "[ -~]{0,6}", 0..5),
    ) {
        let pairs: Vec<String> = pairs.iter().rev().map(|(name, value)| {
            format!("{}=eq.{}", encoded(&quoted(name)), encoded(value))
        }).collect();
        let params = query(&pairs.join("&"));
        let again = query(&params.canonical);
        prop_assert_eq!(&again.canonical, &params.canonical);
        let sorted = |params: QueryParams| {
            let mut filters = params.root_filters;
            filters.sort_by(|a, b| a.field.name.cmp(&b.field.name));
            filters
        };
        prop_assert_eq!(sorted(again), sorted(params));
    }

    #[test]
    fn limit_offset_and_range_name_the_rows_in_all_of_them(
        limit in proptest::option::of(1..6_i64),
        offset in proptest::option::of(0..6_i64),
        header in proptest::option::of((0..6_i64, proptest::option::of(0..8_i64))),
    ) {
        let parameter = |name: &str, value: Option<i64>| {
            value.map_or_else(String::new, |value| format!("{name}={value}&"))
        };
        let target = format!("/t?{}{}", parameter("limit", limit), parameter("offset", offset));
        let value = header.map_or_else(String::new, |(from, to)| {
            format!("{from}-{}", to.map_or_else(String::new, |to| to.to_string()))
        });
        let result = parse_any("GET", &target, &[("range", value.as_bytes())], b"");

        let first = offset.unwrap_or(0);
        let expected: Vec<i64> = (0..20)
            .filter(|row| *row >= first && limit.is_none_or(|limit| *row < first + limit))
            .filter(|row| header.is_none_or(|(from, to)| *row >= from && to.is_none_or(|to| *row <= to)))
            .collect();
        match result {
            Ok(request) => {
                let Range { offset, limit } = request.top_range;
                let end = limit.map_or(20, |limit| offset + limit);
                prop_assert_eq!((offset..end).collect::<Vec<_>>(), expected);
            }
            Err(error) => {
                prop_assert!(matches!(
                    error,
                    RequestError::RangeLowerGreaterUpper | RequestError::RangeNegativeLimit
                ));
                prop_assert!(expected.is_empty(), "{:?}", expected);
            }
        }
    }

    #[test]
    fn the_echo_of_preferences_is_the_preferences(preferences in preferences()) {
        let echo = preferences.applied().unwrap();
        prop_assert_eq!(Preferences::parse([echo.as_str()], true), preferences);
    }

    #[test]
    fn a_media_types_text_is_the_media_type(media_type in media_type()) {
        prop_assert_eq!(MediaType::parse(&media_type.mime()), media_type.clone());
        prop_assert_eq!(MediaType::parse(&media_type.mime().to_uppercase()).mime().to_lowercase().is_empty(), false);
    }

    #[test]
    fn keys_of_json_are_those_of_its_value(value in json(), rows in vec(json(), 0..4)) {
        for value in [value, Value::Array(rows)] {
            let body = value.to_string();
            match (post("application/json", body.as_bytes()), keys(&value)) {
                (Ok(request), Some(keys)) => {
                    prop_assert_eq!(&request.columns, &keys);
                    let Some(Payload::Json { raw, is_object, .. }) = request.payload else {
                        panic!("{:?}", request.payload);
                    };
                    prop_assert_eq!(is_object, value.is_object());
                    let passed_on = value.is_object() || value.as_array().is_some_and(|rows| !rows.is_empty());
                    let expected = if passed_on { body.as_bytes() } else { b"[]" };
                    prop_assert_eq!(&raw[..], expected);
                }
                (Err(RequestError::InvalidBody(message)), None) => {
                    prop_assert_eq!(message, "All object keys must match");
                }
                (result, keys) => prop_assert!(false, "{:?} {:?}", result, keys),
            }
        }
    }

    #[test]
    fn csv_says_the_same_as_its_json(
        names in proptest::collection::btree_set("[a-z\",é \n]{1,4}", 1..4),
        cells in vec("[a-z\",é \r\n]{0,4}|NULL", 0..12),
    ) {
        let names: Vec<String> = names.into_iter().collect();
        let rows: Vec<&[String]> = cells.chunks_exact(names.len()).collect();
        let mut writer = csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Always).from_writer(vec![]);
        writer.write_record(&names).unwrap();
        for row in &rows {
            writer.write_record(*row).unwrap();
        }
        let request = post("text/csv", &writer.into_inner().unwrap()).unwrap();
        let Some(Payload::Json { raw, .. }) = request.payload else {
            panic!("{:?}", request.payload);
        };
        let expected: Vec<Value> = rows.iter().map(|row| {
            let cells = row.iter().map(|cell| match cell.as_str() {
                "NULL" => Value::Null,
                text => Value::String(text.to_owned()),
            });
            Value::Object(names.iter().cloned().zip(cells).collect())
        }).collect();
        prop_assert_eq!(serde_json::from_slice::<Value>(&raw).unwrap(), Value::Array(expected));
    }
}
