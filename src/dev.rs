//! What `dropwire dev` adds to `serve`: the well-known local keys, demo data, and an inbox that the demo tenant's
//! webhook points to.

mod inbox;

use std::net::SocketAddr;

pub use inbox::{Inbox, endpoint as inbox_endpoint};

use crate::auth::{ProjectKey, Role};
use crate::config::{Secret, Settings};
use crate::database::{Database, DatabaseError};

/// Where the inbox is mounted.
pub const INBOX_PATH: &str = "/_dev/inbox";

/// The secret of every local Supabase (`supabase start`); public, for development only.
pub const JWT_SECRET: &str = "super-secret-jwt-token-with-at-least-32-characters-long";
/// The anon key of every local Supabase.
pub const ANON_KEY: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJzdXBhYmFzZS1kZW1vIiwicm9sZSI6ImFub24iLCJleHAiOjE5ODM4MTI5OTZ9.CRXP1A7WOeoJeXxjNni43kdQwgnWNReilDMblYTn_I0";
/// The service_role key of every local Supabase.
pub const SERVICE_ROLE_KEY: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJzdXBhYmFzZS1kZW1vIiwicm9sZSI6InNlcnZpY2Vfcm9sZSIsImV4cCI6MTk4MzgxMjk5Nn0.EGIM96RAZx35lJzdJsyH-qQwv8Hdp7fsn3W0YpN81IU";
/// The publishable key of every local Supabase.
pub const PUBLISHABLE_KEY: &str = "sb_publishable_ACJWlzQHlZjBrEguHvfOxg_3BJgxAaH";
/// The secret key of every local Supabase.
pub const SECRET_KEY: &str = "sb_secret_N7UND0UgjKTVK-Uodkm0Hg_xSvEMPvz";

/// The demo tenant.
pub const TENANT_ID: &str = "d0000000-0000-4000-8000-000000000001";
/// The Telegram chat id of the demo tenant's complainant, the guide's.
pub const CHAT_ID: &str = "123456789";

const DEMO: &str = include_str!("../sql/dev/demo.sql");
const POINT_WEBHOOK: &str = include_str!("../sql/dev/point_webhook.sql");

/// Turns settings into those of `dev`: the local keys, and webhooks to this machine allowed.
pub fn adapt(settings: &mut Settings) {
    settings.auth.jwt_secret = Some(Secret::new(JWT_SECRET));
    settings
        .auth
        .keys
        .push(ProjectKey::new(Secret::new(PUBLISHABLE_KEY), Role::Anon));
    settings
        .auth
        .keys
        .push(ProjectKey::new(Secret::new(SECRET_KEY), Role::ServiceRole));
    settings.webhook.allow_private = true;
}

/// Writes the demo data where it is absent, and points the demo tenant's webhook to this server's inbox.
pub async fn seed(database: &Database, listen: SocketAddr) -> Result<(), DatabaseError> {
    let owner = database.owner.connect().await?;
    owner.batch_execute(DEMO).await.map_err(DatabaseError::Seed)?;
    let inbox = format!("http://{listen}{INBOX_PATH}");
    owner
        .execute(POINT_WEBHOOK, &[&inbox])
        .await
        .map_err(DatabaseError::Seed)?;
    Ok(())
}

/// What `dev` prints once it listens.
pub fn banner(listen: SocketAddr) -> String {
    format!(
        r#"
  Dropwire is running with demo data.

  API URL           http://{listen}
  anon key          {ANON_KEY}
  service_role key  {SERVICE_ROLE_KEY}
  demo tenant       {TENANT_ID}
  inbox             http://{listen}{INBOX_PATH}
  API docs          http://{listen}/docs

  Create a ticket, then look into the inbox:

curl -X POST http://{listen}/functions/v1/telegram-webhook \
  -H "Content-Type: application/json" \
  -H "Authorization: Bearer {ANON_KEY}" \
  -d '{{
    "issue": "AC not working in Building A",
    "location": "Building A, Floor 3",
    "category": "HVAC",
    "priority": "medium",
    "name": "John Doe",
    "chat_id": "{CHAT_ID}",
    "tenant_id": "{TENANT_ID}"
  }}'

curl http://{listen}{INBOX_PATH}
"#
    )
}
