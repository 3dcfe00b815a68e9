//! `create-ticket`, row by row of contract 1.2: statuses and whole bodies over real HTTP, and what is stored.

mod chat;
mod once;
mod refusals;

use dropwire::dev::{ANON_KEY, PUBLISHABLE_KEY, SERVICE_ROLE_KEY};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::app::{Answer, CHAT_ID, TENANT, user_token};
use crate::support::sql::{JOHN, MIKE, MIKE_PROFILE};
use crate::support::{Sink, TestApp};

const FUNCTION: &str = "create-ticket";

/// A ticket for the demo tenant, with some fields changed; null is sent as null.
fn ticket(changes: &Value) -> Value {
    let mut body = json!({
        "issue": "AC not working", "category": "HVAC", "priority": "high", "location": "Main site",
        "tenantId": TENANT, "chatId": CHAT_ID
    });
    body.as_object_mut()
        .unwrap()
        .extend(changes.as_object().unwrap().clone());
    body
}

async fn post(app: &TestApp, changes: &Value) -> Answer {
    app.call(FUNCTION, ANON_KEY, &ticket(changes)).await
}

/// Asserts that a ticket was created; answers its summary.
fn created(answer: &Answer) -> Value {
    let (status, body) = answer.function_pair();
    assert_eq!((status, &body["success"]), (200, &json!(true)), "{body}");
    body["ticket"].clone()
}

/// What the function answers to a request that it refuses.
fn refused(error: &str) -> (u16, Value) {
    (400, json!({"success": false, "error": error}))
}

/// The only ticket's columns that its creation decides.
async fn stored(app: &TestApp) -> Value {
    let query =
        "select (to_jsonb(t) - '{id,ticket_number,created_at,updated_at}'::text[])::text from tickets t";
    serde_json::from_str(&app.text(query).await.unwrap()).unwrap()
}

/// Takes an instant of this moment out, as REST writes it.
fn take_recent(ticket: &mut Value, key: &str) {
    let taken = ticket
        .as_object_mut()
        .unwrap()
        .insert(key.to_owned(), json!("now"));
    let text = taken.unwrap().as_str().unwrap().to_owned();
    assert!(text.ends_with("+00:00"), "{text}");
    let at: chrono::DateTime<chrono::Utc> = text.parse().unwrap();
    assert!(
        (chrono::Utc::now() - at).num_seconds().abs() < 60,
        "{key} is {at}"
    );
}

#[tokio::test]
async fn the_answer_is_the_ticket_as_the_rules_left_it_keys_in_order() {
    let app = TestApp::start().await;
    let answer = post(&app, &json!({})).await;
    let (status, body) = answer.function_pair();
    let id: Uuid = body["ticket_id"].as_str().unwrap().parse().unwrap();
    let mut ticket = body["ticket"].clone();

    let due = ticket["sla"].as_str().unwrap().to_owned();
    let hours = "select (due_date - created_at)::text from tickets";
    assert_eq!(app.text(hours).await.as_deref(), Some("1 day"));
    let stored_due = "select to_json(due_date at time zone 'UTC') #>> '{}' || '+00:00' from tickets";
    assert_eq!(app.text(stored_due).await.unwrap(), due);
    ticket["sla"] = json!("a day later");
    take_recent(&mut ticket, "created_at");
    take_recent(&mut ticket, "updated_at");

    let expected = json!({
        "sla": "a day later", "allocated_to": MIKE_PROFILE, "allocated_to_name": "Mike Johnson",
        "allocated_to_chat_id": "987654321", "complainant_name": "John Doe",
        "complainant_email": "john.doe@example.com", "complainant_phone": "+1-555-0100", "ticket_id": id,
        "ticket_number": "TKT-1000", "title": "AC not working", "description": "AC not working", "category": "HVAC",
        "status": "open", "priority": "critical", "created_at": "now", "updated_at": "now", "complainant_id": JOHN,
        "tenant_id": TENANT
    });
    let whole = json!({"success": true, "ticket_id": id, "ticket_number": "TKT-1000", "ticket": expected});
    let mut body = body;
    body["ticket"] = ticket;
    // As texts, so that the order of the keys counts.
    assert_eq!((status, body.to_string()), (200, whole.to_string()));
}

#[tokio::test]
async fn what_nobody_decided_is_null() {
    let app = TestApp::start().await;
    app.db
        .batch_execute("delete from rules; update users set phone = null, full_name = null")
        .await
        .unwrap();
    let ticket = created(&post(&app, &json!({})).await);
    for key in [
        "sla",
        "allocated_to",
        "allocated_to_name",
        "allocated_to_chat_id",
        "complainant_name",
        "complainant_phone",
    ] {
        assert_eq!(ticket.get(key), Some(&Value::Null), "{key}");
    }
}

#[tokio::test]
async fn an_executor_without_a_profile_or_a_name_of_his_own_is_told_as_well_as_can_be() {
    let app = TestApp::start().await;
    let summary = |ticket: &Value| {
        let keys = ["allocated_to", "allocated_to_name", "allocated_to_chat_id"];
        json!(keys.map(|key| ticket[key].clone()))
    };
    // The profile's name and chat stand in for the user's.
    app.db
        .batch_execute(&format!(
            "update users set full_name = null, telegram_chat_id = null where id = '{MIKE}';
             update executor_profiles set full_name = 'Mike of the profile', telegram_chat_id = 555 where id = '{MIKE_PROFILE}'"
        ))
        .await
        .unwrap();
    let ticket = created(&post(&app, &json!({})).await);
    assert_eq!(
        summary(&ticket),
        json!([MIKE_PROFILE, "Mike of the profile", "555"])
    );

    // As clients assign that know no profiles.
    app.db
        .batch_execute(&format!(
            "delete from rules; update users set full_name = 'Mike', telegram_chat_id = 987 where id = '{MIKE}';
             create function assign() returns trigger language plpgsql as
               $$ begin new.executor_id := '{MIKE}'; return new; end $$;
             create trigger assign before insert on tickets for each row execute function assign()"
        ))
        .await
        .unwrap();
    let ticket = created(&post(&app, &json!({})).await);
    assert_eq!(summary(&ticket), json!([MIKE, "Mike", "987"]));
}

#[tokio::test]
async fn a_ticket_is_stored_as_the_rpc_stores_it() {
    let app = TestApp::start().await;
    app.db.batch_execute("delete from rules").await.unwrap();
    created(
        &post(
            &app,
            &json!({
                "issue": " Leak ", "category": " Any ", "location": "Hall", "priority": "low", "type": "Repair",
                "building": " B ", "floor": 3, "room": "301", "complainantId": MIKE, "status": "closed"
            }),
        )
        .await,
    );
    let expected = json!({
        "tenant_id": TENANT, "complainant_id": JOHN, "title": " Leak ", "description": " Leak ",
        "location": "Hall, Building: B, Floor: 3, Room: 301", "category": " Any ", "priority": "low",
        "type": "Repair", "status": "open", "building": null, "floor": null, "room": null, "executor_id": null,
        "executor_profile_id": null, "category_id": null, "due_date": null, "sla_due_date": null, "resolved_at": null
    });
    assert_eq!(stored(&app).await, expected);
}

#[tokio::test]
async fn optional_fields_default_when_they_are_absent_null_or_blank() {
    let app = TestApp::start().await;
    let blank = json!({"type": "", "building": " ", "floor": "", "room": null});
    for changes in [json!({}), blank] {
        created(&post(&app, &changes).await);
        assert_eq!(stored(&app).await["type"], "Maintenance", "{changes}");
        assert_eq!(stored(&app).await["location"], "Main site", "{changes}");
        app.db.batch_execute("delete from tickets").await.unwrap();
    }
}

#[tokio::test]
async fn the_tenants_one_category_of_the_name_is_found_whatever_the_case_and_nothing_is_a_wildcard() {
    let app = TestApp::start().await;
    let others = format!(
        "delete from rules;
         insert into tenants (id, name, email) values ('d0000000-0000-4000-8000-000000000002', 'Other', 'o@example.com');
         insert into categories (id, tenant_id, name) values
           ('d0000000-0000-4000-8000-0000000000c8', '{TENANT}', 'Doors'),
           ('d0000000-0000-4000-8000-0000000000c9', '{TENANT}', 'doors'),
           ('d0000000-0000-4000-8000-0000000000ca', 'd0000000-0000-4000-8000-000000000002', 'Lifts'),
           ('d0000000-0000-4000-8000-0000000000cb', null, 'Roofs')"
    );
    app.db.batch_execute(&others).await.unwrap();
    for (name, id) in [
        ("hvac", json!("d0000000-0000-4000-8000-0000000000c1")),
        ("PLUMBING", json!("d0000000-0000-4000-8000-0000000000c3")),
        ("%", Value::Null),
        ("Plumb%", Value::Null),
        ("_T", Value::Null),
        ("DOORS", Value::Null),
        ("Lifts", Value::Null),
        ("Roofs", Value::Null),
        ("Windows", Value::Null),
    ] {
        created(&post(&app, &json!({"category": name})).await);
        let row = stored(&app).await;
        assert_eq!((&row["category"], &row["category_id"]), (&json!(name), &id));
        app.db.batch_execute("delete from tickets").await.unwrap();
    }
}

#[tokio::test]
async fn the_rules_see_the_category_that_was_found() {
    let app = TestApp::start().await;
    let rule =
        "update conditions set field_path = 'category_id', value = '{d0000000-0000-4000-8000-0000000000c3}'
                 where id = 'd0000000-0000-4000-8000-0000000000b1'";
    app.db.batch_execute(rule).await.unwrap();
    let ticket = created(&post(&app, &json!({"category": "plumbing", "priority": "low"})).await);
    assert_eq!(ticket["priority"], "critical");
}

#[tokio::test]
async fn make_hears_of_the_creation_and_of_each_effect_of_the_rules_in_order() {
    let app = TestApp::start().await;
    let sink = Sink::start().await;
    app.set_webhook(&sink.url).await;
    created(&post(&app, &json!({})).await);
    app.drain_all().await;
    let kinds: Vec<_> = sink
        .received()
        .iter()
        .map(|webhook| webhook.body["latest_activity"]["type"].clone())
        .collect();
    assert_eq!(
        kinds,
        [
            Value::Null,
            json!("priority_change"),
            json!("sla_change"),
            json!("reassignment")
        ]
    );
}

#[tokio::test]
async fn any_key_of_the_project_will_do_and_none_will_not() {
    let app = TestApp::start().await;
    let user = user_token(JOHN.parse().unwrap());
    for key in [ANON_KEY, SERVICE_ROLE_KEY, PUBLISHABLE_KEY, &user] {
        created(&app.call(FUNCTION, key, &ticket(&json!({}))).await);
    }
    let keyless = app
        .send(
            FUNCTION,
            reqwest::Method::POST,
            None,
            ticket(&json!({})).to_string(),
        )
        .await;
    assert_eq!(
        keyless.function_pair(),
        (
            401,
            json!({"code": 401, "message": "Missing authorization header"})
        )
    );
    assert_eq!(app.count("tickets").await, 4);
}

#[tokio::test]
async fn a_statement_without_a_name_does_the_same() {
    let app = TestApp::with(&[("DROPWIRE_DB_TRANSACTION_POOLER", "true")]).await;
    assert_eq!(created(&post(&app, &json!({})).await)["priority"], "critical");
}
