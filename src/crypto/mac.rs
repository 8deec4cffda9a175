//! Keyed hashes (HMAC-SHA256, RFC 2104) of values that the broker must recognize but not read: network addresses in
//! counters and audit rows, and form tokens. They are never used for tokens that another program verifies.

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::{CryptoError, MasterKey};
use crate::protocol::base64url;

/// The purpose of a keyed hash. Each purpose has a key of its own, so a tag of one purpose is not valid for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MacPurpose {
    /// Client addresses and their networks.
    NetworkAddress,
    /// The hidden field that ties a form to the browser that it was rendered for.
    FormToken,
    /// The text of authorization codes.
    Code,
}

impl MacPurpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::NetworkAddress => b"mac network address",
            Self::FormToken => b"mac form token",
            Self::Code => b"mac authorization code",
        }
    }
}

/// A key for one purpose. The key itself is large, so it is boxed and cheap to move.
#[derive(Clone)]
pub struct MacKey(Box<hmac::Key>);

impl MacKey {
    /// The key for `purpose` under `master`.
    pub fn derive(master: &MasterKey, purpose: MacPurpose) -> Result<Self, CryptoError> {
        let mut bytes = Zeroizing::new([0u8; 32]);
        master.derive(purpose.label(), bytes.as_mut())?;
        Ok(Self(Box::new(hmac::Key::new(hmac::HMAC_SHA256, bytes.as_ref()))))
    }

    /// The tag of `parts`, base64url. The length of each part is included, so that `["ab", "c"]` and `["a", "bc"]`
    /// differ.
    pub fn tag(&self, parts: &[&[u8]]) -> String {
        base64url::encode(self.compute(parts))
    }

    /// Whether `tag` is the tag of `parts`, compared in constant time.
    pub fn verify(&self, parts: &[&[u8]], tag: &str) -> bool {
        base64url::decode(tag).is_ok_and(|tag| super::constant_time_eq(self.compute(parts).as_ref(), &tag))
    }

    fn compute(&self, parts: &[&[u8]]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(&part.len().to_be_bytes());
            context.update(part);
        }
        context.sign()
    }
}

impl std::fmt::Debug for MacKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[mac key]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::value::random::CountingRandom;

    fn key(purpose: MacPurpose) -> MacKey {
        MacKey::derive(&MasterKey::generate(&CountingRandom::default()), purpose).unwrap()
    }

    #[test]
    fn a_tag_verifies_its_own_parts_only() {
        let key = key(MacPurpose::FormToken);
        let tag = key.tag(&[b"flow", b"browser"]);
        assert!(key.verify(&[b"flow", b"browser"], &tag));
        for parts in [&[&b"flow"[..], b"browse"][..], &[b"flowb", b"rowser"], &[b"flowbrowser"], &[]] {
            assert!(!key.verify(parts, &tag), "{parts:?}");
        }
        for other in ["", &tag[1..], &format!("{tag}A"), &tag.replace(&tag[..1], "_")] {
            assert!(!key.verify(&[b"flow", b"browser"], other), "{other}");
        }
    }

    #[test]
    fn a_tag_of_one_purpose_serves_no_other() {
        let tag = key(MacPurpose::NetworkAddress).tag(&[b"192.0.2.1"]);
        assert!(!key(MacPurpose::FormToken).verify(&[b"192.0.2.1"], &tag));
    }

    #[test]
    fn tags_are_the_same_on_every_node() {
        assert_eq!(
            key(MacPurpose::NetworkAddress).tag(&[b"a"]),
            key(MacPurpose::NetworkAddress).tag(&[b"a"])
        );
    }
}
