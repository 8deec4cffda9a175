//! `[outbound]`: calls that the broker makes to others.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::section::{Section, section};

section! {
    /// Calls that the broker makes to others, identity providers above all.
    pub struct Outbound in "outbound" {
        /// Private networks that may be called; any other address that is not public is refused.
        key allow: Vec<IpNet> = "";
        /// A PEM file with certificate authorities to trust besides those of the system.
        optional extra_ca_file: PathBuf = "/etc/countersign/extra-ca.pem";
        /// How long a call may take, from the connection to the last byte.
        key timeout: Duration = "5s";
        /// How long the last good keys of an identity provider serve while new ones cannot be fetched.
        key jwks_max_stale: Duration = "24h";
    }
}

impl Section for Outbound {}
