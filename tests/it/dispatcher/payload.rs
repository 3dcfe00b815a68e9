//! What Make receives: headers and body, field by field.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{COMPLAINANT, comment, make_due, ran, ticket};
use crate::support::app::{TENANT, tenant};
use crate::support::sink::Received;
use crate::support::{Sink, TestApp};

/// The demo's executor user.
const EXECUTOR: &str = "d0000000-0000-4000-8000-0000000000a3";

async fn start() -> (TestApp, Sink) {
    let app = TestApp::start().await;
    let sink = Sink::start().await;
    app.set_webhook(&sink.url).await;
    (app, sink)
}

/// Delivers everything; answers what came.
async fn deliver(app: &TestApp, sink: &Sink) -> Vec<Received> {
    sink.clear();
    app.drain_all().await;
    sink.received()
}

/// The body up to the time of dispatch, which is checked.
fn before_generated_at(text: &str) -> &str {
    let (before, after) = text.split_once(r#","generated_at":""#).unwrap();
    let instant = after.strip_suffix(r#""}"#).unwrap();
    assert_eq!(instant.len(), "2025-11-13T10:31:02.000Z".len());
    let age = Utc::now() - instant.parse::<DateTime<Utc>>().unwrap();
    assert!(age.num_seconds().abs() < 30, "{instant}");
    before
}

#[tokio::test]
async fn the_whole_body_byte_for_byte() {
    let (app, sink) = start().await;
    let ticket: Uuid = app
        .db
        .query_one(
            "insert into tickets (title, description, location, category, priority, type, status, tenant_id,
               complainant_id)
             values (E'Door \"A\"\\\\', E'Line 1\\nLine 2: ü 🚪 a : b', ' Lobby ', 'Other', 'low', 'Repair', 'in-progress',
               $1, $2) returning id",
            &[&tenant(), &COMPLAINANT.parse::<Uuid>().unwrap()],
        )
        .await
        .unwrap()
        .get(0);
    app.db
        .batch_execute(&format!(
            r#"insert into ticket_activities (id, ticket_id, tenant_id, activity_type, comment, metadata, created_by,
                 created_at)
               values ('a0000000-0000-4000-8000-000000000001', '{ticket}', '{TENANT}', 'executor_update',
                 'On site, compressor motor replaced.', '{{"photo_count": 2, "a": [1.50, null, {{}}]}}', '{EXECUTOR}',
                 '2025-11-13 12:30:00.123999+02')"#
        ))
        .await
        .unwrap();

    let webhooks = deliver(&app, &sink).await;
    let head = format!(
        concat!(
            r#"{{"tenant_id":"{}","tenant_name":"ACME Facilities","ticket_id":"{}","ticket_number":"TKT-1000","#,
            r#""status":"in-progress","priority":"low","title":"Door \"A\"\\","#,
            r#""description":"Line 1\nLine 2: ü 🚪 a : b","location":" Lobby ","#,
            r#""complainant":{{"id":"{}","name":"John Doe","email":"john.doe@example.com","#,
            r#""phone":"+1-555-0100","chat_id":"123456789"}},"#,
            r#""assignee":{{"id":null,"name":null,"email":null,"phone":null,"chat_id":null}},"due_date":null"#,
        ),
        TENANT, ticket, COMPLAINANT
    );
    let activity = format!(
        concat!(
            r#","latest_activity":{{"id":"a0000000-0000-4000-8000-000000000001","type":"executor_update","#,
            r#""comment":"On site, compressor motor replaced.","#,
            r#""metadata":{{"a":[1.50,null,{{}}],"photo_count":2}},"#,
            r#""created_at":"2025-11-13T10:30:00.123Z","#,
            r#""created_by":{{"id":"{}","name":"Mike Johnson"}}}}"#,
        ),
        EXECUTOR
    );
    let [creation, update] = [0, 1].map(|n| before_generated_at(&webhooks[n].text));
    assert_eq!(creation, head, "no latest_activity where there is none");
    assert_eq!(update, head + &activity);
}

#[tokio::test]
async fn headers_are_the_contracts_and_the_deliverys_id() {
    let (app, sink) = start().await;
    ticket(&app, 0).await;
    let webhooks = deliver(&app, &sink).await;
    let webhook = &webhooks[0];
    let mut headers: Vec<_> = webhook
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort();
    let timestamp = webhook.headers["webhook-timestamp"].to_str().unwrap();
    let id = app
        .text("select id::text from ticket_webhook_queue")
        .await
        .unwrap();
    let host = sink.url.trim_start_matches("http://").trim_end_matches("/hook");
    let expected = [
        ("accept", "*/*"),
        ("content-length", &webhook.text.len().to_string()),
        ("content-type", "application/json"),
        ("host", host),
        ("user-agent", "FMS-Ticket-Activity/1.0"),
        ("webhook-id", &id),
        ("webhook-timestamp", timestamp),
    ];
    assert_eq!(
        headers,
        expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    assert_eq!(
        (webhook.method.as_str(), webhook.path.as_str()),
        ("POST", "/hook")
    );
    let age = Utc::now().timestamp() - timestamp.parse::<i64>().unwrap();
    assert!((0..60).contains(&age), "{age}");
}

#[tokio::test]
async fn the_id_is_stable_over_retries_and_differs_between_entries() {
    let (app, sink) = start().await;
    ticket(&app, 1).await;
    sink.reply([500, 500]);
    for _ in 0..2 {
        assert_eq!(app.drain().await, ran(0, 1));
        make_due(&app).await;
    }
    assert_eq!(app.drain().await, ran(2, 0));
    let ids: Vec<_> = sink.received().iter().map(Received::webhook_id).collect();
    assert_eq!(ids[..3], vec![ids[0].clone(); 3]);
    assert_ne!(ids[3], ids[0]);
}

#[tokio::test]
async fn the_complainant_is_always_there_with_null_for_what_is_unknown() {
    let (app, sink) = start().await;
    let bare: Uuid = app
        .db
        .query_one(
            "insert into users (tenant_id, email, role) values ($1, 'bare@example.com', 'complainant') returning id",
            &[&tenant()],
        )
        .await
        .unwrap()
        .get(0);
    for (complainant, id, email) in [
        (Some(bare), json!(bare), json!("bare@example.com")),
        (None, Value::Null, Value::Null),
    ] {
        let ticket = ticket(&app, 0).await;
        let sql = "update tickets set complainant_id = $1 where id = $2";
        app.db.execute(sql, &[&complainant, &ticket]).await.unwrap();
        let expected = json!({"id": id, "name": null, "email": email, "phone": null, "chat_id": null});
        let webhooks = deliver(&app, &sink).await;
        assert_eq!(webhooks[0].body["complainant"].to_string(), expected.to_string());
    }
}

#[tokio::test]
async fn a_chat_id_is_a_decimal_string_without_a_fraction() {
    let (app, sink) = start().await;
    let cases = [
        ("123456789", "123456789"),
        ("123456789.0", "123456789"),
        ("1001.000", "1001"),
        ("1e3", "1000"),
        ("9007199254740993", "9007199254740993"),
        ("-1001234567890123456", "-1001234567890123456"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("0", "0"),
    ];
    for (stored, expected) in cases {
        let sql = "update users set telegram_chat_id = $1::text::numeric where id = $2";
        let complainant: Uuid = COMPLAINANT.parse().unwrap();
        app.db.execute(sql, &[&stored, &complainant]).await.unwrap();
        ticket(&app, 0).await;
        let webhooks = deliver(&app, &sink).await;
        assert_eq!(webhooks[0].body["complainant"]["chat_id"], expected);
    }
}

#[tokio::test]
async fn an_activity_keeps_its_nulls_and_names_its_author() {
    let (app, sink) = start().await;
    let ticket = ticket(&app, 0).await;
    let nameless: Uuid = app
        .db
        .query_one(
            "insert into users (tenant_id, email, role) values ($1, 'x@example.com', 'executor') returning id",
            &[&tenant()],
        )
        .await
        .unwrap()
        .get(0);
    let executor: Uuid = EXECUTOR.parse().unwrap();
    deliver(&app, &sink).await;
    for (author, expected) in [
        (None, Value::Null),
        (Some(executor), json!({"id": executor, "name": "Mike Johnson"})),
        (Some(nameless), json!({"id": nameless, "name": null})),
    ] {
        let sql = "insert into ticket_activities (ticket_id, activity_type, created_by, created_at)
                   values ($1, 'complainant_comment', $2, '2025-01-01 00:00:00Z') returning id";
        let id: Uuid = app.db.query_one(sql, &[&ticket, &author]).await.unwrap().get(0);
        let expected = json!({
            "id": id, "type": "complainant_comment", "comment": null, "metadata": null,
            "created_at": "2025-01-01T00:00:00.000Z", "created_by": expected
        });
        let webhooks = deliver(&app, &sink).await;
        assert_eq!(
            webhooks[0].body["latest_activity"].to_string(),
            expected.to_string()
        );
    }
}

#[tokio::test]
async fn metadata_goes_out_as_it_is_stored() {
    let (app, sink) = start().await;
    let ticket = ticket(&app, 0).await;
    for metadata in [
        r#"{"n":12345678901234567890123,"f":1e400,"s":"a : \"b\""}"#,
        "{}",
        "[]",
        r#""text""#,
        "null",
    ] {
        let sql = "insert into ticket_activities (ticket_id, activity_type, metadata)
                   values ($1, 'admin_comment', $2::text::jsonb)";
        app.db.execute(sql, &[&ticket, &metadata]).await.unwrap();
        let sent = deliver(&app, &sink).await.pop().unwrap();
        // Compared by PostgreSQL, which rounds no number.
        let same = "select ($1::text::jsonb) #> '{latest_activity,metadata}' = $2::text::jsonb";
        assert!(
            app.db
                .query_one(same, &[&sent.text, &metadata])
                .await
                .unwrap()
                .get::<_, bool>(0),
            "{}",
            sent.text
        );
        let stored = "select payload = $1::text::jsonb from ticket_webhook_queue order by seq desc limit 1";
        assert!(
            app.db
                .query_one(stored, &[&sent.text])
                .await
                .unwrap()
                .get::<_, bool>(0)
        );
    }
}

#[tokio::test]
async fn the_ticket_is_told_as_it_stands_and_each_activity_is_the_entrys_own() {
    let (app, sink) = start().await;
    let ticket = ticket(&app, 0).await;
    comment(&app, ticket, 2).await;
    let renamed = "update tickets set title = 'Door, again' where id = $1";
    app.db.execute(renamed, &[&ticket]).await.unwrap();
    let webhooks = deliver(&app, &sink).await;
    let told: Vec<_> = webhooks
        .iter()
        .map(|w| {
            (
                w.body["title"].clone(),
                w.body["latest_activity"]["comment"].clone(),
            )
        })
        .collect();
    let again = json!("Door, again");
    assert_eq!(
        told,
        [
            (again.clone(), Value::Null),
            (again.clone(), "Comment 1".into()),
            (again, "Comment 2".into())
        ]
    );
}
