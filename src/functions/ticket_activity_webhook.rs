//! `POST /functions/v1/ticket-activity-webhook`: cron drains the webhook queue, one batch a call.
//!
//! Any valid key of the project may call: cron jobs out there hold the anon or the service_role key. A setting
//! demands service_role. Callers without it get at most one run at a time, so that the public key cannot be used
//! to pile up runs.

use poem::web::Data;
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};

use super::error::{Dialect, FunctionError};
use super::{Caller, Failure, Failures, Success, Tag, to_the_end};
use crate::app::AppState;
use crate::auth::Role;
use crate::error::chain;
use crate::webhook::dispatch::Report;

/// The function's name in its path.
pub const NAME: &str = "ticket-activity-webhook";
/// How it words its failures.
pub const DIALECT: Dialect = Dialect::Error;

/// The function's operation.
#[derive(Debug, Clone, Copy)]
pub struct Api;

/// What a run did.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub struct DispatchReport {
    /// Entries that were attempted
    processed: usize,
    delivered: usize,
    /// Entries whose attempt failed; they are due again later
    failed: usize,
    /// `No pending entries` when nothing was due, `A run is already in progress` when another call is at work
    message: Option<String>,
}

impl DispatchReport {
    fn new(report: Report, message: Option<&str>) -> Self {
        Self {
            processed: report.processed(),
            delivered: report.delivered,
            failed: report.failed,
            message: message.map(str::to_owned),
        }
    }
}

impl Example for DispatchReport {
    fn example() -> Self {
        Self {
            processed: 3,
            delivered: 2,
            failed: 1,
            message: None,
        }
    }
}

/// Why nothing was dispatched.
#[derive(Object)]
#[oai(example)]
pub struct DispatchRefused {
    error: String,
}

impl Example for DispatchRefused {
    fn example() -> Self {
        Self {
            error: FunctionError::QueueUnreadable.to_string(),
        }
    }
}

impl Failures for Api {
    type Body = DispatchRefused;
    const DIALECT: Dialect = DIALECT;

    fn documented() -> Vec<(FunctionError, &'static str)> {
        vec![
            (
                FunctionError::ServiceRoleRequired,
                "DROPWIRE_DISPATCH_REQUIRE_SERVICE_ROLE is set and the key is another",
            ),
            (FunctionError::MethodNotAllowed, "Not POST"),
            (FunctionError::QueueUnreadable, "The queue could not be read"),
        ]
    }
}

#[OpenApi]
impl Api {
    /// Sends the webhooks that are due
    ///
    /// Safe to call at any time and from several places at once. The request's body is ignored.
    #[oai(
        path = "/ticket-activity-webhook",
        method = "post",
        operation_id = "ticketActivityWebhook",
        tag = "Tag::Functions"
    )]
    async fn drain(
        &self,
        state: Data<&AppState>,
        caller: Caller,
    ) -> Result<Success<DispatchReport>, Failure<Self>> {
        let trusted = caller.0.role == Role::ServiceRole;
        if state.settings.webhook.require_service_role && !trusted {
            return Err(FunctionError::ServiceRoleRequired.into());
        }
        let Some(admission) = state.dispatcher.admit(!trusted) else {
            return Ok(Success(DispatchReport::new(
                Report::default(),
                Some("A run is already in progress"),
            )));
        };

        let dispatcher = state.dispatcher.clone();
        let (batch, budget) = (state.settings.webhook.batch, state.settings.webhook.budget);
        let report = to_the_end(async move {
            let report = dispatcher.run(batch, budget).await;
            drop(admission);
            report.map_err(|error| {
                tracing::error!(error = chain(&error), "dispatcher run failed");
                FunctionError::QueueUnreadable
            })
        })
        .await?;
        let message = (report.processed() == 0).then_some("No pending entries");
        Ok(Success(DispatchReport::new(report, message)))
    }
}
