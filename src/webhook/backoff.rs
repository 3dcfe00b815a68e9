//! When a failed attempt is due again. A plain function.

use std::time::Duration;

/// The delay after the first attempt; it doubles with each further one.
const FIRST: Duration = Duration::from_secs(30);

/// The delay after attempt number `attempt`, counted from 1: 30 s, 60 s, 120 s, … up to `cap`.
pub fn delay_after(attempt: u32, cap: Duration) -> Duration {
    let doublings = attempt.saturating_sub(1).min(31);
    FIRST.saturating_mul(1 << doublings).min(cap)
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
}
