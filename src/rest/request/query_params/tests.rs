use super::super::filter::{Operation, QuantifiedOperator};
use super::super::select::SelectItem;
use super::*;

const READ: Context<'static> = Context {
    arguments: false,
    ranges: true,
    method: "GET",
    range: None,
};

fn read(query: &str) -> QueryParams {
    QueryParams::parse(query, READ).unwrap().0
}

fn refusal(query: &str, context: Context<'_>) -> (String, String) {
    match QueryParams::parse(query, context) {
        Err(RequestError::QueryParam { message, details }) => (message, details),
        other => panic!("{query}: {other:?}"),
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// `name=value` of filters that are all `eq`.
fn equalities<'f>(filters: impl IntoIterator<Item = &'f Filter>) -> Vec<String> {
    filters
        .into_iter()
        .map(|filter| match &filter.expr.operation {
            Operation::Quantified(QuantifiedOperator::Equal, None, value) => {
                format!("{}={value}", filter.field.name)
            }
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn without_parameters_everything_is_selected() {
    let (params, top_range) = QueryParams::parse("", READ).unwrap();
    assert_eq!(top_range, Range::ALL);
    assert_eq!(
        params,
        QueryParams {
            select: vec![SelectNode {
                item: SelectItem::Field {
                    field: super::super::Field {
                        name: "*".to_owned(),
                        path: vec![],
                    },
                    aggregate: None,
                    aggregate_cast: None,
                    cast: None,
                    alias: None,
                },
                children: vec![],
            }],
            ..QueryParams::default()
        }
    );
    assert!(read("select=").select.is_empty());
    assert_eq!(read("select").select.len(), 1);
    assert_eq!(read("select=a,b&select=c").select.len(), 2);
}

#[test]
fn a_parameters_name_says_what_it_is() {
    let params = read(
        "id=eq.1&clients.projects.id=eq.2&order=id&clients.order=name.desc&limit=3&clients.limit=4&clients.offset=5\
         &clients.projects.offset=6&or=(a.eq.1,b.eq.2)&clients.not.and=(c.eq.3)&columns=a,\"b c\"&on_conflict=x,y\
         &orders=eq.7&no_value",
    );
    assert_eq!(equalities(&params.root_filters), ["id=1", "orders=7"]);
    assert_eq!(params.embed_filters.len(), 1);
    assert_eq!(params.embed_filters[0].0, ["clients", "projects"]);
    assert_eq!(
        equalities(params.embed_filters.iter().map(|(_, filter)| filter)),
        ["id=2"]
    );
    assert_eq!(
        params.filter_fields,
        owned(&["clients.projects.id", "id", "orders"])
            .into_iter()
            .collect()
    );
    let order: Vec<_> = params
        .order
        .iter()
        .map(|(path, terms)| (path.join("."), terms.len()))
        .collect();
    assert_eq!(order, [(String::new(), 1), ("clients".to_owned(), 1)]);
    assert_eq!(
        params.ranges,
        [
            (
                owned(&["clients"]),
                Range {
                    offset: 5,
                    limit: Some(4)
                }
            ),
            (
                owned(&["clients", "projects"]),
                Range {
                    offset: 6,
                    limit: None
                }
            ),
        ]
    );
    assert_eq!(
        params.top_range,
        Some(Range {
            offset: 0,
            limit: Some(3)
        })
    );
    let logic: Vec<_> = params.logic.iter().map(|(path, _)| path.join(".")).collect();
    assert_eq!(logic, ["", "clients"]);
    assert_eq!(params.columns, Some(owned(&["a", "b c"]).into_iter().collect()));
    assert_eq!(params.on_conflict, Some(owned(&["x", "y"])));
    assert!(params.arguments.is_empty());
}

#[test]
fn a_function_called_by_get_takes_what_has_no_operator_as_arguments() {
    let query = "a=1&b=eq.2&rel.c=eq.3&v=x&v=y&select=z&limit=1&d=it.s%20text";
    let context = Context {
        arguments: true,
        ..READ
    };
    let (params, _) = QueryParams::parse(query, context).unwrap();
    let arguments: Vec<_> = params
        .arguments
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(arguments, ["a=1", "v=x", "v=y", "d=it.s text"]);
    assert_eq!(equalities(&params.root_filters), ["b=2"]);
    assert_eq!(params.embed_filters.len(), 1);
    // An operator that was begun must be finished.
    assert_eq!(
        refusal("a=in.1", context),
        (
            r#""failed to parse filter (in.1)" (line 1, column 4)"#.to_owned(),
            r#"unexpected "1" expecting "(""#.to_owned()
        )
    );
}

#[test]
fn of_several_limits_of_one_name_the_last_counts() {
    let (params, top_range) =
        QueryParams::parse("limit=1&limit=2&a.limit=3&a.limit=4&offset=5&offset=6", READ).unwrap();
    assert_eq!(
        top_range,
        Range {
            offset: 6,
            limit: Some(2)
        }
    );
    assert_eq!(
        params.ranges,
        [(
            owned(&["a"]),
            Range {
                offset: 0,
                limit: Some(4)
            }
        )]
    );
}

#[test]
fn refusals_name_the_parameter_and_the_place() {
    for (query, message, details) in [
        (
            "order=id.ac",
            r#""failed to parse order (id.ac)" (line 1, column 4)"#,
            r#"unexpected "c" expecting "asc", "desc", "nullsfirst" or "nullslast""#,
        ),
        (
            "or=()",
            r#""failed to parse logic tree (())" (line 1, column 4)"#,
            "unexpected \")\" expecting field name (* or [a..z0..9_$]), negation operator (not) or logic operator \
             (and, or)",
        ),
        (
            "columns=",
            r#""failed to parse columns parameter ()" (line 1, column 1)"#,
            "unexpected end of input expecting field name (* or [a..z0..9_$])",
        ),
        (
            "select=id,clients(name[])",
            r#""failed to parse select parameter (id,clients(name[]))" (line 1, column 16)"#,
            r#"unexpected '[' expecting letter, digit, "-", "->>", "->", "::", ".", ")", "," or end of input"#,
        ),
        (
            "id=eq.10&select=data->(!@#$%^%26*_d->>!@#$%^%26*_e::integer",
            r#""failed to parse select parameter (data->(!@#$%^&*_d->>!@#$%^&*_e::integer)" (line 1, column 7)"#,
            r#"unexpected "(" expecting "-", digit or any non reserved character different from: .,>()"#,
        ),
        (
            "select=data->>--34",
            r#""failed to parse select parameter (data->>--34)" (line 1, column 9)"#,
            r#"unexpected "-" expecting digit"#,
        ),
        (
            "id=0",
            r#""failed to parse filter (0)" (line 1, column 1)"#,
            r#"unexpected "0" expecting "not" or operator (eq, gt, ...)"#,
        ),
        (
            "=eq.1",
            r#""failed to parse tree path ()" (line 1, column 1)"#,
            "unexpected end of input expecting field name (* or [a..z0..9_$])",
        ),
        (
            "a.b.=eq.1",
            r#""failed to parse tree path (a.b.)" (line 1, column 5)"#,
            "unexpected end of input expecting field name (* or [a..z0..9_$])",
        ),
        (
            "on_conflict=!",
            r#""failed to parse on_conflict parameter (!)" (line 1, column 1)"#,
            r#"unexpected "!" expecting field name (* or [a..z0..9_$])"#,
        ),
        (
            "!.offset=1",
            r#""failed to parse tree path (!.limit)" (line 1, column 1)"#,
            r#"unexpected "!" expecting field name (* or [a..z0..9_$])"#,
        ),
        (
            "id=%ff",
            "The query string is not valid UTF-8",
            "Percent-encode names and values as UTF-8",
        ),
    ] {
        let refusal = refusal(query, READ);
        assert_eq!(
            (refusal.0.as_str(), refusal.1.as_str()),
            (message, details),
            "{query}"
        );
    }
}

#[test]
fn of_several_faults_the_order_of_the_grammars_decides() {
    let all = "!.limit=1&on_conflict=!&id=0&select=a!&columns=!&or=!&order=!&limit=-1";
    let without = |names: &[&str]| {
        all.split('&')
            .filter(|parameter| {
                !names
                    .iter()
                    .any(|name| parameter.starts_with(&format!("{name}=")))
            })
            .collect::<Vec<_>>()
            .join("&")
    };
    for (gone, expected) in [
        (&[][..], "order"),
        (&["order"], "logic tree"),
        (&["order", "or"], "columns parameter"),
        (&["order", "or", "columns"], "select parameter"),
        (&["order", "or", "columns", "select"], "filter"),
        (
            &["order", "or", "columns", "select", "id"],
            "on_conflict parameter",
        ),
        (
            &["order", "or", "columns", "select", "id", "on_conflict", "limit"],
            "tree path",
        ),
    ] {
        let (message, _) = refusal(&without(gone), READ);
        assert!(
            message.starts_with(&format!("\"failed to parse {expected} (")),
            "{message}"
        );
    }
    let range = QueryParams::parse("!.limit=1&limit=-1", READ);
    assert_eq!(range.unwrap_err(), RequestError::RangeNegativeLimit);
}

#[test]
fn embeds_of_writes_are_not_limited() {
    let context = Context {
        ranges: false,
        method: "POST",
        ..READ
    };
    let (params, _) = QueryParams::parse("!.limit=1&a.limit=1", context).unwrap();
    assert!(params.ranges.is_empty());
}
