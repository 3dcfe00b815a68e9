use super::super::filter::{Field, OpExpr, Operation, QuantifiedOperator, SimpleOperator};
use super::super::parser::{MAX_DEPTH, parse};
use super::super::testing::details;
use super::*;

fn parsed(text: &str) -> Result<LogicTree, String> {
    parse("logic tree", text, text, tree).map_err(details)
}

/// A tree as one would write it, all values in brackets.
fn shown(tree: &LogicTree) -> String {
    match tree {
        LogicTree::Filter(filter) => format!(
            "{}{}={}",
            if filter.expr.negated { "!" } else { "" },
            filter.field.name,
            match &filter.expr.operation {
                Operation::Simple(_, value)
                | Operation::Quantified(_, _, value)
                | Operation::IsDistinctFrom(value)
                | Operation::Fts(_, _, value) => format!("[{value}]"),
                Operation::In(list) => format!("{list:?}"),
                Operation::Is(value) => format!("{value:?}"),
            }
        ),
        LogicTree::Expr {
            negated,
            operator,
            children,
        } => format!(
            "{}{operator:?}({})",
            if *negated { "!" } else { "" },
            children.iter().map(shown).collect::<Vec<_>>().join(" ")
        ),
    }
}

#[test]
fn trees_nest_and_negate() {
    for (text, expected) in [
        ("or(a.eq.1,b.eq.2)", "Or(a=[1] b=[2])"),
        ("and( a.eq.1 , b.eq.2 )", "And(a=[1 ] b=[2 ])"),
        ("not.and(a.not.eq.1)", "!And(!a=[1])"),
        (
            "or(a.eq.1,not.or(b.is.null,and(c.in.(1,2),d.lt.3)))",
            r#"Or(a=[1] !Or(b=Null And(c=["1", "2"] d=[3])))"#,
        ),
        ("or(id.eq.1)ignored", "Or(id=[1])"),
        ("and(and.eq.1)", "And(and=[1])"),
    ] {
        assert_eq!(
            parsed(text).as_ref().map(shown).as_deref(),
            Ok(expected),
            "{text}"
        );
    }
}

#[test]
fn values_end_at_a_comma_unless_quoted_or_in_an_array() {
    for (text, expected) in [
        (r#"or(a.eq."x,y)",b.eq.2)"#, "Or(a=[x,y)] b=[2])"),
        (r#"or(a.eq."x"y,b.eq.2)"#, r#"Or(a=["x"y] b=[2])"#),
        ("or(a.cs.{1,2},b.eq.2)", "Or(a=[{1,2}] b=[2])"),
        ("or(a.eq.{x,b.eq.2)", "Or(a=[{x] b=[2])"),
        ("or(a.eq.,b.eq.)", "Or(a=[] b=[])"),
        (r#"or("a.b".eq.1)"#, "Or(a.b=[1])"),
    ] {
        assert_eq!(
            parsed(text).as_ref().map(shown).as_deref(),
            Ok(expected),
            "{text}"
        );
    }
    let LogicTree::Expr { children, .. } = parsed("or(data->a->>0.eq.1)").unwrap() else {
        panic!("no expression");
    };
    let LogicTree::Filter(Filter {
        field: Field { name, path },
        expr,
    }) = &children[0]
    else {
        panic!("no filter");
    };
    assert_eq!((name.as_str(), path.len()), ("data", 2));
    assert_ne!(
        *expr,
        OpExpr {
            negated: false,
            operation: Operation::Simple(SimpleOperator::NotEqual, "1".to_owned())
        }
    );
    assert_eq!(
        expr.operation,
        Operation::Quantified(QuantifiedOperator::Equal, None, "1".to_owned())
    );
}

#[test]
fn a_wrong_tree_is_explained() {
    for (text, expected) in [
        (
            "or()",
            "(1, 4) unexpected \")\" expecting field name (* or [a..z0..9_$]), negation operator (not) or logic \
             operator (and, or)",
        ),
        ("or(id.in.1,2,id.eq.3)", r#"(1, 10) unexpected "1" expecting "(""#),
        ("or)(", r#"(1, 3) unexpected ")" expecting "(""#),
        (
            "and(ord(id.eq.1,id.eq.1),id.eq.2)",
            r#"(1, 7) unexpected "d" expecting "(""#,
        ),
        (
            "or(id.eq.1,not.xor(id.eq.2,id.eq.3))",
            r#"(1, 16) unexpected "x" expecting logic operator (and, or)"#,
        ),
    ] {
        assert_eq!(parsed(text), Err(expected.to_owned()), "{text}");
    }
}

#[test]
fn nesting_has_a_limit() {
    let nested = |depth: usize| format!("{}a.eq.1{}", "and(".repeat(depth), ")".repeat(depth));
    assert!(parsed(&nested(MAX_DEPTH)).is_ok());
    let error = parsed(&nested(MAX_DEPTH + 1)).unwrap_err();
    assert_eq!(error, "(1, 405) nested too deeply: 100 levels are the limit");
    assert!(parsed(&nested(100_000)).is_err());
}

#[test]
fn the_parameters_name_leads_to_an_embed() {
    for (text, embeds, operator) in [
        ("or", &[][..], "or"),
        ("not.or", &[], "not.or"),
        ("a.b.and", &["a", "b"], "and"),
        ("a.not.and", &["a"], "not.and"),
        ("not.a.and", &["a"], "not.and"),
    ] {
        let expected = (
            embeds.iter().map(|&name| name.to_owned()).collect(),
            operator.to_owned(),
        );
        assert_eq!(parse("path", text, text, path).unwrap(), expected, "{text}");
    }
}
