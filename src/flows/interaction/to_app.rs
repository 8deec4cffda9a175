//! The refusals of a sign-in that the app gets, and those that the user gets where nothing may go to the app.

use crate::flows::directory::AppEntry;
use crate::flows::evidence::Event;
use crate::flows::interaction::Interactions;
use crate::flows::refusal::{AuditReason, FlowError, PublicCode, Reason, Refusal, refused};
use crate::model::AuthorizationRequest;
use crate::policy::provider::redirect;
use crate::policy::sign_in::step::Withdrawn;
use crate::protocol::oauth::{ErrorCode, OAuthError, add_to_query};

/// The error for an app that allowed no page to be shown (`prompt=none`).
pub(in crate::flows) const LOGIN_REQUIRED: OAuthError =
    OAuthError::new(ErrorCode::LoginRequired, "the user must sign in");

/// The error for an app whose demand (`acr`) a sign-in does not meet.
pub(in crate::flows) const UNMET_CONTEXT: OAuthError = OAuthError::new(
    ErrorCode::UnmetAuthenticationRequirements,
    "the user cannot sign in in one of the authentication contexts (acr) that claims demands",
);

impl Interactions {
    /// Refuses by an error to the app (RFC 6749, section 4.1.2.1).
    pub(in crate::flows) fn refuse_to_app(
        &self,
        event: Event,
        request: &AuthorizationRequest,
        error: &OAuthError,
        reason: impl Into<AuditReason>,
    ) -> FlowError {
        let address = self.error_address(&request.redirect_uri, request.state.as_deref(), error);
        Refusal::towards_app(event, address, reason).into()
    }

    /// The redirect URI of an app, with an error in its query.
    pub(in crate::flows) fn error_address(
        &self,
        redirect_uri: &str,
        state: Option<&str>,
        error: &OAuthError,
    ) -> String {
        let mut answer = vec![("error", error.code.as_str()), ("error_description", &*error.description)];
        answer.extend(state.map(|state| ("state", state)));
        answer.push(("iss", self.core.issuer()));
        add_to_query(redirect_uri, &answer)
    }
}

/// Refuses a user because something that their sign-in depends on was withdrawn.
pub(in crate::flows) fn refuse_withdrawn(event: Event, what: Withdrawn) -> FlowError {
    let code = match what {
        Withdrawn::Account => PublicCode::AccountDisabled,
        Withdrawn::Organization => PublicCode::OrganizationDisabled,
        Withdrawn::Connection => PublicCode::ConnectionDisabled,
        Withdrawn::App => PublicCode::UnknownClient,
        Withdrawn::RedirectUri => PublicCode::RedirectUriMismatch,
        Withdrawn::Profile => PublicCode::SessionEnded,
        Withdrawn::LocalSignIn => PublicCode::BadCredentials,
    };
    refused(event, code, Reason::from(what))
}

/// Whether the redirect URI of a request is one that the app still has.
pub(in crate::flows) fn is_still_registered(entry: &AppEntry, request: &AuthorizationRequest) -> bool {
    let settings = &entry.app.settings;
    redirect::matches(&request.redirect_uri, &settings.redirect_uris, settings.application_type)
}
