//! How the secrets of apps are stored and compared.
//!
//! The broker makes them from 256 random bits, so one SHA-256 protects them at rest as well as a slow hash would,
//! without slowing down token requests. A secret that an operator chooses must be as random; `apply` checks that.

use super::{constant_time_eq, random};
use crate::model::Secret;
use crate::protocol::base64url;

const SHA256_BYTES: usize = 32;

/// The form in which the database keeps a client secret: its SHA-256, base64url.
pub fn hash(secret: &Secret) -> String {
    random::hash_token(secret.expose())
}

/// Whether a text has the form of a result of [`hash`].
pub fn is_hash(text: &str) -> bool {
    base64url::decode(text).is_ok_and(|bytes| bytes.len() == SHA256_BYTES)
}

/// Whether `presented` is the secret behind `stored`. The time does not reveal how much of it is correct.
pub fn matches(presented: &Secret, stored: &str) -> bool {
    constant_time_eq(hash(presented).as_bytes(), stored.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_secret_matches() {
        let stored = hash(&Secret::new("s3cret"));
        assert!(matches(&Secret::new("s3cret"), &stored));
        for other in ["s3cre", "s3crett", "S3cret", "", &stored] {
            assert!(!matches(&Secret::new(other), &stored), "{other}");
        }
        assert!(!matches(&Secret::new("s3cret"), ""));
    }

    #[test]
    fn a_hash_is_known_by_its_shape() {
        let hash = hash(&Secret::new("s3cret"));
        assert!(is_hash(&hash));
        let shorter = hash.get(1..).unwrap_or_default();
        for other in
            ["", "s3cret", shorter, &format!("{hash}A"), &format!("{hash}="), &hash.replace(|_| true, "+")]
        {
            assert!(!is_hash(other), "{other}");
        }
    }
}
