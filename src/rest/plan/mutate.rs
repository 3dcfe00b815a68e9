//! Writing.

use bytes::Bytes;

use super::conditions::Conditions;
use super::read::{LogicPlan, PlannedField, ReadNode};
use super::resolve::Columns;
use super::returning;
use crate::rest::error::{DatabaseError, PlanError, RequestError, RestError};
use crate::rest::request::preferences::{Missing, Representation, Resolution};
use crate::rest::request::{Filter, LogicTree, Mutation, Payload, Request};
use crate::schema_cache::{QualifiedName, SchemaCache, Table};

/// A write. Bodies are JSON here: CSV and forms were converted.
#[derive(Debug, Clone)]
pub enum MutatePlan {
    /// `insert`, with or without `on conflict`.
    Insert {
        /// The relation.
        into: QualifiedName,
        /// Columns that are written.
        columns: Vec<PlannedField>,
        /// The body.
        body: Option<Bytes>,
        /// Whether the body is one object.
        body_is_object: bool,
        /// What happens to rows that exist, and the columns that tell.
        on_conflict: Option<(Resolution, Vec<String>)>,
        /// PUT: the filters that the body must fulfil.
        put_filters: Vec<LogicPlan>,
        /// Columns to return; beside `*` there are computed fields at most.
        returning: Vec<String>,
        /// Primary key columns, for `Location`.
        primary_key: Vec<String>,
        /// Whether a returned row's `xmax` tells if it was inserted or found: an ordinary table's does.
        has_xmax: bool,
        /// `missing=default`.
        apply_defaults: bool,
    },
    /// `update`.
    Update {
        /// The relation.
        relation: QualifiedName,
        /// Columns that are written.
        columns: Vec<PlannedField>,
        /// The body.
        body: Option<Bytes>,
        /// Whether the body is one object.
        body_is_object: bool,
        /// Conditions.
        filters: Vec<LogicPlan>,
        /// Columns to return; beside `*` there are computed fields at most.
        returning: Vec<String>,
        /// `missing=default`.
        apply_defaults: bool,
    },
    /// `delete`.
    Delete {
        /// The relation.
        relation: QualifiedName,
        /// Conditions.
        filters: Vec<LogicPlan>,
        /// Columns to return; beside `*` there are computed fields at most.
        returning: Vec<String>,
    },
}

/// Plans a write to a relation that was found.
pub(super) fn build(
    request: &Request,
    cache: &SchemaCache,
    mutation: Mutation,
    table: &Table,
    read: &ReadNode,
) -> Result<MutatePlan, RestError> {
    let query = &request.query;
    let lookups = request.columns.len() + query.root_filters.len() + read.plan.select.len();
    let columns = Columns::of(cache, &table.name, lookups);
    let write = Write {
        request,
        table,
        columns: &columns,
        returning: returning(request, mutation, table, read, &columns),
    };
    match mutation {
        Mutation::Insert => write.insert(),
        Mutation::SingleUpsert => write.put(),
        Mutation::Update => write.update(),
        Mutation::Delete => Ok(MutatePlan::Delete {
            relation: table.name.clone(),
            filters: write.filters(),
            returning: write.returning,
        }),
    }
}

/// What a write returns: for a representation all that is read of it, for a `Location` the primary key.
fn returning(
    request: &Request,
    mutation: Mutation,
    table: &Table,
    read: &ReadNode,
    columns: &Columns<'_>,
) -> Vec<String> {
    match request.preferences.representation {
        Some(Representation::Full) => returning::needed(read, columns, &table.primary_key)
            .into_iter()
            .collect(),
        Some(Representation::HeadersOnly) if matches!(mutation, Mutation::Insert) => {
            table.primary_key.clone()
        }
        _ => Vec::new(),
    }
}

struct Write<'a> {
    request: &'a Request,
    table: &'a Table,
    columns: &'a Columns<'a>,
    returning: Vec<String>,
}

impl Write<'_> {
    fn insert(self) -> Result<MutatePlan, RestError> {
        let (body, body_is_object) = self.body();
        let conflict_columns = || {
            let named = self.request.query.on_conflict.as_ref();
            named.unwrap_or(&self.table.primary_key).clone()
        };
        Ok(MutatePlan::Insert {
            into: self.table.name.clone(),
            columns: self.written()?,
            body,
            body_is_object,
            on_conflict: self
                .request
                .preferences
                .resolution
                .map(|resolution| (resolution, conflict_columns())),
            put_filters: Vec::new(),
            returning: self.returning,
            primary_key: self.table.primary_key.clone(),
            has_xmax: self.table.is_ordinary,
            apply_defaults: self.request.preferences.missing == Some(Missing::ApplyDefaults),
        })
    }

    /// One row, named by equality with each column of its primary key and nothing else.
    fn put(self) -> Result<MutatePlan, RestError> {
        let query = &self.request.query;
        let key = &self.table.primary_key;
        let names_the_key = !key.is_empty()
            && query.filter_fields.len() == key.len()
            && key.iter().all(|column| query.filter_fields.contains(column));
        if !query.logic.is_empty()
            || !names_the_key
            || !query.root_filters.iter().all(|filter| filter.expr.is_equality())
        {
            return Err(RequestError::PutFilters.into());
        }
        let (body, body_is_object) = self.body();
        Ok(MutatePlan::Insert {
            into: self.table.name.clone(),
            columns: self.written()?,
            body,
            body_is_object,
            on_conflict: Some((Resolution::MergeDuplicates, key.clone())),
            put_filters: self.filters(),
            returning: self.returning,
            primary_key: Vec::new(),
            has_xmax: self.table.is_ordinary,
            apply_defaults: false,
        })
    }

    fn update(self) -> Result<MutatePlan, RestError> {
        let (body, body_is_object) = self.body();
        Ok(MutatePlan::Update {
            relation: self.table.name.clone(),
            columns: self.written()?,
            body,
            body_is_object,
            filters: self.filters(),
            returning: self.returning,
            apply_defaults: self.request.preferences.missing == Some(Missing::ApplyDefaults),
        })
    }

    fn written(&self) -> Result<Vec<PlannedField>, PlanError> {
        self.request
            .columns
            .iter()
            .map(|name| {
                self.columns
                    .written(name)
                    .ok_or_else(|| PlanError::ColumnNotFound {
                        relation: self.table.name.name.clone(),
                        column: name.clone(),
                    })
            })
            .collect()
    }

    fn filters(&self) -> Vec<LogicPlan> {
        let query = &self.request.query;
        let filters: Vec<&Filter> = query.root_filters.iter().collect();
        let logic: Vec<&LogicTree> = query
            .logic
            .iter()
            .filter(|(path, _)| path.is_empty())
            .map(|(_, tree)| tree)
            .collect();
        let conditions = Conditions {
            columns: self.columns,
            embeds: None,
        };
        conditions.all(&filters, &logic)
    }

    fn body(&self) -> (Option<Bytes>, bool) {
        match &self.request.payload {
            None => (None, false),
            Some(Payload::Json { raw, is_object, .. }) => (Some(raw.clone()), *is_object),
            Some(Payload::RawJson(raw) | Payload::Raw(raw)) => {
                let first = raw.iter().find(|byte| !byte.is_ascii_whitespace());
                (Some(raw.clone()), first == Some(&b'{'))
            }
            Some(Payload::Form { pairs }) => (Some(super::call::object(pairs)), true),
        }
    }
}

/// What pg-safeupdate says of a write that would reach every row, which Supabase loads for its API roles.
pub(super) fn refuse_unfiltered(plan: &MutatePlan) -> Result<(), RestError> {
    let statement = match plan {
        MutatePlan::Update { columns, filters, .. } if !columns.is_empty() && filters.is_empty() => "UPDATE",
        MutatePlan::Delete { filters, .. } if filters.is_empty() => "DELETE",
        MutatePlan::Insert { .. } | MutatePlan::Update { .. } | MutatePlan::Delete { .. } => return Ok(()),
    };
    Err(RestError::Database(Box::new(DatabaseError {
        code: "21000".to_owned(),
        message: format!("{statement} requires a WHERE clause"),
        ..DatabaseError::default()
    })))
}
