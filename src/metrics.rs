//! `/metrics`: counters of this process and gauges of the outbox, in Prometheus' form.
//!
//! Anybody may read the totals. What names tenants is for holders of the service_role key.

use std::fmt::Write as _;
use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use poem::http::StatusCode;
use poem::web::Data;
use poem::{IntoResponse, Request, Response, handler};
use postgres_types::Type;
use serde_json::Value;

use crate::app::AppState;
use crate::auth::Role;
use crate::error::chain;
use crate::gateway;

const GAUGES: &str = include_str!("../sql/queue/gauges.sql");
/// Tenants in the list of those with most to send.
const TOP: i32 = 10;
/// Upper bounds of the attempts' durations, in seconds; the last one is the default timeout.
const SECONDS: [f64; 9] = [0.01, 0.03, 0.1, 0.3, 1.0, 2.0, 3.0, 5.0, 10.0];
const ATTEMPTS: &str = "dropwire_webhook_attempts_total";
const ATTEMPT_SECONDS: &str = "dropwire_webhook_attempt_seconds";

/// Starts counting; what comes before is not counted. `None` where the process counts elsewhere already.
fn recorder() -> Option<&'static PrometheusHandle> {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let handle = RECORDER.get_or_init(|| {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Full(ATTEMPT_SECONDS.to_owned()), &SECONDS)
            .ok()?;
        let handle = builder.install_recorder().ok()?;
        metrics::describe_counter!(ATTEMPTS, "Attempts to deliver a webhook, by this process");
        metrics::describe_histogram!(ATTEMPT_SECONDS, "How long attempts took");
        Some(handle)
    });
    handle.as_ref()
}

/// Makes counters count from now on.
pub fn init() {
    recorder();
}

/// Counts one attempt to deliver a webhook.
pub fn count_attempt(status: Option<StatusCode>, error: Option<&'static str>, took: Option<Duration>) {
    let Some(took) = took else { return };
    let class = match status.map(|status| status.as_u16() / 100) {
        Some(1) => "1xx",
        Some(2) => "2xx",
        Some(3) => "3xx",
        Some(4) => "4xx",
        Some(_) => "5xx",
        None => "none",
    };
    metrics::counter!(ATTEMPTS, "status_class" => class, "error" => error.unwrap_or("none")).increment(1);
    metrics::histogram!(ATTEMPT_SECONDS).record(took.as_secs_f64());
}

/// The page. 503 while the database does not answer, since a gauge that stands still would deceive.
#[handler]
pub async fn page(state: Data<&AppState>, req: &Request) -> Response {
    let row = match state.pool.query_one(GAUGES, &[(&TOP, Type::INT4)]).await {
        Ok(row) => row.get::<_, Value>(0),
        Err(error) => {
            tracing::warn!(error = chain(&error), "reading the outbox's gauges failed");
            return "The database does not answer; see the server's log\n"
                .with_status(StatusCode::SERVICE_UNAVAILABLE)
                .into_response();
        }
    };
    let trusted =
        gateway::authenticate(req, &state.verifier).is_ok_and(|caller| caller.role == Role::ServiceRole);
    let mut text = recorder().map(PrometheusHandle::render).unwrap_or_default();
    let in_flight = state.dispatcher.in_flight();
    // Writing to a String cannot fail.
    let _written = write_gauges(&mut text, &row, in_flight, trusted);
    text.with_content_type("text/plain; version=0.0.4")
        .into_response()
}

fn write_gauges(text: &mut String, row: &Value, in_flight: usize, trusted: bool) -> std::fmt::Result {
    let number = |name: &str| row[name].as_f64().unwrap_or_default();
    let endpoints = |state: &str| row["endpoints"][state].as_f64().unwrap_or_default();
    for (name, help, value) in [
        (
            "oldest_ready_age_seconds",
            "Age of the oldest webhook that could be sent",
            number("oldest_ready_seconds"),
        ),
        (
            "ready",
            "Tickets with a webhook that could be sent",
            number("ready"),
        ),
        (
            "waiting_tickets",
            "Tickets with undelivered webhooks",
            number("waiting_tickets"),
        ),
        (
            "closed_tickets",
            "Tickets whose webhooks wait for a closed endpoint",
            number("tickets_at_closed_endpoints"),
        ),
        (
            "in_flight",
            "Webhooks under way in this process",
            f64::from(u32::try_from(in_flight).unwrap_or(u32::MAX)),
        ),
        (
            "parked",
            "Endpoints that said they are gone (404, 410)",
            endpoints("parked"),
        ),
        (
            "broken",
            "Endpoints with too many failures in a row",
            endpoints("broken"),
        ),
        ("paused", "Endpoints that an operator paused", endpoints("paused")),
    ] {
        writeln!(text, "# HELP dropwire_webhook_{name} {help}")?;
        writeln!(text, "# TYPE dropwire_webhook_{name} gauge")?;
        writeln!(text, "dropwire_webhook_{name} {value}")?;
    }
    if trusted {
        let name = "dropwire_webhook_tenant_waiting_tickets";
        writeln!(
            text,
            "# HELP {name} Tickets with undelivered webhooks, of the tenants with most"
        )?;
        writeln!(text, "# TYPE {name} gauge")?;
        for tenant in row["top"].as_array().into_iter().flatten() {
            let id = tenant["tenant_id"].as_str().unwrap_or_default();
            writeln!(text, "{name}{{tenant_id=\"{id}\"}} {}", tenant["tickets"])?;
        }
    }
    Ok(())
}
