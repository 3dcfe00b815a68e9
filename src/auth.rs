//! Who is asking: roles, the project's keys, and what a verified request carries.

pub mod jwt;

use crate::config::Secret;

/// A role that a request can have, named as in PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Nobody in particular: holders of the anon or publishable key.
    Anon,
    /// A signed-in user.
    Authenticated,
    /// The operator's own programs: holders of the service_role or secret key.
    ServiceRole,
}

impl Role {
    /// The role's name in PostgreSQL and in tokens.
    pub fn name(self) -> &'static str {
        match self {
            Self::Anon => "anon",
            Self::Authenticated => "authenticated",
            Self::ServiceRole => "service_role",
        }
    }

    /// The role of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Anon, Self::Authenticated, Self::ServiceRole]
            .into_iter()
            .find(|role| role.name() == name)
    }
}

/// A key that is compared as a whole, in constant time: `sb_publishable_…`, `sb_secret_…`, or a legacy key that
/// the environment names.
#[derive(Debug, Clone)]
pub struct ProjectKey {
    value: Secret,
    role: Role,
}

impl ProjectKey {
    /// A key and the role of its holder.
    pub fn new(value: Secret, role: Role) -> Self {
        Self { value, role }
    }

    /// The role of the key among `keys` that equals `candidate`.
    pub fn role_of(keys: &[Self], candidate: &str) -> Option<Role> {
        // Every key is compared, so that the time taken does not tell which one came close.
        let mut found = None;
        for key in keys {
            if key.value.matches(candidate) {
                found = Some(key.role);
            }
        }
        found
    }
}

/// What a verified request carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthContext {
    /// The role that the request runs as.
    pub role: Role,
    /// The token's claims; for an opaque key, its role alone.
    pub claims: serde_json::Map<String, serde_json::Value>,
}
