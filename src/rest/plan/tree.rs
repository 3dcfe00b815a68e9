//! Sketch + schema cache -> the tree of relations that is read.

use super::SOURCE;
use super::aggregate;
use super::conditions::{Conditions, order_term};
use super::embed;
use super::read::{EmbedMode, OrderPlan, ReadNode, ReadPlan, RelationSelect, Spread, SpreadSelect};
use super::resolve::Columns;
use super::select_list::{fields, select_list};
use super::sketch::Sketch;
use crate::rest::error::{PlanError, RequestError, RestError};
use crate::rest::request::{OrderTerm, Request};
use crate::rest::settings::RestSettings;
use crate::schema_cache::{Cardinality, QualifiedName, Relationship, SchemaCache};

/// Where the rows of the root come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The relation itself.
    Relation,
    /// What a write returned.
    Write,
    /// What a function returned.
    Call,
}

/// Builds the tree of a request whose root is `relation`. Mistakes are told in this order: embed paths,
/// relationships, orders by embeds, aggregates.
pub(super) fn build(
    request: &Request,
    cache: &SchemaCache,
    settings: &RestSettings,
    relation: &QualifiedName,
    source: Source,
) -> Result<ReadNode, RestError> {
    let sketch = Sketch::of(request, settings.legacy_target_names)?;
    let builder = Builder {
        cache,
        schema: &relation.schema,
        // What a write returns is not cut.
        max_rows: settings.max_rows.filter(|_| source != Source::Write),
        source,
    };
    let mut root = builder.root(&sketch, relation)?;
    order_by_embeds(&sketch, &mut root)?;
    aggregate::check_allowed(&root, settings.aggregates)?;
    select_from_children(&mut root);
    aggregate::hoist(&mut root);
    aggregate::order_spreads(&mut root)?;
    Ok(root)
}

struct Builder<'a> {
    cache: &'a SchemaCache,
    schema: &'a str,
    max_rows: Option<i64>,
    source: Source,
}

/// What an embed has to know of its parent.
struct Parent<'a> {
    /// The relation.
    relation: &'a QualifiedName,
    /// Its name in the statement.
    name: &'a QualifiedName,
    /// Whether it or a relation above it has aggregates, beside which `*` cannot stand.
    aggregated: bool,
    depth: usize,
}

impl Builder<'_> {
    fn root(&self, sketch: &Sketch<'_>, relation: &QualifiedName) -> Result<ReadNode, PlanError> {
        let (from, from_alias) = match self.source {
            Source::Relation => (relation.clone(), None),
            // Under the relation's name, so that its columns are reached as those of the relation itself.
            Source::Write | Source::Call => (QualifiedName::bare(SOURCE), Some(relation.name.clone())),
        };
        let plan = ReadPlan {
            from,
            from_alias,
            name: relation.name.clone(),
            range: sketch.range.restricted(self.max_rows),
            ..ReadPlan::default()
        };
        self.fill(plan, sketch, relation, false)
    }

    fn embed(
        &self,
        sketch: &Sketch<'_>,
        parent: &Parent<'_>,
        position: usize,
    ) -> Result<ReadNode, PlanError> {
        let relationship = embed::find(
            self.cache,
            self.schema,
            parent.relation,
            sketch.relation,
            sketch.hint,
        )?;
        let target = relationship.target().clone();
        let depth = parent.depth + 1;
        // A relation that is joined through a junction keeps its name: nothing that joins it has the same.
        let by_junction = matches!(
            &*relationship,
            Relationship::ForeignKey {
                cardinality: Cardinality::ManyToMany(_),
                ..
            }
        );
        let from_alias = (!by_junction).then(|| embed::table_alias(&target.name, depth));
        let own = from_alias
            .as_ref()
            .map_or_else(|| target.clone(), QualifiedName::bare);
        let spread = sketch.is_spread.then(|| {
            if relationship.is_to_one() {
                Spread::ToOne
            } else {
                Spread::ToMany {
                    extra_select: Vec::new(),
                    order: Vec::new(),
                }
            }
        });
        let plan = ReadPlan {
            from: target.clone(),
            from_alias,
            range: if has_one_row(&relationship) {
                sketch.range
            } else {
                sketch.range.restricted(self.max_rows)
            },
            name: sketch.relation.to_owned(),
            computed_argument: matches!(&*relationship, Relationship::Computed { .. })
                .then(|| parent.name.clone()),
            join_conditions: embed::join_conditions(&relationship, parent.name, &own),
            alias: sketch.alias.map(str::to_owned),
            aggregate_alias: embed::subquery_alias(
                &parent.relation.name,
                sketch.shown_name(),
                depth,
                position,
            ),
            hint: sketch.hint.map(str::to_owned),
            join: sketch.join,
            spread,
            relationship: Some(relationship),
            depth,
            named_by_relation: sketch.named_by_relation,
            ..ReadPlan::default()
        };
        self.fill(plan, sketch, &target, parent.aggregated)
    }

    /// Adds what a node selects, embeds, filters and orders by.
    fn fill(
        &self,
        mut plan: ReadPlan,
        sketch: &Sketch<'_>,
        relation: &QualifiedName,
        aggregated: bool,
    ) -> Result<ReadNode, PlanError> {
        let lookups = sketch.select.len() + sketch.filters.len() + sketch.order.len();
        let columns = Columns::of(self.cache, relation, lookups);
        let is_to_many_spread = matches!(plan.spread, Some(Spread::ToMany { .. }));
        let aggregated =
            aggregated || is_to_many_spread || fields(sketch).any(|item| item.aggregate.is_some());
        let expand = fields(sketch).any(|item| item.is_star())
            && (aggregated || columns.any_represented() || self.needs_computed(&plan, sketch, &columns));
        plan.select = select_list(sketch, &columns, plan.spread.is_some(), expand);

        let own = match &plan.from_alias {
            Some(alias) => QualifiedName::bare(alias),
            None => plan.from.clone(),
        };
        let parent = Parent {
            relation,
            name: &own,
            aggregated,
            depth: plan.depth,
        };
        let children = sketch
            .children
            .iter()
            .enumerate()
            .map(|(position, child)| self.embed(child, &parent, position))
            .collect::<Result<Vec<_>, _>>()?;

        let conditions = Conditions {
            columns: &columns,
            embeds: Some((sketch, &children)),
        };
        plan.filters = conditions.all(&sketch.filters, &sketch.logic);
        plan.order = sketch
            .order
            .iter()
            .map(|term| order_term(term, &columns))
            .collect();
        Ok(ReadNode { plan, children })
    }

    /// Whether the root needs a computed field of rows that are returned rather than read. Beyond the returning
    /// clause there is no row of the relation's own type that it could be computed from.
    fn needs_computed(&self, plan: &ReadPlan, sketch: &Sketch<'_>, columns: &Columns<'_>) -> bool {
        let is_field = |name: &str| name != "*" && columns.get(name).is_none();
        self.source != Source::Relation
            && plan.depth == 0
            && columns.is_known()
            && (fields(sketch).any(|item| is_field(&item.field.name))
                || sketch.filters.iter().any(|filter| {
                    is_field(&filter.field.name) && sketch.position(&filter.field.name).is_none()
                })
                || sketch.order.iter().any(|term| match term {
                    OrderTerm::Field { field, .. } => is_field(&field.name),
                    OrderTerm::Relation { .. } => false,
                }))
    }
}

/// Whether a foreign key makes sure of one row at most. Such an embed is left without a limit that could cut nothing,
/// because PostgreSQL joins it better without.
fn has_one_row(relationship: &Relationship) -> bool {
    matches!(
        relationship,
        Relationship::ForeignKey {
            target_is_view: false,
            ..
        }
    ) && relationship.is_to_one()
}

/// Lets orders by embeds refer to their subqueries.
fn order_by_embeds(sketch: &Sketch<'_>, node: &mut ReadNode) -> Result<(), RequestError> {
    for (term, planned) in sketch.order.iter().zip(&mut node.plan.order) {
        let (OrderTerm::Relation { relation, .. }, OrderPlan::Relation { aggregate_alias, .. }) =
            (term, planned)
        else {
            continue;
        };
        let Some(position) = sketch.position(relation) else {
            return Err(RequestError::NotEmbedded {
                name: relation.clone(),
                aliased: None,
            });
        };
        let embed = &node.children[position].plan;
        let to_one = embed
            .relationship
            .as_ref()
            .is_some_and(|relationship| relationship.is_to_one());
        if !to_one {
            let origin = embed
                .relationship
                .as_ref()
                .map(|relationship| &relationship.origin().name);
            return Err(RequestError::RelatedOrderNotToOne {
                origin: origin.unwrap_or(&node.plan.name).clone(),
                target: relation.clone(),
            });
        }
        aggregate_alias.clone_from(&embed.aggregate_alias);
    }
    for (sketch, child) in sketch.children.iter().zip(&mut node.children) {
        order_by_embeds(sketch, child)?;
    }
    Ok(())
}

/// Adds to each select list what it takes from its node's embeds.
fn select_from_children(node: &mut ReadNode) {
    for child in &mut node.children {
        select_from_children(child);
    }
    node.plan.relation_select = node.children.iter().map(taken_from).collect();
}

fn taken_from(child: &ReadNode) -> RelationSelect {
    let plan = &child.plan;
    let aggregate_alias = plan.aggregate_alias.clone();
    if plan.spread.is_some() {
        return RelationSelect::Spread {
            select: lifted(plan),
            aggregate_alias,
        };
    }
    let to_one = plan
        .relationship
        .as_ref()
        .is_some_and(|relationship| relationship.is_to_one());
    RelationSelect::Embed {
        name: plan.alias.as_ref().unwrap_or(&plan.name).clone(),
        aggregate_alias,
        mode: if to_one {
            EmbedMode::Object
        } else {
            EmbedMode::Array
        },
        empty: selects_nothing(child),
    }
}

/// The columns that a spread has for its parent.
fn lifted(plan: &ReadPlan) -> Vec<SpreadSelect> {
    let named = |name: &String| SpreadSelect {
        name: name.clone(),
        aggregate: None,
        aggregate_cast: None,
        alias: None,
    };
    let mut select: Vec<SpreadSelect> = plan
        .select
        .iter()
        .map(|item| named(item.alias.as_ref().unwrap_or(&item.field.name)))
        .collect();
    for taken in &plan.relation_select {
        match taken {
            RelationSelect::Embed { empty: true, .. } => {}
            RelationSelect::Embed { name, .. } => select.push(named(name)),
            RelationSelect::Spread { select: lifted, .. } => select.extend(lifted.iter().cloned()),
        }
    }
    select
}

fn selects_nothing(node: &ReadNode) -> bool {
    node.plan.select.is_empty() && node.children.iter().all(selects_nothing)
}
