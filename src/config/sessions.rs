//! `[sessions]`: how long somebody stays signed in.

use std::time::Duration;

use super::section::{Reader, Section, section};
use crate::protocol::document::Complaint;

section! {
    /// How long somebody stays signed in at the broker; an organization may be stricter.
    pub struct Sessions in "sessions" {
        /// A session that is not used for so long ends.
        key idle: Duration = "12h";
        /// A session ends so long after the sign-in, however much it is used.
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
