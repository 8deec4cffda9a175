//! The compact serialization of a signed token (RFC 7515, section 7.1), read strictly and not yet believed.

use serde_json::{Map, Value};

use super::SigningAlg;
use super::jwk::MAX_KID;
use crate::protocol::base64url;
use crate::protocol::json::{self, Claims, JsonError};

/// The longest `typ` that is kept, in bytes.
const MAX_TYP: usize = 128;

/// Why a text is no token that this broker would verify. Each variant is an audit reason of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoseError {
    /// Longer than the caller takes.
    #[error("the token is too long")]
    TooLong,
    /// Not three parts.
    #[error("the token has not three parts")]
    NotThreeParts,
    /// Five parts: a JWE. This broker registers no encryption key, so nobody can have meant it (RFC 7516).
    #[error("the token is encrypted")]
    Encrypted,
    /// The header is not canonical base64url.
    #[error("the header is not base64url")]
    HeaderEncoding,
    /// The header is no strict JSON object.
    #[error("the header is refused: {0}")]
    HeaderJson(JsonError),
    /// The header states no algorithm, or not as a text.
    #[error("the header states no algorithm")]
    AlgMissing,
    /// The header says that the token is unsigned.
    #[error("the token is unsigned")]
    AlgNone,
    /// The header names an HMAC algorithm.
    #[error("the algorithm is symmetric")]
    AlgSymmetric,
    /// The header names another algorithm that is not supported.
    #[error("the algorithm is not supported")]
    AlgUnsupported,
    /// `kid` is no text, or longer than any honest one.
    #[error("the key id is malformed")]
    KidMalformed,
    /// `typ` is no text, or longer than any honest one.
    #[error("the type is malformed")]
    TypMalformed,
    /// The header demands extensions; none is understood (RFC 7515, section 4.1.11).
    #[error("the header demands an extension")]
    Crit,
    /// The header changes how the payload is encoded (RFC 7797).
    #[error("the header changes the payload's encoding")]
    B64,
    /// The header names a compression or content encryption, which a signed token has not (RFC 7516, section 4.1).
    #[error("the header belongs to an encrypted token")]
    EncryptionHeader,
    /// The payload is not canonical base64url.
    #[error("the payload is not base64url")]
    PayloadEncoding,
    /// The signature is not canonical base64url.
    #[error("the signature is not base64url")]
    SignatureEncoding,
    /// There is no signature.
    #[error("the signature is empty")]
    SignatureEmpty,
}

impl JoseError {
    /// The stable name of the reason, as audit records carry it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLong => "token_too_long",
            Self::NotThreeParts => "token_not_three_parts",
            Self::Encrypted => "token_encrypted",
            Self::HeaderEncoding => "token_header_encoding",
            Self::HeaderJson(_) => "token_header_json",
            Self::AlgMissing => "token_alg_missing",
            Self::AlgNone => "token_alg_none",
            Self::AlgSymmetric => "token_alg_symmetric",
            Self::AlgUnsupported => "token_alg_unsupported",
            Self::KidMalformed => "token_kid_malformed",
            Self::TypMalformed => "token_typ_malformed",
            Self::Crit => "token_crit",
            Self::B64 => "token_b64",
            Self::EncryptionHeader => "token_encryption_header",
            Self::PayloadEncoding => "token_payload_encoding",
            Self::SignatureEncoding => "token_signature_encoding",
            Self::SignatureEmpty => "token_signature_empty",
        }
    }
}

/// What the header of a token states. Keys and addresses of keys in it are noted, never used (RFC 8725, section 3.10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwsHeader {
    /// The algorithm that the sender claims; the verifier compares it with the one that it expects.
    pub alg: SigningAlg,
    /// The name of the key.
    pub kid: Option<String>,
    /// The type of the token, as spelled.
    pub typ: Option<String>,
    /// Whether the header carries or points to a key (`jwk`, `jku`, `x5u` or `x5c`).
    pub names_a_key: bool,
}

/// A token whose form is sound. Nothing in it is to be believed before `crypto::jws::verify` has passed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompactJws {
    header: JwsHeader,
    signing_input: String,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl CompactJws {
    /// Reads a token of at most `max_len` bytes.
    pub fn parse(token: &str, max_len: usize) -> Result<Self, JoseError> {
        if token.len() > max_len {
            return Err(JoseError::TooLong);
        }
        let mut parts = token.split('.');
        let (header, payload, signature) = match (parts.next(), parts.next(), parts.next(), parts.count()) {
            (Some(header), Some(payload), Some(signature), 0) => (header, payload, signature),
            (_, _, _, 2) => return Err(JoseError::Encrypted),
            _ => return Err(JoseError::NotThreeParts),
        };
        let header_bytes = base64url::decode(header).map_err(|_| JoseError::HeaderEncoding)?;
        let object = json::parse_object(&header_bytes, max_len).map_err(JoseError::HeaderJson)?;
        let parsed = read_header(&object)?;
        let payload_bytes = base64url::decode(payload).map_err(|_| JoseError::PayloadEncoding)?;
        if signature.is_empty() {
            return Err(JoseError::SignatureEmpty);
        }
        Ok(Self {
            header: parsed,
            signing_input: format!("{header}.{payload}"),
            payload: payload_bytes,
            signature: base64url::decode(signature).map_err(|_| JoseError::SignatureEncoding)?,
        })
    }

    /// The header.
    pub const fn header(&self) -> &JwsHeader {
        &self.header
    }

    /// What the signature covers: the first two parts as they were sent.
    pub fn signing_input(&self) -> &[u8] {
        self.signing_input.as_bytes()
    }

    /// The payload, decoded.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The signature, decoded.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// The payload as a strict JSON object (RFC 7519, section 7.2).
    pub fn claims(&self) -> Result<Map<String, Value>, JsonError> {
        json::parse_object(&self.payload, self.payload.len())
    }
}

fn read_header(object: &Map<String, Value>) -> Result<JwsHeader, JoseError> {
    let has = |name: &str| object.contains_key(name);
    if has("enc") || has("zip") {
        return Err(JoseError::EncryptionHeader);
    }
    if has("crit") {
        return Err(JoseError::Crit);
    }
    if has("b64") {
        return Err(JoseError::B64);
    }
    let claims = Claims::of(object);
    let alg = claims.required_string("alg").map_err(|_| JoseError::AlgMissing)?;
    Ok(JwsHeader {
        alg: alg.parse().map_err(|_| refused_alg(alg))?,
        kid: short_text(claims, "kid", MAX_KID, JoseError::KidMalformed)?,
        typ: short_text(claims, "typ", MAX_TYP, JoseError::TypMalformed)?,
        names_a_key: ["jwk", "jku", "x5u", "x5c"].into_iter().any(has),
    })
}

fn short_text(
    claims: Claims<'_>,
    name: &str,
    max: usize,
    error: JoseError,
) -> Result<Option<String>, JoseError> {
    match claims.string(name) {
        Ok(text) if text.is_none_or(|text| text.len() <= max) => Ok(text.map(str::to_owned)),
        _ => Err(error),
    }
}

fn refused_alg(name: &str) -> JoseError {
    let name = name.to_ascii_uppercase();
    if name == "NONE" {
        JoseError::AlgNone
    } else if name.starts_with("HS") {
        JoseError::AlgSymmetric
    } else {
        JoseError::AlgUnsupported
    }
}
