//! `[passwords]`: what passwords must be like, and what hashing may cost.

use super::section::{Reader, Section, section};
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
    /// What passwords must be like, and what hashing them may cost.
    pub struct Passwords in "passwords" {
        /// The rules for new passwords: `classic` (8 to 64 characters, upper and lower case and a digit, and by a
        /// mailed link none of the last three) or `nist` (15 or more, no composition rules).
        key policy: PasswordPolicy = "classic";
        /// Passwords hashed at once; absent: as many as there are processor cores.
        optional max_parallel: usize = "2";
        /// Passwords that may wait to be hashed; beyond, a sign-in is asked to come back. From four on, strangers and
        /// browsers in which somebody has signed in before leave each other a quarter; of what is there for strangers,
        /// a network alone takes half. Who waits for 20 s is asked to come back, too.
        key queue: usize = "64";
    }
}

impl Section for Passwords {
    fn check(&self, reader: &Reader<'_>) {
        if self.max_parallel == Some(0) {
            reader.refuse("max_parallel", Complaint::with_remedy("0 is too little", "give at least 1"));
        }
    }
}
