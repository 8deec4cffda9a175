//! The client's real address. `X-Forwarded-For` counts only if it comes from a proxy that the operator trusts.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

/// The header that proxies write. Each appends the address that it saw.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The client's address: that of the network peer, unless the peer is a trusted proxy. Then the list is read from its
/// end, as long as the hops are trusted proxies themselves. The first hop that is not is the client, and entries
/// before it are ignored. An entry that is not an address makes the network peer the client: a list that cannot be
/// read must not be trusted in part.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    if !is_trusted(peer, trusted) {
        return peer;
    }
    let mut client = peer;
    for value in headers.get_all(FORWARDED_FOR).iter().rev() {
        let Ok(text) = value.to_str() else { return peer };
        for hop in text.rsplit(',') {
            let Some(hop) = parse(hop.trim()) else { return peer };
            client = hop;
            if !is_trusted(hop, trusted) {
                return client;
            }
        }
    }
    client
}

/// Whether `address` is one of the operator's proxies.
pub(in crate::net) fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// An address, with or without a port, as different proxies write it.
fn parse(text: &str) -> Option<IpAddr> {
    let address = match text.parse::<IpAddr>() {
        Ok(address) => address,
        Err(_) => match text.parse::<SocketAddr>() {
            Ok(socket) => socket.ip(),
            Err(_) => text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()?,
        },
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(peer: &str, values: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(FORWARDED_FOR, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        client_address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn a_peer_that_is_no_trusted_proxy_is_the_client_whatever_it_writes() {
        assert_eq!(resolve("192.0.2.1", &["203.0.113.9"]), "192.0.2.1");
        assert_eq!(resolve("192.0.2.1", &["10.0.0.1", "a"]), "192.0.2.1");
    }

    #[test]
    fn the_last_untrusted_hop_is_the_client() {
        let table = [
            (&["203.0.113.9"][..], "203.0.113.9"),
            (&["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
            (&["1.1.1.1", "203.0.113.9"], "203.0.113.9"),
            (&["203.0.113.9, 10.1.1.1, fd00::2"], "203.0.113.9"),
            (&["203.0.113.9", "10.1.1.1"], "203.0.113.9"),
            (&["spoofed, 203.0.113.9"], "203.0.113.9"),
            (&["203.0.113.9:4711"], "203.0.113.9"),
            (&["[2001:db8::1]:4711"], "2001:db8::1"),
            (&["[2001:db8::1]"], "2001:db8::1"),
            (&["::ffff:203.0.113.9"], "203.0.113.9"),
        ];
        for (values, client) in table {
            assert_eq!(resolve("10.0.0.1", values), client, "{values:?}");
        }
    }

    #[test]
    fn when_every_hop_is_trusted_the_farthest_is_the_client() {
        assert_eq!(resolve("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
        assert_eq!(resolve("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn an_entry_that_is_not_an_address_falls_back_to_the_peer() {
        for value in [
            "a",
            "",
            "203.0.113.9, a",
            "203.0.113.9,",
            "203.0.113.9 10.0.0.1",
            "unknown",
            "_hidden",
            "\u{e9}",
            "010.0.0.1",
            "1.2.3",
        ] {
            assert_eq!(resolve("10.0.0.1", &[value]), "10.0.0.1", "{value}");
        }
    }
}
