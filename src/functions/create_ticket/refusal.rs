//! Why create-ticket creates none. Each is a 400; the texts are the original's, those of its RPC included.

use uuid::Uuid;

/// A refusal, in the words that the caller reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A required field is absent or falsy; which one, the original does not say.
    #[error("Missing required fields: issue, category, priority, location, tenantId, chatId")]
    MissingFields,
    /// A tenant id that is no UUID, in PostgreSQL's words.
    #[error("invalid input syntax for type uuid: \"{0}\"")]
    InvalidTenantId(String),
    /// A chat id that is no number.
    #[error("Invalid chat_id format: {0}. Must be a numeric value.")]
    InvalidChatId(String),
    /// No active user of the tenant has this chat id.
    #[error("User not found with chat_id: {chat_id} in tenant: {tenant_id}")]
    UserNotFound {
        /// The chat id that was sent.
        chat_id: String,
        /// The tenant.
        tenant_id: Uuid,
    },
    /// What the database says to the row.
    #[error("Failed to create ticket: {0}")]
    NotStored(String),
}
