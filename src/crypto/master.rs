//! The master key, from which all keys for data at rest are derived.

use aws_lc_rs::hkdf;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::CryptoError;
use crate::model::{Random, Secret};
use crate::protocol::base64url;

/// The length of the key in bytes.
const LEN: usize = 32;

/// Separates this program's derivations from any other use of the same key (RFC 5869, section 3.1).
const SALT: &[u8] = b"countersign master key v1";

/// 32 random bytes that open everything sealed at rest. They are kept in a file or an environment variable, never in
/// the database.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MasterKey([u8; LEN]);

/// Why a text is not a master key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MasterKeyError {
    /// Neither hexadecimal nor base64 of exactly 32 bytes.
    #[error("expected 32 bytes, as 64 hexadecimal digits or as base64")]
    Format,
    /// All bytes are the same: a placeholder, not a key.
    #[error("the key is not random")]
    NotRandom,
}

impl MasterKey {
    /// A new key.
    pub fn generate(random: &dyn Random) -> Self {
        let mut key = Self([0; LEN]);
        random.fill(&mut key.0);
        key
    }

    /// The key with these 32 bytes.
    pub const fn from_bytes(bytes: [u8; LEN]) -> Self {
        Self(bytes)
    }

    /// Reads a key from an operator's file or variable: 64 hexadecimal digits, or base64 in either alphabet with or
    /// without padding. White space around it is ignored.
    pub fn from_text(text: &str) -> Result<Self, MasterKeyError> {
        let text = text.trim();
        let bytes = Zeroizing::new(
            if text.len() == 2 * LEN { from_hex(text) } else { from_base64(text) }
                .ok_or(MasterKeyError::Format)?,
        );
        let key = Self(bytes.as_slice().try_into().map_err(|_| MasterKeyError::Format)?);
        if key.0.iter().all(|byte| key.0.first() == Some(byte)) {
            return Err(MasterKeyError::NotRandom);
        }
        Ok(key)
    }

    /// The key as text, for the file that the first start writes: base64url.
    pub fn to_text(&self) -> Secret {
        Secret::new(base64url::encode(self.0))
    }

    /// Derives a key for `purpose`, of `key.len()` bytes (HKDF-SHA256, RFC 5869).
    pub(super) fn derive(&self, purpose: &[u8], key: &mut [u8]) -> Result<(), CryptoError> {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT);
        salt.extract(&self.0).expand(&[purpose], Length(key.len()))?.fill(key)?;
        Ok(())
    }
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|letter| letter.to_digit(16)).collect();
    let digits = Zeroizing::new(digits?);
    let byte = |pair: &[u32]| match pair {
        [high, low] => u8::try_from(high * 16 + low).ok(),
        _ => None,
    };
    digits.chunks(2).map(byte).collect()
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let unpadded = text.trim_end_matches('=');
    base64url::decode(unpadded).ok().or_else(|| STANDARD.decode(format!("{unpadded}=")).ok())
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[master key]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::value::random::CountingRandom;

    fn derived(key: &MasterKey, purpose: &[u8]) -> [u8; 32] {
        let mut bytes = [0; 32];
        key.derive(purpose, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_key_round_trips_through_its_text() {
        let key = MasterKey::generate(&CountingRandom::default());
        let again = MasterKey::from_text(key.to_text().expose()).unwrap();
        assert_eq!(again.0, key.0);
    }

    #[test]
    fn every_usual_spelling_is_the_same_key() {
        let bytes: Vec<u8> = (0..32).map(|i| 255 - i).collect();
        let hex = bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        let url = base64url::encode(&bytes);
        let standard = STANDARD.encode(&bytes);
        for text in [
            &hex,
            &hex.to_uppercase(),
            &url,
            &format!("{url}="),
            &standard,
            standard.trim_end_matches('='),
            &format!(" {url}\n"),
        ] {
            assert_eq!(MasterKey::from_text(text).unwrap().0.as_slice(), bytes.as_slice(), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_not_a_key_is_refused() {
        let short = base64url::encode([7u8; 31]);
        let long = base64url::encode([7u8; 33]);
        for text in ["", "changeme", &"g".repeat(64), &"a".repeat(63), &short, &long, &"ä".repeat(32)] {
            assert_eq!(MasterKey::from_text(text).err(), Some(MasterKeyError::Format), "{text}");
        }
        assert_eq!(MasterKey::from_text(&"0".repeat(64)).err(), Some(MasterKeyError::NotRandom));
    }

    #[test]
    fn purposes_and_masters_give_unrelated_keys() {
        let random = CountingRandom::default();
        let (one, two) = (MasterKey::generate(&random), MasterKey::generate(&random));
        assert_eq!(derived(&one, b"a"), derived(&one, b"a"));
        assert_ne!(derived(&one, b"a"), derived(&one, b"b"));
        assert_ne!(derived(&one, b"a"), derived(&two, b"a"));
    }

    #[test]
    fn a_key_does_not_print_itself() {
        let key = MasterKey::generate(&CountingRandom::default());
        assert_eq!(format!("{key:?}"), "[master key]");
    }
}
