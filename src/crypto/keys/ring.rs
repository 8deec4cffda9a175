//! The keys of one issuer, each at its stage of rotation.

use std::sync::Arc;

use super::SigningKey;
use crate::crypto::CryptoError;
use crate::crypto::jws::{JwsError, VerifyingKey};
use crate::model::KeyState;
use crate::protocol::jose::{CompactJws, Jwk, JwkSet, SigningAlg};

/// Why keys cannot form a ring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// Two keys have the same name.
    #[error("two signing keys are called {0}")]
    DuplicateKid(String),
    /// The public half of a key cannot verify.
    #[error(transparent)]
    Key(#[from] CryptoError),
}

/// A set of parsed keys. It is immutable and cheap to clone: a rotation creates a new ring.
#[derive(Debug, Clone)]
pub struct KeyRing(Arc<[Entry]>);

#[derive(Debug)]
struct Entry {
    key: SigningKey,
    state: KeyState,
    verifying: VerifyingKey,
}

impl KeyRing {
    /// A ring of `keys`, newest last.
    pub fn new(keys: impl IntoIterator<Item = (SigningKey, KeyState)>) -> Result<Self, RingError> {
        let mut entries: Vec<Entry> = Vec::new();
        for (key, state) in keys {
            if entries.iter().any(|entry| entry.key.kid() == key.kid()) {
                return Err(RingError::DuplicateKid(key.kid().to_owned()));
            }
            let verifying =
                VerifyingKey::new(key.public_jwk(), key.alg()).map_err(|_| CryptoError::PrivateKey)?;
            entries.push(Entry { key, state, verifying });
        }
        Ok(Self(entries.into()))
    }

    /// The key that signs with `alg` now. During a rotation several may be active; then it is the newest.
    pub fn signer(&self, alg: SigningAlg) -> Option<&SigningKey> {
        let mut active =
            self.0.iter().filter(|entry| entry.state == KeyState::Active && entry.key.alg() == alg);
        active.next_back().map(|entry| &entry.key)
    }

    /// The public half of the key with that name, at any stage.
    pub fn verifier(&self, kid: &str) -> Option<&Jwk> {
        self.entry(kid).map(|entry| entry.key.public_jwk())
    }

    /// Checks that a key of this ring signed `jws`, with that key's own algorithm. A token that names no key is not
    /// one of the broker's.
    pub fn verify(&self, jws: &CompactJws) -> Result<(), JwsError> {
        let kid = jws.header().kid.as_deref().ok_or(JwsError::KidRequired)?;
        self.entry(kid).ok_or(JwsError::UnknownKid)?.verifying.verify(jws)
    }

    /// The algorithms that the broker can sign with now, for the metadata.
    pub fn algs(&self) -> impl Iterator<Item = SigningAlg> + '_ {
        SigningKey::ALGS.into_iter().filter(|alg| self.signer(*alg).is_some())
    }

    /// The keys that `/oauth2/jwks` publishes. [`Jwk`] has public halves only.
    pub fn public_jwks(&self) -> JwkSet {
        let published = self.0.iter().filter(|entry| entry.state.is_published());
        JwkSet { keys: published.map(|entry| entry.key.public_jwk().clone()).collect() }
    }

    fn entry(&self, kid: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.key.kid() == kid)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(alg: SigningAlg, kid: &str) -> SigningKey {
        SigningKey::generate(alg, kid.to_owned()).unwrap()
    }

    fn ring() -> KeyRing {
        use KeyState::{Active, Published, Retired, VerifyOnly};
        let states = [("gone", VerifyOnly), ("old", Retired), ("now", Active), ("next", Published)];
        let es256 = states.map(|(kid, state)| (key(SigningAlg::ES256, kid), state));
        KeyRing::new(es256.into_iter().chain([(key(SigningAlg::EdDSA, "ed"), Published)])).unwrap()
    }

    fn parse(token: &str) -> CompactJws {
        CompactJws::parse(token, 10_000).unwrap()
    }

    #[test]
    fn only_an_active_key_signs() {
        let ring = ring();
        assert_eq!(ring.signer(SigningAlg::ES256).map(SigningKey::kid), Some("now"));
        assert!(ring.signer(SigningAlg::EdDSA).is_none() && ring.signer(SigningAlg::RS256).is_none());
        assert_eq!(ring.algs().collect::<Vec<_>>(), [SigningAlg::ES256]);
    }

    #[test]
    fn of_two_active_keys_the_newer_signs() {
        let keys = ["older", "newer"].map(|kid| (key(SigningAlg::ES256, kid), KeyState::Active));
        let ring = KeyRing::new(keys).unwrap();
        assert_eq!(ring.signer(SigningAlg::ES256).map(SigningKey::kid), Some("newer"));
    }

    #[test]
    fn keys_are_published_before_and_after_their_time_but_not_for_ever() {
        let kids: Vec<_> = ring().public_jwks().keys.into_iter().filter_map(|key| key.kid).collect();
        assert_eq!(kids, ["old", "now", "next", "ed"]);
    }

    #[test]
    fn the_published_set_is_read_back_by_a_strict_reader() {
        let published = ring().public_jwks();
        assert_eq!(JwkSet::parse(json!(published).to_string().as_bytes()), Ok(published));
    }

    #[test]
    fn a_key_verifies_at_every_stage() {
        let ring = ring();
        for entry in ring.0.iter() {
            let token = parse(&entry.key.sign_jwt("JWT", None, &json!({})).unwrap());
            assert_eq!(ring.verify(&token), Ok(()), "{:?}", entry.state);
            assert_eq!(ring.verifier(entry.key.kid()), Some(entry.key.public_jwk()));
        }
    }

    #[test]
    fn a_token_of_a_foreign_key_is_none_of_ours() {
        let ring = ring();
        let sign = |kid| parse(&key(SigningAlg::ES256, kid).sign_jwt("JWT", None, &json!({})).unwrap());
        assert_eq!(ring.verify(&sign("other")), Err(JwsError::UnknownKid));
        assert_eq!(ring.verify(&sign("now")), Err(JwsError::BadSignature));
        assert_eq!(ring.verify(&sign("ed")), Err(JwsError::AlgMismatch));
        assert_eq!(ring.verifier("other"), None);
        assert_eq!(ring.verify(&parse("eyJhbGciOiJFUzI1NiJ9.e30.AA")), Err(JwsError::KidRequired));
    }

    #[test]
    fn two_keys_of_one_name_form_no_ring() {
        let keys = [SigningAlg::ES256, SigningAlg::EdDSA].map(|alg| (key(alg, "a"), KeyState::Active));
        assert_eq!(KeyRing::new(keys).err(), Some(RingError::DuplicateKid("a".to_owned())));
    }
}
