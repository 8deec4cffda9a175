//! The memory of an emulated identity provider and the sample app: in the process, each entry until it expires, and
//! never without limit.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::Timestamp;

/// The most entries of one shelf. If there are more, the one that expires first is removed.
const CAPACITY: usize = 10_000;

/// Entries by an unguessable name, each with its expiry.
#[derive(Debug)]
pub(super) struct Shelf<T>(Mutex<Entries<T>>);

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()))
    }
}

impl<T: Clone> Shelf<T> {
    /// Stores `entry` for `lifetime`.
    pub(super) fn put(&self, name: String, entry: T, now: Timestamp, lifetime: Duration) {
        insert(&mut self.entries(), name, entry, now, lifetime);
    }

    /// A copy of the entry, until it expires.
    pub(super) fn get(&self, name: &str, now: Timestamp) -> Option<T> {
        self.entries().get(name).filter(|(end, _)| *end > now).map(|(_, entry)| entry.clone())
    }

    /// Removes the entry and returns it; only one of many callers gets it.
    pub(super) fn take(&self, name: &str, now: Timestamp) -> Option<T> {
        self.entries().remove(name).filter(|(end, _)| *end > now).map(|(_, entry)| entry)
    }

    /// Stores `entry` unless the name is taken. Returns whether it did.
    pub(super) fn claim(&self, name: &str, entry: T, now: Timestamp, lifetime: Duration) -> bool {
        let mut entries = self.entries();
        let taken = entries.get(name).is_some_and(|(end, _)| *end > now);
        if !taken {
            insert(&mut entries, name.to_owned(), entry, now, lifetime);
        }
        !taken
    }

    fn entries(&self) -> MutexGuard<'_, Entries<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Entries<T> = HashMap<String, (Timestamp, T)>;

fn insert<T>(entries: &mut Entries<T>, name: String, entry: T, now: Timestamp, lifetime: Duration) {
    if entries.len() >= CAPACITY {
        entries.retain(|_, (end, _)| *end > now);
    }
    if entries.len() >= CAPACITY {
        let soonest = entries.iter().min_by_key(|(_, (end, _))| *end).map(|(name, _)| name.clone());
        soonest.and_then(|name| entries.remove(&name));
    }
    entries.insert(name, (now.after(lifetime), entry));
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_700_000_000);

    #[test]
    fn an_entry_ends_with_its_lifetime() {
        let shelf = Shelf::default();
        shelf.put("a".to_owned(), 1, NOW, Duration::from_mins(1));
        assert_eq!(shelf.get("a", NOW.after(Duration::from_secs(59))), Some(1));
        assert_eq!(shelf.get("a", NOW.after(Duration::from_mins(1))), None);
        assert_eq!(shelf.take("a", NOW.after(Duration::from_mins(1))), None);
    }

    #[test]
    fn a_name_is_claimed_once_until_its_end() {
        let shelf = Shelf::default();
        let lifetime = Duration::from_mins(1);
        assert!(shelf.claim("a", (), NOW, lifetime));
        assert!(!shelf.claim("a", (), NOW, lifetime));
        assert!(shelf.claim("a", (), NOW.after(lifetime), lifetime));
    }

    #[test]
    fn an_entry_is_taken_once() {
        let shelf = Shelf::default();
        shelf.put("a".to_owned(), 1, NOW, Duration::from_mins(1));
        assert_eq!(shelf.take("a", NOW), Some(1));
        assert_eq!(shelf.take("a", NOW), None);
    }

    #[test]
    fn a_full_shelf_lets_the_entry_go_that_ends_first() {
        let shelf = Shelf::default();
        for number in 0..CAPACITY {
            let lifetime = Duration::from_secs(60 + number as u64);
            shelf.put(number.to_string(), number, NOW, lifetime);
        }
        shelf.put("last".to_owned(), 0, NOW, Duration::from_hours(24));
        assert_eq!(shelf.get("0", NOW), None);
        assert_eq!(shelf.get("1", NOW), Some(1));
        assert_eq!(shelf.entries().len(), CAPACITY);
    }
}
