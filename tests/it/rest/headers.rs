//! Headers of answers: profiles, places, what proxies are told, what methods there are, what SQL code sets.

use reqwest::Method;
use serde_json::json;

use super::cases::{Wrong, api, api_with};
use super::writing::{SQL, have_header, send};

const FULL: &str = "return=representation";

const FUNCTIONS: &str = r#"
    create function api.still() returns int stable language sql as $$ select 1 $$;
    create function api.moving() returns int language sql as $$ select 1 $$;
    create function api.answer(status text, headers text) returns int language sql as $$
      select set_config('response.status', status, true), set_config('response.headers', headers, true);
      select 7
    $$;
    create function api.write_and_answer(headers text) returns int language sql as $$
      insert into api.log values (headers);
      select set_config('response.headers', headers, true);
      select 7
    $$;
    create function api.page() returns text stable language sql as $$
      select set_config('response.headers', '[{"Content-Type": "text/html"}, {"Vary": "Cookie"}]', true);
      select '<p>'
    $$;"#;

#[tokio::test]
async fn profile_headers_choose_the_schema() {
    let sql = "create schema api; create schema \"Ünter\";
        grant usage on schema api, \"Ünter\" to anon;
        create table api.t as select 'api' as place; create table \"Ünter\".t as select 'under' as place;
        create function \"Ünter\".f() returns text stable language sql as $$ select 'under' $$;
        grant all on api.t, \"Ünter\".t to anon;";
    let app = api_with(sql, &[("PGRST_DB_SCHEMAS", "api, Ünter")]).await;
    let anon = app.anon();
    let cases = [
        ("GET", "/t", "accept-profile", "", 200, r#"[{"place": "api"}]"#),
        ("GET", "/t", "accept-profile", "api", 200, r#"[{"place": "api"}]"#),
        (
            "GET",
            "/t",
            "accept-profile",
            "Ünter",
            200,
            r#"[{"place": "under"}]"#,
        ),
        (
            "POST",
            "/t",
            "content-profile",
            "Ünter",
            201,
            r#"[{"place": "new"}]"#,
        ),
        (
            "PATCH",
            "/t",
            "content-profile",
            "Ünter",
            200,
            r#"[{"place": "new"}, {"place": "new"}]"#,
        ),
        (
            "DELETE",
            "/t",
            "content-profile",
            "api",
            200,
            r#"[{"place": "api"}]"#,
        ),
        ("POST", "/rpc/f", "content-profile", "Ünter", 200, r#""under""#),
        ("GET", "/rpc/f", "accept-profile", "Ünter", 200, r#""under""#),
        // The other header has no say.
        ("GET", "/t?limit=0", "content-profile", "nowhere", 200, "[]"),
    ];
    let mut wrong = Wrong::default();
    for (method, path, header, schema, status, body) in cases {
        let mut client = anon.clone().with("prefer", FULL);
        if !schema.is_empty() {
            client = client.with(header, schema);
        }
        let row = json!({"place": "new"});
        let payload = ["POST", "PATCH"]
            .contains(&method)
            .then_some(&row)
            .filter(|_| path == "/t");
        let answer = client.send(method.parse().unwrap(), path, payload).await;
        let case = format!("{method} {path} {schema}");
        wrong.unless_json(&case, &answer, status, body);
        let expected = if schema == "Ünter" { schema } else { "api" };
        let told = answer
            .headers
            .get("content-profile")
            .map(|value| String::from_utf8_lossy(value.as_bytes()));
        wrong.unless(&case, &told.as_deref(), &Some(expected));
    }
    wrong.none();
    for (method, header) in [
        (Method::GET, "accept-profile"),
        (Method::DELETE, "content-profile"),
    ] {
        let answer = anon
            .clone()
            .with(header, "nowhere")
            .send(method, "/t", None)
            .await;
        let expected = json!({
            "code": "PGRST106", "details": null, "hint": "Only the following schemas are exposed: api, Ünter",
            "message": "Invalid schema: nowhere"
        });
        assert_eq!(answer.pair(), (406, expected));
    }
    app.stop().await;

    let app = api(SQL).await;
    assert!(
        !app.anon()
            .get("/items")
            .await
            .headers
            .contains_key("content-profile"),
        "there is no choice"
    );
    let chosen = app.anon().with("accept-profile", "api").get("/items").await;
    assert_eq!(chosen.headers["content-profile"], "api");
    app.stop().await;
}

#[tokio::test]
async fn content_location_is_the_request_in_its_canonical_form() {
    let app = api(&format!("{SQL}{FUNCTIONS}")).await;
    have_header(
        &app.anon(),
        "content-location",
        &[
            ("GET /items", "", "", 200, "/items"),
            (
                "GET /items?select=id&id=eq.1",
                "",
                "",
                200,
                "/items?id=eq.1&select=id",
            ),
            (
                "GET /items?qty=gt.1&name=eq.a%20b&limit=1",
                "",
                "",
                200,
                "/items?limit=1&name=eq.a%20b&qty=gt.1",
            ),
            (
                "HEAD /items?select=id&id=eq.1",
                "",
                "",
                200,
                "/items?id=eq.1&select=id",
            ),
            ("GET /rpc/still", "", "", 200, ""),
            ("POST /items", FULL, r#"{"id": 4, "name": "a"}"#, 201, ""),
            ("DELETE /items?id=eq.4", "", "", 204, ""),
        ],
    )
    .await;
    app.stop().await;
}

#[tokio::test]
async fn content_range_tells_the_page_of_a_read() {
    let app = api(SQL).await;
    let exact = "count=exact";
    have_header(
        &app.anon(),
        "content-range",
        &[
            ("GET /items", "", "", 200, "0-2/*"),
            ("GET /items", exact, "", 200, "0-2/3"),
            ("GET /items?limit=2", exact, "", 206, "0-1/3"),
            ("GET /items?limit=2&offset=2", exact, "", 206, "2-2/3"),
            ("GET /items?offset=3", exact, "", 206, "*/3"),
            ("GET /items?offset=4", exact, "", 416, "*/3"),
            ("GET /items?offset=4", "", "", 200, "*/*"),
            ("GET /items?id=eq.9", exact, "", 200, "*/0"),
            ("HEAD /items?limit=2", exact, "", 206, "0-1/3"),
            ("POST /rpc/raise_all?limit=1", exact, r#"{"by": 1}"#, 206, "0-0/3"),
        ],
    )
    .await;
    let ranges = [
        ("0-0", 206, "0-0/3"),
        ("1-", 206, "1-2/3"),
        ("0-99", 200, "0-2/3"),
        ("5-9", 416, "*/3"),
    ];
    for (range, status, expected) in ranges {
        let client = app
            .anon()
            .with("range", range)
            .with("range-unit", "items")
            .with("prefer", exact);
        let answer = client.get("/items").await;
        let found = (
            answer.status.as_u16(),
            answer.headers["content-range"].to_str().unwrap(),
        );
        assert_eq!(found, (status, expected), "{range}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_head_has_the_headers_of_a_get_and_no_body() {
    let app = api(&format!("{SQL}{FUNCTIONS}")).await;
    for path in ["/items?select=id&limit=2", "/items?id=eq.9", "/rpc/still", "/"] {
        let get = app.anon().get(path).await;
        let head = app.anon().send(Method::HEAD, path, None).await;
        assert_eq!((head.status, head.text.as_str()), (get.status, ""), "{path}");
        for name in ["content-type", "content-range", "content-location", "vary"] {
            assert_eq!(head.headers.get(name), get.headers.get(name), "{path} {name}");
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn proxies_are_told_the_error_and_what_answers_vary_by() {
    let app = api(&format!("{SQL}{FUNCTIONS}")).await;
    let vary = "Accept, Prefer, Range";
    let fine = [
        ("GET /items", "", "", 200, vary),
        ("POST /items", "", r#"{"id": 4, "name": "a"}"#, 201, vary),
        ("PATCH /items?id=eq.4", "", r#"{"qty": 2}"#, 204, vary),
        ("DELETE /items?id=eq.4", "", "", 204, vary),
        ("POST /rpc/moving", "", "{}", 200, vary),
        ("OPTIONS /items", "", "", 200, vary),
        ("GET /", "", "", 200, vary),
        // What SQL code says instead.
        ("GET /rpc/page", "", "", 200, "Cookie"),
    ];
    have_header(&app.anon(), "vary", &fine).await;
    have_header(
        &app.anon(),
        "proxy-status",
        &fine.map(|(request, prefer, body, status, _)| (request, prefer, body, status, "")),
    )
    .await;
    let failed = [
        ("GET /itemz", "", "", 404, "PostgREST; error=PGRST205"),
        ("GET /items?id=x", "", "", 400, "PostgREST; error=PGRST100"),
        ("GET /items?id=eq.x", "", "", 400, "PostgREST; error=22P02"),
        (
            "POST /items",
            "",
            r#"{"id": 1, "name": "a"}"#,
            409,
            "PostgREST; error=23505",
        ),
        ("PATCH /rpc/moving", "", "{}", 405, "PostgREST; error=PGRST101"),
    ];
    have_header(&app.anon(), "proxy-status", &failed).await;
    have_header(
        &app.anon(),
        "vary",
        &failed.map(|(request, prefer, body, status, _)| (request, prefer, body, status, "")),
    )
    .await;
    app.stop().await;
}

#[tokio::test]
async fn the_stages_times_are_told_where_that_is_switched_on() {
    let sql = format!("{SQL}{FUNCTIONS}");
    let off = api(&sql).await;
    assert!(
        !off.anon()
            .get("/items")
            .await
            .headers
            .contains_key("server-timing")
    );
    off.stop().await;

    let app = api_with(&sql, &[("PGRST_SERVER_TIMING_ENABLED", "true")]).await;
    for (request, body) in [
        ("GET /items", ""),
        ("POST /items", r#"{"id": 4, "name": "a"}"#),
        ("DELETE /items?id=eq.4", ""),
        ("POST /rpc/moving", "{}"),
        ("OPTIONS /items", ""),
        ("GET /", ""),
    ] {
        let answer = send(&app.anon(), request, "", body).await;
        let value = answer.headers["server-timing"].to_str().unwrap();
        let stages: Vec<_> = value
            .split(", ")
            .map(|stage| stage.split_once(";dur=").unwrap())
            .collect();
        let names: Vec<_> = stages.iter().map(|(name, _)| *name).collect();
        assert_eq!(
            names,
            ["jwt", "parse", "plan", "transaction", "response"],
            "{request}"
        );
        assert!(
            stages
                .iter()
                .all(|(_, ms)| ms.parse::<f64>().is_ok_and(|ms| ms >= 0.0)),
            "{value}"
        );
    }
    app.stop().await;
}

#[tokio::test]
async fn options_tell_which_methods_there_are() {
    let sql = format!(
        "{SQL}{FUNCTIONS}
         create table api.parted (id int primary key) partition by list (id);
         create materialized view api.kept as select 1 as one;"
    );
    let app = api(&sql).await;
    let all = "OPTIONS,GET,HEAD,POST,PUT,PATCH,DELETE";
    have_header(
        &app.anon(),
        "allow",
        &[
            ("OPTIONS /items", "", "", 200, all),
            ("OPTIONS /parted", "", "", 200, all),
            ("OPTIONS /log", "", "", 200, "OPTIONS,GET,HEAD,POST,PATCH,DELETE"),
            ("OPTIONS /item_names", "", "", 200, all),
            ("OPTIONS /shouted", "", "", 200, all),
            ("OPTIONS /totals", "", "", 200, "OPTIONS,GET,HEAD"),
            ("OPTIONS /kept", "", "", 200, "OPTIONS,GET,HEAD"),
            ("OPTIONS /rpc/still", "", "", 200, "OPTIONS,GET,HEAD,POST"),
            ("OPTIONS /rpc/moving", "", "", 200, "OPTIONS,POST"),
            ("OPTIONS /", "", "", 200, "OPTIONS,GET,HEAD"),
            ("OPTIONS /itemz", "", "", 404, ""),
            ("OPTIONS /rpc/nothing", "", "", 404, ""),
            // Arguments may be left out: any overload tells its methods.
            ("OPTIONS /rpc/answer", "", "", 200, "OPTIONS,POST"),
        ],
    )
    .await;
    app.stop().await;
}

#[tokio::test]
async fn sql_code_sets_status_and_headers() {
    let sql = format!(
        r#"{SQL}{FUNCTIONS}
        create function api.tell() returns trigger language plpgsql as $$
        begin
          perform set_config('response.status', '202', true), set_config('response.headers', '[{{"X-Written": "yes"}}]', true);
          return new;
        end
        $$;
        create trigger tell before insert or update on api.items for each row execute function api.tell();"#
    );
    let app = api(&sql).await;
    let anon = app.anon();
    let answer = async |status: &str, headers: &str| {
        anon.post("/rpc/answer", &json!({"status": status, "headers": headers}))
            .await
    };
    let told = answer(
        "418",
        r#"[{"X-Tea": "pot"}, {"Set-Cookie": "a=1"}, {"Set-Cookie": "b=2"}, {"Content-Length": "9"}]"#,
    )
    .await;
    assert_eq!((told.status.as_u16(), told.text.as_str()), (418, "7"));
    assert_eq!(
        (&told.headers["x-tea"], &told.headers["content-length"]),
        (&"pot".parse().unwrap(), &"1".parse().unwrap())
    );
    assert_eq!(
        told.headers.get_all("set-cookie").iter().collect::<Vec<_>>(),
        ["a=1", "b=2"]
    );
    let nothing = answer("204", "[]").await;
    assert_eq!((nothing.status.as_u16(), nothing.text.as_str()), (204, ""));
    assert_eq!(anon.get("/rpc/page").await.headers["content-type"], "text/html");

    let mut wrong = Wrong::default();
    for (status, headers, code) in [
        ("soon", "[]", "PGRST112"),
        ("7", "[]", "PGRST112"),
        ("200", "{}", "PGRST111"),
        ("200", r#"[{"a": 1}]"#, "PGRST111"),
        ("200", "nothing", "PGRST111"),
        ("200", "[{\"a\": \"b\\nc: d\"}]", "PGRST111"),
    ] {
        wrong.unless_refused(
            &format!("{status} {headers}"),
            &answer(status, headers).await,
            500,
            code,
        );
    }
    wrong.none();

    // The write stands all the same: only its answer cannot be told.
    let broken = anon.post("/rpc/write_and_answer", &json!({"headers": "["})).await;
    assert_eq!(
        (broken.status.as_u16(), &broken.json()["code"]),
        (500, &json!("PGRST111"))
    );
    assert_eq!(anon.get("/log").await.json(), json!([{"note": "["}]));

    have_header(
        &anon,
        "x-written",
        &[
            ("POST /items", "", r#"{"id": 4, "name": "a"}"#, 202, "yes"),
            ("PATCH /items?id=eq.4", "", r#"{"qty": 2}"#, 202, "yes"),
            ("DELETE /items?id=eq.4", "", "", 204, ""),
        ],
    )
    .await;
    app.stop().await;
}

#[tokio::test]
async fn an_alias_named_by_its_relation_brings_a_warning_where_that_is_allowed() {
    let path = "/items?select=id,owner:owners(name)&owners.name=eq.Ada&id=eq.1";
    let old = api(SQL).await;
    let answer = old.anon().get(path).await;
    assert_eq!(answer.pair(), (200, json!([{"id": 1, "owner": {"name": "Ada"}}])));
    let warning = answer.headers["warning"].to_str().unwrap();
    assert!(
        warning.starts_with("299 ") && warning.contains("Update `owners` to `owner`"),
        "{warning}"
    );
    let by_alias = old.anon().get(&path.replace("owners.name", "owner.name")).await;
    assert!(
        by_alias.status == 200 && !by_alias.headers.contains_key("warning"),
        "{by_alias:?}"
    );
    old.stop().await;

    let new = api_with(SQL, &[("PGRST_URL_USE_LEGACY_TARGET_NAMES", "false")]).await;
    let answer = new.anon().get(path).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["code"]),
        (400, &json!("PGRST108"))
    );
    assert_eq!(
        new.anon()
            .get(&path.replace("owners.name", "owner.name"))
            .await
            .status,
        200
    );
    new.stop().await;
}

#[tokio::test]
async fn a_trace_header_comes_back_as_it_came() {
    let app = api_with(SQL, &[("PGRST_SERVER_TRACE_HEADER", "X-Trace")]).await;
    for path in ["/items", "/itemz"] {
        let traced = app.anon().with("x-trace", "abc 1").get(path).await;
        assert_eq!(traced.headers["x-trace"], "abc 1", "{path}");
        assert_eq!(app.anon().get(path).await.headers["x-trace"], "", "{path}");
    }
    app.stop().await;
}
