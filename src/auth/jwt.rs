//! Tokens: verification by the project's secret, and minting of keys.
//!
//! HS256 only, the algorithm of Supabase's legacy keys and of GoTrue's default. The algorithm is fixed by our
//! key, not by the token's header, so `alg: none` and key confusion have nothing to hold on to.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Map, Value, json};

use super::{AuthContext, ProjectKey, Role};
use crate::config::Secret;

/// Tolerated clock difference in seconds, as PostgREST's.
const LEEWAY: u64 = 30;

/// Why a token was refused. Callers learn only that it is invalid; the log says why.
#[derive(Debug, thiserror::Error)]
pub enum JwtError {
    /// Not a JWT, a wrong signature, another algorithm, expired, or not yet valid.
    #[error("verifying the token: {0}")]
    Invalid(#[from] jsonwebtoken::errors::Error),
    /// No role claim, or one that is none of the project's.
    #[error("the token's role claim is not anon, authenticated or service_role")]
    Role,
}

/// Verifies keys and tokens of one project.
pub struct Verifier {
    key: DecodingKey,
    validation: Validation,
    keys: Vec<ProjectKey>,
}

impl Verifier {
    /// A verifier for tokens signed by `secret`, and for `keys` that are compared as a whole.
    pub fn new(secret: &Secret, keys: Vec<ProjectKey>) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        // Supabase's own verification ignores `aud`; `exp` is checked where it is present.
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        Self {
            key: DecodingKey::from_secret(secret.expose().as_bytes()),
            validation,
            keys,
        }
    }

    /// The holder of an opaque key.
    pub fn verify_key(&self, candidate: &str) -> Option<AuthContext> {
        ProjectKey::role_of(&self.keys, candidate).map(|role| {
            let claims = Map::from_iter([("role".to_owned(), Value::from(role.name()))]);
            AuthContext { role, claims }
        })
    }

    /// The bearer of a token.
    pub fn verify(&self, token: &str) -> Result<AuthContext, JwtError> {
        let claims = jsonwebtoken::decode::<Map<String, Value>>(token, &self.key, &self.validation)?.claims;
        let role = claims
            .get("role")
            .and_then(Value::as_str)
            .and_then(Role::from_name)
            .ok_or(JwtError::Role)?;
        Ok(AuthContext { role, claims })
    }
}

/// Signs any claims with the project's secret.
pub fn sign(secret: &Secret, claims: &Value) -> Result<String, JwtError> {
    let key = EncodingKey::from_secret(secret.expose().as_bytes());
    Ok(jsonwebtoken::encode(
        &Header::new(Algorithm::HS256),
        claims,
        &key,
    )?)
}

/// Mints a long-lived key in the form of Supabase's legacy keys.
pub fn mint_key(
    secret: &Secret,
    role: Role,
    issued_at: chrono::DateTime<chrono::Utc>,
    lifetime: chrono::Duration,
) -> Result<String, JwtError> {
    let claims = json!({
        "iss": "supabase",
        "role": role.name(),
        "iat": issued_at.timestamp(),
        "exp": (issued_at + lifetime).timestamp(),
    });
    sign(secret, &claims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    fn secret() -> Secret {
        Secret::new("a-secret-of-at-least-thirty-two-characters")
    }

    fn verifier() -> Verifier {
        Verifier::new(
            &secret(),
            vec![ProjectKey::new(Secret::new("sb_secret_abc"), Role::ServiceRole)],
        )
    }

    fn verify(claims: &Value) -> Result<AuthContext, JwtError> {
        verifier().verify(&sign(&secret(), claims).unwrap())
    }

    fn now() -> i64 {
        chrono::Utc::now().timestamp()
    }

    #[test]
    fn a_key_without_expiry_is_valid() {
        assert_eq!(verify(&json!({"role": "anon"})).unwrap().role, Role::Anon);
    }

    #[test]
    fn expired_and_future_tokens_are_refused_beyond_the_leeway() {
        assert!(verify(&json!({"role": "anon", "exp": now() - 60})).is_err());
        assert!(verify(&json!({"role": "anon", "exp": now() - 5})).is_ok());
        assert!(verify(&json!({"role": "anon", "nbf": now() + 60})).is_err());
        assert!(verify(&json!({"role": "anon", "nbf": now() + 5})).is_ok());
    }

    #[test]
    fn only_the_projects_roles_are_accepted() {
        for claims in [json!({}), json!({"role": "postgres"}), json!({"role": 7})] {
            assert!(matches!(verify(&claims), Err(JwtError::Role)), "{claims}");
        }
    }

    #[test]
    fn alg_none_and_other_algorithms_are_refused() {
        let body = URL_SAFE_NO_PAD.encode(r#"{"role":"service_role"}"#);
        for header in [
            r#"{"alg":"none"}"#,
            r#"{"alg":"None","typ":"JWT"}"#,
            r#"{"alg":"RS256"}"#,
            r#"{"alg":"ES256"}"#,
        ] {
            let token = format!("{}.{body}.", URL_SAFE_NO_PAD.encode(header));
            assert!(verifier().verify(&token).is_err(), "{header}");
        }
        let hs512 = jsonwebtoken::encode(
            &Header::new(Algorithm::HS512),
            &json!({"role": "anon"}),
            &EncodingKey::from_secret(secret().expose().as_bytes()),
        );
        assert!(verifier().verify(&hs512.unwrap()).is_err());
    }

    #[test]
    fn another_secret_or_a_changed_claim_is_refused() {
        let foreign = sign(
            &Secret::new("another-secret-of-thirty-two-characters"),
            &json!({"role": "anon"}),
        );
        assert!(verifier().verify(&foreign.unwrap()).is_err());

        let token = sign(&secret(), &json!({"role": "anon"})).unwrap();
        let (head, rest) = token.split_once('.').unwrap();
        let (_, signature) = rest.split_once('.').unwrap();
        let forged = format!(
            "{head}.{}.{signature}",
            URL_SAFE_NO_PAD.encode(r#"{"role":"service_role"}"#)
        );
        assert!(verifier().verify(&forged).is_err());
    }

    #[test]
    fn an_opaque_key_is_compared_as_a_whole() {
        assert_eq!(
            verifier().verify_key("sb_secret_abc").unwrap().role,
            Role::ServiceRole
        );
        assert!(verifier().verify_key("sb_secret_ab").is_none());
        assert!(verifier().verify_key("sb_secret_abcd").is_none());
    }

    #[test]
    fn minted_keys_verify() {
        let key = mint_key(
            &secret(),
            Role::ServiceRole,
            chrono::Utc::now(),
            chrono::Duration::days(1),
        )
        .unwrap();
        assert_eq!(verifier().verify(&key).unwrap().role, Role::ServiceRole);
    }

    #[test]
    fn the_well_known_local_keys_verify_with_the_well_known_secret() {
        let verifier = Verifier::new(&Secret::new(crate::dev::JWT_SECRET), Vec::new());
        assert_eq!(verifier.verify(crate::dev::ANON_KEY).unwrap().role, Role::Anon);
        assert_eq!(
            verifier.verify(crate::dev::SERVICE_ROLE_KEY).unwrap().role,
            Role::ServiceRole
        );
    }
}
