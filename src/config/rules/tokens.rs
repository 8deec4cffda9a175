//! `[tokens]`: lifetimes of what apps get.

use std::time::Duration;

use crate::config::section::{Reader, Section, section};
use crate::protocol::document::Complaint;

section! {
    /// The lifetimes of codes and tokens for apps. An app may have its own.
    pub struct Tokens in "tokens" {
        /// Authorization codes, a minute at most.
        key code: Duration = "60s";
        /// Access tokens.
        key access: Duration = "5m";
        /// ID tokens.
        key id: Duration = "5m";
        /// A refresh token expires when it has not been used for this long.
        key refresh_idle: Duration = "30d";
        /// All refresh tokens of a sign-in expire this long after it, even if they are in use.
        key refresh_max: Duration = "180d";
    }
}

/// The longest life of an authorization code (RFC 6749, section 4.1.2, recommends ten minutes; the product says one).
const LONGEST_CODE: Duration = Duration::from_mins(1);

impl Section for Tokens {
    fn check(&self, reader: &Reader<'_>) {
        if self.code > LONGEST_CODE {
            reader.refuse("code", Complaint::with_remedy("is too long", "give at most \"60s\""));
        }
        if self.refresh_idle > self.refresh_max {
            let complaint = Complaint::with_remedy("is longer than tokens.refresh_max", "make it shorter");
            reader.refuse("refresh_idle", complaint);
        }
        let lifetimes = [
            ("code", self.code),
            ("access", self.access),
            ("id", self.id),
            ("refresh_idle", self.refresh_idle),
        ];
        for (key, lifetime) in lifetimes {
            if lifetime < Duration::from_secs(1) {
                reader.refuse(key, Complaint::with_remedy("is too short", "give at least \"1s\""));
            }
        }
    }
}
