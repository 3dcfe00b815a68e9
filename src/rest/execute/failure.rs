//! What went wrong, as [`RestError`] has it.

use tokio_postgres::Error;

use crate::pg::pool::{PoolError, is_unavailable};
use crate::pg::wire::{LeaseError, Refusal, WireError};
use crate::rest::error::{DatabaseError, RestError, Unavailable};

/// Tells a failed statement. `authenticated` decides between 401 and 403 where a privilege is missing.
pub(super) fn of_statement(error: &Error, authenticated: bool) -> RestError {
    if let Some(refusal) = error.as_db_error() {
        return RestError::Database(Box::new(DatabaseError {
            code: refusal.code().code().to_owned(),
            message: refusal.message().to_owned(),
            detail: refusal.detail().map(str::to_owned),
            hint: refusal.hint().map(str::to_owned),
            authenticated,
        }));
    }
    if is_unavailable(error) {
        tracing::warn!(
            error = chain(error),
            "a request lost its connection to the database"
        );
        return Unavailable::ConnectionLost.into();
    }
    RestError::Internal(chain(error))
}

/// Tells why there is no connection.
pub(super) fn of_pool(error: PoolError) -> RestError {
    match error {
        PoolError::Timeout { .. } => {
            tracing::warn!("{error}");
            Unavailable::PoolTimeout.into()
        }
        PoolError::Connect(_) | PoolError::Closed => {
            tracing::error!(error = chain(&error), "no connection to the database");
            Unavailable::Connection.into()
        }
        PoolError::Query(error) => of_statement(&error, true),
    }
}

/// Tells what the server refused. `authenticated` decides between 401 and 403 where a privilege is missing.
pub(super) fn of_refusal(refusal: &Refusal, authenticated: bool) -> RestError {
    RestError::Database(Box::new(DatabaseError {
        code: refusal.code.clone(),
        message: refusal.message.clone(),
        detail: refusal.detail.clone(),
        hint: refusal.hint.clone(),
        authenticated,
    }))
}

/// Tells what happened to a connection.
pub(super) fn of_wire(error: &WireError, authenticated: bool) -> RestError {
    if let WireError::Refused(refusal) = error {
        return of_refusal(refusal, authenticated);
    }
    if error.is_unavailable() {
        tracing::warn!(
            error = chain(error),
            "a request lost its connection to the database"
        );
        return Unavailable::ConnectionLost.into();
    }
    RestError::Internal(chain(error))
}

/// Tells why there is no connection to lease.
pub(super) fn of_lease(error: &LeaseError) -> RestError {
    match error {
        LeaseError::Timeout { .. } => {
            tracing::warn!("{error}");
            Unavailable::PoolTimeout.into()
        }
        LeaseError::Tls(_) | LeaseError::Open { .. } | LeaseError::Silent { .. } | LeaseError::Closed => {
            tracing::error!(error = chain(error), "no connection to the database");
            Unavailable::Connection.into()
        }
    }
}

/// An error's message and what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
