//! `create_ticket_from_automation`, row by row of the contract: what each role gets, to the byte, and what is stored.

use dropwire::auth::Role;
use dropwire::dev::ANON_KEY;
use serde_json::{Value, json};
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::support::app::{CHAT_ID, TENANT, ticket};
use crate::support::{Sink, TestApp};

/// The guide's ticket as the RPC takes it, with some arguments changed.
fn arguments(changes: &Value) -> Value {
    let mut arguments = json!({
        "p_issue": "AC not working in Building A", "p_location": "Building A, Floor 3", "p_category": "HVAC",
        "p_priority": "high", "p_user_name": "John Doe", "p_chat_id": CHAT_ID, "p_tenant_id": TENANT
    });
    for (name, value) in changes.as_object().into_iter().flatten() {
        arguments[name] = value.clone();
    }
    arguments
}

/// Calls the function as a role, with named arguments, in a transaction of its own; answers the JSON's text.
async fn call_as(app: &TestApp, role: Role, arguments: &Value) -> Result<String, Error> {
    let arguments = arguments.as_object().unwrap();
    let values: Vec<_> = arguments.values().map(Value::as_str).collect();
    let named: Vec<_> = (1..)
        .zip(arguments.keys())
        .map(|(n, name)| {
            format!(
                "{name} => ${n}{}",
                if name == "p_tenant_id" { "::uuid" } else { "" }
            )
        })
        .collect();
    let call = format!(
        "select public.create_ticket_from_automation({})::text",
        named.join(", ")
    );
    let params: Vec<_> = values.iter().map(|value| (value as _, Type::TEXT)).collect();

    let begin = format!("begin; set local role {}", role.name());
    app.db.batch_execute(&begin).await.unwrap();
    let answer = app.db.query_typed(&call, &params).await;
    let end = if answer.is_ok() { "commit" } else { "rollback" };
    app.db.batch_execute(end).await.unwrap();
    answer.map(|rows| rows[0].get(0))
}

/// Calls the function as anon with some of the guide's arguments changed.
async fn call(app: &TestApp, changes: &Value) -> String {
    call_as(app, Role::Anon, &arguments(changes)).await.unwrap()
}

fn created(id: &str, number: &str) -> String {
    format!(
        r#"{{"success" : true, "ticket_id" : "{id}", "ticket_number" : "{number}", "message" : "Ticket created successfully"}}"#
    )
}

fn refused(error: &str) -> String {
    format!(r#"{{"success" : false, "error" : {}}}"#, json!(error))
}

/// The only ticket, as one object of the columns that its creation decides.
async fn stored_ticket(app: &TestApp) -> Value {
    let query = "select to_jsonb(t) - '{id,created_at,updated_at,resolved_at,executor_id,executor_profile_id,
                  due_date,sla_due_date,category_id}'::text[] from tickets t";
    app.db.query_one(query, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn every_role_of_the_api_creates_tickets() {
    let app = TestApp::start().await;
    for (number, role) in [Role::Anon, Role::Authenticated, Role::ServiceRole]
        .into_iter()
        .enumerate()
    {
        let number = format!("TKT-{}", 1000 + number);
        let answer = call_as(&app, role, &arguments(&json!({}))).await.unwrap();
        let id = app
            .text(&format!(
                "select id::text from tickets where ticket_number = '{number}'"
            ))
            .await
            .unwrap();
        assert_eq!(answer, created(&id, &number), "{role:?}");
    }
}

#[tokio::test]
async fn nobody_else_may_call_it_and_its_names_and_defaults_are_the_originals() {
    let app = TestApp::start().await;
    let query = "select pg_get_function_arguments(p.oid), p.prorettype::regtype::text, p.prosecdef, p.provolatile = 'v',
                        p.proconfig::text,
                        (select string_agg(coalesce(r.rolname, 'public'), ' ' order by r.rolname)
                           from aclexplode(p.proacl) a left join pg_roles r on r.oid = a.grantee
                          where a.grantee <> p.proowner)
                   from pg_proc p where p.proname = 'create_ticket_from_automation'";
    let row = app.db.query_one(query, &[]).await.unwrap();
    assert_eq!(
        row.get::<_, &str>(0),
        "p_issue text, p_location text, p_category text, p_priority text, p_user_name text, p_chat_id text, \
         p_tenant_id uuid, p_designation text DEFAULT NULL::text, p_department text DEFAULT NULL::text, \
         p_type text DEFAULT 'Maintenance'::text, p_building text DEFAULT NULL::text, \
         p_floor text DEFAULT NULL::text, p_room text DEFAULT NULL::text"
    );
    assert_eq!(row.get::<_, &str>(1), "json");
    assert!(row.get::<_, bool>(2), "runs with its owner's rights");
    assert!(row.get::<_, bool>(3), "volatile, so that GET does not reach it");
    assert_eq!(row.get::<_, &str>(4), r#"{"search_path=pg_catalog, pg_temp"}"#);
    assert_eq!(row.get::<_, &str>(5), "anon authenticated service_role");
}

#[tokio::test]
async fn a_priority_outside_of_the_four_is_refused_first() {
    let app = TestApp::start().await;
    for priority in ["urgent", "High", " high", ""] {
        let answer = call(&app, &json!({"p_priority": priority, "p_chat_id": "x"})).await;
        let error = "Invalid priority. Must be one of: critical, high, medium, low";
        assert_eq!(answer, refused(error), "{priority:?}");
    }
    assert_eq!(app.count("tickets").await, 0);
}

#[tokio::test]
async fn a_chat_id_that_postgresql_reads_as_no_number_is_refused() {
    let app = TestApp::start().await;
    for chat_id in [
        "abc",
        "",
        " ",
        "1 2",
        "1,000",
        "@john",
        "\"123456789\"",
        "1e200000",
        "12\u{a0}",
    ] {
        let answer = call(&app, &json!({"p_chat_id": chat_id})).await;
        let error = format!("Invalid chat_id format: {chat_id}. Must be a numeric value.");
        assert_eq!(answer, refused(&error), "{chat_id:?}");
    }
    assert_eq!(app.count("tickets").await, 0);
}

#[tokio::test]
async fn a_chat_id_finds_its_user_in_every_form_that_postgresql_reads_as_a_number() {
    let app = TestApp::start().await;
    for chat_id in [
        " 123456789\n",
        "+123456789",
        "0123456789",
        "123456789.0",
        "1.23456789e8",
    ] {
        let answer = call(&app, &json!({"p_chat_id": chat_id})).await;
        assert!(
            answer.starts_with(r#"{"success" : true"#),
            "{chat_id:?}: {answer}"
        );
    }
}

#[tokio::test]
async fn a_telegram_user_id_finds_its_user_and_of_two_users_the_newest_active_one_is_taken() {
    let app = TestApp::start().await;
    let add = format!(
        "insert into users (tenant_id, email, role, telegram_user_id, telegram_chat_id, is_active, created_at) values
           ('{TENANT}', 'by-name@example.com', 'complainant', '777', null, true, now()),
           ('{TENANT}', 'older@example.com', 'complainant', null, 888, true, now() - interval '2 days'),
           ('{TENANT}', 'newer@example.com', 'complainant', null, 888, true, now() - interval '1 day'),
           ('{TENANT}', 'inactive@example.com', 'complainant', null, 888, false, now())"
    );
    app.db.batch_execute(&add).await.unwrap();
    for (chat_id, email) in [("777", "by-name@example.com"), ("888", "newer@example.com")] {
        call(&app, &json!({"p_chat_id": chat_id})).await;
        let complainant = "select u.email from tickets t join users u on u.id = t.complainant_id
                            order by t.ticket_number desc limit 1";
        assert_eq!(app.text(complainant).await.as_deref(), Some(email));
    }
}

#[tokio::test]
async fn no_user_an_inactive_one_and_one_of_another_tenant_are_not_told_apart() {
    let app = TestApp::start().await;
    let other = "d0000000-0000-4000-8000-0000000000ff";
    let add = format!(
        "insert into users (tenant_id, email, role, telegram_chat_id, is_active) values
           ('{TENANT}', 'inactive@example.com', 'complainant', 888, false),
           ('{TENANT}', 'unknown@example.com', 'complainant', 889, null)"
    );
    app.db.batch_execute(&add).await.unwrap();
    for (chat_id, tenant) in [
        (Some("5"), Some(TENANT)),
        (Some("888"), Some(TENANT)),
        (Some("889"), Some(TENANT)),
        (Some(CHAT_ID), Some(other)),
        (Some(" 0005.0"), Some(TENANT)),
        (Some("NaN"), Some(TENANT)),
        (Some("Infinity"), Some(TENANT)),
        (None, Some(TENANT)),
        (Some(CHAT_ID), None),
    ] {
        let answer = call(&app, &json!({"p_chat_id": chat_id, "p_tenant_id": tenant})).await;
        let (chat_id, tenant) = (chat_id.unwrap_or("null"), tenant.unwrap_or("null"));
        let error = format!("User not found with chat_id: {chat_id} in tenant: {tenant}");
        assert_eq!(answer, refused(&error));
    }
    assert_eq!(app.count("tickets").await, 0);
}

#[tokio::test]
async fn what_the_table_refuses_is_answered_in_the_databases_words() {
    let app = TestApp::start().await;
    for (argument, column) in [
        ("p_issue", "title"),
        ("p_location", "location"),
        ("p_category", "category"),
        ("p_priority", "priority"),
    ] {
        let answer = call(&app, &json!({argument: null})).await;
        let error = format!(
            r#"Failed to create ticket: null value in column "{column}" of relation "tickets" violates not-null constraint"#
        );
        assert_eq!(answer, refused(&error), "{argument}");
    }
    let constraint = "alter table tickets add constraint no_hvac check (category <> 'HVAC')";
    app.db.batch_execute(constraint).await.unwrap();
    let error =
        r#"Failed to create ticket: new row for relation "tickets" violates check constraint "no_hvac""#;
    assert_eq!(call(&app, &json!({})).await, refused(error));
    assert_eq!(app.count("tickets").await, 0);
    assert_eq!(app.count("ticket_webhook_queue").await, 0);
}

#[tokio::test]
async fn missing_and_unknown_arguments_and_a_bad_uuid_do_not_reach_the_function() {
    let app = TestApp::start().await;
    let mut without_category = arguments(&json!({}));
    without_category.as_object_mut().unwrap().remove("p_category");
    for (arguments, state) in [
        (without_category, SqlState::UNDEFINED_FUNCTION),
        (arguments(&json!({"p_name": "x"})), SqlState::UNDEFINED_FUNCTION),
        (
            arguments(&json!({"p_tenant_id": "x"})),
            SqlState::INVALID_TEXT_REPRESENTATION,
        ),
    ] {
        let refusal = call_as(&app, Role::Anon, &arguments).await.unwrap_err();
        assert_eq!(refusal.code(), Some(&state), "{refusal:?}");
    }
}

#[tokio::test]
async fn the_ticket_is_stored_as_the_original_stores_it() {
    let app = TestApp::start().await;
    call(
        &app,
        &json!({"p_issue": " Leak ", "p_category": "Other", "p_priority": "low", "p_user_name": "Somebody Else",
                "p_designation": "Manager", "p_department": "IT"}),
    )
    .await;
    assert_eq!(
        stored_ticket(&app).await,
        json!({
            "ticket_number": "TKT-1000", "title": " Leak ", "description": " Leak ", "category": "Other",
            "priority": "low", "type": "Maintenance", "status": "open", "location": "Building A, Floor 3",
            "building": null, "floor": null, "room": null,
            "complainant_id": "d0000000-0000-4000-8000-0000000000a2", "tenant_id": TENANT
        })
    );
}

#[tokio::test]
async fn building_floor_and_room_go_into_the_location() {
    let app = TestApp::start().await;
    for (changes, location) in [
        (
            json!({"p_building": " A ", "p_floor": "3", "p_room": "301 b"}),
            "Here, Building: A, Floor: 3, Room: 301 b",
        ),
        (json!({"p_building": "A"}), "Here, Building: A"),
        (json!({"p_floor": "3"}), "Here, Floor: 3"),
        (
            json!({"p_building": "", "p_floor": "  ", "p_room": "7"}),
            "Here, Room: 7",
        ),
        (
            json!({"p_building": null, "p_floor": null, "p_room": null}),
            "Here",
        ),
    ] {
        app.db.batch_execute("delete from tickets").await.unwrap();
        let mut changes = changes;
        changes["p_location"] = json!("Here");
        call(&app, &changes).await;
        let stored = stored_ticket(&app).await;
        assert_eq!(stored["location"], location);
        assert_eq!(
            [&stored["building"], &stored["floor"], &stored["room"]],
            [&Value::Null; 3]
        );
    }
}

#[tokio::test]
async fn an_empty_type_stays_empty() {
    let app = TestApp::start().await;
    for (kind, stored) in [
        (json!(""), ""),
        (json!("Repair"), "Repair"),
        (json!(null), "Maintenance"),
    ] {
        app.db.batch_execute("delete from tickets").await.unwrap();
        call(&app, &json!({"p_type": kind})).await;
        assert_eq!(stored_ticket(&app).await["type"], stored);
    }
}

#[tokio::test]
async fn rules_run_and_make_hears_the_same_as_of_a_ticket_from_telegram_webhook() {
    let app = TestApp::start().await;
    let sink = Sink::start().await;
    app.set_webhook(&sink.url).await;
    app.call("telegram-webhook", ANON_KEY, &ticket(&json!({}))).await;
    let answer: Value = serde_json::from_str(&call(&app, &json!({})).await).unwrap();
    app.drain_all().await;

    let received = sink.received();
    // Without what differs from ticket to ticket and from moment to moment.
    let heard = |number: &str| -> Vec<Value> {
        let of_ticket = received
            .iter()
            .filter(|webhook| webhook.body["ticket_number"] == number);
        let mut bodies: Vec<_> = of_ticket.map(|webhook| webhook.body.clone()).collect();
        for body in &mut bodies {
            let fields = body.as_object_mut().unwrap();
            for varying in ["ticket_id", "ticket_number", "due_date", "generated_at"] {
                assert!(fields.remove(varying).is_some(), "{varying}");
            }
            if let Some(activity) = fields.get_mut("latest_activity") {
                let kind = activity["type"].clone();
                *activity = kind;
            }
        }
        bodies
    };
    let creation = &heard("TKT-1001")[0];
    assert_eq!(
        creation["priority"], "critical",
        "the rules have run before Make hears"
    );
    assert_eq!(creation.get("latest_activity"), None);
    assert_eq!(heard("TKT-1001"), heard("TKT-1000"));
    assert_eq!(heard("TKT-1001").len(), 4);

    let id: Uuid = answer["ticket_id"].as_str().unwrap().parse().unwrap();
    let of_rpc = received
        .iter()
        .filter(|webhook| webhook.body["ticket_id"] == json!(id));
    assert_eq!(of_rpc.count(), 4);
}
