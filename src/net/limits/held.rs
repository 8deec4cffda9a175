//! The memory that requests and their responses take, counted per connection, per network and in total.
//!
//! A client decides how fast it sends a request and how fast it reads the response. Until then, the broker keeps both:
//! the head and the body of a request, and a response, of which HTTP/2 allows a hundred on one connection. A
//! [`Charge`] gives back what it counts when it is dropped, so none can be forgotten.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::networks::Network;

/// The most bytes for one connection. A connection that holds nothing may hold one response of any size.
const OF_CONNECTION: usize = 256 * 1_024;

/// The most bytes for all connections of one client's network, and for one connection of a trusted proxy, which stands
/// for many clients. Wider networks have several such shares.
pub(in crate::net) const OF_NETWORK: usize = 4 * 1_024 * 1_024;

/// The most bytes in total.
const IN_ALL: usize = 256 * 1_024 * 1_024;

/// The memory that all connections hold.
#[derive(Debug, Default)]
pub(in crate::net) struct Held {
    total: AtomicUsize,
    networks: Mutex<HashMap<Network, Arc<AtomicUsize>>>,
}

/// The memory that one connection holds.
#[derive(Debug)]
pub(in crate::net) struct Budget {
    held: Arc<Held>,
    own: AtomicUsize,
    networks: Vec<Share>,
}

/// The memory that the connections of one network hold, and their limit.
#[derive(Debug)]
struct Share {
    network: Network,
    count: Arc<AtomicUsize>,
    limit: usize,
}

/// Which limit would be exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::net) enum Full {
    /// That of the connection: its client does not read its responses.
    Connection,
    /// That of the network, or the total.
    Network,
}

impl Held {
    /// The budget of a new connection in these networks, each with its number of shares. A connection without networks
    /// belongs to a trusted proxy.
    pub(super) fn open(self: &Arc<Self>, networks: &[(Network, usize)]) -> Arc<Budget> {
        let mut known = self.networks();
        let share = |(network, shares): &(Network, usize)| Share {
            network: *network,
            count: Arc::clone(known.entry(*network).or_default()),
            limit: OF_NETWORK * shares,
        };
        let networks = networks.iter().map(share).collect();
        Arc::new(Budget { held: Arc::clone(self), own: AtomicUsize::new(0), networks })
    }

    /// How many bytes are held in total.
    #[cfg(test)]
    pub(super) fn total(&self) -> usize {
        self.total.load(Ordering::Acquire)
    }

    fn networks(&self) -> MutexGuard<'_, HashMap<Network, Arc<AtomicUsize>>> {
        self.networks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Budget {
    /// A charge of zero bytes.
    pub(in crate::net) fn charge(self: &Arc<Self>) -> Charge {
        Charge { account: Arc::clone(self), own: 0, shared: 0 }
    }

    /// Counts `bytes` for the connection only. The connection of a trusted proxy stands for many clients and is not
    /// cut; its requests are told that there is no room.
    fn add_own(&self, bytes: usize) -> Result<(), Full> {
        let is_proxy = self.networks.is_empty();
        let limit = if is_proxy { OF_NETWORK } else { OF_CONNECTION };
        let before = self.own.fetch_add(bytes, Ordering::AcqRel);
        if before > 0 && before.saturating_add(bytes) > limit {
            self.own.fetch_sub(bytes, Ordering::AcqRel);
            return Err(if is_proxy { Full::Network } else { Full::Connection });
        }
        Ok(())
    }

    /// Counts `bytes` for the networks and the total, or for none of them.
    fn add_shared(&self, bytes: usize) -> Result<(), Full> {
        if bytes > IN_ALL {
            return Err(Full::Network);
        }
        for (at, (count, limit)) in self.shared().enumerate() {
            if count.fetch_add(bytes, Ordering::AcqRel).saturating_add(bytes) > limit {
                for (count, _) in self.shared().take(at + 1) {
                    count.fetch_sub(bytes, Ordering::AcqRel);
                }
                return Err(Full::Network);
            }
        }
        Ok(())
    }

    fn remove_shared(&self, bytes: usize) {
        for (count, _) in self.shared() {
            count.fetch_sub(bytes, Ordering::AcqRel);
        }
    }

    /// The counts of the networks and the total, each with its limit.
    fn shared(&self) -> impl Iterator<Item = (&AtomicUsize, usize)> {
        let of_networks = self.networks.iter().map(|share| (&*share.count, share.limit));
        of_networks.chain([(&self.held.total, IN_ALL)])
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        let mut networks = self.held.networks();
        for Share { network, count, .. } in self.networks.drain(..) {
            drop(count);
            if networks.get(&network).is_some_and(|count| Arc::strong_count(count) == 1) {
                networks.remove(&network);
            }
        }
    }
}

/// Bytes that are held. They are given back when this is dropped.
#[derive(Debug)]
pub(in crate::net) struct Charge {
    account: Arc<Budget>,
    /// The bytes that the connection is charged with.
    own: usize,
    /// The bytes that its networks and the total are charged with.
    shared: usize,
}

impl Charge {
    /// Charges this many more bytes.
    pub(in crate::net) fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        self.account.add_own(bytes)?;
        self.own += bytes;
        self.account.add_shared(bytes)?;
        self.shared += bytes;
        Ok(())
    }

    /// Reserves room for a response before the request is served, so that other connections cannot take it in the
    /// meantime. A response must not be lost after its request was carried out.
    pub(in crate::net) fn reserve(&mut self, bytes: usize) -> Result<(), Full> {
        self.account.add_shared(bytes)?;
        self.shared += bytes;
        Ok(())
    }

    /// Charges a response of this many bytes to the reserved room, and more if it is longer.
    pub(in crate::net) fn settle(&mut self, bytes: usize) -> Result<(), Full> {
        self.account.add_own(bytes)?;
        self.own += bytes;
        match bytes.checked_sub(self.shared) {
            Some(more) => self.account.add_shared(more)?,
            None => self.account.remove_shared(self.shared - bytes),
        }
        self.shared = bytes;
        Ok(())
    }

    /// Moves this many bytes to a charge of their own; all of them if there are fewer.
    pub(in crate::net) fn split(&mut self, bytes: usize) -> Self {
        let (own, shared) = (bytes.min(self.own), bytes.min(self.shared));
        self.own -= own;
        self.shared -= shared;
        Self { account: Arc::clone(&self.account), own, shared }
    }
}

/// A charge that a request and its body share.
#[derive(Debug, Clone)]
pub(in crate::net) struct SharedCharge(Arc<Mutex<Charge>>);

impl SharedCharge {
    /// Shares a charge.
    pub(in crate::net) fn new(charge: Charge) -> Self {
        Self(Arc::new(Mutex::new(charge)))
    }

    /// Charges this many more bytes.
    pub(in crate::net) fn grow(&self, bytes: usize) -> Result<(), Full> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).grow(bytes)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.own.fetch_sub(self.own, Ordering::AcqRel);
        self.account.remove_shared(self.shared);
    }
}

#[cfg(test)]
mod tests {
    use super::super::networks::networks_of;
    use super::*;

    const A: &str = "127.0.0.1";
    const B: &str = "255.255.255.255";

    fn open(held: &Arc<Held>, address: &str) -> Arc<Budget> {
        held.open(&networks_of(address.parse().unwrap()))
    }

    fn hold(account: &Arc<Budget>, bytes: usize) -> Result<Charge, Full> {
        let mut charge = account.charge();
        charge.grow(bytes).map(|()| charge)
    }

    #[test]
    fn a_connection_holds_so_much_or_one_answer() {
        let held = Arc::new(Held::default());
        let account = open(&held, A);
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
        let fill = |account: Arc<Budget>| hold(&account, OF_CONNECTION).map(|charge| (charge, account));
        let full: Vec<_> = (0..OF_NETWORK / OF_CONNECTION).map(|_| fill(open(&held, A)).unwrap()).collect();
        assert_eq!(fill(open(&held, A)).unwrap_err(), Full::Network);
        fill(open(&held, B)).unwrap();
        let of_proxies: Vec<_> = (0..100).map(|_| fill(held.open(&[])).unwrap()).collect();
        assert_eq!(held.total(), OF_CONNECTION * (full.len() + of_proxies.len()));
        let proxy = held.open(&[]);
        let _much = hold(&proxy, OF_NETWORK).unwrap();
        assert_eq!(hold(&proxy, 1).unwrap_err(), Full::Network, "the connection of a proxy is not cut");
    }

    #[test]
    fn a_client_with_many_ipv6_networks_has_a_few_shares() {
        let held = Arc::new(Held::default());
        let fill = |subnet: usize| {
            let account = open(&held, &format!("2001:db8:0:{subnet:x}::1"));
            let charges: Vec<_> = (0..OF_NETWORK / OF_CONNECTION)
                .map_while(|_| {
                    let account = open(&held, &format!("2001:db8:0:{subnet:x}::2"));
                    hold(&account, OF_CONNECTION).ok()
                })
                .collect();
            (charges.len() * OF_CONNECTION, charges, account)
        };
        let of_a_56: Vec<_> = (0..5).map(fill).collect();
        assert_eq!(of_a_56.iter().map(|(bytes, ..)| bytes).sum::<usize>(), 2 * OF_NETWORK);
        let of_a_48: Vec<_> = (1..6).map(|number| fill(number << 8)).collect();
        assert_eq!(of_a_48.iter().map(|(bytes, ..)| bytes).sum::<usize>(), 2 * OF_NETWORK);
    }

    #[test]
    fn neighbours_do_not_take_the_room_that_was_kept_for_an_answer() {
        let held = Arc::new(Held::default());
        let mut answer = open(&held, A).charge();
        answer.reserve(1_000).unwrap();
        let fill = || (0..).map_while(|_| hold(&open(&held, A), OF_CONNECTION - 1_000).ok());
        let neighbours: Vec<_> = fill().collect();
        let rest: Vec<_> = (0..).map_while(|_| hold(&open(&held, A), 100).ok()).collect();
        assert!(held.total() > OF_NETWORK - 100);
        answer.settle(900).unwrap();
        assert_eq!(answer.split(400).shared, 400);
        drop((neighbours, rest));
        assert_eq!(held.total(), 500);
    }

    #[test]
    fn there_is_a_bound_for_all() {
        let held = Arc::new(Held::default());
        let accounts: Vec<_> = (0..IN_ALL / OF_NETWORK).map(|_| held.open(&[])).collect();
        let _full: Vec<_> = accounts.iter().map(|account| hold(account, OF_NETWORK).unwrap()).collect();
        assert_eq!(hold(&open(&held, A), 1).unwrap_err(), Full::Network);
    }

    #[test]
    fn what_is_split_is_counted_once_and_nothing_is_remembered_of_what_has_ended() {
        let held = Arc::new(Held::default());
        let (one, two) = (open(&held, A), open(&held, A));
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
