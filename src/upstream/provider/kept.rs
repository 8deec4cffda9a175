//! The identity providers that are kept in memory between requests, limited in bytes, with a share for each
//! organization.
//!
//! The weight of an identity provider is the memory that its documents take. If an organization exceeds its share, its
//! least recently used connections are forgotten; if all together exceed the limit, those of any organization are. A
//! forgotten identity provider starts again from its saved documents, or fetches them. This is written here because
//! `moka` limits a cache as a whole and has no shares for owners.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::{Connection, ConnectionId, OrganizationId};

/// The most bytes that all identity providers may take.
const ALL: usize = 64 << 20;
/// The most bytes that the identity providers of one organization may take.
const OF_AN_ORGANIZATION: usize = 4 << 20;
/// The weight of an identity provider without documents: its slots, breaker and pool, in bytes.
const EMPTY: usize = 4 << 10;

/// The part of an identity provider that this cache needs.
pub(in crate::upstream) trait Keep {
    /// Whether it was made for the connection as it is now.
    fn is_for(&self, connection: &Connection) -> bool;
}

struct Entry<P> {
    provider: Arc<P>,
    organization: OrganizationId,
    weight: usize,
    /// When it was last used, as a count of all uses.
    used: u64,
}

struct State<P> {
    entries: HashMap<ConnectionId, Entry<P>>,
    by_organization: HashMap<OrganizationId, usize>,
    all: usize,
    uses: u64,
}

/// The identity providers that are kept.
pub(in crate::upstream) struct Kept<P> {
    state: Mutex<State<P>>,
    most: usize,
    most_of_an_organization: usize,
}

impl<P: Keep> Default for Kept<P> {
    fn default() -> Self {
        Self::bounded(ALL, OF_AN_ORGANIZATION)
    }
}

impl<P: Keep> Kept<P> {
    fn bounded(most: usize, most_of_an_organization: usize) -> Self {
        let state = State { entries: HashMap::new(), by_organization: HashMap::new(), all: 0, uses: 0 };
        Self { state: Mutex::new(state), most, most_of_an_organization }
    }

    /// Every change under the lock is complete, so a panic elsewhere leaves no inconsistent state.
    fn lock(&self) -> MutexGuard<'_, State<P>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The identity provider of a connection. `make` creates it if none is kept for the connection as it is now.
    pub fn get(&self, connection: &Connection, make: impl FnOnce() -> Arc<P>) -> Arc<P> {
        let mut state = self.lock();
        state.uses = state.uses.wrapping_add(1);
        let used = state.uses;
        if let Some(entry) = state.entries.get_mut(&connection.id)
            && entry.provider.is_for(connection)
        {
            entry.used = used;
            return Arc::clone(&entry.provider);
        }
        state.remove(connection.id);
        let provider = make();
        let organization = connection.organization;
        let entry = Entry { provider: Arc::clone(&provider), organization, weight: EMPTY, used };
        state.entries.insert(connection.id, entry);
        state.add(organization, EMPTY);
        self.bound(&mut state, organization);
        provider
    }

    /// Records the present weight of an identity provider's documents, in bytes. Nothing changes if it is no longer
    /// kept.
    pub fn weigh(&self, connection: ConnectionId, provider: &P, documents: usize) {
        let mut state = self.lock();
        let Some(entry) = state.entries.get_mut(&connection) else { return };
        if !std::ptr::eq(&raw const *entry.provider, provider) {
            return;
        }
        let (before, now) = (entry.weight, EMPTY.saturating_add(documents));
        entry.weight = now;
        let organization = entry.organization;
        state.subtract(organization, before);
        state.add(organization, now);
        self.bound(&mut state, organization);
    }

    /// Removes the identity provider of a connection.
    pub fn remove(&self, connection: ConnectionId) -> Option<Arc<P>> {
        self.lock().remove(connection)
    }

    /// How many bytes all identity providers take.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.lock().all
    }

    fn bound(&self, state: &mut State<P>, organization: OrganizationId) {
        while state.of(organization) > self.most_of_an_organization {
            let Some(oldest) = state.oldest(|entry| entry.organization == organization) else { break };
            state.remove(oldest);
        }
        while state.all > self.most {
            let Some(oldest) = state.oldest(|_| true) else { break };
            state.remove(oldest);
        }
    }
}

impl<P> State<P> {
    fn of(&self, organization: OrganizationId) -> usize {
        self.by_organization.get(&organization).copied().unwrap_or_default()
    }

    fn oldest(&self, which: impl Fn(&Entry<P>) -> bool) -> Option<ConnectionId> {
        let candidates = self.entries.iter().filter(|(_, entry)| which(entry));
        candidates.min_by_key(|(_, entry)| entry.used).map(|(id, _)| *id)
    }

    fn remove(&mut self, connection: ConnectionId) -> Option<Arc<P>> {
        let entry = self.entries.remove(&connection)?;
        self.subtract(entry.organization, entry.weight);
        Some(entry.provider)
    }

    fn add(&mut self, organization: OrganizationId, weight: usize) {
        self.all = self.all.saturating_add(weight);
        let of = self.by_organization.entry(organization).or_default();
        *of = of.saturating_add(weight);
    }

    fn subtract(&mut self, organization: OrganizationId, weight: usize) {
        self.all = self.all.saturating_sub(weight);
        if let Some(of) = self.by_organization.get_mut(&organization) {
            *of = of.saturating_sub(weight);
            if *of == 0 {
                self.by_organization.remove(&organization);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::testing::connection;

    /// An identity provider that knows the connection for which it was made.
    struct Fake(Connection);

    impl Keep for Fake {
        fn is_for(&self, connection: &Connection) -> bool {
            self.0 == *connection
        }
    }

    fn provider_of(connection: &Connection) -> Arc<Fake> {
        Arc::new(Fake(connection.clone()))
    }

    fn of(organization: u8, number: u8) -> Connection {
        Connection {
            id: ConnectionId::from_bytes([number; 16]),
            organization: OrganizationId::from_bytes([organization; 16]),
            ..connection("https://idp.test")
        }
    }

    /// Stores an identity provider with documents of this weight.
    fn keep(kept: &Kept<Fake>, connection: &Connection, documents: usize) {
        let provider = kept.get(connection, || provider_of(connection));
        kept.weigh(connection.id, &provider, documents);
    }

    fn numbers(kept: &Kept<Fake>) -> Vec<u8> {
        let state = kept.lock();
        let mut numbers: Vec<u8> = state.entries.keys().map(|id| id.into_bytes()[0]).collect();
        numbers.sort_unstable();
        let sum: usize = state.entries.values().map(|entry| entry.weight).sum();
        assert_eq!(state.all, sum);
        assert_eq!(state.by_organization.values().sum::<usize>(), sum);
        numbers
    }

    #[test]
    fn an_organization_that_keeps_more_than_its_share_loses_what_it_used_longest_ago() {
        let kept = Kept::bounded(1 << 20, 10 * EMPTY);
        keep(&kept, &of(2, 200), 0);
        for number in 1..=5 {
            keep(&kept, &of(1, number), EMPTY);
        }
        keep(&kept, &of(1, 1), EMPTY);
        assert_eq!(numbers(&kept), [1, 2, 3, 4, 5, 200]);
        keep(&kept, &of(1, 6), EMPTY);
        assert_eq!(numbers(&kept), [1, 3, 4, 5, 6, 200], "the first was used since");
        // One that alone exceeds the whole share is not kept.
        keep(&kept, &of(1, 3), 11 * EMPTY);
        assert_eq!(numbers(&kept), [200]);
    }

    #[test]
    fn all_together_are_bounded_whatever_organization_they_are_of() {
        let kept = Kept::bounded(10 * EMPTY, 10 * EMPTY);
        for number in 0..100 {
            keep(&kept, &of(number, number), EMPTY);
        }
        assert_eq!(numbers(&kept), [95, 96, 97, 98, 99]);
        kept.remove(ConnectionId::from_bytes([97; 16]));
        assert_eq!(numbers(&kept), [95, 96, 98, 99]);
        assert_eq!(kept.lock().by_organization.len(), 4);
    }

    #[test]
    fn a_provider_that_was_replaced_weighs_nothing() {
        let kept = Kept::default();
        let (before, now) = (of(1, 1), Connection { issuer: "https://new.test".to_owned(), ..of(1, 1) });
        let old = kept.get(&before, || provider_of(&before));
        keep(&kept, &now, 0);
        kept.weigh(before.id, &old, 1 << 20);
        assert_eq!(kept.lock().all, EMPTY);
    }
}
