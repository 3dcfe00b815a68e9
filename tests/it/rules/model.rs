//! Random rules and tickets: the engine beside a small model, written from the contract's text and not from the SQL.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::support::TestSql;
use crate::support::app::TENANT;

const PRIORITIES: [&str; 4] = ["low", "medium", "high", "critical"];
const STATUSES: [&str; 4] = ["open", "in-progress", "resolved", "closed"];
const TYPES: [&str; 3] = ["priority", "sla", "allocation"];
const FIELDS: [&str; 6] = [
    "priority",
    "status",
    "category",
    "room",
    "building",
    "nowhere.at[0].all",
];
const OPERATORS: [&str; 15] = [
    "equals",
    "not_equals",
    "in",
    "not_in",
    "contains",
    "not_contains",
    "starts_with",
    "ends_with",
    "greater_than",
    "less_than",
    "greater_than_or_equal",
    "less_than_or_equal",
    "between",
    "is_null",
    "is_not_null",
];
const TEXTS: [&str; 22] = [
    "",
    " ",
    "5",
    "05",
    " 5 ",
    "5.5",
    "-1",
    "1e1",
    "0x10",
    "0X5",
    "Infinity",
    "-Infinity",
    "true",
    "low",
    "HIGH",
    "open",
    "In-Progress",
    "Ärger",
    "ärger",
    "50%",
    "a_b",
    "\\",
];

#[derive(Debug, Clone)]
struct Condition {
    field: &'static str,
    operator: &'static str,
    values: Vec<&'static str>,
    group: Option<u8>,
    joined_by: Option<&'static str>,
}

#[derive(Debug, Clone)]
enum Action {
    Priority(&'static str),
    Status(&'static str),
    DueIn(i64),
}

#[derive(Debug, Clone)]
struct Rule {
    kind: usize,
    order: i32,
    active: bool,
    stops: bool,
    conditions: Vec<Condition>,
    actions: Vec<Action>,
}

#[derive(Debug, Clone, PartialEq)]
struct Ticket {
    priority: &'static str,
    status: &'static str,
    category: &'static str,
    room: Option<&'static str>,
    building: Option<&'static str>,
    due_in: Option<i64>,
}

// The model ---------------------------------------------------------------------------------------------------------

/// JavaScript's `Number(text)`.
fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    match text {
        "" => return Some(0.0),
        "Infinity" | "+Infinity" => return Some(f64::INFINITY),
        "-Infinity" => return Some(f64::NEG_INFINITY),
        _ => {}
    }
    if let Some(hex) = text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        return u32::from_str_radix(hex, 16).ok().map(f64::from);
    }
    let digits = text.bytes().all(|b| b"0123456789.eE+-".contains(&b));
    text.parse().ok().filter(|_| digits)
}

impl Condition {
    fn holds(&self, ticket: &Ticket) -> bool {
        let field = match self.field {
            "priority" => Some(ticket.priority),
            "status" => Some(ticket.status),
            "category" => Some(ticket.category),
            "room" => ticket.room,
            "building" => ticket.building,
            _ => None,
        };
        match self.operator {
            "is_null" => return field.is_none_or(str::is_empty),
            "is_not_null" => return field.is_some_and(|field| !field.is_empty()),
            _ => {}
        }
        let Some(field) = field else { return false };
        let text = field.to_lowercase();
        let values: Vec<String> = self.values.iter().map(|value| value.to_lowercase()).collect();
        let any = |test: &dyn Fn(&str) -> bool| values.iter().any(|value| test(value));
        let compares = |test: &dyn Fn(f64, f64) -> bool| {
            let wanted = self.values.iter().filter_map(|value| number(value));
            number(field).is_some_and(|field| wanted.into_iter().any(|value| test(field, value)))
        };
        match self.operator {
            "equals" | "in" => any(&|value| text == value),
            "not_equals" | "not_in" => !any(&|value| text == value),
            "contains" => any(&|value| text.contains(value)),
            "not_contains" => !any(&|value| text.contains(value)),
            "starts_with" => any(&|value| text.starts_with(value)),
            "ends_with" => any(&|value| text.ends_with(value)),
            "greater_than" => compares(&|field, value| field > value),
            "less_than" => compares(&|field, value| field < value),
            "greater_than_or_equal" => compares(&|field, value| field >= value),
            "less_than_or_equal" => compares(&|field, value| field <= value),
            "between" => match (number(field), &self.values[..]) {
                (Some(field), [from, to, ..]) => {
                    matches!((number(from), number(to)), (Some(from), Some(to)) if from <= field && field <= to)
                }
                _ => false,
            },
            operator => unreachable!("{operator}"),
        }
    }
}

impl Rule {
    fn matches(&self, ticket: &Ticket) -> bool {
        let mut groups: Vec<Option<u8>> = self.conditions.iter().map(|condition| condition.group).collect();
        groups.sort_unstable();
        groups.dedup();
        groups.into_iter().all(|group| {
            let mut members = self
                .conditions
                .iter()
                .filter(|condition| condition.group == group);
            let first = members.next().is_some_and(|first| first.holds(ticket));
            members.fold(first, |so_far, next| match next.joined_by {
                Some("OR") => so_far || next.holds(ticket),
                _ => so_far && next.holds(ticket),
            })
        })
    }
}

/// The ticket after the rules, the indices of those that ran, and the kinds of activity.
fn run(rules: &[Rule], mut ticket: Ticket) -> (Ticket, Vec<usize>, Vec<&'static str>) {
    let mut order: Vec<usize> = (0..rules.len()).filter(|rule| rules[*rule].active).collect();
    order.sort_by_key(|rule| (rules[*rule].kind, rules[*rule].order, *rule));
    let (mut ran, mut told, mut stopped) = (Vec::new(), Vec::new(), [false; 3]);
    for index in order {
        let rule = &rules[index];
        if stopped[rule.kind] || !rule.matches(&ticket) {
            continue;
        }
        ran.push(index);
        stopped[rule.kind] = rule.stops;
        for action in &rule.actions {
            let before = ticket.clone();
            match *action {
                Action::Priority(priority) => ticket.priority = priority,
                Action::Status(status) => ticket.status = status,
                Action::DueIn(0) => {}
                Action::DueIn(hours) => ticket.due_in = Some(hours),
            }
            if ticket.status != before.status {
                told.push("status_change");
            }
            if ticket.priority != before.priority {
                told.push("priority_change");
            }
            if ticket.due_in != before.due_in {
                told.push("sla_change");
            }
        }
    }
    ran.sort_unstable();
    (ticket, ran, told)
}

// Random cases --------------------------------------------------------------------------------------------------------

/// Whether only what is compiled into one expression occurs: texts of columns, priorities and due dates.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Plain,
    Any,
}

fn condition(kind: Kind) -> impl Strategy<Value = Condition> {
    let (fields, operators) = match kind {
        Kind::Any => (&FIELDS[..], OPERATORS.to_vec()),
        Kind::Plain => {
            let comparisons = ["than", "between"];
            let texts = |operator: &&str| !comparisons.iter().any(|part| operator.contains(part));
            (&FIELDS[..5], OPERATORS.into_iter().filter(texts).collect())
        }
    };
    (
        select(fields),
        select(operators),
        prop::collection::vec(select(&TEXTS[..]), 0..4),
        prop::option::of(0..2_u8),
        select(&[None, Some("AND"), Some("OR")][..]),
    )
        .prop_map(move |(field, operator, values, group, joined_by)| Condition {
            field,
            // A guard on what rules change takes the other way.
            operator: match (kind, field, operator) {
                (Kind::Plain, "priority", "equals" | "in") => "contains",
                _ => operator,
            },
            values,
            group,
            joined_by,
        })
}

fn rule(kind: Kind) -> impl Strategy<Value = Rule> {
    let priority = select(&PRIORITIES[..]).prop_map(Action::Priority);
    let actions = match kind {
        Kind::Any => {
            let status = select(&STATUSES[..]).prop_map(Action::Status);
            let action = prop_oneof![priority, status, (0..3_i64).prop_map(Action::DueIn)];
            prop::collection::vec(action, 0..3).boxed()
        }
        Kind::Plain => {
            let due = (1..3_i64).prop_map(Action::DueIn);
            (prop::option::of(priority), prop::option::of(due))
                .prop_map(|(priority, due)| priority.into_iter().chain(due).collect())
                .boxed()
        }
    };
    (
        0..3_usize,
        0..3_i32,
        prop::bool::weighted(0.9),
        prop::bool::weighted(0.3),
        prop::collection::vec(condition(kind), 0..5),
        actions,
    )
        .prop_map(|(kind, order, active, stops, conditions, actions)| Rule {
            kind,
            order,
            active,
            stops,
            conditions,
            actions,
        })
}

fn ticket(kind: Kind) -> impl Strategy<Value = Ticket> {
    let statuses = if kind == Kind::Plain {
        &STATUSES[..1]
    } else {
        &STATUSES[..]
    };
    (
        select(&PRIORITIES[..]),
        select(statuses),
        select(&TEXTS[..]),
        prop::option::of(select(&TEXTS[..])),
        prop::option::of(select(&TEXTS[..])),
    )
        .prop_map(|(priority, status, category, room, building)| Ticket {
            priority,
            status,
            category,
            room,
            building,
            due_in: None,
        })
}

// The engine ----------------------------------------------------------------------------------------------------------

fn id(kind: &str, number: usize) -> String {
    format!("{kind}0000000-0000-4000-8000-{number:012}")
}

impl TestSql {
    async fn insert_all(&self, table: &str, columns: &str, rows: Vec<Value>) {
        let insert = format!(
            "insert into {table} ({columns}) select {columns} from jsonb_populate_recordset(null::{table}, $1)"
        );
        self.owner.execute(&insert, &[&Value::from(rows)]).await.unwrap();
    }

    async fn store(&self, rules: &[Rule]) {
        let (mut rows, mut conditions, mut actions) = (Vec::new(), Vec::new(), Vec::new());
        for (number, rule) in rules.iter().enumerate() {
            rows.push(json!({
                "id": id("a", number), "tenant_id": TENANT, "rule_name": number.to_string(), "rule_type": TYPES[rule.kind],
                "priority_order": rule.order, "is_active": rule.active, "stop_on_match": rule.stops
            }));
            for (place, condition) in rule.conditions.iter().enumerate() {
                conditions.push(json!({
                    "id": id("c", number * 10 + place), "rule_id": id("a", number), "field_path": condition.field,
                    "operator": condition.operator, "value": condition.values, "sequence": place,
                    "group_id": condition.group.map(|group| id("b", group.into())), "logical_operator": condition.joined_by
                }));
            }
            for (step, action) in rule.actions.iter().enumerate() {
                let (kind, params) = match action {
                    Action::Priority(priority) => ("set_priority", json!({"priority": priority})),
                    Action::Status(status) => ("set_status", json!({"status": status})),
                    Action::DueIn(hours) => ("set_due_date", json!({"value": hours})),
                };
                actions.push(json!({"rule_id": id("a", number), "action_type": kind, "action_params": params, "step_order": step}));
            }
        }
        let columns = "id, tenant_id, rule_name, rule_type, priority_order, is_active, stop_on_match";
        self.insert_all("rules", columns, rows).await;
        let columns = "id, rule_id, field_path, operator, value, sequence, group_id, logical_operator";
        self.insert_all("conditions", columns, conditions).await;
        self.insert_all(
            "actions",
            "rule_id, action_type, action_params, step_order",
            actions,
        )
        .await;
    }

    /// What the engine makes of a ticket, in the model's terms.
    async fn outcome_for(&self, ticket: &Ticket) -> Value {
        let row = json!({
            "priority": ticket.priority, "status": ticket.status, "category": ticket.category, "room": ticket.room,
            "building": ticket.building
        });
        let id = self.ticket(row).await;
        self.rows(&format!(
            "select t.priority, t.status,
                    extract(epoch from t.due_date - t.created_at)::int / 3600 as due_in,
                    (select coalesce(json_agg(l.rule_id order by l.rule_id), '[]') from rule_execution_logs l
                      where l.ticket_id = t.id and l.execution_status = 'success') as ran,
                    (select count(*) from rule_execution_logs l
                      where l.ticket_id = t.id and l.execution_status <> 'success') as other_logs,
                    (select coalesce(json_agg(q.payload -> 'activity_type' order by q.seq), '[]')
                       from ticket_webhook_queue q where q.ticket_id = t.id and q.activity_id is not null) as told
               from tickets t where t.id = '{id}'"
        ))
        .await[0]
            .clone()
    }
}

fn check(kind: Kind, cases: u32) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let sql = runtime.block_on(TestSql::start());
    // No run may fail and start over rule by rule.
    runtime.block_on(sql.run("drop function dropwire.run_one_by_one(tickets, text[], boolean)"));
    let mut runner = TestRunner::new(Config {
        cases,
        max_shrink_iters: 400,
        failure_persistence: None,
        ..Config::default()
    });
    let cases = (
        prop::collection::vec(rule(kind), 0..8),
        prop::collection::vec(ticket(kind), 1..4),
    );
    runner
        .run(&cases, |(rules, tickets)| {
            runtime.block_on(async {
                sql.run("delete from tickets; delete from rules").await;
                sql.store(&rules).await;
                if kind == Kind::Plain {
                    let others = "select 1 as other from dropwire.rule_sets s
                                    left join dropwire.compiled_rules k on k.set_id = s.id
                                   where s.superseded_at is null and (not s.is_plain or k.done is null and k.matched is not null)";
                    prop_assert_eq!(sql.rows(others).await, json!([]), "all that can be plain is");
                }
                for ticket in tickets {
                    let (after, ran, told) = run(&rules, ticket.clone());
                    let ran: Vec<_> = ran.into_iter().map(|rule| id("a", rule)).collect();
                    let expected = json!({
                        "priority": after.priority, "status": after.status, "due_in": after.due_in, "ran": ran,
                        "other_logs": 0, "told": told
                    });
                    prop_assert_eq!(sql.outcome_for(&ticket).await, expected, "{:?}", ticket);
                }
                Ok(())
            })
        })
        .unwrap();
}

#[test]
fn the_engine_does_what_the_contract_says_for_random_rules_and_tickets() {
    check(Kind::Any, 200);
}

/// These take the short way that most tickets take (`run_plain_rules`).
#[test]
fn so_it_does_for_random_plain_rules() {
    check(Kind::Plain, 200);
}
