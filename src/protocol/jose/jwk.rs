//! Public keys and key sets (RFC 7517; RFC 7518, section 6; RFC 8037, section 2).

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::SigningAlg;
use crate::protocol::base64url;
use crate::protocol::json::{self, Claims, JsonError};

/// The longest `kid` that is kept, in bytes.
pub(super) const MAX_KID: usize = 512;

/// The longest RSA modulus or exponent that is decoded, in bytes. `crypto` sets the narrower limits.
const MAX_MODULUS: usize = 2_048;

/// The longest text about a key's use that is kept, in bytes.
const MAX_USE: usize = 64;

/// The longest issuer that a key may state, in bytes.
const MAX_ISSUER: usize = 1_024;

/// The most operations that a key may list.
const MAX_OPERATIONS: usize = 16;

/// The members that only a private or symmetric key has (RFC 7518, sections 6.2.2, 6.3.2 and 6.4).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// The curve of an ECDSA key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curve {
    /// NIST P-256, coordinates of 32 bytes.
    P256,
    /// NIST P-384, coordinates of 48 bytes.
    P384,
}

impl Curve {
    const ALL: [Self; 2] = [Self::P256, Self::P384];

    const fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
        }
    }

    /// The length of one coordinate in bytes.
    pub const fn coordinate_len(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }
}

/// The key itself, decoded but not examined: `crypto` decides whether it is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// An RSA key.
    Rsa {
        /// The modulus, big-endian without leading zeros.
        n: Vec<u8>,
        /// The public exponent, big-endian without leading zeros.
        e: Vec<u8>,
    },
    /// A point on a NIST curve.
    Ec {
        /// The curve.
        curve: Curve,
        /// The first coordinate, of exactly the curve's length.
        x: Vec<u8>,
        /// The second coordinate, of exactly the curve's length.
        y: Vec<u8>,
    },
    /// An Ed25519 key.
    Ed25519 {
        /// The 32 bytes of the key.
        x: Vec<u8>,
    },
}

/// A public key, with what its publisher says about its use. `x5c` and unknown members are dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jwk {
    /// The key.
    pub key: PublicKey,
    /// Its name within its set.
    pub kid: Option<String>,
    /// `sig`, `enc` or something else.
    pub key_use: Option<String>,
    /// The only algorithm that it may be used with, by any JOSE name.
    pub alg: Option<String>,
    /// The operations that it may be used for.
    pub key_ops: Option<Vec<String>>,
    /// The issuer whose tokens it signs. Entra ID states it in sets that several issuers share.
    pub issuer: Option<String>,
}

/// Why a single key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwkError {
    /// `kty` or `crv` is absent, or names a kind of key that the broker cannot verify signatures with.
    #[error("the kind of the key is not supported")]
    UnsupportedKind,
    /// A member is absent, of the wrong type or length, or not base64url.
    #[error("the key is malformed")]
    Malformed,
    /// A private member is published with it: everyone who reads the set can sign with the key.
    #[error("the key is published with a private member")]
    Private,
}

impl Jwk {
    /// Reads one key.
    pub fn from_object(object: &Map<String, Value>) -> Result<Self, JwkError> {
        let claims = Claims::of(object);
        let text = |name| claims.string(name).map_err(|_| JwkError::Malformed);
        let key = match text("kty")? {
            Some("RSA") => rsa(claims)?,
            Some("EC") => ec(claims)?,
            Some("OKP") => okp(claims)?,
            _ => return Err(JwkError::UnsupportedKind),
        };
        if PRIVATE_MEMBERS.iter().any(|name| object.contains_key(*name)) {
            return Err(JwkError::Private);
        }
        let short = |name, most| match text(name)? {
            Some(text) if text.len() > most => Err(JwkError::Malformed),
            text => Ok(text.map(str::to_owned)),
        };
        Ok(Self {
            key,
            kid: short("kid", MAX_KID)?,
            key_use: short("use", MAX_USE)?,
            alg: short("alg", MAX_USE)?,
            key_ops: key_ops(object)?,
            issuer: short("issuer", MAX_ISSUER)?,
        })
    }

    /// About how many bytes of memory this takes.
    fn bytes(&self) -> usize {
        let key = match &self.key {
            PublicKey::Rsa { n, e } => n.capacity() + e.capacity(),
            PublicKey::Ec { x, y, .. } => x.capacity() + y.capacity(),
            PublicKey::Ed25519 { x } => x.capacity(),
        };
        let texts = [&self.kid, &self.key_use, &self.alg, &self.issuer].into_iter().flatten();
        let operations = self.key_ops.iter().flatten();
        size_of::<Self>()
            + key
            + texts.map(String::capacity).sum::<usize>()
            + operations.map(|operation| size_of::<String>() + operation.capacity()).sum::<usize>()
    }

    /// Whether the kind of key, and what its publisher says about its use, allow verifying `alg` signatures with it.
    pub fn allows(&self, alg: SigningAlg) -> bool {
        self.fits(alg)
            && self.key_use.as_deref().is_none_or(|key_use| key_use == "sig")
            && self.alg.as_deref().is_none_or(|name| name == alg.as_str())
            && self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"))
    }

    /// Whether the kind of key is the one that `alg` signs with.
    pub fn fits(&self, alg: SigningAlg) -> bool {
        use SigningAlg::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        match (&self.key, alg) {
            (PublicKey::Rsa { .. }, RS256 | RS384 | RS512 | PS256 | PS384 | PS512)
            | (PublicKey::Ed25519 { .. }, EdDSA) => true,
            (PublicKey::Ec { curve, .. }, ES256) => *curve == Curve::P256,
            (PublicKey::Ec { curve, .. }, ES384) => *curve == Curve::P384,
            _ => false,
        }
    }
}

fn bytes(claims: Claims<'_>, name: &str) -> Result<Vec<u8>, JwkError> {
    let text = claims.required_string(name).map_err(|_| JwkError::Malformed)?;
    base64url::decode(text).map_err(|_| JwkError::Malformed)
}

fn exactly(claims: Claims<'_>, name: &str, len: usize) -> Result<Vec<u8>, JwkError> {
    bytes(claims, name)
        .and_then(|bytes| if bytes.len() == len { Ok(bytes) } else { Err(JwkError::Malformed) })
}

/// Some publishers write a sign byte before the modulus, although RFC 7518, section 2, forbids it. It does no harm.
fn integer(claims: Claims<'_>, name: &str) -> Result<Vec<u8>, JwkError> {
    let bytes = bytes(claims, name)?;
    let digits: Vec<u8> = bytes.into_iter().skip_while(|byte| *byte == 0).collect();
    if digits.is_empty() || digits.len() > MAX_MODULUS { Err(JwkError::Malformed) } else { Ok(digits) }
}

fn rsa(claims: Claims<'_>) -> Result<PublicKey, JwkError> {
    Ok(PublicKey::Rsa { n: integer(claims, "n")?, e: integer(claims, "e")? })
}

fn ec(claims: Claims<'_>) -> Result<PublicKey, JwkError> {
    let name = claims.required_string("crv").map_err(|_| JwkError::Malformed)?;
    let curve = Curve::ALL.into_iter().find(|curve| curve.name() == name).ok_or(JwkError::UnsupportedKind)?;
    let len = curve.coordinate_len();
    Ok(PublicKey::Ec { curve, x: exactly(claims, "x", len)?, y: exactly(claims, "y", len)? })
}

fn okp(claims: Claims<'_>) -> Result<PublicKey, JwkError> {
    match claims.required_string("crv") {
        Ok("Ed25519") => Ok(PublicKey::Ed25519 { x: exactly(claims, "x", 32)? }),
        Ok(_) => Err(JwkError::UnsupportedKind),
        Err(_) => Err(JwkError::Malformed),
    }
}

fn key_ops(object: &Map<String, Value>) -> Result<Option<Vec<String>>, JwkError> {
    let Some(value) = object.get("key_ops") else { return Ok(None) };
    value
        .as_array()
        .filter(|ops| ops.len() <= MAX_OPERATIONS)
        .and_then(|ops| {
            let short = |op: &Value| op.as_str().filter(|op| op.len() <= MAX_USE).map(str::to_owned);
            ops.iter().map(short).collect::<Option<Vec<_>>>()
        })
        .map(Some)
        .ok_or(JwkError::Malformed)
}

impl Serialize for Jwk {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match &self.key {
            PublicKey::Rsa { n, e } => {
                map.serialize_entry("kty", "RSA")?;
                map.serialize_entry("n", &base64url::encode(n))?;
                map.serialize_entry("e", &base64url::encode(e))?;
            }
            PublicKey::Ec { curve, x, y } => {
                map.serialize_entry("kty", "EC")?;
                map.serialize_entry("crv", curve.name())?;
                map.serialize_entry("x", &base64url::encode(x))?;
                map.serialize_entry("y", &base64url::encode(y))?;
            }
            PublicKey::Ed25519 { x } => {
                map.serialize_entry("kty", "OKP")?;
                map.serialize_entry("crv", "Ed25519")?;
                map.serialize_entry("x", &base64url::encode(x))?;
            }
        }
        let texts =
            [("kid", &self.kid), ("use", &self.key_use), ("alg", &self.alg), ("issuer", &self.issuer)];
        for (name, value) in texts {
            if let Some(value) = value {
                map.serialize_entry(name, value)?;
            }
        }
        if let Some(ops) = &self.key_ops {
            map.serialize_entry("key_ops", ops)?;
        }
        map.end()
    }
}

/// A published set of keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct JwkSet {
    /// The usable keys, in the publisher's order.
    pub keys: Vec<Jwk>,
}

/// Why a whole set was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    /// The document is not a strict JSON object.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// `keys` is absent or not an array.
    #[error("the document has no array of keys")]
    NoKeys,
    /// More keys than a set may have.
    #[error("the set has too many keys")]
    TooManyKeys,
}

impl JwksError {
    /// The stable name of the reason, as in audit records.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Json(_) => "jwks_json",
            Self::NoKeys => "jwks_no_keys",
            Self::TooManyKeys => "jwks_too_many_keys",
        }
    }
}

impl JwkSet {
    /// The most keys that a set may have.
    const MAX_KEYS: usize = 100;

    /// The largest document that is read, in bytes.
    pub const MAX_BYTES: usize = 1 << 20;

    /// Reads a set. Keys that cannot be used (encryption curves, symmetric keys, malformed ones) are left out, as RFC
    /// 7517, section 5, advises, and do not affect the others.
    pub fn parse(bytes: &[u8]) -> Result<Self, JwksError> {
        let object = json::parse_object(bytes, Self::MAX_BYTES)?;
        let keys = object.get("keys").and_then(Value::as_array).ok_or(JwksError::NoKeys)?;
        if keys.len() > Self::MAX_KEYS {
            return Err(JwksError::TooManyKeys);
        }
        let usable = keys.iter().filter_map(Value::as_object).filter_map(|key| Jwk::from_object(key).ok());
        Ok(Self { keys: usable.collect() })
    }

    /// About how many bytes of memory this takes.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.keys.iter().map(Jwk::bytes).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(value: &Value) -> Result<Jwk, JwkError> {
        Jwk::from_object(value.as_object().unwrap())
    }

    fn b64(len: usize) -> String {
        base64url::encode(vec![0x81; len])
    }

    fn with(base: &Value, name: &str, value: Value) -> Value {
        let mut object = base.clone();
        object[name] = value;
        object
    }

    fn rsa_key() -> Value {
        json!({"kty": "RSA", "n": b64(256), "e": "AQAB"})
    }

    fn ec_key() -> Value {
        json!({"kty": "EC", "crv": "P-256", "x": b64(32), "y": b64(32)})
    }

    fn okp_key() -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "x": b64(32)})
    }

    #[test]
    fn of_a_huge_set_little_is_kept() {
        let key = |name: &str, value: Value| with(&okp_key(), name, value);
        let refused = [
            key("use", "x".repeat(65).into()),
            key("alg", "x".repeat(65).into()),
            key("kid", "x".repeat(513).into()),
            key("issuer", "x".repeat(1_025).into()),
            key("key_ops", json!(["x".repeat(65)])),
            key("key_ops", json!(vec!["verify"; 17])),
        ];
        for key in refused {
            assert_eq!(read(&key), Err(JwkError::Malformed), "{key}");
        }
        let mut fullest = rsa_key();
        for (name, value) in [
            ("n", b64(MAX_MODULUS).into()),
            ("e", b64(MAX_MODULUS).into()),
            ("kid", "x".repeat(MAX_KID).into()),
            ("issuer", "x".repeat(MAX_ISSUER).into()),
            ("x5c", json!(["x".repeat(1_000)])),
        ] {
            fullest[name] = value;
        }
        let set = json!({ "keys": vec![fullest; JwkSet::MAX_KEYS] }).to_string();
        let set = JwkSet::parse(set.as_bytes()).unwrap();
        assert_eq!(set.keys.len(), JwkSet::MAX_KEYS);
        assert!((500_000..700_000).contains(&set.bytes()), "{}", set.bytes());
    }

    #[test]
    fn every_kind_of_key_round_trips() {
        let p384 = json!({"kty": "EC", "crv": "P-384", "x": b64(48), "y": b64(48)});
        for key in [rsa_key(), ec_key(), p384, okp_key()] {
            let mut full = key.clone();
            for (name, value) in [
                ("kid", json!("a")),
                ("use", json!("sig")),
                ("issuer", json!("https://i")),
                ("key_ops", json!(["verify"])),
            ] {
                full[name] = value;
            }
            for key in [key, full] {
                assert_eq!(json!(read(&key).unwrap()), key);
            }
        }
    }

    #[test]
    fn certificates_and_unknown_members_are_dropped() {
        let key = with(&with(&rsa_key(), "x5c", json!(["MII…"])), "x5t", json!(7));
        assert_eq!(json!(read(&key).unwrap()), rsa_key());
    }

    #[test]
    fn a_leading_sign_byte_of_the_modulus_changes_nothing() {
        let key = with(&rsa_key(), "n", json!(base64url::encode([&[0][..], &[0x81; 256]].concat())));
        assert_eq!(read(&key), read(&rsa_key()));
    }

    #[test]
    fn symmetric_encryption_and_unknown_kinds_are_not_supported() {
        for key in [
            json!({"kty": "oct", "k": "c2VjcmV0"}),
            json!({"kty": "rsa", "n": b64(256), "e": "AQAB"}),
            json!({"n": b64(256), "e": "AQAB"}),
            with(&ec_key(), "crv", json!("secp256k1")),
            with(&ec_key(), "crv", json!("P-521")),
            with(&okp_key(), "crv", json!("X25519")),
        ] {
            assert_eq!(read(&key), Err(JwkError::UnsupportedKind), "{key}");
        }
    }

    #[test]
    fn a_malformed_member_spoils_its_key() {
        for key in [
            with(&rsa_key(), "n", json!(null)),
            with(&rsa_key(), "n", json!("")),
            with(&rsa_key(), "n", json!("AA")),
            with(&rsa_key(), "n", json!("+/+/")),
            with(&rsa_key(), "n", json!("AQAB====")),
            with(&rsa_key(), "n", json!(b64(2_049))),
            with(&rsa_key(), "e", json!(65537)),
            with(&rsa_key(), "kid", json!(1)),
            with(&rsa_key(), "kid", json!("k".repeat(MAX_KID + 1))),
            with(&rsa_key(), "use", json!(["sig"])),
            with(&rsa_key(), "alg", json!(null)),
            with(&rsa_key(), "key_ops", json!("verify")),
            with(&rsa_key(), "key_ops", json!(["verify", 1])),
            with(&ec_key(), "x", json!(b64(31))),
            with(&ec_key(), "y", json!(b64(33))),
            with(&okp_key(), "x", json!(b64(33))),
            json!({"kty": "RSA", "e": "AQAB"}),
            json!({"kty": "EC", "x": b64(32), "y": b64(32)}),
            json!({"kty": "OKP", "crv": "Ed25519"}),
        ] {
            assert_eq!(read(&key), Err(JwkError::Malformed), "{key}");
        }
    }

    #[test]
    fn a_key_published_with_its_private_half_is_refused() {
        for (key, name) in [(rsa_key(), "d"), (rsa_key(), "p"), (ec_key(), "d"), (okp_key(), "d")] {
            assert_eq!(read(&with(&key, name, json!("AQAB"))), Err(JwkError::Private), "{name}");
        }
    }

    #[test]
    fn what_the_publisher_says_limits_the_use() {
        let allows = |name, value| read(&with(&rsa_key(), name, value)).unwrap().allows(SigningAlg::RS256);
        assert!(
            allows("use", json!("sig"))
                && allows("alg", json!("RS256"))
                && allows("key_ops", json!(["verify"]))
        );
        assert!(!allows("use", json!("enc")) && !allows("use", json!("SIG")));
        assert!(
            !allows("alg", json!("RS512")) && !allows("alg", json!("RSA-OAEP")) && !allows("alg", json!(""))
        );
        assert!(!allows("key_ops", json!(["sign", "encrypt"])) && !allows("key_ops", json!([])));
    }

    #[test]
    fn each_kind_of_key_fits_its_own_algorithms_only() {
        use SigningAlg::{ES256, ES384, EdDSA};
        let p384 = json!({"kty": "EC", "crv": "P-384", "x": b64(48), "y": b64(48)});
        for (key, algs) in [(ec_key(), vec![ES256]), (p384, vec![ES384]), (okp_key(), vec![EdDSA])] {
            let key = read(&key).unwrap();
            assert_eq!(
                SigningAlg::ALL.iter().copied().filter(|alg| key.fits(*alg)).collect::<Vec<_>>(),
                algs
            );
        }
        let rsa = read(&rsa_key()).unwrap();
        assert_eq!(
            SigningAlg::ALL.iter().copied().filter(|alg| !rsa.fits(*alg)).collect::<Vec<_>>(),
            [ES256, ES384, EdDSA]
        );
    }

    #[test]
    fn unusable_keys_are_left_out_and_the_rest_kept_in_order() {
        let keys = json!({"keys": [
            with(&rsa_key(), "kid", json!("a")), {"kty": "oct", "k": "AA"}, 7, null, {},
            with(&okp_key(), "d", json!("AA")), with(&ec_key(), "kid", json!("b")),
        ]});
        let set = JwkSet::parse(keys.to_string().as_bytes()).unwrap();
        assert_eq!(set.keys.iter().map(|key| key.kid.as_deref()).collect::<Vec<_>>(), [Some("a"), Some("b")]);
    }

    #[test]
    fn a_set_is_an_object_with_an_array_of_at_most_100_keys() {
        let of = |count: usize| json!({"keys": vec![okp_key(); count]}).to_string();
        assert_eq!(JwkSet::parse(of(0).as_bytes()).unwrap().keys, []);
        assert_eq!(JwkSet::parse(of(100).as_bytes()).unwrap().keys.len(), 100);
        assert_eq!(JwkSet::parse(of(101).as_bytes()), Err(JwksError::TooManyKeys));
        for text in ["{}", r#"{"keys":{}}"#, r#"{"keys":null}"#] {
            assert_eq!(JwkSet::parse(text.as_bytes()), Err(JwksError::NoKeys), "{text}");
        }
        assert_eq!(JwkSet::parse(b"[]"), Err(JwksError::Json(JsonError::NotAnObject)));
        assert_eq!(JwkSet::parse(br#"{"keys":[],"keys":[]}"#), Err(JwksError::Json(JsonError::DuplicateKey)));
    }

    #[test]
    fn a_huge_set_is_refused_unread() {
        let text = format!(r#"{{"keys":[],"x":"{}"}}"#, "a".repeat(JwkSet::MAX_BYTES));
        assert_eq!(JwkSet::parse(text.as_bytes()), Err(JwksError::Json(JsonError::TooLarge)));
    }

    proptest! {
        #[test]
        fn no_key_makes_the_reader_panic(
            kty in prop_oneof![Just("RSA"), Just("EC"), Just("OKP")],
            crv in prop_oneof![Just("P-256"), Just("P-384"), Just("Ed25519"), Just("")],
            x in "[A-Za-z0-9_=-]{0,70}",
            y in "[A-Za-z0-9_-]{0,70}",
        ) {
            let key = json!({"kty": kty, "crv": crv, "x": x, "y": y, "n": x, "e": y});
            if let Ok(key) = read(&key) {
                prop_assert_eq!(read(&json!(key)), Ok(key));
            }
        }
    }
}
