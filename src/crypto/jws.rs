//! The verification of signed tokens (RFC 7515, section 5.2; RFC 8725).
//!
//! The caller chooses the algorithm, per connection or per key; the token never does. This module decides whether a
//! signature is valid. Its callers decide what the claims mean, and whose key set is used.

use aws_lc_rs::digest;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
};

use crate::protocol::base64url;
use crate::protocol::jose::{CompactJws, Curve, Jwk, JwkSet, JwsHeader, PublicKey, SigningAlg};

/// The smallest and the largest RSA modulus, in bits (RFC 7518, section 3.3; the upper limit keeps verification
/// cheap).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;

/// Why a signature was refused. Each variant is an audit reason of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// The token claims another algorithm than the required one.
    #[error("the token's algorithm is not the expected one")]
    AlgMismatch,
    /// The set has no key with that name. The publisher may have rotated its keys, so its set may be fetched again.
    #[error("no key has that id")]
    UnknownKid,
    /// No key of the set, or not the one with that name, may verify this algorithm.
    #[error("no key fits the algorithm")]
    NoFittingKey,
    /// Several suitable keys share the token's key id.
    #[error("several keys have that id")]
    AmbiguousKid,
    /// The token names no key, and several are suitable.
    #[error("the token names no key and several fit")]
    KidRequired,
    /// The algorithm needs another kind of key, or another curve.
    #[error("the key is of another kind")]
    KeyKind,
    /// The publisher states that the key has another use (`use`, `alg` or `key_ops`).
    #[error("the key is not for this use")]
    KeyUse,
    /// An RSA key below 2048 or above 8192 bits.
    #[error("the key is of a refused size")]
    KeySize,
    /// The key is not valid: a point off its curve, an even exponent.
    #[error("the key is malformed")]
    KeyMalformed,
    /// The signature does not match.
    #[error("the signature is not valid")]
    BadSignature,
}

impl JwsError {
    /// The stable name of the reason, as in audit records.
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

/// A key that was checked and parsed once, and can verify one algorithm.
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

/// Checks that `jws` claims the required `alg` and is signed with `key`, which must be for that algorithm.
pub fn verify(jws: &CompactJws, alg: SigningAlg, key: &Jwk) -> Result<(), JwsError> {
    if jws.header().alg != alg {
        return Err(JwsError::AlgMismatch);
    }
    VerifyingKey::new(key, alg)?.verify(jws)
}

/// The one key of `set` that may verify a token with this header under the required `alg`.
///
/// If the token names a key, the name must match byte for byte. If it does not, exactly one key must be suitable
/// (`OpenID` Connect Core, section 10.1). An ambiguous choice is refused; keys are not tried one after another.
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

/// The value of `at_hash` or `c_hash` in an ID token of `alg`: the left half of the hash of `text` under the
/// algorithm's hash function, base64url (`OpenID` Connect Core, sections 3.1.3.6 and 3.3.2.11; for Ed25519 it is
/// SHA-512).
pub fn half_hash(alg: SigningAlg, text: &str) -> String {
    let function = match alg {
        SigningAlg::RS256 | SigningAlg::PS256 | SigningAlg::ES256 => &digest::SHA256,
        SigningAlg::RS384 | SigningAlg::PS384 | SigningAlg::ES384 => &digest::SHA384,
        SigningAlg::RS512 | SigningAlg::PS512 | SigningAlg::EdDSA => &digest::SHA512,
    };
    let hash = digest::digest(function, text.as_bytes());
    base64url::encode(hash.as_ref().split_at(function.output_len() / 2).0)
}

fn rsa(n: &[u8], e: &[u8], alg: SigningAlg) -> Result<ParsedPublicKey, JwsError> {
    let params = rsa_parameters(alg).ok_or(JwsError::KeyKind)?;
    if !RSA_BITS.contains(&bits(n)) {
        return Err(JwsError::KeySize);
    }
    // An even exponent has no inverse, and with exponent 1 every text is its own signature.
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::crypto::keys::SigningKey;

    fn jwk(value: &Value) -> Jwk {
        Jwk::from_object(value.as_object().unwrap()).unwrap()
    }

    fn parse(token: &str) -> CompactJws {
        CompactJws::parse(token, 64 * 1_024).unwrap()
    }

    /// The examples in the RFCs for RS256, ES256 and `EdDSA`.
    fn rfc(alg: SigningAlg) -> (Jwk, String) {
        let vectors: Value = serde_json::from_str(include_str!("testdata/rfc.json")).unwrap();
        let vector = &vectors[alg.as_str()];
        (jwk(&vector["key"]), vector["token"].as_str().unwrap().to_owned())
    }

    fn openssl() -> Value {
        serde_json::from_str(include_str!("testdata/openssl.json")).unwrap()
    }

    /// One token for each algorithm, none of them signed by this program.
    fn foreign_tokens() -> Vec<(SigningAlg, Jwk, String)> {
        let mut tokens: Vec<_> =
            [SigningAlg::ES256, SigningAlg::EdDSA].map(|alg| (alg, rfc(alg).0, rfc(alg).1)).into();
        for entry in openssl()["good"].as_array().unwrap() {
            let text = |name: &str| entry[name].as_str().unwrap().to_owned();
            tokens.push((text("alg").parse().unwrap(), jwk(&entry["key"]), text("token")));
        }
        tokens
    }

    #[test]
    fn tokens_of_other_implementations_verify_under_every_algorithm() {
        let tokens = foreign_tokens();
        let mut algs: Vec<_> = tokens.iter().map(|(alg, ..)| *alg).collect();
        algs.sort_unstable();
        assert_eq!(algs, SigningAlg::ALL);
        for (alg, key, token) in tokens {
            assert_eq!(verify(&parse(&token), alg, &key), Ok(()), "{alg}");
        }
        let (key, token) = rfc(SigningAlg::RS256);
        assert_eq!(verify(&parse(&token), SigningAlg::RS256, &key), Ok(()));
    }

    #[test]
    fn only_the_pinned_algorithm_is_accepted_whatever_the_token_claims() {
        for (claimed, key, token) in foreign_tokens() {
            for pinned in SigningAlg::ALL.iter().copied() {
                let expected = if pinned == claimed { Ok(()) } else { Err(JwsError::AlgMismatch) };
                assert_eq!(verify(&parse(&token), pinned, &key), expected, "{claimed} under {pinned}");
            }
        }
    }

    #[test]
    fn a_token_relabelled_to_another_algorithm_never_verifies() {
        for (signed, key, token) in foreign_tokens() {
            let (_, rest) = token.split_once('.').unwrap();
            for claimed in SigningAlg::ALL.iter().copied().filter(|claimed| *claimed != signed) {
                let header = base64url::encode(json!({"alg": claimed}).to_string());
                let relabelled = parse(&format!("{header}.{rest}"));
                let expected = if key.fits(claimed) { JwsError::BadSignature } else { JwsError::KeyKind };
                assert_eq!(verify(&relabelled, claimed, &key), Err(expected), "{signed} as {claimed}");
            }
        }
    }

    #[test]
    fn no_letter_of_a_token_can_be_changed() {
        for (alg, key, token) in foreign_tokens() {
            let ready = VerifyingKey::new(&key, alg).unwrap();
            for (at, letter) in token.char_indices() {
                for other in
                    ["A", "Q", "_", ".", "="].into_iter().filter(|other| *other != letter.to_string())
                {
                    let altered = format!("{}{other}{}", &token[..at], &token[at + 1..]);
                    let accepted =
                        CompactJws::parse(&altered, 64 * 1_024).is_ok_and(|jws| ready.verify(&jws).is_ok());
                    assert!(!accepted, "{alg}: letter {at} as {other}");
                }
            }
        }
    }

    #[test]
    fn no_shortened_or_lengthened_token_verifies() {
        for (alg, key, token) in foreign_tokens() {
            let ready = VerifyingKey::new(&key, alg).unwrap();
            let accepts =
                |text: &str| CompactJws::parse(text, 64 * 1_024).is_ok_and(|jws| ready.verify(&jws).is_ok());
            for len in 0..token.len() {
                assert!(!accepts(&token[..len]), "{alg}: {len} letters");
            }
            for more in ["A", "AA", "AAA", "AAAA"] {
                assert!(!accepts(&format!("{token}{more}")), "{alg}: with {more}");
            }
        }
    }

    #[test]
    fn a_signature_of_zeros_proves_nothing() {
        for (alg, key, token) in foreign_tokens() {
            let (input, signature) = token.rsplit_once('.').unwrap();
            let zeros = base64url::encode(vec![0; base64url::decode(signature).unwrap().len()]);
            assert_eq!(
                verify(&parse(&format!("{input}.{zeros}")), alg, &key),
                Err(JwsError::BadSignature),
                "{alg}"
            );
        }
    }

    #[test]
    fn an_ecdsa_signature_in_der_is_not_taken() {
        let (key, token) = rfc(SigningAlg::ES256);
        let (input, signature) = token.rsplit_once('.').unwrap();
        let raw = base64url::decode(signature).unwrap();
        let integer = |half: &[u8]| {
            let sign = if half[0] & 0x80 == 0 { vec![] } else { vec![0] };
            [&[0x02, u8::try_from(half.len() + sign.len()).unwrap()], &sign[..], half].concat()
        };
        let body = [integer(&raw[..32]), integer(&raw[32..])].concat();
        let der = [&[0x30, u8::try_from(body.len()).unwrap()][..], &body].concat();
        let token = format!("{input}.{}", base64url::encode(der));
        assert_eq!(verify(&parse(&token), SigningAlg::ES256, &key), Err(JwsError::BadSignature));
    }

    #[test]
    fn a_pss_signature_with_another_salt_length_is_refused() {
        let vector = &openssl()["pss_short_salt"];
        let token = parse(vector["token"].as_str().unwrap());
        assert_eq!(verify(&token, SigningAlg::PS256, &jwk(&vector["key"])), Err(JwsError::BadSignature));
    }

    #[test]
    fn rsa_keys_outside_the_bounds_are_refused_even_with_a_true_signature() {
        let small = &openssl()["rsa_1024"];
        let token = parse(small["token"].as_str().unwrap());
        assert_eq!(verify(&token, SigningAlg::RS256, &jwk(&small["key"])), Err(JwsError::KeySize));

        let of_bits = |bits: usize| {
            let mut n = vec![0xff; bits.div_ceil(8)];
            n[0] >>= n.len() * 8 - bits;
            let key = json!({"kty": "RSA", "n": base64url::encode(n), "e": "AQAB"});
            VerifyingKey::new(&jwk(&key), SigningAlg::RS256).map(drop)
        };
        assert_eq!((of_bits(2_048), of_bits(8_192)), (Ok(()), Ok(())));
        for bits in [512, 2_047, 8_193, 16_384] {
            assert_eq!(of_bits(bits), Err(JwsError::KeySize), "{bits}");
        }
    }

    #[test]
    fn unsound_keys_are_refused() {
        let (good, _) = rfc(SigningAlg::RS256);
        let n = json!(good)["n"].clone();
        for e in [&[1][..], &[2], &[1, 0, 0]] {
            let key = jwk(&json!({"kty": "RSA", "n": n, "e": base64url::encode(e)}));
            assert_eq!(
                VerifyingKey::new(&key, SigningAlg::RS256).err(),
                Some(JwsError::KeyMalformed),
                "{e:?}"
            );
        }
        for byte in [0, 1] {
            let coordinate = base64url::encode([byte; 32]);
            let off = json!({"kty": "EC", "crv": "P-256", "x": coordinate, "y": coordinate});
            let refused = VerifyingKey::new(&jwk(&off), SigningAlg::ES256).err();
            assert_eq!(refused, Some(JwsError::KeyMalformed), "{byte}");
        }
    }

    #[test]
    fn a_key_verifies_only_what_its_publisher_says() {
        let (key, token) = rfc(SigningAlg::RS256);
        let token = parse(&token);
        let with = |change: fn(&mut Jwk)| {
            let mut key = key.clone();
            change(&mut key);
            verify(&token, SigningAlg::RS256, &key)
        };
        assert_eq!(with(|key| key.key_use = Some("sig".into())), Ok(()));
        assert_eq!(with(|key| key.alg = Some("RS256".into())), Ok(()));
        assert_eq!(with(|key| key.key_use = Some("enc".into())), Err(JwsError::KeyUse));
        assert_eq!(with(|key| key.alg = Some("PS256".into())), Err(JwsError::KeyUse));
        assert_eq!(with(|key| key.key_ops = Some(vec!["encrypt".into()])), Err(JwsError::KeyUse));
    }

    #[test]
    fn a_key_that_the_token_brings_along_is_never_used() {
        let theirs = SigningKey::generate(SigningAlg::ES256, "k".into()).unwrap();
        let ours = SigningKey::generate(SigningAlg::ES256, "k".into()).unwrap();
        for header in [
            json!({"jwk": theirs.public_jwk()}),
            json!({"jku": "https://canary.test/keys"}),
            json!({"x5c": ["MII"]}),
        ] {
            let extra = header.as_object().unwrap();
            let forged = parse(&theirs.sign_jwt("JWT", Some(extra), &json!({})).unwrap());
            assert_eq!(
                verify(&forged, SigningAlg::ES256, ours.public_jwk()),
                Err(JwsError::BadSignature),
                "{header}"
            );
            let honest = parse(&ours.sign_jwt("JWT", Some(extra), &json!({})).unwrap());
            assert_eq!(verify(&honest, SigningAlg::ES256, ours.public_jwk()), Ok(()), "{header}");
        }
    }

    fn set(keys: &[(Option<&str>, &Jwk)]) -> JwkSet {
        let named = |(kid, key): &(Option<&str>, &Jwk)| Jwk { kid: kid.map(str::to_owned), ..(*key).clone() };
        JwkSet { keys: keys.iter().map(named).collect() }
    }

    fn header(kid: Option<&str>) -> JwsHeader {
        JwsHeader { alg: SigningAlg::RS256, kid: kid.map(str::to_owned), typ: None }
    }

    #[test]
    fn a_named_key_is_found_by_its_exact_name() {
        let (rsa, ec) = (rfc(SigningAlg::RS256).0, rfc(SigningAlg::ES256).0);
        let set = set(&[(Some("a"), &rsa), (Some("b"), &rsa), (Some("c"), &ec), (None, &rsa)]);
        let select =
            |kid| select_key(&set, &header(Some(kid)), SigningAlg::RS256).map(|key| key.kid.as_deref());
        assert_eq!((select("a"), select("b")), (Ok(Some("a")), Ok(Some("b"))));
        assert_eq!(select("c"), Err(JwsError::NoFittingKey));
        for kid in ["A", "", "a ", "../../etc/passwd", "a' OR '1'='1", "\u{0430}"] {
            assert_eq!(select(kid), Err(JwsError::UnknownKid), "{kid}");
        }
    }

    #[test]
    fn a_shared_name_is_resolved_by_kind_and_use_or_refused() {
        let (rsa, ec) = (rfc(SigningAlg::RS256).0, rfc(SigningAlg::ES256).0);
        let other = Jwk { alg: Some("PS256".into()), ..rsa.clone() };
        let encryption = Jwk { key_use: Some("enc".into()), ..rsa.clone() };
        let select =
            |set: &JwkSet| select_key(set, &header(Some("a")), SigningAlg::RS256).map(|key| key.clone().key);
        let name = Some("a");
        assert_eq!(
            select(&set(&[(name, &ec), (name, &other), (name, &encryption), (name, &rsa)])),
            Ok(rsa.key.clone())
        );
        assert_eq!(select(&set(&[(name, &rsa), (name, &rsa)])), Err(JwsError::AmbiguousKid));
        assert_eq!(select(&set(&[(name, &encryption), (name, &ec)])), Err(JwsError::NoFittingKey));
    }

    #[test]
    fn without_a_name_exactly_one_key_must_fit() {
        let (rsa, ec) = (rfc(SigningAlg::RS256).0, rfc(SigningAlg::ES256).0);
        let select =
            |set: &JwkSet| select_key(set, &header(None), SigningAlg::RS256).map(|key| key.kid.clone());
        assert_eq!(select(&set(&[(Some("a"), &rsa), (Some("b"), &ec)])), Ok(Some("a".to_owned())));
        assert_eq!(select(&set(&[(None, &rsa)])), Ok(None));
        assert_eq!(select(&set(&[(Some("a"), &rsa), (None, &rsa)])), Err(JwsError::KidRequired));
        assert_eq!(select(&set(&[(Some("b"), &ec)])), Err(JwsError::NoFittingKey));
        assert_eq!(select(&set(&[])), Err(JwsError::NoFittingKey));
    }

    #[test]
    fn the_half_hashes_are_those_that_openid_connect_prints() {
        // Appendix A.3: the access token and its at_hash. Appendix A.4: the code and its c_hash.
        let token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
        assert_eq!(half_hash(SigningAlg::RS256, token), "77QmUPtjPfzWtF2AnpK9RQ");
        let code = "Qcb0Orv1zh30vL1MPRsbm-diHiMwcLyZvn1arpZv-Jxf_11jnpEX3Tgfvk";
        for alg in [SigningAlg::RS256, SigningAlg::ES256] {
            assert_eq!(half_hash(alg, code), "LDktKdoQak3Pk0cnXxCltA");
        }
        let bytes =
            SigningAlg::ALL.iter().map(|alg| base64url::decode(half_hash(*alg, token)).unwrap().len());
        assert_eq!(bytes.collect::<Vec<_>>(), [16, 24, 32, 16, 24, 32, 16, 24, 32]);
    }
}
