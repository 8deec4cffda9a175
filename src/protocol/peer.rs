//! Who sent a request, as the listener knows it.

use std::net::IpAddr;
use std::sync::Arc;

/// Where a request came from. The listener puts it into each request's extensions; nothing else may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The client's address: the network peer's, or the one that a trusted proxy named.
    pub address: IpAddr,
    /// Whether the request came over our own TLS.
    pub tls: bool,
    /// The host name of the TLS handshake (RFC 6066, section 3), in lower case.
    pub sni: Option<Arc<str>>,
}
