//! `[tls]`: the broker's certificates.

use std::path::PathBuf;

use crate::config::section::{Section, section};

section! {
    /// The broker's certificates.
    pub struct Tls in "tls" {
        /// The folder with pairs `NAME.crt` (a PEM chain) and `NAME.key`. The certificate says which host names a pair
        /// serves. `default.crt` serves clients that name no host, or an unknown one. The broker reads changed files
        /// without a restart.
        key certs_dir: PathBuf = "data/certs";
    }
}

impl Section for Tls {}
