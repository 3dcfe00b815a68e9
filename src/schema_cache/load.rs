//! Database -> [`SchemaCache`].
//!
//! The queries in `sql/catalog` read PostgreSQL's own catalog and nothing else, so that any role may run them. They
//! answer flat rows; what follows from several of them (keys through views, relationships) is put together here, in
//! plain functions.

mod keys;
mod node_tree;
mod relationships;
mod routines;
mod tables;
mod views;
mod writers;

#[cfg(test)]
mod tests;

use futures_util::TryStreamExt as _;
use std::collections::HashSet;
use std::pin::pin;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row};

use self::keys::Key;
use self::views::View;
use super::SchemaCache;

pub use self::routines::{ROUTINES, routine};

const CHECK: &str = include_str!("../../sql/catalog/check.sql");
const TABLES: &str = include_str!("../../sql/catalog/tables.sql");
const COLUMNS: &str = include_str!("../../sql/catalog/columns.sql");
const KEYS: &str = include_str!("../../sql/catalog/keys.sql");
const VIEWS: &str = include_str!("../../sql/catalog/views.sql");
const COMPUTED_RELATIONSHIPS: &str = include_str!("../../sql/catalog/computed_relationships.sql");
const REPRESENTATIONS: &str = include_str!("../../sql/catalog/representations.sql");
const MEDIA_HANDLERS: &str = include_str!("../../sql/catalog/media_handlers.sql");

/// What is loaded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LoadOptions {
    /// `db-schemas`: the exposed schemas.
    pub schemas: Vec<String>,
    /// `db-extra-search-path`: schemas whose views are looked through, though they are not exposed. Those that do not
    /// exist are ignored, as in a search path.
    pub extra_search_path: Vec<String>,
    /// `db-hoisted-tx-settings`: settings of a function that apply to its whole transaction.
    pub hoisted_settings: Vec<String>,
}

/// Why a catalog could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// An exposed schema does not exist.
    #[error("there is no schema {}: create it, or take it out of PGRST_DB_SCHEMAS", list(.0))]
    NoSchema(Vec<String>),
    /// A query failed.
    #[error("reading {what} from the catalog")]
    Query {
        /// What was read.
        what: &'static str,
        /// What the server or the connection said.
        source: Error,
    },
    /// A view's definition is not written as known versions of PostgreSQL write it.
    #[error("the definition of the view {0} cannot be understood; this version of PostgreSQL may be too new")]
    View(super::QualifiedName),
    /// The work was cut off: the server is stopping.
    #[error("the server is stopping")]
    Stopped,
}

fn list(names: &[String]) -> String {
    names.join(", ")
}

/// Loads the catalog as one snapshot, in a transaction of its own.
///
/// The connection must stand outside any transaction, and stands outside afterwards. The queries are sent at once and
/// unnamed, so that a transaction pooler does not mind.
pub async fn load(client: &Client, options: &LoadOptions) -> Result<SchemaCache, LoadError> {
    let loaded = read(client, options).await;
    let ended = client.batch_execute("rollback").await;
    let raw = loaded?;
    ended.map_err(query("the end"))?;
    let exposed: HashSet<String> = options.schemas.iter().cloned().collect();
    // A large catalog takes a while to put together; requests go on meanwhile.
    tokio::task::spawn_blocking(move || assemble(&raw, &exposed))
        .await
        .map_err(|_stopped| LoadError::Stopped)
}

/// What the queries answered.
struct Raw {
    server_version: i32,
    geojson: bool,
    tables: Vec<Row>,
    columns: Vec<Row>,
    keys: Vec<Key>,
    views: Vec<View>,
    computed: Vec<Row>,
    routines: Vec<Row>,
    representations: Vec<Row>,
    handlers: Vec<Row>,
}

async fn read(client: &Client, options: &LoadOptions) -> Result<Raw, LoadError> {
    // Without a search path every name is spelled with its schema.
    client
        .batch_execute(
            "begin transaction isolation level repeatable read, read only; set local search_path = ''",
        )
        .await
        .map_err(query("the beginning"))?;
    let schemas = &options.schemas;
    let check = client
        .query_typed_one(
            CHECK,
            &[text_array(schemas), text_array(&options.extra_search_path)],
        )
        .await
        .map_err(query("the schemas"))?;
    let missing: Vec<String> = check.get("missing");
    if !missing.is_empty() {
        return Err(LoadError::NoSchema(missing));
    }
    let rows =
        async |what, sql: &str, params: &[_]| client.query_typed(sql, params).await.map_err(query(what));
    let by_schema = [text_array(schemas)];
    let for_routines = [
        text_array(schemas),
        text_array(&options.hoisted_settings),
        (&false, Type::BOOL),
    ];
    let (tables, columns, keys, views, computed, routines, representations, handlers) = tokio::try_join!(
        rows("tables", TABLES, &by_schema),
        rows("columns", COLUMNS, &by_schema),
        rows("keys", KEYS, &[]),
        read_views(client, options),
        rows("computed relationships", COMPUTED_RELATIONSHIPS, &[]),
        rows("routines", ROUTINES, &for_routines),
        rows("representations", REPRESENTATIONS, &[]),
        rows("media type handlers", MEDIA_HANDLERS, &by_schema),
    )?;
    Ok(Raw {
        server_version: check.get("version"),
        geojson: check.get("geojson"),
        tables,
        columns,
        keys: keys.iter().map(Key::from_row).collect(),
        views,
        computed,
        routines,
        representations,
        handlers,
    })
}

/// Definitions are long, and little is kept of each: they are taken one by one.
async fn read_views(client: &Client, options: &LoadOptions) -> Result<Vec<View>, LoadError> {
    let query = query("views");
    let params = [
        text_array(&options.schemas),
        text_array(&options.extra_search_path),
    ];
    let mut rows = pin!(client.query_typed_raw(VIEWS, params).await.map_err(&query)?);
    let mut views = Vec::new();
    while let Some(row) = rows.try_next().await.map_err(&query)? {
        views.push(View::from_row(&row)?);
    }
    Ok(views)
}

fn assemble(raw: &Raw, exposed: &HashSet<String>) -> SchemaCache {
    let dependencies = views::dependencies(&raw.views, &raw.keys);
    let tables = tables::build(&raw.tables, &raw.columns, &raw.keys, &raw.views, &dependencies);
    let computed = raw.computed.iter().map(relationships::computed).collect();
    let relationships =
        relationships::build(&raw.keys, &raw.views, &dependencies, &tables, computed, exposed);
    SchemaCache {
        tables,
        relationships,
        routines: routines::group(raw.routines.iter().map(routine)),
        representations: writers::representations(&raw.representations),
        media_handlers: writers::media_handlers(&raw.handlers),
        geojson: raw.geojson,
        server_version: raw.server_version,
    }
}

fn text_array(values: &Vec<String>) -> (&(dyn tokio_postgres::types::ToSql + Sync), Type) {
    (values, Type::TEXT_ARRAY)
}

fn query(what: &'static str) -> impl Fn(Error) -> LoadError {
    move |source| LoadError::Query { what, source }
}
