//! `user-onboarding-callback`: its token, one case per row of the contract's table of errors, and hostile bodies.

use serde_json::json;

use super::*;

async fn assert_refused(stage: &Stage, fields: Value, expected: (u16, Value)) {
    let before = stage.nina().await;
    let answer = stage.callback(fields.clone()).await;
    assert_eq!(answer.pair(), expected, "{fields}");
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    stage.assert_untouched(&before, &fields.to_string()).await;
}

#[tokio::test]
async fn only_post_is_taken_with_or_without_the_token() {
    let stage = Stage::set().await;
    for key in [None, Some(TOKEN)] {
        for method in [Method::GET, Method::PUT, Method::PATCH, Method::DELETE] {
            let answer = stage.app.send(CALLBACK, method, key, "").await;
            assert_eq!(answer.pair(), (405, error("Method not allowed")));
            assert_eq!(answer.headers["allow"], "POST, OPTIONS");
        }
    }
    stage.end().await;
}

#[tokio::test]
async fn the_configured_token_is_the_only_one() {
    let stage = Stage::set().await;
    stage.invite().await;
    let before = stage.nina().await;
    let body = json!({"correlation_id": GIVEN, "chat_id": "7"});
    let mut refused = vec![
        None,
        Some(String::new()),
        Some("Bearer".to_owned()),
        Some(TOKEN.to_owned()),
        Some(format!("bearer {TOKEN}")),
        Some(format!("Bearer  {TOKEN}")),
        Some(format!("Bearer {TOKEN}x")),
        Some(format!("Bearer {}", TOKEN.trim_end_matches('n'))),
        Some("Basic eA==".to_owned()),
        Some(format!("Bearer {}", token(ADMIN))),
    ];
    refused.extend(project_keys().map(|key| Some(format!("Bearer {key}"))));
    for authorization in refused {
        let answer = stage.post_as(CALLBACK, authorization.as_deref(), &body).await;
        assert_eq!(answer.pair(), (401, error("Unauthorized")), "{authorization:?}");
    }
    // Not even a word about the body.
    let answer = stage.raw(CALLBACK, "x", "{").await;
    assert_eq!(answer.pair(), (401, error("Unauthorized")));
    stage.assert_untouched(&before, "token").await;

    let right = format!("Bearer {TOKEN}");
    assert_eq!(stage.post_as(CALLBACK, Some(&right), &body).await.status, 200);
    stage.end().await;
}

#[tokio::test]
async fn without_a_configured_token_the_service_role_keys_are_the_token() {
    // O4: an empty variable is none, for whoever reads it.
    let stage = Stage::with(&[("MAKE_ONBOARDING_CALLBACK_TOKEN", "")]).await;
    stage.invite().await;
    let body = json!({"correlation_id": GIVEN});
    for key in [dev::ANON_KEY, dev::PUBLISHABLE_KEY, &token(ADMIN), TOKEN, ""] {
        let answer = stage.app.call(CALLBACK, key, &body).await;
        assert_eq!(answer.pair(), (401, error("Unauthorized")), "{key}");
    }
    for key in [dev::SERVICE_ROLE_KEY, dev::SECRET_KEY] {
        let answer = stage.app.call(CALLBACK, key, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    stage.end().await;
}

#[tokio::test]
async fn a_correlation_id_is_required() {
    let stage = Stage::set().await;
    for id in [json!(null), json!(""), json!(0), json!(false)] {
        let fields = json!({"correlation_id": id, "chat_id": true});
        assert_refused(&stage, fields, (400, error("correlation_id is required"))).await;
    }
    let answer = stage.app.call(CALLBACK, TOKEN, &json!({})).await;
    assert_eq!(answer.pair(), (400, error("correlation_id is required")));
    stage.end().await;
}

#[tokio::test]
async fn an_id_of_nobodys_is_404_before_the_rest_of_the_body_counts() {
    let stage = Stage::set().await;
    for id in [
        json!(GIVEN),
        json!("not-a-uuid"),
        json!(" "),
        json!(7),
        json!([GIVEN]),
        json!(format!("{{{GIVEN}}}")),
        json!("\0"),
    ] {
        for rest in [
            json!({}),
            json!({"status": "completed"}),
            json!({"chat_id": "abc"}),
        ] {
            let fields = merged(rest, json!({"correlation_id": id}));
            assert_refused(&stage, fields, (404, error("No user found for correlation id"))).await;
        }
    }
    stage.end().await;
}

#[tokio::test]
async fn an_id_that_two_users_share_is_told_from_an_unknown_one() {
    let stage = Stage::set().await;
    stage.invite().await;
    stage
        .sql(&format!(
            "update users set bot_correlation_id = '{GIVEN}' where id = '{JOHN}'"
        ))
        .await;
    for fields in [json!({}), json!({"chat_id": "abc"})] {
        assert_refused(&stage, fields, (500, error("Database error fetching user"))).await;
    }
    stage.end().await;
}

#[tokio::test]
async fn a_user_without_a_tenant_cannot_go_on() {
    let stage = Stage::set().await;
    stage.invite().await;
    stage
        .sql(&format!("update users set tenant_id = null where id = '{NINA}'"))
        .await;
    for fields in [json!({}), json!({"status": "completed"})] {
        assert_refused(&stage, fields, (500, error("Database error fetching tenant"))).await;
    }
    stage.end().await;
}

#[tokio::test]
async fn completed_needs_a_chat() {
    let stage = Stage::set().await;
    stage.invite().await;
    let text = "chat_id is required to mark onboarding completed";
    for chat_id in [json!(null), json!(""), json!(false)] {
        let fields = json!({"status": "completed", "chat_id": chat_id});
        assert_refused(&stage, fields, (400, error(text))).await;
    }
    stage.end().await;
}

#[tokio::test]
async fn values_that_the_row_cannot_take_are_the_callers_mistake() {
    let stage = Stage::set().await;
    stage.invite().await;
    for fields in [
        json!({"chat_id": "abc"}),
        json!({"chat_id": "NaN"}),
        json!({"chat_id": 1.5}),
        json!({"chat_id": 1e300}),
        json!({"chat_id": true}),
        json!({"chat_id": [7]}),
        json!({"chat_id": "7\0"}),
        json!({"chat_id": "7", "joined_at": "yesterday"}),
        json!({"chat_id": "7", "joined_at": "2025-13-45"}),
        json!({"chat_id": "7", "joined_at": "13 o'clock"}),
        json!({"chat_id": "7", "joined_at": "infinity"}),
        json!({"chat_id": "7", "joined_at": 1_731_493_800}),
        json!({"chat_id": "7", "telegram_user_id": true}),
        json!({"chat_id": "7", "telegram_user_id": "\0"}),
        json!({"status": "failed", "retry_count": 1.5}),
        json!({"status": "failed", "retry_count": 2_147_483_648_u32}),
        json!({"deep_link": "\0"}),
        json!({"deep_link": {}}),
        json!({"deep_link": "x".repeat(4_000_000)}),
    ] {
        assert_refused(&stage, fields, (400, error("Failed to update user state"))).await;
    }
    stage.end().await;
}

#[tokio::test]
async fn a_constraint_of_the_operators_is_told_as_a_failed_update() {
    let stage = Stage::set().await;
    stage.invite().await;
    stage
        .sql("create unique index on users (tenant_id, telegram_chat_id)")
        .await;
    let taken = json!({"chat_id": crate::support::app::CHAT_ID});
    assert_refused(&stage, taken, (400, error("Failed to update user state"))).await;
    stage.end().await;
}

#[tokio::test]
async fn hostile_bodies_are_refused_and_nothing_is_written() {
    let stage = Stage::set().await;
    stage.invite().await;
    let before = stage.nina().await;
    let deep = format!(
        r#"{{"correlation_id":"{GIVEN}","x":{}"#,
        r#"{"x":"#.repeat(50_000)
    );
    let huge = format!(
        r#"{{"correlation_id":"{GIVEN}","error":"{}"}}"#,
        "x".repeat(5_300_000)
    );
    let number = format!(r#"{{"correlation_id":"{GIVEN}","chat_id":1e400}}"#);
    let surrogate = format!(r#"{{"correlation_id":"{GIVEN}","error":"\udfff"}}"#);
    let duplicate = format!(r#"{{"correlation_id":"{GIVEN}","correlation_id":null}}"#);
    let json = "Invalid JSON payload";
    for (name, body, status, text) in [
        ("empty", "", 400, json),
        ("null", "null", 400, json),
        ("form", "correlation_id=7", 400, json),
        ("nested", deep.as_str(), 400, json),
        ("number", &number, 400, json),
        ("surrogate", &surrogate, 400, json),
        ("array", "[]", 400, "correlation_id is required"),
        ("duplicate", &duplicate, 400, "correlation_id is required"),
        ("over 5 MB", &huge, 413, "Payload too large"),
    ] {
        let answer = stage.raw(CALLBACK, TOKEN, body).await;
        assert_eq!(answer.pair(), (status, error(text)), "{name}");
    }
    stage.assert_untouched(&before, "hostile").await;
    stage.end().await;
}

#[tokio::test]
async fn an_error_of_ours_says_so() {
    let stage = Stage::set().await;
    stage.invite().await;
    let before = stage.nina().await;
    stage
        .sql(
            "create function refuse() returns trigger language plpgsql as $$ begin raise 'not today'; end $$;
             create trigger refuse before update on users for each row execute function refuse()",
        )
        .await;
    let answer = stage.callback(json!({"status": "cancelled"})).await;
    let expected = json!({"error": "Unexpected server error", "message": "Internal server error"});
    assert_eq!(answer.pair(), (500, expected));
    stage.assert_untouched(&before, "refused by a trigger").await;
    stage.end().await;
}
