//! Sealing: encrypts what leaves this process, in a cookie, a `state`, a code or a database row.
//!
//! AES-256-GCM-SIV (RFC 8452), with one key per purpose and a random nonce. Plain GCM would not do: its random nonces
//! wear a key out after 2^32 messages (NIST SP 800-38D, section 8.3), and a busy broker seals that many cookies in
//! days. With GCM, a repeated nonce reveals the key; here it reveals only that two texts were equal.
//!
//! The mandatory context is the associated data. It names the place of the text (table, column and row, or the flow),
//! so ciphertexts do not open after somebody with access to the database has exchanged them.
//!
//! Layout: one byte version, three bytes key id, twelve bytes nonce, ciphertext, sixteen bytes tag.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::{CryptoError, MasterKey};
use crate::model::Random;
use crate::protocol::base64url;

const VERSION: u8 = 1;
const KEY_ID_LEN: usize = 3;
const HEADER_LEN: usize = 1 + KEY_ID_LEN;

/// How many bytes a sealed text is longer than its plain text.
const OVERHEAD: usize = HEADER_LEN + NONCE_LEN + 16;

/// The purpose of a sealed text. Each purpose has a key of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Flow cookies.
    FlowCookie,
    /// The `state` that goes to identity providers.
    UpstreamState,
    /// The accounts that have signed in in a browser.
    KnownBrowser,
    /// Secrets that the broker must present to others: client secrets of connections, mail passwords.
    Credential,
    /// Private keys.
    PrivateKey,
    /// Personal data.
    PersonalData,
    /// The keys, one per account, that seal data which outlives its use.
    DataKey,
}

impl Purpose {
    const ALL: [Self; 7] = [
        Self::FlowCookie,
        Self::UpstreamState,
        Self::KnownBrowser,
        Self::Credential,
        Self::PrivateKey,
        Self::PersonalData,
        Self::DataKey,
    ];

    const fn label(self) -> &'static [u8] {
        match self {
            Self::FlowCookie => b"seal flow cookie",
            Self::UpstreamState => b"seal upstream state",
            Self::KnownBrowser => b"seal known browser",
            Self::Credential => b"seal credential",
            Self::PrivateKey => b"seal private key",
            Self::PersonalData => b"seal personal data",
            Self::DataKey => b"seal data key",
        }
    }
}

/// Why a sealed text cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsealable {
    /// Too short, of another version, or not base64url.
    #[error("not a sealed text")]
    Malformed,
    /// Sealed under a master key that this process does not have.
    #[error("sealed under another master key")]
    OtherKey,
    /// Altered, or sealed for another purpose or context.
    #[error("the sealed text was altered, or belongs elsewhere")]
    Altered,
}

impl Unsealable {
    /// The stable name of the reason, as in audit records.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "seal_malformed",
            Self::OtherKey => "seal_other_key",
            Self::Altered => "seal_altered",
        }
    }
}

/// Seals with the newest master key, and opens with that and older ones. Cheap to clone.
#[derive(Clone)]
pub struct Sealer {
    newest: Arc<Subkeys>,
    older: Arc<[Subkeys]>,
    random: Arc<dyn Random>,
}

struct Subkeys {
    id: [u8; KEY_ID_LEN],
    keys: Vec<(Purpose, LessSafeKey)>,
}

impl Subkeys {
    fn derive(master: &MasterKey) -> Result<Self, CryptoError> {
        let mut id = [0u8; KEY_ID_LEN];
        master.derive(b"seal key id", &mut id)?;
        let mut bytes = Zeroizing::new([0u8; 32]);
        let mut keys = Vec::with_capacity(Purpose::ALL.len());
        for purpose in Purpose::ALL {
            master.derive(purpose.label(), bytes.as_mut())?;
            keys.push((purpose, LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, bytes.as_ref())?)));
        }
        Ok(Self { id, keys })
    }

    fn key(&self, purpose: Purpose) -> Option<&LessSafeKey> {
        self.keys.iter().find(|(of, _)| *of == purpose).map(|(_, key)| key)
    }
}

impl Sealer {
    /// A sealer for `master`, which also opens what was sealed with any of `older`.
    pub fn new(
        master: &MasterKey,
        older: &[MasterKey],
        random: Arc<dyn Random>,
    ) -> Result<Self, CryptoError> {
        Ok(Self {
            newest: Arc::new(Subkeys::derive(master)?),
            older: older.iter().map(Subkeys::derive).collect::<Result<Vec<_>, _>>()?.into(),
            random,
        })
    }

    /// Seals `plaintext`. `context` names its place, such as `connections.client_secret:con_…`, and the same context
    /// is needed to open it.
    pub fn seal(&self, purpose: Purpose, context: &str, plaintext: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let key = self.newest.key(purpose).ok_or(CryptoError::Failed)?;
        let mut nonce = [0u8; NONCE_LEN];
        self.random.fill(&mut nonce);
        let mut body = Vec::with_capacity(plaintext.len() + 16);
        body.extend_from_slice(plaintext);
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad(context), &mut body)?;
        let mut sealed = Vec::with_capacity(plaintext.len() + OVERHEAD);
        sealed.push(VERSION);
        sealed.extend_from_slice(&self.newest.id);
        sealed.extend_from_slice(&nonce);
        sealed.append(&mut body);
        Ok(sealed)
    }

    /// [`Sealer::seal`], as base64url.
    pub fn seal_text(
        &self,
        purpose: Purpose,
        context: &str,
        plaintext: &[u8],
    ) -> Result<String, CryptoError> {
        self.seal(purpose, context, plaintext).map(base64url::encode)
    }

    /// Opens the result of [`Sealer::seal`] for the same purpose and context.
    pub fn open(
        &self,
        purpose: Purpose,
        context: &str,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Unsealable> {
        let (header, rest) = sealed.split_first_chunk::<HEADER_LEN>().ok_or(Unsealable::Malformed)?;
        let [VERSION, id @ ..] = header else { return Err(Unsealable::Malformed) };
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or(Unsealable::Malformed)?;
        let known = std::iter::once(self.newest.as_ref()).chain(self.older.iter());
        let key = known
            .filter(|keys| keys.id == *id)
            .find_map(|keys| keys.key(purpose))
            .ok_or(Unsealable::OtherKey)?;
        let mut text = Zeroizing::new(body.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let len = key.open_in_place(nonce, aad(context), &mut text).map_err(|_| Unsealable::Altered)?.len();
        text.truncate(len);
        Ok(text)
    }

    /// Opens the result of [`Sealer::seal_text`].
    pub fn open_text(
        &self,
        purpose: Purpose,
        context: &str,
        sealed: &str,
    ) -> Result<Zeroizing<Vec<u8>>, Unsealable> {
        self.open(purpose, context, &base64url::decode(sealed).map_err(|_| Unsealable::Malformed)?)
    }
}

fn aad(context: &str) -> Aad<&[u8]> {
    Aad::from(context.as_bytes())
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[sealer]")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::random::SystemRandom;
    use crate::model::value::random::CountingRandom;

    const CONTEXT: &str = "connections.client_secret:con_1";

    fn master(first: u8) -> MasterKey {
        let random = CountingRandom::default();
        random.fill(&mut vec![0; first.into()]);
        MasterKey::generate(&random)
    }

    fn sealer() -> Sealer {
        Sealer::new(&master(0), &[], Arc::new(SystemRandom)).unwrap()
    }

    #[test]
    fn what_was_sealed_opens_in_its_place() {
        let sealer = sealer();
        for text in [&b""[..], b"x", &[7; 5_000]] {
            let ciphertext = sealer.seal(Purpose::Credential, CONTEXT, text).unwrap();
            assert_eq!(ciphertext.len(), text.len() + OVERHEAD);
            assert_eq!(sealer.open(Purpose::Credential, CONTEXT, &ciphertext).unwrap().as_slice(), text);
            let ciphertext = sealer.seal_text(Purpose::Credential, CONTEXT, text).unwrap();
            assert_eq!(sealer.open_text(Purpose::Credential, CONTEXT, &ciphertext).unwrap().as_slice(), text);
        }
    }

    #[test]
    fn the_same_text_never_seals_the_same_way_twice() {
        let sealer = sealer();
        let ciphertext = || sealer.seal(Purpose::FlowCookie, CONTEXT, b"x").unwrap();
        assert_ne!(ciphertext(), ciphertext());
    }

    #[test]
    fn a_ciphertext_moved_to_another_row_does_not_open() {
        let sealer = sealer();
        let ciphertext = sealer.seal(Purpose::Credential, CONTEXT, b"secret").unwrap();
        for context in ["connections.client_secret:con_2", "", "connections.client_secret:con_1 "] {
            assert_eq!(
                sealer.open(Purpose::Credential, context, &ciphertext),
                Err(Unsealable::Altered),
                "{context}"
            );
        }
    }

    #[test]
    fn a_ciphertext_of_another_purpose_does_not_open() {
        let sealer = sealer();
        let ciphertext = sealer.seal(Purpose::FlowCookie, CONTEXT, b"secret").unwrap();
        for purpose in Purpose::ALL.into_iter().filter(|purpose| *purpose != Purpose::FlowCookie) {
            assert_eq!(sealer.open(purpose, CONTEXT, &ciphertext), Err(Unsealable::Altered), "{purpose:?}");
        }
    }

    #[test]
    fn no_bit_can_be_flipped_and_nothing_cut_off_or_added() {
        let sealer = sealer();
        let ciphertext = sealer.seal(Purpose::PrivateKey, CONTEXT, b"secret").unwrap();
        for bit in 0..ciphertext.len() * 8 {
            let mut altered = ciphertext.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(sealer.open(Purpose::PrivateKey, CONTEXT, &altered).is_err(), "bit {bit}");
        }
        for len in 0..ciphertext.len() {
            assert!(sealer.open(Purpose::PrivateKey, CONTEXT, &ciphertext[..len]).is_err(), "length {len}");
        }
        let longer = [&ciphertext[..], b"\0"].concat();
        assert_eq!(sealer.open(Purpose::PrivateKey, CONTEXT, &longer), Err(Unsealable::Altered));
    }

    #[test]
    fn another_master_key_is_told_apart_from_an_alteration() {
        let ciphertext = sealer().seal(Purpose::Credential, CONTEXT, b"secret").unwrap();
        let other = Sealer::new(&master(1), &[], Arc::new(SystemRandom)).unwrap();
        assert_eq!(other.open(Purpose::Credential, CONTEXT, &ciphertext), Err(Unsealable::OtherKey));
    }

    #[test]
    fn after_a_rotation_old_texts_open_and_name_their_older_key() {
        let ciphertext = sealer().seal(Purpose::Credential, CONTEXT, b"secret").unwrap();
        let rotated = Sealer::new(&master(1), &[master(0)], Arc::new(SystemRandom)).unwrap();
        assert_eq!(rotated.open(Purpose::Credential, CONTEXT, &ciphertext).unwrap().as_slice(), b"secret");
        let resealed = rotated.seal(Purpose::Credential, CONTEXT, b"secret").unwrap();
        let names_newest = |sealed: &[u8]| sealed[1..HEADER_LEN] == rotated.newest.id;
        assert!(!names_newest(&ciphertext) && names_newest(&resealed));
        assert_eq!(sealer().open(Purpose::Credential, CONTEXT, &resealed), Err(Unsealable::OtherKey));
    }

    #[test]
    fn a_plain_text_is_no_sealed_text() {
        for text in ["", "AQ", "secret", "not base64!"] {
            assert!(sealer().open_text(Purpose::Credential, CONTEXT, text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_open_that_were_not_sealed(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(sealer().open(Purpose::FlowCookie, CONTEXT, &bytes).is_err());
        }
    }
}
