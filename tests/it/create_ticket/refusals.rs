//! What create-ticket refuses, in which words, and that nothing is written.

use dropwire::dev::ANON_KEY;
use reqwest::Method;
use serde_json::{Value, json};

use super::{FUNCTION, created, post, refused, ticket};
use crate::support::TestApp;
use crate::support::app::{CHAT_ID, TENANT};

const MISSING: &str = "Missing required fields: issue, category, priority, location, tenantId, chatId";

async fn assert_nothing_written(app: &TestApp) {
    assert_eq!(app.count("tickets").await, 0);
    assert_eq!(app.count("ticket_webhook_queue").await, 0);
    assert_eq!(app.count("dropwire.idempotency_keys").await, 0);
}

#[tokio::test]
async fn a_required_field_that_is_absent_or_falsy_is_missing_and_a_blank_one_is_there() {
    let app = TestApp::start().await;
    for name in ["issue", "category", "priority", "location", "tenantId", "chatId"] {
        for value in [json!(null), json!(false), json!(0), json!("")] {
            let answer = post(&app, &json!({ name: value })).await;
            assert_eq!(answer.function_pair(), refused(MISSING), "{name}: {value}");
        }
        let mut body = ticket(&json!({}));
        body.as_object_mut().unwrap().remove(name);
        assert_eq!(
            app.call(FUNCTION, ANON_KEY, &body).await.function_pair(),
            refused(MISSING)
        );
    }
    assert_nothing_written(&app).await;

    created(&post(&app, &json!({"issue": " ", "category": " ", "location": " "})).await);
    let texts = "select jsonb_build_array(title, category, location)::text from tickets";
    let texts: Value = serde_json::from_str(&app.text(texts).await.unwrap()).unwrap();
    assert_eq!(texts, json!([" ", " ", " "]));
}

#[tokio::test]
async fn a_tenant_that_is_no_uuid_is_refused_in_postgresqls_words() {
    let app = TestApp::start().await;
    for tenant in [json!("acme"), json!(7), json!(format!(" {TENANT}"))] {
        let text = tenant.as_str().map_or_else(|| tenant.to_string(), str::to_owned);
        assert_eq!(
            post(&app, &json!({ "tenantId": tenant })).await.function_pair(),
            refused(&format!("invalid input syntax for type uuid: \"{text}\""))
        );
    }
    let capitals = format!("{{{}}}", TENANT.to_uppercase());
    created(&post(&app, &json!({ "tenantId": capitals })).await);
}

#[tokio::test]
async fn a_priority_outside_of_the_four_is_refused() {
    let app = TestApp::start().await;
    for priority in [json!("urgent"), json!("High"), json!(" high"), json!(1)] {
        assert_eq!(
            post(&app, &json!({ "priority": priority })).await.function_pair(),
            refused("Invalid priority. Must be one of: critical, high, medium, low")
        );
    }
    assert_nothing_written(&app).await;
}

#[tokio::test]
async fn a_chat_id_that_is_no_number_is_refused_and_a_number_is_taken() {
    let app = TestApp::start().await;
    for chat in ["@john", "1)", "1,id.neq.0"] {
        assert_eq!(
            post(&app, &json!({ "chatId": chat })).await.function_pair(),
            refused(&format!(
                "Invalid chat_id format: {chat}. Must be a numeric value."
            ))
        );
    }
    assert_nothing_written(&app).await;
    for chat in [json!(123_456_789), json!(" 123456789"), json!("+123456789.0")] {
        created(&post(&app, &json!({ "chatId": chat })).await);
    }
}

#[tokio::test]
async fn an_unknown_user_and_an_inactive_one_are_not_told_apart() {
    let app = TestApp::start().await;
    let unknown = |chat: &str| {
        refused(&format!(
            "User not found with chat_id: {chat} in tenant: {TENANT}"
        ))
    };
    for chat in ["5", "NaN", "1e3"] {
        assert_eq!(
            post(&app, &json!({ "chatId": chat })).await.function_pair(),
            unknown(chat)
        );
    }
    app.db
        .batch_execute("update users set is_active = false where telegram_chat_id = 123456789")
        .await
        .unwrap();
    assert_eq!(post(&app, &json!({})).await.function_pair(), unknown(CHAT_ID));
    let elsewhere = "d0000000-0000-4000-8000-000000000009";
    assert_eq!(
        post(&app, &json!({ "tenantId": elsewhere.to_uppercase() }))
            .await
            .function_pair(),
        refused(&format!(
            "User not found with chat_id: {CHAT_ID} in tenant: {elsewhere}"
        ))
    );
    assert_nothing_written(&app).await;
}

#[tokio::test]
async fn a_user_is_also_found_by_the_telegram_user_id_and_the_newest_wins() {
    let app = TestApp::start().await;
    let users = format!(
        "insert into users (tenant_id, email, full_name, role, telegram_chat_id, telegram_user_id, is_active, created_at)
         values ('{TENANT}', 'a@example.com', 'Older', 'complainant', 77, null, true, now() - interval '2 days'),
                ('{TENANT}', 'b@example.com', 'Newer', 'complainant', null, '77', true, now() - interval '1 day'),
                ('{TENANT}', 'c@example.com', 'Gone', 'complainant', 77, null, false, now())"
    );
    app.db.batch_execute(&users).await.unwrap();
    let ticket = created(&post(&app, &json!({"chatId": 77})).await);
    assert_eq!(ticket["complainant_name"], "Newer");
}

#[tokio::test]
async fn what_the_database_says_to_a_row_that_it_refuses_is_passed_on() {
    let app = TestApp::start().await;
    app.db
        .batch_execute("alter table tickets add constraint indoors check (location <> 'Roof')")
        .await
        .unwrap();
    let error =
        "Failed to create ticket: new row for relation \"tickets\" violates check constraint \"indoors\"";
    assert_eq!(
        post(&app, &json!({"location": "Roof"})).await.function_pair(),
        refused(error)
    );
    assert_nothing_written(&app).await;
}

#[tokio::test]
async fn a_rule_that_fails_does_not_fail_the_ticket() {
    let app = TestApp::start().await;
    app.db
        .batch_execute(
            "update actions set action_params = '{\"priority\":\"urgent\"}' where action_type = 'set_priority'",
        )
        .await
        .unwrap();
    let ticket = created(&post(&app, &json!({})).await);
    assert_eq!(ticket["priority"], "high");
    assert_eq!(
        app.count("rule_execution_logs where execution_status = 'failed'")
            .await,
        1
    );
}

#[tokio::test]
async fn a_body_that_is_no_json_is_400() {
    let app = TestApp::start().await;
    for (body, error) in [
        ("", "Invalid JSON payload"),
        ("{", "Invalid JSON payload"),
        ("null", "Invalid JSON payload"),
        ("[]", MISSING),
        ("7", MISSING),
    ] {
        let answer = app.send(FUNCTION, Method::POST, Some(ANON_KEY), body).await;
        assert_eq!(answer.function_pair(), refused(error), "{body:?}");
    }
    let nul = post(&app, &json!({"issue": "a\0b"})).await;
    assert_eq!(
        nul.function_pair(),
        refused("Invalid field: issue must not contain U+0000")
    );
    assert_nothing_written(&app).await;
}

#[tokio::test]
async fn other_methods_are_405_and_a_preflight_is_200() {
    let app = TestApp::start().await;
    for method in [Method::GET, Method::PUT, Method::PATCH, Method::DELETE] {
        let answer = app
            .send(
                FUNCTION,
                method.clone(),
                Some(ANON_KEY),
                ticket(&json!({})).to_string(),
            )
            .await;
        assert_eq!(
            answer.function_pair(),
            (405, json!({"success": false, "error": "Method not allowed"})),
            "{method}"
        );
        assert_eq!(answer.headers["allow"], "POST, OPTIONS");
    }
    let preflight = app.send(FUNCTION, Method::OPTIONS, None, "").await;
    assert_eq!((preflight.status.as_u16(), &*preflight.text), (200, "ok"));
    assert_nothing_written(&app).await;
}

#[tokio::test]
async fn a_database_that_is_away_is_503() {
    let app = TestApp::start().await;
    app.database.shut_out(true).await;
    let answer = post(&app, &json!({})).await;
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(
        answer.function_pair(),
        (
            503,
            json!({"success": false, "error": "The database is unavailable, try again shortly"})
        )
    );
    app.database.shut_out(false).await;
    created(&post(&app, &json!({})).await);
}
