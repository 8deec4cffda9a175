//! `[keys]`: when signing keys change.

use std::time::Duration;

use crate::config::section::{Reader, Section, section};
use crate::protocol::document::Complaint;

section! {
    /// When the broker replaces its signing keys.
    pub struct Keys in "keys" {
        /// How long a key signs.
        key rotate_every: Duration = "90d";
        /// How long before it signs the next key is published, so that apps that cache keys know it in time.
        key publish_before: Duration = "1d";
    }
}

impl Section for Keys {
    fn check(&self, reader: &Reader<'_>) {
        if self.publish_before >= self.rotate_every {
            let complaint =
                Complaint::with_remedy("is not shorter than keys.rotate_every", "make it shorter");
            reader.refuse("publish_before", complaint);
        }
    }
}
