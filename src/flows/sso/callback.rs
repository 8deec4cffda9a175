//! The way back from an identity provider: its authorization response is checked against the request with which this
//! browser was sent there.

use crate::flows::evidence::{Event, receipt_of};
use crate::flows::guessing::{as_seen, too_many};
use crate::flows::interaction::sealed::over_mark;
use crate::flows::interaction::{Answered, sign_in_event};
use crate::flows::profile::registration;
use crate::flows::refusal::{FlowError, PublicCode, Reason, Wait, refused};
use crate::flows::sso::Sso;
use crate::flows::sso::redeeming::Attempt;
use crate::flows::visit::Visit;
use crate::model::{Connection, ConnectionId, FLOW_LIFETIME, Flow, UpstreamRequest};
use crate::policy::sign_in::guesses::Scope;
use crate::protocol::base64url;
use crate::store::interaction::flows;
use crate::upstream::{
    Asker, Credential, Denial, FreshSignIn, Outage, Redemption, UpstreamError, VerifiedIdentity,
};

/// The parameters of a provider's authorization response (RFC 6749, section 4.1.2; RFC 9207).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CallbackParameters {
    /// `state`.
    pub state: Option<String>,
    /// `code`.
    pub code: Option<String>,
    /// `error`.
    pub error: Option<String>,
    /// `error_description`.
    pub error_description: Option<String>,
    /// `iss`.
    pub iss: Option<String>,
}

/// A callback that belongs to a flow of this browser. Its state is spent.
struct Returned {
    flow: Flow,
    sent: UpstreamRequest,
    event: Event,
    /// The network or known account on whose behalf the provider is asked.
    asker: Asker,
    /// The code's place at its counter.
    attempt: Attempt,
}

/// A code that came back, and its flow.
#[derive(Clone, Copy)]
struct Back<'a> {
    asker: &'a Asker,
    flow: &'a Flow,
    sent: &'a UpstreamRequest,
    code: &'a str,
    iss: Option<&'a str>,
}

impl Sso {
    /// Takes a provider's authorization response.
    pub async fn finish_upstream(
        &self,
        visit: &Visit,
        connection: ConnectionId,
        parameters: &CallbackParameters,
    ) -> Result<Answered, FlowError> {
        let returned = self.spend_response(visit, connection, parameters).await?;
        let Returned { flow, sent, event, asker, attempt } = returned;
        let (flow, sent) = (&flow, &sent);
        let entry = self.core.directory.connection(connection).await?;
        let Some(entry) = entry.filter(|entry| entry.is_enabled()) else {
            return Err(refused(event, PublicCode::ConnectionDisabled, Reason::ConnectionDisabled));
        };
        let event = Event { organization: Some(entry.organization.id), ..event };
        if registration(&entry.connection) != sent.registration {
            return Err(refused(event, PublicCode::IdpAnswerInvalid, Reason::ConnectionChanged));
        }
        let credential = match self.core.open_credential(connection, &entry.credential) {
            Ok(credential) => credential,
            Err(error) => {
                tracing::error!(%connection, %error, "the credential of a connection cannot be opened");
                let code = PublicCode::TemporarilyUnavailable(Wait::default());
                return Err(refused(event, code, Reason::ConnectionCredentialUnreadable));
            }
        };
        let outcome = match (&parameters.error, &parameters.code) {
            (Some(error), _) => {
                let iss = parameters.iss.as_deref();
                let checked = self.upstream.check_response_iss(&entry.connection, iss).await;
                checked.and_then(|()| Err(Denial::new(error, parameters.error_description.as_deref()).into()))
            }
            (None, Some(code)) => {
                let iss = parameters.iss.as_deref();
                let back = Back { asker: &asker, flow, sent, code, iss };
                self.redeem(&entry.connection, &credential, &back, attempt).await?
            }
            (None, None) => {
                return Err(refused(event, PublicCode::IdpAnswerInvalid, Reason::ResponseEmpty));
            }
        };
        match outcome {
            Ok(identity) => Box::pin(self.sign_in_as(visit, flow, sent, &entry, identity, event)).await,
            Err(UpstreamError::Unavailable(Outage::Withheld(wait))) => {
                Err(too_many(sign_in_event(flow), None, (Scope::Redemption, wait)))
            }
            Err(error) => Err(self.upstream_failed(event, flow.aim.request(), &error).await),
        }
    }

    /// Finds the flow of a response and spends its state. A response to another browser's flow spends nothing.
    async fn spend_response(
        &self,
        visit: &Visit,
        connection: ConnectionId,
        parameters: &CallbackParameters,
    ) -> Result<Returned, FlowError> {
        let event = Event { connection: Some(connection), ..Event::new("sign_in") };
        let Some(state) = parameters.state.as_deref() else {
            return Err(refused(event, PublicCode::IdpAnswerInvalid, Reason::StateMissing));
        };
        let Some((name, proof)) = self.interactions.read_upstream_state(state) else {
            return Err(refused(event, PublicCode::IdpAnswerInvalid, Reason::StateForeign));
        };
        let event = Event { app: name.app, receipt: Some(receipt_of(name.id)), ..event };
        let Some(flow) = self.interactions.find_flow(visit, name.id).await? else {
            let finished = self.interactions.has_finished(name.id).await?;
            let (code, reason) = if finished {
                (PublicCode::FlowFinished, Reason::StateOfFinishedFlow)
            } else {
                (PublicCode::FlowExpired, Reason::StateOfAnotherBrowser)
            };
            return Err(refused(event, code, reason));
        };
        let fits = |sent: &&UpstreamRequest| proof.is(sent.state) && sent.connection == connection;
        let Some(sent) = flow.upstream.as_ref().filter(fits).cloned() else {
            return Err(refused(event, PublicCode::IdpAnswerInvalid, Reason::StateMismatch));
        };
        let mark = format!("{}:{}", flow.id, base64url::encode(sent.state));
        // Order matters: the attempt takes its place before the count is read, so that no attempt is missed.
        let asker = self.asker(visit);
        let attempt = self.begin_redemption(&asker, connection);
        let until = flow.started_at.after(FLOW_LIFETIME);
        let (over, counter) = (over_mark(flow.id), (Scope::Redemption.as_str(), attempt.subject()));
        let mut tx = self.core.database.write().await?;
        let spent = flows::spend_unless(&mut tx, (&mark, &over), until, counter).await?;
        attempt.learn(spent.guesses.map(as_seen));
        if !spent.is_first {
            return Err(refused(event, PublicCode::FlowFinished, Reason::StateSpent));
        }
        tx.commit().await?;
        Ok(Returned { flow, sent, event, asker, attempt })
    }

    /// Redeems a code, and counts it if the provider refuses it. The code is withheld if too many were refused lately
    /// for the same asker.
    async fn redeem(
        &self,
        connection: &Connection,
        credential: &Credential,
        back: &Back<'_>,
        attempt: Attempt,
    ) -> Result<Result<VerifiedIdentity, UpstreamError>, FlowError> {
        let Back { asker, flow, sent, code, iss } = *back;
        if let Err(wait) = attempt.check() {
            return Ok(Err(Outage::Withheld(wait).into()));
        }
        let fresh = sent.not_before.map(|not_before| FreshSignIn { not_before, forced: sent.forced });
        let request = flow.aim.request();
        let redemption = Redemption {
            asker,
            gate: &attempt,
            code,
            response_iss: iss,
            redirect_uri: &self.core.callback_url(connection.id),
            verifier: &sent.verifier,
            nonce: &base64url::encode(sent.nonce),
            fresh,
            essential_acr: request.map_or(&[], |request| &request.essential_acr),
            wanted_acr: request.map_or(&[], |request| &request.acr_values),
        };
        let outcome = self.upstream.redeem(connection, credential, &redemption).await;
        let refused =
            matches!(&outcome, Err(UpstreamError::Denied(denial)) if denial.error() == "invalid_grant");
        if refused {
            attempt.refused().await?;
        } else {
            attempt.settled();
        }
        Ok(outcome)
    }
}
