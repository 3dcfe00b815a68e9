//! Conditions and orders, with the columns and embeds that they name.

use super::read::{LogicPlan, OrderPlan, PlannedFilter, ReadNode};
use super::resolve::Columns;
use super::sketch::Sketch;
use crate::rest::request::{Filter, IsValue, LogicTree, Operation, OrderTerm};

/// A term of an order. An embed that it names is still to be found.
pub(super) fn order_term(term: &OrderTerm, columns: &Columns<'_>) -> OrderPlan {
    match term {
        OrderTerm::Field {
            field,
            direction,
            nulls,
        } => OrderPlan::Field {
            field: columns.ordered(field),
            direction: *direction,
            nulls: *nulls,
        },
        OrderTerm::Relation {
            relation,
            field,
            direction,
            nulls,
        } => OrderPlan::Relation {
            aggregate_alias: relation.clone(),
            field: field.clone(),
            direction: *direction,
            nulls: *nulls,
        },
    }
}

/// Turns the conditions of one relation into a plan.
pub(super) struct Conditions<'a> {
    /// Its columns.
    pub(super) columns: &'a Columns<'a>,
    /// Its embeds, which null tests may mean.
    pub(super) embeds: Option<(&'a Sketch<'a>, &'a [ReadNode])>,
}

impl Conditions<'_> {
    /// All of them, each of which must hold.
    pub(super) fn all(&self, filters: &[&Filter], logic: &[&LogicTree]) -> Vec<LogicPlan> {
        let filters = filters.iter().map(|filter| self.filter(filter));
        filters.chain(logic.iter().map(|tree| self.tree(tree))).collect()
    }

    fn tree(&self, tree: &LogicTree) -> LogicPlan {
        match tree {
            LogicTree::Filter(filter) => self.filter(filter),
            LogicTree::Expr {
                negated,
                operator,
                children,
            } => LogicPlan::Expr {
                negated: *negated,
                operator: *operator,
                children: children.iter().map(|child| self.tree(child)).collect(),
            },
        }
    }

    fn filter(&self, filter: &Filter) -> LogicPlan {
        if let Some(aggregate_alias) = self.null_tested(filter) {
            return LogicPlan::NullEmbed {
                negated: filter.expr.negated,
                aggregate_alias: aggregate_alias.to_owned(),
            };
        }
        LogicPlan::Filter(PlannedFilter {
            field: self.columns.filtered(&filter.field, &filter.expr),
            expr: filter.expr.clone(),
        })
    }

    /// The embed whose absence or presence a filter asks for. Any other operator asks for a column of that name.
    fn null_tested(&self, filter: &Filter) -> Option<&str> {
        let (sketch, children) = self.embeds?;
        if !matches!(filter.expr.operation, Operation::Is(IsValue::Null)) || !filter.field.path.is_empty() {
            return None;
        }
        let child = children.get(sketch.position(&filter.field.name)?)?;
        Some(&child.plan.aggregate_alias)
    }
}
