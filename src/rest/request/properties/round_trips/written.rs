//! Values of the grammars, and how they are written.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::super::filter::{
    Field, Filter, JsonOperand, JsonStep, LogicOperator, LogicTree, OpExpr, Operation,
};
use super::super::super::order::{Direction, Nulls, OrderTerm};
use super::super::super::select::{Aggregate, JoinType, SelectItem, SelectNode};
use super::super::super::{QuantifiedOperator, Quantifier};

/// Any text as a part of a query string.
pub(super) fn encoded(text: &str) -> String {
    text.bytes()
        .fold(String::new(), |encoded, byte| format!("{encoded}%{byte:02x}"))
}

/// A name or value in quotes.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[a-z_]{1,6}"]
}

fn field() -> impl Strategy<Value = Field> {
    let operand = || {
        prop_oneof![
            any::<String>().prop_map(JsonOperand::Key),
            "-?[0-9]{1,4}".prop_map(JsonOperand::Index),
        ]
    };
    let step = prop_oneof![
        operand().prop_map(JsonStep::Arrow),
        operand().prop_map(JsonStep::DoubleArrow),
    ];
    (name(), vec(step, 0..3)).prop_map(|(name, path)| Field { name, path })
}

fn write_field(field: &Field) -> String {
    let mut text = quoted(&field.name);
    for step in &field.path {
        text.push_str(match step {
            JsonStep::Arrow(_) => "->",
            JsonStep::DoubleArrow(_) => "->>",
        });
        match step.operand() {
            JsonOperand::Key(key) => text.push_str(&quoted(key)),
            JsonOperand::Index(index) => text.push_str(index),
        }
    }
    text
}

pub(super) fn tree() -> impl Strategy<Value = LogicTree> {
    // An index before `)` is read as a key, so fields have no paths here.
    let operation = prop_oneof![
        (
            select(vec![None, Some(Quantifier::Any), Some(Quantifier::All)]),
            any::<String>()
        )
            .prop_map(|(quantifier, value)| Operation::Quantified(
                QuantifiedOperator::Like,
                quantifier,
                value
            )),
        vec(any::<String>(), 1..4).prop_map(Operation::In),
        any::<String>().prop_map(Operation::IsDistinctFrom),
    ];
    let filter = (name(), any::<bool>(), operation).prop_map(|(name, negated, operation)| {
        LogicTree::Filter(Filter {
            field: Field { name, path: vec![] },
            expr: OpExpr { negated, operation },
        })
    });
    filter.prop_recursive(4, 16, 3, |inner| {
        let operator = select(vec![LogicOperator::And, LogicOperator::Or]);
        (any::<bool>(), operator, vec(inner, 1..4)).prop_map(|(negated, operator, children)| {
            LogicTree::Expr {
                negated,
                operator,
                children,
            }
        })
    })
}

pub(super) fn write_tree(tree: &LogicTree) -> String {
    let not = |negated: bool| if negated { "not." } else { "" };
    match tree {
        LogicTree::Expr {
            negated,
            operator,
            children,
        } => {
            let operator = match operator {
                LogicOperator::And => "and",
                LogicOperator::Or => "or",
            };
            let children: Vec<String> = children.iter().map(write_tree).collect();
            format!("{}{operator}({})", not(*negated), children.join(", "))
        }
        LogicTree::Filter(Filter { field, expr }) => {
            let operation = match &expr.operation {
                Operation::Quantified(_, quantifier, value) => {
                    let quantifier = match quantifier {
                        None => "",
                        Some(Quantifier::Any) => "(any)",
                        Some(Quantifier::All) => "(all)",
                    };
                    format!("like{quantifier}.{}", quoted(value))
                }
                Operation::In(list) => {
                    let list: Vec<String> = list.iter().map(|element| quoted(element)).collect();
                    format!("in.({})", list.join(","))
                }
                Operation::IsDistinctFrom(value) => format!("isdistinct.{}", quoted(value)),
                other => panic!("{other:?}"),
            };
            format!("{}.{}{operation}", write_field(field), not(expr.negated))
        }
    }
}

pub(super) fn select_nodes() -> impl Strategy<Value = Vec<SelectNode>> {
    let cast = || proptest::option::of("[a-z][a-z0-9_]{0,5}( [a-z]{1,4})?");
    let aggregate = proptest::option::of(select(vec![
        Aggregate::Sum,
        Aggregate::Avg,
        Aggregate::Max,
        Aggregate::Min,
        Aggregate::Count,
    ]));
    let alias = || proptest::option::of(name());
    let column = (field(), aggregate, cast(), cast(), alias()).prop_map(
        |(mut field, aggregate, aggregate_cast, cast, alias)| {
            // An index is told from a key by what follows it, and `)` does not tell.
            if aggregate.is_none() && cast.is_none() {
                field
                    .path
                    .push(JsonStep::Arrow(JsonOperand::Key("key".to_owned())));
            }
            SelectNode {
                item: SelectItem::Field {
                    field,
                    // Two casts without an aggregate between them cannot be told apart from a wrong one.
                    aggregate_cast: aggregate_cast.filter(|_| aggregate.is_some()),
                    aggregate,
                    cast,
                    alias,
                },
                children: vec![],
            }
        },
    );
    let node = column.prop_recursive(3, 12, 3, move |inner| {
        let join = proptest::option::of(select(vec![JoinType::Inner, JoinType::Left]));
        let relation = name().prop_filter("an aggregate", |name| name != "count");
        (
            relation,
            proptest::option::of(name()),
            proptest::option::of(name()),
            join,
            any::<bool>(),
            vec(inner, 0..4),
        )
            .prop_map(|(relation, alias, hint, join, spread, children)| SelectNode {
                item: if spread {
                    SelectItem::Spread { relation, hint, join }
                } else {
                    SelectItem::Relation {
                        relation,
                        alias,
                        hint,
                        join,
                    }
                },
                children,
            })
    });
    vec(node, 0..4)
}

pub(super) fn write_select(nodes: &[SelectNode]) -> String {
    let alias = |alias: &Option<String>| {
        alias
            .as_ref()
            .map_or_else(String::new, |alias| format!("{}:", quoted(alias)))
    };
    let cast = |cast: &Option<String>| cast.as_ref().map_or_else(String::new, |cast| format!("::{cast}"));
    let parameters = |hint: &Option<String>, join: &Option<JoinType>| {
        let hint = hint
            .as_ref()
            .map_or_else(String::new, |hint| format!("!{}", quoted(hint)));
        let join = match join {
            None => "",
            Some(JoinType::Inner) => "!inner",
            Some(JoinType::Left) => "!left",
        };
        format!("{hint}{join}")
    };
    let nodes: Vec<String> = nodes
        .iter()
        .map(|node| match &node.item {
            SelectItem::Field {
                field,
                aggregate,
                aggregate_cast,
                cast: own_cast,
                alias: own_alias,
            } => {
                let own_cast = cast(own_cast);
                let aggregate =
                    aggregate.map_or_else(String::new, |aggregate| format!(".{}()", aggregate.name()));
                format!(
                    "{}{}{own_cast}{aggregate}{}",
                    alias(own_alias),
                    write_field(field),
                    cast(aggregate_cast)
                )
            }
            SelectItem::Relation {
                relation,
                alias: own_alias,
                hint,
                join,
            } => format!(
                "{}{}{}({})",
                alias(own_alias),
                quoted(relation),
                parameters(hint, join),
                write_select(&node.children)
            ),
            SelectItem::Spread { relation, hint, join } => {
                format!(
                    "...{}{}({})",
                    quoted(relation),
                    parameters(hint, join),
                    write_select(&node.children)
                )
            }
        })
        .collect();
    nodes.join(",")
}

pub(super) fn order_terms() -> impl Strategy<Value = Vec<OrderTerm>> {
    let direction = proptest::option::of(select(vec![Direction::Asc, Direction::Desc]));
    let nulls = proptest::option::of(select(vec![Nulls::First, Nulls::Last]));
    let relation = proptest::option::of(name());
    let term = (relation, field(), direction, nulls).prop_map(|(relation, mut field, direction, nulls)| {
        match relation {
            None => OrderTerm::Field {
                field,
                direction,
                nulls,
            },
            Some(relation) => {
                field.path.clear();
                OrderTerm::Relation {
                    relation,
                    field,
                    direction,
                    nulls,
                }
            }
        }
    });
    vec(term, 1..5)
}

pub(super) fn write_order(terms: &[OrderTerm]) -> String {
    let terms: Vec<String> = terms
        .iter()
        .map(|term| {
            let (text, direction, nulls) = match term {
                OrderTerm::Field {
                    field,
                    direction,
                    nulls,
                } => (write_field(field), direction, nulls),
                OrderTerm::Relation {
                    relation,
                    field,
                    direction,
                    nulls,
                } => (
                    format!("{}({})", quoted(relation), write_field(field)),
                    direction,
                    nulls,
                ),
            };
            let direction = match direction {
                None => "",
                Some(Direction::Asc) => ".asc",
                Some(Direction::Desc) => ".desc",
            };
            let nulls = match nulls {
                None => "",
                Some(Nulls::First) => ".nullsfirst",
                Some(Nulls::Last) => ".nullslast",
            };
            format!("{text}{direction}{nulls}")
        })
        .collect();
    terms.join(",")
}
