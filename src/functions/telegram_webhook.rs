//! `POST /functions/v1/telegram-webhook`: Make creates a ticket.
//!
//! Any valid key of the project is enough, the anon key too, as the guide has it. The database does lookup,
//! checks, insert and rules in one round trip.

mod request;

use poem::web::Data;
use poem_openapi::types::Example;
use poem_openapi::{Enum, Object, OpenApi};
use postgres_types::Type;
use uuid::Uuid;

use super::body::JsonBody;
use super::error::{Dialect, FunctionError};
use super::idempotency::{IdempotencyKey, Replayable};
use super::{Caller, Failure, Failures, Tag, to_the_end};
use crate::app::AppState;
use crate::idempotency::Claim;
use crate::pg::pool::{Param, Pool};
use request::NewTicket;

/// The function's name in its path.
pub const NAME: &str = "telegram-webhook";
/// How it words its failures.
pub const DIALECT: Dialect = Dialect::SuccessErrorStatus;

const CREATE: &str = include_str!("../../sql/tickets/create_from_telegram.sql");
const CREATE_ONCE: &str = include_str!("../../sql/tickets/create_from_telegram_once.sql");

const EXAMPLE_CHAT_ID: &str = "123456789";
const EXAMPLE_TENANT: Uuid = Uuid::from_u128(0x6f96_19ff_8b86_d011_b42d_00cf_4fc9_64ff);

/// The function's operation.
#[derive(Debug, Clone, Copy)]
pub struct Api;

/// How urgent a ticket is, before the rules.
#[derive(Enum)]
#[oai(rename_all = "lowercase")]
pub enum Priority {
    /// Now.
    Critical,
    /// Soon.
    High,
    /// In its turn.
    Medium,
    /// Some time.
    Low,
}

/// A ticket as Make sends it. Other fields are ignored.
#[derive(Object)]
#[oai(example)]
struct TicketRequest {
    /// What is wrong; becomes the ticket's title and description
    #[oai(validator(min_length = 1))]
    issue: String,
    #[oai(validator(min_length = 1))]
    location: String,
    #[oai(validator(min_length = 1))]
    category: String,
    /// In exactly this spelling
    priority: Priority,
    /// The user's name; has to be there, is not stored
    #[oai(validator(min_length = 1))]
    name: String,
    /// Telegram chat id of a user of the tenant, as a string; a number is accepted too
    #[oai(validator(min_length = 1))]
    chat_id: String,
    tenant_id: Uuid,
    designation: Option<String>,
    department: Option<String>,
    /// `Maintenance` unless given
    #[oai(rename = "type")]
    kind: Option<String>,
    building: Option<String>,
    floor: Option<String>,
    room: Option<String>,
}

impl Example for TicketRequest {
    fn example() -> Self {
        Self {
            issue: "AC not working in Building A".to_owned(),
            location: "Building A, Floor 3".to_owned(),
            category: "HVAC".to_owned(),
            priority: Priority::High,
            name: "John Doe".to_owned(),
            chat_id: EXAMPLE_CHAT_ID.to_owned(),
            tenant_id: EXAMPLE_TENANT,
            designation: Some("Manager".to_owned()),
            department: Some("IT".to_owned()),
            kind: Some("Maintenance".to_owned()),
            building: Some("Building A".to_owned()),
            floor: Some("3".to_owned()),
            room: Some("301".to_owned()),
        }
    }
}

/// The ticket that was created.
#[derive(Object)]
#[oai(example)]
pub struct TicketCreated {
    /// Always true
    success: bool,
    ticket_id: Uuid,
    /// `TKT-` and a number, counted from 1000
    ticket_number: String,
    /// Always 200; every answer of this function carries its status
    status: u16,
}

impl Example for TicketCreated {
    fn example() -> Self {
        let ticket_id = Uuid::from_u128(0x0b7f_6a3e_52c1_4b0e_9d7c_3f1a_2e4d_5c6b);
        Self {
            success: true,
            ticket_id,
            ticket_number: "TKT-1234".to_owned(),
            status: 200,
        }
    }
}

/// Why no ticket was created.
#[derive(Object)]
#[oai(example)]
pub struct TicketRefused {
    /// Always false
    success: bool,
    error: String,
    /// The HTTP status again
    status: u16,
}

impl Example for TicketRefused {
    fn example() -> Self {
        Self {
            success: false,
            error: FunctionError::MissingField("issue").to_string(),
            status: 400,
        }
    }
}

impl Failures for Api {
    type Body = TicketRefused;
    const DIALECT: Dialect = DIALECT;

    fn documented() -> Vec<(FunctionError, &'static str)> {
        let not_found = FunctionError::UserNotFound {
            chat_id: EXAMPLE_CHAT_ID.to_owned(),
            tenant_id: EXAMPLE_TENANT.to_string(),
        };
        vec![
            (
                FunctionError::MissingField("issue"),
                "No JSON, a field that is missing or invalid, or an invalid Idempotency-Key",
            ),
            (FunctionError::UserInactive, "The user is not active"),
            (not_found, "No user of the tenant has this chat id"),
            (FunctionError::MethodNotAllowed, "Not POST"),
            (FunctionError::BodyTimeout, "The body did not arrive in time"),
            (FunctionError::PayloadTooLarge, "A body over 5 MB"),
            (
                FunctionError::IdempotencyKeyReused,
                "The Idempotency-Key came with another body before",
            ),
            (
                FunctionError::Internal,
                "The database refused the ticket, or an error of ours; the log has the cause under the x-request-id",
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
    /// Creates a ticket
    ///
    /// The rules run before the answer; the tenant's webhook hears of the creation and of each of their effects.
    #[oai(
        path = "/telegram-webhook",
        method = "post",
        operation_id = "telegramWebhook",
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
        body: JsonBody<TicketRequest>,
    ) -> Result<Replayable<TicketCreated>, Failure<Self>> {
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
) -> Result<Replayable<TicketCreated>, FunctionError> {
    let mut params: Vec<Param<'_>> = vec![
        (&ticket.tenant_id, Type::UUID),
        (&ticket.chat_number, Type::TEXT),
        (&ticket.chat_name, Type::TEXT),
        (&ticket.issue, Type::TEXT),
        (&ticket.location, Type::TEXT),
        (&ticket.category, Type::TEXT),
        (&ticket.priority, Type::TEXT),
        (&ticket.kind, Type::TEXT),
        (&ticket.building, Type::TEXT),
        (&ticket.floor, Type::TEXT),
        (&ticket.room, Type::TEXT),
    ];
    let row = if let Some(claim) = &claim {
        params.extend(claim.params());
        pool.query_one(CREATE_ONCE, &params).await
    } else {
        pool.query_one(CREATE, &params).await
    };
    let row = row.map_err(|error| FunctionError::not_stored(error, FunctionError::Refused))?;
    match row.get::<_, &str>("outcome") {
        outcome @ ("created" | "replayed") => Ok(Replayable {
            answer: TicketCreated {
                success: true,
                ticket_id: row.get("ticket_id"),
                ticket_number: row.get("ticket_number"),
                status: 200,
            },
            replayed: outcome == "replayed",
        }),
        "key_reused" => Err(FunctionError::IdempotencyKeyReused),
        "user_inactive" => Err(FunctionError::UserInactive),
        _ => Err(FunctionError::UserNotFound {
            chat_id: ticket.chat_text,
            tenant_id: ticket.tenant_text,
        }),
    }
}
