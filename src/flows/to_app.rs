//! What an app is told of a sign-in that came to nothing, and what the person is told instead where nothing may go there.

use super::Broker;
use super::directory::AppEntry;
use super::error::FlowError;
use super::evidence::Event;
use super::refusal::{AuditReason, PublicCode, Reason, Refusal, refused};
use crate::model::AuthorizationRequest;
use crate::policy::redirect;
use crate::policy::step::Withdrawn;
use crate::protocol::oauth::{ErrorCode, OAuthError, add_to_query};

/// Said to an app that allowed nothing to be shown.
pub(super) const LOGIN_REQUIRED: OAuthError =
    OAuthError::new(ErrorCode::LoginRequired, "the person must sign in");

/// Said to an app whose demand (`acr`) a sign-in does not meet.
pub(super) const UNMET_CONTEXT: OAuthError = OAuthError::new(
    ErrorCode::UnmetAuthenticationRequirements,
    "the person cannot sign in in one of the authentication contexts (acr) that claims demands",
);

impl Broker {
    /// Refuses towards the app (RFC 6749, section 4.1.2.1).
    pub(super) fn refuse_to_app(
        &self,
        event: Event,
        request: &AuthorizationRequest,
        error: &OAuthError,
        reason: impl Into<AuditReason>,
    ) -> FlowError {
        let address = self.error_address(&request.redirect_uri, request.state.as_deref(), error);
        Refusal::towards_app(event, address, reason).into()
    }

    /// The address of an app with an error.
    pub(super) fn error_address(
        &self,
        redirect_uri: &str,
        state: Option<&str>,
        error: &OAuthError,
    ) -> String {
        let mut answer = vec![("error", error.code.as_str()), ("error_description", &*error.description)];
        answer.extend(state.map(|state| ("state", state)));
        answer.push(("iss", &self.settings.issuer));
        add_to_query(redirect_uri, &answer)
    }
}

/// Refuses somebody because something was withdrawn that their sign-in stands on.
pub(super) fn refuse_withdrawn(event: Event, what: Withdrawn) -> FlowError {
    let code = match what {
        Withdrawn::Account => PublicCode::AccountDisabled,
        Withdrawn::Organization => PublicCode::OrganizationDisabled,
        Withdrawn::Connection => PublicCode::ConnectionDisabled,
        Withdrawn::App => PublicCode::UnknownClient,
        Withdrawn::RedirectUri => PublicCode::RedirectUriMismatch,
        Withdrawn::LocalSignIn => PublicCode::BadCredentials,
    };
    refused(event, code, Reason::from(what))
}

/// Whether the address of a request is one that the app has now.
pub(super) fn is_still_registered(entry: &AppEntry, request: &AuthorizationRequest) -> bool {
    let settings = &entry.app.settings;
    redirect::matches(&request.redirect_uri, &settings.redirect_uris, settings.application_type)
}
