//! The catalog is the contract's: names, columns, types, defaults, constraints, indexes, triggers.

use std::path::Path;

use serde_json::json;

use crate::support::TestSql;

#[tokio::test]
async fn the_catalog_has_not_drifted() {
    let sql = TestSql::start().await;
    let catalog = sql.value(include_str!("schema/catalog.sql")).await.unwrap() + "\n";
    if catalog != include_str!("schema/catalog.txt") {
        let actual = Path::new(env!("CARGO_TARGET_TMPDIR")).join("catalog.txt");
        std::fs::write(&actual, catalog).unwrap();
        panic!(
            "tables, names or defaults changed; clients rely on them. Look with `git diff --no-index {expected} \
             {actual}`, and if it is meant, accept with `cp {actual} {expected}`",
            expected = "tests/it/schema/catalog.txt",
            actual = actual.display()
        );
    }
}

#[tokio::test]
async fn row_level_security_is_on_for_every_table() {
    let sql = TestSql::start().await;
    let open = "select relname from pg_class
                 where relnamespace in ('public'::regnamespace, 'auth'::regnamespace)
                   and relkind in ('r', 'p') and not relrowsecurity";
    assert_eq!(sql.rows(open).await, json!([]));
}

#[tokio::test]
async fn the_foreign_keys_that_clients_embed_by_exist_and_point_where_they_think() {
    let sql = TestSql::start().await;
    // `users!tickets_complainant_id_fkey(*)` and its kin.
    let by_name = "select c.conname as name, c.confrelid::regclass::text as target from pg_constraint c
                    where c.contype = 'f' and c.conname in (
                      'tickets_complainant_id_fkey', 'tickets_executor_profile_id_fkey',
                      'executor_profiles_user_id_fkey', 'executor_profiles_category_id_fkey',
                      'users_designation_id_fkey', 'ticket_activities_created_by_fkey')
                    order by 1";
    let expected = [
        ("executor_profiles_category_id_fkey", "categories"),
        ("executor_profiles_user_id_fkey", "users"),
        ("ticket_activities_created_by_fkey", "users"),
        ("tickets_complainant_id_fkey", "users"),
        ("tickets_executor_profile_id_fkey", "executor_profiles"),
        ("users_designation_id_fkey", "designations"),
    ]
    .map(|(name, target)| json!({"name": name, "target": target}));
    assert_eq!(sql.rows(by_name).await, json!(expected));

    // `users(*)` without a hint is ambiguous as soon as there are two.
    let between = "select conrelid::regclass::text as source, confrelid::regclass::text as target, count(*) as keys
                     from pg_constraint
                    where contype = 'f' and (conrelid::regclass::text, confrelid::regclass::text) in (
                      ('ticket_activities', 'users'), ('rule_execution_logs', 'rules'), ('conditions', 'rules'),
                      ('actions', 'rules'), ('tickets', 'users'))
                    group by 1, 2 order by 1";
    let expected = [
        ("actions", "rules"),
        ("conditions", "rules"),
        ("rule_execution_logs", "rules"),
        ("ticket_activities", "users"),
        ("tickets", "users"),
    ]
    .map(|(source, target)| json!({"source": source, "target": target, "keys": 1}));
    assert_eq!(sql.rows(between).await, json!(expected));
}
