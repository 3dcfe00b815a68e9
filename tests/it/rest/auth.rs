//! Who is asking: tokens on PostgREST's surface, keys and tokens on Supabase's.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dropwire::auth::jwt;
use dropwire::config::Secret;
use dropwire::dev::{ANON_KEY, JWT_SECRET, PUBLISHABLE_KEY, SECRET_KEY, SERVICE_ROLE_KEY};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use uuid::Uuid;

use super::app::RestApp;
use crate::support::Answer;
use crate::support::app::user_token;

/// A function that says who runs it, and a table that anon may not read.
const WHOAMI: &str = "
    create function public.whoami() returns json stable language sql as $$
      select json_build_object('role', current_user, 'claims', current_setting('request.jwt.claims')::json)
    $$;
    grant execute on function public.whoami() to public;
    create table public.members_only (id int primary key);
    grant select on public.members_only to authenticated, service_role;";

fn signed(claims: &Value) -> String {
    jwt::sign(&Secret::new(JWT_SECRET), claims).unwrap()
}

fn in_seconds(seconds: i64) -> i64 {
    chrono::Utc::now().timestamp() + seconds
}

/// The answer of `whoami`: the role, and the claims.
fn who(answer: &Answer) -> (String, Value) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    (body["role"].as_str().unwrap().to_owned(), body["claims"].clone())
}

/// Asserts one of PostgREST's refusals of a token.
fn assert_refused(answer: &Answer, code: &str, message: &str, details: Option<&str>) {
    let body = json!({"code": code, "details": details, "hint": null, "message": message});
    assert_eq!(answer.pair(), (401, body), "{answer:?}");
    let challenge = if code == "PGRST302" {
        "Bearer".to_owned()
    } else {
        format!("Bearer error=\"invalid_token\", error_description=\"{message}\"")
    };
    assert_eq!(answer.headers["www-authenticate"], challenge, "{answer:?}");
}

#[tokio::test]
async fn a_token_says_the_role_and_the_claims_that_sql_sees() {
    let app = RestApp::rest_only(WHOAMI).await;
    let claims =
        json!({"role": "authenticated", "sub": "x", "big": 9_007_199_254_740_993_i64, "deep": {"a": [1]}});
    let (role, seen) = who(&app.bearer(&signed(&claims)).get("/rpc/whoami").await);
    assert_eq!((role.as_str(), seen), ("authenticated", claims));

    let without_role = app.bearer(&signed(&json!({"sub": "x"})));
    let (role, seen) = who(&without_role.get("/rpc/whoami").await);
    assert_eq!(
        (role.as_str(), seen),
        ("anon", json!({"sub": "x", "role": "anon"}))
    );

    let (role, seen) = who(&app.nobody().get("/rpc/whoami").await);
    assert_eq!((role.as_str(), seen), ("anon", json!({"role": "anon"})));
    let (role, _) = who(&app
        .nobody()
        .with("authorization", "Basic dTpw")
        .get("/rpc/whoami")
        .await);
    assert_eq!(role, "anon");
    let token = signed(&json!({"role": "service_role"}));
    let lower = app.nobody().with("authorization", &format!("bearer {token}"));
    assert_eq!(who(&lower.get("/rpc/whoami").await).0, "service_role");
    app.stop().await;
}

#[tokio::test]
async fn a_token_that_cannot_be_verified_is_refused_with_the_reason() {
    let app = RestApp::rest_only(WHOAMI).await;
    let good = signed(&json!({"role": "authenticated"}));
    let (head, rest) = good.split_once('.').unwrap();
    let unsecured = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    let foreign = jwt::sign(
        &Secret::new("another-secret-of-thirty-two-characters"),
        &json!({"role": "service_role"}),
    )
    .unwrap();
    let no_key = "No suitable key or wrong key type";
    let cases = [
        (String::new(), "Empty JWT is sent in Authorization header", None),
        ("x.y".to_owned(), "Expected 3 parts in JWT; got 2", None),
        (
            "quif.fonv.iuqv".to_owned(),
            "JWT cryptographic operation failed",
            None,
        ),
        (
            format!("{unsecured}.{rest}"),
            "Wrong or unsupported encoding algorithm",
            Some("JWT is unsecured but expected 'alg' was not 'none'"),
        ),
        (
            foreign,
            no_key,
            Some("None of the keys was able to decode the JWT"),
        ),
        (
            format!("{}.{rest}", URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#)),
            no_key,
            Some("No suitable key was found to decode the JWT"),
        ),
        (
            format!(
                "{head}.{}.{}",
                URL_SAFE_NO_PAD.encode("{}"),
                rest.split_once('.').unwrap().1
            ),
            no_key,
            Some("None of the keys was able to decode the JWT"),
        ),
    ];
    for (token, message, details) in cases {
        let answer = app.bearer(&token).get("/rpc/whoami").await;
        assert_refused(&answer, "PGRST301", message, details);
        assert_eq!(answer.headers["proxy-status"], "PostgREST; error=PGRST301");
    }
    app.stop().await;
}

#[tokio::test]
async fn claims_refuse_a_token_that_is_verified() {
    let app = RestApp::rest_only_with(WHOAMI, &[("PGRST_JWT_AUD", "https://us.example")]).await;
    let cases = [
        (json!({"exp": in_seconds(-40)}), "JWT expired"),
        (json!({"nbf": in_seconds(40)}), "JWT not yet valid"),
        (json!({"iat": in_seconds(40)}), "JWT issued at future"),
        (json!({"aud": "them"}), "JWT not in audience"),
        (json!({"aud": ["them", "others"]}), "JWT not in audience"),
        (json!({"exp": "x"}), "The JWT 'exp' claim must be a number"),
        (json!({"nbf": "x"}), "The JWT 'nbf' claim must be a number"),
        (json!({"iat": "x"}), "The JWT 'iat' claim must be a number"),
        (
            json!({"aud": 1}),
            "The JWT 'aud' claim must be a string or an array of strings",
        ),
        (json!([]), "Parsing claims failed"),
    ];
    for (claims, message) in cases {
        let answer = app.bearer(&signed(&claims)).get("/rpc/whoami").await;
        assert_refused(&answer, "PGRST303", message, None);
    }
    for claims in [
        json!({"exp": in_seconds(-20), "nbf": in_seconds(20), "iat": in_seconds(20)}),
        json!({"aud": "https://us.example"}),
        json!({"aud": ["them", "https://us.example"]}),
        json!({"aud": []}),
        json!({"aud": null}),
    ] {
        let answer = app.bearer(&signed(&claims)).get("/rpc/whoami").await;
        assert_eq!(who(&answer).0, "anon", "{claims}");
    }
    app.stop().await;
}

#[tokio::test]
async fn without_an_anonymous_role_a_token_is_needed() {
    let app = RestApp::rest_only_with(WHOAMI, &[("PGRST_DB_ANON_ROLE", "")]).await;
    let message = "Anonymous access is disabled";
    assert_refused(&app.nobody().get("/rpc/whoami").await, "PGRST302", message, None);
    let without_role = app.bearer(&signed(&json!({})));
    assert_refused(&without_role.get("/rpc/whoami").await, "PGRST302", message, None);
    assert_eq!(
        who(&app.service_role().get("/rpc/whoami").await).0,
        "service_role"
    );
    app.stop().await;
}

#[tokio::test]
async fn without_a_secret_a_token_is_our_fault() {
    let app = RestApp::rest_only_with(WHOAMI, &[("PGRST_JWT_SECRET", "")]).await;
    let body =
        json!({"code": "PGRST300", "details": null, "hint": null, "message": "Server lacks JWT secret"});
    let answer = app.service_role().get("/rpc/whoami").await;
    assert_eq!(answer.pair(), (500, body));
    assert_eq!(who(&app.nobody().get("/rpc/whoami").await).0, "anon");
    app.stop().await;
}

#[tokio::test]
async fn what_a_role_may_not_do_is_401_for_nobody_and_403_for_somebody() {
    let app = RestApp::rest_only(&format!("{WHOAMI} create table secrets (id int)")).await;
    let denied = |table: &str| {
        let message = format!("permission denied for table {table}");
        json!({"code": "42501", "details": null, "hint": null, "message": message})
    };
    let nobody = app.nobody().get("/members_only").await;
    assert_eq!(nobody.pair(), (401, denied("members_only")));
    assert_eq!(nobody.headers["www-authenticate"], "Bearer");
    let user = app.user(Uuid::nil());
    assert_eq!(user.get("/members_only").await.status, 200);
    let answer = user.get("/secrets").await;
    assert_eq!(answer.pair(), (403, denied("secrets")));
    assert!(!answer.headers.contains_key("www-authenticate"));
    app.stop().await;
}

#[tokio::test]
async fn a_role_that_the_login_role_cannot_become_is_left_to_postgresql() {
    let app = RestApp::rest_only(WHOAMI).await;
    let ask = async |role: Value| {
        let answer = app
            .bearer(&signed(&json!({ "role": role })))
            .get("/rpc/whoami")
            .await;
        let body = answer.json();
        (
            answer.status.as_u16(),
            body["code"].as_str().unwrap().to_owned(),
            body["message"].as_str().unwrap().to_owned(),
        )
    };
    let missing = |role: &str| (401, "22023".to_owned(), format!("role \"{role}\" does not exist"));
    assert_eq!(ask(json!("no such role")).await, missing("no such role"));
    assert_eq!(ask(json!(7)).await, missing("7"));
    assert_eq!(ask(Value::Null).await, missing("null"));
    // The login role's own name, to PostgreSQL.
    assert_eq!(ask(json!("none")).await, missing("none"));
    let (status, code, message) = ask(json!("postgres")).await;
    assert_eq!((status, code.as_str()), (403, "42501"), "{message}");
    app.stop().await;
}

#[tokio::test]
async fn a_jwk_set_verifies_by_key_id() {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let point = pair.public_key_raw();
    let (x, y) = point[1..].split_at(32);
    let secret = "a secret of its own, of more than 32 bytes";
    let set = json!({"keys": [
        {"kty": "EC", "crv": "P-256", "kid": "signing", "alg": "ES256",
         "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)},
        {"kty": "oct", "kid": "legacy", "k": URL_SAFE_NO_PAD.encode(secret)},
    ]});
    let app = RestApp::rest_only_with(WHOAMI, &[("PGRST_JWT_SECRET", &set.to_string())]).await;
    let elliptic = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
    let symmetric = EncodingKey::from_secret(secret.as_bytes());
    let token = |algorithm, kid: Option<&str>, key| {
        let header = Header {
            kid: kid.map(str::to_owned),
            ..Header::new(algorithm)
        };
        jsonwebtoken::encode(&header, &json!({"role": "authenticated"}), key).unwrap()
    };
    for right in [
        token(Algorithm::ES256, Some("signing"), &elliptic),
        token(Algorithm::ES256, None, &elliptic),
        token(Algorithm::HS256, Some("legacy"), &symmetric),
        token(Algorithm::HS512, None, &symmetric),
    ] {
        assert_eq!(
            who(&app.bearer(&right).get("/rpc/whoami").await).0,
            "authenticated"
        );
    }
    for wrong in [
        token(Algorithm::ES256, Some("legacy"), &elliptic),
        token(Algorithm::HS256, Some("signing"), &symmetric),
        token(Algorithm::HS256, Some("unknown"), &symmetric),
    ] {
        let details = "No suitable key was found to decode the JWT";
        let answer = app.bearer(&wrong).get("/rpc/whoami").await;
        assert_refused(
            &answer,
            "PGRST301",
            "No suitable key or wrong key type",
            Some(details),
        );
    }
    app.stop().await;
}

#[tokio::test]
async fn the_role_claim_is_found_in_either_syntax() {
    let claims = json!({
        "role": "service_role",
        "realm_access": {"roles": ["offline", "authenticated"]},
        "https://www.example.com/roles": [{"value": "authenticated"}]
    });
    for (path, expected) in [
        ("$.role", "service_role"),
        ("$.realm_access.roles[1]", "authenticated"),
        (
            r#"$.realm_access.roles[?(@ == "authenticated")]"#,
            "authenticated",
        ),
        (r#"$["https://www.example.com/roles"][0].value"#, "authenticated"),
        (r#"."https://www.example.com/roles"[0].value"#, "authenticated"),
        (r#".realm_access.roles[?(@ ^== "auth")]"#, "authenticated"),
        ("$.nowhere", "anon"),
    ] {
        let app = RestApp::rest_only_with(WHOAMI, &[("PGRST_JWT_ROLE_CLAIM_KEY", path)]).await;
        let (role, seen) = who(&app.bearer(&signed(&claims)).get("/rpc/whoami").await);
        assert_eq!(
            (role.as_str(), seen["role"].as_str()),
            (expected, Some(expected)),
            "{path}"
        );
        app.stop().await;
    }
}

#[tokio::test]
async fn a_remembered_token_expires_at_its_time() {
    let app = RestApp::rest_only(WHOAMI).await;
    // Two seconds from being refused, the thirty of tolerance taken in.
    let token = signed(&json!({"role": "authenticated", "exp": in_seconds(-28)}));
    let client = app.bearer(&token);
    assert_eq!(client.get("/rpc/whoami").await.status, 200);
    let mut answer = client.get("/rpc/whoami").await;
    for _ in 0..100 {
        if answer.status != 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        answer = client.get("/rpc/whoami").await;
    }
    assert_refused(&answer, "PGRST303", "JWT expired", None);
    app.stop().await;
}

#[tokio::test]
async fn another_secret_forgets_the_tokens_of_the_last_one() {
    let app = RestApp::rest_only_with(WHOAMI, &[("PGRST_DB_CHANNEL", "pgrst")]).await;
    let client = app.service_role();
    assert_eq!(client.get("/rpc/whoami").await.status, 200);
    let role = super::app::login_role(&app.database).await;
    let change =
        format!("alter role \"{role}\" set pgrst.jwt_secret = 'a new secret, of more than 32 bytes'");
    app.reload_after(&change).await;
    let answer = client.get("/rpc/whoami").await;
    let details = "None of the keys was able to decode the JWT";
    assert_refused(
        &answer,
        "PGRST301",
        "No suitable key or wrong key type",
        Some(details),
    );
    app.stop().await;
}

const NO_KEY: &str = "No API key found in request";
const BAD_KEY: &str = "Invalid API key";

fn assert_turned_away(answer: &Answer, message: &str) {
    let hint = match message {
        NO_KEY => "No `apikey` request header or url param was found.",
        _ => "Double check your Supabase `anon` or `service_role` API key.",
    };
    assert_eq!(
        answer.pair(),
        (401, json!({"message": message, "hint": hint})),
        "{answer:?}"
    );
}

#[tokio::test]
async fn supabases_gateway_wants_a_key_and_takes_it_from_anywhere() {
    let app = RestApp::supabase(WHOAMI).await;
    let path = "/rpc/whoami";
    assert_turned_away(&app.nobody().get(path).await, NO_KEY);
    assert_turned_away(&app.nobody().get("/").await, NO_KEY);
    assert_turned_away(
        &app.nobody().with("authorization", "Basic dTpw").get(path).await,
        NO_KEY,
    );
    let cut: String = SERVICE_ROLE_KEY.chars().take(40).collect();
    for wrong in ["nonsense", "sb_secret_wrong", cut.as_str()] {
        assert_turned_away(&app.nobody().with("apikey", wrong).get(path).await, BAD_KEY);
        let query = format!("{path}?apikey={wrong}");
        assert_turned_away(&app.nobody().get(&query).await, BAD_KEY);
    }
    for (key, role) in [
        (ANON_KEY, "anon"),
        (SERVICE_ROLE_KEY, "service_role"),
        (PUBLISHABLE_KEY, "anon"),
        (SECRET_KEY, "service_role"),
    ] {
        let query = format!("{path}?apikey={key}");
        let bearer = app.nobody().with("authorization", &format!("Bearer {key}"));
        for answer in [
            app.nobody().with("apikey", key).get(path).await,
            app.nobody().get(&query).await,
            bearer.get(path).await,
        ] {
            let (seen, claims) = who(&answer);
            assert_eq!(
                (seen.as_str(), claims["role"].as_str()),
                (role, Some(role)),
                "{key}"
            );
        }
    }
    // The key is no filter of the rows.
    let filtered = format!("/members_only?apikey={SERVICE_ROLE_KEY}&id=eq.1");
    assert_eq!(app.nobody().get(&filtered).await.pair(), (200, json!([])));
    app.stop().await;
}

#[tokio::test]
async fn on_supabases_surface_authorization_says_as_whom() {
    let app = RestApp::supabase(WHOAMI).await;
    let id = Uuid::new_v4();
    let ask = async |apikey: &str, bearer: &str| {
        let client = app.nobody().with("apikey", apikey);
        client
            .with("authorization", &format!("Bearer {bearer}"))
            .get("/rpc/whoami")
            .await
    };
    let user = user_token(id);
    for (apikey, bearer, role) in [
        (ANON_KEY, SERVICE_ROLE_KEY, "service_role"),
        (SERVICE_ROLE_KEY, user.as_str(), "authenticated"),
        (PUBLISHABLE_KEY, user.as_str(), "authenticated"),
        (PUBLISHABLE_KEY, PUBLISHABLE_KEY, "anon"),
        (ANON_KEY, ANON_KEY, "anon"),
    ] {
        assert_eq!(who(&ask(apikey, bearer).await).0, role);
    }
    let (_, claims) = who(&ask(ANON_KEY, &user).await);
    assert_eq!(claims["sub"], id.to_string());

    let expired = signed(&json!({"role": "authenticated", "sub": id, "exp": in_seconds(-60)}));
    assert_refused(&ask(ANON_KEY, &expired).await, "PGRST303", "JWT expired", None);
    let garbage = ask(SECRET_KEY, "nonsense").await;
    assert_refused(&garbage, "PGRST301", "Expected 3 parts in JWT; got 1", None);
    assert_turned_away(&ask("wrong", &user).await, BAD_KEY);
    app.stop().await;
}
