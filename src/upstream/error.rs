//! The errors of an identity provider, in the three groups that a flow distinguishes.
//!
//! Every reason has a stable code for audit records and receipts. The text that the identity provider itself sent is
//! kept separately and cut, for the detail of an audit record; no page shows it.

use std::time::Duration;

use super::egress::EgressError;
use super::messages::authorize::AuthorizeError;
use super::messages::credential::CredentialError;
use super::messages::discovery::MetadataError;
use super::messages::id_token::IdTokenError;
use super::messages::identity::IdentityError;
use super::messages::logout::LogoutTokenError;
use super::messages::token_answer::TokenAnswerError;
use super::messages::userinfo::UserInfoError;
use crate::protocol::jose::JwksError;

/// Why a call for an identity provider did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// The identity provider's response, or the set-up of the connection, is not acceptable.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The identity provider answered with an error of its own.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// The identity provider could not be reached, or not in time.
    #[error(transparent)]
    Unavailable(#[from] Outage),
}

impl UpstreamError {
    /// The stable name of the reason, as in audit records.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Denied(denial) => denial.code(),
            Self::Unavailable(outage) => outage.code(),
        }
    }
}

/// The part that was not acceptable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The metadata.
    #[error("the identity provider's metadata: {0}")]
    Metadata(#[from] MetadataError),
    /// The key set.
    #[error("the identity provider's keys: {0}")]
    Keys(#[from] JwksError),
    /// The authorization response does not name its issuer, although the identity provider promises to (RFC 9207).
    #[error("the authorization response does not name its issuer")]
    ResponseIssuerMissing,
    /// The authorization response names another issuer (RFC 9207).
    #[error("the authorization response comes from another issuer")]
    ResponseIssuerMismatch,
    /// The text cannot be a code: it is empty, too long, or has characters that no code has.
    #[error("the authorization response has a code of impossible form")]
    ResponseCode,
    /// The authorization request cannot be built.
    #[error("the authorization request: {0}")]
    Authorize(#[from] AuthorizeError),
    /// The broker's credential cannot be used.
    #[error("the credential: {0}")]
    Credential(#[from] CredentialError),
    /// The response of the token endpoint.
    #[error("the token response: {0}")]
    TokenAnswer(#[from] TokenAnswerError),
    /// The ID token.
    #[error("the ID token: {0}")]
    IdToken(#[from] IdTokenError),
    /// The response of the UserInfo endpoint.
    #[error("the userinfo response: {0}")]
    UserInfo(#[from] UserInfoError),
    /// The claims, as the connection maps them.
    #[error("the claims: {0}")]
    Identity(#[from] IdentityError),
    /// The logout token.
    #[error("the logout token: {0}")]
    LogoutToken(#[from] LogoutTokenError),
}

impl Refusal {
    /// The stable name of the reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Metadata(error) => error.code(),
            Self::Keys(error) => error.code(),
            Self::ResponseIssuerMissing => "callback_iss_missing",
            Self::ResponseIssuerMismatch => "callback_iss_mismatch",
            Self::ResponseCode => "callback_code_malformed",
            Self::Authorize(error) => error.code(),
            Self::Credential(error) => error.code(),
            Self::TokenAnswer(error) => error.code(),
            Self::IdToken(error) => error.code(),
            Self::UserInfo(error) => error.code(),
            Self::Identity(error) => error.code(),
            Self::LogoutToken(error) => error.code(),
        }
    }
}

/// Why an identity provider counts as unavailable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Outage {
    /// The call failed.
    #[error(transparent)]
    Call(#[from] EgressError),
    /// The endpoint answered with a status that carries no usable response.
    #[error("the endpoint answered with status {0}")]
    Status(u16),
    /// It failed so often that it is not called for a while.
    #[error("the identity provider failed repeatedly and is not called for a moment")]
    BreakerOpen,
    /// Too many calls of this connection are under way.
    #[error("too many calls to the identity provider are under way")]
    Busy,
    /// The broker delays the call, because the identity provider refused too many codes from this network.
    #[error("the identity provider refused too many codes from this network; the broker sends the next one in {} s", .0.as_secs())]
    Withheld(Duration),
    /// The last good key set is too old to be trusted.
    #[error("the identity provider's keys could not be fetched for too long")]
    KeysTooOld,
}

impl Outage {
    /// The stable name of the reason.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Call(error) => error.code(),
            Self::Status(_) => "idp_status",
            Self::BreakerOpen => "idp_breaker_open",
            Self::Busy => "idp_busy",
            Self::Withheld(_) => "redemptions",
            Self::KeysTooOld => "idp_keys_too_old",
        }
    }
}

const MAX_ERROR: usize = 64;
const MAX_DESCRIPTION: usize = 500;

/// An error that the identity provider itself sent (RFC 6749, sections 4.1.2.1 and 5.2; `OpenID` Connect Core, section
/// 3.1.2.6).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the identity provider answered {error}")]
pub struct Denial {
    error: String,
    description: Option<String>,
}

impl Denial {
    /// Builds it from the members of an error response. `error` is kept only if it has the form of an error code, and
    /// the description without control characters. Both are cut to a maximal length.
    pub fn new(error: &str, description: Option<&str>) -> Self {
        let shaped = (1..=MAX_ERROR).contains(&error.len())
            && error.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        let error = if shaped { error } else { "malformed_error" }.to_owned();
        let cleaned = |text: &str| {
            text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_DESCRIPTION).collect()
        };
        Self { error, description: description.map(cleaned) }
    }

    /// The error code. It comes from outside, but in a safe form.
    pub fn error(&self) -> &str {
        &self.error
    }

    /// The text that the identity provider wrote for developers. It comes from outside, and is for the detail of an
    /// audit record only.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// The stable name of the reason: each known code has one, all others share one.
    pub fn code(&self) -> &'static str {
        match self.error.as_str() {
            "access_denied" => "idp_access_denied",
            "login_required" => "idp_login_required",
            "interaction_required" => "idp_interaction_required",
            "consent_required" => "idp_consent_required",
            "account_selection_required" => "idp_account_selection_required",
            "temporarily_unavailable" => "idp_temporarily_unavailable",
            "server_error" => "idp_server_error",
            "invalid_client" => "idp_invalid_client",
            "invalid_grant" => "idp_invalid_grant",
            "invalid_request" => "idp_invalid_request",
            "invalid_scope" => "idp_invalid_scope",
            "unauthorized_client" => "idp_unauthorized_client",
            _ => "idp_other_error",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_error_texts_are_capped_and_cleaned() {
        let denial = Denial::new("access_denied", Some(&format!("a\r\nb{}", "x".repeat(9_000))));
        assert_eq!((denial.error(), denial.code()), ("access_denied", "idp_access_denied"));
        let description = denial.description().unwrap();
        assert!(description.starts_with("a  b") && description.chars().count() == MAX_DESCRIPTION);
        for error in ["", "<script>", "a b", &"e".repeat(65), "ä"] {
            assert_eq!(Denial::new(error, None).error(), "malformed_error", "{error}");
        }
    }
}
