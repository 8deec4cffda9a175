//! `[sessions]`: how long somebody stays signed in.

use std::time::Duration;

use crate::config::section::{Reader, Section, section};
use crate::protocol::document::Complaint;

section! {
    /// How long users stay signed in at the broker. An organization may set shorter times.
    pub struct Sessions in "sessions" {
        /// A session ends when it has not been used for this long.
        key idle: Duration = "12h";
        /// A session ends this long after the sign-in, even if it is in use.
        key max: Duration = "7d";
    }
}

impl Section for Sessions {
    fn check(&self, reader: &Reader<'_>) {
        if self.idle > self.max {
            reader.refuse("idle", Complaint::with_remedy("is longer than sessions.max", "make it shorter"));
        }
        if self.idle.is_zero() {
            reader.refuse("idle", Complaint::with_remedy("would end a session at once", "make it longer"));
        }
    }
}
