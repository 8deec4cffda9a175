//! Everything that uses a key: signatures, sealing, keyed hashes, passwords, certificates, randomness.
//!
//! AWS-LC does all of it, through `aws-lc-rs`, except Argon2id (`argon2`) and the structure of certificates (`rcgen`).
//! Nothing here knows a database or decides what a valid token means, and only `private_file` uses files. No token is
//! ever made or checked with a symmetric key, and there is no code that could (RFC 8725, section 3.1).

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

/// An operation failed: a private key is malformed, or AWS-LC has failed.
///
/// It deliberately says no more; the other side never causes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// The private key is malformed, of another kind than stated, or of an unsupported algorithm.
    #[error("the private key is not usable")]
    PrivateKey,
    /// The caller wants to set a header that the signer sets.
    #[error("the header is set by the signer")]
    ReservedHeader,
    /// The claims cannot be written as JSON.
    #[error("the claims cannot be written")]
    Claims,
    /// A certificate cannot express this date.
    #[error("a certificate cannot express the date")]
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

/// Whether two byte strings are equal. The time depends only on their lengths.
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
