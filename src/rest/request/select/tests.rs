use super::super::filter::{JsonOperand, JsonStep};
use super::super::parser::{MAX_DEPTH, parse};
use super::super::testing::details;
use super::*;

fn parsed(text: &str) -> Result<Vec<SelectNode>, String> {
    parse("select parameter", text, text, forest).map_err(details)
}

/// Items in a form of their own: `alias:name->path::cast.aggregate::cast`, `alias:relation!hint!Join{…}`.
fn shown(nodes: &[SelectNode]) -> String {
    let or_empty = |text: &Option<String>, before: &str, after: &str| {
        text.as_ref()
            .map_or_else(String::new, |text| format!("{before}{text}{after}"))
    };
    let parameters = |hint: &Option<String>, join: Option<JoinType>| {
        let join = join.map(|join| format!("{join:?}"));
        format!("{}{}", or_empty(hint, "!", ""), or_empty(&join, "!!", ""))
    };
    let items: Vec<String> = nodes
        .iter()
        .map(|SelectNode { item, children }| match item {
            SelectItem::Field {
                field,
                aggregate,
                aggregate_cast,
                cast,
                alias,
            } => {
                assert!(children.is_empty());
                let path: String = field
                    .path
                    .iter()
                    .map(|step| {
                        let arrow = if matches!(step, JsonStep::Arrow(_)) {
                            "->"
                        } else {
                            "->>"
                        };
                        match step.operand() {
                            JsonOperand::Key(key) => format!("{arrow}{key}"),
                            JsonOperand::Index(index) => format!("{arrow}#{index}"),
                        }
                    })
                    .collect();
                let aggregate = aggregate.map(|aggregate| aggregate.name().to_owned());
                format!(
                    "{}{}{path}{}{}{}",
                    or_empty(alias, "", ":"),
                    field.name,
                    or_empty(cast, "::", ""),
                    or_empty(&aggregate, ".", "()"),
                    or_empty(aggregate_cast, "::", ""),
                )
            }
            SelectItem::Relation {
                relation,
                alias,
                hint,
                join,
            } => format!(
                "{}{relation}{}{{{}}}",
                or_empty(alias, "", ":"),
                parameters(hint, *join),
                shown(children)
            ),
            SelectItem::Spread { relation, hint, join } => {
                format!("...{relation}{}{{{}}}", parameters(hint, *join), shown(children))
            }
        })
        .collect();
    items.join(" ")
}

#[test]
fn columns_have_aliases_casts_paths_and_aggregates() {
    for (text, expected) in [
        ("", ""),
        ("*", "*"),
        ("id", "id"),
        (" id , name ", "id name"),
        ("two words", "two words"),
        ("alias:name", "alias:name"),
        ("name::text", "name::text"),
        ("name::double precision", "name::double precision"),
        ("alias:data->a->>b-c->0::int", "alias:data->a->>b-c->#0::int"),
        (r#""the alias":"the.name"->"a.b""#, "the alias:the.name->a.b"),
        ("data->!@#$%^&*_a", "data->!@#$%^&*_a"),
        ("count()", "*.count()"),
        ("n:count()::text,a", "n:*.count()::text a"),
        ("amount.sum()", "amount.sum()"),
        ("x:amount::int.max()::text", "x:amount::int.max()::text"),
        ("a.min(),b.avg(),c.count()", "a.min() b.avg() c.count()"),
        ("data->n::int.sum()", "data->n::int.sum()"),
        ("count", "count"),
        ("*,*", "* *"),
    ] {
        assert_eq!(
            parsed(text).as_deref().map(shown).as_deref(),
            Ok(expected),
            "{text}"
        );
    }
}

#[test]
fn embeds_have_aliases_hints_and_joins() {
    for (text, expected) in [
        ("client(id)", "client{id}"),
        ("client()", "client{}"),
        ("*,client(*,nested(*))", "* client{* nested{*}}"),
        ("*,...client(*),other(*)", "* ...client{*} other{*}"),
        ("a:rel!hint(*)", "a:rel!hint{*}"),
        ("rel!inner(*)", "rel!!Inner{*}"),
        ("rel!left(*)", "rel!!Left{*}"),
        ("rel!hint!inner(*)", "rel!hint!!Inner{*}"),
        ("rel!inner!hint(*)", "rel!hint!!Inner{*}"),
        ("rel!one!two(*)", "rel!one{*}"),
        (r#"rel!"a.b"(x)"#, "rel!a.b{x}"),
        ("...rel!hint!inner(a,b:c)", "...rel!hint!!Inner{a b:c}"),
        ("rel ( id )", "rel{id}"),
        ("a:count(x)", ""),
    ] {
        if expected.is_empty() {
            assert!(parsed(text).is_err(), "{text}");
        } else {
            assert_eq!(
                parsed(text).as_deref().map(shown).as_deref(),
                Ok(expected),
                "{text}"
            );
        }
    }
}

#[test]
fn what_follows_a_closing_parenthesis_is_not_read() {
    assert_eq!(parsed("id),name").as_deref().map(shown).as_deref(), Ok("id"));
    assert_eq!(
        parsed("rel(id))x").as_deref().map(shown).as_deref(),
        Ok("rel{id}")
    );
}

#[test]
fn a_wrong_select_is_explained() {
    for (text, expected) in [
        (
            "id,clients(name[])",
            r#"(1, 16) unexpected '[' expecting letter, digit, "-", "->>", "->", "::", ".", ")", "," or end of input"#,
        ),
        (
            "name!hint",
            r#"(1, 5) unexpected '!' expecting letter, digit, "-", "->>", "->", "::", ".", ")", "," or end of input"#,
        ),
        (
            "rel!left_key(id)",
            r#"(1, 4) unexpected '!' expecting letter, digit, "-", "->>", "->", "::", ".", ")", "," or end of input"#,
        ),
        (
            "rel(id",
            r#"(1, 7) unexpected end of input expecting letter, digit, "-", "->>", "->", "::", ".", ")", "," or end of input"#,
        ),
        (
            "rel(id,",
            r#"(1, 8) unexpected end of input expecting "...", field name (* or [a..z0..9_$]), "*" or "count()""#,
        ),
        (
            "data->>-78xy",
            r#"(1, 11) unexpected 'x' expecting digit, "->", "::", ".", "," or end of input"#,
        ),
        (
            "name::",
            "(1, 7) unexpected end of input expecting letter or digit",
        ),
    ] {
        assert_eq!(parsed(text), Err(expected.to_owned()), "{text}");
    }
}

/// Each kind of item for itself, as their messages overlap in a whole `select`.
#[test]
fn each_kind_of_item_explains_itself() {
    type Grammar = fn(&mut Parser<'_>) -> Parsed<SelectItem>;
    for (grammar, text, expected) in [
        (relation as Grammar, "rel->jsonpath(*)", "(1, 6) unexpected '>'"),
        (relation, "rel->jsonpath!hint(*)", "(1, 6) unexpected '>'"),
        (spread, "rel(*)", r#"(1, 1) unexpected "r" expecting "...""#),
        (
            spread,
            "alias:...rel(*)",
            r#"(1, 1) unexpected "a" expecting "...""#,
        ),
        (spread, "...rel->jsonpath(*)", "(1, 9) unexpected '>'"),
        (
            column,
            "name!hint",
            r#"(1, 5) unexpected '!' expecting letter, digit, "-", "->>", "->", "::", ".", ")", "," or end of input"#,
        ),
        (
            column,
            "*!hint",
            r#"(1, 2) unexpected '!' expecting ")", "," or end of input"#,
        ),
        (
            column,
            "name::",
            "(1, 7) unexpected end of input expecting letter or digit",
        ),
    ] {
        let answer = parse("item", text, text, |p| p.lexeme(grammar)).map_err(details);
        assert_eq!(answer, Err(expected.to_owned()), "{text}");
    }
}

#[test]
fn nesting_has_a_limit() {
    let nested = |depth: usize| format!("{}id{}", "a(".repeat(depth), ")".repeat(depth));
    assert!(parsed(&nested(MAX_DEPTH)).is_ok());
    let error = parsed(&nested(MAX_DEPTH + 1)).unwrap_err();
    assert_eq!(error, "(1, 203) nested too deeply: 100 levels are the limit");
    assert!(parsed(&nested(100_000)).is_err());
}
