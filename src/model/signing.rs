//! The signature algorithms that the broker makes or accepts, and the lifetime of its signing keys.

use super::Timestamp;
use super::value::words::word_enum;

word_enum! {
    /// An asymmetric JWS algorithm (RFC 7518, section 3.1; RFC 8037). `none` and HMAC are not supported.
    SigningAlg {
        /// RSASSA-PKCS1-v1_5 with SHA-256.
        RS256 = "RS256",
        /// RSASSA-PKCS1-v1_5 with SHA-384.
        RS384 = "RS384",
        /// RSASSA-PKCS1-v1_5 with SHA-512.
        RS512 = "RS512",
        /// RSASSA-PSS with SHA-256.
        PS256 = "PS256",
        /// RSASSA-PSS with SHA-384.
        PS384 = "PS384",
        /// RSASSA-PSS with SHA-512.
        PS512 = "PS512",
        /// ECDSA on P-256 with SHA-256.
        ES256 = "ES256",
        /// ECDSA on P-384 with SHA-384.
        ES384 = "ES384",
        /// Ed25519.
        EdDSA = "EdDSA",
    }
}

/// The stage of a signing key. The stages follow in this order, and a key never returns to an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyState {
    /// Published, so that apps know the key before its first token; does not sign yet.
    Published,
    /// Signs, and is published.
    Active,
    /// No longer signs; stays published while its tokens live.
    Retired,
    /// No longer published; still verifies `id_token_hint`s of sessions that can still be ended.
    VerifyOnly,
}

impl KeyState {
    /// Whether the key is in the JWKS.
    pub const fn is_published(self) -> bool {
        !matches!(self, Self::VerifyOnly)
    }
}

/// The times at which a signing key changes its stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyTimes {
    /// When it was created.
    pub created_at: Timestamp,
    /// When it begins to sign.
    pub signs_from: Timestamp,
    /// When it stops signing; `None` while it has no successor.
    pub signs_until: Option<Timestamp>,
    /// When it leaves the JWKS.
    pub published_until: Option<Timestamp>,
    /// When ID token hints signed by it are refused, too.
    pub verifies_until: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::super::value::words::UnknownWord;
    use super::*;

    #[test]
    fn every_algorithm_round_trips_through_its_name() {
        for alg in SigningAlg::ALL.iter().copied() {
            assert_eq!(alg.to_string().parse(), Ok(alg));
            assert_eq!(serde_json::from_value::<SigningAlg>(serde_json::json!(alg)).ok(), Some(alg));
        }
    }

    #[test]
    fn unsigned_symmetric_and_misspelled_algorithms_have_no_meaning() {
        for name in [
            "none", "None", "NONE", "nOnE", "", "HS256", "HS384", "HS512", "rs256", "RS256 ", "ES256K",
            "ES512", "RSA-OAEP", "dir", "Ed25519", "RS1",
        ] {
            assert_eq!(name.parse::<SigningAlg>(), Err(UnknownWord { allowed: SigningAlg::WORDS }), "{name}");
            assert!(serde_json::from_value::<SigningAlg>(serde_json::json!(name)).is_err(), "{name}");
        }
    }
}
