//! Sign-outs between the broker and an identity provider: back-channel logout tokens (`OpenID` Connect Back-Channel
//! Logout 1.0) and the end-session endpoint (`OpenID` Connect RP-Initiated Logout 1.0).

use serde_json::Value;
use url::Url;

use super::discovery::Metadata;
use super::id_token::{
    IdTokenError, MAX_AGE, SKEW, check_audience, check_issuer, check_signature, check_times, check_type,
    claim_code,
};
use crate::model::{Connection, Secret, Timestamp};
use crate::protocol::jose::{CompactJws, JwkSet};
use crate::protocol::json::{ClaimError, Claims};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
const MAX_ID: usize = 255;

/// Why a logout token was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogoutTokenError {
    /// A check that it shares with an ID token: form, type, signature, issuer, audience or times.
    #[error("{0}")]
    Token(#[from] IdTokenError),
    /// It has no logout event.
    #[error("the token has no logout event")]
    Event,
    /// It has a nonce, which only ID tokens may have.
    #[error("the token has a nonce")]
    Nonce,
    /// `jti` is empty or too long.
    #[error("the token's id is empty or too long")]
    TokenId,
    /// It names neither a subject nor a session, or an empty one.
    #[error("the token names neither a subject nor a session")]
    NoTarget,
}

impl LogoutTokenError {
    /// The stable name of the reason, as in audit records.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Token(IdTokenError::Claim(error)) => claim_code(error),
            Self::Token(error) => error.code(),
            Self::Event => "logout_token_event",
            Self::Nonce => "logout_token_nonce",
            Self::TokenId => "logout_token_jti_length",
            Self::NoTarget => "logout_token_no_target",
        }
    }
}

impl From<ClaimError> for LogoutTokenError {
    fn from(error: ClaimError) -> Self {
        Self::Token(error.into())
    }
}

/// The sessions that a valid logout token ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoutTarget {
    /// The token's `iss`.
    pub issuer: String,
    /// The user's subject at the identity provider.
    pub subject: Option<String>,
    /// The identity provider's session.
    pub sid: Option<String>,
    /// The token's id, which must be spent once.
    pub jti: String,
    /// When the token was issued. It applies to sessions that existed at that time.
    pub issued_at: Timestamp,
    /// Until when the token would be accepted again if its id were not remembered.
    pub replayable_until: Timestamp,
}

/// Checks a logout token (section 2.6). The caller must refuse a replay, by `jti`.
pub fn verify(
    jws: &CompactJws,
    keys: &JwkSet,
    connection: &Connection,
    now: Timestamp,
) -> Result<LogoutTarget, LogoutTokenError> {
    // Order matters: type, algorithm and signature are checked before any claim is read.
    check_type(jws, &["logout+jwt", "application/logout+jwt", "JWT"])?;
    let key = check_signature(jws, keys, connection)?;
    let all = jws.claims().map_err(IdTokenError::from)?;
    let claims = Claims::of(&all);
    check_issuer(claims, key, connection)?;
    check_audience(claims, connection)?;
    let issued_at = check_times(claims, now)?;
    if all.contains_key("nonce") {
        return Err(LogoutTokenError::Nonce);
    }
    let event = all.get("events").and_then(Value::as_object).and_then(|events| events.get(EVENT));
    if !event.is_some_and(Value::is_object) {
        return Err(LogoutTokenError::Event);
    }
    let jti = claims.required_string("jti")?;
    if !(1..=MAX_ID).contains(&jti.len()) {
        return Err(LogoutTokenError::TokenId);
    }
    let (subject, sid) = (claims.string("sub")?, claims.string("sid")?);
    let named = |text: Option<&str>| text.is_none_or(|text| (1..=MAX_ID).contains(&text.chars().count()));
    if (subject.is_none() && sid.is_none()) || !named(subject) || !named(sid) {
        return Err(LogoutTokenError::NoTarget);
    }
    Ok(LogoutTarget {
        issuer: claims.required_string("iss")?.to_owned(),
        subject: subject.map(str::to_owned),
        sid: sid.map(str::to_owned),
        jti: jti.to_owned(),
        issued_at,
        replayable_until: claims
            .required_numeric_date("exp")?
            .after(SKEW)
            .min(issued_at.after(MAX_AGE + SKEW)),
    })
}

/// The parts of an end-session request.
#[derive(Debug, Clone, Copy)]
pub struct EndSession<'a> {
    /// The ID token of the session that ends.
    pub id_token_hint: Option<&'a Secret>,
    /// Where the identity provider sends the browser afterwards.
    pub post_logout_redirect_uri: &'a str,
    /// A value that comes back with the browser.
    pub state: &'a str,
}

/// The end-session request; `None` if the identity provider has no such endpoint. It is built by hand, because the
/// type of `openidconnect` accepts as a hint only a token that it has read itself.
pub(in crate::upstream) fn end_session_url(
    connection: &Connection,
    metadata: &Metadata,
    request: EndSession<'_>,
) -> Option<Url> {
    let mut url = metadata.end_session_endpoint.clone()?;
    {
        let mut query = url.query_pairs_mut();
        if let Some(hint) = request.id_token_hint {
            query.append_pair("id_token_hint", hint.expose());
        }
        query
            .append_pair("client_id", &connection.client_id)
            .append_pair("post_logout_redirect_uri", request.post_logout_redirect_uri)
            .append_pair("state", request.state);
    }
    Some(url)
}

#[cfg(test)]
mod tests;
