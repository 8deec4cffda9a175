//! The compact serialization of a signed token (RFC 7515, section 7.1), read strictly and not yet verified.

use serde_json::{Map, Value};

use super::SigningAlg;
use super::jwk::MAX_KID;
use crate::protocol::base64url;
use crate::protocol::json::{self, Claims, JsonError};

/// The longest `typ` that is kept, in bytes.
const MAX_TYP: usize = 128;

/// Why a text is not a token that the broker would verify. Each variant is an audit reason of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoseError {
    /// Longer than the caller accepts.
    #[error("the token is too long")]
    TooLong,
    /// Not three parts.
    #[error("the token does not have three parts")]
    NotThreeParts,
    /// Five parts: a JWE. The broker registers no encryption key, so it cannot be meant for the broker (RFC 7516).
    #[error("the token is encrypted")]
    Encrypted,
    /// The header is not canonical base64url.
    #[error("the header is not base64url")]
    HeaderEncoding,
    /// The header is not a strict JSON object.
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
    /// `kid` is not a text, or longer than any real one.
    #[error("the key id is malformed")]
    KidMalformed,
    /// `typ` is not a text, or longer than any real one.
    #[error("the type is malformed")]
    TypMalformed,
    /// The header demands extensions, and the broker supports none (RFC 7515, section 4.1.11).
    #[error("the header demands an extension")]
    Crit,
    /// The header changes how the payload is encoded (RFC 7797).
    #[error("the header changes the payload's encoding")]
    B64,
    /// The header names a compression or a content encryption, which a signed token does not have (RFC 7516, section
    /// 4.1).
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
    /// The stable name of the reason, as in audit records.
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

/// The statements in the header of a token. Keys in it, and addresses of keys, are noted but never used (RFC 8725,
/// section
/// 3.10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwsHeader {
    /// The algorithm that the sender claims. The verifier compares it with the one that it expects.
    pub alg: SigningAlg,
    /// The name of the key.
    pub kid: Option<String>,
    /// The type of the token, as written.
    pub typ: Option<String>,
}

/// A token whose form is valid. Nothing in it may be trusted before `crypto::jws::verify` has accepted it.
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

    /// The bytes that the signature covers: the first two parts as they were sent.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const MAX: usize = 64 * 1_024;

    fn token(header: &str) -> String {
        format!("{}.{}.c2ln", base64url::encode(header), base64url::encode(r#"{"sub":"a"}"#))
    }

    fn parse(token: &str) -> Result<CompactJws, JoseError> {
        CompactJws::parse(token, MAX)
    }

    fn with_header(header: &Value) -> Result<JwsHeader, JoseError> {
        parse(&token(&header.to_string())).map(|jws| jws.header().clone())
    }

    #[test]
    fn a_sound_token_is_taken_apart() {
        let text = token(r#"{"alg":"ES256","kid":"k1","typ":"at+jwt","extra":1}"#);
        let jws = parse(&text).unwrap();
        let header =
            JwsHeader { alg: SigningAlg::ES256, kid: Some("k1".to_owned()), typ: Some("at+jwt".to_owned()) };
        assert_eq!(jws.header(), &header);
        assert_eq!(jws.payload(), br#"{"sub":"a"}"#);
        assert_eq!(jws.claims().map(Value::Object), Ok(json!({"sub": "a"})));
        assert_eq!(jws.signature(), b"sig");
        assert_eq!(jws.signing_input(), text.strip_suffix(".c2ln").unwrap().as_bytes());
    }

    #[test]
    fn unsigned_and_symmetric_tokens_have_reasons_of_their_own() {
        for alg in ["none", "None", "NONE", "nOnE"] {
            assert_eq!(with_header(&json!({"alg": alg})), Err(JoseError::AlgNone), "{alg}");
            let empty = format!("{}.e30.", base64url::encode(json!({"alg": alg}).to_string()));
            assert_eq!(parse(&empty), Err(JoseError::AlgNone), "{alg}");
        }
        for alg in ["HS256", "HS384", "HS512", "hs256"] {
            assert_eq!(with_header(&json!({"alg": alg})), Err(JoseError::AlgSymmetric), "{alg}");
        }
        for alg in ["", "ES256K", "ES512", "rs256", "RSA1_5", "dir", " none"] {
            assert_eq!(with_header(&json!({"alg": alg})), Err(JoseError::AlgUnsupported), "{alg}");
        }
        for header in [json!({}), json!({"alg": null}), json!({"alg": ["RS256"]}), json!({"ALG": "RS256"})] {
            assert_eq!(with_header(&header), Err(JoseError::AlgMissing), "{header}");
        }
    }

    #[test]
    fn a_header_that_changes_the_rules_is_refused() {
        for (name, value, reason) in [
            ("crit", json!(["exp"]), JoseError::Crit),
            ("crit", json!([]), JoseError::Crit),
            ("b64", json!(false), JoseError::B64),
            ("zip", json!("DEF"), JoseError::EncryptionHeader),
            ("enc", json!("A256GCM"), JoseError::EncryptionHeader),
            ("kid", json!(1), JoseError::KidMalformed),
            ("kid", json!("k".repeat(10_240)), JoseError::KidMalformed),
            ("typ", json!(null), JoseError::TypMalformed),
            ("typ", json!("t".repeat(MAX_TYP + 1)), JoseError::TypMalformed),
        ] {
            assert_eq!(with_header(&json!({"alg": "RS256", name: value})), Err(reason), "{name}");
        }
    }

    #[test]
    fn a_key_in_the_header_changes_nothing() {
        let without = with_header(&json!({"alg": "RS256"})).unwrap();
        for name in ["jwk", "jku", "x5u", "x5c", "x5t"] {
            assert_eq!(
                with_header(&json!({"alg": "RS256", name: {"kty": "oct"}})),
                Ok(without.clone()),
                "{name}"
            );
        }
    }

    #[test]
    fn only_three_parts_are_a_signed_token() {
        let three = token(r#"{"alg":"RS256"}"#);
        for text in ["", ".", "a", "a.b", "....", "a.b.c.d", "a.b.c.d.e.f", &".".repeat(1_000)] {
            let expected = if text == "...." { JoseError::Encrypted } else { JoseError::NotThreeParts };
            assert_eq!(parse(text), Err(expected), "{text}");
        }
        assert_eq!(parse(&format!("{three}.x.y")), Err(JoseError::Encrypted));
        assert_eq!(parse(&format!("{three}.x")), Err(JoseError::NotThreeParts));
    }

    #[test]
    fn a_bomb_for_decrypters_is_refused_by_its_form() {
        let header =
            base64url::encode(r#"{"alg":"PBES2-HS256+A128KW","enc":"A256GCM","zip":"DEF","p2c":1000000000}"#);
        assert_eq!(parse(&format!("{header}.a.b.c.d")), Err(JoseError::Encrypted));
    }

    #[test]
    fn every_part_must_be_canonical_base64url() {
        let header = base64url::encode(r#"{"alg":"RS256"}"#);
        for (text, reason) in [
            (format!("{header}=.e30.AA"), JoseError::HeaderEncoding),
            (format!(" {header}.e30.AA"), JoseError::HeaderEncoding),
            (format!("{header}.e30=.AA"), JoseError::PayloadEncoding),
            (format!("{header}.e31.AA"), JoseError::PayloadEncoding),
            (format!("{header}.e3+.AA"), JoseError::PayloadEncoding),
            (format!("{header}.e30.AB"), JoseError::SignatureEncoding),
            (format!("{header}.e30.AA\n"), JoseError::SignatureEncoding),
            (format!("{header}.e30."), JoseError::SignatureEmpty),
        ] {
            assert_eq!(parse(&text), Err(reason), "{text:?}");
        }
    }

    #[test]
    fn header_and_claims_are_strict_json() {
        for (header, reason) in [
            (r#"{"alg":"none","alg":"RS256"}"#, JsonError::DuplicateKey),
            (r#"["RS256"]"#, JsonError::NotAnObject),
            (r#"{"alg":"RS256"}{}"#, JsonError::TrailingBytes),
            ("", JsonError::Syntax),
        ] {
            assert_eq!(parse(&token(header)), Err(JoseError::HeaderJson(reason)), "{header}");
        }
        let header = base64url::encode(r#"{"alg":"RS256"}"#);
        let payload = base64url::encode(r#"{"sub":"a","sub":"b"}"#);
        assert_eq!(parse(&format!("{header}.{payload}.AA")).unwrap().claims(), Err(JsonError::DuplicateKey));
    }

    #[test]
    fn a_token_over_the_cap_is_refused_unread() {
        let text = token(r#"{"alg":"RS256"}"#);
        assert!(CompactJws::parse(&text, text.len()).is_ok());
        assert_eq!(CompactJws::parse(&text, text.len() - 1), Err(JoseError::TooLong));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,60}") {
            let _ = parse(&text);
        }

        #[test]
        fn nothing_near_a_token_makes_the_reader_panic(
            header in r#"\{("(alg|kid|typ|crit)":("RS256"|"none"|1|\[\]),?){0,4}\}"#,
            rest in "[A-Za-z0-9_=.-]{0,20}",
        ) {
            let text = format!("{}.{rest}", base64url::encode(header));
            if let Ok(jws) = parse(&text) {
                let again = format!(
                    "{}.{}", String::from_utf8_lossy(jws.signing_input()), base64url::encode(jws.signature())
                );
                prop_assert_eq!(again, text);
            }
        }
    }
}
