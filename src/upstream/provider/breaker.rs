//! Leaves a provider alone that fails again and again, and bounds how much it is asked at once.
//!
//! One for each connection, so that a dead provider costs only its own organization. Answers of status 500 and
//! above count as failures like silence does; a refused code does not, nor does a caller that went away.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::slot::age;
use crate::model::Timestamp;
use crate::upstream::error::Outage;

/// Failures in a row that open the breaker.
const FAILURES: u32 = 5;
/// How long it stays open before one probe is let through.
const OPEN: Duration = Duration::from_secs(10);
/// Calls of one connection that are under way at once.
const CALLS: usize = 64;
/// Calls of one connection that wait for their turn; the next ones are refused at once.
const WAITING: usize = 256;

#[derive(Debug, Default)]
struct State {
    failures: u32,
    opened_at: Option<Timestamp>,
    probing: bool,
}

/// The breaker of one connection.
#[derive(Debug)]
pub(super) struct Breaker {
    state: Mutex<State>,
    calls: Semaphore,
    queue: Semaphore,
}

/// The right to make one call. Dropped without a verdict it says nothing about the provider.
pub(super) struct Ticket<'a> {
    breaker: &'a Breaker,
    probe: bool,
    _permit: SemaphorePermit<'a>,
}

impl Breaker {
    pub fn new() -> Self {
        Self { state: Mutex::default(), calls: Semaphore::new(CALLS), queue: Semaphore::new(WAITING) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to make a call, after waiting for a turn. The caller bounds the wait by its own deadline.
    pub async fn enter(&self, now: Timestamp) -> Result<Ticket<'_>, Outage> {
        let place = self.queue.try_acquire().map_err(|_| Outage::Busy)?;
        let permit = self.calls.acquire().await.map_err(|_| Outage::Busy)?;
        drop(place);
        let probe = self.state().admit(now)?;
        Ok(Ticket { breaker: self, probe, _permit: permit })
    }
}

impl State {
    /// Whether a call may pass, and whether it is the one probe.
    fn admit(&mut self, now: Timestamp) -> Result<bool, Outage> {
        match self.opened_at {
            None => Ok(false),
            Some(at) if age(now, at) < OPEN || self.probing => Err(Outage::BreakerOpen),
            Some(_) => {
                self.probing = true;
                Ok(true)
            }
        }
    }
}

impl Ticket<'_> {
    /// The provider answered.
    pub fn succeeded(self) {
        *self.breaker.state() = State::default();
    }

    /// The provider did not answer, or with nothing that counts.
    pub fn failed(self, now: Timestamp) {
        let mut state = self.breaker.state();
        state.failures = state.failures.saturating_add(1);
        if state.failures >= FAILURES {
            state.opened_at = Some(now);
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if self.probe {
            self.breaker.state().probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_700_000_000 + seconds)
    }

    async fn fail(breaker: &Breaker, times: u32, now: Timestamp) {
        for _ in 0..times {
            breaker.enter(now).await.ok().unwrap().failed(now);
        }
    }

    #[tokio::test]
    async fn five_failures_in_a_row_open_it_and_four_do_not() {
        let breaker = Breaker::new();
        fail(&breaker, 4, at(0)).await;
        breaker.enter(at(0)).await.ok().unwrap().succeeded();
        fail(&breaker, 4, at(0)).await;
        assert!(breaker.enter(at(0)).await.is_ok());
        fail(&breaker, 1, at(0)).await;
        assert_eq!(breaker.enter(at(9)).await.err(), Some(Outage::BreakerOpen));
    }

    #[tokio::test]
    async fn after_the_pause_one_probe_decides() {
        let breaker = Breaker::new();
        fail(&breaker, 5, at(0)).await;
        let probe = breaker.enter(at(10)).await.ok().unwrap();
        assert_eq!(breaker.enter(at(10)).await.err(), Some(Outage::BreakerOpen));
        probe.failed(at(10));
        assert_eq!(breaker.enter(at(19)).await.err(), Some(Outage::BreakerOpen));
        let abandoned = breaker.enter(at(20)).await.ok().unwrap();
        drop(abandoned);
        breaker.enter(at(20)).await.ok().unwrap().succeeded();
        assert!(breaker.enter(at(20)).await.is_ok());
    }

    #[tokio::test]
    async fn callers_that_go_away_never_open_it() {
        let breaker = Breaker::new();
        for _ in 0..50 {
            drop(breaker.enter(at(0)).await.ok().unwrap());
        }
        assert!(breaker.enter(at(0)).await.is_ok());
    }

    #[tokio::test]
    async fn a_clock_that_was_set_back_does_not_keep_it_open() {
        let breaker = Breaker::new();
        fail(&breaker, 5, at(3_600)).await;
        assert!(breaker.enter(at(0)).await.is_ok());
    }
}
