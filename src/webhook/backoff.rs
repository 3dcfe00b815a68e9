//! When a failed attempt is due again. Plain functions of their arguments; chance and clock are given.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// The delay after the first attempt; it doubles with each further one.
const FIRST: Duration = Duration::from_secs(30);
/// Longest `Retry-After` that is honoured. What asks for more is mistaken, or means that the endpoint is gone.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

/// The delay after attempt number `attempt`, counted from 1: 30 s, 60 s, 120 s, … up to `cap`.
pub fn delay_after(attempt: u32, cap: Duration) -> Duration {
    let doublings = attempt.saturating_sub(1).min(31);
    FIRST.saturating_mul(1 << doublings).min(cap)
}

/// A delay with up to a tenth added, so that what failed together is not tried again together. `chance` is from 0 to 1.
pub fn jittered(delay: Duration, chance: f64) -> Duration {
    delay.mul_f64(1.0 + chance.clamp(0.0, 1.0) / 10.0)
}

/// What a `Retry-After` header asks for (RFC 9110, 10.2.3): seconds, or a date that is measured against the answer's
/// own `Date` where it has one, since clocks differ. At most a day; `None` for what is neither.
pub fn retry_after(value: &str, date: Option<&str>, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim();
    let wait = if value.bytes().all(|byte| byte.is_ascii_digit()) && !value.is_empty() {
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        let until = DateTime::parse_from_rfc2822(value).ok()?;
        let from = date.and_then(|date| DateTime::parse_from_rfc2822(date.trim()).ok());
        let from = from.map_or(now, |date| date.with_timezone(&Utc));
        (until.with_timezone(&Utc) - from).to_std().unwrap_or_default()
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delay_doubles_then_stops_at_the_cap() {
        let cap = Duration::from_secs(3600);
        let secs = [1, 2, 3, 7, 8, 64, u32::MAX].map(|attempt| delay_after(attempt, cap).as_secs());
        assert_eq!(secs, [30, 60, 120, 1920, 3600, 3600, 3600]);
    }

    #[test]
    fn a_cap_below_the_first_delay_holds_from_the_start() {
        assert_eq!(
            delay_after(1, Duration::from_millis(200)),
            Duration::from_millis(200)
        );
    }

    #[test]
    fn jitter_adds_up_to_a_tenth_and_never_takes_away() {
        let delay = Duration::from_secs(60);
        assert_eq!(jittered(delay, 0.0), delay);
        assert_eq!(jittered(delay, 0.5), Duration::from_secs(63));
        assert_eq!(jittered(delay, 1.0), Duration::from_secs(66));
        assert_eq!(jittered(delay, 7.0), Duration::from_secs(66));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_at_most_a_day() {
        let now = "2026-01-31T12:00:00Z".parse().unwrap();
        let date = Some("Sat, 31 Jan 2026 10:00:00 GMT");
        for (value, date, expected) in [
            ("120", None, Some(120)),
            (" 0 ", None, Some(0)),
            ("99999999999999999999999", None, Some(86_400)),
            ("Sat, 31 Jan 2026 12:00:30 GMT", None, Some(30)),
            ("Sat, 31 Jan 2026 10:00:30 GMT", date, Some(30)),
            ("Sat, 31 Jan 2026 11:00:00 GMT", None, Some(0)),
            ("-5", None, None),
            ("soon", None, None),
            ("", None, None),
        ] {
            let wait = retry_after(value, date, now);
            assert_eq!(wait.map(|wait| wait.as_secs()), expected, "{value}");
        }
    }
}
