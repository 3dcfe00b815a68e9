//! The catalog as a value: tables, relationships, routines, representations, media type handlers.
//!
//! Loaded by the queries in `sql/catalog`, swapped as a whole on reload; a request works on one snapshot from its
//! beginning to its end. Nothing here knows HTTP.

pub mod load;
pub mod name;
pub mod relationship;
pub mod reload;
pub mod routine;
pub mod table;

use std::collections::HashMap;
use std::sync::Arc;

pub use self::load::{LoadError, LoadOptions};
pub use self::name::QualifiedName;
pub use self::relationship::{Cardinality, Junction, Relationship};
pub use self::reload::{CacheState, Reloader, SharedCache};
pub use self::routine::{Parameter, ReturnKind, Routine, Volatility};
pub use self::table::{Column, Table};

/// What of a database's catalog requests are planned against.
#[derive(Debug, Default)]
pub struct SchemaCache {
    /// Tables, views, materialized views, foreign and partitioned tables of the exposed schemas. Partitions are left
    /// out.
    pub tables: HashMap<QualifiedName, Arc<Table>>,
    /// Relationships by their origin, sorted; both directions of a foreign key have an entry each. Origin, target and
    /// junction are in exposed schemas.
    pub relationships: HashMap<QualifiedName, Vec<Arc<Relationship>>>,
    /// Routines of the exposed schemas; overloads ordered by their number of parameters.
    pub routines: HashMap<QualifiedName, Vec<Arc<Routine>>>,
    /// Domain representations: (source type, target type) to the casting function, ready to be written into SQL
    /// (schema and name quoted). The types are spelled as in [`Column::nominal_type`]; `json` and `text` stand for
    /// the two wire sides.
    pub representations: HashMap<(String, String), String>,
    /// Media type handlers that the database defines, by what they apply to and the media type in lower case.
    pub media_handlers: HashMap<(HandlerTarget, String), MediaHandler>,
    /// Whether rows can be written as `GeoJSON`: the `st_asgeojson(record, …)` of `PostGIS` is on the search path of requests.
    pub geojson: bool,
    /// `server_version_num`, such as 150018.
    pub server_version: i32,
}

/// What a media type handler applies to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HandlerTarget {
    /// Rows of one relation, or the result of one function, by name.
    Relation(QualifiedName),
    /// Any row: an aggregate over `anyelement`.
    Any,
}

/// A function or aggregate that writes a media type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaHandler {
    /// The aggregate to call; for a function that answers in its own media type, the domain it returns, which is
    /// called like one.
    pub function: QualifiedName,
    /// What it takes.
    pub target: HandlerTarget,
    /// The media type it writes: differs from the key for handlers of `*/*`, which answer `application/octet-stream`.
    pub media_type: String,
}

impl SchemaCache {
    /// The table or view of that name.
    pub fn table(&self, name: &QualifiedName) -> Option<&Arc<Table>> {
        self.tables.get(name)
    }

    /// The relationships that start at `origin` and are found in `schema`.
    pub fn relationships_from<'a>(
        &'a self,
        origin: &QualifiedName,
        schema: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Relationship>> + 'a {
        self.relationships
            .get(origin)
            .into_iter()
            .flatten()
            .filter(move |relationship| relationship.schema() == schema)
    }

    /// The overloads of that name.
    pub fn routines(&self, name: &QualifiedName) -> &[Arc<Routine>] {
        self.routines.get(name).map_or(&[], Vec::as_slice)
    }

    /// The function that casts `source` to `target`, if the database defines one.
    pub fn representation(&self, source: &str, target: &str) -> Option<&str> {
        // A lookup by (&str, &str) in a map of owned pairs needs owned keys; the map is empty in most databases.
        if self.representations.is_empty() {
            return None;
        }
        self.representations
            .get(&(source.to_owned(), target.to_owned()))
            .map(String::as_str)
    }
}
