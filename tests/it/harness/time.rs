//! A clock that stands still until it is moved, and randomness from a seed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use countersign::model::{Clock, Random, Timestamp};
use rand::{Rng, SeedableRng, rngs::StdRng};

/// A clock that stands still until it is moved.
pub struct ManualClock(AtomicI64);

impl ManualClock {
    pub fn new() -> Self {
        Self(AtomicI64::new(Timestamp::from_unix_seconds(1_790_000_000).unix_micros()))
    }

    pub fn advance(&self, span: Duration) {
        self.0.fetch_add(i64::try_from(span.as_micros()).unwrap(), Ordering::SeqCst);
    }

    /// Moves it to another clock's time.
    pub fn set_to(&self, other: &dyn Clock) {
        self.0.store(other.now().unix_micros(), Ordering::SeqCst);
    }

    pub fn set_back(&self, span: Duration) {
        self.0.fetch_sub(i64::try_from(span.as_micros()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_micros(self.0.load(Ordering::SeqCst))
    }
}

/// Predictable randomness.
pub struct SeededRandom {
    source: Mutex<StdRng>,
    drawn: AtomicUsize,
}

impl SeededRandom {
    pub fn new(seed: u64) -> Self {
        Self { source: Mutex::new(StdRng::seed_from_u64(seed)), drawn: AtomicUsize::new(0) }
    }

    /// How many bytes were drawn so far.
    pub fn drawn(&self) -> usize {
        self.drawn.load(Ordering::SeqCst)
    }
}

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) {
        self.drawn.fetch_add(bytes.len(), Ordering::SeqCst);
        self.source.lock().unwrap().fill_bytes(bytes);
    }
}
