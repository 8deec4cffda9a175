//! Passwords that people chose: Argon2id (RFC 9106) at the parameters of OWASP, in PHC strings.
//!
//! Hashing is meant to be expensive, so it happens on a few threads of its own with a short queue before them
//! ([`PasswordHasher`]), of which nobody gets all; whoever does not fit in is told to come back. What a password must look like is not
//! decided here, except that none longer than [`MAX_PASSWORD_BYTES`] is hashed and none is ever cut.

mod hasher;
mod phc;
mod queue;

pub use hasher::{HasherSettings, PasswordError, PasswordHasher, Place, Verdict};
pub use phc::{Cost, PhcError, check_phc};
pub use queue::Share;

/// The longest password that is hashed, in bytes of UTF-8.
pub const MAX_PASSWORD_BYTES: usize = 1_024;
