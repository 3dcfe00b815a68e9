//! Counters and gauges, in Prometheus' form at `/metrics`.

use std::time::Duration;

use reqwest::StatusCode;

/// Counts one attempt to deliver a webhook.
pub fn count_attempt(status: &Option<StatusCode>, class: Option<&'static str>, took: Option<Duration>) {
    let Some(took) = took else { return };
    let status_class = match status {
        Some(status) => match status.as_u16() / 100 {
            1 => "1xx",
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        },
        None => "none",
    };
    metrics::counter!(
        "dropwire_webhook_attempts_total", "status_class" => status_class, "error" => class.unwrap_or("none")
    )
    .increment(1);
    metrics::histogram!("dropwire_webhook_attempt_seconds").record(took.as_secs_f64());
}
