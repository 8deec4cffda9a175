//! Verifying signed tokens (RFC 7515, section 5.2; RFC 8725).
//!
//! The algorithm is the caller's, pinned per connection or per key, never the token's. This module says whether a
//! signature holds; what the claims mean, and whose key set is asked, its callers say.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
};

use crate::protocol::jose::{CompactJws, Curve, Jwk, JwkSet, JwsHeader, PublicKey, SigningAlg};

/// The bounds of an RSA modulus in bits (RFC 7518, section 3.3; the upper one keeps verification cheap).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;

/// Why a signature was not accepted. Each variant is an audit reason of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// The token claims another algorithm than the pinned one.
    #[error("the token's algorithm is not the expected one")]
    AlgMismatch,
    /// The set has no key of that name. The publisher may have rotated; it may be asked again.
    #[error("no key has that id")]
    UnknownKid,
    /// No key of the set, or not the one of that name, may verify this algorithm.
    #[error("no key fits the algorithm")]
    NoFittingKey,
    /// Several fitting keys share the token's key id.
    #[error("several keys have that id")]
    AmbiguousKid,
    /// The token names no key, and several would fit.
    #[error("the token names no key and several fit")]
    KidRequired,
    /// The key is of another kind or curve than the algorithm needs.
    #[error("the key is of another kind")]
    KeyKind,
    /// The publisher says that the key is for something else (`use`, `alg` or `key_ops`).
    #[error("the key is not for this use")]
    KeyUse,
    /// An RSA key below 2048 or above 8192 bits.
    #[error("the key is of a refused size")]
    KeySize,
    /// The key is no sound key: a point off its curve, an even exponent.
    #[error("the key is malformed")]
    KeyMalformed,
    /// The signature does not hold.
    #[error("the signature does not hold")]
    BadSignature,
}

impl JwsError {
    /// The stable name of the reason, as audit records carry it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::AlgMismatch => "signature_alg_mismatch",
            Self::UnknownKid => "signature_unknown_kid",
            Self::NoFittingKey => "signature_no_fitting_key",
            Self::AmbiguousKid => "signature_ambiguous_kid",
            Self::KidRequired => "signature_kid_required",
            Self::KeyKind => "signature_key_kind",
            Self::KeyUse => "signature_key_use",
            Self::KeySize => "signature_key_size",
            Self::KeyMalformed => "signature_key_malformed",
            Self::BadSignature => "signature_bad",
        }
    }
}

/// A key that is ready to verify one algorithm. Building it costs about as much as one verification, so keep it.
#[derive(Debug, Clone)]
pub struct VerifyingKey {
    alg: SigningAlg,
    key: ParsedPublicKey,
}

impl VerifyingKey {
    /// Prepares `jwk` for `alg`, if the key and what its publisher says about it allow that.
    pub fn new(jwk: &Jwk, alg: SigningAlg) -> Result<Self, JwsError> {
        if !jwk.fits(alg) {
            return Err(JwsError::KeyKind);
        }
        if !jwk.allows(alg) {
            return Err(JwsError::KeyUse);
        }
        let key = match &jwk.key {
            PublicKey::Rsa { n, e } => rsa(n, e, alg)?,
            PublicKey::Ec { curve, x, y } => {
                let point = [&[0x04][..], x, y].concat();
                match curve {
                    Curve::P256 => ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point),
                    Curve::P384 => ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point),
                }
                .map_err(|_| JwsError::KeyMalformed)?
            }
            PublicKey::Ed25519 { x } => {
                ParsedPublicKey::new(&ED25519, x).map_err(|_| JwsError::KeyMalformed)?
            }
        };
        Ok(Self { alg, key })
    }

    /// The algorithm that this key verifies.
    pub const fn alg(&self) -> SigningAlg {
        self.alg
    }

    /// Checks that `jws` claims this key's algorithm and is signed with this key.
    pub fn verify(&self, jws: &CompactJws) -> Result<(), JwsError> {
        if jws.header().alg != self.alg {
            return Err(JwsError::AlgMismatch);
        }
        self.key.verify_sig(jws.signing_input(), jws.signature()).map_err(|_| JwsError::BadSignature)
    }
}

/// Checks that `jws` claims the pinned `alg` and is signed with `key`, which must be for that.
pub fn verify(jws: &CompactJws, alg: SigningAlg, key: &Jwk) -> Result<(), JwsError> {
    if jws.header().alg != alg {
        return Err(JwsError::AlgMismatch);
    }
    VerifyingKey::new(key, alg)?.verify(jws)
}

/// The one key of `set` that may verify a token with this header under the pinned `alg`.
///
/// A named key is sought by its name, compared byte for byte. Without a name exactly one key must fit (`OpenID`
/// Connect Core, section 10.1). Whatever stays ambiguous is refused, not tried out.
pub fn select_key<'a>(set: &'a JwkSet, header: &JwsHeader, alg: SigningAlg) -> Result<&'a Jwk, JwsError> {
    let named = |key: &&Jwk| header.kid.is_none() || key.kid == header.kid;
    if header.kid.is_some() && !set.keys.iter().any(|key| named(&key)) {
        return Err(JwsError::UnknownKid);
    }
    let mut fitting = set.keys.iter().filter(named).filter(|key| key.allows(alg));
    match (fitting.next(), fitting.next()) {
        (None, _) => Err(JwsError::NoFittingKey),
        (Some(key), None) => Ok(key),
        (Some(_), Some(_)) if header.kid.is_some() => Err(JwsError::AmbiguousKid),
        (Some(_), Some(_)) => Err(JwsError::KidRequired),
    }
}

fn rsa(n: &[u8], e: &[u8], alg: SigningAlg) -> Result<ParsedPublicKey, JwsError> {
    let params = rsa_parameters(alg).ok_or(JwsError::KeyKind)?;
    if !RSA_BITS.contains(&bits(n)) {
        return Err(JwsError::KeySize);
    }
    // An even exponent inverts nothing, and with 1 every text is its own signature.
    if e == [1] || e.last().is_none_or(|byte| byte % 2 == 0) {
        return Err(JwsError::KeyMalformed);
    }
    RsaPublicKeyComponents { n, e }.to_parsed_public_key(params).map_err(|_| JwsError::KeyMalformed)
}

fn bits(n: &[u8]) -> usize {
    n.first().map_or(0, |first| n.len() * 8 - usize::try_from(first.leading_zeros()).unwrap_or(0))
}

const fn rsa_parameters(alg: SigningAlg) -> Option<&'static RsaParameters> {
    match alg {
        SigningAlg::RS256 => Some(&RSA_PKCS1_2048_8192_SHA256),
        SigningAlg::RS384 => Some(&RSA_PKCS1_2048_8192_SHA384),
        SigningAlg::RS512 => Some(&RSA_PKCS1_2048_8192_SHA512),
        SigningAlg::PS256 => Some(&RSA_PSS_2048_8192_SHA256),
        SigningAlg::PS384 => Some(&RSA_PSS_2048_8192_SHA384),
        SigningAlg::PS512 => Some(&RSA_PSS_2048_8192_SHA512),
        SigningAlg::ES256 | SigningAlg::ES384 | SigningAlg::EdDSA => None,
    }
}
