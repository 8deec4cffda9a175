//! Listeners: TLS and SNI, limits, the client's real address, the redirect of plain HTTP, the shutdown.
//!
//! This room knows HTTP up to the request's host and body size, and nothing about the content of a request. A
//! [`Handler`], such as an axum router, responds. TLS is rustls on AWS-LC, HTTP is hyper (RFC 9110, 9112, 9113). Only
//! ALPN decides the version, so that it cannot be changed on the way.

mod activity;
mod drain;
mod limits;
mod listener;
mod management;
mod redirect;
mod request;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

pub use drain::Drain;
pub use limits::descriptors::sockets_within_descriptors;
pub use limits::sockets::Sockets;
pub use listener::{Listener, Transport};
pub use management::management;
pub use redirect::to_public_url;
pub use request::Handler;
pub use request::address::client_address;
pub use request::body::{BodyError, BoxError, RequestBody};
pub use tls::certificates::{CertificateError, Certificates};

/// The limits of a listener.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The most bytes of a request line and its headers together. More is answered with 431, or with 414 if the line
    /// alone has more. At least 8,192.
    pub header_bytes: usize,
    /// The most bytes of a request body. More is answered with 413.
    pub body_bytes: usize,
    /// The sockets that may be open at once. Listeners that share this count together, because the descriptors belong
    /// to the whole process.
    pub sockets: Arc<Sockets>,
    /// Networks whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// The time limits.
    pub timeouts: Timeouts,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            header_bytes: 16_384,
            body_bytes: 65_536,
            sockets: Sockets::new(20_000, 256),
            trusted_proxies: Vec::new(),
            timeouts: Timeouts::default(),
        }
    }
}

/// Time limits.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For the head of a request, from its first byte.
    pub header: Duration,
    /// For a request body, from the first wait for it; then the response is 408.
    pub body: Duration,
    /// Between requests, and while the client does not read its response.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let ten = Duration::from_secs(10);
        Self { handshake: ten, header: ten, body: ten, idle: Duration::from_mins(1) }
    }
}
