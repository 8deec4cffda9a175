//! The signature algorithms that the broker makes or accepts.

use super::words::words;

words! {
    /// An asymmetric JWS algorithm (RFC 7518, section 3.1; RFC 8037). `none` and HMAC do not exist here.
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

#[cfg(test)]
mod tests {
    use super::super::words::UnknownWord;
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
