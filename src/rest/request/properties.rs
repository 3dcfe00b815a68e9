//! What holds for every request, however wrong: properties, and a corpus of nasty requests.
//!
//! `make fuzz` makes a longer run, as long as `PROPTEST_CASES` says. What it finds goes into `properties/corpus.txt`.

mod corpus;
mod garbage;
mod round_trips;

use poem::http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::ProptestConfig;

use super::{RawRequest, Request, parse};
use crate::rest::error::{RequestError, RestError};
use crate::rest::settings::RestSettings;

/// The default number of cases unless the environment says otherwise; failures are printed, not written to files.
fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Parses a request with whatever of its headers HTTP lets through.
fn parse_any(
    method: &str,
    target: &str,
    headers: &[(&str, &[u8])],
    body: &[u8],
) -> Result<Request, RequestError> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_bytes(value)) {
            map.append(name, value);
        }
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let input = RawRequest {
        method,
        path,
        query,
        headers: &map,
        body: body.to_vec().into(),
    };
    parse(&input, &RestSettings::default())
}

/// The status that a request gets if it does not come further than this stage, else 200. The error's body is checked
/// to be one.
fn status(result: Result<Request, RequestError>) -> u16 {
    let Err(error) = result else { return 200 };
    let wire = RestError::from(error).wire(&RestSettings::default());
    let body: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&wire.body).unwrap();
    assert!(body.keys().eq(["code", "details", "hint", "message"]), "{body:?}");
    for (name, value) in &wire.headers {
        assert!(
            name.parse::<HeaderName>().is_ok() && HeaderValue::from_str(value).is_ok(),
            "{name}: {value}"
        );
    }
    wire.status
}
