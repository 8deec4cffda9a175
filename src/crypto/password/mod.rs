//! Passwords that users choose: Argon2id (RFC 9106) with the parameters of OWASP, in PHC strings.
//!
//! Hashing is deliberately expensive, so it happens on a few threads of its own behind a short queue
//! ([`PasswordHasher`]), which no client can fill alone. A client that gets no place is told to come back. The rules
//! for passwords are not here, except that no password longer than [`MAX_PASSWORD_BYTES`] is hashed and none is ever
//! cut.

mod hasher;
mod phc;
mod queue;

pub use hasher::{HasherSettings, PasswordError, PasswordHasher, Place, Verdict};
pub use phc::{Cost, PhcError, check_phc};
pub use queue::Share;

/// The longest password that is hashed, in bytes of UTF-8.
pub const MAX_PASSWORD_BYTES: usize = 1_024;
