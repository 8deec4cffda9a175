//! Stops calling an identity provider that fails again and again, and limits how many calls it gets at once.
//!
//! Each connection has its own breaker, so that a dead identity provider affects only its own organization. A response
//! with status 500 or above counts as a failure, like no response. A refused code does not, nor does a caller that
//! went away.
//!
//! Within a connection, each network is counted separately, and within a network the browsers that are known here. So
//! a stranger whose requests make the identity provider fail stops only their own network. If two networks see it fail
//! at the same time, no network calls it for a while.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::slot::age;
use crate::model::Timestamp;
use crate::upstream::asker::Asker;
use crate::upstream::error::Outage;
use crate::upstream::turns::{Turn, Turns};

/// How many failures in a row open the breaker.
const FAILURES: u32 = 5;
/// How long it stays open before one probe may pass.
const OPEN: Duration = Duration::from_secs(10);
/// How many calls of one connection may be under way at once.
const CALLS: usize = 64;
/// How many calls of one connection may wait for their turn. Further calls are refused at once.
const WAITING: usize = 256;
/// How many networks are remembered per connection because their last call failed. If there are more, the one that
/// failed longest ago is forgotten.
const NETWORKS: usize = 256;

/// Failures in a row, and what follows from them.
#[derive(Debug, Default)]
struct Fuse {
    failures: u32,
    opened_at: Option<Timestamp>,
    probing: bool,
    /// When it last failed, as a count of the connection's failures.
    failed: u64,
}

/// A group whose failures count together: a network, and whether the browser is known here.
type Side = (String, bool);

#[derive(Debug, Default)]
struct State {
    /// Opened by failures from two networks, for all networks.
    all: Fuse,
    /// For each side whose last call failed.
    sides: HashMap<Side, Fuse>,
    failed: u64,
}

/// The breaker of one connection.
#[derive(Debug)]
pub(super) struct Breaker {
    state: Mutex<State>,
    turns: Turns,
}

/// For which fuses a call is the one probe.
#[derive(Debug, Clone, Copy)]
struct Probes {
    /// For the fuse of its side.
    side: bool,
    /// For the fuse of the whole connection.
    all: bool,
}

/// Permission to make one call. If it is dropped without a result, nothing is learned about the identity provider.
pub(super) struct Ticket<'a> {
    breaker: &'a Breaker,
    side: Side,
    probes: Probes,
    _turn: Turn<'a>,
}

impl Breaker {
    pub fn new() -> Self {
        Self { state: Mutex::default(), turns: Turns::with_lanes(CALLS, WAITING) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn, and returns the permission to make a call. The caller limits the wait by its own deadline.
    pub async fn enter(&self, now: Timestamp, asker: &Asker) -> Result<Ticket<'_>, Outage> {
        let turn = self.turns.enter(asker.share()).await.ok_or(Outage::Busy)?;
        let side = asker.side();
        let probes = self.state().admit(now, &side)?;
        Ok(Ticket { breaker: self, side, probes, _turn: turn })
    }
}

impl Fuse {
    /// Whether a call may pass, and whether it is the one probe.
    fn admit(&self, now: Timestamp) -> Result<bool, Outage> {
        match self.opened_at {
            None => Ok(false),
            Some(at) if age(now, at) < OPEN || self.probing => Err(Outage::BreakerOpen),
            Some(_) => Ok(true),
        }
    }

    fn is_open(&self, now: Timestamp) -> bool {
        self.opened_at.is_some_and(|at| age(now, at) < OPEN)
    }
}

impl State {
    fn admit(&mut self, now: Timestamp, side: &Side) -> Result<Probes, Outage> {
        let of_side = self.sides.get(side).map_or(Ok(false), |fuse| fuse.admit(now))?;
        let of_all = self.all.admit(now)?;
        self.all.probing |= of_all;
        if let Some(fuse) = self.sides.get_mut(side) {
            fuse.probing |= of_side;
        }
        Ok(Probes { side: of_side, all: of_all })
    }

    fn failed(&mut self, now: Timestamp, side: &Side) {
        self.failed = self.failed.wrapping_add(1);
        if !self.sides.contains_key(side) && self.sides.len() >= NETWORKS {
            let oldest = self.sides.iter().min_by_key(|(_, fuse)| fuse.failed);
            if let Some(oldest) = oldest.map(|(side, _)| side.clone()) {
                self.sides.remove(&oldest);
            }
        }
        let fuse = self.sides.entry(side.clone()).or_default();
        fuse.failed = self.failed;
        fuse.failures = fuse.failures.saturating_add(1);
        if fuse.failures >= FAILURES {
            fuse.opened_at = Some(now);
            let elsewhere = |(network, _): &Side| *network != side.0;
            if self.sides.iter().any(|(other, fuse)| elsewhere(other) && fuse.is_open(now)) {
                self.all.opened_at = Some(now);
            }
        }
    }
}

impl Ticket<'_> {
    /// Notes that the identity provider answered.
    pub fn succeeded(self) {
        let mut state = self.breaker.state();
        state.all = Fuse::default();
        state.sides.remove(&self.side);
    }

    /// Notes that the identity provider did not answer, or not usefully.
    pub fn failed(self, now: Timestamp) {
        let mut state = self.breaker.state();
        state.failed(now, &self.side);
        if self.probes.all {
            state.all.opened_at = Some(now);
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let Probes { side: of_side, all: of_all } = self.probes;
        let mut state = self.breaker.state();
        if of_all {
            state.all.probing = false;
        }
        if of_side && let Some(fuse) = state.sides.get_mut(&self.side) {
            fuse.probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_700_000_000 + seconds)
    }

    fn from(network: &str) -> Asker {
        Asker::stranger(network)
    }

    async fn enter<'a>(breaker: &'a Breaker, now: Timestamp, asker: &Asker) -> Result<Ticket<'a>, Outage> {
        breaker.enter(now, asker).await
    }

    async fn fail(breaker: &Breaker, times: u32, now: Timestamp, asker: &Asker) {
        for _ in 0..times {
            enter(breaker, now, asker).await.ok().unwrap().failed(now);
        }
    }

    #[tokio::test]
    async fn five_failures_in_a_row_open_it_and_four_do_not() {
        let (breaker, one) = (Breaker::new(), from("one"));
        fail(&breaker, 4, at(0), &one).await;
        enter(&breaker, at(0), &one).await.ok().unwrap().succeeded();
        fail(&breaker, 4, at(0), &one).await;
        assert!(enter(&breaker, at(0), &one).await.is_ok());
        fail(&breaker, 1, at(0), &one).await;
        assert_eq!(enter(&breaker, at(9), &one).await.err(), Some(Outage::BreakerOpen));
    }

    #[tokio::test]
    async fn after_the_pause_one_probe_decides() {
        let (breaker, one) = (Breaker::new(), from("one"));
        fail(&breaker, 5, at(0), &one).await;
        let probe = enter(&breaker, at(10), &one).await.ok().unwrap();
        assert_eq!(enter(&breaker, at(10), &one).await.err(), Some(Outage::BreakerOpen));
        probe.failed(at(10));
        assert_eq!(enter(&breaker, at(19), &one).await.err(), Some(Outage::BreakerOpen));
        let abandoned = enter(&breaker, at(20), &one).await.ok().unwrap();
        drop(abandoned);
        enter(&breaker, at(20), &one).await.ok().unwrap().succeeded();
        assert!(enter(&breaker, at(20), &one).await.is_ok());
    }

    #[tokio::test]
    async fn callers_that_go_away_never_open_it() {
        let (breaker, one) = (Breaker::new(), from("one"));
        for _ in 0..50 {
            drop(enter(&breaker, at(0), &one).await.ok().unwrap());
        }
        assert!(enter(&breaker, at(0), &one).await.is_ok());
    }

    #[tokio::test]
    async fn a_clock_that_was_set_back_does_not_keep_it_open() {
        let (breaker, one) = (Breaker::new(), from("one"));
        fail(&breaker, 5, at(3_600), &one).await;
        assert!(enter(&breaker, at(0), &one).await.is_ok());
    }

    #[tokio::test]
    async fn one_network_stops_itself_and_two_stop_all_until_a_probe_goes_well() {
        let breaker = Breaker::new();
        let (one, other, third) = (from("one"), from("other"), from("third"));
        fail(&breaker, 5, at(0), &one).await;
        assert!(enter(&breaker, at(0), &other).await.is_ok());
        // A known browser in the same network does not count as a second network.
        let known = Asker::known("one", "ann");
        fail(&breaker, 5, at(0), &known).await;
        assert_eq!(enter(&breaker, at(0), &known).await.err(), Some(Outage::BreakerOpen));
        assert!(enter(&breaker, at(0), &other).await.is_ok());
        fail(&breaker, 5, at(1), &other).await;
        assert_eq!(enter(&breaker, at(1), &third).await.err(), Some(Outage::BreakerOpen));
        let probe = enter(&breaker, at(11), &third).await.ok().unwrap();
        assert_eq!(enter(&breaker, at(11), &from("fourth")).await.err(), Some(Outage::BreakerOpen));
        probe.failed(at(11));
        assert_eq!(enter(&breaker, at(20), &third).await.err(), Some(Outage::BreakerOpen));
        enter(&breaker, at(21), &third).await.ok().unwrap().succeeded();
        assert!(enter(&breaker, at(21), &from("fourth")).await.is_ok());
    }

    #[tokio::test]
    async fn failures_of_one_network_long_ago_do_not_count_as_at_the_same_time() {
        let breaker = Breaker::new();
        fail(&breaker, 5, at(0), &from("one")).await;
        fail(&breaker, 5, at(10), &from("other")).await;
        assert!(enter(&breaker, at(10), &from("third")).await.is_ok());
    }

    #[tokio::test]
    async fn only_so_many_networks_are_remembered_and_only_while_they_fail() {
        let breaker = Breaker::new();
        for number in 0..1_000 {
            fail(&breaker, 1, at(0), &from(&number.to_string())).await;
        }
        assert_eq!(breaker.state().sides.len(), NETWORKS);
        for number in 0..1_000 {
            enter(&breaker, at(0), &from(&number.to_string())).await.ok().unwrap().succeeded();
        }
        assert_eq!(breaker.state().sides.len(), 0);
    }
}
