//! The checks of an ID token that an app must make before it trusts it (`OpenID` Connect Core 1.0, section 3.1.3.7).

use std::time::Duration;

use serde_json::{Map, Value};

use crate::crypto::jws::{self, JwsError};
use crate::model::{SigningAlg, Timestamp};
use crate::protocol::jose::{CompactJws, JoseError, JwkSet};
use crate::protocol::json::{ClaimError, Claims, JsonError};

/// How far two clocks may differ.
const SKEW: Duration = Duration::from_mins(1);

/// The longest ID token that is accepted, in bytes.
const MAX_TOKEN: usize = 64 * 1024;

/// The checks that [`validate`] has made once it succeeds, as sentences for users.
pub(super) const PASSED: &[&str] = &[
    "The signature is valid under a key that the broker publishes, with the agreed algorithm.",
    "iss is the broker.",
    "aud is this app and no other client.",
    "exp is in the future, and iat is not.",
    "nonce is the one that this browser's sign-in began with.",
    "at_hash matches the access token that came with it.",
    "sub is the same in userinfo.",
];

/// The values that the token must have.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
    pub(super) alg: SigningAlg,
    pub(super) access_token: &'a str,
    pub(super) now: Timestamp,
}

/// Why a token is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenError {
    /// Not a token.
    #[error(transparent)]
    Form(#[from] JoseError),
    /// It does not contain strict JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The signature is not valid.
    #[error(transparent)]
    Signature(#[from] JwsError),
    /// A claim is missing or of the wrong type.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// A claim has another value than it must have.
    #[error("{0} is not what it must be")]
    Wrong(&'static str),
}

/// The claims of a token that passes every check.
// Order matters: nothing in the token is read before its signature is verified.
pub(super) fn validate(
    token: &str,
    keys: &JwkSet,
    expected: &Expected<'_>,
) -> Result<Map<String, Value>, TokenError> {
    let token = CompactJws::parse(token, MAX_TOKEN)?;
    jws::verify(&token, expected.alg, jws::select_key(keys, token.header(), expected.alg)?)?;
    let members = token.claims()?;
    let claims = Claims::of(&members);
    let must = |holds: bool, claim| if holds { Ok(()) } else { Err(TokenError::Wrong(claim)) };
    must(claims.required_string("iss")? == expected.issuer, "iss")?;
    must(claims.required_string_or_list("aud")? == [expected.client_id], "aud")?;
    must(claims.string("azp")?.is_none_or(|azp| azp == expected.client_id), "azp")?;
    must(expected.now.before(SKEW) < claims.required_numeric_date("exp")?, "exp")?;
    must(claims.required_numeric_date("iat")? <= expected.now.after(SKEW), "iat")?;
    must(claims.required_string("nonce")? == expected.nonce, "nonce")?;
    let at_hash = jws::half_hash(expected.alg, expected.access_token);
    must(claims.string("at_hash")?.is_none_or(|hash| hash == at_hash), "at_hash")?;
    must(!claims.required_string("sub")?.is_empty(), "sub")?;
    Ok(members)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crypto::keys::SigningKey;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    fn validate_with(change: &[(&str, Value)]) -> Result<Map<String, Value>, TokenError> {
        let key = SigningKey::generate(SigningAlg::ES256, "k".to_owned()).unwrap();
        let mut claims = json!({
            "iss": "https://broker.test", "aud": "notes", "sub": "acc_1", "nonce": "n",
            "iat": 1_800_000_000, "exp": 1_800_000_300, "at_hash": jws::half_hash(SigningAlg::ES256, "token"),
        });
        for (name, value) in change {
            claims[name] = value.clone();
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(*name);
            }
        }
        let token = key.sign_jwt("JWT", None, &claims).unwrap();
        check(&token, &key)
    }

    fn check(token: &str, key: &SigningKey) -> Result<Map<String, Value>, TokenError> {
        let keys = JwkSet { keys: vec![key.public_jwk().clone()] };
        let expected = Expected {
            issuer: "https://broker.test",
            client_id: "notes",
            nonce: "n",
            alg: SigningAlg::ES256,
            access_token: "token",
            now: NOW,
        };
        validate(token, &keys, &expected)
    }

    #[test]
    fn a_good_token_passes_with_one_audience_as_text_or_list() {
        assert_eq!(validate_with(&[]).unwrap()["sub"], "acc_1");
        assert!(validate_with(&[("aud", json!(["notes"]))]).is_ok());
        assert!(validate_with(&[("at_hash", Value::Null)]).is_ok());
        assert!(validate_with(&[("exp", json!(1_799_999_941))]).is_ok());
    }

    #[test]
    fn each_claim_is_held_against_what_it_must_be() {
        let wrong: [(&'static str, Value); 9] = [
            ("iss", json!("https://broker.test/")),
            ("aud", json!("other")),
            ("aud", json!(["notes", "other"])),
            ("azp", json!("other")),
            ("exp", json!(1_799_999_940)),
            ("iat", json!(1_800_000_061)),
            ("nonce", json!("m")),
            ("at_hash", json!("AAAA")),
            ("sub", json!("")),
        ];
        for (claim, value) in wrong {
            assert_eq!(validate_with(&[(claim, value)]), Err(TokenError::Wrong(claim)));
        }
    }

    #[test]
    fn a_claim_that_must_be_there_may_not_be_missing() {
        for claim in ["iss", "aud", "exp", "iat", "nonce", "sub"] {
            let missing = TokenError::Claim(ClaimError::Missing(claim.to_owned()));
            assert_eq!(validate_with(&[(claim, Value::Null)]), Err(missing));
        }
    }

    #[test]
    fn a_token_of_another_key_or_algorithm_is_refused() {
        let key = SigningKey::generate(SigningAlg::ES256, "k".to_owned()).unwrap();
        let forger = SigningKey::generate(SigningAlg::ES256, "k".to_owned()).unwrap();
        let token = forger.sign_jwt("JWT", None, &json!({})).unwrap();
        assert_eq!(check(&token, &key), Err(TokenError::Signature(JwsError::BadSignature)));
        let other = SigningKey::generate(SigningAlg::EdDSA, "k".to_owned()).unwrap();
        let token = other.sign_jwt("JWT", None, &json!({})).unwrap();
        assert!(matches!(check(&token, &other), Err(TokenError::Signature(_))));
    }
}
