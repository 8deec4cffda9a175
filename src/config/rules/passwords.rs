//! `[passwords]`: what passwords must be like, and what hashing may cost.

use crate::config::section::{Reader, Section, section};
use crate::protocol::document::Complaint;

crate::setting_enum! {
    /// The rules for new passwords.
    pub enum PasswordPolicy {
        /// 8 to 64 printable ASCII characters with an upper-case letter, a lower-case letter and a digit; for people who
        /// choose one themselves, none of the account's last three.
        Classic = "classic",
        /// 15 characters or more, no composition rules, Unicode, a blocklist.
        Nist = "nist",
    }
}

section! {
    /// The rules for passwords, and how much work goes into hashing them.
    pub struct Passwords in "passwords" {
        /// The rules for new passwords: `classic` (8 to 64 characters, with upper and lower case and a digit; a user
        /// who follows a mailed link cannot choose one of the last three) or `nist` (15 or more, no composition rules).
        key policy: PasswordPolicy = "classic";
        /// How many passwords are hashed at once. If absent, one for each processor core.
        optional max_parallel: usize = "2";
        /// How many passwords may wait to be hashed. When the queue is full, the broker asks further users to try again
        /// later. In a queue of four or more, a quarter is reserved for new browsers, and a quarter for browsers in
        /// which somebody has signed in before. One network may take half of what new browsers may take. A user who has
        /// waited for 20 s is asked to try again later, too.
        key queue: usize = "64";
    }
}

impl Section for Passwords {
    fn check(&self, reader: &Reader<'_>) {
        if self.max_parallel == Some(0) {
            reader.refuse("max_parallel", Complaint::with_remedy("0 is too small", "give at least 1"));
        }
    }
}
