//! Everything that touches a key: signatures, sealing, keyed hashes, passwords, certificates, randomness.
//!
//! All of it is AWS-LC through `aws-lc-rs`, except Argon2id (`argon2`) and the shape of certificates
//! (`rcgen`). Nothing here knows a database or decides what a valid token means, and `private_file` alone touches
//! files; no token is ever made or checked with a symmetric key, and there is no code that could (RFC 8725, section 3.1).

pub mod certificate;
pub mod jws;
pub mod keys;
pub mod mac;
pub mod password;
pub mod private_file;
pub mod random;
pub mod seal;
pub mod secret_hash;

mod master;

pub use master::{MasterKey, MasterKeyError};

/// A primitive refused to work: a malformed private key, or a failure inside AWS-LC.
///
/// It deliberately says no more; the cause is never the other side's doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// A private key is malformed, of another kind than stated, or of an unsupported algorithm.
    #[error("the private key is not usable")]
    PrivateKey,
    /// The caller wants to set a header that the signer sets.
    #[error("the header is set by the signer")]
    ReservedHeader,
    /// The claims cannot be written as JSON.
    #[error("the claims cannot be written")]
    Claims,
    /// A date that a certificate cannot carry.
    #[error("the date cannot stand in a certificate")]
    Date,
    /// A certificate is malformed.
    #[error("the certificate is not usable")]
    Certificate,
    /// AWS-LC failed.
    #[error("a cryptographic operation failed")]
    Failed,
}

impl From<aws_lc_rs::error::Unspecified> for CryptoError {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self::Failed
    }
}

impl From<aws_lc_rs::error::KeyRejected> for CryptoError {
    fn from(_: aws_lc_rs::error::KeyRejected) -> Self {
        Self::PrivateKey
    }
}

/// Compares in a time that depends on the lengths alone.
pub fn constant_time_eq(left: &[u8], right: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(left, right).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_equal_bytes_are_equal() {
        assert!(constant_time_eq(b"", b"") && constant_time_eq(b"abc", b"abc"));
        assert!(
            !constant_time_eq(b"abc", b"abd")
                && !constant_time_eq(b"abc", b"ab")
                && !constant_time_eq(b"", b"a")
        );
    }
}
