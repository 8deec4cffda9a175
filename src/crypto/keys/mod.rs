//! This broker's own signing keys, and the ring in which they rotate.
//!
//! A private key lives here parsed, and leaves only as PKCS#8 on its way to be sealed. AWS-LC generates keys
//! with its own generator; a seeded `Random` cannot reach it.

mod ring;
mod rsa_der;
mod signing;

pub use ring::{KeyRing, RingError};
pub use signing::SigningKey;
