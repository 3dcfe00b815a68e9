//! `PGRST1xx`.

use super::Answer;
use crate::rest::error::RequestError;

pub(super) fn answer(error: &RequestError) -> Answer<'_> {
    match error {
        RequestError::QueryParam { message, details } => {
            Answer::new(400, "PGRST100", message).details(details)
        }
        RequestError::InvalidRpcMethod(method) => {
            Answer::new(405, "PGRST101", format!("Cannot use the {method} method on RPC"))
        }
        RequestError::InvalidBody(message) => Answer::new(400, "PGRST102", message),
        RequestError::RangeLowerGreaterUpper => unsatisfiable(
            "The lower boundary must be lower than or equal to the upper boundary in the Range header."
                .to_owned(),
        ),
        RequestError::RangeNegativeLimit => {
            unsatisfiable("Limit should be greater than or equal to zero.".to_owned())
        }
        RequestError::RangeOutOfBounds { offset, total } => unsatisfiable(format!(
            "An offset of {offset} was requested, but there are only {total} rows."
        )),
        RequestError::PutFilters => put_filters(),
        RequestError::UnacceptableSchema { schema, exposed } => {
            Answer::new(406, "PGRST106", format!("Invalid schema: {schema}")).hint(format!(
                "Only the following schemas are exposed: {}",
                exposed.join(", ")
            ))
        }
        RequestError::MediaTypes(accepted) => Answer::new(
            406,
            "PGRST107",
            format!("None of these media types are available: {}", accepted.join(", ")),
        ),
        RequestError::NotEmbedded { name, aliased } => not_embedded(name, aliased.as_ref()),
        RequestError::GucHeaders => Answer::new(
            500,
            "PGRST111",
            "response.headers guc must be a JSON array composed of objects with a single key and a string value",
        ),
        RequestError::GucStatus => {
            Answer::new(500, "PGRST112", "response.status guc must be a valid status code")
        }
        RequestError::PutLimit => Answer::new(
            400,
            "PGRST114",
            "limit/offset querystring parameters are not allowed for PUT",
        ),
        RequestError::PutMatchingPk => Answer::new(
            400,
            "PGRST115",
            "Payload values do not match URL in primary key column(s)",
        ),
        RequestError::NotSingular(rows) => Answer::new(
            406,
            "PGRST116",
            "Cannot coerce the result to a single JSON object",
        )
        .details(format!("The result contains {rows} rows")),
        RequestError::UnsupportedMethod(method) => {
            Answer::new(405, "PGRST117", format!("Unsupported HTTP method: {method}"))
        }
        RequestError::RelatedOrderNotToOne { origin, target } => Answer::new(
            400,
            "PGRST118",
            format!("A related order on '{target}' is not possible"),
        )
        .details(format!(
            "'{origin}' and '{target}' do not form a many-to-one or one-to-one relationship"
        )),
        RequestError::UnacceptableFilter(embed) => Answer::new(
            400,
            "PGRST120",
            format!("Bad operator on the '{embed}' embedded resource"),
        )
        .details("Only is null or not is null filters are allowed on embedded resources"),
        RequestError::RaiseUnparsable { details } => raise_unparsable(details),
        RequestError::InvalidPreferences(invalid) => {
            Answer::new(400, "PGRST122", "Invalid preferences given with handling=strict")
                .details(format!("Invalid preferences: {}", invalid.join(", ")))
        }
        RequestError::AggregatesNotAllowed => {
            Answer::new(400, "PGRST123", "Use of aggregate functions is not allowed")
        }
        RequestError::MaxAffected(rows) => Answer::new(
            400,
            "PGRST124",
            "Query result exceeds max-affected preference constraint",
        )
        .details(format!("The query affects {rows} rows")),
        RequestError::InvalidPath => Answer::new(404, "PGRST125", "Invalid path specified in request URL"),
        RequestError::OpenApiDisabled => Answer::new(404, "PGRST126", "Root endpoint metadata is disabled"),
        RequestError::NotImplemented(what) => {
            Answer::new(400, "PGRST127", "Feature not implemented").details(what)
        }
        RequestError::MaxAffectedRpc => Answer::new(
            400,
            "PGRST128",
            "Function must return SETOF or TABLE when max-affected preference is used with handling=strict",
        ),
    }
}

/// PGRST105.
fn put_filters() -> Answer<'static> {
    Answer::new(
        405,
        "PGRST105",
        "Filters must include all and only primary key columns with 'eq' operators",
    )
}

/// PGRST103.
fn unsatisfiable(details: String) -> Answer<'static> {
    Answer::new(416, "PGRST103", "Requested range not satisfiable").details(details)
}

/// PGRST108.
fn not_embedded<'e>(name: &str, aliased: Option<&(String, String)>) -> Answer<'e> {
    let answer = Answer::new(
        400,
        "PGRST108",
        format!("'{name}' is not an embedded resource in this request"),
    );
    match aliased {
        None => answer.hint(format!(
            "Verify that '{name}' is included in the 'select' query parameter."
        )),
        Some((relation, alias)) => answer
            .details("Target names are not allowed in filters if they have an alias")
            .hint(format!(
                "Change '{relation}' to '{alias}' in filters, orders or limits."
            )),
    }
}

/// What of a RAISE does not parse, as [`RequestError::RaiseUnparsable`] has it.
pub(super) const RAISE_MESSAGE: &str = "Invalid JSON value for MESSAGE: ";

/// PGRST121.
pub(super) fn raise_unparsable(details: &str) -> Answer<'static> {
    let hint = if details.starts_with(RAISE_MESSAGE) {
        "MESSAGE must be a JSON object with obligatory keys: 'code', 'message' and optional keys: 'details', 'hint'."
    } else {
        "DETAIL must be a JSON object with obligatory keys: 'status', 'headers' and optional key: 'status_text'."
    };
    Answer::new(
        500,
        "PGRST121",
        "Could not parse JSON in the \"RAISE SQLSTATE 'PGRST'\" error",
    )
    .details(details)
    .hint(hint)
}
