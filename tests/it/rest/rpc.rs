//! `/rpc/…`: what is passed, what is returned, which function is meant, and that reads only read.

use reqwest::Method;
use serde_json::{Value, json};

use super::cases::{Wrong, api, api_with, reads, refuses};

const SQL: &str = include_str!("rpc.sql");

#[tokio::test]
async fn a_result_has_the_shape_of_its_type() {
    let app = api(SQL).await;
    let cases = [
        ("/rpc/three", "3"),
        ("/rpc/greeting", r#""say \"hi\"""#),
        ("/rpc/nothing", "null"),
        ("/rpc/words", r#"["a","b"]"#),
        ("/rpc/document", r#"{"a":[1,null]}"#),
        ("/rpc/today_mood", r#""glad""#),
        ("/rpc/origin", r#"{"x":0,"y":0}"#),
        ("/rpc/numbers", "[1,2,3]"),
        ("/rpc/line", r#"[{"x":1,"y":1},{"x":2,"y":4},{"x":3,"y":9}]"#),
        ("/rpc/pair", r#"{"a":1,"b":"one"}"#),
        (
            "/rpc/squares?upto=2",
            r#"[{"n":1,"square":1},{"n":2,"square":4}]"#,
        ),
        ("/rpc/squares?upto=0", "[]"),
        ("/rpc/one_pet?wanted=2", r#"{"id":2,"name":"Tom","owner_id":2}"#),
    ];
    // By GET, and by POST of the same arguments.
    reads(&app.anon(), &cases).await;
    let mut wrong = Wrong::default();
    for (path, body) in cases {
        let (path, arguments) = path.split_once('?').unwrap_or((path, ""));
        let arguments: serde_json::Map<String, Value> = arguments
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.parse::<i64>().unwrap().into()))
            .collect();
        let answer = app.anon().post(path, &Value::Object(arguments)).await;
        wrong.unless_json(path, &answer, 200, body);
    }
    wrong.none();
    for method in [Method::GET, Method::POST] {
        let void = app.anon().send(method, "/rpc/no_value", None).await;
        assert_eq!((void.status.as_u16(), void.text.as_str()), (204, ""));
        assert!(!void.headers.contains_key("content-type"), "{void:?}");
    }
    app.stop().await;
}

#[tokio::test]
async fn arguments_come_by_query_json_or_form() {
    let app = api(SQL).await;
    let cases = [
        ("/rpc/add?a=1&b=2", "3"),
        ("/rpc/add?a=1", "11"),
        ("/rpc/joined?parts=x&parts=y", r#""x+y""#),
        ("/rpc/joined?parts=x", r#""x""#),
        ("/rpc/joined", r#""""#),
        (
            "/rpc/shown?i=1&t=a b&f=true&m=sad&a={1,2}&j={\"k\":null}&d=2024-02-29",
            r#"{"i":1,"t":"a b","f":true,"m":"sad","a":[1,2],"j":{"k":null},"d":"2024-02-29"}"#,
        ),
        ("/rpc/Quoted name?First name=Ann", r#""Ann""#),
        ("/rpc/sized?p=(2,3)", "6"),
    ];
    reads(&app.anon(), &cases).await;
    let mut wrong = Wrong::default();
    for (name, arguments, result) in [
        ("add", json!({"a": 1, "b": 2}), "3"),
        ("add", json!({"a": 1}), "11"),
        ("add", json!({"a": 1, "b": null}), "null"),
        ("joined", json!({"parts": ["x", "y"]}), r#""x+y""#),
        ("joined", json!({}), r#""""#),
        ("sized", json!({"p": {"x": 2, "y": 3}}), "6"),
        (
            "shown",
            json!({"i": 1, "t": "'; --", "f": null, "m": "sad", "a": [1, 2], "j": [{}], "d": null}),
            r#"{"i":1,"t":"'; --","f":null,"m":"sad","a":[1,2],"j":[{}],"d":null}"#,
        ),
    ] {
        let answer = app.anon().post(&format!("/rpc/{name}"), &arguments).await;
        wrong.unless_json(&format!("{name} {arguments}"), &answer, 200, result);
    }
    wrong.none();
    let form = app
        .anon()
        .post_as("/rpc/add", "application/x-www-form-urlencoded", "a=1&b=4")
        .await;
    assert_eq!(form.pair(), (200, json!(5)));
    let form = app
        .anon()
        .post_as(
            "/rpc/joined",
            "application/x-www-form-urlencoded",
            "parts=x+y&parts=%26",
        )
        .await;
    assert_eq!(form.pair(), (200, json!("x y+&")));
    // An array where one object is wanted, with the columns that say so.
    let first = app
        .anon()
        .post("/rpc/add?columns=a", &json!([{"a": 1, "b": 7}, {"a": 2, "b": 7}]))
        .await;
    assert_eq!(first.pair(), (200, json!(11)));
    app.stop().await;
}

#[tokio::test]
async fn overloads_are_told_apart_by_names() {
    let app = api(SQL).await;
    let cases = [
        ("/rpc/area?side=3", r#""square 9""#),
        ("/rpc/area?height=3&width=2", r#""rectangle 6""#),
    ];
    reads(&app.anon(), &cases).await;
    let posted = app
        .anon()
        .post("/rpc/area", &json!({"width": 2, "height": 5}))
        .await;
    assert_eq!(posted.pair(), (200, json!("rectangle 10")));
    let ambiguous = app.anon().get("/rpc/same?a=1").await;
    let body = json!({
        "code": "PGRST203", "details": null,
        "message": "Could not choose the best candidate function between: api.same(a => integer), api.same(a => text)",
        "hint": "Try renaming the parameters or the function itself in the database so function overloading can be resolved",
    });
    assert_eq!(ambiguous.pair(), (300, body));
    let missing = app.anon().get("/rpc/area?sid=3").await;
    let body = json!({
        "code": "PGRST202",
        "message": "Could not find the function api.area(sid) in the schema cache",
        "details": "Searched for the function api.area with parameter sid, but no matches were found in the schema cache.",
        "hint": "Perhaps you meant to call the function api.area(side)",
    });
    assert_eq!(missing.pair(), (404, body));
    let refused = [
        ("/rpc/add", 404, "PGRST202"),
        ("/rpc/add?b=1", 404, "PGRST202"),
        ("/rpc/add?a=1&c=2", 404, "PGRST202"),
        ("/rpc/subtract?a=1", 404, "PGRST202"),
        ("/rpc/add?a=x", 400, "22P02"),
        ("/rpc/add/more?a=1", 404, "PGRST125"),
        ("/rpc/take_text", 404, "PGRST202"),
    ];
    refuses(&app.anon(), &refused).await;
    app.stop().await;
}

#[tokio::test]
async fn a_function_takes_the_body_whole() {
    let app = api(SQL).await;
    let cases = [
        (
            "take_json",
            "application/json",
            r#"[{"any": "thing"}, {"any": 1}]"#,
            json!([{"any": "thing"}, {"any": 1}]),
        ),
        (
            "take_json",
            "application/json",
            r#"{"a": {"b": []}}"#,
            json!({"a": {"b": []}}),
        ),
        ("take_text", "text/plain", "a \"b\"\nc", json!("a \"b\"\nc!")),
        ("take_xml", "text/xml", "<r><a>x</a></r>", json!("x")),
        (
            "take_bytes",
            "application/octet-stream",
            "\u{0}\u{1}A",
            json!("000141"),
        ),
    ];
    let mut wrong = Wrong::default();
    for (name, media_type, body, result) in cases {
        let answer = app
            .anon()
            .post_as(&format!("/rpc/{name}"), media_type, body)
            .await;
        wrong.unless_json(name, &answer, 200, &result.to_string());
    }
    // Another media type is not what it takes.
    for (name, media_type, body, status, code) in [
        ("take_text", "application/json", "{}", 404, "PGRST202"),
        ("take_bytes", "text/plain", "x", 404, "PGRST202"),
        ("add", "text/plain", "x", 404, "PGRST202"),
        ("take_xml", "text/xml", "<r>", 400, "2200N"),
        ("add", "image/png", "x", 400, "PGRST102"),
        ("add", "application/json", "{", 400, "PGRST102"),
    ] {
        let answer = app
            .anon()
            .post_as(&format!("/rpc/{name}"), media_type, body)
            .await;
        wrong.unless_refused(&format!("{name} {media_type}"), &answer, status, code);
    }
    wrong.none();
    app.stop().await;
}

#[tokio::test]
async fn reads_only_read() {
    let app = api(SQL).await;
    let notes = async || -> i64 {
        app.db
            .query_one("select count(*) from api.calls", &[])
            .await
            .unwrap()
            .get(0)
    };
    // By GET and HEAD whatever the function says of itself; PostgreSQL itself holds a stable one to its word.
    let refused = [
        ("/rpc/note?what=x", 405, "25006"),
        ("/rpc/adopt?owner=1", 405, "25006"),
        ("/rpc/secret_note?what=x", 400, "0A000"),
    ];
    refuses(&app.anon(), &refused).await;
    let head = app.anon().send(Method::HEAD, "/rpc/adopt?owner=1", None).await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (405, ""));
    // By POST a stable function too.
    let stable = app.anon().post("/rpc/secret_note", &json!({"what": "x"})).await;
    assert_eq!(stable.status, 400, "{}", stable.text);
    assert_eq!(notes().await, 0);
    let volatile = app.anon().post("/rpc/note", &json!({"what": "x"})).await;
    assert_eq!(volatile.pair(), (200, json!(1)));
    assert_eq!(notes().await, 1);
    for method in [Method::PUT, Method::PATCH, Method::DELETE] {
        let answer = app
            .anon()
            .send(method.clone(), "/rpc/three", Some(&json!({})))
            .await;
        let (status, body) = answer.pair();
        assert_eq!((status, &body["code"]), (405, &json!("PGRST101")));
        assert_eq!(body["message"], format!("Cannot use the {method} method on RPC"));
    }
    app.stop().await;
}

#[tokio::test]
async fn rows_are_selected_filtered_ordered_paged_and_embedded_in() {
    let app = api(SQL).await;
    let cases = [
        (
            "/rpc/all_pets?select=name&id=gt.2&order=name",
            r#"[{"name":"Pip"},{"name":"Sid"}]"#,
        ),
        (
            "/rpc/all_pets?select=n:name,id::text&limit=1&offset=1",
            r#"[{"n":"Tom","id":"2"}]"#,
        ),
        (
            "/rpc/all_pets?select=id&or=(name.eq.Rex,owner_id.is.null)",
            r#"[{"id":1},{"id":4}]"#,
        ),
        (
            "/rpc/squares?upto=9&n=gte.3&square=lt.20",
            r#"[{"n":3,"square":9},{"n":4,"square":16}]"#,
        ),
        (
            "/rpc/squares?upto=9&select=square&order=square.desc&limit=1",
            r#"[{"square":81}]"#,
        ),
        ("/rpc/line?select=y&x=eq.3", r#"[{"y":9}]"#),
        ("/rpc/one_pet?wanted=1&select=name", r#"{"name":"Rex"}"#),
        (
            "/rpc/one_pet?wanted=1&select=name,owners(name)",
            r#"{"name":"Rex","owners":{"name":"Ann"}}"#,
        ),
        (
            "/rpc/all_pets?select=id,owners!inner(name)&owners.name=eq.Ann&order=id.desc",
            r#"[{"id":3,"owners":{"name":"Ann"}},{"id":1,"owners":{"name":"Ann"}}]"#,
        ),
        ("/rpc/all_pets?select=count()", r#"[{"count":4}]"#),
    ];
    reads(&app.anon(), &cases).await;
    let posted = app
        .anon()
        .post(
            "/rpc/squares?select=n&square=gt.4&order=n.desc",
            &json!({"upto": 4}),
        )
        .await;
    assert_eq!(posted.pair(), (200, json!([{"n": 4}, {"n": 3}])));
    let written = app
        .anon()
        .post("/rpc/adopt?select=name,owners(name)", &json!({"owner": 2}))
        .await;
    assert_eq!(
        written.pair(),
        (200, json!([{"name": "Sid", "owners": {"name": "Bob"}}]))
    );
    app.stop().await;
}

#[tokio::test]
async fn results_are_counted_ranged_and_capped() {
    let app = api(SQL).await;
    let mut wrong = Wrong::default();
    for (path, range, count, status, expected) in [
        ("/rpc/all_pets", "", "none", 200, "0-3/*"),
        ("/rpc/all_pets", "1-2", "none", 200, "1-2/*"),
        ("/rpc/all_pets", "1-2", "exact", 206, "1-2/4"),
        ("/rpc/all_pets?limit=1", "", "exact", 206, "0-0/4"),
        ("/rpc/squares?upto=3&n=gt.1", "", "exact", 200, "0-1/2"),
        ("/rpc/numbers", "", "exact", 200, "0-2/3"),
        ("/rpc/three", "", "none", 200, "0-0/*"),
    ] {
        let mut client = app.anon().with("prefer", &format!("count={count}"));
        if !range.is_empty() {
            client = client.with("range", range);
        }
        let answer = client.get(path).await;
        let found = (
            answer.status.as_u16(),
            answer.headers["content-range"].to_str().unwrap(),
        );
        wrong.unless(&format!("{path} {range} {count}"), &found, &(status, expected));
        if range.is_empty() {
            let head = client.send(Method::HEAD, path, None).await;
            wrong.unless(path, &head.text.as_str(), &"");
            wrong.unless(path, &head.headers["content-range"].to_str().unwrap(), &expected);
        }
    }
    let beyond = app
        .anon()
        .with("prefer", "count=exact")
        .get("/rpc/all_pets?offset=9")
        .await;
    wrong.unless(
        "beyond",
        &(beyond.status.as_u16(), &beyond.json()["code"]),
        &(416, &json!("PGRST103")),
    );
    wrong.none();
    app.stop().await;

    let app = api_with(SQL, &[("PGRST_DB_MAX_ROWS", "2")]).await;
    let cases = [
        ("/rpc/squares?upto=5&select=n", r#"[{"n":1},{"n":2}]"#),
        ("/rpc/three", "3"),
    ];
    reads(&app.anon(), &cases).await;
    let posted = app
        .anon()
        .post("/rpc/squares?select=n", &json!({"upto": 5}))
        .await;
    assert_eq!(posted.pair(), (200, json!([{"n": 1}, {"n": 2}])));
    app.stop().await;
}
