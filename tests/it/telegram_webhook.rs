//! `telegram-webhook`, row by row of the contract: statuses and whole bodies over real HTTP, and what is stored.

mod body;
mod complainant;

use dropwire::dev::{ANON_KEY, PUBLISHABLE_KEY, SERVICE_ROLE_KEY};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::app::{Answer, CHAT_ID, TENANT, read, refusal, ticket, user_token};
use crate::support::{Sink, TestApp};

const FUNCTION: &str = "telegram-webhook";

/// The demo tenant's complainant.
const JOHN: &str = "d0000000-0000-4000-8000-0000000000a2";

async fn post(app: &TestApp, body: impl Into<reqwest::Body>) -> Answer {
    app.send(FUNCTION, Method::POST, Some(ANON_KEY), body).await
}

/// Posts the guide's ticket with some fields changed.
async fn post_with(app: &TestApp, changes: &Value) -> Answer {
    app.call(FUNCTION, ANON_KEY, &ticket(changes)).await
}

/// Asserts the whole answer to a created ticket; answers its number.
fn assert_created(answer: &Answer) -> String {
    let (status, body) = answer.function_pair();
    let id: uuid::Uuid = body["ticket_id"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer:?}"))
        .parse()
        .unwrap();
    let number = body["ticket_number"].as_str().unwrap().to_owned();
    let expected = json!({"success": true, "ticket_id": id, "ticket_number": number, "status": 200});
    assert_eq!((status, body), (200, expected));
    number
}

async fn assert_nothing_written(app: &TestApp) {
    assert_eq!(app.count("tickets").await, 0);
    assert_eq!(app.count("ticket_activities").await, 0);
    assert_eq!(app.count("ticket_webhook_queue").await, 0);
}

/// The numbers behind `TKT-`, ascending.
fn sorted_numbers(numbers: impl IntoIterator<Item = String>) -> Vec<u32> {
    let number = |text: String| text.strip_prefix("TKT-").unwrap().parse().unwrap();
    let mut numbers: Vec<u32> = numbers.into_iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn the_guides_own_request_creates_a_ticket() {
    let app = TestApp::start().await;
    let body = format!(
        r#"{{
    "issue": "Test issue",
    "location": "Test location",
    "category": "IT",
    "priority": "medium",
    "name": "Test User",
    "chat_id": "{CHAT_ID}",
    "tenant_id": "{TENANT}"
  }}"#
    );
    let request = app
        .http
        .post(format!("{}/functions/v1/telegram-webhook", app.url))
        .body(body);
    let request = request
        .header("Content-Type", "application/json")
        .bearer_auth(ANON_KEY);
    let answer = read(request.send().await.unwrap()).await;
    assert_eq!(assert_created(&answer), "TKT-1000");
    assert_eq!(
        answer.text.find("\"success\":true,\"ticket_id\":"),
        Some(1),
        "compact, keys in the original's order"
    );
}

#[tokio::test]
async fn a_ticket_is_stored_trimmed_with_the_originals_defaults() {
    let app = TestApp::start().await;
    app.db.batch_execute("delete from rules").await.unwrap();
    let answer = post_with(
        &app,
        &json!({
            "issue": "\u{2003}\u{feff} Leak\n", "location": "\u{a0}Hall 1 ", "category": "\tPlumbing ", "priority": "low",
            "type": " Repair\u{feff}", "building": " B ", "floor": "", "room": " \u{a0}", "name": {"any": "type"},
            "designation": 7, "department": [null], "unknown": "ignored", "status": "closed", "ticket_number": "mine"
        }),
    )
    .await;
    let number = assert_created(&answer);

    let row = app.text("select to_jsonb(t)::text from tickets t").await.unwrap();
    let mut row: Value = serde_json::from_str(&row).unwrap();
    for generated in ["created_at", "updated_at"] {
        assert!(
            row.as_object_mut()
                .unwrap()
                .remove(generated)
                .unwrap()
                .is_string()
        );
    }
    let expected = json!({
        "id": answer.json()["ticket_id"], "ticket_number": number, "tenant_id": TENANT, "complainant_id": JOHN,
        "title": "Leak", "description": "Leak", "location": "Hall 1", "category": "Plumbing", "priority": "low",
        "type": "Repair", "status": "open", "building": "B", "floor": "", "room": "",
        "executor_id": null, "executor_profile_id": null, "category_id": null,
        "due_date": null, "sla_due_date": null, "resolved_at": null
    });
    assert_eq!(row, expected);
    assert_eq!(app.count("ticket_activities").await, 0);
    assert_eq!(
        app.count("ticket_webhook_queue where activity_id is null").await,
        1,
        "the creation's webhook"
    );
}

#[tokio::test]
async fn optional_fields_default_when_they_are_absent_null_or_blank() {
    let app = TestApp::start().await;
    let absent = json!({});
    let null = json!({"type": null, "building": null, "floor": null, "room": null});
    let blank = json!({"type": " ", "building": " ", "floor": "", "room": "\u{feff}"});
    for (changes, texts) in [(absent, Value::Null), (null, Value::Null), (blank, json!(""))] {
        assert_created(&post_with(&app, &changes).await);
        let row = "select jsonb_build_array(type, building, floor, room)::text from tickets order by ticket_number desc";
        let row: Value = serde_json::from_str(&app.text(&format!("{row} limit 1")).await.unwrap()).unwrap();
        assert_eq!(row, json!(["Maintenance", texts, texts, texts]), "{changes}");
    }
}

#[tokio::test]
async fn the_first_required_field_that_is_absent_falsy_or_blank_answers() {
    let app = TestApp::start().await;
    let required = [
        "issue",
        "location",
        "category",
        "priority",
        "name",
        "chat_id",
        "tenant_id",
    ];
    for (at, name) in required.into_iter().enumerate() {
        let missing = refusal(400, &format!("Missing required field: {name}"));
        for value in [
            json!(null),
            json!(false),
            json!(0),
            json!(-0.0),
            json!(""),
            json!(" \t\n\u{a0}\u{2003}\u{feff}"),
        ] {
            assert_eq!(
                post_with(&app, &json!({name: value})).await.function_pair(),
                missing,
                "{name}: {value}"
            );
        }
        let mut body = ticket(&json!({}));
        for later in &required[at..] {
            body.as_object_mut().unwrap().remove(*later);
        }
        assert_eq!(
            post(&app, body.to_string()).await.function_pair(),
            missing,
            "without {name} and what follows"
        );
    }
    assert_nothing_written(&app).await;
}

#[tokio::test]
async fn a_value_of_the_wrong_type_or_form_is_named() {
    let app = TestApp::start().await;
    let priority = "Invalid priority. Must be one of: critical, high, medium, low";
    let mut cases = vec![
        (json!({"priority": "urgent"}), priority.to_owned()),
        (json!({"priority": "High"}), priority.to_owned()),
        (json!({"priority": "high "}), priority.to_owned()),
        (json!({"priority": 1}), priority.to_owned()),
        (json!({"priority": ["high"]}), priority.to_owned()),
        (json!({"priority": {}, "issue": 1}), priority.to_owned()),
        (json!({"chat_id": true}), "Invalid chat_id".to_owned()),
        (json!({"chat_id": {}}), "Invalid chat_id".to_owned()),
        (json!({"chat_id": "@john"}), "Invalid chat_id".to_owned()),
        (json!({"chat_id": "1".repeat(129)}), "Invalid chat_id".to_owned()),
        (json!({"tenant_id": "acme"}), "Invalid tenant_id".to_owned()),
        (json!({"tenant_id": 1}), "Invalid tenant_id".to_owned()),
        (
            json!({"tenant_id": format!(" {TENANT}")}),
            "Invalid tenant_id".to_owned(),
        ),
        (
            json!({"tenant_id": "acme", "chat_id": "x"}),
            "Invalid tenant_id".to_owned(),
        ),
    ];
    for name in [
        "issue", "location", "category", "type", "building", "floor", "room",
    ] {
        for value in [json!(7), json!(true), json!(["x"]), json!({})] {
            cases.push((
                json!({name: value}),
                format!("Invalid field: {name} must be a string"),
            ));
        }
    }
    for (changes, error) in cases {
        assert_eq!(
            post_with(&app, &changes).await.function_pair(),
            refusal(400, &error),
            "{changes}"
        );
    }
    assert_nothing_written(&app).await;
}

#[tokio::test]
async fn every_priority_of_the_enumeration_is_taken() {
    let app = TestApp::start().await;
    app.db.batch_execute("delete from rules").await.unwrap();
    for priority in ["critical", "high", "medium", "low"] {
        assert_created(&post_with(&app, &json!({"priority": priority})).await);
        assert_eq!(
            app.count(&format!("tickets where priority = '{priority}'")).await,
            1
        );
    }
}

#[tokio::test]
async fn other_methods_are_405_and_create_nothing() {
    let app = TestApp::start().await;
    for method in [
        Method::GET,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::HEAD,
        Method::TRACE,
    ] {
        let answer = app
            .send(
                FUNCTION,
                method.clone(),
                Some(ANON_KEY),
                ticket(&json!({})).to_string(),
            )
            .await;
        assert_eq!(answer.headers["allow"], "POST, OPTIONS", "{method}");
        if method == Method::HEAD {
            assert_eq!((answer.status.as_u16(), answer.text.as_str()), (405, ""));
            answer.assert_cors();
        } else {
            assert_eq!(
                answer.function_pair(),
                refusal(405, "Method not allowed"),
                "{method}"
            );
        }
    }
    assert_nothing_written(&app).await;
}

#[tokio::test]
async fn a_preflight_needs_no_key() {
    let app = TestApp::start().await;
    let request = app
        .http
        .request(Method::OPTIONS, format!("{}/functions/v1/{FUNCTION}", app.url));
    let request = request
        .header("origin", "https://dashboard.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type");
    let answer = read(request.send().await.unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, "ok"));
    assert!(
        answer.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain")
    );
    answer.assert_cors();
}

#[tokio::test]
async fn long_texts_are_stored_whole() {
    let app = TestApp::start().await;
    let long = "x".repeat(1_000_000);
    assert_created(
        &post_with(
            &app,
            &json!({"issue": long, "location": long, "category": long, "room": long}),
        )
        .await,
    );
    let lengths = "length(title) + length(description) + length(location) + length(category) + length(room)";
    assert_eq!(
        app.text(&format!("select ({lengths})::text from tickets"))
            .await
            .unwrap(),
        "5000000"
    );
}

#[tokio::test]
async fn concurrent_posts_all_succeed_with_distinct_consecutive_numbers() {
    let app = TestApp::start().await;
    let changes = json!({});
    let answers = join_all((0..100).map(|_| post_with(&app, &changes))).await;
    let numbers = sorted_numbers(answers.iter().map(assert_created));
    assert_eq!(numbers, (1000..1100).collect::<Vec<u32>>());
    assert_eq!(
        app.count("tickets where executor_profile_id is not null and priority = 'critical'")
            .await,
        100
    );
}

#[tokio::test]
async fn numbers_grow_beyond_four_digits() {
    let app = TestApp::start().await;
    app.db
        .batch_execute("select setval('ticket_number_seq', 9998)")
        .await
        .unwrap();
    for number in ["TKT-9999", "TKT-10000", "TKT-10001"] {
        assert_eq!(assert_created(&post_with(&app, &json!({})).await), number);
    }
}

#[tokio::test]
async fn a_number_that_a_client_stored_ahead_of_the_sequence_is_stepped_over() {
    let app = TestApp::start().await;
    let stored = "insert into tickets (ticket_number, title, description, category, priority, type, location)
        select n, 't', 'd', 'c', 'low', 'Maintenance', 'l' from unnest(array['TKT-1000', 'TKT-1001', 'TKT-OLD']) n";
    app.db.batch_execute(stored).await.unwrap();
    assert_eq!(assert_created(&post_with(&app, &json!({})).await), "TKT-1002");
    assert_eq!(assert_created(&post_with(&app, &json!({})).await), "TKT-1003");
}

#[tokio::test]
async fn what_the_database_says_to_a_row_that_it_refuses_is_passed_on() {
    let app = TestApp::start().await;
    app.db
        .batch_execute("alter table tickets add constraint indoors check (location <> 'Roof')")
        .await
        .unwrap();
    let answer = post_with(&app, &json!({"location": "Roof"})).await;
    let error = "new row for relation \"tickets\" violates check constraint \"indoors\"";
    assert_eq!(answer.function_pair(), refusal(500, error));
    assert_nothing_written(&app).await;
    assert_created(&post_with(&app, &json!({})).await);
}

#[tokio::test]
async fn a_signed_in_dashboard_user_is_not_needed_and_rights_do_not_depend_on_the_key() {
    let app = TestApp::start().await;
    let user = user_token(JOHN.parse().unwrap());
    for key in [ANON_KEY, SERVICE_ROLE_KEY, PUBLISHABLE_KEY, &user] {
        assert_created(&app.call(FUNCTION, key, &ticket(&json!({}))).await);
    }
}

#[tokio::test]
async fn the_rules_run_and_the_webhook_follows_before_make_asks_again() {
    let app = TestApp::start().await;
    let sink = Sink::start().await;
    app.set_webhook(&sink.url).await;
    assert_created(&post_with(&app, &json!({"priority": "low"})).await);
    assert_eq!(
        app.text("select priority from tickets").await.unwrap(),
        "critical"
    );
    app.drain().await;
    assert_eq!(sink.wait_for(1).await[0].body["priority"], "critical");
}
