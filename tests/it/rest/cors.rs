//! Cross-origin requests, on both surfaces.

use reqwest::Method;

use super::app::RestApp;
use super::cases::{api, api_with};
use super::writing::SQL;
use crate::support::Answer;

/// Asks as a browser does before a cross-origin request, without any key.
async fn preflight(app: &RestApp, path: &str, wanted: &str) -> Answer {
    let client = app
        .nobody()
        .with("origin", "https://app.example")
        .with("access-control-request-method", "PATCH")
        .with("access-control-request-headers", wanted);
    client.send(Method::OPTIONS, path, None).await
}

#[tokio::test]
async fn a_preflight_needs_no_key_and_allows_what_clients_send() {
    let sql = "create table public.open (id int); grant select on public.open to anon;";
    let supabase = RestApp::supabase(sql).await;
    let wanted = "apikey,authorization,prefer,idempotency-key,x-my-own";
    for path in ["/open", "/nothing", "/rpc/x", "/"] {
        let answer = preflight(&supabase, path, wanted).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text.as_str()),
            (204, ""),
            "{path}"
        );
        assert_eq!(answer.headers["access-control-allow-origin"], "*");
        let allowed = answer.headers["access-control-allow-headers"]
            .to_str()
            .unwrap()
            .to_lowercase();
        for name in ["x-client-info", "content-type"]
            .into_iter()
            .chain(wanted.split(','))
        {
            assert!(
                allowed.split(", ").any(|known| known == name),
                "{name} in {allowed}"
            );
        }
        let methods = answer.headers["access-control-allow-methods"].to_str().unwrap();
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            assert!(methods.contains(method), "{method} in {methods}");
        }
    }
    // Browsers see every answer: fine, refused by the gateway, refused by PostgREST.
    for (client, status) in [(supabase.anon(), 200), (supabase.nobody(), 401)] {
        let answer = client.get("/open").await;
        assert_eq!(
            (
                answer.status.as_u16(),
                &answer.headers["access-control-allow-origin"]
            ),
            (status, &"*".parse().unwrap())
        );
        let exposed = answer.headers["access-control-expose-headers"].to_str().unwrap();
        for name in [
            "Content-Range",
            "Location",
            "Preference-Applied",
            "Idempotency-Replayed",
        ] {
            assert!(exposed.contains(name), "{name} in {exposed}");
        }
    }
    assert_eq!(
        supabase.anon().get("/nothing").await.headers["access-control-allow-origin"],
        "*"
    );
    supabase.stop().await;
}

#[tokio::test]
async fn postgrests_surface_speaks_cors_to_origins_alone() {
    let app = api(SQL).await;
    let answer = preflight(&app, "/items", "x-my-own").await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, ""));
    assert_eq!(
        answer.headers["access-control-allow-headers"],
        "Authorization, x-my-own, Accept, Accept-Language, Content-Language"
    );
    let from = app
        .anon()
        .with("origin", "https://app.example")
        .get("/items")
        .await;
    assert_eq!(from.headers["access-control-allow-origin"], "*");
    assert!(
        from.headers["access-control-expose-headers"]
            .to_str()
            .unwrap()
            .contains("Content-Range")
    );
    assert!(
        !app.anon()
            .get("/items")
            .await
            .headers
            .contains_key("access-control-allow-origin")
    );
    app.stop().await;

    let origins = [(
        "PGRST_SERVER_CORS_ALLOWED_ORIGINS",
        "https://app.example, https://b.example",
    )];
    let app = api_with(SQL, &origins).await;
    let answer = preflight(&app, "/items", "x-my-own").await;
    assert_eq!(
        answer.headers["access-control-allow-origin"],
        "https://app.example"
    );
    assert_eq!(answer.headers["access-control-allow-credentials"], "true");
    let foreign = app
        .anon()
        .with("origin", "https://evil.example")
        .get("/items")
        .await;
    assert!(
        foreign.status == 200 && !foreign.headers.contains_key("access-control-allow-origin"),
        "{foreign:?}"
    );
    app.stop().await;
}
