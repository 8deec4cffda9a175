//! Guesses at the secrets of apps. The broker counts the wrong ones for each app and network, so that an attacker
//! cannot try one secret after another.
//!
//! A right secret needs no look at the database: this node keeps the counters that it knows in memory. It asks the
//! database, which all nodes share, only after a wrong secret. After too many wrong ones, the broker accepts no secret
//! from that network for a while. There is one exception: if the app itself came from that network with its secret
//! lately, a right secret still counts, so that an attacker behind the same address cannot block the app. Otherwise
//! right and wrong guesses are refused alike.
//!
//! The memory is two plain maps and not a `moka` cache, since a guess must be seen and counted under one lock.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::Timestamp;
use crate::policy::sign_in::guesses::{CounterState, Scope, Verdict, decide};

/// The most counters in memory. Beyond that, those touched longest ago are forgotten.
const COUNTERS: usize = 10_000;
/// The most networks in memory from which apps have come.
const HOMES: usize = 10_000;
/// How long the broker remembers that an app has come from a network.
const HOME: Duration = Duration::from_hours(24);
/// A home is noted again after this time, not at each request.
const HOME_NOTED: Duration = Duration::from_mins(10);

/// The client id that a request names, and the network that the request comes from.
pub(super) type Pair = (String, String);

/// The guesses that this node knows of.
#[derive(Default)]
pub(super) struct ClientGuesses {
    counters: Mutex<Recent<Counter>>,
    homes: Mutex<Recent<Option<Timestamp>>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counter {
    seen: Option<CounterState>,
    /// Wrong secrets that are not counted yet.
    pending: i64,
}

/// A wrong secret that is not counted yet. It counts as pending until this is dropped.
pub(super) struct Wrong<'a> {
    guesses: &'a ClientGuesses,
    pair: Pair,
}

impl Wrong<'_> {
    /// Notes the counter after this guess was counted. For an app that does not exist, counts the guess in memory
    /// alone.
    pub(in crate::flows) fn counted(self, seen: Option<CounterState>, now: Timestamp) {
        let mut counters = lock(&self.guesses.counters);
        let counter = counters.touch(&self.pair);
        counter.seen = seen.or_else(|| match decide(Scope::Client, counter.seen, now) {
            Verdict::Check { failures, blocked_until } => {
                Some(CounterState { failures, blocked_until, changed_at: now })
            }
            Verdict::Wait { .. } => counter.seen,
        });
    }
}

impl Drop for Wrong<'_> {
    fn drop(&mut self) {
        if let Some(counter) = lock(&self.guesses.counters).find(&self.pair) {
            counter.pending = (counter.pending - 1).max(0);
        }
    }
}

/// The verdict on a secret.
pub(super) enum Judged<'a> {
    /// The secret is right and counts.
    Right,
    /// The secret is wrong, and the caller must count it.
    Wrong(Wrong<'a>),
    /// No secret counts for this long, whether right or wrong.
    Wait(Duration),
}

impl ClientGuesses {
    /// Judges a secret that is `right` or not. The comparison itself costs nothing. Only a caller who may still guess
    /// learns its result.
    pub(super) fn judge(&self, pair: Pair, right: bool, now: Timestamp) -> Judged<'_> {
        let is_home = |at: &mut Option<Timestamp>| at.is_some_and(|at| at <= now && now.since(at) < HOME);
        match self.take_place(&pair, right, now) {
            Ok(()) if !right => Judged::Wrong(Wrong { guesses: self, pair }),
            Err(wait) if !right || !lock(&self.homes).find(&pair).is_some_and(is_home) => Judged::Wait(wait),
            _ => {
                self.come_home(&pair, now);
                Judged::Right
            }
        }
    }

    /// Whether the caller may learn the result of a guess; the error is the time to wait. A wrong guess takes a place
    /// until it is counted, so that parallel guesses do not outrun the count.
    fn take_place(&self, pair: &Pair, right: bool, now: Timestamp) -> Result<(), Duration> {
        let mut counters = lock(&self.counters);
        let Counter { seen, pending } = counters.find(pair).map_or_else(Counter::default, |counter| *counter);
        // Counts the pending guesses one after the other, as the counter will do later.
        let mut seen = seen;
        for _ in 0..pending {
            match decide(Scope::Client, seen, now) {
                Verdict::Check { failures, blocked_until } => {
                    seen = Some(CounterState { failures, blocked_until, changed_at: now });
                }
                Verdict::Wait { .. } => break,
            }
        }
        if let Verdict::Wait { wait } = decide(Scope::Client, seen, now) {
            return Err(wait);
        }
        if !right {
            counters.touch(pair).pending += 1;
            counters.bound(COUNTERS);
        }
        Ok(())
    }

    fn come_home(&self, pair: &Pair, now: Timestamp) {
        let mut homes = lock(&self.homes);
        let noted = homes.find(pair).copied().flatten();
        if noted.is_none_or(|at| at > now || now.since(at) >= HOME_NOTED) {
            *homes.touch(pair) = Some(now);
            homes.bound(HOMES);
        }
    }

    /// The numbers of counters and of homes in memory.
    #[cfg(test)]
    fn sizes(&self) -> (usize, usize) {
        (lock(&self.counters).entries.len(), lock(&self.homes).entries.len())
    }
}

/// Every change under the lock is complete, so the value stays sound if a thread panics.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The values of the pairs that were touched last.
#[derive(Default)]
struct Recent<V> {
    entries: HashMap<Pair, (u64, V)>,
    touches: u64,
}

impl<V: Default> Recent<V> {
    fn find(&mut self, pair: &Pair) -> Option<&mut V> {
        self.entries.get_mut(pair).map(|(_, value)| value)
    }

    fn touch(&mut self, pair: &Pair) -> &mut V {
        self.touches = self.touches.wrapping_add(1);
        let entry = self.entries.entry(pair.clone()).or_default();
        entry.0 = self.touches;
        &mut entry.1
    }

    /// Forgets the older half when there are more than `most`.
    fn bound(&mut self, most: usize) {
        if self.entries.len() <= most {
            return;
        }
        let mut touches: Vec<u64> = self.entries.values().map(|(touched, _)| *touched).collect();
        touches.sort_unstable();
        let middle = touches.get(touches.len() / 2).copied().unwrap_or_default();
        self.entries.retain(|_, (touched, _)| *touched >= middle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_700_000_000 + seconds)
    }

    fn pair(app: &str, network: &str) -> Pair {
        (app.to_owned(), network.to_owned())
    }

    /// Makes `times` wrong guesses, each counted at once. Gives the number that were answered as wrong.
    fn guess(guesses: &ClientGuesses, pair: &Pair, times: usize, now: Timestamp) -> usize {
        let mut told = 0;
        for _ in 0..times {
            if let Judged::Wrong(wrong) = guesses.judge(pair.clone(), false, now) {
                told += 1;
                wrong.counted(None, now);
            }
        }
        told
    }

    fn is_right(guesses: &ClientGuesses, pair: &Pair, now: Timestamp) -> bool {
        matches!(guesses.judge(pair.clone(), true, now), Judged::Right)
    }

    #[test]
    fn ten_guesses_are_told_and_then_one_after_each_wait() {
        let guesses = ClientGuesses::default();
        let (here, elsewhere) = (pair("notes", "one"), pair("notes", "other"));
        assert_eq!(guess(&guesses, &here, 300, at(0)), 10);
        assert!(!is_right(&guesses, &here, at(0)), "a right guess is told no more than a wrong one");
        assert!(is_right(&guesses, &elsewhere, at(0)), "the app comes from elsewhere");
        assert!(is_right(&guesses, &pair("wiki", "one"), at(0)));
        assert_eq!(guess(&guesses, &here, 300, at(1)), 1);
        assert_eq!(guess(&guesses, &here, 300, at(2)), 0);
        assert_eq!(guess(&guesses, &here, 300, at(3)), 1);
    }

    #[test]
    fn an_app_at_home_is_not_stopped_by_a_neighbour() {
        let guesses = ClientGuesses::default();
        let here = pair("notes", "one");
        assert!(is_right(&guesses, &here, at(0)));
        assert_eq!(guess(&guesses, &here, 300, at(1)), 10);
        assert!(is_right(&guesses, &here, at(1)));
        assert!(matches!(guesses.judge(here.clone(), false, at(1)), Judged::Wait(_)));
        assert_eq!(
            guess(&guesses, &here, 100, at(86_400)),
            1,
            "the count stays for a day after the last failure"
        );
        assert!(!is_right(&guesses, &here, at(86_400)), "a day later it is at home no more");
        assert!(!is_right(&guesses, &here, at(-10)), "nor before it came");
    }

    #[test]
    fn guesses_that_are_not_counted_yet_count_all_the_same() {
        let guesses = ClientGuesses::default();
        let here = pair("notes", "one");
        let wrong: Vec<_> = (0..300)
            .filter_map(|_| match guesses.judge(here.clone(), false, at(0)) {
                Judged::Wrong(wrong) => Some(wrong),
                Judged::Right | Judged::Wait(_) => None,
            })
            .collect();
        assert_eq!(wrong.len(), 10);
        // A request that ends without being counted leaves its place to others.
        drop(wrong);
        assert!(is_right(&guesses, &here, at(0)));
    }

    #[test]
    fn what_another_node_has_counted_counts_here() {
        let guesses = ClientGuesses::default();
        let here = pair("notes", "one");
        let Judged::Wrong(wrong) = guesses.judge(here.clone(), false, at(0)) else { panic!() };
        let seen = CounterState { failures: 15, blocked_until: at(32), changed_at: at(0) };
        wrong.counted(Some(seen), at(0));
        assert!(!is_right(&guesses, &here, at(31)));
        assert!(is_right(&guesses, &here, at(32)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let guesses = ClientGuesses::default();
        for number in 0..30_000 {
            let pair = pair("notes", &number.to_string());
            guess(&guesses, &pair, 1, at(0));
            assert!(is_right(&guesses, &pair, at(0)));
        }
        let (counters, homes) = guesses.sizes();
        assert!(counters <= COUNTERS && homes <= HOMES, "{counters} {homes}");
    }
}
