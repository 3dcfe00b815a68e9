//! Who is asking: PostgREST's rules for tokens, and in front of them, on Supabase's surface, the gateway's for keys.
//!
//! A token is verified once and remembered; its times are checked at each request. What a request runs as is an
//! [`Identity`].

mod claims;
pub mod gate;
pub mod keys;
pub mod path;
mod token;

use std::collections::HashMap;
use std::sync::Arc;

use quick_cache::sync::Cache;

use self::claims::{Claims, Limits};
pub use self::keys::KeySet;
pub use self::path::RolePath;
use super::error::JwtError;

/// Longest token in bytes that is remembered, so that a thousand of them stay small.
const REMEMBERED_MAX_BYTES: usize = 8 * 1024;

/// What a request runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The role in PostgreSQL.
    pub role: String,
    /// The claims as a JSON object, `role` among them.
    pub claims_json: String,
    /// Whether the role is another than the anonymous one: what it may not do is then 403, else 401.
    pub authenticated: bool,
    /// What `alter role … set` says, to be set before the role.
    pub role_settings: Arc<[(String, String)]>,
    /// The role's `default_transaction_isolation`: `serializable`, `repeatable read` or `read committed`.
    pub role_isolation: Option<String>,
}

/// What the database says of the roles that requests may have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roles(HashMap<String, RoleSettings>);

/// What `alter role … set` says of one role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleSettings {
    /// Settings that the login role may set, by name.
    pub settings: Arc<[(String, String)]>,
    /// `default_transaction_isolation`
    pub isolation: Option<String>,
}

impl FromIterator<(String, RoleSettings)> for Roles {
    fn from_iter<I: IntoIterator<Item = (String, RoleSettings)>>(roles: I) -> Self {
        Self(roles.into_iter().collect())
    }
}

impl Roles {
    /// The settings of a role, if it has any.
    pub fn get(&self, role: &str) -> Option<&RoleSettings> {
        self.0.get(role)
    }
}

/// What tokens are checked against.
#[derive(Debug, Clone, PartialEq)]
pub struct JwtSettings {
    /// `jwt-secret`; None refuses every token.
    pub keys: Option<Arc<KeySet>>,
    /// `jwt-aud`; None is any.
    pub audience: Option<String>,
    /// `jwt-role-claim-key`
    pub role_path: RolePath,
    /// `db-anon-role`: the role of requests without a token, and of tokens without a role.
    pub anon_role: Option<String>,
    /// `jwt-cache-max-entries`; 0 switches remembering off.
    pub cache_max_entries: usize,
}

/// Tells who holds a token.
pub struct Authenticator {
    settings: JwtSettings,
    remembered: Option<Cache<Box<str>, Arc<Verified>>>,
}

/// A token whose signature was right.
#[derive(Debug)]
struct Verified {
    limits: Limits,
    bearer: Result<Bearer, JwtError>,
}

/// An identity without what depends on the database.
#[derive(Debug)]
struct Bearer {
    role: String,
    claims_json: String,
}

impl Authenticator {
    /// Checks tokens by `settings`.
    pub fn new(settings: JwtSettings) -> Self {
        let capacity = settings.cache_max_entries;
        Self {
            settings,
            remembered: (capacity > 0).then(|| Cache::new(capacity)),
        }
    }

    /// What it checks tokens by.
    pub fn settings(&self) -> &JwtSettings {
        &self.settings
    }

    /// Tells who holds `token`, or who comes without one. `now` is in seconds since 1970.
    pub fn identify(&self, token: Option<&str>, now: i64, roles: &Roles) -> Result<Identity, JwtError> {
        let Some(token) = token else {
            let role = self
                .settings
                .anon_role
                .as_deref()
                .ok_or(JwtError::TokenRequired)?;
            return Ok(self.identity(role, claims_of(role), roles));
        };
        let verified = self.verify(token)?;
        verified.limits.check(now)?;
        let bearer = verified.bearer.as_ref().map_err(Clone::clone)?;
        Ok(self.identity(&bearer.role, bearer.claims_json.clone(), roles))
    }

    /// The identity of a role that needs no token, as holders of an opaque key have one.
    pub fn holder_of(&self, role: &str, roles: &Roles) -> Identity {
        self.identity(role, claims_of(role), roles)
    }

    fn identity(&self, role: &str, claims_json: String, roles: &Roles) -> Identity {
        let settings = roles.get(role);
        Identity {
            role: role.to_owned(),
            claims_json,
            authenticated: self.settings.anon_role.as_deref() != Some(role),
            role_settings: settings.map_or_else(Arc::default, |role| Arc::clone(&role.settings)),
            role_isolation: settings.and_then(|role| role.isolation.clone()),
        }
    }

    fn verify(&self, token: &str) -> Result<Arc<Verified>, JwtError> {
        let keys = self.settings.keys.as_deref().ok_or(JwtError::SecretMissing)?;
        if let Some(known) = self.remembered.as_ref().and_then(|cache| cache.get(token)) {
            return Ok(known);
        }
        let payload = token::open(token, keys)?;
        let claims = Claims::read(
            &payload,
            self.settings.audience.as_deref(),
            &self.settings.role_path,
        )?;
        let (limits, bearer) = claims.settle(self.settings.anon_role.as_deref());
        let bearer = bearer
            .map(|(role, claims_json)| Bearer { role, claims_json })
            .ok_or(JwtError::TokenRequired);
        let verified = Arc::new(Verified { limits, bearer });
        if let Some(cache) = &self.remembered
            && token.len() <= REMEMBERED_MAX_BYTES
        {
            cache.insert(token.into(), Arc::clone(&verified));
        }
        Ok(verified)
    }
}

fn claims_of(role: &str) -> String {
    serde_json::json!({ "role": role }).to_string()
}

#[cfg(test)]
mod tests;
