use std::time::{Duration, Instant};

use super::{database, load, options};

const TABLES: usize = 300;

/// A few of what `benches/schema-cache.sh` measures, made by the same statements.
#[tokio::test]
async fn hundreds_of_tables_load_within_two_seconds() {
    let target = database(include_str!("../../../../benches/schema-cache/database.sql")).await;
    let owner = target.with_login("postgres", "").connect().await.unwrap();
    owner
        .batch_execute(&format!("call make_tables(1, {TABLES})"))
        .await
        .unwrap();
    let client = target.connect().await.unwrap();
    let began = Instant::now();
    let cache = load(&client, &options(&["many"], &[])).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(cache.tables.len(), TABLES);
    let columns: usize = cache.tables.values().map(|table| table.columns.len()).sum();
    assert_eq!(columns, 4 * TABLES);
    // One foreign key a table, in both directions.
    let relationships: usize = cache.relationships.values().map(Vec::len).sum();
    assert_eq!(relationships, 2 * TABLES);
}
