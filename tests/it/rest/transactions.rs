//! One request, one transaction: what stands, what is rolled back, and what SQL code says of the answer.

use reqwest::Method;
use serde_json::{Value, json};

use super::app::RestApp;

const ITEMS: &str = "
    create table public.items (id int primary key, name text unique deferrable initially deferred);
    insert into public.items values (1, 'a'), (2, 'b'), (3, 'c');
    grant all on public.items to anon;
    create function public.teapot(broken bool) returns text language plpgsql as $$
    begin
      insert into public.items values (9, 'by teapot');
      perform set_config('response.status', '418', true);
      perform set_config('response.headers',
        case when broken then '[' else '[{\"X-Pot\": \"full\"}, {\"Set-Cookie\": \"a=1\"}, {\"Set-Cookie\": \"b=2\"}]' end, true);
      return 'short and stout';
    end $$;
    create function public.fails_after_writing() returns void language plpgsql as $$
    begin
      delete from public.items;
      raise exception 'no' using errcode = 'PT402', hint = 'pay';
    end $$;
    grant execute on all functions in schema public to anon;";

async fn names(app: &RestApp) -> Vec<String> {
    let rows = app
        .db
        .query("select name from public.items order by id", &[])
        .await
        .unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

fn code(body: &Value) -> &str {
    body["code"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_write_that_is_refused_by_its_number_of_rows_changes_nothing() {
    let app = RestApp::rest_only(ITEMS).await;
    let change = json!({ "name": "x" });
    let strict = app.anon().with("prefer", "handling=strict, max-affected=2");
    let (status, body) = strict.patch("/items?id=gt.0", &change).await.pair();
    assert_eq!((status, code(&body)), (400, "PGRST124"), "{body}");
    let single = app.anon().with("accept", "application/vnd.pgrst.object+json");
    let single = single.with("prefer", "return=representation");
    let (status, body) = single.patch("/items?id=gt.1", &change).await.pair();
    assert_eq!((status, code(&body)), (406, "PGRST116"), "{body}");
    let other = json!({ "id": 7, "name": "x" });
    let put = app.anon().send(Method::PUT, "/items?id=eq.8", Some(&other)).await;
    let (status, body) = put.pair();
    assert_eq!((status, code(&body)), (400, "PGRST115"), "{body}");
    assert_eq!(names(&app).await, ["a", "b", "c"]);

    let one = strict.patch("/items?id=eq.1", &change).await;
    assert_eq!(one.status, 204);
    assert_eq!(
        one.headers["preference-applied"],
        "handling=strict, max-affected=2"
    );
    assert_eq!(names(&app).await, ["x", "b", "c"]);
    app.stop().await;
}

#[tokio::test]
async fn a_request_may_be_tried_without_effect() {
    let app = RestApp::rest_only_with(ITEMS, &[("PGRST_DB_TX_END", "commit-allow-override")]).await;
    let trying = app.anon().with("prefer", "tx=rollback, return=representation");
    let tried = trying.patch("/items?id=eq.1", &json!({ "name": "x" })).await;
    assert_eq!(tried.pair(), (200, json!([{ "id": 1, "name": "x" }])));
    assert_eq!(
        tried.headers["preference-applied"],
        "return=representation, tx=rollback"
    );
    // What COMMIT would have refused is refused.
    let clash = json!({ "id": 4, "name": "a" });
    for client in [trying, app.anon()] {
        let (status, body) = client.post("/items", &clash).await.pair();
        assert_eq!((status, code(&body)), (409, "23505"), "{body}");
    }
    assert_eq!(names(&app).await, ["a", "b", "c"]);
    app.stop().await;
}

#[tokio::test]
async fn an_error_in_sql_code_undoes_the_request() {
    let app = RestApp::rest_only(ITEMS).await;
    let failed = app.anon().post("/rpc/fails_after_writing", &json!({})).await;
    let told = json!({ "code": "PT402", "details": null, "hint": "pay", "message": "no" });
    assert_eq!(failed.pair(), (402, told));
    assert_eq!(names(&app).await.len(), 3);
    app.stop().await;
}

#[tokio::test]
async fn sql_code_sets_status_and_headers() {
    let app = RestApp::rest_only(ITEMS).await;
    let answer = app.anon().post("/rpc/teapot", &json!({ "broken": false })).await;
    assert_eq!(answer.pair(), (418, json!("short and stout")));
    assert_eq!(answer.headers["x-pot"], "full");
    let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    app.run("delete from public.items where id = 9").await;

    // As in PostgREST, the write stands: only its answer cannot be told.
    let broken = app.anon().post("/rpc/teapot", &json!({ "broken": true })).await;
    assert_eq!((broken.status.as_u16(), code(&broken.json())), (500, "PGRST111"));
    assert_eq!(names(&app).await.len(), 4);
    app.stop().await;
}
