//! One fetched document: its last good value, and at most one fetch at a time.
//!
//! A fetch is a task of its own, so a caller that goes away does not stop it for the others. A failed fetch never
//! removes a good value. Times are compared with the clock. A value from the future counts as old, so that nothing
//! becomes fresh again after the clock was set back.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::model::Timestamp;
use crate::upstream::egress::EgressError;
use crate::upstream::error::{Outage, UpstreamError};

const SKEW: Duration = Duration::from_mins(1);
/// How long the last good value is used after a failed fetch before the next attempt.
const RETRY: Duration = Duration::from_mins(1);
/// Without a good value, after this many failures in a row …
const FAILURES: u32 = 5;
/// … the identity provider is not called for this long.
const PAUSE: Duration = Duration::from_secs(10);

/// A value, and when it was fetched.
#[derive(Debug)]
pub(super) struct Good<T> {
    pub value: Arc<T>,
    pub fetched_at: Timestamp,
}

impl<T> Clone for Good<T> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value), fetched_at: self.fetched_at }
    }
}

/// How long ago `then` was.
pub(super) fn age(now: Timestamp, then: Timestamp) -> Duration {
    if then > now.after(SKEW) { Duration::MAX } else { now.since(then) }
}

type Outcome<T> = Result<Good<T>, UpstreamError>;
type Flight<T> = watch::Receiver<Option<Outcome<T>>>;

struct State<T> {
    good: Option<Good<T>>,
    flight: Option<Flight<T>>,
    failures: u32,
    failed_at: Option<Timestamp>,
    last_error: Option<UpstreamError>,
    extra_at: Option<Timestamp>,
}

/// The slot of one document.
pub(super) struct Slot<T> {
    state: Mutex<State<T>>,
}

impl<T: Send + Sync + 'static> Slot<T> {
    pub fn new() -> Self {
        Self {
            state: Mutex::new(State {
                good: None,
                flight: None,
                failures: 0,
                failed_at: None,
                last_error: None,
                extra_at: None,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value, of any age.
    pub fn good(&self) -> Option<Arc<T>> {
        self.state().good.as_ref().map(|good| Arc::clone(&good.value))
    }

    /// Whether there is a value, of any age.
    pub fn is_filled(&self) -> bool {
        self.state().good.is_some()
    }

    /// Stores a saved value, unless a newer one is there.
    pub fn recall(&self, good: Good<T>) {
        let mut state = self.state();
        if state.good.as_ref().is_none_or(|known| known.fetched_at < good.fetched_at) {
            state.good = Some(good);
        }
    }

    /// The value. `load` fetches it if it is older than `fresh`. While fetches fail, the last good value is used until
    /// it is older than `oldest`.
    pub async fn get<L, F>(
        self: &Arc<Self>,
        now: Timestamp,
        fresh: Duration,
        oldest: Duration,
        load: L,
    ) -> Result<Arc<T>, UpstreamError>
    where
        L: FnOnce() -> F,
        F: Future<Output = Outcome<T>> + Send + 'static,
    {
        let (known, flight) = {
            let mut state = self.state();
            let known = state.good.clone().filter(|good| age(now, good.fetched_at) <= oldest);
            if let Some(good) = &known
                && (age(now, good.fetched_at) < fresh || state.failed_within(RETRY, now))
            {
                return Ok(Arc::clone(&good.value));
            }
            if known.is_none() && state.failures >= FAILURES && state.failed_within(PAUSE, now) {
                return Err(state.last_error.clone().unwrap_or(Outage::BreakerOpen.into()));
            }
            (known, self.flight(&mut state, now, load))
        };
        match (landed(flight).await, known) {
            (Ok(good), _) | (Err(_), Some(good)) => Ok(good.value),
            (Err(error), None) => Err(error),
        }
    }

    /// A value newer than `seen`, if one is available: the one that another caller has fetched since, or the result of
    /// an extra fetch, at most once in `pause`. A failure gives `None` and changes nothing.
    pub async fn newer<L, F>(
        self: &Arc<Self>,
        seen: &Arc<T>,
        now: Timestamp,
        pause: Duration,
        load: L,
    ) -> Option<Arc<T>>
    where
        L: FnOnce() -> F,
        F: Future<Output = Outcome<T>> + Send + 'static,
    {
        let flight = {
            let mut state = self.state();
            if let Some(good) = &state.good
                && !Arc::ptr_eq(&good.value, seen)
            {
                return Some(Arc::clone(&good.value));
            }
            let paused = state.extra_at.is_some_and(|at| age(now, at) < pause);
            if paused && state.flight.is_none() {
                return None;
            }
            if !paused {
                state.extra_at = Some(now);
            }
            self.flight(&mut state, now, load)
        };
        landed(flight).await.ok().map(|good| good.value)
    }

    /// The fetch that is under way, or a new one.
    fn flight<L, F>(self: &Arc<Self>, state: &mut State<T>, now: Timestamp, load: L) -> Flight<T>
    where
        L: FnOnce() -> F,
        F: Future<Output = Outcome<T>> + Send + 'static,
    {
        // A closed channel without a result means that the fetch died.
        let alive = |flight: &&Flight<T>| flight.has_changed().is_ok() || flight.borrow().is_some();
        if let Some(flight) = state.flight.as_ref().filter(alive) {
            return flight.clone();
        }
        let (sender, receiver) = watch::channel(None);
        state.flight = Some(receiver.clone());
        let slot = Arc::clone(self);
        let loading = load();
        tokio::spawn(async move {
            let outcome = loading.await;
            slot.state().settle(&outcome, now);
            sender.send_replace(Some(outcome));
        });
        receiver
    }
}

impl<T> State<T> {
    fn failed_within(&self, span: Duration, now: Timestamp) -> bool {
        self.failed_at.is_some_and(|at| age(now, at) < span)
    }

    fn settle(&mut self, outcome: &Outcome<T>, now: Timestamp) {
        self.flight = None;
        match outcome {
            Ok(good) => {
                self.good = Some(good.clone());
                self.failures = 0;
                self.failed_at = None;
                self.last_error = None;
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                self.failed_at = Some(now);
                self.last_error = Some(error.clone());
            }
        }
    }
}

async fn landed<T>(mut flight: Flight<T>) -> Outcome<T> {
    let died = || Outage::from(EgressError::Broken("the fetch was given up".to_owned())).into();
    match flight.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.clone().unwrap_or_else(|| Err(died())),
        Err(_) => Err(died()),
    }
}
