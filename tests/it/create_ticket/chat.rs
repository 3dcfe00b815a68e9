//! The chat's Telegram messages: the newest becomes the ticket's, those before it are forgotten.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{created, post};
use crate::support::TestApp;
use crate::support::app::TENANT;

/// All messages, by text.
async fn messages(app: &TestApp) -> Value {
    let query =
        "select coalesce(jsonb_agg(jsonb_build_array(m.message_text, m.ticket_id, m.tenant_id, m.message_seq)
                   order by m.message_text), '[]')::text from telegram_messages m";
    serde_json::from_str(&app.text(query).await.unwrap()).unwrap()
}

async fn store(app: &TestApp, values: &str) {
    let insert = format!(
        "insert into telegram_messages (chat_id, message_text, message_seq, created_at) values {values}"
    );
    app.db.batch_execute(&insert).await.unwrap();
}

#[tokio::test]
async fn the_newest_message_of_the_chat_keeps_its_link_and_the_others_go() {
    let app = TestApp::start().await;
    store(
        &app,
        "('123456789', 'first', 1, now() - interval '3 min'), ('123456789', 'newest', 3, now() - interval '1 min'),
         ('123456789', 'second', 2, now() - interval '2 min'), ('987654321', 'of another chat', 1, now())",
    )
    .await;
    let ticket = created(&post(&app, &json!({"chatId": 123_456_789})).await);
    let other = json!(["of another chat", null, null, 1]);
    let linked = json!(["newest", ticket["ticket_id"], TENANT, 1]);
    assert_eq!(messages(&app).await, json!([linked, other]));

    // The next ticket has messages of its own, or none.
    let without = created(&post(&app, &json!({})).await);
    store(&app, "('123456789', 'next', null, now())").await;
    let next = created(&post(&app, &json!({})).await);
    assert_ne!(without["ticket_id"], next["ticket_id"]);
    let expected = json!([linked, ["next", next["ticket_id"], TENANT, 1], other]);
    assert_eq!(messages(&app).await, expected);
}

#[tokio::test]
async fn messages_of_another_tenant_in_the_same_chat_stay() {
    let app = TestApp::start().await;
    app.db
        .batch_execute(
            "insert into tenants (id, name, email) values ('d0000000-0000-4000-8000-000000000002', 'Other', 'o@example.com');
             insert into telegram_messages (chat_id, tenant_id, message_text)
               values ('123456789', 'd0000000-0000-4000-8000-000000000002', 'theirs')",
        )
        .await
        .unwrap();
    let before = messages(&app).await;
    created(&post(&app, &json!({})).await);
    assert_eq!(messages(&app).await, before);
}

#[tokio::test]
async fn a_refused_ticket_leaves_the_messages_alone() {
    let app = TestApp::start().await;
    store(&app, "('5', 'mine', 1, now())").await;
    assert_eq!(post(&app, &json!({"chatId": "5"})).await.status, 400);
    assert_eq!(messages(&app).await, json!([["mine", null, null, 1]]));
}

#[tokio::test]
async fn messages_that_cannot_be_linked_do_not_undo_the_ticket() {
    let app = TestApp::start().await;
    store(&app, "('123456789', 'mine', 1, now())").await;
    app.db
        .batch_execute("alter table telegram_messages add constraint never check (ticket_id is null)")
        .await
        .unwrap();
    created(&post(&app, &json!({})).await);
    assert_eq!(app.count("tickets").await, 1);
    assert_eq!(messages(&app).await, json!([["mine", null, null, 1]]));
}

#[tokio::test]
async fn tickets_of_one_chat_at_once_share_its_messages_out_without_a_deadlock() {
    let app = TestApp::start().await;
    for n in 0..20 {
        store(
            &app,
            &format!("('123456789', '{n}', {n} + 1, now() + interval '{n} s')"),
        )
        .await;
    }
    let changes = json!({});
    for answer in join_all((0..20).map(|_| post(&app, &changes))).await {
        created(&answer);
    }
    assert_eq!(app.count("telegram_messages where ticket_id is null").await, 0);
    assert_eq!(app.count("telegram_messages where message_text = '19'").await, 1);
}
