//! The sender of a request, as far as the listener knows.

use std::net::IpAddr;
use std::sync::Arc;

/// Where a request came from. Only the listener may put it into a request's extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The client's address: that of the network peer, or the one that a trusted proxy named.
    pub address: IpAddr,
    /// Whether the request came over the broker's own TLS.
    pub tls: bool,
    /// The host name of the TLS handshake (RFC 6066, section 3), in lower case.
    pub sni: Option<Arc<str>>,
}
