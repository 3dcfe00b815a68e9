use super::super::parser::parse;
use super::super::testing::details;
use super::*;

fn parsed(text: &str) -> Result<OpExpr, String> {
    parse("filter", text, text, |p| op_expr(p, single_value)).map_err(details)
}

fn operation(text: &str) -> Operation {
    let OpExpr { negated, operation } = parsed(text).unwrap();
    assert!(!negated, "{text}");
    operation
}

fn list_of(text: &str) -> Vec<String> {
    match operation(text) {
        Operation::In(list) => list,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_simple_operator_is_known() {
    for (name, operator) in [
        ("neq", SimpleOperator::NotEqual),
        ("cs", SimpleOperator::Contains),
        ("cd", SimpleOperator::ContainedBy),
        ("ov", SimpleOperator::Overlaps),
        ("sl", SimpleOperator::StrictlyLeft),
        ("sr", SimpleOperator::StrictlyRight),
        ("nxr", SimpleOperator::NotExtendsRight),
        ("nxl", SimpleOperator::NotExtendsLeft),
        ("adj", SimpleOperator::Adjacent),
    ] {
        let value = "{a,b}.(c)\"".to_owned();
        assert_eq!(
            operation(&format!("{name}.{value}")),
            Operation::Simple(operator, value)
        );
        assert!(parsed(&format!("{name}(any).x")).is_err(), "{name}");
    }
}

#[test]
fn every_quantified_operator_is_known_with_and_without_quantifier() {
    for (name, operator) in [
        ("eq", QuantifiedOperator::Equal),
        ("gte", QuantifiedOperator::GreaterThanEqual),
        ("gt", QuantifiedOperator::GreaterThan),
        ("lte", QuantifiedOperator::LessThanEqual),
        ("lt", QuantifiedOperator::LessThan),
        ("like", QuantifiedOperator::Like),
        ("ilike", QuantifiedOperator::ILike),
        ("match", QuantifiedOperator::Match),
        ("imatch", QuantifiedOperator::IMatch),
    ] {
        for (suffix, quantifier) in [
            ("", None),
            ("(any)", Some(Quantifier::Any)),
            ("(all)", Some(Quantifier::All)),
        ] {
            let text = format!("{name}{suffix}.v.w");
            assert_eq!(
                operation(&text),
                Operation::Quantified(operator, quantifier, "v.w".to_owned())
            );
        }
    }
}

#[test]
fn full_text_operators_may_name_a_language() {
    for (name, operator) in [
        ("fts", FtsOperator::Query),
        ("plfts", FtsOperator::Plain),
        ("phfts", FtsOperator::Phrase),
        ("wfts", FtsOperator::Websearch),
    ] {
        for (suffix, language) in [("", None), ("(german)", Some("german".to_owned()))] {
            let text = format!("{name}{suffix}.a & b");
            assert_eq!(
                operation(&text),
                Operation::Fts(operator, language, "a & b".to_owned())
            );
        }
    }
}

#[test]
fn is_takes_five_words_in_any_case() {
    for (word, value) in [
        ("null", IsValue::Null),
        ("not_null", IsValue::NotNull),
        ("true", IsValue::True),
        ("FALSE", IsValue::False),
        ("Unknown", IsValue::Unknown),
        ("nullish", IsValue::Null),
    ] {
        assert_eq!(operation(&format!("is.{word}")), Operation::Is(value), "{word}");
    }
    assert_eq!(
        operation("isdistinct.null"),
        Operation::IsDistinctFrom("null".to_owned())
    );
}

#[test]
fn not_negates_and_the_rest_is_the_value() {
    let negated = parsed("not.eq.not.eq.1").unwrap();
    assert!(negated.negated);
    assert_eq!(
        negated.operation,
        Operation::Quantified(QuantifiedOperator::Equal, None, "not.eq.1".to_owned())
    );
    assert_eq!(
        operation("eq."),
        Operation::Quantified(QuantifiedOperator::Equal, None, String::new())
    );
}

#[test]
fn lists_have_quoted_and_plain_elements() {
    for (text, expected) in [
        ("in.(1,2,3)", &["1", "2", "3"][..]),
        ("in.()", &[""]),
        ("in.(,)", &["", ""]),
        ("in. ( a , b ) ", &["a ", " b "]),
        (r#"in.("a,b","c)d")"#, &["a,b", "c)d"]),
        (r#"in.("a\"b","c\\d","\e")"#, &[r#"a"b"#, r"c\d", "e"]),
        (r#"in.(a"b,"c"d,e)"#, &[r#"a"b"#, r#""c"d"#, "e"]),
        (r#"in.("open,close)"#, &[r#""open"#, "close"]),
        ("in.(a.b:c,ü)", &["a.b:c", "ü"]),
        ("in.(1)ignored", &["1"]),
        (r#"in.("")"#, &[""]),
    ] {
        assert_eq!(list_of(text), expected, "{text}");
    }
}

#[test]
fn a_wrong_filter_is_explained() {
    for (text, expected) in [
        (
            "noop.0",
            r#"(1, 1) unexpected "o" expecting "not" or operator (eq, gt, ...)"#,
        ),
        (
            "val",
            r#"(1, 1) unexpected "v" expecting "not" or operator (eq, gt, ...)"#,
        ),
        (
            "0",
            r#"(1, 1) unexpected "0" expecting "not" or operator (eq, gt, ...)"#,
        ),
        (
            "",
            r#"(1, 1) unexpected end of input expecting "not" or operator (eq, gt, ...)"#,
        ),
        (
            "fts().value",
            r#"(1, 5) unexpected ")" expecting operator (eq, gt, ...)"#,
        ),
        (
            "eq().value",
            r#"(1, 4) unexpected ")" expecting operator (eq, gt, ...)"#,
        ),
        (
            "is().value",
            r#"(1, 3) unexpected "(" expecting operator (eq, gt, ...)"#,
        ),
        (
            "in().value",
            r#"(1, 3) unexpected "(" expecting operator (eq, gt, ...)"#,
        ),
        ("in.1,2", r#"(1, 4) unexpected "1" expecting "(""#),
        (
            "in.(1,2",
            r#"(1, 8) unexpected end of input expecting "," or ")""#,
        ),
        (
            "is.nil",
            "(1, 5) unexpected \"i\" expecting isVal: (null, not_null, true, false, unknown)",
        ),
        (
            "not.x.1",
            r#"(1, 5) unexpected "x" expecting operator (eq, gt, ...)"#,
        ),
        ("not", "(1, 4) unexpected end of input expecting delimiter (.)"),
    ] {
        assert_eq!(parsed(text), Err(expected.to_owned()), "{text}");
    }
}
