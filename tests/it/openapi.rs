//! The OpenAPI document: fresh, complete, and served with its pages from this host alone.

use std::collections::BTreeMap;
use std::path::Path;

use dropwire::config::DEFAULT_LISTEN;
use dropwire::dev;
use dropwire::functions;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::app::ticket;
use crate::support::program::run;

fn document() -> Value {
    serde_json::from_str(&functions::service(&format!("http://{DEFAULT_LISTEN}")).spec()).unwrap()
}

/// The statuses of an operation and the schemas of their bodies.
fn answers(document: &Value, path: &str) -> BTreeMap<u16, String> {
    let responses = document["paths"][path]["post"]["responses"].as_object().unwrap();
    let schema = |response: &Value| {
        let schema = &response["content"]["application/json"]["schema"];
        // Where two may answer, the first is the gateway's.
        let reference = schema
            .pointer("/allOf/0/$ref")
            .or(schema.pointer("/anyOf/0/$ref"))
            .unwrap_or(&schema["$ref"])
            .as_str()
            .unwrap();
        reference.trim_start_matches("#/components/schemas/").to_owned()
    };
    responses
        .iter()
        .map(|(status, response)| (status.parse().unwrap(), schema(response)))
        .collect()
}

#[tokio::test]
async fn the_file_is_what_the_program_prints() {
    let printed = run(&["openapi"], &[]).await;
    assert_eq!((printed.code, printed.stderr.as_str()), (Some(0), ""));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi/dropwire.yaml");
    let kept = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        kept == printed.stdout,
        "openapi/dropwire.yaml is stale: run `make openapi`"
    );
}

#[test]
fn every_answer_of_the_functions_is_described() {
    let document = document();
    let with = |body: &str, statuses: &[u16]| -> BTreeMap<u16, String> {
        statuses.iter().map(|status| (*status, body.to_owned())).collect()
    };
    let mut ticket = with("TicketRefused", &[400, 403, 404, 405, 408, 413, 422, 500, 503]);
    ticket.extend([
        (200, "TicketCreated".to_owned()),
        (401, "GatewayRefusal".to_owned()),
    ]);
    assert_eq!(answers(&document, "/functions/v1/telegram-webhook"), ticket);

    let mut ticket = with("NewTicketRefused", &[400, 405, 408, 413, 422, 500, 503]);
    ticket.extend([
        (200, "TicketCreatedWithRules".to_owned()),
        (401, "GatewayRefusal".to_owned()),
    ]);
    assert_eq!(answers(&document, "/functions/v1/create-ticket"), ticket);

    let mut update = with("UpdateRefused", &[400, 401, 405, 408, 413, 500, 503]);
    update.insert(200, "UpdateTaken".to_owned());
    assert_eq!(
        answers(&document, "/functions/v1/executor-ticket-webhook"),
        update
    );

    let mut dispatch = with("DispatchRefused", &[403, 405, 500]);
    dispatch.extend([
        (200, "DispatchReport".to_owned()),
        (401, "GatewayRefusal".to_owned()),
    ]);
    assert_eq!(
        answers(&document, "/functions/v1/ticket-activity-webhook"),
        dispatch
    );

    let mut request = with(
        "OnboardingRefused",
        &[400, 403, 404, 405, 408, 409, 413, 500, 502, 503],
    );
    request.extend([
        (200, "OnboardingCompleted".to_owned()),
        (202, "OnboardingQueued".to_owned()),
        (401, "GatewayRefusal".to_owned()),
    ]);
    assert_eq!(
        answers(&document, "/functions/v1/user-onboarding-request"),
        request
    );

    let mut callback = with("CallbackRefused", &[400, 401, 404, 405, 408, 413, 500, 503]);
    callback.insert(200, "OnboardingReceived".to_owned());
    assert_eq!(
        answers(&document, "/functions/v1/user-onboarding-callback"),
        callback
    );
}

#[test]
fn operations_have_their_ids_servers_and_both_ways_to_send_a_key() {
    let document = document();
    assert_eq!(document["servers"], json!([{"url": "http://127.0.0.1:54321"}]));
    for (path, id) in [
        ("/functions/v1/telegram-webhook", "telegramWebhook"),
        ("/functions/v1/ticket-activity-webhook", "ticketActivityWebhook"),
        ("/functions/v1/create-ticket", "createTicket"),
    ] {
        let operation = &document["paths"][path]["post"];
        assert_eq!(operation["operationId"], id);
        assert_eq!(operation["security"], json!([{"bearer": []}, {"apikey": []}]));
    }
    let schemes = &document["components"]["securitySchemes"];
    assert_eq!(
        (&schemes["bearer"]["type"], &schemes["bearer"]["scheme"]),
        (&json!("http"), &json!("bearer"))
    );
    assert_eq!(
        (
            &schemes["apikey"]["type"],
            &schemes["apikey"]["in"],
            &schemes["apikey"]["name"]
        ),
        (&json!("apiKey"), &json!("header"), &json!("apikey"))
    );
}

#[test]
fn the_request_is_the_guides() {
    let request = &document()["components"]["schemas"]["TicketRequest"];
    let required = [
        "issue",
        "location",
        "category",
        "priority",
        "name",
        "chat_id",
        "tenant_id",
    ];
    assert_eq!(request["required"], json!(required));
    let properties: Vec<_> = request["properties"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let optional = ["designation", "department", "type", "building", "floor", "room"];
    assert_eq!(properties, [required.as_slice(), optional.as_slice()].concat());
    assert_eq!(request["properties"]["chat_id"]["type"], "string");
    let text = request["properties"]["chat_id"]["description"].as_str().unwrap();
    assert!(text.contains("a number is accepted too"), "{text}");
    assert_eq!(request["example"]["issue"], "AC not working in Building A");
}

#[tokio::test]
async fn examples_of_refusals_are_what_is_answered() {
    let app = TestApp::start().await;
    let path = "/functions/v1/telegram-webhook";
    let document = document();
    let example = |status: &str| {
        let response = &document["paths"][path]["post"]["responses"][status];
        response["content"]["application/json"]["schema"]["example"].clone()
    };
    let empty = app.call("telegram-webhook", dev::ANON_KEY, &json!({})).await;
    assert_eq!(empty.json(), example("400"));
    let nobody = &document["components"]["schemas"]["TicketRequest"]["example"];
    let nobody = ticket(&json!({"chat_id": nobody["chat_id"], "tenant_id": nobody["tenant_id"]}));
    assert_eq!(
        app.call("telegram-webhook", dev::ANON_KEY, &nobody).await.json(),
        example("404")
    );
    let get = app
        .send("telegram-webhook", Method::GET, Some(dev::ANON_KEY), "")
        .await;
    assert_eq!(get.json(), example("405"));
    let keyless = app.send("telegram-webhook", Method::POST, None, "{}").await;
    assert_eq!(
        keyless.json(),
        document["components"]["schemas"]["GatewayRefusal"]["example"]
    );
    app.stop().await;
}

#[tokio::test]
async fn document_and_pages_are_served_from_this_host_alone() {
    let app = TestApp::start().await;
    let yaml = app
        .http
        .get(format!("{}/openapi.yaml", app.url))
        .send()
        .await
        .unwrap();
    assert_eq!(yaml.headers()["content-type"], "application/yaml");
    let yaml = yaml.text().await.unwrap();
    assert!(
        yaml.contains(&format!("- url: {}\n", app.url)),
        "the server is this one"
    );
    let own = |text: &str| {
        text.lines()
            .filter(|line| !line.starts_with("- url: "))
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(own(&yaml), own(&functions::service("").spec_yaml()));

    for path in ["/docs", "/docs/"] {
        let page = app.http.get(format!("{}{path}", app.url)).send().await.unwrap();
        assert_eq!(page.status(), 200, "{path}");
        assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
        let page = page.text().await.unwrap();
        for tag in ["<script", "<link", "<img", "<iframe"] {
            for rest in page.split(tag).skip(1) {
                let attributes = rest.split('>').next().unwrap();
                assert!(
                    !attributes.contains(" src=") && !attributes.contains(" href="),
                    "{tag}{attributes}"
                );
            }
        }
        assert!(!page.contains("@import"), "no style from elsewhere");
    }
    app.stop().await;
}
