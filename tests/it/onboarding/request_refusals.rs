//! `user-onboarding-request`: one case per row of the contract's table of errors, and hostile bodies.

use serde_json::json;

use super::*;

/// A refusal: what is sent, and what is answered. Nothing may be written, and Make not called.
async fn assert_refused(stage: &Stage, caller: &str, body: &Value, expected: (u16, Value)) {
    let before = stage.nina().await;
    let answer = stage.app.call(REQUEST, &token(caller), body).await;
    assert_eq!(answer.pair(), expected, "{body}");
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    stage.assert_untouched(&before, &body.to_string()).await;
}

#[tokio::test]
async fn only_post_is_taken() {
    let stage = Stage::set().await;
    for method in [Method::GET, Method::PUT, Method::PATCH, Method::DELETE] {
        let answer = stage.app.send(REQUEST, method, Some(&token(ADMIN)), "").await;
        assert_eq!(answer.pair(), (405, error("Method not allowed")));
        assert_eq!(answer.headers["allow"], "POST, OPTIONS");
    }
    stage.end().await;
}

#[tokio::test]
async fn the_gateway_answers_first_to_what_is_no_key_of_the_project() {
    let stage = Stage::set().await;
    let body = json!({"user_id": NINA});
    let before = stage.nina().await;
    for (authorization, message) in [
        (None, "Missing authorization header"),
        (Some("Basic eA=="), "Invalid Token or Protected Header formatting"),
        (Some("Bearer nonsense"), "Invalid JWT"),
        (Some("Bearer an-opaque-callback-token"), "Invalid JWT"),
    ] {
        let answer = stage.post_as(REQUEST, authorization, &body).await;
        assert_eq!(answer.pair(), (401, json!({"code": 401, "message": message})));
    }
    stage.assert_untouched(&before, "gateway").await;
    stage.end().await;
}

#[tokio::test]
async fn a_key_beside_the_authorization_header_is_not_enough() {
    let stage = Stage::set().await;
    let before = stage.nina().await;
    let url = format!("{}/functions/v1/{REQUEST}", stage.app.url);
    let body = json!({"user_id": NINA}).to_string();
    let user = token(ADMIN);
    let lower = format!("bearer {user}");
    for headers in [
        vec![("apikey", user.as_str())],
        vec![("apikey", dev::ANON_KEY)],
        vec![("apikey", user.as_str()), ("authorization", "Basic eA==")],
        vec![("authorization", lower.as_str())],
    ] {
        let mut request = stage.app.http.post(&url).body(body.clone());
        for (name, value) in &headers {
            request = request.header(*name, *value);
        }
        let answer = read(request.send().await.unwrap()).await;
        assert_eq!(
            answer.pair(),
            (401, error("Missing or invalid authorization header")),
            "{headers:?}"
        );
    }
    stage.assert_untouched(&before, "apikey").await;
    stage.end().await;
}

#[tokio::test]
async fn the_projects_own_keys_are_no_users() {
    let stage = Stage::set().await;
    let before = stage.nina().await;
    for key in project_keys() {
        let answer = stage.app.call(REQUEST, key, &json!({"user_id": NINA})).await;
        assert_eq!(answer.pair(), (401, error("Unauthorized")), "{key}");
    }
    // A token of a user, but not of which.
    for claims in [
        json!({"role": "authenticated"}),
        json!({"role": "authenticated", "sub": "x"}),
        json!({"role": "service_role", "sub": ADMIN}),
    ] {
        let secret = dropwire::config::Secret::new(dev::JWT_SECRET);
        let token = dropwire::auth::jwt::sign(&secret, &claims).unwrap();
        let answer = stage.app.call(REQUEST, &token, &json!({"user_id": NINA})).await;
        assert_eq!(answer.pair(), (401, error("Unauthorized")), "{claims}");
    }
    stage.assert_untouched(&before, "keys").await;
    stage.end().await;
}

#[tokio::test]
async fn what_the_body_lacks_is_told_before_the_caller_is_looked_up() {
    let stage = Stage::set().await;
    let stranger = Uuid::new_v4().to_string();
    for (body, text) in [
        (json!({}), "user_id is required"),
        (json!([]), "user_id is required"),
        (json!({"user_id": null}), "user_id is required"),
        (json!({"user_id": ""}), "user_id is required"),
        (json!({"user_id": 7}), "user_id is required"),
        (
            json!({"user_id": NINA, "correlation_id": "x"}),
            "correlation_id must be a UUID",
        ),
        (
            json!({"user_id": NINA, "correlation_id": 7}),
            "correlation_id must be a UUID",
        ),
        (
            json!({"user_id": NINA, "correlation_id": format!("{{{GIVEN}}}")}),
            "correlation_id must be a UUID",
        ),
        (
            json!({"user_id": NINA, "reason": 7}),
            "reason must be a string of at most 200 characters",
        ),
        (
            json!({"user_id": NINA, "reason": "x".repeat(201)}),
            "reason must be a string of at most 200 characters",
        ),
    ] {
        assert_refused(&stage, &stranger, &body, (400, error(text))).await;
    }
    stage.end().await;
}

#[tokio::test]
async fn the_caller_is_an_admin_of_a_tenant() {
    let stage = Stage::set().await;
    let body = json!({"user_id": NINA});
    let no_profile = error("Unable to load profile for authenticated user");
    assert_refused(&stage, &Uuid::new_v4().to_string(), &body, (403, no_profile)).await;

    let no_admin = || (403, error("Only tenant admins can trigger onboarding"));
    for role in ["admin", "executor", "complainant"] {
        stage
            .sql(&format!("update users set role = '{role}' where id = '{ADMIN}'"))
            .await;
        assert_refused(&stage, ADMIN, &body, no_admin()).await;
    }
    stage
        .sql(&format!(
            "update users set role = 'tenant_admin', tenant_id = null where id = '{ADMIN}'"
        ))
        .await;
    assert_refused(&stage, ADMIN, &body, no_admin()).await;
    // Before the target is looked up.
    assert_refused(&stage, ADMIN, &json!({"user_id": "x"}), no_admin()).await;

    // As in the original, deactivated does not mean dismissed.
    stage
        .sql(&format!(
            "update users set tenant_id = '{TENANT}', is_active = false where id = '{ADMIN}'"
        ))
        .await;
    assert_eq!(stage.ask(&body).await.status, 202);
    stage.end().await;
}

#[tokio::test]
async fn the_target_is_a_user_of_the_callers_tenant_with_an_address() {
    let stage = Stage::set().await;
    let body = json!({"user_id": NINA});
    for unknown in [
        Uuid::new_v4().to_string(),
        "x".to_owned(),
        " ".to_owned(),
        "1\0".to_owned(),
    ] {
        let body = json!({"user_id": unknown});
        assert_refused(&stage, ADMIN, &body, (404, error("Target user not found"))).await;
    }

    stage
        .sql(&format!(
            "insert into tenants (id, name, email) values ('{GIVEN}', 'Other', 'other@example.com');
             update users set email = '', role = 'admin' where id = '{NINA}'"
        ))
        .await;
    for tenant in [format!("'{GIVEN}'"), "null".to_owned()] {
        stage
            .sql(&format!(
                "update users set tenant_id = {tenant} where id = '{NINA}'"
            ))
            .await;
        let expected = (403, error("User does not belong to your tenant"));
        assert_refused(&stage, ADMIN, &body, expected).await;
    }

    // A tenant that is gone, as without the original's foreign key.
    stage
        .sql(&format!(
            "alter table users drop constraint users_tenant_id_fkey;
             update users set tenant_id = '{}' where id in ('{NINA}', '{ADMIN}')",
            Uuid::from_u128(7)
        ))
        .await;
    for role in ["admin", "tenant_admin"] {
        stage
            .sql(&format!("update users set role = '{role}' where id = '{NINA}'"))
            .await;
        let text = "Onboarding is only available for executors or complainants";
        assert_refused(&stage, ADMIN, &body, (409, error(text))).await;
    }
    stage
        .sql(&format!(
            "update users set role = 'complainant' where id = '{NINA}'"
        ))
        .await;
    let text = "Target user is missing an email address";
    assert_refused(&stage, ADMIN, &body, (400, error(text))).await;
    stage
        .sql(&format!(
            "update users set email = 'n@example.com' where id = '{NINA}'"
        ))
        .await;
    let text = "Tenant not found for user";
    assert_refused(&stage, ADMIN, &body, (404, error(text))).await;
    stage.end().await;
}

#[tokio::test]
async fn the_checks_come_before_a_missing_url() {
    let stage = Stage::with(&[("MAKE_USER_ONBOARDING_WEBHOOK_URL", "")]).await;
    stage
        .sql(&format!("update users set role = 'admin' where id = '{NINA}'"))
        .await;
    let text = "Onboarding is only available for executors or complainants";
    assert_refused(&stage, ADMIN, &json!({"user_id": NINA}), (409, error(text))).await;
    stage.end().await;
}

#[tokio::test]
async fn another_users_correlation_id_is_refused() {
    let stage = Stage::set().await;
    stage
        .sql(&format!(
            "update users set bot_correlation_id = '{GIVEN}' where id = '{JOHN}'"
        ))
        .await;
    let body = json!({"user_id": NINA, "correlation_id": GIVEN.to_uppercase()});
    let expected = (409, error("correlation_id belongs to another user"));
    assert_refused(&stage, ADMIN, &body, expected).await;
    stage.end().await;
}

#[tokio::test]
async fn hostile_bodies_are_refused_and_nothing_is_written() {
    let stage = Stage::set().await;
    let before = stage.nina().await;
    let deep = format!(
        r#"{{"user_id":"{NINA}","x":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let long = format!(r#"{{"user_id":"{NINA}","reason":"{}"}}"#, "x".repeat(4_900_000));
    let huge = format!(r#"{{"user_id":"{NINA}","reason":"{}"}}"#, "x".repeat(5_300_000));
    let json = "Invalid JSON payload";
    for (name, body, status, text) in [
        ("empty", "", 400, json),
        ("cut short", r#"{"user_id":"#, 400, json),
        ("null", "null", 400, json),
        ("nested", &deep, 400, json),
        ("surrogate", r#"{"user_id":"\ud800"}"#, 400, json),
        ("number", r#"{"user_id":1e400}"#, 400, json),
        (
            "nul",
            r#"{"user_id":"x","reason":"\u0000"}"#,
            400,
            "reason must be a string of at most 200 characters",
        ),
        (
            "long",
            &long,
            400,
            "reason must be a string of at most 200 characters",
        ),
        (
            "duplicate",
            r#"{"user_id":"x","user_id":7}"#,
            400,
            "user_id is required",
        ),
        ("over 5 MB", &huge, 413, "Payload too large"),
    ] {
        let answer = stage.raw(REQUEST, &token(ADMIN), body).await;
        assert_eq!(answer.pair(), (status, error(text)), "{name}");
    }
    stage.assert_untouched(&before, "hostile").await;
    stage.end().await;
}

#[tokio::test]
async fn an_error_of_ours_says_so_and_make_is_not_called() {
    let stage = Stage::set().await;
    let before = stage.nina().await;
    stage
        .sql("alter table users add check (bot_correlation_id is null)")
        .await;
    let answer = stage.request(json!({})).await;
    let expected = json!({"error": "Unexpected server error", "message": "Internal server error"});
    assert_eq!(answer.pair(), (500, expected));
    stage.assert_untouched(&before, "refused by a constraint").await;
    stage.end().await;
}
