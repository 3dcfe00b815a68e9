//! The root: a schema described as Swagger 2.0 (<https://swagger.io/specification/v2/>), as PostgREST describes it.
//!
//! Tools list tables by it and read keys out of its descriptions (`<pk/>`, `<fk table='…' column='…'/>`), so that every
//! text here is part of the contract. The document is written piece by piece: a large schema's is tens of megabytes.

pub mod access;
mod definitions;
mod parameters;
mod paths;
mod server;
#[cfg(test)]
mod tests;
mod types;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::settings::RestSettings;
use crate::schema_cache::{Routine, SchemaCache, Table};

pub use self::access::Access;
pub use self::server::Server;

/// The PostgREST whose wire behaviour this is.
const VERSION: &str = "17.0";
/// Where that behaviour is documented.
const DOCUMENTATION: &str = "https://postgrest.org/en/v17/references/api.html";
/// What tables take and give.
const MEDIA_TYPES: [&str; 4] = [
    "application/json",
    "application/vnd.pgrst.object+json;nulls=stripped",
    "application/vnd.pgrst.object+json",
    "text/csv",
];
/// The name of the security definition.
const SECURITY: &str = "JWT";

/// Describes a schema as JSON text: of the cache what the access allows.
///
/// `server` is where it is reached unless `openapi-server-proxy-uri` says otherwise.
pub fn document(
    cache: &SchemaCache,
    access: &Access,
    settings: &RestSettings,
    schema: &str,
    server: &Server,
) -> String {
    let mut tables: Vec<&Table> = cache
        .tables
        .values()
        .filter(|table| table.name.schema == schema && access.may_see(&table.name.name))
        .map(AsRef::as_ref)
        .collect();
    tables.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let routines = described(cache, access, schema);
    let proxy = settings.openapi_proxy_uri.as_deref().and_then(Server::from_uri);
    let server = proxy.as_ref().unwrap_or(server);
    let document = Document {
        swagger: "2.0",
        info: info(access.comment.as_deref()),
        host: server.authority(),
        base_path: &server.base_path,
        schemes: [&server.scheme],
        consumes: MEDIA_TYPES,
        produces: MEDIA_TYPES,
        paths: Entries(|| paths::all(&tables, &routines)),
        definitions: Entries(|| tables.iter().map(|table| definitions::entry(cache, table))),
        parameters: Entries(|| parameters::all(&tables)),
        security_definitions: settings.openapi_security.then(|| {
            json!({SECURITY: {
                "type": "apiKey",
                "name": "Authorization",
                "in": "header",
                "description": "Add the token prepending \"Bearer \" (without quotes) to it",
            }})
        }),
        security: settings.openapi_security.then(|| json!([{SECURITY: []}])),
        external_docs: json!({"description": "PostgREST Documentation", "url": DOCUMENTATION}),
    };
    written(&document)
}

fn written(document: &impl Serialize) -> String {
    serde_json::to_string(document).expect("a document whose keys are strings can be written")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a, P: Serialize, D: Serialize, Q: Serialize> {
    swagger: &'static str,
    info: Value,
    host: String,
    base_path: &'a str,
    schemes: [&'a str; 1],
    consumes: [&'static str; 4],
    produces: [&'static str; 4],
    paths: P,
    definitions: D,
    parameters: Q,
    #[serde(skip_serializing_if = "Option::is_none")]
    security_definitions: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    security: Option<Value>,
    external_docs: Value,
}

/// An object whose members are made one after the other, as they are written.
struct Entries<F>(F);

impl<F, I, K, V> Serialize for Entries<F>
where
    F: Fn() -> I,
    I: IntoIterator<Item = (K, V)>,
    K: Serialize,
    V: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map((self.0)())
    }
}

/// The routines by name; of overloads the one with most parameters.
fn described<'a>(cache: &'a SchemaCache, access: &'a Access, schema: &str) -> Vec<&'a Routine> {
    let mut routines: Vec<&Routine> = match &access.routines {
        Some(routines) => routines.iter().collect(),
        None => cache
            .routines
            .values()
            .flatten()
            .filter(|routine| routine.name.schema == schema)
            .map(AsRef::as_ref)
            .collect(),
    };
    routines.sort_by(|a, b| {
        (&a.name.name, b.parameters.len(), &b.parameters).cmp(&(
            &b.name.name,
            a.parameters.len(),
            &a.parameters,
        ))
    });
    routines.dedup_by(|a, b| a.name.name == b.name.name);
    routines
}

/// The schema's comment is the document's: its first line the title, the rest the description.
fn info(comment: Option<&str>) -> Value {
    let (title, description) = match comment {
        Some(comment) => split(comment),
        None => ("PostgREST API", "This is a dynamic API generated by PostgREST"),
    };
    json!({"version": VERSION, "title": title, "description": description})
}

/// Splits a comment into its first line and what follows, without the line breaks between.
fn split(comment: &str) -> (&str, &str) {
    let (first, rest) = comment.split_once('\n').unwrap_or((comment, ""));
    (first, rest.trim_start_matches('\n'))
}
