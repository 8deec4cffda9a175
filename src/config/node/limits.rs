//! `[limits]`: how much of each thing there may be.

use crate::config::section::{Reader, Section, section};
use crate::protocol::document::Complaint;

section! {
    /// How much of each thing is allowed. A request beyond a limit is refused with a clear message.
    pub struct Limits in "limits" {
        /// Bytes in a request line and its headers together.
        key header_bytes: usize = "16384";
        /// Bytes in a request body.
        key body_bytes: usize = "65536";
        /// Bytes in each of an app's `state`, `nonce` and `claims`.
        key state_bytes: usize = "2048";
        /// Network connections that are open at once.
        key sockets: usize = "20000";
        /// Network connections from one address that are open at once.
        key sockets_per_address: usize = "256";
        /// Connections to identity providers in an organization.
        key organization_connections: u32 = "25";
        /// Domains of an organization.
        key organization_domains: u32 = "100";
        /// Accounts of an organization.
        key organization_accounts: u32 = "10000";
        /// Apps of an organization.
        key organization_apps: u32 = "2000";
        /// Redirect URIs of an app.
        key app_redirect_uris: u32 = "100";
    }
}

impl Section for Limits {
    fn check(&self, reader: &Reader<'_>) {
        // The listener cannot read with less: one TLS record's worth of headers must fit.
        let least = [
            ("header_bytes", self.header_bytes, 8_192),
            ("sockets", self.sockets, 1),
            ("sockets_per_address", self.sockets_per_address, 1),
        ];
        for (key, value, least) in least {
            if value < least {
                reader.refuse(
                    key,
                    Complaint::with_remedy(format!("{value} is too small"), format!("give at least {least}")),
                );
            }
        }
    }
}
