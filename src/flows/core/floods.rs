//! Records of refusals from before anything was proven: how many may wait to be written, and what happens to the rest.
//!
//! A refusal costs its sender nothing, but costs the broker a write, so a crowd of strangers must not queue for the
//! database without limit. A limited number may wait for each network and in all. The broker counts the others in
//! memory and answers them at once. A job writes the counts each second, and the last ones are written before the
//! database is closed.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::flows::core::Core;
use crate::flows::evidence::Named;
use crate::flows::visit::network_around;
use crate::model::OrganizationId;
use crate::store::StoreError;
use crate::store::audit::AuditRecord;
use crate::store::audit::floods::{
    Level, Source, SourceKind, count_anonymous_refusals, count_records_of_all, insert_anonymous_refusal,
};

/// The most refusals in a minute, for one reason, that get a record of their own: from an IPv4 address, from an IPv6
/// /64, or about one name.
const EACH: i64 = 20;

/// The same from an IPv6 /56 and from a /48, which a provider gives to one customer.
const WIDER: [(u8, i64); 2] = [(56, 2 * EACH), (48, 4 * EACH)];

/// The same from all networks, in one organization's log.
const FROM_ALL_NETWORKS: i64 = 1_200;

/// The same about all names that were guessed at: more, since each guess costs the guesser a hash or a wait.
const AT_ALL_ACCOUNTS: i64 = 12_000;

/// Records that are written at once. A flood queues here, and not for the database's connections, which others need.
const AT_ONCE: usize = 2;

/// Records of one source that may wait to be written. More than [`EACH`], so that a flood has all its records.
const WAITING_OF_ONE: usize = 32;

/// Records of all sources of a kind that may wait to be written.
const WAITING_OF_ALL: usize = 512;

/// How long a record waits at most.
const PATIENCE: Duration = Duration::from_secs(3);

/// The most counters in memory. Beyond that, one counter for each reason counts all other sources.
const COUNTERS: usize = 4_096;

/// Counters that are written in one transaction.
const WRITTEN_TOGETHER: usize = 100;

/// The refusals that wait to be written, and those that are counted.
pub(super) struct Refusals {
    /// Each kind has turns of its own, so that noise does not delay the record of a guess at an account.
    turns: [Semaphore; 2],
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: HashMap<String, usize>,
    waiting_of_all: [usize; 2],
    counted: HashMap<Counter, Counted>,
}

/// The refusals that are counted together in memory.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Counter {
    organization: Option<OrganizationId>,
    reason: Option<String>,
    minute: i64,
    source: Source,
}

/// The number of refusals that a counter has counted, and the first of them.
struct Counted {
    record: AuditRecord,
    times: i64,
}

/// Room for one refusal that waits to be written, taken until this is dropped.
struct Place<'a> {
    refusals: &'a Refusals,
    source: &'a Source,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.refusals.state();
        for level in &self.source.levels {
            if let Some(waiting) = state.waiting.get_mut(&level.tag) {
                *waiting -= 1;
                if *waiting == 0 {
                    state.waiting.remove(&level.tag);
                }
            }
        }
        let of_all = state.of_all(self.source.kind);
        *of_all = of_all.saturating_sub(1);
    }
}

impl State {
    fn of_all(&mut self, kind: SourceKind) -> &mut usize {
        let [networks, accounts] = &mut self.waiting_of_all;
        match kind {
            SourceKind::Network => networks,
            SourceKind::Account => accounts,
        }
    }

    /// Whether a source has no place left to wait. A wider network has more places, in proportion to its room.
    fn is_full(&self, source: &Source) -> bool {
        source.levels.iter().any(|level| {
            let times = usize::try_from(level.room / EACH).unwrap_or(1);
            self.waiting.get(&level.tag).is_some_and(|waiting| *waiting >= times * WAITING_OF_ONE)
        })
    }

    fn count(&mut self, source: Source, record: AuditRecord, times: i64) {
        let minute = record.at.unix_seconds().div_euclid(60);
        let (organization, reason) = (record.organization, record.reason.clone());
        let mut counter = Counter { organization, reason, minute, source };
        if self.counted.len() >= COUNTERS && !self.counted.contains_key(&counter) {
            // There are few reasons, and so there are few of these counters.
            counter.organization = None;
            counter.source.levels.clear();
        }
        let organization = counter.organization;
        let first = || Counted { record: AuditRecord { organization, ..record }, times: 0 };
        self.counted.entry(counter).or_insert_with(first).times += times;
    }
}

impl Refusals {
    pub fn new() -> Self {
        Self { turns: [Semaphore::new(AT_ONCE), Semaphore::new(AT_ONCE)], state: Mutex::default() }
    }

    /// Every change under the lock is complete, so the state stays sound if a thread panics.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place to wait in, if there is one.
    fn enter<'a>(&'a self, source: &'a Source) -> Option<Place<'a>> {
        let mut state = self.state();
        if state.is_full(source) || *state.of_all(source.kind) >= WAITING_OF_ALL {
            return None;
        }
        *state.of_all(source.kind) += 1;
        for level in &source.levels {
            *state.waiting.entry(level.tag.clone()).or_default() += 1;
        }
        Some(Place { refusals: self, source })
    }

    /// A turn to write; `None` when none came in time.
    async fn turn(&self, kind: SourceKind) -> Option<SemaphorePermit<'_>> {
        let [networks, accounts] = &self.turns;
        let turns = match kind {
            SourceKind::Network => networks,
            SourceKind::Account => accounts,
        };
        timeout(PATIENCE, turns.acquire()).await.ok()?.ok()
    }
}

impl Core {
    /// Records a refusal from before anything was proven; a flood of them is only counted. The count is by the name
    /// that was guessed at, if there is one, and else by the network. An unknown name is treated like a known one,
    /// since the visitor's wait must not tell whether the name exists.
    pub(super) async fn record_anonymous_refusal(
        &self,
        network: &str,
        about: Option<&Named>,
        record: AuditRecord,
    ) -> Result<(), StoreError> {
        let source = match about {
            Some(named) => source_of_name(named),
            None => self.source_of_network(network),
        };
        let Some(_place) = self.refusals.enter(&source) else {
            self.refusals.state().count(source, record, 1);
            return Ok(());
        };
        let Some(_turn) = self.refusals.turn(source.kind).await else {
            self.refusals.state().count(source.clone(), record, 1);
            return Ok(());
        };
        let mut tx = self.database.write().await?;
        insert_anonymous_refusal(&mut tx, &record, &source).await?;
        tx.commit().await
    }

    /// Writes the refusals that were counted in memory. Those that cannot be written stay counted.
    pub async fn write_counted_refusals(&self) -> Result<(), StoreError> {
        let mut counted: Vec<(Source, Counted)> = {
            let counters = std::mem::take(&mut self.refusals.state().counted);
            counters.into_iter().map(|(counter, counted)| (counter.source, counted)).collect()
        };
        // Order matters: two transactions that lock the same counters lock them in the same order.
        counted.sort_by(|one, other| key_of(one).cmp(&key_of(other)));
        while !counted.is_empty() {
            let together = counted.split_off(counted.len().saturating_sub(WRITTEN_TOGETHER));
            if let Err(error) = self.write_counts(&together).await {
                let mut state = self.refusals.state();
                for (source, Counted { record, times }) in counted.into_iter().chain(together) {
                    state.count(source, record, times);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    async fn write_counts(&self, counted: &[(Source, Counted)]) -> Result<(), StoreError> {
        let mut tx = self.database.write().await?;
        let mut new = Vec::new();
        for (source, Counted { record, times }) in counted {
            if count_anonymous_refusals(&mut tx, record, source, *times).await? {
                new.push((record, source.kind));
            }
        }
        // Order matters: the counters of all sources come last, as they do for a single refusal.
        count_records_of_all(&mut tx, &new).await?;
        tx.commit().await
    }

    fn source_of_network(&self, network: &str) -> Source {
        let narrowest = Level { tag: self.network_tag(network), room: EACH };
        let wider = wider_networks(network).into_iter();
        let wider = wider.map(|(network, room)| Level { tag: self.network_tag(&network), room });
        let levels = std::iter::once(narrowest).chain(wider).collect();
        Source { levels, kind: SourceKind::Network, all: FROM_ALL_NETWORKS }
    }
}

/// The order in which counters are locked.
fn key_of((source, counted): &(Source, Counted)) -> (Option<&str>, Option<&str>) {
    (counted.record.reason.as_deref(), source.levels.first().map(|level| &*level.tag))
}

fn source_of_name(named: &Named) -> Source {
    let levels = vec![Level { tag: named.tag.clone(), room: EACH }];
    Source { levels, kind: SourceKind::Account, all: AT_ALL_ACCOUNTS }
}

/// The wider networks around an IPv6 /64, narrowest first, each with its room; none around an IPv4 address.
fn wider_networks(network: &str) -> Vec<(String, i64)> {
    let around = |(length, room)| Some((network_around(network, length)?, room));
    WIDER.into_iter().filter_map(around).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AuditId, Timestamp};

    fn source(tag: &str) -> Source {
        let levels = vec![Level { tag: tag.to_owned(), room: EACH }];
        Source { levels, kind: SourceKind::Network, all: FROM_ALL_NETWORKS }
    }

    fn record(reason: &str) -> AuditRecord {
        AuditRecord {
            target: None,
            id: AuditId::from_bytes([7; 16]),
            organization: Some(OrganizationId::from_bytes([1; 16])),
            at: Timestamp::from_unix_seconds(1_800_000_000),
            actor: None,
            action: "sign_in".to_owned(),
            succeeded: false,
            reason: Some(reason.to_owned()),
            receipt: None,
            connection: None,
            app: None,
            detail: None,
        }
    }

    #[test]
    fn an_ipv6_network_lies_in_a_56_and_a_48() {
        let around = wider_networks("2001:db8:1:abcd::/64");
        let expected = [("2001:db8:1:ab00::/56".to_owned(), 40), ("2001:db8:1::/48".to_owned(), 80)];
        assert_eq!(around, expected);
        assert!(wider_networks("192.0.2.1").is_empty());
    }

    #[test]
    fn one_source_and_all_together_may_wait_in_limited_numbers() {
        let refusals = Refusals::new();
        let crowd = source("crowd");
        let places: Vec<_> = (0..WAITING_OF_ONE).map(|_| refusals.enter(&crowd).unwrap()).collect();
        assert!(refusals.enter(&crowd).is_none());
        let other = source("other");
        assert!(refusals.enter(&other).is_some(), "another network is not kept out");
        // A customer with many networks has twice the places.
        let of_customer = |number: usize| {
            let wide = Level { tag: "wide".to_owned(), room: 2 * EACH };
            Source { levels: vec![Level { tag: format!("narrow {number}"), room: EACH }, wide], ..source("") }
        };
        let narrow: Vec<_> = (0..3 * WAITING_OF_ONE).map(of_customer).collect();
        let places_of_customer: Vec<_> = narrow.iter().map_while(|one| refusals.enter(one)).collect();
        assert_eq!(places_of_customer.len(), 2 * WAITING_OF_ONE);
        drop(places_of_customer);
        drop(places);
        assert!(refusals.enter(&crowd).is_some());
        let many: Vec<_> = (0..WAITING_OF_ALL).map(|number| source(&number.to_string())).collect();
        let places: Vec<_> = many.iter().map(|one| refusals.enter(one).unwrap()).collect();
        assert!(refusals.enter(&other).is_none());
        let at_account = Source { kind: SourceKind::Account, ..source("account") };
        assert!(refusals.enter(&at_account).is_some(), "noise keeps no guess at an account out");
        drop(places);
        assert!(refusals.state().waiting.is_empty());
        assert_eq!(refusals.state().waiting_of_all, [0, 0]);
    }

    #[test]
    fn the_counters_in_memory_are_limited_and_lose_nothing() {
        let refusals = Refusals::new();
        for number in 0..3 * COUNTERS {
            refusals.state().count(source(&number.to_string()), record("unknown_client"), 2);
        }
        let state = refusals.state();
        assert_eq!(state.counted.len(), COUNTERS + 1);
        let times: i64 = state.counted.values().map(|counted| counted.times).sum();
        assert_eq!(times, i64::try_from(6 * COUNTERS).unwrap());
        let beyond = state.counted.values().find(|counted| counted.record.organization.is_none()).unwrap();
        assert_eq!(beyond.times, i64::try_from(4 * COUNTERS).unwrap());
    }
}
