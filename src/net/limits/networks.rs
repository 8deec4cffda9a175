//! The networks that count as one client: an IPv4 address, or an IPv6 network in its three usual sizes.

use std::net::{IpAddr, Ipv6Addr};

/// The sizes of IPv6 networks, and how many shares of one client each has. A host has a /64 to choose from (RFC 4291,
/// section 2.5.1), and a customer of a network provider a /56 or a /48 (RFC 6177).
const IPV6: [(u8, usize); 3] = [(64, 1), (56, 2), (48, 4)];

/// A network that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::net) struct Network {
    first: IpAddr,
    length: u8,
}

/// The networks of an address, narrowest first, and how many shares of one client each has.
pub(super) fn networks_of(address: IpAddr) -> Vec<(Network, usize)> {
    match address {
        IpAddr::V4(_) => vec![(Network { first: address, length: 32 }, 1)],
        IpAddr::V6(address) => IPV6
            .into_iter()
            .map(|(length, shares)| {
                let mask = u128::MAX << (128 - u32::from(length));
                let first = Ipv6Addr::from_bits(address.to_bits() & mask).into();
                (Network { first, length }, shares)
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_address_is_in_three_networks_and_an_ipv4_address_is_one() {
        let of = |text: &str| networks_of(text.parse().unwrap());
        assert_eq!(of("192.0.2.1").len(), 1);
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        let shared = |left: &str, right: &str| {
            let pairs = of(left).into_iter().zip(of(right));
            pairs.map(|(left, right)| left == right).collect::<Vec<_>>()
        };
        assert_eq!(shared("2001:db8::1", "2001:db8::2"), [true, true, true]);
        assert_eq!(shared("2001:db8::1", "2001:db8:0:1::1"), [false, true, true]);
        assert_eq!(shared("2001:db8::1", "2001:db8:0:100::1"), [false, false, true]);
        assert_eq!(shared("2001:db8::1", "2001:db8:1::1"), [false, false, false]);
        // A narrow and a wide network with the same first address are not the same.
        assert_eq!(of("2001:db8::1").iter().collect::<std::collections::HashSet<_>>().len(), 3);
    }
}
