//! A bounded cache that cannot bring an old value back.
//!
//! moka bounds the number of entries and lets one loader run for a key; the rest is here. If something changes while a
//! loader runs, the loader would put the old value back after the change. So each value carries the generation that was
//! current before it was read, and counts only while that generation is current. The end of a value's life is part of
//! the value and is compared with the broker's clock, since moka's own clock cannot be set.
//!
//! An entry that no longer counts is replaced in one step, and not removed and loaded. If many callers saw it expired,
//! a late one would remove what the first has just loaded.

use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use moka::future::Cache;
use prometheus_client::metrics::counter::Counter;

use crate::model::{Clock, Timestamp};
use crate::store::StoreError;

/// How often a load is tried at most, if changes overtake it.
const ATTEMPTS: usize = 3;

/// The size above which an entry takes a second place, in bytes.
const WEIGHT_OF_ONE: usize = 1_024;

/// A value that takes room in memory.
pub trait Weight {
    /// About how many bytes it takes.
    fn bytes(&self) -> usize;
}

/// A cache of values by key, which also remembers that a key has none.
pub struct Cached<K, V> {
    entries: Cache<K, Entry<V>>,
    generation: Arc<AtomicU64>,
    clock: Arc<dyn Clock>,
    ceiling: Duration,
    loads: Counter,
}

struct Entry<V> {
    /// A failed load is kept for the callers who waited for it, and counts for no other.
    outcome: Result<Option<Arc<V>>, Arc<StoreError>>,
    generation: u64,
    good_until: Timestamp,
}

impl<V> Clone for Entry<V> {
    fn clone(&self) -> Self {
        Self { outcome: self.outcome.clone(), generation: self.generation, good_until: self.good_until }
    }
}

impl<K, V> Cached<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Weight + Send + Sync + 'static,
{
    /// An empty cache with `capacity` places. An entry takes one place for each KiB of its value, and at least one. No
    /// value older than `ceiling` is served. `loads` counts how often the source was asked.
    pub fn new(
        capacity: u64,
        ceiling: Duration,
        generation: Arc<AtomicU64>,
        clock: Arc<dyn Clock>,
        loads: Counter,
    ) -> Self {
        let weigh = |_: &K, entry: &Entry<V>| {
            let bytes = entry.outcome.as_ref().ok().and_then(Option::as_ref).map_or(0, |value| value.bytes());
            u32::try_from(bytes.div_ceil(WEIGHT_OF_ONE).max(1)).unwrap_or(u32::MAX)
        };
        let entries = Cache::builder().max_capacity(capacity).weigher(weigh).build();
        Self { entries, generation, clock, ceiling, loads }
    }

    /// The value of `key`, loaded by `load` when the cache does not know it. The load runs as a task of its own, so
    /// that the other callers still get the answer when one leaves.
    pub async fn get<F, L>(&self, key: K, load: F) -> Result<Option<Arc<V>>, StoreError>
    where
        F: Fn() -> L + Send + Sync,
        L: Future<Output = Result<Option<V>, StoreError>> + Send + 'static,
    {
        for _ in 0..ATTEMPTS {
            let entry = match self.entries.get(&key).await.filter(|entry| self.is_good(entry)) {
                Some(entry) => entry,
                None => {
                    let outdated = |entry: &Entry<V>| !self.is_good(entry);
                    let place = self.entries.entry(key.clone());
                    place.or_insert_with_if(self.entry(load()), outdated).await.into_value()
                }
            };
            if self.is_good(&entry) || entry.outcome.is_err() {
                return entry.outcome.map_err(|error| again(&error));
            }
        }
        // Changes come faster than loads: answer from the source.
        self.loads.inc();
        Ok(load().await?.map(Arc::new))
    }

    async fn entry<L>(&self, load: L) -> Entry<V>
    where
        L: Future<Output = Result<Option<V>, StoreError>> + Send + 'static,
    {
        let generation = self.generation.load(Ordering::SeqCst);
        let good_until = self.clock.now().after(self.ceiling);
        self.loads.inc();
        let loaded = tokio::spawn(load).await.unwrap_or(Err(StoreError::Unavailable("a load was ended")));
        Entry { outcome: loaded.map(|value| value.map(Arc::new)).map_err(Arc::new), generation, good_until }
    }

    fn is_good(&self, entry: &Entry<V>) -> bool {
        let now = self.clock.now();
        // A value from the future does not count: the clock was set back.
        let in_time = now < entry.good_until && entry.good_until.since(now) <= self.ceiling;
        entry.outcome.is_ok() && in_time && entry.generation == self.generation.load(Ordering::SeqCst)
    }
}

/// The error of a load that several callers waited for.
fn again(error: &Arc<StoreError>) -> StoreError {
    match &**error {
        StoreError::Conflict => StoreError::Conflict,
        StoreError::Inconsistent { table, column, id } => {
            StoreError::Inconsistent { table, column, id: id.clone() }
        }
        StoreError::Unavailable(why) => StoreError::Unavailable(why),
        StoreError::Driver(_) => StoreError::Unavailable("a load failed"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, AtomicUsize};

    use tokio::sync::{Barrier, Notify};

    use super::*;

    impl Weight for usize {
        fn bytes(&self) -> usize {
            8
        }
    }

    /// A value with this number of bytes.
    struct Large(usize);

    impl Weight for Large {
        fn bytes(&self) -> usize {
            self.0
        }
    }

    #[tokio::test]
    async fn large_values_take_the_place_of_many() {
        let (generation, clock) = (Arc::default(), Arc::new(Hand(AtomicI64::new(0))));
        let cache = Cached::new(100, Duration::from_mins(1), generation, clock, Counter::default());
        for number in 0..1_000 {
            let load = || async { Ok(Some(Large(10 * 1_024))) };
            cache.get(number, load).await.unwrap();
        }
        cache.entries.run_pending_tasks().await;
        assert!((1..=10).contains(&cache.entries.entry_count()), "{}", cache.entries.entry_count());
    }

    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix_seconds(self.0.load(Ordering::SeqCst))
        }
    }

    struct Fixture {
        cache: Arc<Cached<String, usize>>,
        generation: Arc<AtomicU64>,
        clock: Arc<Hand>,
        loads: Arc<AtomicUsize>,
    }

    fn fixture(capacity: u64) -> Fixture {
        let (generation, clock) = (Arc::new(AtomicU64::new(0)), Arc::new(Hand(AtomicI64::new(0))));
        let minute = Duration::from_mins(1);
        let counter = Counter::default();
        let cache = Cached::new(capacity, minute, Arc::clone(&generation), clock.clone(), counter);
        Fixture { cache: Arc::new(cache), generation, clock, loads: Arc::default() }
    }

    impl Fixture {
        async fn get(&self, key: &str) -> Option<usize> {
            let loads = Arc::clone(&self.loads);
            let load = || {
                let loads = Arc::clone(&loads);
                async move { Ok(Some(loads.fetch_add(1, Ordering::SeqCst))) }
            };
            self.cache.get(key.to_owned(), load).await.unwrap().map(|value| *value)
        }
    }

    #[tokio::test]
    async fn a_change_and_the_ceiling_make_it_load_anew() {
        let fixture = fixture(10);
        assert_eq!((fixture.get("a").await, fixture.get("a").await), (Some(0), Some(0)));
        fixture.generation.fetch_add(1, Ordering::SeqCst);
        assert_eq!((fixture.get("a").await, fixture.get("a").await), (Some(1), Some(1)));
        fixture.clock.0.store(60, Ordering::SeqCst);
        assert_eq!(fixture.get("a").await, Some(2));
        fixture.clock.0.store(-3_600, Ordering::SeqCst);
        assert_eq!(fixture.get("a").await, Some(3), "a clock that is set back lengthens nothing");
    }

    #[tokio::test]
    async fn a_loader_in_flight_during_a_change_does_not_put_the_old_value_back() {
        let fixture = fixture(10);
        let (started, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let source = Arc::new(AtomicUsize::new(1));
        let slow = {
            let (cache, source) = (Arc::clone(&fixture.cache), Arc::clone(&source));
            let (started, go) = (Arc::clone(&started), Arc::clone(&go));
            tokio::spawn(async move {
                let first = Arc::new(AtomicUsize::new(0));
                let load = move || {
                    let (source, started, go) = (Arc::clone(&source), Arc::clone(&started), Arc::clone(&go));
                    let is_first = first.fetch_add(1, Ordering::SeqCst) == 0;
                    async move {
                        let value = source.load(Ordering::SeqCst);
                        if is_first {
                            started.notify_one();
                            go.notified().await;
                        }
                        Ok(Some(value))
                    }
                };
                cache.get("a".to_owned(), load).await.unwrap().map(|value| *value)
            })
        };
        started.notified().await;
        source.store(2, Ordering::SeqCst);
        fixture.generation.fetch_add(1, Ordering::SeqCst);
        go.notify_one();
        assert_eq!(slow.await.unwrap(), Some(2));
        let load = || async { Ok(Some(2)) };
        assert_eq!(fixture.cache.get("a".to_owned(), load).await.unwrap().map(|value| *value), Some(2));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_thousand_that_ask_at_once_load_once() {
        let fixture = Arc::new(fixture(10));
        let barrier = Arc::new(Barrier::new(1_000));
        let tasks: Vec<_> = (0..1_000)
            .map(|_| {
                let (fixture, barrier) = (Arc::clone(&fixture), Arc::clone(&barrier));
                tokio::spawn(async move {
                    barrier.wait().await;
                    fixture.get("a").await
                })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), Some(0));
        }
        assert_eq!(fixture.loads.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_thousand_that_find_it_expired_or_outdated_load_once() {
        let fixture = Arc::new(fixture(10));
        fixture.get("a").await;
        for round in 1..=20 {
            if round % 2 == 0 {
                fixture.clock.0.fetch_add(60, Ordering::SeqCst);
            } else {
                fixture.generation.fetch_add(1, Ordering::SeqCst);
            }
            let barrier = Arc::new(Barrier::new(1_000));
            let tasks: Vec<_> = (0..1_000)
                .map(|_| {
                    let (fixture, barrier) = (Arc::clone(&fixture), Arc::clone(&barrier));
                    tokio::spawn(async move {
                        barrier.wait().await;
                        fixture.get("a").await
                    })
                })
                .collect();
            for task in tasks {
                assert_eq!(task.await.unwrap(), Some(round));
            }
            assert_eq!(fixture.loads.load(Ordering::SeqCst), round + 1);
            assert_eq!(fixture.cache.loads.get(), u64::try_from(round).unwrap() + 1);
        }
    }

    #[tokio::test]
    async fn a_load_that_fails_is_tried_again_by_the_next() {
        let fixture = fixture(10);
        for _ in 0..2 {
            let failing = || async { Err(StoreError::Unavailable("down")) };
            let failed = fixture.cache.get("a".to_owned(), failing).await;
            assert!(matches!(failed, Err(StoreError::Unavailable("down"))));
        }
        assert_eq!(fixture.get("a").await, Some(0));
        assert_eq!(fixture.cache.loads.get(), 3);
    }

    #[tokio::test]
    async fn absence_is_remembered_and_the_size_is_bounded() {
        let fixture = fixture(100);
        let loads = Arc::new(AtomicUsize::new(0));
        for _ in 0..3 {
            let loads = Arc::clone(&loads);
            let load = move || {
                loads.fetch_add(1, Ordering::SeqCst);
                async { Ok(None) }
            };
            assert_eq!(fixture.cache.get("nobody".to_owned(), load).await.unwrap(), None);
        }
        assert_eq!(loads.load(Ordering::SeqCst), 1);
        for number in 0..10_000 {
            fixture.get(&format!("name-{number}")).await;
        }
        fixture.cache.entries.run_pending_tasks().await;
        assert!(fixture.cache.entries.entry_count() <= 100);
    }
}
