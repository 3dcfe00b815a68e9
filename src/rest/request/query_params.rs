//! The query string as a whole: which parameter means what.

use std::collections::BTreeSet;

use super::filter::{Filter, LogicTree};
use super::order::OrderTerm;
use super::range::Range;
use super::select::SelectNode;

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
    /// `limit` and `offset` of the top level.
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
    /// Names of the columns that top-level filters name.
    pub filter_fields: BTreeSet<String>,
    /// `on_conflict`.
    pub on_conflict: Option<Vec<String>>,
}
