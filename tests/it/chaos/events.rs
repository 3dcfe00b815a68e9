//! What happens at random, and when.

use chrono::{DateTime, Utc};

/// What the test did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The dispatcher of this number.
    DispatcherKilled(usize),
    DatabaseKilled,
    Cut,
    /// Forward: leases end later. Back: they end sooner than their holders know.
    Forward,
    Back,
}

/// What was done when, by the clock that the database has too.
pub type Happened = (Event, DateTime<Utc>);

/// Chance that a seed repeats (xorshift64*; fair enough for choosing what to break).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        let mut dice = Self(seed ^ 0x9e37_79b9_7f4a_7c15);
        dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % limit
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// Dice of their own for somebody else.
    pub fn split(&mut self) -> Self {
        Self::new(self.next())
    }
}
