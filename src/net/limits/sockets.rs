//! How many sockets are open: in total, and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::held::{Budget, Held};
use super::networks::{Network, networks_of};

/// Counts open sockets and refuses those beyond the limits.
#[derive(Debug)]
pub struct Sockets {
    total: usize,
    per_address: usize,
    open: Mutex<Open>,
    held: Arc<Held>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_network: HashMap<Network, usize>,
}

/// A counted socket. It is no longer counted once this is dropped.
#[derive(Debug)]
pub(in crate::net) struct Socket {
    sockets: Arc<Sockets>,
    /// The networks in which it is counted, each with its number of shares.
    counted_in: Vec<(Network, usize)>,
}

impl Sockets {
    /// Allows at most `total` sockets, and `per_address` from one address (IPv6: one /64; twice as many from a /56,
    /// four times from a /48). Only `total` applies to trusted proxies.
    pub fn new(total: usize, per_address: usize) -> Arc<Self> {
        Arc::new(Self { total, per_address, open: Mutex::default(), held: Arc::default() })
    }

    /// Counts a socket from `address`, or refuses it. A proxy in front (`shared`) stands for many clients, so only the
    /// total counts.
    pub(in crate::net) fn admit(self: &Arc<Self>, address: IpAddr, shared: bool) -> Option<Socket> {
        let counted_in = if shared { Vec::new() } else { networks_of(address) };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |(network, shares): &(Network, usize)| {
            open.by_network.get(network).is_some_and(|count| *count >= self.per_address * shares)
        };
        if open.total >= self.total || counted_in.iter().any(is_full) {
            return None;
        }
        for (network, _) in &counted_in {
            *open.by_network.entry(*network).or_default() += 1;
        }
        open.total += 1;
        Some(Socket { sockets: Arc::clone(self), counted_in })
    }
}

impl Socket {
    /// The budget for the memory of its connection.
    pub(in crate::net) fn account(&self) -> Arc<Budget> {
        self.sockets.held.open(&self.counted_in)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let mut open = self.sockets.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.total = open.total.saturating_sub(1);
        for (network, _) in &self.counted_in {
            if let Some(count) = open.by_network.get_mut(network) {
                *count -= 1;
                if *count == 0 {
                    open.by_network.remove(network);
                }
            }
        }
    }
}

#[cfg(test)]
impl Sockets {
    /// How many bytes requests and responses hold in memory.
    pub(in crate::net) fn bytes_held(&self) -> usize {
        self.held.total()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_limits_hold_per_address_and_in_total_and_free_up_again() {
        let sockets = Sockets::new(3, 2);
        let a = address("192.0.2.1");
        let first = sockets.admit(a, false).unwrap();
        let _second = sockets.admit(a, false).unwrap();
        assert!(sockets.admit(a, false).is_none());
        let _other = sockets.admit(address("192.0.2.2"), false).unwrap();
        assert!(sockets.admit(address("192.0.2.3"), false).is_none(), "the total");
        drop(first);
        assert!(sockets.admit(a, false).is_some());
    }

    #[test]
    fn a_v6_network_counts_as_one_address_and_a_proxy_only_in_total() {
        let sockets = Sockets::new(10, 1);
        let _one = sockets.admit(address("2001:db8::1"), false).unwrap();
        assert!(sockets.admit(address("2001:db8::2"), false).is_none());
        let _second = sockets.admit(address("2001:db8:0:1::1"), false).unwrap();
        // A customer with 256 networks has two shares, and one with 65,536 has four.
        assert!(sockets.admit(address("2001:db8:0:2::1"), false).is_none());
        let _other_56 = sockets.admit(address("2001:db8:0:100::1"), false).unwrap();
        let proxied: Vec<_> = (0..5).map(|_| sockets.admit(address("10.0.0.1"), true)).collect();
        assert!(proxied.iter().all(Option::is_some));
    }

    #[test]
    fn nothing_is_remembered_of_closed_sockets() {
        let sockets = Sockets::new(10, 10);
        drop(sockets.admit(address("192.0.2.1"), false));
        let open = sockets.open.lock().unwrap();
        assert_eq!((open.total, open.by_network.len()), (0, 0));
    }
}
