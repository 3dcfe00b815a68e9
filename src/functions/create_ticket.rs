//! `POST /functions/v1/create-ticket`: creates a ticket and answers with it as the rules left it.
//!
//! Any valid key of the project is enough, as for [`telegram-webhook`](super::telegram_webhook). The original inserts
//! by RPC and runs the rules afterwards, over several calls: a ticket could stand and its creation fail. Here the
//! database does all of it in one transaction, so that its row "created but rule engine failed" has no place.

mod refusal;
mod request;

use poem::web::Data;
use poem_openapi::types::{Example, ParseFromJSON as _};
use poem_openapi::{Object, OpenApi};
use postgres_types::Type;
use serde_json::Value;
use uuid::Uuid;

use super::body::JsonBody;
use super::error::{Dialect, FunctionError};
use super::idempotency::{IdempotencyKey, Replayable};
use super::telegram_webhook::Priority;
use super::{Caller, Failure, Failures, Tag, to_the_end};
use crate::app::AppState;
use crate::idempotency::Claim;
use crate::pg::pool::{Param, Pool};
pub use refusal::Refusal;
use request::NewTicket;

/// The function's name in its path.
pub const NAME: &str = "create-ticket";
/// How it words its failures.
pub const DIALECT: Dialect = Dialect::SuccessError;

const CREATE: &str = include_str!("../../sql/tickets/create.sql");

// The demo tenant's, so that the example works with `dropwire dev`. An unknown user is 400 here, which looks to tools
// as if the example itself were wrong.
const EXAMPLE_CHAT_ID: &str = "123456789";
const EXAMPLE_TENANT: Uuid = Uuid::from_u128(0xd000_0000_0000_4000_8000_0000_0000_0001);
const EXAMPLE_TICKET: Uuid = Uuid::from_u128(0x0b7f_6a3e_52c1_4b0e_9d7c_3f1a_2e4d_5c6b);

/// The function's operation.
#[derive(Debug, Clone, Copy)]
pub struct Api;

/// A ticket to create. Other fields are ignored.
#[derive(Object)]
#[oai(example, rename_all = "camelCase", skip_serializing_if_is_none)]
struct NewTicketRequest {
    /// What is wrong; becomes the ticket's title and description
    #[oai(validator(min_length = 1))]
    issue: String,
    /// Where the tenant has one category of this name, whatever its case, the ticket gets its id too
    #[oai(validator(min_length = 1))]
    category: String,
    /// In exactly this spelling
    priority: Priority,
    #[oai(validator(min_length = 1))]
    location: String,
    tenant_id: Uuid,
    /// Telegram chat id of an active user of the tenant, as a string; a number is accepted too
    #[oai(validator(min_length = 1))]
    chat_id: String,
    /// `Maintenance` unless given
    #[oai(rename = "type")]
    kind: Option<String>,
    /// Goes behind the location, as do floor and room
    building: Option<String>,
    floor: Option<String>,
    room: Option<String>,
    /// Ignored: the chat id says who complains
    complainant_id: Option<String>,
}

impl Example for NewTicketRequest {
    fn example() -> Self {
        Self {
            issue: "AC not working in Building A".to_owned(),
            category: "HVAC".to_owned(),
            priority: Priority::High,
            location: "Main site".to_owned(),
            tenant_id: EXAMPLE_TENANT,
            chat_id: EXAMPLE_CHAT_ID.to_owned(),
            kind: Some("Maintenance".to_owned()),
            building: Some("Building A".to_owned()),
            floor: Some("3".to_owned()),
            room: Some("301".to_owned()),
            complainant_id: None,
        }
    }
}

/// A ticket after its rules. Times are in ISO 8601.
#[derive(Object)]
#[oai(nullable_all)]
struct TicketSummary {
    /// When it is due
    sla: Option<String>,
    /// The executor's profile; the user where there is no profile
    allocated_to: Option<Uuid>,
    allocated_to_name: Option<String>,
    /// A string, since Telegram's ids outgrow numbers
    allocated_to_chat_id: Option<String>,
    complainant_name: Option<String>,
    complainant_email: Option<String>,
    complainant_phone: Option<String>,
    #[oai(nullable = false)]
    ticket_id: Uuid,
    #[oai(nullable = false)]
    ticket_number: String,
    title: Option<String>,
    description: Option<String>,
    #[oai(nullable = false)]
    category: String,
    #[oai(nullable = false)]
    status: String,
    #[oai(nullable = false)]
    priority: String,
    created_at: Option<String>,
    updated_at: Option<String>,
    complainant_id: Option<Uuid>,
    #[oai(nullable = false)]
    tenant_id: Uuid,
}

/// The ticket that was created.
#[derive(Object)]
#[oai(example)]
struct TicketCreatedWithRules {
    /// Always true
    success: bool,
    ticket_id: Uuid,
    /// `TKT-` and a number, counted from 1000
    ticket_number: String,
    ticket: TicketSummary,
}

impl From<TicketSummary> for TicketCreatedWithRules {
    fn from(ticket: TicketSummary) -> Self {
        Self {
            success: true,
            ticket_id: ticket.ticket_id,
            ticket_number: ticket.ticket_number.clone(),
            ticket,
        }
    }
}

impl Example for TicketCreatedWithRules {
    fn example() -> Self {
        let created_at = "2025-11-13T10:30:00+00:00";
        let executor = Uuid::from_u128(0x3f2a_91c4_7d5e_4a8b_b6c0_1e9f_8a7d_2c35);
        Self::from(TicketSummary {
            sla: Some("2025-11-14T10:30:00+00:00".to_owned()),
            allocated_to: Some(executor),
            allocated_to_name: Some("Mike Johnson".to_owned()),
            allocated_to_chat_id: Some("987654321".to_owned()),
            complainant_name: Some("John Doe".to_owned()),
            complainant_email: Some("john.doe@example.com".to_owned()),
            complainant_phone: None,
            ticket_id: EXAMPLE_TICKET,
            ticket_number: "TKT-1234".to_owned(),
            title: Some("AC not working in Building A".to_owned()),
            description: Some("AC not working in Building A".to_owned()),
            category: "HVAC".to_owned(),
            status: "open".to_owned(),
            priority: "critical".to_owned(),
            created_at: Some(created_at.to_owned()),
            updated_at: Some(created_at.to_owned()),
            complainant_id: Some(Uuid::from_u128(0xd000_0000_0000_4000_8000_0000_0000_00a2)),
            tenant_id: EXAMPLE_TENANT,
        })
    }
}

/// Why no ticket was created.
#[derive(Object)]
#[oai(example)]
pub struct NewTicketRefused {
    /// Always false
    success: bool,
    error: String,
}

impl Example for NewTicketRefused {
    fn example() -> Self {
        Self {
            success: false,
            error: Refusal::MissingFields.to_string(),
        }
    }
}

impl Failures for Api {
    type Body = NewTicketRefused;
    const DIALECT: Dialect = DIALECT;

    fn documented() -> Vec<(FunctionError, &'static str)> {
        vec![
            (
                Refusal::MissingFields.into(),
                "No JSON, a field that is missing or invalid, no active user of the tenant with this chat id, a row \
                 that the database does not take, or an invalid Idempotency-Key",
            ),
            (FunctionError::MethodNotAllowed, "Not POST"),
            (FunctionError::BodyTimeout, "The body did not arrive in time"),
            (FunctionError::PayloadTooLarge, "A body over 5 MB"),
            (
                FunctionError::IdempotencyKeyReused,
                "The Idempotency-Key came with another body before",
            ),
            (
                FunctionError::Internal,
                "An error of ours; the log has the cause under the x-request-id",
            ),
            (
                FunctionError::Unavailable,
                "The database is away; try again after the seconds in Retry-After",
            ),
        ]
    }
}

#[OpenApi]
impl Api {
    /// Creates a ticket and answers with it as the rules left it
    ///
    /// The tenant's webhook hears of the creation and of each effect of the rules. The chat's newest Telegram message
    /// becomes the ticket's; the messages before it are forgotten.
    #[oai(
        path = "/create-ticket",
        method = "post",
        operation_id = "createTicket",
        tag = "Tag::Functions"
    )]
    async fn create(
        &self,
        state: Data<&AppState>,
        _caller: Caller,
        /// Makes the call safe to repeat: a repeat within 24 hours creates no second ticket and gets the first one's
        /// answer. A key belongs to one tenant and to the exact bytes of one body; calls that fail leave it free.
        #[oai(name = "Idempotency-Key")]
        key: IdempotencyKey,
        body: JsonBody<NewTicketRequest>,
    ) -> Result<Replayable<TicketCreatedWithRules>, Failure<Self>> {
        let key = key.key().map_err(FunctionError::from)?;
        let body = body.bytes()?;
        let ticket = request::parse(&body)?;
        let claim = key.map(|key| key.claim(&body));
        let pool = state.pool.clone();
        let created = to_the_end(async move { create(&pool, ticket, claim).await }).await?;
        state.dispatcher.wake(None);
        Ok(created)
    }
}

/// Creates the ticket; under a key, only if no call before did.
async fn create(
    pool: &Pool,
    ticket: NewTicket,
    claim: Option<Claim>,
) -> Result<Replayable<TicketCreatedWithRules>, FunctionError> {
    let mut params: Vec<Param<'_>> = vec![
        (&ticket.tenant_id, Type::UUID),
        (&ticket.chat_number, Type::TEXT),
        (&ticket.chat_text, Type::TEXT),
        (&ticket.issue, Type::TEXT),
        (&ticket.location, Type::TEXT),
        (&ticket.category, Type::TEXT),
        (&ticket.priority, Type::TEXT),
        (&ticket.kind, Type::TEXT),
    ];
    match &claim {
        Some(claim) => params.extend(claim.params()),
        None => params.extend([
            (&None::<&str> as _, Type::TEXT),
            (&None::<&[u8]> as _, Type::BYTEA),
        ]),
    }
    let refused = |message| Refusal::NotStored(message).into();
    let row = pool.query_one(CREATE, &params).await;
    let row = row.map_err(|error| FunctionError::not_stored(error, refused))?;
    match row.get::<_, &str>("outcome") {
        outcome @ ("created" | "replayed") => {
            let stored: Value = row.get("ticket");
            let ticket = TicketSummary::parse_from_json(Some(stored)).map_err(|error| {
                tracing::error!(error = error.into_message(), "reading a ticket's summary failed");
                FunctionError::Internal
            })?;
            Ok(Replayable {
                answer: ticket.into(),
                replayed: outcome == "replayed",
            })
        }
        "key_reused" => Err(FunctionError::IdempotencyKeyReused),
        _not_found => Err(Refusal::UserNotFound {
            chat_id: ticket.chat_text,
            tenant_id: ticket.tenant_id,
        }
        .into()),
    }
}
