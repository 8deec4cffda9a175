//! The broker's own signing keys, and the ring in which they rotate.
//!
//! A private key is kept parsed here, and leaves only as PKCS#8 to be sealed. AWS-LC generates keys with its own
//! generator, which a seeded `Random` cannot control.

mod ring;
mod rsa_der;
mod signing;

pub use ring::{KeyRing, RingError};
pub use signing::SigningKey;
