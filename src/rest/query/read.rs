//! Reads: the tree of relations as nested lateral joins, and its count.

use super::fragment::{alias, column, field, logic, order_by, select_item, separated, with_aggregate};
use super::statement::Statement;
use crate::rest::plan::{EmbedMode, ReadNode, ReadPlan, RelationSelect, SelectField, Spread, SpreadSelect};
use crate::rest::request::{JoinType, Range};
use crate::schema_cache::{Cardinality, QualifiedName, Relationship};

/// Appends the select of a node and everything below it.
pub(super) fn select(out: &mut Statement, node: &ReadNode) {
    select_within(out, node, node.plan.range);
}

/// The same, with other rows of the node itself.
pub(super) fn select_within(out: &mut Statement, node: &ReadNode, range: Range) {
    select_below(out, node, range, false);
}

/// `spread_into_groups`: whether the columns are lifted to a node that groups by them.
fn select_below(out: &mut Statement, node: &ReadNode, range: Range, spread_into_groups: bool) {
    let plan = &node.plan;
    let relation = qualifier(plan);
    let grouped = groups(plan);
    let comparable = grouped || spread_into_groups;
    out.push("select ");
    select_list(out, node, &relation, comparable);
    from(out, plan);
    // The planner lists what is taken of each child in the children's order.
    for (taken, child) in plan.relation_select.iter().zip(&node.children) {
        join(out, taken, child, comparable);
    }
    where_clause(out, node, &relation, |out, negated, embed| {
        let child = child(node, embed);
        null_test(out, negated, embed, child.is_some_and(is_array));
    });
    if grouped {
        group_by(out, plan, &relation);
    }
    order_by(out, &relation, &plan.order);
    limit(out, range);
}

/// Appends a select of one constant for each row that the node has, whatever its limit: what `count(*)` counts.
/// Inner embeds become `exists`, so that they multiply nothing.
pub(super) fn select_countable(out: &mut Statement, node: &ReadNode) {
    let relation = qualifier(&node.plan);
    out.push("select 1");
    from(out, &node.plan);
    where_clause(out, node, &relation, |out, negated, embed| {
        if let Some(child) = child(node, embed) {
            out.push(if negated { "exists (" } else { "not exists (" });
            select_countable(out, child);
            out.push(")");
        } else {
            out.push("true");
        }
    });
    let plan = &node.plan;
    let mut any = !plan.filters.is_empty() || !plan.join_conditions.is_empty();
    for child in &node.children {
        if child.plan.join == Some(JoinType::Inner) {
            out.push(if any { " and exists (" } else { " where exists (" });
            select_countable(out, child);
            out.push(")");
            any = true;
        }
    }
}

/// Appends ` limit … offset …`. Numbers are ours by now, and PostgreSQL plans better when it knows the limit.
pub(super) fn limit(out: &mut Statement, range: Range) {
    if let Some(limit) = range.limit {
        out.push(" limit ").push(&limit.to_string());
    }
    if range.offset != 0 {
        out.push(" offset ").bind_text(range.offset.to_string());
    }
}

/// The name by which the node's columns are reached.
fn qualifier(plan: &ReadPlan) -> QualifiedName {
    match (&plan.from_alias, plan.relationship.as_deref()) {
        (Some(alias), _) => QualifiedName::bare(alias),
        (None, Some(Relationship::Computed { function, .. })) => QualifiedName::bare(&function.name),
        (None, _) => plan.from.clone(),
    }
}

fn select_list(out: &mut Statement, node: &ReadNode, relation: &QualifiedName, comparable: bool) {
    let plan = &node.plan;
    let mut first = true;
    let mut comma = |out: &mut Statement| {
        if !std::mem::take(&mut first) {
            out.push(", ");
        }
    };
    // A relation of which nothing is selected still has to have rows.
    if plan.select.is_empty() && node.children.is_empty() {
        comma(out);
        column(out, relation, "*");
    }
    for item in &plan.select {
        comma(out);
        select_item(out, relation, item);
    }
    for (embed, item) in extra_select(plan) {
        comma(out);
        let of = embed.as_ref().map(QualifiedName::bare);
        select_item(out, of.as_ref().unwrap_or(relation), item);
    }
    for taken in &plan.relation_select {
        match taken {
            RelationSelect::Embed { empty: true, .. } => {}
            RelationSelect::Embed {
                name,
                aggregate_alias,
                mode,
                ..
            } => {
                comma(out);
                embedded(out, aggregate_alias, *mode, comparable);
                alias(out, Some(name));
            }
            RelationSelect::Spread {
                select,
                aggregate_alias,
            } => {
                for item in select {
                    comma(out);
                    spread_item(out, aggregate_alias, item);
                }
            }
        }
    }
}

/// Appends an embed's value. `json` keeps what was written; only grouping needs the equality that `jsonb` has.
fn embedded(out: &mut Statement, aggregate_alias: &str, mode: EmbedMode, comparable: bool) {
    match mode {
        EmbedMode::Object => {
            out.push("row_to_json(").ident(aggregate_alias).push(".*)");
        }
        EmbedMode::Array => {
            out.push("coalesce(")
                .ident(aggregate_alias)
                .push(".")
                .ident(aggregate_alias)
                .push(", '[]')");
        }
    }
    if comparable {
        out.push("::jsonb");
    }
}

fn extra_select(plan: &ReadPlan) -> &[(Option<String>, SelectField)] {
    match &plan.spread {
        Some(Spread::ToMany { extra_select, .. }) => extra_select,
        _ => &[],
    }
}

fn spread_item(out: &mut Statement, aggregate_alias: &str, item: &SpreadSelect) {
    with_aggregate(out, item.aggregate, item.aggregate_cast.as_deref(), |out| {
        column(out, &QualifiedName::bare(aggregate_alias), &item.name);
    });
    alias(out, item.alias.as_deref());
}

fn from(out: &mut Statement, plan: &ReadPlan) {
    out.push(" from ");
    match plan.relationship.as_deref() {
        // The cast picks the overload: a function of the same name may take another relation's rows.
        Some(Relationship::Computed { function, origin, .. }) => {
            let argument = plan.computed_argument.as_ref().unwrap_or(origin);
            out.name(function)
                .push("(")
                .ident(&argument.name)
                .push("::")
                .name(origin)
                .push(")");
        }
        _ => {
            out.name(&plan.from);
        }
    }
    alias(out, plan.from_alias.as_deref());
    if let Some(Relationship::ForeignKey {
        cardinality: Cardinality::ManyToMany(junction),
        ..
    }) = plan.relationship.as_deref()
    {
        out.push(", ").name(&junction.table);
    }
}

/// Appends the join of a child, a subquery for each row of its parent.
fn join(out: &mut Statement, taken: &RelationSelect, child: &ReadNode, comparable: bool) {
    let inner = child.plan.join == Some(JoinType::Inner);
    out.push(if inner {
        " inner join lateral ("
    } else {
        " left join lateral ("
    });
    let name = aggregate_alias(taken);
    if is_array(child) {
        out.push("select json_agg(").ident(name).push(")");
        // A spread may stand in a grouped select list.
        out.push(if child.plan.spread.is_some() {
            "::jsonb"
        } else {
            ""
        });
        out.push(" as ").ident(name);
        if let (RelationSelect::Spread { select, .. }, Some(Spread::ToMany { order, .. })) =
            (taken, &child.plan.spread)
        {
            let rows = QualifiedName::bare(name);
            for item in select {
                out.push(", coalesce(json_agg(");
                column(out, &rows, &item.name);
                order_by(out, &rows, order);
                out.push("), '[]')::jsonb as ")
                    .ident(item.alias.as_deref().unwrap_or(&item.name));
            }
        }
        out.push(" from (");
        select(out, child);
        out.push(") as ").ident(name);
    } else {
        let lifted = comparable && child.plan.spread.is_some();
        select_below(out, child, child.plan.range, lifted);
    }
    out.push(") as ").ident(name).push(" on ");
    if inner && is_array(child) {
        // An aggregate always has a row; without rows below it, its value is null.
        out.ident(name).push(".").ident(name).push(" is not null");
    } else {
        out.push("true");
    }
}

/// Whether a child is joined as one aggregated row rather than as the row itself.
fn is_array(child: &ReadNode) -> bool {
    match &child.plan.spread {
        Some(Spread::ToMany { .. }) => true,
        Some(Spread::ToOne) => false,
        None => !child
            .plan
            .relationship
            .as_deref()
            .is_some_and(Relationship::is_to_one),
    }
}

/// Appends the test whether an embed found rows. A row whose columns are all null is one that was found, which
/// `is null` would deny.
fn null_test(out: &mut Statement, negated: bool, aggregate_alias: &str, is_array: bool) {
    out.ident(aggregate_alias);
    if is_array {
        out.push(".").ident(aggregate_alias);
    }
    out.push(if negated {
        " is distinct from null"
    } else {
        " is not distinct from null"
    });
}

fn where_clause(
    out: &mut Statement,
    node: &ReadNode,
    relation: &QualifiedName,
    null_embed: impl Fn(&mut Statement, bool, &str),
) {
    let plan = &node.plan;
    if plan.filters.is_empty() && plan.join_conditions.is_empty() {
        return;
    }
    out.push(" where ");
    separated(out, " and ", &plan.filters, |out, tree| {
        logic(out, relation, tree, &null_embed);
    });
    if !plan.filters.is_empty() && !plan.join_conditions.is_empty() {
        out.push(" and ");
    }
    separated(out, " and ", &plan.join_conditions, |out, condition| {
        column(out, &condition.left.0, &condition.left.1);
        out.push(" = ");
        column(out, &condition.right.0, &condition.right.1);
    });
}

/// Whether the node's select list has aggregates.
fn groups(plan: &ReadPlan) -> bool {
    plan.select.iter().any(|item| item.aggregate.is_some())
        || plan.relation_select.iter().any(|taken| match taken {
            RelationSelect::Spread { select, .. } => select.iter().any(|item| item.aggregate.is_some()),
            RelationSelect::Embed { .. } => false,
        })
}

/// Appends ` group by` everything that is selected without an aggregate.
fn group_by(out: &mut Statement, plan: &ReadPlan, relation: &QualifiedName) {
    let mut before = " group by ";
    for item in plan.select.iter().filter(|item| item.aggregate.is_none()) {
        out.push(std::mem::replace(&mut before, ", "));
        match &item.alias {
            Some(alias) => {
                out.ident(alias);
            }
            None => field(out, relation, &item.field),
        }
    }
    for taken in &plan.relation_select {
        match taken {
            RelationSelect::Embed { empty: true, .. } => {}
            RelationSelect::Embed { name, .. } => {
                out.push(std::mem::replace(&mut before, ", ")).ident(name);
            }
            RelationSelect::Spread {
                select,
                aggregate_alias,
            } => {
                for item in select.iter().filter(|item| item.aggregate.is_none()) {
                    out.push(std::mem::replace(&mut before, ", "));
                    let name = item.alias.as_deref().unwrap_or(&item.name);
                    column(out, &QualifiedName::bare(aggregate_alias), name);
                }
            }
        }
    }
}

fn child<'a>(node: &'a ReadNode, aggregate_alias: &str) -> Option<&'a ReadNode> {
    node.children
        .iter()
        .find(|child| child.plan.aggregate_alias == aggregate_alias)
}

fn aggregate_alias(taken: &RelationSelect) -> &str {
    match taken {
        RelationSelect::Embed { aggregate_alias, .. } | RelationSelect::Spread { aggregate_alias, .. } => {
            aggregate_alias
        }
    }
}
