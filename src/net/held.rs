//! What requests and their answers keep in memory, counted for each connection, for each network and in all.
//!
//! A client decides how fast it sends a request and how fast it takes the answer. Until then both stay here: the head and
//! the body of a request, and an answer of which HTTP/2 allows a hundred on one connection. What is counted is given back
//! when it is dropped ([`Charge`]), so nothing can be forgotten.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of one connection. A connection that holds nothing may hold one answer of any size.
const OF_CONNECTION: usize = 256 * 1_024;

/// Bytes of all connections of one network, and of one connection of a trusted proxy, which stands for many clients.
pub(super) const OF_NETWORK: usize = 4 * 1_024 * 1_024;

/// Bytes in all.
const IN_ALL: usize = 256 * 1_024 * 1_024;

/// What is held by all connections.
#[derive(Debug, Default)]
pub(super) struct Held {
    total: AtomicUsize,
    networks: Mutex<HashMap<IpAddr, Arc<AtomicUsize>>>,
}

/// What one connection holds.
#[derive(Debug)]
pub(super) struct Account {
    held: Arc<Held>,
    own: AtomicUsize,
    network: Option<(IpAddr, Arc<AtomicUsize>)>,
}

/// Which bound would be passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// The connection's own: its client does not take its answers.
    Connection,
    /// The network's, or that of all.
    Network,
}

impl Held {
    /// The account of a new connection; one without a `network` is a trusted proxy's.
    pub(super) fn open(self: &Arc<Self>, network: Option<IpAddr>) -> Arc<Account> {
        let network =
            network.map(|network| (network, Arc::clone(self.networks().entry(network).or_default())));
        Arc::new(Account { held: Arc::clone(self), own: AtomicUsize::new(0), network })
    }

    /// Bytes that are held in all.
    #[cfg(test)]
    pub(super) fn total(&self) -> usize {
        self.total.load(Ordering::Acquire)
    }

    fn networks(&self) -> MutexGuard<'_, HashMap<IpAddr, Arc<AtomicUsize>>> {
        self.networks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    /// A charge of nothing yet.
    pub(super) fn charge(self: &Arc<Self>) -> Charge {
        Charge { account: Arc::clone(self), bytes: 0 }
    }

    /// Counts `bytes` in every account, or in none.
    fn add(&self, bytes: usize) -> Result<(), Full> {
        if bytes > IN_ALL {
            return Err(Full::Network);
        }
        let limit = if self.network.is_some() { OF_CONNECTION } else { OF_NETWORK };
        let before = self.own.fetch_add(bytes, Ordering::AcqRel);
        if before > 0 && before.saturating_add(bytes) > limit {
            self.own.fetch_sub(bytes, Ordering::AcqRel);
            return Err(Full::Connection);
        }
        let of_network = self.network.as_ref().map(|(_, count)| (&**count, OF_NETWORK));
        let of_all = Some((&self.held.total, IN_ALL));
        let mut added: Vec<&AtomicUsize> = Vec::with_capacity(2);
        for (count, limit) in [of_network, of_all].into_iter().flatten() {
            added.push(count);
            if count.fetch_add(bytes, Ordering::AcqRel).saturating_add(bytes) > limit {
                for count in added {
                    count.fetch_sub(bytes, Ordering::AcqRel);
                }
                self.own.fetch_sub(bytes, Ordering::AcqRel);
                return Err(Full::Network);
            }
        }
        Ok(())
    }

    fn remove(&self, bytes: usize) {
        let of_network = self.network.as_ref().map(|(_, count)| &**count);
        for count in [Some(&self.own), of_network, Some(&self.held.total)].into_iter().flatten() {
            count.fetch_sub(bytes, Ordering::AcqRel);
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let Some((network, count)) = self.network.take() else { return };
        let mut networks = self.held.networks();
        drop(count);
        if networks.get(&network).is_some_and(|count| Arc::strong_count(count) == 1) {
            networks.remove(&network);
        }
    }
}

/// Bytes that are held; given back when dropped.
#[derive(Debug)]
pub(super) struct Charge {
    account: Arc<Account>,
    bytes: usize,
}

impl Charge {
    /// Holds so many more bytes.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        self.account.add(bytes)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Takes so many bytes of this charge for one of their own; all of them where there are fewer.
    pub(super) fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { account: Arc::clone(&self.account), bytes }
    }
}

/// A charge that a request and its body share.
#[derive(Debug, Clone)]
pub(super) struct SharedCharge(Arc<Mutex<Charge>>);

impl SharedCharge {
    /// Shares a charge.
    pub(super) fn new(charge: Charge) -> Self {
        Self(Arc::new(Mutex::new(charge)))
    }

    /// Holds so many more bytes.
    pub(super) fn grow(&self, bytes: usize) -> Result<(), Full> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).grow(bytes)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.remove(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::BROADCAST);

    fn hold(account: &Arc<Account>, bytes: usize) -> Result<Charge, Full> {
        let mut charge = account.charge();
        charge.grow(bytes).map(|()| charge)
    }

    #[test]
    fn a_connection_holds_so_much_or_one_answer() {
        let held = Arc::new(Held::default());
        let account = held.open(Some(A));
        let large = hold(&account, 1_000_000).unwrap();
        assert_eq!(hold(&account, 1).unwrap_err(), Full::Connection);
        drop(large);
        let _half = hold(&account, OF_CONNECTION / 2).unwrap();
        let second = hold(&account, OF_CONNECTION / 2).unwrap();
        assert_eq!(hold(&account, 1).unwrap_err(), Full::Connection);
        assert_eq!(held.total(), OF_CONNECTION, "what was refused is not counted");
        drop(second);
        hold(&account, 1).unwrap();
    }

    #[test]
    fn the_connections_of_a_network_share_a_bound_and_those_of_a_proxy_do_not() {
        let held = Arc::new(Held::default());
        let fill = |network| {
            let account = held.open(network);
            hold(&account, OF_CONNECTION).map(|charge| (charge, account))
        };
        let full: Vec<_> = (0..OF_NETWORK / OF_CONNECTION).map(|_| fill(Some(A)).unwrap()).collect();
        assert_eq!(fill(Some(A)).unwrap_err(), Full::Network);
        fill(Some(B)).unwrap();
        let of_proxies: Vec<_> = (0..100).map(|_| fill(None).unwrap()).collect();
        assert_eq!(held.total(), OF_CONNECTION * (full.len() + of_proxies.len()));
        let proxy = held.open(None);
        let _much = hold(&proxy, OF_NETWORK).unwrap();
        assert_eq!(hold(&proxy, 1).unwrap_err(), Full::Connection);
    }

    #[test]
    fn there_is_a_bound_for_all() {
        let held = Arc::new(Held::default());
        let accounts: Vec<_> = (0..IN_ALL / OF_NETWORK).map(|_| held.open(None)).collect();
        let _full: Vec<_> = accounts.iter().map(|account| hold(account, OF_NETWORK).unwrap()).collect();
        assert_eq!(hold(&held.open(Some(A)), 1).unwrap_err(), Full::Network);
    }

    #[test]
    fn what_is_split_is_counted_once_and_nothing_is_remembered_of_what_has_ended() {
        let held = Arc::new(Held::default());
        let (one, two) = (held.open(Some(A)), held.open(Some(A)));
        let mut whole = hold(&one, 100).unwrap();
        let part = whole.split(40);
        drop(whole);
        assert_eq!(held.total(), 40);
        drop((one, two));
        assert_eq!(held.networks().len(), 1, "the charge holds its account");
        drop(part);
        assert_eq!((held.total(), held.networks().len()), (0, 0));
    }
}
