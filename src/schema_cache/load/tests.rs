//! Catalogs of real databases, read by a role that has no right to anything in them.

mod many;
mod relationships;
mod routines;
mod tables;

use super::{LoadError, LoadOptions, load};
use crate::pg::connect::Target;
use crate::pg::test_cluster;
use crate::schema_cache::{QualifiedName, SchemaCache};

/// Creates the role that reads, if another test has not.
const READER: &str = "
    do $$
    begin
      create role \"Catalog Reader\" login noinherit password 'catalog';
    exception when duplicate_object or unique_violation then
    end
    $$";

/// A database that holds what these statements make, as the reader reaches it.
async fn database(statements: &str) -> Target {
    let target = test_cluster::shared().database().await;
    let owner = target.connect().await.unwrap();
    for statements in [READER, statements] {
        if let Err(error) = owner.batch_execute(statements).await {
            panic!("{statements}\n{:?}", error.as_db_error());
        }
    }
    target.with_login("Catalog Reader", "catalog")
}

fn options(schemas: &[&str], extra_search_path: &[&str]) -> LoadOptions {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    LoadOptions {
        schemas: owned(schemas),
        extra_search_path: owned(extra_search_path),
        hoisted_settings: owned(&["statement_timeout", "default_transaction_isolation"]),
    }
}

/// The catalog of a new database, with `api` exposed and `hidden` in the extra search path.
async fn loaded(statements: &str) -> SchemaCache {
    let statements = format!("create schema api; create schema hidden; set search_path = api; {statements}");
    let client = database(&statements).await.connect().await.unwrap();
    load(&client, &options(&["api"], &["hidden", "missing"]))
        .await
        .unwrap()
}

fn name(name: &str) -> QualifiedName {
    QualifiedName::new("api", name)
}

#[tokio::test]
async fn an_exposed_schema_that_does_not_exist_is_named() {
    let client = database("create schema \"Some Schema\"")
        .await
        .connect()
        .await
        .unwrap();
    let options = options(&["Some Schema", "some schema", "public", "other"], &[]);
    let refusal = load(&client, &options).await.unwrap_err();
    assert!(
        matches!(&refusal, LoadError::NoSchema(missing) if missing == &["some schema", "other"]),
        "{refusal:?}"
    );
}

#[tokio::test]
async fn the_connection_is_clean_after_a_load_and_after_a_failed_one() {
    let client = database("create schema api").await.connect().await.unwrap();
    load(&client, &options(&["missing"], &[])).await.unwrap_err();
    load(&client, &options(&["api"], &[])).await.unwrap();
    let row = client
        .query_one(
            "select current_setting('search_path'), current_setting('transaction_read_only')",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, &str>(0), "\"$user\", public");
    assert_eq!(row.get::<_, &str>(1), "off");
}

#[tokio::test]
async fn several_schemas_are_told_apart() {
    let client = database(
        "create schema a; create schema b; create schema c;
         create table a.t (id int primary key); create table b.t (x text); create table c.t (y text)",
    )
    .await
    .connect()
    .await
    .unwrap();
    let cache = load(&client, &options(&["a", "b"], &[])).await.unwrap();
    let mut names: Vec<String> = cache.tables.keys().map(ToString::to_string).collect();
    names.sort();
    assert_eq!(names, ["a.t", "b.t"]);
    assert!(cache.server_version >= 120_000);
}
