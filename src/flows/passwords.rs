//! What every check and every change of a password needs.

use crate::crypto::password::PasswordHasher;
use crate::policy::account::password::PasswordRules;

/// The hashing threads, and what new passwords must be like.
pub(in crate::flows) struct Passwords {
    pub(in crate::flows) hasher: PasswordHasher,
    pub(in crate::flows) rules: PasswordRules,
}
