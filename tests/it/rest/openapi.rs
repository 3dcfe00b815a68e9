//! The root: what tools read tables, columns, keys and functions from, by what the role may use.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::app::{RestApp, RestClient};
use super::cases::{Wrong, api, api_with};

const SQL: &str = include_str!("openapi.sql");

async fn document(client: &RestClient<'_>) -> Value {
    let answer = client.get("/").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(
        answer.headers["content-type"],
        "application/openapi+json; charset=utf-8"
    );
    answer.json()
}

/// The names of an object's members, in the order of the alphabet.
fn names(object: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn columns_have_types_formats_defaults_and_keys() {
    let app = api(SQL).await;
    let document = document(&app.anon()).await;
    assert_eq!(document["swagger"], "2.0");
    assert_eq!(document["info"]["title"], "Library");
    assert_eq!(document["info"]["description"], "Books and who wrote them.");
    let books = &document["definitions"]["books"];
    assert_eq!(books["type"], "object");
    assert_eq!(books["required"], json!(["id", "title", "sold"]));
    assert_eq!(books["description"], "Books on the shelf\nLent ones too.");
    let key = "Note:\nThis is a Primary Key.<pk/>";
    let reference = "Note:\nThis is a Foreign Key to `authors.id`.<fk table='authors' column='id'/>";
    let mut wrong = Wrong::default();
    for (column, property) in [
        (
            "id",
            json!({"type": "integer", "format": "int64", "description": key}),
        ),
        (
            "title",
            json!({"type": "string", "format": "character varying", "maxLength": 80, "description": "As printed"}),
        ),
        (
            "price",
            json!({"type": "number", "format": "numeric", "default": 9.5}),
        ),
        (
            "sold",
            json!({"type": "boolean", "format": "boolean", "default": false}),
        ),
        (
            "tags",
            json!({"type": "array", "format": "text[]", "items": {"type": "string"}}),
        ),
        ("extra", json!({"format": "jsonb"})),
        (
            "shelf",
            json!({"type": "string", "format": "uuid", "default": "gen_random_uuid()"}),
        ),
        (
            "added_at",
            json!({"type": "string", "format": "timestamp with time zone", "default": "now()"}),
        ),
        (
            "author_id",
            json!({"type": "integer", "format": "int32", "description": reference}),
        ),
    ] {
        wrong.unless(column, &books["properties"][column], &property);
    }
    wrong.none();
    let condition = &books["properties"]["condition"];
    assert_eq!(condition["enum"], json!(["new", "worn"]));
    // A view tells the keys of its table.
    assert_eq!(
        document["definitions"]["titles"]["properties"]["id"]["description"],
        key
    );
    app.stop().await;
}

#[tokio::test]
async fn paths_say_what_can_be_asked_and_every_reference_leads_somewhere() {
    let app = api(SQL).await;
    let document = document(&app.user(Uuid::new_v4())).await;
    let paths = &document["paths"];
    assert_eq!(
        names(paths),
        [
            "/",
            "/authors",
            "/books",
            "/counted",
            "/rpc/lend",
            "/rpc/search",
            "/titles"
        ]
    );
    let mut wrong = Wrong::default();
    for (path, methods) in [
        ("/books", vec!["delete", "get", "patch", "post"]),
        ("/titles", vec!["delete", "get", "patch", "post"]),
        ("/counted", vec!["get"]),
        ("/rpc/search", vec!["get", "post"]),
        ("/rpc/lend", vec!["post"]),
    ] {
        wrong.unless(path, &names(&paths[path]), &methods);
    }
    wrong.none();
    assert_eq!(paths["/books"]["get"]["summary"], "Books on the shelf");
    let parameters = paths["/books"]["get"]["parameters"].as_array().unwrap();
    for name in [
        "rowFilter.books.title",
        "select",
        "order",
        "range",
        "limit",
        "preferCount",
    ] {
        assert!(
            parameters.contains(&json!({"$ref": format!("#/parameters/{name}")})),
            "{name}"
        );
    }
    let search = &paths["/rpc/search"]["get"]["parameters"];
    assert_eq!(
        search[0],
        json!({"name": "wanted", "required": true, "in": "query", "type": "string", "format": "text"})
    );
    assert_eq!(search[1]["required"], false);
    let arguments = &paths["/rpc/search"]["post"]["parameters"][0]["schema"];
    assert_eq!(arguments["required"], json!(["wanted"]));
    assert_eq!(
        arguments["properties"]["most"],
        json!({"type": "integer", "format": "int32"})
    );
    assert_eq!(arguments["description"], "Finds books\nBy title.");

    let text = document.to_string();
    let mut count = 0;
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
        count += 1;
    }
    assert!(count > 20, "{count} references");
    app.stop().await;
}

#[tokio::test]
async fn each_role_sees_what_it_may_use() {
    let app = api(SQL).await;
    for (client, tables, routines) in [
        (
            app.anon(),
            vec!["authors", "books", "counted", "titles"],
            vec!["/rpc/lend", "/rpc/search"],
        ),
        (
            app.service_role(),
            vec!["accounts", "authors", "books", "counted", "titles"],
            vec!["/rpc/audit", "/rpc/lend", "/rpc/search"],
        ),
    ] {
        let document = document(&client).await;
        assert_eq!(names(&document["definitions"]), tables);
        let paths = names(&document["paths"]);
        let found: Vec<&str> = paths
            .into_iter()
            .filter(|path| path.starts_with("/rpc/"))
            .collect();
        assert_eq!(found, routines);
    }
    // What is granted later is there later, without a reload.
    app.run("grant select on api.accounts to anon").await;
    assert!(document(&app.anon()).await["definitions"]["accounts"].is_object());
    app.stop().await;

    let all = api_with(SQL, &[("PGRST_OPENAPI_MODE", "ignore-privileges")]).await;
    assert!(document(&all.anon()).await["definitions"]["accounts"].is_object());
    all.stop().await;
}

#[tokio::test]
async fn it_says_where_it_is_and_answers_head_and_options() {
    let app = api_with(
        SQL,
        &[
            ("PGRST_OPENAPI_SERVER_PROXY_URI", "https://example.com/base"),
            ("PGRST_OPENAPI_SECURITY_ACTIVE", "true"),
        ],
    )
    .await;
    let document = document(&app.anon()).await;
    assert_eq!(document["host"], "example.com:443");
    assert_eq!(document["basePath"], "/base");
    assert_eq!(document["schemes"], json!(["https"]));
    assert_eq!(document["securityDefinitions"]["JWT"]["name"], "Authorization");
    let head = app.anon().send(Method::HEAD, "/", None).await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
    let options = app.anon().send(Method::OPTIONS, "/", None).await;
    assert_eq!(
        (options.status.as_u16(), &options.headers["allow"]),
        (200, &"OPTIONS,GET,HEAD".parse().unwrap())
    );
    let json = app.anon().with("accept", "application/json").get("/").await;
    assert_eq!(json.status, 200);
    let mut wrong = Wrong::default();
    let csv = app.anon().with("accept", "text/csv").get("/").await;
    wrong.unless_refused("csv", &csv, 406, "PGRST107");
    let post = app.anon().post("/", &json!({})).await;
    wrong.unless_refused("post", &post, 405, "PGRST117");
    wrong.none();
    app.stop().await;
}

#[tokio::test]
async fn on_supabases_surface_it_is_not_for_everybody() {
    let app = RestApp::supabase("").await;
    let refused = app.anon().get("/").await;
    let body = json!({
        "code": "42501", "message": "permission denied for the OpenAPI description", "details": null,
        "hint": "Use the service_role key or the secret key.",
    });
    assert_eq!(refused.json(), body);
    assert!(matches!(refused.status.as_u16(), 401 | 403), "{refused:?}");
    let document = document(&app.service_role()).await;
    for table in ["tickets", "tenants", "users", "ticket_activities"] {
        assert!(
            document["definitions"][table]["properties"]["id"].is_object(),
            "{table}"
        );
    }
    assert!(document["paths"]["/rpc/create_ticket_from_automation"]["post"].is_object());
    app.stop().await;
}
