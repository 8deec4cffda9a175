//! Every check of an ID token (`OpenID` Connect Core, section 3.1.3.7; RFC 8725).
//!
//! Pure functions over their arguments: no clock, no network. No claim of a token is trusted before its signature is
//! verified, by a key of this connection's own set, under the only algorithm that the connection allows.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::crypto::constant_time_eq;
use crate::crypto::jws::{self, JwsError, half_hash};
use crate::model::{Connection, IssuerMatch, SigningAlg, TENANT, Timestamp};
use crate::protocol::jose::{CompactJws, JoseError, Jwk, JwkSet};
use crate::protocol::json::{ClaimError, Claims, JsonError};

/// The longest token that is accepted, in bytes.
pub const MAX_TOKEN: usize = 64 * 1024;
/// How far the clocks may differ, in either direction.
pub(in crate::upstream) const SKEW: Duration = Duration::from_mins(1);
/// How old a token may be.
pub(super) const MAX_AGE: Duration = Duration::from_mins(10);
/// How far in the future a token may expire.
const MAX_LIFETIME: Duration = Duration::from_hours(10 * 365 * 24 + 3 * 24);
const MAX_SUBJECT: usize = 255;
/// The longest session id that is kept, in characters. A logout token must not name a longer one.
const MAX_SESSION: usize = 255;
/// How many authentication methods are kept, and how long each may be, in bytes.
const MAX_METHODS: usize = 20;
const MAX_METHOD: usize = 64;

/// Why an ID token was refused. Each reason has a code of its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenError {
    /// Its form.
    #[error("{0}")]
    Form(#[from] JoseError),
    /// Its header says that it is another kind of token.
    #[error("the token has the wrong type")]
    Type,
    /// Its signature.
    #[error("{0}")]
    Signature(#[from] JwsError),
    /// Its claims are not a strict JSON object.
    #[error("the claims are refused: {0}")]
    Json(#[from] JsonError),
    /// A claim is missing or of the wrong type.
    #[error("{0}")]
    Claim(#[from] ClaimError),
    /// `iss` names another issuer.
    #[error("the issuer is not the expected one")]
    Issuer,
    /// `iss` and `tid` name different tenants.
    #[error("the issuer and the tenant claim name different tenants")]
    TenantMismatch,
    /// The tenant is not among those that the connection lists.
    #[error("the tenant is not allowed")]
    TenantNotAllowed,
    /// The key is published for another issuer.
    #[error("the key belongs to another issuer")]
    KeyIssuer,
    /// `sub` is empty or too long.
    #[error("the subject is empty or too long")]
    Subject,
    /// The token is not for the broker.
    #[error("the token is not for this client")]
    Audience,
    /// The token is also for an audience that the connection does not trust.
    #[error("the token is also for an audience that is not trusted")]
    UntrustedAudience,
    /// `azp` names another client.
    #[error("the token was issued to another client")]
    AuthorizedParty,
    /// The token has expired.
    #[error("the token has expired")]
    Expired,
    /// The token expires too far in the future.
    #[error("the token expires too late")]
    ExpiresTooLate,
    /// `iat` is in the future.
    #[error("the token was issued in the future")]
    IssuedInFuture,
    /// The token is too old.
    #[error("the token was issued too long ago")]
    IssuedTooLongAgo,
    /// `nbf` is in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `nonce` has another value.
    #[error("the nonce is not the expected one")]
    Nonce,
    /// `at_hash` does not belong to the access token.
    #[error("the token does not belong to the access token")]
    AccessTokenHash,
    /// `c_hash` does not belong to the code.
    #[error("the token does not belong to the code")]
    CodeHash,
    /// `auth_time` is in the future.
    #[error("the sign-in is in the future")]
    SignInInFuture,
    /// The sign-in is older than the app allows.
    #[error("the sign-in is older than demanded")]
    SignInTooOld,
    /// A fresh sign-in was demanded, but the token does not say when it took place.
    #[error("the identity provider does not say when the user signed in")]
    SignInTimeUnknown,
    /// `acr` was demanded, but is missing.
    #[error("the identity provider does not say how strongly the user signed in")]
    ContextMissing,
    /// `acr` is not one of those that were demanded.
    #[error("the sign-in was not of the demanded strength")]
    ContextMismatch,
    /// A claim that the connection requires has another value, or none.
    #[error("{0} has none of the values that the connection requires")]
    RequiredClaim(String),
}

impl IdTokenError {
    /// The stable name of the reason, as in audit records.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Form(error) => error.code(),
            Self::Type => "id_token_type",
            Self::Signature(error) => error.code(),
            Self::Json(_) => "id_token_json",
            Self::Claim(error) => claim_code(error),
            Self::Issuer => "id_token_iss_mismatch",
            Self::TenantMismatch => "id_token_tenant_mismatch",
            Self::TenantNotAllowed => "id_token_tenant_not_allowed",
            Self::KeyIssuer => "id_token_key_issuer",
            Self::Subject => "id_token_sub_length",
            Self::Audience => "id_token_aud_mismatch",
            Self::UntrustedAudience => "id_token_aud_untrusted",
            Self::AuthorizedParty => "id_token_azp_mismatch",
            Self::Expired => "id_token_expired",
            Self::ExpiresTooLate => "id_token_exp_too_late",
            Self::IssuedInFuture => "id_token_iat_in_future",
            Self::IssuedTooLongAgo => "id_token_iat_too_old",
            Self::NotYetValid => "id_token_nbf_in_future",
            Self::Nonce => "id_token_nonce_mismatch",
            Self::AccessTokenHash => "id_token_at_hash_mismatch",
            Self::CodeHash => "id_token_c_hash_mismatch",
            Self::SignInInFuture => "id_token_auth_time_in_future",
            Self::SignInTooOld => "id_token_auth_time_too_old",
            Self::SignInTimeUnknown => "id_token_auth_time_unknown",
            Self::ContextMissing => "id_token_acr_missing",
            Self::ContextMismatch => "id_token_acr_mismatch",
            Self::RequiredClaim(_) => "id_token_required_claim",
        }
    }

    /// Whether a newer key set could change the result.
    pub(in crate::upstream) fn may_be_a_new_key(&self, jws: &CompactJws) -> bool {
        let nameless = jws.header().kid.is_none();
        match self {
            Self::Signature(JwsError::UnknownKid) => true,
            Self::Signature(JwsError::NoFittingKey | JwsError::BadSignature) => nameless,
            _ => false,
        }
    }
}

/// The codes for a missing and a malformed claim: claim, code if missing, code if malformed.
const CLAIM_CODES: &[(&str, &str, &str)] = &[
    ("iss", "id_token_iss_missing", "id_token_iss_malformed"),
    ("sub", "id_token_sub_missing", "id_token_sub_malformed"),
    ("aud", "id_token_aud_missing", "id_token_aud_malformed"),
    ("azp", "id_token_azp_missing", "id_token_azp_malformed"),
    ("exp", "id_token_exp_missing", "id_token_exp_malformed"),
    ("iat", "id_token_iat_missing", "id_token_iat_malformed"),
    ("nbf", "id_token_nbf_missing", "id_token_nbf_malformed"),
    ("nonce", "id_token_nonce_missing", "id_token_nonce_malformed"),
    ("at_hash", "id_token_at_hash_missing", "id_token_at_hash_malformed"),
    ("c_hash", "id_token_c_hash_missing", "id_token_c_hash_malformed"),
    ("auth_time", "id_token_auth_time_missing", "id_token_auth_time_malformed"),
    ("acr", "id_token_acr_missing", "id_token_acr_malformed"),
    ("amr", "id_token_amr_missing", "id_token_amr_malformed"),
    ("sid", "id_token_sid_missing", "id_token_sid_malformed"),
    ("tid", "id_token_tid_missing", "id_token_tid_malformed"),
    ("jti", "id_token_jti_missing", "id_token_jti_malformed"),
    ("events", "id_token_events_missing", "id_token_events_malformed"),
];

pub(super) fn claim_code(error: &ClaimError) -> &'static str {
    let known = CLAIM_CODES.iter().find(|(name, _, _)| *name == error.claim());
    match (known, error) {
        (Some((_, missing, _)), ClaimError::Missing(_)) => missing,
        (Some((_, _, malformed)), _) => malformed,
        (None, error) => error.code(),
    }
}

/// The values that a token is checked against.
#[derive(Debug, Clone)]
pub struct Expectation<'a> {
    /// The present time.
    pub now: Timestamp,
    /// The nonce that was sent.
    pub nonce: &'a str,
    /// The code that the token came for.
    pub code: Option<&'a str>,
    /// The access token that came with it.
    pub access_token: Option<&'a str>,
    /// Set if a fresh sign-in is demanded.
    pub fresh: Option<FreshSignIn>,
    /// `acr` must be one of these, in the identity provider's words. `None` demands nothing.
    pub acr: Option<&'a [&'a str]>,
}

/// A demand for a fresh sign-in, from `max_age` or `prompt=login`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreshSignIn {
    /// The oldest sign-in that is recent enough.
    pub not_before: Timestamp,
    /// Whether `prompt=login` was sent, and the answer must prove that the user was asked.
    pub forced: bool,
}

/// The claims of a token that passed every check.
#[derive(Debug, Clone, PartialEq)]
pub struct IdTokenClaims {
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// `iat`.
    pub issued_at: Timestamp,
    /// When the user signed in there, if the identity provider says so or the connection allows to infer it.
    pub auth_time: Option<Timestamp>,
    /// `acr`.
    pub acr: Option<String>,
    /// `amr`, within the limits.
    pub amr: Vec<String>,
    /// Whether `amr` or `sid` exceeded the limits.
    pub shortened: bool,
    /// `sid`, if it is within the limit.
    pub sid: Option<String>,
    /// All claims.
    pub all: Map<String, Value>,
}

/// Checks a token against the keys of its connection and the expected values.
pub fn verify(
    jws: &CompactJws,
    keys: &JwkSet,
    connection: &Connection,
    expected: &Expectation<'_>,
) -> Result<IdTokenClaims, IdTokenError> {
    // Order matters: type, algorithm and signature are checked before any claim is read.
    check_type(jws, &["JWT"])?;
    let key = check_signature(jws, keys, connection)?;
    let all = jws.claims()?;
    let claims = Claims::of(&all);
    check_parties(claims, key, connection)?;
    let issued_at = check_times(claims, expected.now)?;
    if !constant_time_eq(claims.required_string("nonce")?.as_bytes(), expected.nonce.as_bytes()) {
        return Err(IdTokenError::Nonce);
    }
    let alg = connection.settings.id_token_alg;
    check_half_hash(claims, "at_hash", expected.access_token, alg, IdTokenError::AccessTokenHash)?;
    check_half_hash(claims, "c_hash", expected.code, alg, IdTokenError::CodeHash)?;
    check_required(claims, connection)?;
    let acr = check_context(claims, expected)?;
    let auth_time = check_freshness(claims, connection, expected, issued_at)?;
    let (methods, session) = (texts(claims, "amr")?, claims.string("sid")?);
    let sid = session.filter(|sid| sid.chars().count() <= MAX_SESSION).map(str::to_owned);
    let short =
        methods.iter().filter(|method| method.len() <= MAX_METHOD && !method.contains(char::is_control));
    let amr: Vec<String> = short.take(MAX_METHODS).cloned().collect();
    Ok(IdTokenClaims {
        issuer: claims.required_string("iss")?.to_owned(),
        subject: claims.required_string("sub")?.to_owned(),
        issued_at,
        auth_time,
        acr,
        shortened: amr.len() < methods.len() || sid.is_some() != session.is_some(),
        amr,
        sid,
        all,
    })
}

/// Checks that the type in the header is absent or one of `allowed`, in any case.
pub(super) fn check_type(jws: &CompactJws, allowed: &[&str]) -> Result<(), IdTokenError> {
    match &jws.header().typ {
        Some(typ) if !allowed.iter().any(|known| known.eq_ignore_ascii_case(typ)) => Err(IdTokenError::Type),
        _ => Ok(()),
    }
}

/// Checks the signature under the algorithm that the connection allows. Returns the key.
pub(super) fn check_signature<'a>(
    jws: &CompactJws,
    keys: &'a JwkSet,
    connection: &Connection,
) -> Result<&'a Jwk, IdTokenError> {
    let alg = connection.settings.id_token_alg;
    if jws.header().alg != alg {
        return Err(JwsError::AlgMismatch.into());
    }
    let key = jws::select_key(keys, jws.header(), alg)?;
    jws::verify(jws, alg, key)?;
    Ok(key)
}

/// Checks issuer, tenant, the key's issuer, subject, audience and authorized party.
fn check_parties(claims: Claims<'_>, key: &Jwk, connection: &Connection) -> Result<(), IdTokenError> {
    check_issuer(claims, key, connection)?;
    let subject = claims.required_string("sub")?;
    if subject.is_empty() || subject.chars().count() > MAX_SUBJECT {
        return Err(IdTokenError::Subject);
    }
    check_audience(claims, connection)
}

/// Checks that `iss` is the configured issuer byte for byte, or the template filled with an allowed tenant that `tid`
/// names too. If the key states an issuer, it must be the same.
pub(super) fn check_issuer(
    claims: Claims<'_>,
    key: &Jwk,
    connection: &Connection,
) -> Result<(), IdTokenError> {
    let issuer = claims.required_string("iss")?;
    let tenant = match connection.match_issuer(issuer) {
        IssuerMatch::Same => None,
        IssuerMatch::Other => return Err(IdTokenError::Issuer),
        IssuerMatch::Tenant(named) => {
            if claims.required_string("tid")? != named {
                return Err(IdTokenError::TenantMismatch);
            }
            if !connection.settings.allows_tenant(named) {
                return Err(IdTokenError::TenantNotAllowed);
            }
            Some(named)
        }
    };
    let fits = |stated: &String| match tenant {
        Some(tenant) => stated.replace(TENANT, tenant) == issuer,
        None => stated == issuer,
    };
    if key.issuer.as_ref().is_some_and(|stated| !fits(stated)) {
        return Err(IdTokenError::KeyIssuer);
    }
    Ok(())
}

/// The client id is among the audiences, every other one is trusted, and `azp` is the client id when present.
pub(super) fn check_audience(claims: Claims<'_>, connection: &Connection) -> Result<(), IdTokenError> {
    let audiences = claims.required_string_or_list("aud")?;
    let ours = |audience: &str| audience == connection.client_id;
    if !audiences.iter().any(|audience| ours(audience)) {
        return Err(IdTokenError::Audience);
    }
    let trusted =
        |audience: &str| connection.settings.trusted_audiences.iter().any(|known| known == audience);
    if audiences.iter().any(|audience| !ours(audience) && !trusted(audience)) {
        return Err(IdTokenError::UntrustedAudience);
    }
    match claims.string("azp")? {
        Some(party) if !ours(party) => Err(IdTokenError::AuthorizedParty),
        _ => Ok(()),
    }
}

/// Checks `exp`, `iat` and `nbf`. Returns `iat`.
pub(super) fn check_times(claims: Claims<'_>, now: Timestamp) -> Result<Timestamp, IdTokenError> {
    let expires_at = claims.required_numeric_date("exp")?;
    let issued_at = claims.required_numeric_date("iat")?;
    let not_before = claims.numeric_date("nbf")?;
    if expires_at.after(SKEW) <= now {
        return Err(IdTokenError::Expired);
    }
    if expires_at > now.after(MAX_LIFETIME) {
        return Err(IdTokenError::ExpiresTooLate);
    }
    if issued_at > now.after(SKEW) {
        return Err(IdTokenError::IssuedInFuture);
    }
    if now.since(issued_at) > MAX_AGE + SKEW {
        return Err(IdTokenError::IssuedTooLongAgo);
    }
    if not_before.is_some_and(|time| time > now.after(SKEW)) {
        return Err(IdTokenError::NotYetValid);
    }
    Ok(issued_at)
}

/// Checks `at_hash` and `c_hash`, if present (`OpenID` Connect Core, sections 3.1.3.6 and 3.3.2.11).
fn check_half_hash(
    claims: Claims<'_>,
    name: &str,
    hashed: Option<&str>,
    alg: SigningAlg,
    error: IdTokenError,
) -> Result<(), IdTokenError> {
    match (claims.string(name)?, hashed) {
        (None, _) => Ok(()),
        (Some(stated), Some(text)) if stated == half_hash(alg, text) => Ok(()),
        _ => Err(error),
    }
}

/// The claims that the connection requires (`hd`, `tid`): a text among its values.
fn check_required(claims: Claims<'_>, connection: &Connection) -> Result<(), IdTokenError> {
    for (name, values) in &connection.settings.required_claims {
        let stated = claims.string(name).ok().flatten();
        if !stated.is_some_and(|stated| values.iter().any(|value| value == stated)) {
            return Err(IdTokenError::RequiredClaim(name.clone()));
        }
    }
    Ok(())
}

fn check_context(claims: Claims<'_>, expected: &Expectation<'_>) -> Result<Option<String>, IdTokenError> {
    let stated = claims.string("acr")?;
    if let Some(wanted) = expected.acr {
        let stated = stated.ok_or(IdTokenError::ContextMissing)?;
        if !wanted.contains(&stated) {
            return Err(IdTokenError::ContextMismatch);
        }
    }
    Ok(stated.map(str::to_owned))
}

/// When the user signed in. If a fresh sign-in is demanded, `auth_time` proves it. Without `auth_time`, `iat` proves
/// it if the vendor honours `prompt=login` and that was sent. `None` if nothing says when the user signed in; if a fresh
/// sign-in is demanded, only a waiver allows that.
fn check_freshness(
    claims: Claims<'_>,
    connection: &Connection,
    expected: &Expectation<'_>,
    issued_at: Timestamp,
) -> Result<Option<Timestamp>, IdTokenError> {
    let stated = claims.numeric_date("auth_time")?;
    if stated.is_some_and(|time| time > expected.now.after(SKEW)) {
        return Err(IdTokenError::SignInInFuture);
    }
    let Some(demand) = expected.fresh else { return Ok(stated) };
    let settings = &connection.settings;
    let time = match stated {
        Some(time) => time,
        None if settings.capabilities.honours_prompt_login && demand.forced => issued_at,
        // Any answer is recent enough, but nothing says that the user was asked.
        None if settings.waives_freshness(expected.now) => return Ok(None),
        None => return Err(IdTokenError::SignInTimeUnknown),
    };
    if time.after(SKEW) < demand.not_before { Err(IdTokenError::SignInTooOld) } else { Ok(Some(time)) }
}

pub(super) fn texts(claims: Claims<'_>, name: &str) -> Result<Vec<String>, ClaimError> {
    let texts = claims.string_or_list(name)?.unwrap_or_default();
    Ok(texts.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests;
