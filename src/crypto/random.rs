//! Randomness of the running broker, and the bearer tokens made from it.

use aws_lc_rs::digest;
use zeroize::Zeroizing;

use crate::model::{Random, Secret};
use crate::protocol::base64url;

/// The operating system's randomness through AWS-LC's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        if aws_lc_rs::rand::fill(bytes).is_err() {
            // Predictable bytes would be signed, sealed and sent; a process without randomness must not go
            // on.
            std::process::abort();
        }
    }
}

/// A fresh bearer token (code, refresh token, session id, client secret): 32 random bytes as base64url, 43
/// letters.
pub fn token(random: &dyn Random) -> Secret {
    let mut bytes = Zeroizing::new([0u8; 32]);
    random.fill(bytes.as_mut());
    Secret::new(base64url::encode(bytes))
}

/// What the database keeps of a token from [`token`]: its SHA-256 as base64url. A plain hash is enough, since
/// 256 random bits cannot be guessed; it is never enough for what a person chose.
pub fn hash_token(token: &str) -> String {
    base64url::encode(digest::digest(&digest::SHA256, token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::random::CountingRandom;

    #[test]
    fn a_token_is_32_bytes_of_the_given_randomness() {
        let token = token(&CountingRandom::default());
        assert_eq!(token.expose(), "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
    }

    #[test]
    fn the_system_gives_other_bytes_each_time() {
        assert_ne!(token(&SystemRandom).expose(), token(&SystemRandom).expose());
    }

    #[test]
    fn a_token_is_kept_as_its_sha256() {
        // FIPS 180-4, the example "abc".
        assert_eq!(hash_token("abc"), "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0");
    }
}
