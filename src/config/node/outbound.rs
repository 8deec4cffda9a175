//! `[outbound]`: calls that the broker makes to others.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::config::section::{Section, section};

section! {
    /// Calls that the broker makes to other servers, mainly to identity providers.
    pub struct Outbound in "outbound" {
        /// The private networks that the broker may call. It refuses every other address that is not public.
        key allow: Vec<IpNet> = "";
        /// A PEM file with certificate authorities to trust in addition to those of the system.
        optional extra_ca_file: PathBuf = "/etc/countersign/extra-ca.pem";
        /// How long a call may take, from connecting to the last byte.
        key timeout: Duration = "5s";
        /// How long the broker uses the last good keys of an identity provider while it cannot fetch new ones.
        key jwks_max_stale: Duration = "24h";
    }
}

impl Section for Outbound {}
