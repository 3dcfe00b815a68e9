use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512,
    RSA_PSS_SHA384, RsaEncoding, RsaKeyPair,
};
use aws_lc_rs::{hmac, rsa::KeySize};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use poem::http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::gate::{Gate, KeyRefusal, Refusal};
use super::*;
use crate::auth::{ProjectKey, Role};
use crate::config::Secret;
use crate::rest::error::RestError;

const SECRET: &str = "reallyreallyreallyreallyverysafe";
const NOW: i64 = 1_700_000_000;

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A token of this header and these claims, signed by `sign`.
fn signed(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
    format!("{message}.{}", b64(sign(message.as_bytes())))
}

fn hs256(secret: &str, claims: &Value) -> String {
    hs(hmac::HMAC_SHA256, &json!({"alg": "HS256"}), secret, claims)
}

fn hs(kind: hmac::Algorithm, header: &Value, secret: &str, claims: &Value) -> String {
    let key = hmac::Key::new(kind, secret.as_bytes());
    signed(header, claims, |message| {
        hmac::sign(&key, message).as_ref().to_vec()
    })
}

fn settings(secret: &str) -> JwtSettings {
    JwtSettings {
        keys: Some(Arc::new(KeySet::parse(secret.as_bytes()).unwrap())),
        audience: None,
        role_path: RolePath::default(),
        anon_role: Some("nobody".to_owned()),
        cache_max_entries: 10,
    }
}

fn identify(secret: &str, token: &str) -> Result<Identity, JwtError> {
    Authenticator::new(settings(secret)).identify(Some(token), NOW, &Roles::default())
}

fn decode_error(secret: &str, token: &str) -> (String, Option<String>) {
    match identify(secret, token) {
        Err(JwtError::Decode { message, details }) => (message, details),
        other => panic!("{other:?}"),
    }
}

const NONE_VERIFIES: (&str, Option<&str>) = (
    "No suitable key or wrong key type",
    Some("None of the keys was able to decode the JWT"),
);
const NONE_FITS: (&str, Option<&str>) = (
    "No suitable key or wrong key type",
    Some("No suitable key was found to decode the JWT"),
);
const MALFORMED: (&str, Option<&str>) = ("JWT cryptographic operation failed", None);

#[test]
fn a_token_is_refused_with_what_is_wrong_with_it() {
    let good = hs256(SECRET, &json!({"role": "a"}));
    let (head, rest) = good.split_once('.').unwrap();
    let (body, signature) = rest.split_once('.').unwrap();
    let unsecured = b64(r#"{"alg":"none"}"#);
    let with = |header: &str| format!("{}.{body}.{signature}", b64(header));
    let cases = [
        (String::new(), ("Empty JWT is sent in Authorization header", None)),
        ("x".to_owned(), ("Expected 3 parts in JWT; got 1", None)),
        (format!("{head}.{body}"), ("Expected 3 parts in JWT; got 2", None)),
        (format!("{good}.x"), ("Expected 3 parts in JWT; got 4", None)),
        ("quif.fonv.iuqv".to_owned(), MALFORMED),
        ("..".to_owned(), MALFORMED),
        (format!("{head}.!.{signature}"), MALFORMED),
        (format!("{head}.{body}.{signature}="), MALFORMED),
        (with("[]"), MALFORMED),
        (with(r#"{"alg":"HS1"}"#), MALFORMED),
        (with(r#"{"alg":"hs256"}"#), MALFORMED),
        (with(r#"{"alg":"None"}"#), MALFORMED),
        (with(r#"{"alg":1}"#), MALFORMED),
        (with(r#"{"alg":"HS256","kid":1}"#), MALFORMED),
        (with(r#"{"alg":"HS256","typ":1}"#), MALFORMED),
        (with(r#"{"alg":"HS256","enc":"A128GCM"}"#), MALFORMED),
        (
            format!("{unsecured}.{body}."),
            (
                "Wrong or unsupported encoding algorithm",
                Some("JWT is unsecured but expected 'alg' was not 'none'"),
            ),
        ),
        (format!("{head}.{body}."), NONE_VERIFIES),
        (
            format!("{head}.{}.{signature}", b64(r#"{"role":"b"}"#)),
            NONE_VERIFIES,
        ),
        (hs256("another secret", &json!({})), NONE_VERIFIES),
        (with(r#"{"alg":"RS256"}"#), NONE_FITS),
        (with(r#"{"alg":"HS512"}"#), NONE_FITS),
        (with(r#"{"alg":"HS256","kid":"k"}"#), NONE_FITS),
    ];
    for (token, (message, details)) in cases {
        let expected = (message.to_owned(), details.map(str::to_owned));
        assert_eq!(decode_error(SECRET, &token), expected, "{token}");
    }
    let unreadable = hs256(SECRET, &json!("text"));
    let error = JwtError::Claims("Parsing claims failed".to_owned());
    assert_eq!(identify(SECRET, &unreadable).unwrap_err(), error);
}

#[test]
fn the_bearer_is_the_role_that_the_token_names_or_nobody() {
    let roles: Roles = [(
        "a".to_owned(),
        RoleSettings {
            settings: [("statement_timeout".to_owned(), "1s".to_owned())].into(),
            isolation: Some("serializable".to_owned()),
        },
    )]
    .into_iter()
    .collect();
    let authenticator = Authenticator::new(settings(SECRET));
    let known = authenticator
        .identify(Some(&hs256(SECRET, &json!({"role": "a", "id": 1}))), NOW, &roles)
        .unwrap();
    assert_eq!(
        (known.role.as_str(), known.claims_json.as_str()),
        ("a", r#"{"id":1,"role":"a"}"#)
    );
    assert!(known.authenticated);
    assert_eq!(known.role_settings.len(), 1);
    assert_eq!(known.role_isolation.as_deref(), Some("serializable"));

    let without_role = hs256(SECRET, &json!({"id": 1}));
    for (token, claims) in [
        (Some(without_role.as_str()), r#"{"id":1,"role":"nobody"}"#),
        (None, r#"{"role":"nobody"}"#),
    ] {
        let nobody = authenticator.identify(token, NOW, &roles).unwrap();
        assert_eq!(
            (nobody.role.as_str(), nobody.claims_json.as_str()),
            ("nobody", claims)
        );
        assert!(!nobody.authenticated && nobody.role_settings.is_empty());
    }
}

#[test]
fn without_an_anonymous_role_a_role_is_needed_and_without_a_secret_no_token_is_right() {
    let without_anon = Authenticator::new(JwtSettings {
        anon_role: None,
        ..settings(SECRET)
    });
    let roles = Roles::default();
    let token = hs256(SECRET, &json!({"id": 1}));
    for token in [None, Some(token.as_str())] {
        assert_eq!(
            without_anon.identify(token, NOW, &roles),
            Err(JwtError::TokenRequired)
        );
    }
    let expired = hs256(SECRET, &json!({"exp": NOW - 60}));
    assert_eq!(
        without_anon.identify(Some(&expired), NOW, &roles),
        Err(JwtError::Claims("JWT expired".to_owned()))
    );
    let without_secret = Authenticator::new(JwtSettings {
        keys: None,
        ..settings(SECRET)
    });
    for token in ["", "x", token.as_str()] {
        assert_eq!(
            without_secret.identify(Some(token), NOW, &roles),
            Err(JwtError::SecretMissing)
        );
    }
    assert!(without_secret.identify(None, NOW, &roles).is_ok());
}

#[test]
fn a_remembered_token_expires_all_the_same() {
    for cache_max_entries in [0, 1, 10] {
        let authenticator = Authenticator::new(JwtSettings {
            cache_max_entries,
            ..settings(SECRET)
        });
        let token = hs256(SECRET, &json!({"role": "a", "exp": NOW + 10}));
        let roles = Roles::default();
        for now in [NOW, NOW + 40] {
            assert!(authenticator.identify(Some(&token), now, &roles).is_ok());
        }
        assert_eq!(
            authenticator.identify(Some(&token), NOW + 41, &roles),
            Err(JwtError::Claims("JWT expired".to_owned()))
        );
        assert!(authenticator.identify(Some(&token), NOW, &roles).is_ok());
    }
}

#[test]
fn a_jwk_of_a_secret_takes_all_of_hmac_unless_it_names_one() {
    let claims = json!({"role": "a"});
    let kinds = [
        ("HS256", hmac::HMAC_SHA256),
        ("HS384", hmac::HMAC_SHA384),
        ("HS512", hmac::HMAC_SHA512),
    ];
    let jwk = json!({"kty": "oct", "k": b64(SECRET)});
    let only = json!({"kty": "oct", "k": b64(SECRET), "alg": "HS512"});
    for (alg, kind) in kinds {
        let token = hs(kind, &json!({ "alg": alg }), SECRET, &claims);
        assert!(identify(&jwk.to_string(), &token).is_ok(), "{alg}");
        assert_eq!(
            identify(&only.to_string(), &token).is_ok(),
            alg == "HS512",
            "{alg}"
        );
    }
}

#[test]
fn a_key_id_chooses_among_the_keys_of_a_set() {
    let key = |kid: Option<&str>, secret: &str| json!({"kty": "oct", "k": b64(secret), "kid": kid});
    let set = json!({"keys": [key(Some("one"), "first"), key(Some("two"), "second"), key(None, "third"),
        {"kty": "XYZ"}, {"kty": "EC", "crv": "secp256k1"}, {"kty": "RSA", "alg": "RSA-OAEP"},
        {"kty": "oct", "k": b64("enc"), "use": "enc"}]})
    .to_string();
    assert_eq!(KeySet::parse(set.as_bytes()).unwrap().unsupported_count, 4);
    let token = |kid: Option<&str>, secret: &str| {
        let mut header = json!({"alg": "HS256"});
        if let Some(kid) = kid {
            header["kid"] = kid.into();
        }
        hs(hmac::HMAC_SHA256, &header, secret, &json!({}))
    };
    for (kid, secret) in [
        (Some("one"), "first"),
        (Some("two"), "second"),
        (None, "first"),
        (None, "second"),
        (None, "third"),
    ] {
        assert!(identify(&set, &token(kid, secret)).is_ok(), "{kid:?} {secret}");
    }
    let owned = |(message, details): (&str, Option<&str>)| (message.to_owned(), details.map(str::to_owned));
    assert_eq!(
        decode_error(&set, &token(Some("two"), "first")),
        owned(NONE_VERIFIES)
    );
    assert_eq!(
        decode_error(&set, &token(Some("three"), "third")),
        owned(NONE_FITS)
    );
    assert_eq!(decode_error(&set, &token(None, "enc")), owned(NONE_VERIFIES));
}

#[test]
fn rsa_keys_verify_both_paddings_and_no_hmac_made_of_them() {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let public = pair.public_key();
    let n = public.modulus().big_endian_without_leading_zero().to_vec();
    let e = public.exponent().big_endian_without_leading_zero().to_vec();
    let jwk = json!({"kty": "RSA", "n": b64(&n), "e": b64(&e), "key_ops": ["verify"]}).to_string();
    let token = |alg: &str, encoding: &'static dyn RsaEncoding| {
        signed(&json!({ "alg": alg }), &json!({"role": "a"}), |message| {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(encoding, &SystemRandom::new(), message, &mut signature)
                .unwrap();
            signature
        })
    };
    assert!(identify(&jwk, &token("RS256", &RSA_PKCS1_SHA256)).is_ok());
    assert!(identify(&jwk, &token("RS512", &RSA_PKCS1_SHA512)).is_ok());
    assert!(identify(&jwk, &token("PS384", &RSA_PSS_SHA384)).is_ok());
    assert!(identify(&jwk, &token("RS384", &RSA_PKCS1_SHA256)).is_err());
    assert!(identify(&jwk, &token("PS256", &RSA_PKCS1_SHA256)).is_err());
    let confused = hs(
        hmac::HMAC_SHA256,
        &json!({"alg": "HS256"}),
        &jwk,
        &json!({"role": "a"}),
    );
    assert!(identify(&jwk, &confused).is_err());
}

#[test]
fn elliptic_keys_verify_the_algorithm_of_their_curve() {
    let cases: [(&str, &str, &'static EcdsaSigningAlgorithm, usize); 3] = [
        ("ES256", "P-256", &ECDSA_P256_SHA256_FIXED_SIGNING, 32),
        ("ES384", "P-384", &ECDSA_P384_SHA384_FIXED_SIGNING, 48),
        ("ES512", "P-521", &ECDSA_P521_SHA512_FIXED_SIGNING, 66),
    ];
    for (alg, curve, algorithm, width) in cases {
        let pair = EcdsaKeyPair::generate(algorithm).unwrap();
        let point = pair.public_key().as_ref();
        let (x, y) = point[1..].split_at(width);
        let jwk = json!({"kty": "EC", "crv": curve, "x": b64(x), "y": b64(y), "use": "sig"}).to_string();
        let token = |alg: &str| {
            signed(&json!({ "alg": alg }), &json!({"role": "a"}), |message| {
                pair.sign(&SystemRandom::new(), message)
                    .unwrap()
                    .as_ref()
                    .to_vec()
            })
        };
        for other in ["ES256", "ES384", "ES512", "EdDSA"] {
            assert_eq!(
                identify(&jwk, &token(other)).is_ok(),
                other == alg,
                "{curve} {other}"
            );
        }
    }
    let pair = Ed25519KeyPair::generate().unwrap();
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": b64(pair.public_key())}).to_string();
    let token = signed(&json!({"alg": "EdDSA"}), &json!({}), |message| {
        pair.sign(message).as_ref().to_vec()
    });
    assert!(identify(&jwk, &token).is_ok());
}

#[test]
fn a_secret_that_cannot_be_used_says_why() {
    let jwk = |number, reason| Err(keys::KeyError::Jwk { number, reason });
    let cases = [
        (SECRET.to_owned(), Ok(())),
        ("12345678901234567890123456789012".to_owned(), Ok(())),
        ("{ no JSON, but a long and right secret".to_owned(), Ok(())),
        ("short".to_owned(), Err(keys::KeyError::TooShort)),
        (json!({"kty": "oct"}).to_string(), jwk(1, "lacks a base64url `k`")),
        (
            json!({"keys": [{"kty": "oct", "k": "AAAA"}, {"kty": "RSA", "n": "AQAB", "e": "AQAB"}]})
                .to_string(),
            jwk(2, "is an RSA key of fewer than 2048 bits"),
        ),
        (
            json!({"kty": "EC", "crv": "P-256", "x": "AQAB", "y": "AQAB"}).to_string(),
            jwk(1, "is no point of its curve"),
        ),
        (
            json!({"kty": "RSA", "n": 1}).to_string(),
            jwk(1, "has a parameter that is no text"),
        ),
    ];
    for (secret, expected) in cases {
        assert_eq!(KeySet::parse(secret.as_bytes()).map(drop), expected, "{secret}");
    }
}

/// What Supabase's gate says: the role, or the status with the code or message.
fn ask(query: &str, headers: &[(&'static str, &str)]) -> Result<String, String> {
    let gate = Gate::Keys(vec![
        ProjectKey::new(Secret::new("sb_publishable_a"), Role::Anon),
        ProjectKey::new(Secret::new("sb_secret_b"), Role::ServiceRole),
    ]);
    let authenticator = Authenticator::new(JwtSettings {
        anon_role: Some("anon".to_owned()),
        ..settings(SECRET)
    });
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            )
        })
        .collect();
    match gate.identify(&headers, Some(query), &authenticator, &Roles::default(), NOW) {
        Ok(identity) => Ok(identity.role),
        Err(Refusal::Gateway(KeyRefusal::Missing)) => Err("no key".to_owned()),
        Err(Refusal::Gateway(KeyRefusal::Invalid)) => Err("invalid key".to_owned()),
        Err(Refusal::Rest(RestError::Jwt(JwtError::Decode { message, .. } | JwtError::Claims(message)))) => {
            Err(message)
        }
        Err(Refusal::Rest(RestError::Database(error))) => Err(error.message.clone()),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
#[expect(clippy::too_many_lines, clippy::type_complexity, reason = "a table")]
fn on_supabases_surface_the_key_lets_in_and_authorization_says_as_whom() {
    let token = |claims: Value| hs256(SECRET, &claims);
    let bearer = |token: &str| format!("Bearer {token}");
    let (anon, service) = (
        token(json!({"role": "anon"})),
        token(json!({"role": "service_role"})),
    );
    let user = token(json!({"role": "authenticated", "sub": "1"}));
    let old = token(json!({"role": "authenticated", "exp": NOW - 60}));
    let other = token(json!({"role": "reporting"}));
    let none = token(json!({"role": "none"}));
    let foreign = hs256(
        "another secret of thirty-two bytes",
        &json!({"role": "service_role"}),
    );
    let unverified = "No suitable key or wrong key type";
    let cases: Vec<(&str, Vec<(&'static str, String)>, Result<&str, &str>)> = vec![
        ("", vec![], Err("no key")),
        (
            "select=*",
            vec![("authorization", "Basic dTpw".into())],
            Err("no key"),
        ),
        ("", vec![("authorization", "Bearer".into())], Err("no key")),
        ("", vec![("apikey", String::new())], Err("no key")),
        // The key alone, wherever it stands.
        ("", vec![("apikey", "sb_publishable_a".into())], Ok("anon")),
        ("", vec![("apikey", "sb_secret_b".into())], Ok("service_role")),
        ("", vec![("apikey", anon.clone())], Ok("anon")),
        ("", vec![("apikey", service.clone())], Ok("service_role")),
        ("a=1&apikey=sb_secret_b", vec![], Ok("service_role")),
        (
            "",
            vec![("authorization", bearer("sb_secret_b"))],
            Ok("service_role"),
        ),
        ("", vec![("authorization", bearer(&service))], Ok("service_role")),
        ("", vec![("authorization", bearer(&user))], Ok("authenticated")),
        (
            "apikey=sb_secret_b",
            vec![("authorization", "Basic dTpw".into())],
            Ok("service_role"),
        ),
        (
            "apikey=sb_secret_b",
            vec![("authorization", "Bearer".into())],
            Ok("service_role"),
        ),
        // Wrong keys.
        ("", vec![("apikey", "sb_secret_x".into())], Err("invalid key")),
        ("", vec![("apikey", "nonsense".into())], Err("invalid key")),
        ("", vec![("apikey", foreign.clone())], Err("invalid key")),
        ("", vec![("apikey", old.clone())], Err("invalid key")),
        (
            "apikey=x",
            vec![("authorization", bearer(&user))],
            Err("invalid key"),
        ),
        (
            "",
            vec![("authorization", bearer("sb_secret_x"))],
            Err("invalid key"),
        ),
        // Both: Authorization wins.
        (
            "",
            vec![("apikey", anon.clone()), ("authorization", bearer(&service))],
            Ok("service_role"),
        ),
        (
            "",
            vec![("apikey", service.clone()), ("authorization", bearer(&user))],
            Ok("authenticated"),
        ),
        (
            "",
            vec![("apikey", "sb_secret_b".into()), ("authorization", bearer(&user))],
            Ok("authenticated"),
        ),
        (
            "",
            vec![
                ("apikey", "sb_publishable_a".into()),
                ("authorization", bearer("sb_publishable_a")),
            ],
            Ok("anon"),
        ),
        (
            "",
            vec![
                ("apikey", "sb_publishable_a".into()),
                ("authorization", bearer("sb_secret_b")),
            ],
            Ok("service_role"),
        ),
        (
            "",
            vec![("apikey", anon.clone()), ("authorization", bearer(&other))],
            Ok("reporting"),
        ),
        // A right key does not save a wrong token.
        (
            "",
            vec![("apikey", anon.clone()), ("authorization", bearer(&old))],
            Err("JWT expired"),
        ),
        ("", vec![("authorization", bearer(&old))], Err("JWT expired")),
        (
            "",
            vec![("apikey", service.clone()), ("authorization", bearer(&foreign))],
            Err(unverified),
        ),
        ("", vec![("authorization", bearer(&foreign))], Err(unverified)),
        (
            "",
            vec![("apikey", service.clone()), ("authorization", bearer("x"))],
            Err("Expected 3 parts in JWT; got 1"),
        ),
        (
            "",
            vec![("apikey", service), ("authorization", bearer("sb_secret_x"))],
            Err("Expected 3 parts in JWT; got 1"),
        ),
        // To PostgreSQL, "none" is the login role.
        (
            "",
            vec![("apikey", anon), ("authorization", bearer(&none))],
            Err(r#"role "none" does not exist"#),
        ),
    ];
    for (query, headers, expected) in cases {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        assert_eq!(
            ask(query, &headers),
            expected.map(str::to_owned).map_err(str::to_owned),
            "{query} {headers:?}"
        );
    }
}

#[test]
fn on_postgrests_surface_there_are_only_tokens() {
    let authenticator = Authenticator::new(settings(SECRET));
    let ask = |authorization: Option<&str>| {
        let mut headers = HeaderMap::new();
        headers.insert("apikey", HeaderValue::from_static("sb_secret_b"));
        if let Some(value) = authorization {
            headers.insert("authorization", HeaderValue::from_str(value).unwrap());
        }
        let identity =
            Gate::Open.identify(&headers, Some("apikey=x"), &authenticator, &Roles::default(), NOW);
        identity
            .map(|identity| identity.role)
            .map_err(|error| match error {
                Refusal::Rest(RestError::Jwt(JwtError::Decode { message, .. })) => message,
                other => panic!("{other:?}"),
            })
    };
    let token = hs256(SECRET, &json!({"role": "a"}));
    for value in [format!("Bearer {token}"), format!("bEARER \t {token}")] {
        assert_eq!(ask(Some(&value)), Ok("a".to_owned()));
    }
    for value in [None, Some("Basic dTpw"), Some("Token x"), Some(token.as_str())] {
        assert_eq!(ask(value), Ok("nobody".to_owned()), "{value:?}");
    }
    let empty = Err("Empty JWT is sent in Authorization header".to_owned());
    assert_eq!(ask(Some("Bearer")), empty);
    assert_eq!(ask(Some("Bearer ")), empty);
}
