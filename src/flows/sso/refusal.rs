//! The answers to a sign-in that failed at a provider: to the user, and to the app where the standards say so.

use std::time::Duration;

use crate::flows::evidence::Event;
use crate::flows::interaction::to_app::{UNMET_CONTEXT, is_still_registered, refuse_withdrawn};
use crate::flows::refusal::{FlowError, PublicCode, Reason, Refusal, Wait, refuse_other_connection};
use crate::flows::sso::Sso;
use crate::flows::sso::provision::NewPersonError;
use crate::model::AuthorizationRequest;
use crate::policy::sign_in::step::Withdrawn;
use crate::protocol::oauth::{ErrorCode, OAuthError};
use crate::store::StoreError;
use crate::upstream::{Denial, IdTokenError, Refusal as UpstreamRefusal, UpstreamError};

impl NewPersonError {
    /// Refuses a user whom an identity does not sign in.
    pub(in crate::flows) fn refuse(self, event: Event) -> FlowError {
        match self {
            Self::Refused(code, reason) | Self::NotVouched(code, reason) => {
                Refusal::new(event, code, reason).into()
            }
            Self::OtherConnection(connection) => refuse_other_connection(event, connection).into(),
            // A user had two first sign-ins at once, or one at the same time as an unlink or merge. The other one was
            // first, and this state is spent.
            Self::Store(StoreError::Conflict) => {
                Refusal::new(event, PublicCode::FlowFinished, Reason::SignInOvertaken).into()
            }
            Self::Store(error) => error.into(),
            Self::Flow(error) => error,
        }
    }
}

impl Sso {
    /// Reports a failure at a provider: to the app where the standards say so, to the user otherwise.
    pub(super) async fn upstream_failed(
        &self,
        event: Event,
        request: Option<&AuthorizationRequest>,
        error: &UpstreamError,
    ) -> FlowError {
        let event = Event { detail: Some(error.to_string()), ..event };
        let (page, towards_app) = match error {
            UpstreamError::Refused(refusal) => (PublicCode::IdpAnswerInvalid, refusal_for_app(refusal)),
            UpstreamError::Denied(denial) => (PublicCode::IdpRefused, denial_for_app(denial)),
            UpstreamError::Unavailable(_) => (PublicCode::IdpUnreachable(Wait(Some(RETRY_PROVIDER))), None),
        };
        if let (Some(code), Some(request)) = (towards_app, request)
            // Nothing goes to the app if it is unknown whether the app still has the address.
            && matches!(self.withdrawn(request).await, Ok(None))
        {
            let error_for_app = OAuthError::new(code, "the identity provider did not sign the user in");
            return self.interactions.refuse_to_app(event, request, &error_for_app, error);
        }
        Refusal::new(event, page, error).into()
    }

    /// Refuses to send a user to a provider that cannot be asked for the context that the app demands.
    pub(super) async fn refuse_context(
        &self,
        event: Event,
        request: &AuthorizationRequest,
    ) -> Result<FlowError, StoreError> {
        Ok(match self.withdrawn(request).await? {
            None => self.interactions.refuse_to_app(event, request, &UNMET_CONTEXT, Reason::AcrNotMapped),
            Some(what) => refuse_withdrawn(event, what),
        })
    }

    /// The part of the app that was withdrawn since its request, if any. Nothing goes to an address that the app has
    /// given up, not even a refusal.
    async fn withdrawn(&self, request: &AuthorizationRequest) -> Result<Option<Withdrawn>, StoreError> {
        Ok(match self.core.directory.app_by_id(request.app).await? {
            Some(entry) if !entry.is_enabled() => Some(Withdrawn::App),
            Some(entry) => (!is_still_registered(&entry, request)).then_some(Withdrawn::RedirectUri),
            None => Some(Withdrawn::App),
        })
    }
}

/// How long a user waits before trying a provider again that could not be reached.
const RETRY_PROVIDER: Duration = Duration::from_secs(10);

/// The error for an app if the provider's answer was valid but did not meet the app's demands.
fn refusal_for_app(refusal: &UpstreamRefusal) -> Option<ErrorCode> {
    let UpstreamRefusal::IdToken(error) = refusal else { return None };
    match error {
        IdTokenError::SignInTimeUnknown | IdTokenError::SignInTooOld => Some(ErrorCode::LoginRequired),
        IdTokenError::ContextMissing | IdTokenError::ContextMismatch => {
            Some(ErrorCode::UnmetAuthenticationRequirements)
        }
        _ => None,
    }
}

/// The error for an app if the provider answered with one of these errors. Any other error would reveal facts about the
/// broker's registration.
fn denial_for_app(denial: &Denial) -> Option<ErrorCode> {
    match denial.error().parse().ok()? {
        ErrorCode::AccessDenied => Some(ErrorCode::AccessDenied),
        ErrorCode::LoginRequired
        | ErrorCode::InteractionRequired
        | ErrorCode::AccountSelectionRequired
        | ErrorCode::ConsentRequired => Some(ErrorCode::LoginRequired),
        ErrorCode::TemporarilyUnavailable | ErrorCode::ServerError => Some(ErrorCode::TemporarilyUnavailable),
        _ => None,
    }
}
