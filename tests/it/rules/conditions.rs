//! When a rule holds: operators, field paths, and how conditions combine.

use serde_json::{Value, json};

use super::set_priority;
use crate::support::TestSql;
use crate::support::app::TENANT;
use crate::support::sql::JOHN;

/// Whether a rule with these conditions holds for a ticket of John Doe, the manager.
async fn holds(sql: &TestSql, conditions: &[Value]) -> bool {
    let rule = sql.rule(json!({}), conditions, &[set_priority("critical")]).await;
    sql.ticket(json!({"room": "", "priority": "high"})).await;
    let outcome = sql.outcome(rule).await;
    sql.run("delete from tickets; delete from rules").await;
    match outcome.as_str() {
        "success" => true,
        "skipped" => false,
        _ => panic!("{conditions:?}: {outcome}"),
    }
}

#[tokio::test]
async fn operators_compare_text_without_case_and_null_only_by_name() {
    let sql = TestSql::start().await;
    let designation = sql
        .insert("designations", json!({"name": "Manager", "tenant_id": TENANT}))
        .await;
    sql.run(&format!(
        "update users set designation_id = '{designation}' where id = '{JOHN}'"
    ))
    .await;
    let cases: [(&str, &str, &[&str], bool); 30] = [
        ("category", "equals", &["Plumbing"], true),
        ("category", "equals", &["pLUMBING"], true),
        ("category", "equals", &["HVAC", "Plumbing"], true),
        ("category", "equals", &["HVAC"], false),
        ("category", "equals", &["Plumb"], false),
        ("category", "equals", &[], false),
        ("category", "in", &["hvac", "plumbing"], true),
        ("category", "in", &["hvac", "it"], false),
        ("category", "not_equals", &["HVAC"], true),
        ("category", "not_equals", &["plumbing"], false),
        ("category", "not_in", &["hvac", "it"], true),
        ("category", "not_in", &["hvac", "PLUMBING"], false),
        ("category", "not_in", &[], true),
        ("building", "is_null", &[], true),
        ("room", "is_null", &[], true), // ""
        ("location", "is_null", &[], false),
        ("building", "is_not_null", &[], false),
        ("room", "is_not_null", &[], false),
        ("location", "is_not_null", &[], true),
        ("building", "equals", &[""], false),
        ("building", "not_equals", &["Annex"], false),
        ("building", "not_in", &["Annex"], false),
        ("no_such_field", "is_null", &[], true),
        ("no.such.path[0]", "not_in", &["x"], false),
        ("complainant.full_name", "equals", &["JOHN DOE"], true),
        ("complainant.is_active", "equals", &["true"], true),
        ("complainant.telegram_chat_id", "in", &["123456789"], true),
        ("complainant.designation.name", "equals", &["manager"], true),
        ("complainant.designation_id", "is_not_null", &[], true),
        ("complainant.department", "is_null", &[], true),
    ];
    for (field, operator, value, expected) in cases {
        let condition = json!({"field_path": field, "operator": operator, "value": value});
        assert_eq!(
            holds(&sql, &[condition]).await,
            expected,
            "{field} {operator} {value:?}"
        );
    }
}

#[tokio::test]
async fn a_ticket_without_complainant_has_no_complainant_s_fields() {
    let sql = TestSql::start().await;
    let condition = json!({"field_path": "complainant.designation.name", "operator": "is_null"});
    let rule = sql.rule(json!({}), &[condition], &[]).await;
    sql.ticket(json!({"complainant_id": null})).await;
    assert_eq!(sql.outcome(rule).await, "success");
}

#[tokio::test]
async fn conditions_combine_left_to_right_inside_a_group_and_groups_by_and() {
    const ONE: &str = "00000000-0000-4000-8000-000000000001";
    const TWO: &str = "00000000-0000-4000-8000-000000000002";
    // (result, its AND/OR, its group) in sequence.
    type Conditions = &'static [(bool, Option<&'static str>, Option<&'static str>)];
    let cases: [(Conditions, bool); 13] = [
        (&[], true),
        (&[(true, None, None), (true, None, None)], true),
        (&[(true, None, None), (false, None, None)], false),
        (&[(true, None, None), (false, Some("AND"), None)], false),
        (&[(false, None, None), (true, Some("OR"), None)], true),
        (&[(false, None, None), (false, Some("OR"), None)], false),
        // No precedence: (true and false) or true, (true or false) and false.
        (
            &[
                (true, None, None),
                (false, Some("AND"), None),
                (true, Some("OR"), None),
            ],
            true,
        ),
        (
            &[
                (true, None, None),
                (false, Some("OR"), None),
                (false, Some("AND"), None),
            ],
            false,
        ),
        // The first one's own operator joins it to nothing.
        (&[(false, Some("OR"), None), (true, Some("AND"), None)], false),
        (
            &[
                (false, None, Some(ONE)),
                (true, Some("OR"), Some(ONE)),
                (true, None, Some(TWO)),
            ],
            true,
        ),
        (
            &[
                (true, None, Some(ONE)),
                (false, Some("OR"), Some(TWO)),
                (false, Some("OR"), Some(TWO)),
            ],
            false,
        ),
        (&[(false, None, None), (true, Some("OR"), Some(ONE))], false),
        (
            &[
                (false, None, Some(ONE)),
                (true, None, None),
                (true, Some("OR"), Some(ONE)),
            ],
            true,
        ),
    ];
    let sql = TestSql::start().await;
    for (conditions, expected) in cases {
        let rows: Vec<_> = conditions
            .iter()
            .map(|(result, joined_by, group)| {
                let operator = if *result { "is_not_null" } else { "is_null" };
                json!({"field_path": "title", "operator": operator, "logical_operator": joined_by, "group_id": group})
            })
            .collect();
        assert_eq!(holds(&sql, &rows).await, expected, "{conditions:?}");
    }
}

#[tokio::test]
async fn conditions_are_taken_by_sequence() {
    let sql = TestSql::start().await;
    let condition = |operator: &str, joined_by: &str, sequence: i32| json!({"field_path": "title", "operator": operator, "logical_operator": joined_by, "sequence": sequence});
    // false and true or true, stored the other way round.
    let stored = [
        condition("is_not_null", "OR", 3),
        condition("is_null", "AND", 1),
        condition("is_not_null", "AND", 2),
    ];
    assert!(holds(&sql, &stored).await);
}
