//! Who is asking: the token's role and claims, by PostgREST's rules.

use std::sync::Arc;

/// What a transaction runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The role.
    pub role: String,
    /// The token's claims as a JSON object, `role` always among them.
    pub claims_json: String,
    /// Whether there was a token.
    pub authenticated: bool,
    /// Settings of the role (`alter role … set`) that are applied to each of its transactions.
    pub role_settings: Arc<[(String, String)]>,
    /// The role's `default_transaction_isolation`.
    pub role_isolation: Option<String>,
}
