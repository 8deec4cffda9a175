//! How many sockets are open: in total, and from one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use super::held::{Account, Held};

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
    by_address: HashMap<IpAddr, usize>,
}

/// A counted socket; counted off when dropped.
#[derive(Debug)]
pub(super) struct Socket {
    sockets: Arc<Sockets>,
    counted_as: Option<IpAddr>,
}

impl Sockets {
    /// At most `total`, and `per_address` from one address (IPv6: one /64), trusted proxies excepted.
    pub fn new(total: usize, per_address: usize) -> Arc<Self> {
        Arc::new(Self { total, per_address, open: Mutex::default(), held: Arc::default() })
    }

    /// Counts a socket of `address`, or refuses it. A proxy in front (`shared`) stands for many clients, so that only
    /// the total counts.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr, shared: bool) -> Option<Socket> {
        let counted_as = (!shared).then(|| network_of(address));
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.total >= self.total {
            return None;
        }
        if let Some(network) = counted_as {
            let count = open.by_address.entry(network).or_default();
            if *count >= self.per_address {
                return None;
            }
            *count += 1;
        }
        open.total += 1;
        Some(Socket { sockets: Arc::clone(self), counted_as })
    }
}

impl Socket {
    /// The account of what its connection holds in memory.
    pub(super) fn account(&self) -> Arc<Account> {
        self.sockets.held.open(self.counted_as)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let mut open = self.sockets.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.total = open.total.saturating_sub(1);
        let Some(network) = self.counted_as else { return };
        if let Some(count) = open.by_address.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                open.by_address.remove(&network);
            }
        }
    }
}

#[cfg(test)]
impl Sockets {
    /// Bytes that requests and answers hold in memory.
    pub(super) fn bytes_held(&self) -> usize {
        self.held.total()
    }
}

/// What counts as one address: an IPv6 host has a /64 to choose from (RFC 4291, section 2.5.1).
fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
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
        assert!(sockets.admit(address("2001:db8:0:1::1"), false).is_some());
        let proxied: Vec<_> = (0..5).map(|_| sockets.admit(address("10.0.0.1"), true)).collect();
        assert!(proxied.iter().all(Option::is_some));
    }

    #[test]
    fn nothing_is_remembered_of_closed_sockets() {
        let sockets = Sockets::new(10, 10);
        drop(sockets.admit(address("192.0.2.1"), false));
        let open = sockets.open.lock().unwrap();
        assert_eq!((open.total, open.by_address.len()), (0, 0));
    }
}
