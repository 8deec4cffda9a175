//! The randomness of the running broker, and the bearer tokens made from it.

use aws_lc_rs::digest;
use zeroize::Zeroizing;

use crate::model::{Random, Secret};
use crate::protocol::base64url;

/// The operating system's randomness, through AWS-LC's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        if aws_lc_rs::rand::fill(bytes).is_err() {
            // Predictable bytes would be signed, sealed and sent, so a process without randomness must stop.
            std::process::abort();
        }
    }
}

/// A new bearer token (code, refresh token, session id, client secret): 32 random bytes, base64url, 43 characters.
pub fn token(random: &dyn Random) -> Secret {
    let mut bytes = Zeroizing::new([0u8; 32]);
    random.fill(bytes.as_mut());
    Secret::new(base64url::encode(bytes))
}

/// A code of `count` decimal digits, all equally likely, for users to read and enter.
pub fn digits(random: &dyn Random, count: usize) -> Secret {
    let mut code = Zeroizing::new(String::with_capacity(count));
    let mut byte = [0u8; 1];
    while code.len() < count {
        random.fill(&mut byte);
        // 250 and above would make some digits more likely.
        if byte[0] < 250 {
            code.push(char::from(b'0' + byte[0] % 10));
        }
    }
    Secret::new(&*code)
}

/// The form in which the database keeps a token from [`token`]: its SHA-256, base64url. A plain hash is enough, since
/// 256 random bits cannot be guessed. It is never enough for what a user chose.
pub fn hash_token(token: &str) -> String {
    base64url::encode(digest::digest(&digest::SHA256, token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::value::random::CountingRandom;

    #[test]
    fn a_token_is_32_bytes_of_the_given_randomness() {
        let token = token(&CountingRandom::default());
        assert_eq!(token.expose(), "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
    }

    #[test]
    fn a_code_has_its_digits_and_skips_bytes_that_would_favour_some() {
        struct Falling(std::sync::atomic::AtomicU8);
        impl Random for Falling {
            fn fill(&self, bytes: &mut [u8]) {
                bytes.fill(self.0.fetch_sub(1, std::sync::atomic::Ordering::Relaxed));
            }
        }
        let falling = Falling(std::sync::atomic::AtomicU8::new(252));
        assert_eq!(digits(&falling, 4).expose(), "9876", "252, 251 and 250 are skipped");
        assert_eq!(digits(&CountingRandom::default(), 8).expose(), "01234567");
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
