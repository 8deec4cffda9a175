//! The way back from an identity provider: its authorization response, held against what this browser was sent there with.

use super::super::Broker;
use super::super::error::FlowError;
use super::super::evidence::{Event, receipt_of};
use super::super::flow_state::over_mark;
use super::super::guessing::as_seen;
use super::super::redeeming::Attempt;
use super::super::visit::{Answer, Visit};
use super::registration;
use crate::model::{Connection, ConnectionId, FLOW_LIFETIME, Flow, UpstreamLeg};
use crate::policy::guesses::Scope;
use crate::protocol::base64url;
use crate::store::flows;
use crate::upstream::{
    Asker, Credential, Denial, FreshSignIn, Outage, Redemption, UpstreamError, VerifiedIdentity,
};

/// What a provider's authorization response says (RFC 6749, section 4.1.2; RFC 9207).
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

/// A callback that belongs to a flow of this browser, spent.
struct Returned {
    flow: Flow,
    leg: UpstreamLeg,
    event: Event,
    /// In whose name the provider is asked.
    asker: Asker,
    /// The code's place at its counter.
    attempt: Attempt,
}

/// A code that has come back, and the flow that it came back to.
#[derive(Clone, Copy)]
struct Back<'a> {
    asker: &'a Asker,
    flow: &'a Flow,
    leg: &'a UpstreamLeg,
    code: &'a str,
    iss: Option<&'a str>,
}

impl Broker {
    /// Takes a provider's authorization response.
    pub async fn finish_leg(
        &self,
        visit: &Visit,
        connection: ConnectionId,
        parameters: &CallbackParameters,
    ) -> Result<Answer, FlowError> {
        let returned = self.spend_leg(visit, connection, parameters).await?;
        let Returned { flow, leg, event, asker, attempt } = returned;
        let (flow, leg) = (&flow, &leg);
        let entry = self.directory.connection(connection).await?;
        let Some(entry) = entry.filter(|entry| entry.is_enabled()) else {
            return Err(self.refuse(visit, event, "connection_disabled", "connection_disabled").await);
        };
        let event = Event { organization: Some(entry.organization.id), ..event };
        if registration(&entry.connection) != leg.registration {
            return Err(self.refuse(visit, event, "idp_answer_invalid", "connection_changed").await);
        }
        let credential = match self.open_credential(connection, &entry.credential) {
            Ok(credential) => credential,
            Err(error) => {
                tracing::error!(%connection, %error, "the credential of a connection cannot be opened");
                let reason = "connection_credential_unreadable";
                return Err(self.refuse(visit, event, "temporarily_unavailable", reason).await);
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
                let back = Back { asker: &asker, flow, leg, code, iss };
                self.redeem(&entry.connection, &credential, &back, attempt).await?
            }
            (None, None) => {
                return Err(self.refuse(visit, event, "idp_answer_invalid", "response_empty").await);
            }
        };
        match outcome {
            Ok(identity) => Box::pin(self.sign_in_as(visit, flow, leg, &entry, identity, event)).await,
            Err(UpstreamError::Unavailable(Outage::Withheld(wait))) => {
                Err(self.too_many(visit, flow, None, (Scope::Redemption, wait)).await)
            }
            Err(error) => Err(self.upstream_failed(visit, event, flow, &error).await),
        }
    }

    /// Finds the flow of a response and spends its state. A response that is not this browser's spends nothing.
    async fn spend_leg(
        &self,
        visit: &Visit,
        connection: ConnectionId,
        parameters: &CallbackParameters,
    ) -> Result<Returned, FlowError> {
        let event = Event { connection: Some(connection), ..Event::new("sign_in") };
        let Some(state) = parameters.state.as_deref() else {
            return Err(self.refuse(visit, event, "idp_answer_invalid", "state_missing").await);
        };
        let Some((name, proof)) = self.read_upstream_state(state) else {
            return Err(self.refuse(visit, event, "idp_answer_invalid", "state_foreign").await);
        };
        let event = Event { app: name.app, receipt: Some(receipt_of(name.id)), ..event };
        let Some(flow) = self.find_flow(visit, name.id).await? else {
            let lost = self.lost_flow(name).await;
            let reason = match &lost {
                FlowError::Refused(refusal) if refusal.code == "flow_finished" => "state_of_finished_flow",
                FlowError::Refused(_) => "state_of_another_browser",
                _ => return Err(lost),
            };
            self.record_refusal_alone(&visit.network(), &event, reason).await?;
            return Err(lost);
        };
        let fits = |leg: &&UpstreamLeg| proof.is(leg.state) && leg.connection == connection;
        let Some(leg) = flow.leg.as_ref().filter(fits).cloned() else {
            return Err(self.refuse(visit, event, "idp_answer_invalid", "state_mismatch").await);
        };
        let mark = format!("{}:{}", flow.id, base64url::encode(leg.state));
        // Order matters: it has its place before the count is read, so that none is overlooked.
        let asker = self.asker(visit);
        let attempt = self.begin_redemption(&asker, connection);
        let until = flow.started_at.after(FLOW_LIFETIME);
        let (over, counter) = (over_mark(flow.id), (Scope::Redemption.as_str(), attempt.subject()));
        let mut tx = self.database.write().await?;
        let (is_first, seen) = flows::spend_unless(&mut tx, (&mark, &over), until, counter).await?;
        attempt.learn(seen.map(as_seen));
        if !is_first {
            drop(tx);
            return Err(self.refuse(visit, event, "flow_finished", "state_spent").await);
        }
        tx.commit().await?;
        Ok(Returned { flow, leg, event, asker, attempt })
    }

    /// Redeems a code, unless too many from there were refused of late, and counts it if this one is refused.
    async fn redeem(
        &self,
        connection: &Connection,
        credential: &Credential,
        back: &Back<'_>,
        attempt: Attempt,
    ) -> Result<Result<VerifiedIdentity, UpstreamError>, FlowError> {
        let Back { asker, flow, leg, code, iss } = *back;
        if let Err(wait) = attempt.check() {
            return Ok(Err(Outage::Withheld(wait).into()));
        }
        let fresh = leg.not_before.map(|not_before| FreshSignIn {
            not_before,
            forced: leg.forced,
            sent_at: leg.sent_at,
        });
        let redemption = Redemption {
            asker,
            gate: &attempt,
            code,
            response_iss: iss,
            redirect_uri: &self.callback_url(connection.id),
            verifier: &leg.verifier,
            nonce: &base64url::encode(leg.nonce),
            fresh,
            essential_acr: flow.target.essential_acr(),
            wanted_acr: flow.target.acr_values(),
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
