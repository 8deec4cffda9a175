//! What is said where a provider signs nobody in: to the person, and to the app where the standards say so.

use std::time::Duration;

use super::super::Broker;
use super::super::complete::{UNMET_CONTEXT, is_still_registered};
use super::super::error::{FlowError, Refusal};
use super::super::evidence::Event;
use super::super::visit::Visit;
use super::provision::NewPersonError;
use crate::model::{AuthorizationRequest, ConnectionId, Flow, Target};
use crate::policy::step::{Step, Withdrawn};
use crate::protocol::oauth::{ErrorCode, OAuthError};
use crate::store::{StoreError, Tx};
use crate::upstream::{Denial, UpstreamError};

impl Broker {
    /// Refuses somebody whom an identity does not sign in.
    pub(in crate::flows) async fn refuse_new_person(
        &self,
        tx: Tx,
        visit: &Visit,
        event: Event,
        error: NewPersonError,
    ) -> FlowError {
        drop(tx);
        match error {
            NewPersonError::Refused(code, reason) => self.refuse(visit, event, code, reason).await,
            NewPersonError::OtherConnection(connection) => {
                self.refuse_other_connection(visit, event, connection).await
            }
            // Two first sign-ins of one person at once, or one beside an unlink or a merge: the other one was first, and
            // this state is spent.
            NewPersonError::Store(StoreError::Conflict) => {
                self.refuse(visit, event, "flow_finished", "sign_in_overtaken").await
            }
            NewPersonError::Store(error) => error.into(),
            NewPersonError::Flow(error) => error,
        }
    }

    /// Tells of a failure at a provider: the app where the standards say so, the person otherwise.
    pub(super) async fn upstream_failed(
        &self,
        visit: &Visit,
        event: Event,
        flow: &Flow,
        error: &UpstreamError,
    ) -> FlowError {
        let event = Event { detail: Some(error.to_string()), ..event };
        let (page, towards_app) = match error {
            UpstreamError::Refused(refusal) => ("idp_answer_invalid", refusal_for_app(refusal.code())),
            UpstreamError::Denied(denial) => ("idp_refused", denial_for_app(denial)),
            UpstreamError::Unavailable(_) => ("idp_unreachable", None),
        };
        if let (Some(code), Target::App(request)) = (towards_app, &flow.target)
            // Where nobody can tell, nothing goes there.
            && matches!(self.withdrawn(request).await, Ok(None))
        {
            let error_for_app = OAuthError::new(code, "the identity provider did not sign the person in");
            return self.refuse_to_app(visit, event, request, error_for_app, error.code()).await;
        }
        let refused = self.refuse(visit, event, page, error.code()).await;
        if page == "idp_unreachable" { refused.retry_after(RETRY_PROVIDER) } else { refused }
    }

    /// Refuses to send somebody to a provider that cannot be asked for what the app demands.
    pub(super) async fn refuse_context(
        &self,
        visit: &Visit,
        event: Event,
        request: &AuthorizationRequest,
        target: &Target,
    ) -> FlowError {
        match self.withdrawn(request).await {
            Ok(None) => self.refuse_to_app(visit, event, request, UNMET_CONTEXT, "acr_not_mapped").await,
            Ok(Some(what)) => self.refuse_step(visit, event, Step::RefuseWithdrawn(what), target).await,
            Err(error) => error.into(),
        }
    }

    /// What of the app was withdrawn since it asked, if anything: nothing goes to an address that it has given up, not
    /// even a refusal.
    async fn withdrawn(&self, request: &AuthorizationRequest) -> Result<Option<Withdrawn>, StoreError> {
        Ok(match self.directory.app_by_id(request.app).await? {
            Some(entry) if !entry.is_enabled() => Some(Withdrawn::App),
            Some(entry) => (!is_still_registered(&entry, request)).then_some(Withdrawn::RedirectUri),
            None => Some(Withdrawn::App),
        })
    }

    /// Refuses an identity that signs in through another connection of the organization, and names that one.
    pub(in crate::flows) async fn refuse_other_connection(
        &self,
        visit: &Visit,
        event: Event,
        connection: Option<ConnectionId>,
    ) -> FlowError {
        let instead = match self.connection_name(connection).await {
            Ok(name) => name,
            Err(error) => return error,
        };
        match self.refuse(visit, event, "other_connection", "subject_of_another_connection").await {
            FlowError::Refused(refusal) => FlowError::Refused(Box::new(Refusal { instead, ..*refusal })),
            other => other,
        }
    }
}

/// When a person may try a provider again that could not be reached.
const RETRY_PROVIDER: Duration = Duration::from_secs(10);

/// What an app is told when the provider's answer was in order but not what the app had asked for.
fn refusal_for_app(code: &str) -> Option<ErrorCode> {
    match code {
        "id_token_auth_time_unknown" | "id_token_auth_time_too_old" => Some(ErrorCode::LoginRequired),
        "id_token_acr_missing" | "id_token_acr_mismatch" => Some(ErrorCode::UnmetAuthenticationRequirements),
        _ => None,
    }
}

/// What an app is told of a provider's own error. Everything else would tell it about the broker's registration.
fn denial_for_app(denial: &Denial) -> Option<ErrorCode> {
    match denial.error() {
        "access_denied" => Some(ErrorCode::AccessDenied),
        "login_required" | "interaction_required" | "account_selection_required" | "consent_required" => {
            Some(ErrorCode::LoginRequired)
        }
        "temporarily_unavailable" | "server_error" => Some(ErrorCode::TemporarilyUnavailable),
        _ => None,
    }
}
