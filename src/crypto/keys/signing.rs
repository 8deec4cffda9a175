//! One signing key, and the tokens that it signs.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use serde::Serialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::rsa_der;
use crate::crypto::CryptoError;
use crate::protocol::base64url;
use crate::protocol::jose::{Curve, Jwk, PublicKey, SigningAlg};

/// A private key for one algorithm: RS256, PS256, ES256 or `EdDSA`.
pub struct SigningKey {
    alg: SigningAlg,
    kid: String,
    pair: Pair,
    public: Jwk,
}

enum Pair {
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    /// The algorithms that the broker signs with.
    pub const ALGS: [SigningAlg; 4] =
        [SigningAlg::RS256, SigningAlg::PS256, SigningAlg::ES256, SigningAlg::EdDSA];

    /// A new key. RSA keys have 2048 bits and take about 100 ms, so do not generate them on the runtime's threads.
    pub fn generate(alg: SigningAlg, kid: String) -> Result<Self, CryptoError> {
        let pair = match alg {
            SigningAlg::RS256 | SigningAlg::PS256 => {
                Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048)?, rsa_encoding(alg)?)
            }
            SigningAlg::ES256 => Pair::Ecdsa(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?),
            SigningAlg::EdDSA => Pair::Ed25519(Ed25519KeyPair::generate()?),
            _ => return Err(CryptoError::PrivateKey),
        };
        Self::new(alg, kid, pair)
    }

    /// The key from a PKCS#8 document (RFC 5208), as [`SigningKey::to_pkcs8`] writes it.
    pub fn from_pkcs8(alg: SigningAlg, kid: String, pkcs8: &[u8]) -> Result<Self, CryptoError> {
        let pair = match alg {
            SigningAlg::RS256 | SigningAlg::PS256 => {
                Pair::Rsa(RsaKeyPair::from_pkcs8(pkcs8)?, rsa_encoding(alg)?)
            }
            SigningAlg::ES256 => {
                Pair::Ecdsa(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)?)
            }
            SigningAlg::EdDSA => Pair::Ed25519(Ed25519KeyPair::from_pkcs8(pkcs8)?),
            _ => return Err(CryptoError::PrivateKey),
        };
        Self::new(alg, kid, pair)
    }

    fn new(alg: SigningAlg, kid: String, pair: Pair) -> Result<Self, CryptoError> {
        let public = Jwk {
            key: pair.public_key().ok_or(CryptoError::PrivateKey)?,
            kid: Some(kid.clone()),
            key_use: Some("sig".to_owned()),
            alg: Some(alg.as_str().to_owned()),
            key_ops: None,
            issuer: None,
        };
        Ok(Self { alg, kid, pair, public })
    }

    /// The private key as PKCS#8, to be sealed; wiped when dropped.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let bytes = match &self.pair {
            Pair::Rsa(pair, _) => AsDer::<Pkcs8V1Der<'_>>::as_der(pair)?.as_ref().to_vec(),
            Pair::Ecdsa(pair) => pair.to_pkcs8v1()?.as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.to_pkcs8()?.as_ref().to_vec(),
        };
        Ok(Zeroizing::new(bytes))
    }

    /// The algorithm.
    pub const fn alg(&self) -> SigningAlg {
        self.alg
    }

    /// The name of the key in tokens and key sets.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half, as in key sets.
    pub const fn public_jwk(&self) -> &Jwk {
        &self.public
    }

    /// Signs `claims` as a compact token (RFC 7515, section 7.1). `typ` is the media type without `application/`
    /// (`JWT`, `at+jwt`, `logout+jwt`). `extra` adds header members such as `x5t#S256`; it cannot replace the three
    /// for the key and the type.
    pub fn sign_jwt(
        &self,
        typ: &str,
        extra: Option<&Map<String, Value>>,
        claims: &impl Serialize,
    ) -> Result<String, CryptoError> {
        let mut header = extra.cloned().unwrap_or_default();
        for (name, value) in [("alg", self.alg.as_str()), ("kid", &self.kid), ("typ", typ)] {
            if header.insert(name.to_owned(), value.into()).is_some() {
                return Err(CryptoError::ReservedHeader);
            }
        }
        let header = serde_json::to_vec(&header).map_err(|_| CryptoError::Claims)?;
        let claims = serde_json::to_vec(claims).map_err(|_| CryptoError::Claims)?;
        let mut token = base64url::encode(header);
        token.push('.');
        token.push_str(&base64url::encode(claims));
        let signature = base64url::encode(self.sign(token.as_bytes())?);
        token.push('.');
        token.push_str(&signature);
        Ok(token)
    }

    /// The bare signature of `message`, in the form that JWS uses (RFC 7518, section 3).
    pub(in crate::crypto) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        #[expect(clippy::disallowed_methods, reason = "an unread argument of AWS-LC's ring-shaped interface")]
        let unread = SystemRandom::new();
        Ok(match &self.pair {
            Pair::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &unread, message, &mut signature)?;
                signature
            }
            Pair::Ecdsa(pair) => pair.sign(&unread, message)?.as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.try_sign(message)?.as_ref().to_vec(),
        })
    }

    /// The public key as in certificates: `RSAPublicKey` in DER, a curve point, or the 32 bytes of Ed25519.
    pub(in crate::crypto) fn public_bytes(&self) -> &[u8] {
        self.pair.public_bytes()
    }
}

impl Pair {
    fn public_bytes(&self) -> &[u8] {
        match self {
            Self::Rsa(pair, _) => pair.public_key().as_ref(),
            Self::Ecdsa(pair) => pair.public_key().as_ref(),
            Self::Ed25519(pair) => pair.public_key().as_ref(),
        }
    }

    fn public_key(&self) -> Option<PublicKey> {
        let bytes = self.public_bytes();
        match self {
            Self::Rsa(..) => rsa_der::components(bytes).map(|(n, e)| PublicKey::Rsa { n, e }),
            Self::Ecdsa(_) => {
                let (x, y) = bytes.strip_prefix(&[0x04])?.split_at_checked(Curve::P256.coordinate_len())?;
                Some(PublicKey::Ec { curve: Curve::P256, x: x.to_vec(), y: y.to_vec() })
            }
            Self::Ed25519(_) => Some(PublicKey::Ed25519 { x: bytes.to_vec() }),
        }
    }
}

fn rsa_encoding(alg: SigningAlg) -> Result<&'static dyn RsaEncoding, CryptoError> {
    match alg {
        SigningAlg::RS256 => Ok(&RSA_PKCS1_SHA256),
        SigningAlg::PS256 => Ok(&RSA_PSS_SHA256),
        _ => Err(CryptoError::PrivateKey),
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[signing key {} {}]", self.kid, self.alg)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crypto::jws;
    use crate::protocol::jose::CompactJws;

    fn parse(token: &str) -> CompactJws {
        CompactJws::parse(token, 10_000).unwrap()
    }

    #[test]
    fn a_token_of_every_algorithm_verifies_and_says_what_it_is() {
        for alg in SigningKey::ALGS {
            let key = SigningKey::generate(alg, "key_1".to_owned()).unwrap();
            let token = parse(&key.sign_jwt("at+jwt", None, &json!({"sub": "é"})).unwrap());
            assert_eq!(jws::verify(&token, alg, key.public_jwk()), Ok(()), "{alg}");
            let header = (token.header().alg, token.header().kid.as_deref(), token.header().typ.as_deref());
            assert_eq!(header, (alg, Some("key_1"), Some("at+jwt")));
            assert_eq!(token.claims().map(Value::Object), Ok(json!({"sub": "é"})));
        }
    }

    #[test]
    fn a_key_is_the_same_after_its_pkcs8_document() {
        for alg in SigningKey::ALGS {
            let key = SigningKey::generate(alg, "a".to_owned()).unwrap();
            let again = SigningKey::from_pkcs8(alg, "a".to_owned(), &key.to_pkcs8().unwrap()).unwrap();
            assert_eq!(again.public_jwk(), key.public_jwk());
            let token = parse(&again.sign_jwt("JWT", None, &json!({})).unwrap());
            assert_eq!(jws::verify(&token, alg, key.public_jwk()), Ok(()), "{alg}");
        }
    }

    #[test]
    fn the_ed25519_example_of_rfc_8037_is_signed_as_printed() {
        let seed = base64url::decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
        let head =
            [0x30, 0x2e, 0x02, 0x01, 0, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
        let key =
            SigningKey::from_pkcs8(SigningAlg::EdDSA, "a".to_owned(), &[&head[..], &seed].concat()).unwrap();
        assert_eq!(json!(key.public_jwk())["x"], "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        let signature = key.sign(b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc").unwrap();
        assert_eq!(
            base64url::encode(signature),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        );
    }

    #[test]
    fn the_published_half_has_nothing_of_the_private_one() {
        for alg in SigningKey::ALGS {
            let key = SigningKey::generate(alg, "a".to_owned()).unwrap();
            let published = json!(key.public_jwk());
            let mut names: Vec<_> = published.as_object().unwrap().keys().map(String::as_str).collect();
            names.sort_unstable();
            let expected: &[&str] = match alg {
                SigningAlg::ES256 => &["alg", "crv", "kid", "kty", "use", "x", "y"],
                SigningAlg::EdDSA => &["alg", "crv", "kid", "kty", "use", "x"],
                _ => &["alg", "e", "kid", "kty", "n", "use"],
            };
            assert_eq!(names, expected, "{alg}");
            assert_eq!(format!("{key:?}"), format!("[signing key a {alg}]"));
        }
    }

    #[test]
    fn extra_header_members_are_added_but_never_replace_the_signers() {
        let key = SigningKey::generate(SigningAlg::ES256, "a".to_owned()).unwrap();
        let sign = |extra: Value| key.sign_jwt("JWT", extra.as_object(), &json!({}));
        let token = sign(json!({"x5t#S256": "abc"})).unwrap();
        let header = base64url::decode(token.split('.').next().unwrap()).unwrap();
        let header: Value = serde_json::from_slice(&header).unwrap();
        assert_eq!(header, json!({"alg": "ES256", "kid": "a", "typ": "JWT", "x5t#S256": "abc"}));
        for extra in [json!({"alg": "none"}), json!({"kid": "b"}), json!({"typ": "x"})] {
            assert_eq!(sign(extra.clone()), Err(CryptoError::ReservedHeader), "{extra}");
        }
    }

    #[test]
    fn no_key_is_made_or_read_for_what_is_not_signed_with() {
        for alg in SigningAlg::ALL.iter().copied().filter(|alg| !SigningKey::ALGS.contains(alg)) {
            assert_eq!(
                SigningKey::generate(alg, "a".to_owned()).err(),
                Some(CryptoError::PrivateKey),
                "{alg}"
            );
        }
        let key = SigningKey::generate(SigningAlg::ES256, "a".to_owned()).unwrap();
        let pkcs8 = key.to_pkcs8().unwrap();
        for alg in SigningKey::ALGS.into_iter().filter(|alg| *alg != SigningAlg::ES256) {
            assert!(SigningKey::from_pkcs8(alg, "a".to_owned(), &pkcs8).is_err(), "{alg}");
        }
        for len in 0..pkcs8.len() {
            assert!(
                SigningKey::from_pkcs8(SigningAlg::ES256, "a".to_owned(), &pkcs8[..len]).is_err(),
                "{len}"
            );
        }
    }
}
