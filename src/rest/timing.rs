//! `Server-Timing`: how long each stage of a request took.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// A stopwatch for the stages of one request.
#[derive(Debug)]
pub struct Timing {
    /// None where nobody wants to know.
    last: Option<Instant>,
    stages: [Duration; STAGES.len()],
}

/// The stages, in their order.
const STAGES: [&str; 5] = ["jwt", "parse", "plan", "transaction", "response"];

/// A stage of a request.
#[derive(Debug, Clone, Copy)]
pub enum Stage {
    /// Telling who asks.
    Jwt,
    /// Reading the request.
    Parse,
    /// Planning it.
    Plan,
    /// Running it.
    Transaction,
    /// Making the answer.
    Response,
}

impl Timing {
    /// Starts, if it is wanted.
    pub fn start(wanted: bool) -> Self {
        Self {
            last: wanted.then(Instant::now),
            stages: [Duration::ZERO; STAGES.len()],
        }
    }

    /// Begins a stage: what was since the last one does not count.
    pub fn resume(&mut self) {
        self.last = self.last.map(|_| Instant::now());
    }

    /// Ends a stage, and begins the next.
    pub fn end(&mut self, stage: Stage) {
        if let Some(last) = self.last {
            let now = Instant::now();
            self.stages[stage as usize] = now - last;
            self.last = Some(now);
        }
    }

    /// The header's value, in milliseconds: `jwt;dur=0.1, parse;dur=0.0, …`
    pub fn header(&self) -> String {
        let mut value = String::with_capacity(96);
        for (name, duration) in STAGES.iter().zip(self.stages) {
            let comma = if value.is_empty() { "" } else { ", " };
            let milliseconds = duration.as_secs_f64() * 1000.0;
            write!(value, "{comma}{name};dur={milliseconds:.1}")
                .expect("a string takes what is written to it");
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_is_told_in_milliseconds() {
        let mut timing = Timing::start(true);
        timing.stages[Stage::Transaction as usize] = Duration::from_micros(1260);
        assert_eq!(
            timing.header(),
            "jwt;dur=0.0, parse;dur=0.0, plan;dur=0.0, transaction;dur=1.3, response;dur=0.0"
        );
    }
}
