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
    /// The algorithms that this broker signs with.
    pub const ALGS: [SigningAlg; 4] =
        [SigningAlg::RS256, SigningAlg::PS256, SigningAlg::ES256, SigningAlg::EdDSA];

    /// A new key. RSA keys have 2048 bits and take some 100 ms, so generate them off the runtime's threads.
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

    /// The key in a PKCS#8 document (RFC 5208), as [`SigningKey::to_pkcs8`] writes it.
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

    /// The name that tokens and key sets call it by.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half, as key sets publish it.
    pub const fn public_jwk(&self) -> &Jwk {
        &self.public
    }

    /// A compact token (RFC 7515, section 7.1) over `claims`. `typ` is the media type without `application/`
    /// (`JWT`, `at+jwt`, `logout+jwt`); `extra` adds header members such as `x5t#S256`, never the three that stand for
    /// the key and the type.
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

    /// The bare signature over `message`, in the form that JWS uses (RFC 7518, section 3).
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

    /// The public key as certificates carry it: `RSAPublicKey` in DER, a curve point, or the 32 bytes of Ed25519.
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
