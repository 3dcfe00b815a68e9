//! The query string as a whole: which parameter means what.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::field::{names, tree_path};
use super::filter::{Filter, LogicTree, op_expr, single_value};
use super::logic;
use super::order::{self, OrderTerm};
use super::parser::parse;
use super::query_string::{Pair, canonical, pairs};
use super::range::{LimitOffset, Range};
use super::select::{self, SelectNode};
use crate::rest::error::RequestError;

/// The names of the embeds that lead to a parameter: `clients.projects.name=eq.x` has `["clients", "projects"]`.
pub type EmbedPath = Vec<String>;

/// The query string, taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueryParams {
    /// The parameters sorted by name and encoded anew, for `Content-Location`.
    pub canonical: String,
    /// What may be arguments of a function called by `GET`, in their order.
    pub arguments: Vec<(String, String)>,
    /// `order`, by embed.
    pub order: Vec<(EmbedPath, Vec<OrderTerm>)>,
    /// `limit` and `offset` below the top level, by embed.
    pub ranges: Vec<(EmbedPath, Range)>,
    /// `limit` and `offset` of the top level; [`super::Request::top_range`] has the `Range` header in it as well.
    pub top_range: Option<Range>,
    /// `or` and `and`, by embed.
    pub logic: Vec<(EmbedPath, LogicTree)>,
    /// `columns`.
    pub columns: Option<BTreeSet<String>>,
    /// `select`; `*` where it is absent.
    pub select: Vec<SelectNode>,
    /// Filters on the top level.
    pub root_filters: Vec<Filter>,
    /// Filters below it, by embed.
    pub embed_filters: Vec<(EmbedPath, Filter)>,
    /// The names of all filters' parameters, as sent: `id`, `data->a`, `clients.id`. PUT compares them with the
    /// primary key.
    pub filter_fields: BTreeSet<String>,
    /// `on_conflict`.
    pub on_conflict: Option<Vec<String>>,
}

/// What of a query string depends on the rest of the request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    /// A function is called by GET or HEAD, so that parameters without an operator are its arguments.
    pub(super) arguments: bool,
    /// The action reads rows, so that embeds may be limited.
    pub(super) ranges: bool,
    /// The method.
    pub(super) method: &'a str,
    /// The `Range` header.
    pub(super) range: Option<&'a str>,
}

/// A parameter's meaning, by the last part of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Order,
    Limit,
    Offset,
    Logic,
    Reserved,
    Filter,
}

fn kind(name: &str) -> Kind {
    match name.rsplit('.').next().unwrap_or_default() {
        "order" => Kind::Order,
        "limit" => Kind::Limit,
        "offset" => Kind::Offset,
        "and" | "or" => Kind::Logic,
        _ if matches!(name, "select" | "columns" | "on_conflict") => Kind::Reserved,
        _ => Kind::Filter,
    }
}

impl QueryParams {
    /// Parses a query string. Answers the rows of the top level with it.
    ///
    /// Of several faults the one is told that PostgREST tells: order, logic, columns, select, filters, `on_conflict`,
    /// ranges.
    pub(super) fn parse(query: &str, context: Context<'_>) -> Result<(Self, Range), RequestError> {
        let pairs = pairs(query.as_bytes())?;
        let mut params = Self {
            canonical: canonical(&pairs),
            ..Self::default()
        };
        let with_values: Vec<(Kind, &str, &str)> = pairs
            .iter()
            .filter_map(|(name, value)| Some((kind(name), name.as_ref(), value.as_deref()?)))
            .collect();
        let of = |wanted| {
            with_values
                .iter()
                .filter(move |(kind, ..)| *kind == wanted)
                .map(|(_, name, value)| (*name, *value))
        };

        for (name, value) in of(Kind::Order) {
            let (path, _) = parse("tree path", name, name, tree_path)?;
            params
                .order
                .push((path, parse("order", value, value, order::terms)?));
        }
        for (name, value) in of(Kind::Logic) {
            let (path, operator) = parse("logic path", name, name, logic::path)?;
            let tree = parse("logic tree", value, &format!("{operator}{value}"), logic::tree)?;
            params.logic.push((path, tree));
        }
        params.columns = first(&pairs, "columns")
            .map(|value| parse("columns parameter", value, value, names))
            .transpose()?
            .map(|names| names.into_iter().collect());
        let select = first(&pairs, "select").unwrap_or("*");
        params.select = parse("select parameter", select, select, select::forest)?;
        for (name, value) in of(Kind::Filter) {
            params.add_filter(name, value, context.arguments)?;
        }
        params.on_conflict = first(&pairs, "on_conflict")
            .map(|value| parse("on_conflict parameter", value, value, names))
            .transpose()?;
        let top_range = params.add_ranges(of(Kind::Limit), of(Kind::Offset), context)?;
        Ok((params, top_range))
    }

    fn add_filter(&mut self, name: &str, value: &str, argument: bool) -> Result<(), RequestError> {
        let (path, field) = parse("tree path", name, name, tree_path)?;
        let expr = parse("filter", value, value, |p| {
            let expr = |p: &mut super::parser::Parser<'_>| op_expr(p, single_value);
            if argument {
                p.optional(expr)
            } else {
                expr(p).map(Some)
            }
        })?;
        self.filter_fields.insert(name.to_owned());
        match expr {
            None => self.arguments.push((field.name, value.to_owned())),
            Some(expr) if path.is_empty() => self.root_filters.push(Filter { field, expr }),
            Some(expr) => self.embed_filters.push((path, Filter { field, expr })),
        }
        Ok(())
    }

    /// Joins `limit` and `offset` by embed; of several of one name the last counts.
    fn add_ranges<'q>(
        &mut self,
        limits: impl Iterator<Item = (&'q str, &'q str)>,
        offsets: impl Iterator<Item = (&'q str, &'q str)>,
        context: Context<'_>,
    ) -> Result<Range, RequestError> {
        let mut top = LimitOffset::default();
        let mut embeds: BTreeMap<Cow<'q, str>, LimitOffset<'q>> = BTreeMap::new();
        for (name, value) in limits {
            if name == "limit" {
                top.limit = Some(value);
            } else {
                embeds.entry(Cow::Borrowed(name)).or_default().limit = Some(value);
            }
        }
        for (name, value) in offsets {
            match name.strip_suffix(".offset") {
                None => top.offset = Some(value),
                Some(embed) => {
                    let name = Cow::Owned(format!("{embed}.limit"));
                    embeds.entry(name).or_default().offset = Some(value);
                }
            }
        }
        let top_range = top.top_range(context.method, context.range)?;
        if top != LimitOffset::default() {
            self.top_range = Some(top.embed_range());
        }
        if context.ranges {
            for (name, limit_offset) in embeds {
                let (path, _) = parse("tree path", &name, &name, tree_path)?;
                self.ranges.push((path, limit_offset.embed_range()));
            }
        }
        Ok(top_range)
    }
}

/// The value of the first parameter of that name.
fn first<'p>(pairs: &'p [Pair<'_>], name: &str) -> Option<&'p str> {
    pairs
        .iter()
        .find(|(key, _)| key == name)
        .and_then(|(_, value)| value.as_deref())
}

#[cfg(test)]
mod tests;
