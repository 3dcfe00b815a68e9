//! The tree that `select` describes, with every other parameter on the node that it names. Knows no catalog yet.

use std::collections::HashMap;

use crate::rest::error::RequestError;
use crate::rest::request::{
    Action, Filter, JoinType, LogicTree, OrderTerm, Range, Request, SelectItem, SelectNode,
};

/// Children from which on they are found by an index.
const INDEX_FROM: usize = 16;

/// One relation of a request, by its name there.
#[derive(Debug, Default)]
pub(super) struct Sketch<'a> {
    /// The relation, or what else names the relationship; empty at the root.
    pub(super) relation: &'a str,
    /// The name in the answer, if the request gives one.
    pub(super) alias: Option<&'a str>,
    /// The hint.
    pub(super) hint: Option<&'a str>,
    /// `!inner` or `!left`.
    pub(super) join: Option<JoinType>,
    /// Whether its columns stand among its parent's.
    pub(super) is_spread: bool,
    /// Its select list; embeds in it are in `children` as well.
    pub(super) select: &'a [SelectNode],
    /// Its embeds, in their order.
    pub(super) children: Vec<Sketch<'a>>,
    /// Conditions.
    pub(super) filters: Vec<&'a Filter>,
    /// Logic trees.
    pub(super) logic: Vec<&'a LogicTree>,
    /// Order.
    pub(super) order: &'a [OrderTerm],
    /// `limit` and `offset`.
    pub(super) range: Range,
    /// Whether a parameter named it by its relation although it has an alias.
    pub(super) named_by_relation: bool,
    names: Option<Names<'a>>,
}

/// The first child of each name.
#[derive(Debug)]
struct Names<'a> {
    shown: HashMap<&'a str, usize>,
    relations: HashMap<&'a str, usize>,
}

impl<'a> Sketch<'a> {
    /// Takes a request apart. Below writes, what is said of the root concerns the write and not what it returns.
    pub(super) fn of(request: &'a Request, legacy_names: bool) -> Result<Self, RequestError> {
        let query = &request.query;
        let is_write = matches!(request.action, Action::Mutate { .. });
        let mut root = Self {
            children: children(&query.select),
            select: &query.select,
            ..Self::default()
        };
        root.index();
        // Of several mistakes the last parameter's is told.
        for (path, filter) in query.embed_filters.iter().rev() {
            root.descend(path, legacy_names)?.filters.push(filter);
        }
        root.reverse_filters();
        if !is_write {
            root.filters.extend(&query.root_filters);
        }
        for (path, order) in query.order.iter().rev() {
            root.descend(path, legacy_names)?.order = order;
        }
        if !is_write {
            for (path, range) in &query.ranges {
                root.descend(path, legacy_names)?.range = *range;
            }
            root.range = request.top_range;
        }
        for (path, tree) in &query.logic {
            if !(is_write && path.is_empty()) {
                root.descend(path, legacy_names)?.logic.push(tree);
            }
        }
        Ok(root)
    }

    /// The name in the answer.
    pub(super) fn shown_name(&self) -> &'a str {
        self.alias.unwrap_or(self.relation)
    }

    /// The position of the child that the answer shows by that name.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        match &self.names {
            Some(names) => names.shown.get(name).copied(),
            None => self.children.iter().position(|child| child.shown_name() == name),
        }
    }

    fn position_by_relation(&self, relation: &str) -> Option<usize> {
        match &self.names {
            Some(names) => names.relations.get(relation).copied(),
            None => self.children.iter().position(|child| child.relation == relation),
        }
    }

    /// The node that a parameter names. Where a relation has an alias, its own name is still understood unless the
    /// settings say otherwise; an embed that is shown by that name comes first.
    fn descend(&mut self, path: &[String], legacy_names: bool) -> Result<&mut Self, RequestError> {
        let Some((name, rest)) = path.split_first() else {
            return Ok(self);
        };
        let position = match self.position(name) {
            Some(position) => position,
            None => match self.position_by_relation(name) {
                Some(position) if legacy_names => {
                    self.children[position].named_by_relation = true;
                    position
                }
                aliased => {
                    return Err(RequestError::NotEmbedded {
                        name: name.clone(),
                        aliased: aliased
                            .map(|position| (name.clone(), self.children[position].shown_name().to_owned())),
                    });
                }
            },
        };
        self.children[position].descend(rest, legacy_names)
    }

    fn reverse_filters(&mut self) {
        self.filters.reverse();
        for child in &mut self.children {
            child.reverse_filters();
        }
    }

    fn index(&mut self) {
        if self.children.len() < INDEX_FROM {
            return;
        }
        let mut names = Names {
            shown: HashMap::with_capacity(self.children.len()),
            relations: HashMap::with_capacity(self.children.len()),
        };
        for (position, child) in self.children.iter().enumerate() {
            names.shown.entry(child.shown_name()).or_insert(position);
            names.relations.entry(child.relation).or_insert(position);
        }
        self.names = Some(names);
    }
}

fn children(select: &[SelectNode]) -> Vec<Sketch<'_>> {
    select
        .iter()
        .filter_map(|node| {
            let mut sketch = match &node.item {
                SelectItem::Field { .. } => return None,
                SelectItem::Relation {
                    relation,
                    alias,
                    hint,
                    join,
                } => Sketch {
                    relation,
                    alias: alias.as_deref(),
                    hint: hint.as_deref(),
                    join: *join,
                    ..Sketch::default()
                },
                SelectItem::Spread { relation, hint, join } => Sketch {
                    relation,
                    hint: hint.as_deref(),
                    join: *join,
                    is_spread: true,
                    ..Sketch::default()
                },
            };
            sketch.select = &node.children;
            sketch.children = children(&node.children);
            sketch.index();
            Some(sketch)
        })
        .collect()
}
