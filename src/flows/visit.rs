//! Visits and answers: the facts that the use cases know about a browser, without HTTP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::model::{FlowId, Secret, SensitiveAction};
use crate::policy::sign_in::step::Stage;

/// The length of the IPv6 networks that internet providers give to their customers (RFC 6177).
const CUSTOMER: u8 = 56;

/// The facts that a browser's request brings.
#[derive(Clone)]
pub struct Visit {
    /// Its address, as trusted proxies report it.
    pub address: IpAddr,
    /// Its `User-Agent`, cut to 200 characters.
    pub user_agent: String,
    /// The session cookie's token.
    pub session: Option<Secret>,
    /// The sealed list of accounts that were used in this browser.
    pub known: Option<String>,
    /// The flow cookies: id and sealed value.
    pub flows: Vec<(FlowId, String)>,
}

impl Visit {
    /// The network of the address: an IPv4 address itself, the /64 of an IPv6 address.
    pub fn network(&self) -> String {
        match self.address.to_canonical() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        }
    }

    /// The network of one customer of an internet provider, for counters that must not start again in each /64: an IPv4
    /// address itself, the /56 of an IPv6 address.
    pub fn customer_network(&self) -> String {
        customer_network(&self.network())
    }

    /// A visit from this machine without a user, for commands.
    pub fn local() -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            user_agent: String::new(),
            session: None,
            known: None,
            flows: Vec::new(),
        }
    }
}

/// The wider network around an IPv6 /64 as [`Visit::network`] names it; `None` for an IPv4 address.
pub(super) fn network_around(network: &str, length: u8) -> Option<String> {
    let bits = network.strip_suffix("/64")?.parse::<Ipv6Addr>().ok()?.to_bits();
    let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
    Some(format!("{}/{length}", Ipv6Addr::from_bits(bits & mask)))
}

/// The same as [`Visit::customer_network`], for a network that [`Visit::network`] named.
pub(super) fn customer_network(network: &str) -> String {
    network_around(network, CUSTOMER).unwrap_or_else(|| network.to_owned())
}

/// A change to the browser's cookies.
#[derive(Clone)]
pub enum CookieChange {
    /// Keep a flow.
    SetFlow(FlowId, String),
    /// Forget a flow.
    ClearFlow(FlowId),
    /// Keep a session.
    SetSession(Secret),
    /// Forget the session.
    ClearSession,
    /// Remember the accounts that were used here.
    SetKnown(String),
}

/// Where the browser goes next.
#[derive(Clone, PartialEq, Eq)]
pub enum NextPage {
    /// The sign-in page of a flow.
    SignIn(String),
    /// The page on which one of several connections is chosen; the name that leads to them, if one was given.
    Choose(String, Option<String>),
    /// An identity provider.
    Upstream(String),
    /// The page of a stage at which an interaction waits, by its handle.
    Stage(Stage, String),
    /// An app.
    App(String),
    /// The profile page.
    Account,
    /// The page of a sensitive action.
    Sensitive(SensitiveAction),
    /// The page on which a mailed code is entered, on the way to a sensitive action.
    MailCode(SensitiveAction),
    /// The page that says that the user is signed out; the client id of the app that sent the user, if known.
    SignedOut(Option<String>),
}

/// The answer of a use case to a browser.
#[derive(Clone)]
pub struct Answer {
    /// Where the browser goes next.
    pub next: NextPage,
    /// The changes to its cookies.
    pub cookies: Vec<CookieChange>,
}

impl Answer {
    /// An answer without changes to cookies.
    pub const fn to(next: NextPage) -> Self {
        Self { next, cookies: Vec::new() }
    }

    /// The same answer, with further changes to cookies.
    #[must_use]
    pub fn with_all(self, changes: impl IntoIterator<Item = CookieChange>) -> Self {
        changes.into_iter().fold(self, Self::with)
    }

    /// The same answer, with a further change to cookies.
    #[must_use]
    pub fn with(mut self, change: CookieChange) -> Self {
        self.cookies.push(change);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_host_cannot_change_its_network_within_its_64() {
        let network = |text: &str| Visit { address: text.parse().unwrap(), ..Visit::local() }.network();
        assert_eq!(network("2001:db8:1:2:3::1"), network("2001:db8:1:2::ffff"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        let customer = |text: &str| customer_network(&network(text));
        assert_eq!(customer("2001:db8:1:2::1"), "2001:db8:1::/56");
        assert_eq!(customer("2001:db8:1:2ff::1"), "2001:db8:1:200::/56");
        assert_eq!(customer("192.0.2.1"), "192.0.2.1");
        assert_eq!(network_around("2001:db8:1:abcd::/64", 48).as_deref(), Some("2001:db8:1::/48"));
    }
}
