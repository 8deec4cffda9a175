//! The token endpoint (RFC 6749, section 3.2), with one file for each grant type.

pub(in crate::flows) mod access;
mod client_credentials;
mod code;
pub(super) mod code_text;
mod issue;
pub(in crate::flows) mod issue_code;
mod refresh;
mod signing;

use std::sync::Arc;

use serde::Serialize;

use crate::flows::directory::AppEntry;
use crate::flows::evidence::Event;
use crate::flows::provider::Tokens;
use crate::flows::refusal::{EndpointError, Reason, refused_app};
use crate::model::{GrantType, Secret};
use crate::protocol::count::MOST;
use crate::protocol::oauth::{ErrorCode, OAuthError, Parameters, split_words};

/// A successful answer (RFC 6749, section 5.1; `OpenID` Connect Core, section 3.1.3.3).
#[derive(Clone, Serialize)]
pub struct TokenAnswer {
    /// The access token.
    pub access_token: String,
    /// Always `Bearer`.
    pub token_type: &'static str,
    /// The life of the access token, in seconds.
    pub expires_in: u64,
    /// The refresh token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// The ID token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_token: Option<String>,
    /// The scopes of the access token.
    pub scope: String,
}

/// A request to the token endpoint, from an app that has authenticated.
pub struct TokenRequest<'a> {
    /// The app.
    pub client: &'a Arc<AppEntry>,
    /// The form.
    pub form: &'a Parameters,
}

impl TokenRequest<'_> {
    /// The scopes that the form asks for, if it asks for any.
    fn scopes(&self) -> Result<Option<Vec<String>>, No> {
        self.form.get("scope").map(split_words).transpose().map_err(|_| {
            let description = format!("scope has more than {MOST} words");
            let error = OAuthError::naming(ErrorCode::InvalidRequest, &description);
            No { error, reason: Reason::TooManyWords }
        })
    }
}

/// The refusal of a token request, with the reason for the record.
pub(in crate::flows) struct No {
    error: OAuthError,
    reason: Reason,
}

impl No {
    /// The refusal, to be recorded with this event.
    fn at(self, event: Event) -> EndpointError {
        refused_app(event, self.reason, self.error)
    }
}

/// `invalid_grant`, with one text for every reason: the app must not learn which one applies.
const fn invalid_grant(reason: Reason) -> No {
    let description = "the code or token is unknown, expired, used, revoked, or not this app's; start again";
    No { error: OAuthError::new(ErrorCode::InvalidGrant, description), reason }
}

impl Tokens {
    /// Answers a token request.
    pub async fn issue_tokens(&self, request: &TokenRequest<'_>) -> Result<TokenAnswer, EndpointError> {
        let event = Self::token_event("token", request.client);
        let Some(word) = request.form.get("grant_type") else {
            let error = OAuthError::new(ErrorCode::InvalidRequest, "grant_type is missing");
            return Err(No { error, reason: Reason::GrantTypeMissing }.at(event));
        };
        let Ok(grant_type) = word.parse::<GrantType>() else {
            let description = "grant_type is one of authorization_code, refresh_token, client_credentials";
            let error = OAuthError::new(ErrorCode::UnsupportedGrantType, description);
            return Err(No { error, reason: Reason::UnsupportedGrantType }.at(event));
        };
        if !request.client.app.may_use(grant_type) {
            let description = "this app is not registered for this grant";
            let error = OAuthError::new(ErrorCode::UnauthorizedClient, description);
            return Err(No { error, reason: Reason::GrantTypeNotAllowed }.at(event));
        }
        self.ensure_keys_of(request.client).await?;
        match grant_type {
            GrantType::AuthorizationCode => self.redeem_code(request).await,
            GrantType::RefreshToken => self.refresh(request).await,
            GrantType::ClientCredentials => self.client_credentials(request).await,
        }
    }

    /// An event of an app at an endpoint for apps.
    pub(super) fn token_event(action: &'static str, client: &AppEntry) -> Event {
        Event { organization: Some(client.organization.id), app: Some(client.app.id), ..Event::new(action) }
    }
}

/// The text of a secret, for the one answer that carries it.
fn reveal(secret: &Secret) -> String {
    secret.expose().to_owned()
}
