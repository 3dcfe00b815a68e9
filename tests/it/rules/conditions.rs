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
        "absent" => false,
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

/// Whether one condition holds for a ticket with these columns.
async fn holds_for(sql: &TestSql, ticket: &Value, field: &str, operator: &str, value: &[&str]) -> bool {
    let condition = json!({"field_path": field, "operator": operator, "value": value});
    let rule = sql.rule(json!({}), &[condition], &[]).await;
    sql.ticket(ticket.clone()).await;
    let outcome = sql.outcome(rule).await;
    sql.run("delete from tickets; delete from rules").await;
    outcome == "success"
}

#[tokio::test]
async fn parts_of_a_text_are_found_literally_and_without_case() {
    let sql = TestSql::start().await;
    let ticket = json!({"location": "Büro 3 – 50% \\ A_B", "room": ""});
    let cases: [(&str, &[&str], bool); 21] = [
        ("contains", &["büro"], true),
        ("contains", &["BÜRO"], true),
        ("contains", &["lab", "50%"], true),
        ("contains", &["5%0"], false),
        ("contains", &["a_b"], true),
        ("contains", &["a-b"], false),
        ("contains", &["\\"], true),
        ("contains", &[""], true),
        ("contains", &[], false),
        ("not_contains", &["lab", "hall"], true),
        ("not_contains", &["lab", "büro"], false),
        ("not_contains", &["_3"], true),
        ("not_contains", &[], true),
        ("starts_with", &["lab", "BÜR"], true),
        ("starts_with", &["üro"], false),
        ("starts_with", &["%"], false),
        ("ends_with", &["a_b"], true),
        ("ends_with", &["A_"], false),
        ("ends_with", &["_"], false),
        ("equals", &["BÜRO 3 – 50% \\ a_b"], true),
        ("in", &["x", "büro 3 – 50% \\ A_B"], true),
    ];
    for (operator, value, expected) in cases {
        assert_eq!(
            holds_for(&sql, &ticket, "location", operator, value).await,
            expected,
            "{operator} {value:?}"
        );
    }
    // An empty text is one; only null and absent fields have none.
    for (operator, value, expected) in [
        ("contains", "", true),
        ("equals", "", true),
        ("not_equals", "x", true),
        ("starts_with", "x", false),
    ] {
        assert_eq!(
            holds_for(&sql, &ticket, "room", operator, &[value]).await,
            expected,
            "{operator} {value:?}"
        );
        assert!(
            !holds_for(&sql, &ticket, "floor", operator, &[value]).await,
            "{operator}"
        );
    }
}

#[tokio::test]
async fn numbers_are_what_javascript_takes_for_one() {
    let sql = TestSql::start().await;
    let cases: [(&str, &str, &[&str], bool); 38] = [
        ("5", "greater_than", &["4"], true),
        ("5", "greater_than", &["5"], false),
        ("5", "greater_than_or_equal", &["5"], true),
        ("5", "less_than", &["5.5"], true),
        ("5", "less_than_or_equal", &["5"], true),
        ("5", "less_than", &["5"], false),
        // any of the values
        ("5", "greater_than", &["9", "4"], true),
        ("5", "greater_than", &["x", "4"], true),
        ("5", "greater_than", &[], false),
        // "" is 0, white space around counts for nothing
        ("", "less_than", &["1"], true),
        ("  7\u{a0}\t", "greater_than", &["6"], true),
        ("5", "greater_than", &[""], true),
        ("5", "greater_than", &[" "], true),
        // notations
        ("1e2", "greater_than", &["99"], true),
        (".5", "less_than", &["1"], true),
        ("5.", "less_than_or_equal", &["5"], true),
        ("+5", "greater_than", &["4"], true),
        ("-5", "less_than", &["-4"], true),
        ("0x10", "greater_than", &["15"], true),
        ("0b101", "less_than", &["6"], true),
        ("0o17", "greater_than", &["14"], true),
        ("Infinity", "greater_than", &["1e308"], true),
        ("1e999", "greater_than", &["1e308"], true),
        ("-1e999", "less_than", &["-1e308"], true),
        ("1e-999", "less_than", &["1"], true),
        // no numbers
        ("-0x10", "less_than", &["0"], false),
        ("infinity", "greater_than", &["0"], false),
        ("NaN", "greater_than", &["0"], false),
        ("5 rooms", "greater_than", &["0"], false),
        ("1,000", "greater_than", &["0"], false),
        ("2025-11-13", "greater_than", &["0"], false),
        ("true", "greater_than", &["0"], false),
        // between, inclusive
        ("5", "between", &["5", "6"], true),
        ("5", "between", &["4", "5"], true),
        ("5", "between", &["6", "4"], false),
        ("5", "between", &["4"], false),
        ("5", "between", &["4", "x"], false),
        ("5", "between", &["4", "6", "x"], true),
    ];
    for (field, operator, value, expected) in cases {
        assert_eq!(
            holds_for(&sql, &json!({"room": field}), "room", operator, value).await,
            expected,
            "{field:?} {operator} {value:?}"
        );
    }
    // A boolean is 1 or 0, a number itself, a date none.
    for (field, operator, value, expected) in [
        ("complainant.is_active", "greater_than", "0", true),
        ("complainant.is_active", "less_than", "1", false),
        ("complainant.telegram_chat_id", "greater_than", "123456788", true),
        ("complainant.created_at", "greater_than", "0", false),
        ("no_such_field", "less_than", "1", false),
    ] {
        assert_eq!(
            holds_for(&sql, &json!({}), field, operator, &[value]).await,
            expected,
            "{field} {operator} {value}"
        );
    }
}

#[tokio::test]
async fn paths_lead_into_lists_and_documents_and_values_become_text_as_in_javascript() {
    let sql = TestSql::start().await;
    sql.run("alter table tickets add column extra jsonb").await;
    let ticket =
        json!({"extra": {"tags": ["Wet", {"name": "Deep"}, null], "size": 1.50, "on": false, "none": null}});
    for (field, operator, value, expected) in [
        ("extra.tags[0]", "equals", "wet", true),
        ("extra.tags.0", "equals", "wet", true),
        ("extra.tags[1].name", "equals", "deep", true),
        ("extra.tags[2]", "is_null", "", true),
        ("extra.tags[9]", "is_null", "", true),
        ("extra.tags", "equals", "wet,[object object],", true),
        ("extra.size", "equals", "1.5", true),
        ("extra.size", "between", "1", false),
        ("extra.on", "equals", "false", true),
        ("extra.none", "not_equals", "x", false),
        ("extra", "equals", "[object Object]", true),
        ("extra", "greater_than", "-1", false),
        ("executor_profile.full_name", "is_null", "", true),
    ] {
        assert_eq!(
            holds_for(&sql, &ticket, field, operator, &[value]).await,
            expected,
            "{field} {operator} {value}"
        );
    }
    let mikes = json!({"executor_profile_id": crate::support::sql::MIKE_PROFILE});
    assert!(
        holds_for(
            &sql,
            &mikes,
            "executor_profile.user.email",
            "equals",
            &["MIKE@example.com"]
        )
        .await
    );
}

#[tokio::test]
async fn a_setting_makes_each_ungrouped_condition_a_group_of_its_own_as_the_original_does() {
    let sql = TestSql::start().await;
    let conditions = [
        json!({"field_path": "title", "operator": "is_null"}),
        json!({"field_path": "title", "operator": "is_not_null", "logical_operator": "OR"}),
    ];
    let rule = sql.rule(json!({}), &conditions, &[]).await;
    for (setting, outcome) in [
        ("one group", "success"),
        ("a group each", "absent"),
        ("one group", "success"),
    ] {
        sql.run(&format!(
            "update dropwire.settings set ungrouped_conditions = '{setting}'"
        ))
        .await;
        sql.ticket(json!({})).await;
        assert_eq!(sql.outcome(rule).await, outcome, "{setting}");
        sql.run("delete from tickets").await;
    }
}
