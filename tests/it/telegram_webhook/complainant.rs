//! Whom a chat id and a tenant id find, in every form that they come in.

use serde_json::json;

use super::{assert_created, assert_nothing_written, post_with};
use crate::support::TestApp;
use crate::support::app::{CHAT_ID, TENANT, refusal};

/// Adds a user with these further columns and values to the demo tenant; answers the id.
async fn add_user(app: &TestApp, id: u8, columns: &[(&str, &str)]) -> String {
    let id = format!("d0000000-0000-4000-8000-0000000001{id:02x}");
    let (names, values): (Vec<_>, Vec<_>) = columns.iter().copied().unzip();
    let sql = format!(
        "insert into users (id, email, full_name, role, {}, tenant_id) \
         values ('{id}', '{id}@example.com', 'Somebody', 'complainant', {}, '{TENANT}')",
        names.join(", "),
        values.join(", ")
    );
    app.db.batch_execute(&sql).await.unwrap();
    id
}

async fn complainant_of_last_ticket(app: &TestApp) -> Option<String> {
    app.text("select complainant_id::text from tickets order by ticket_number desc limit 1")
        .await
}

#[tokio::test]
async fn a_chat_id_finds_its_user_in_every_form_that_postgresql_reads_as_a_number() {
    let app = TestApp::start().await;
    let thousand = add_user(&app, 1, &[("telegram_chat_id", "1000")]).await;
    let one_more = add_user(&app, 2, &[("telegram_chat_id", "1001")]).await;
    let group = add_user(&app, 3, &[("telegram_chat_id", "-100123")]).await;
    let rounded = add_user(&app, 4, &[("telegram_chat_id", "9007199254740992")]).await;
    let exact = add_user(&app, 5, &[("telegram_chat_id", "9007199254740993")]).await;
    for (chat_id, user) in [
        (json!("1001"), &one_more),
        (json!(1001), &one_more),
        (json!(1001.0), &one_more),
        (json!([1001]), &one_more),
        (json!(" 1001"), &one_more),
        (json!("1001\n"), &one_more),
        (json!("+1001"), &one_more),
        (json!("01001"), &one_more),
        (json!("1001.0"), &one_more),
        (json!("\"1001\""), &one_more),
        (json!("1e3"), &thousand),
        (json!(-100_123), &group),
        (json!("9007199254740993"), &exact),
        (json!(9_007_199_254_740_993_u64), &rounded),
    ] {
        assert_created(&post_with(&app, &json!({"chat_id": chat_id})).await);
        assert_eq!(
            complainant_of_last_ticket(&app).await.as_ref(),
            Some(user),
            "{chat_id}"
        );
    }
}

#[tokio::test]
async fn a_telegram_user_id_finds_its_user_as_text() {
    let app = TestApp::start().await;
    let user = add_user(&app, 1, &[("telegram_user_id", "'777'")]).await;
    for chat_id in [json!("777"), json!(777), json!("\"777\"")] {
        assert_created(&post_with(&app, &json!({"chat_id": chat_id})).await);
        assert_eq!(
            complainant_of_last_ticket(&app).await.as_ref(),
            Some(&user),
            "{chat_id}"
        );
    }
    for chat_id in ["0777", "777.0", " 777"] {
        let error = format!("User not found with chat_id: {chat_id} in tenant: {TENANT}");
        assert_eq!(
            post_with(&app, &json!({"chat_id": chat_id}))
                .await
                .function_pair(),
            refusal(404, &error)
        );
    }
}

#[tokio::test]
async fn a_tenant_id_is_read_in_every_form_that_postgresql_reads() {
    let app = TestApp::start().await;
    let plain: String = TENANT.chars().filter(|c| *c != '-').collect();
    for tenant in [
        TENANT.to_uppercase(),
        plain.clone(),
        format!("{{{TENANT}}}"),
        format!("{{{plain}}}"),
    ] {
        assert_created(&post_with(&app, &json!({"tenant_id": tenant})).await);
    }
    assert_eq!(
        app.count(&format!("tickets where tenant_id = '{TENANT}'")).await,
        4
    );
}

#[tokio::test]
async fn an_unknown_user_is_404_with_both_values_as_javascript_prints_them() {
    let app = TestApp::start().await;
    let nobody = "00000000-0000-4000-8000-000000000000";
    let other = "e0000000-0000-4000-8000-000000000001";
    let sql = format!("insert into tenants (id, name, email) values ('{other}', 'Other', 'o@example.com')");
    app.db.batch_execute(&sql).await.unwrap();
    for (chat_id, tenant_id, shown, shown_tenant) in [
        (json!("42"), json!(TENANT), "42", TENANT),
        (json!(42.50), json!(TENANT), "42.5", TENANT),
        (json!(1e21), json!(TENANT), "1e+21", TENANT),
        (json!(" 42 "), json!(TENANT), " 42 ", TENANT),
        (json!([42]), json!([TENANT]), "42", TENANT),
        (json!("NaN"), json!(TENANT), "NaN", TENANT),
        (json!("-Infinity"), json!(TENANT), "-Infinity", TENANT),
        (json!(CHAT_ID), json!(nobody), CHAT_ID, nobody),
        (json!(CHAT_ID), json!(other), CHAT_ID, other),
        (
            json!("42"),
            json!(TENANT.to_uppercase()),
            "42",
            &TENANT.to_uppercase(),
        ),
    ] {
        let answer = post_with(&app, &json!({"chat_id": chat_id, "tenant_id": tenant_id})).await;
        let error = format!("User not found with chat_id: {shown} in tenant: {shown_tenant}");
        assert_eq!(answer.function_pair(), refusal(404, &error));
    }
    assert_nothing_written(&app).await;
}

#[tokio::test]
async fn an_inactive_user_is_403() {
    let app = TestApp::start().await;
    let inactive = refusal(403, "User is not active and cannot create tickets");
    for active in ["false", "null"] {
        app.db
            .batch_execute(&format!("update users set is_active = {active}"))
            .await
            .unwrap();
        assert_eq!(
            post_with(&app, &json!({})).await.function_pair(),
            inactive,
            "is_active {active}"
        );
    }
    assert_nothing_written(&app).await;
}

#[tokio::test]
async fn of_users_who_share_a_chat_id_the_newest_active_one_wins() {
    let app = TestApp::start().await;
    let chat = ("telegram_chat_id", CHAT_ID);
    add_user(&app, 1, &[chat, ("created_at", "now() - interval '1 year'")]).await;
    let newest = add_user(&app, 2, &[chat, ("created_at", "now() + interval '1 hour'")]).await;
    add_user(
        &app,
        3,
        &[
            chat,
            ("created_at", "now() + interval '2 hours'"),
            ("is_active", "false"),
        ],
    )
    .await;
    assert_created(&post_with(&app, &json!({})).await);
    assert_eq!(complainant_of_last_ticket(&app).await, Some(newest));
}

#[tokio::test]
async fn a_chat_id_cannot_inject_conditions() {
    let app = TestApp::start().await;
    for chat_id in [
        "1,id.neq.0",
        "1)",
        "1),id.neq.0",
        "0 or 1=1",
        "1'; drop table tickets; --",
        "telegram_chat_id",
        "*",
    ] {
        let answer = post_with(&app, &json!({"chat_id": chat_id})).await;
        assert_eq!(
            answer.function_pair(),
            refusal(400, "Invalid chat_id"),
            "{chat_id}"
        );
    }
    assert_nothing_written(&app).await;

    // In a field that is stored, the same text is only text.
    let text = "1'); drop table tickets; -- ,id.neq.0 \\ $1 ${x} \"";
    assert_created(&post_with(&app, &json!({"issue": text})).await);
    assert_eq!(app.text("select title from tickets").await.unwrap(), text);
}
