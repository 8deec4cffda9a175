//! `[server]`: the name that the broker goes by, and where it listens.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use url::Url;

use crate::config::section::{Section, section};
use crate::protocol::document::{Complaint, Setting};

section! {
    /// The broker's public address, and where it listens.
    pub struct Server in "server" {
        /// The address at which browsers and apps reach this broker: its origin and its issuer. `https` only, without a
        /// path. To change it later, you have to tell every app and every identity provider.
        key public_url: PublicUrl = "https://localhost:8443";
        /// The address and port for HTTPS.
        key listen: SocketAddr = "[::]:8443";
        /// The address and port for plain HTTP, which only redirects to `public_url`.
        optional http_listen: SocketAddr = "[::]:8080";
        /// The address and port of `/healthz`, `/readyz` and `/metrics`, in plain HTTP. Keep it private.
        key management_listen: SocketAddr = "127.0.0.1:9090";
        /// The networks of your proxies. The broker believes `X-Forwarded-For` from these, and ignores it from
        /// everybody else.
        key trusted_proxies: Vec<IpNet> = "";
        /// When you stop the broker, it first reports for this long that it is not ready, and serves as before.
        /// Meanwhile load balancers stop sending requests to it.
        key drain_notice: Duration = "2s";
        /// After that, requests that have begun may take this long.
        key drain_timeout: Duration = "30s";
    }
}

impl Section for Server {}

/// The origin under which the broker is reached; also its issuer (OpenID Connect Discovery 1.0, section 3).
#[derive(Clone, PartialEq, Eq)]
pub struct PublicUrl {
    url: Url,
    issuer: String,
}

impl PublicUrl {
    /// The URL.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The issuer identifier: the origin, without a slash at its end.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The host without a port: a name, or an address (IPv6 in brackets). Every `https` URL has one.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }
}

impl fmt::Debug for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.issuer)
    }
}

impl Setting for PublicUrl {
    fn from_text(text: &str) -> Result<Self, Complaint> {
        let refuse = |what: &str| {
            Complaint::with_remedy(
                format!("\"{text}\" {what}"),
                "write it like \"https://login.example.com\"",
            )
        };
        let url = Url::parse(text).map_err(|error| refuse(&format!("is not a URL ({error})")))?;
        if url.scheme() != "https" {
            return Err(refuse("is not https"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("holds a user name"));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("has more than scheme, host and port"));
        }
        let issuer = url.origin().ascii_serialization();
        Ok(Self { url, issuer })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_issuer_is_the_origin_without_a_slash() {
        for text in ["https://Login.example.com:443/", "https://login.example.com"] {
            let url = PublicUrl::from_text(text).unwrap();
            assert_eq!(url.issuer(), "https://login.example.com");
            assert_eq!(url.host(), "login.example.com");
        }
        let url = PublicUrl::from_text("https://[::1]:8443").unwrap();
        assert_eq!((url.issuer(), url.host()), ("https://[::1]:8443", "[::1]"));
    }

    #[test]
    fn anything_but_an_https_origin_is_refused() {
        let refused = [
            "http://a.test",
            "https://a.test/x",
            "https://a.test/?q",
            "https://a.test/#f",
            "https://u@a.test",
            "a.test",
            "",
        ];
        for text in refused {
            assert!(PublicUrl::from_text(text).is_err(), "{text}");
        }
    }
}
