//! The hasher and the rules that every check and change of a password needs.

use crate::crypto::password::PasswordHasher;
use crate::policy::account::password::PasswordRules;

/// The hashing threads, and the rules for new passwords.
pub(in crate::flows) struct Passwords {
    pub(in crate::flows) hasher: PasswordHasher,
    pub(in crate::flows) rules: PasswordRules,
}
