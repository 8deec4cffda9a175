//! Signing in at an identity provider: the way there, and the callback.

use aws_lc_rs::digest;

use super::Broker;
use super::complete::{Proven, UNMET_CONTEXT, is_still_registered};
use super::directory::{ConnectionEntry, Name};
use super::error::{FlowError, Refusal};
use super::evidence::{Event, receipt_of};
use super::provision::NewPersonError;
use super::visit::{Answer, Go, Visit};
use crate::model::{
    AuthorizationRequest, Connection, ConnectionId, Email, FLOW_LIFETIME, Flow, Identity, Prompt, Side,
    Target, UpstreamLeg,
};
use crate::policy::context::can_be_asked_for;
use crate::policy::route::NamedBy;
use crate::policy::step::{Step, Withdrawn};
use crate::protocol::base64url;
use crate::protocol::oauth::{ErrorCode, OAuthError};
use crate::store::{StoreError, Tx, flows, profiles};
use crate::upstream::{
    AuthorizationInput, Credential, Denial, FreshSignIn, Redemption, UpstreamError, VerifiedIdentity,
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
}

impl Broker {
    /// Starts a sign-in by a link (`/sso/{handle or domain}`): at the provider, or where one of several is chosen.
    pub async fn begin_by_link(&self, visit: &Visit, entered: &str) -> Result<Answer, FlowError> {
        let connections = match Name::parse(entered) {
            Some(name) => self.connections_for_name(&name, NamedBy::Link).await?,
            None => Vec::new(),
        };
        let flow = self.new_flow(Target::Account);
        match connections.as_slice() {
            [] => Err(self.refuse(visit, Self::sign_in_event(&flow), "unknown_domain", "unknown_name").await),
            [only] => self.begin_leg(visit, flow, *only, None).await,
            _ => self.offer_choice(visit, flow, entered, true).await,
        }
    }

    /// Starts a sign-in through one connection, for a target that was checked.
    pub async fn begin_connection(
        &self,
        visit: &Visit,
        connection: ConnectionId,
        target: Target,
        login_hint: Option<&str>,
    ) -> Result<Answer, FlowError> {
        let flow = self.new_flow(target);
        self.begin_leg(visit, flow, connection, login_hint).await
    }

    /// Sends the person to a connection's provider.
    pub(super) async fn begin_leg(
        &self,
        visit: &Visit,
        mut flow: Flow,
        connection: ConnectionId,
        login_hint: Option<&str>,
    ) -> Result<Answer, FlowError> {
        let event = Event { connection: Some(connection), ..Self::sign_in_event(&flow) };
        let Some(entry) = self.directory.connection(connection).await? else {
            return Err(self.refuse(visit, event, "connection_disabled", "connection_unknown").await);
        };
        let event = Event { organization: Some(entry.organization.id), ..event };
        if !entry.is_enabled() {
            return Err(self.refuse(visit, event, "connection_disabled", "connection_disabled").await);
        }
        if let Target::App(request) = &flow.target
            && !can_be_asked_for(&request.essential_acr, &entry.connection.settings.acr_values)
        {
            return Err(self.refuse_context(visit, event, request, &flow.target).await);
        }
        let (prompts, max_age, acr_values) = demands(&flow.target);
        let mut leg = self.new_leg(&entry.connection, &prompts, max_age);
        let state = self.upstream_state(&flow, leg.state)?;
        let input = AuthorizationInput {
            redirect_uri: &self.callback_url(connection),
            state: &state,
            nonce: &base64url::encode(leg.nonce),
            verifier: &leg.verifier,
            login_hint,
            prompts: &prompts,
            max_age,
            acr_values: &acr_values,
        };
        let request = match self.upstream.authorization_url(&entry.connection, input).await {
            Ok(request) => request,
            Err(error) => return Err(self.upstream_failed(visit, event, &flow, &error).await),
        };
        leg.forced = request.forced;
        match flow.target {
            Target::Own(account, place) if !leg.forced => {
                let elsewhere = self.begin_proof_elsewhere(visit, &flow, (account, place), event);
                return Box::pin(elsewhere).await;
            }
            // There is nothing to be gained: the person goes on to the second side.
            Target::Near(attempt, revision) if !leg.forced => {
                let second = self.begin_second_side(visit, (attempt, revision));
                return Box::pin(second).await;
            }
            // The page after it names both sides and asks once more.
            Target::Link(..) if !leg.forced => leg.not_before = None,
            _ => {}
        }
        flow.leg = Some(leg);
        let cookies = self.keep_flow(visit, &flow).await?;
        let go = Go::Upstream(request.url.into());
        Ok(cookies.into_iter().fold(Answer::to(go), Answer::with))
    }

    fn new_leg(&self, connection: &Connection, prompts: &[Prompt], max_age: Option<u32>) -> UpstreamLeg {
        let sent_at = self.clock.now();
        let (mut state, mut nonce, mut verifier) = ([0; 16], [0; 16], [0; 32]);
        self.random.fill(&mut state);
        self.random.fill(&mut nonce);
        self.random.fill(&mut verifier);
        UpstreamLeg {
            connection: connection.id,
            registration: registration(connection),
            state,
            nonce,
            verifier,
            sent_at,
            not_before: match max_age {
                Some(seconds) => Some(sent_at.before(std::time::Duration::from_secs(seconds.into()))),
                None => prompts.contains(&Prompt::Login).then_some(sent_at),
            },
            forced: false,
        }
    }

    /// The address that a connection's provider sends browsers back to.
    pub fn callback_url(&self, connection: ConnectionId) -> String {
        self.url(&format!("/sso/callback/{connection}"))
    }

    /// Takes a provider's authorization response.
    pub async fn finish_leg(
        &self,
        visit: &Visit,
        connection: ConnectionId,
        parameters: &CallbackParameters,
    ) -> Result<Answer, FlowError> {
        let returned = self.spend_leg(visit, connection, parameters).await?;
        let Returned { flow, leg, event } = &returned;
        let entry = self.directory.connection(connection).await?;
        let Some(entry) = entry.filter(|entry| entry.is_enabled()) else {
            let event = event.clone();
            return Err(self.refuse(visit, event, "connection_disabled", "connection_disabled").await);
        };
        let event = Event { organization: Some(entry.organization.id), ..event.clone() };
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
                self.redeem(&entry.connection, &credential, flow, leg, code, iss).await
            }
            (None, None) => {
                return Err(self.refuse(visit, event, "idp_answer_invalid", "response_empty").await);
            }
        };
        match outcome {
            Ok(identity) => Box::pin(self.sign_in_as(visit, flow, leg, &entry, identity, event)).await,
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
        let mut tx = self.database.write().await?;
        if !flows::spend(&mut tx, &mark, flow.started_at.after(FLOW_LIFETIME)).await? {
            drop(tx);
            return Err(self.refuse(visit, event, "flow_finished", "state_spent").await);
        }
        tx.commit().await?;
        Ok(Returned { flow, leg, event })
    }

    async fn redeem(
        &self,
        connection: &Connection,
        credential: &Credential,
        flow: &Flow,
        leg: &UpstreamLeg,
        code: &str,
        iss: Option<&str>,
    ) -> Result<VerifiedIdentity, UpstreamError> {
        let fresh = leg.not_before.map(|not_before| FreshSignIn {
            not_before,
            forced: leg.forced,
            sent_at: leg.sent_at,
        });
        let redemption = Redemption {
            code,
            response_iss: iss,
            redirect_uri: &self.callback_url(connection.id),
            verifier: &leg.verifier,
            nonce: &base64url::encode(leg.nonce),
            fresh,
            essential_acr: flow.target.essential_acr(),
        };
        self.upstream.redeem(connection, credential, &redemption).await
    }

    /// Signs in the account that an identity belongs to; where there is none, offers to link one, or makes one if the
    /// connection allows.
    async fn sign_in_as(
        &self,
        visit: &Visit,
        flow: &Flow,
        leg: &UpstreamLeg,
        entry: &ConnectionEntry,
        identity: VerifiedIdentity,
        event: Event,
    ) -> Result<Answer, FlowError> {
        let (mut tx, known) = self.begin_completion(&flow.target).await?;
        let email = self.trusted_email(&mut tx, entry.organization.id, &identity).await?;
        let (connection, issuer, subject) = (entry.connection.id, &identity.issuer, &identity.subject);
        let found = profiles::find_external_profile(&mut tx, connection, issuer, subject).await?;
        if let Target::Link(attempt, revision) = flow.target {
            let identity = vouched(leg, identity, email);
            let side = found.map_or_else(
                || Side::Identity(Box::new(identity.clone())),
                |profile| Side::Profile { account: profile.account, proof: identity.proof(profile.id) },
            );
            let proved = (side, Some(entry.organization.id));
            return self.prove_second_side(tx, visit, flow, (attempt, revision), proved, event).await;
        }
        if let Target::Near(attempt, revision) = flow.target {
            let proved = (vouched(leg, identity, email), found);
            let again = self.prove_near_side(tx, visit, flow, (attempt, revision), proved, event);
            return Box::pin(again).await;
        }
        let (account, profile, identity) = match found {
            Some(profile) => match self.known_person(&mut tx, &profile, &identity, email.as_ref()).await {
                Ok(account) => (account, profile.id, vouched(leg, identity, email)),
                Err(error) => return Err(self.refuse_new_person(tx, visit, event, error).await),
            },
            None => {
                let claims = identity.claims.clone();
                let identity = vouched(leg, identity, email);
                if let Some(claimed) = self.claim_expected(&mut tx, entry, &identity, &claims).await? {
                    (claimed.0, claimed.1, identity)
                } else if self.offers_link(&mut tx, flow, entry, &identity, &known).await? {
                    return self.offer_link(tx, visit, flow, identity, event).await;
                } else {
                    match self.new_person(&mut tx, entry, &identity).await {
                        Ok((account, profile)) => (account, profile, identity),
                        Err(error) => return Err(self.refuse_new_person(tx, visit, event, error).await),
                    }
                }
            }
        };
        let proof = identity.proof(profile);
        let proven = Proven { account, proof, upstream_id_token: Some(identity.id_token) };
        self.complete_sign_in(tx, visit, flow, proven, known).await
    }

    /// Refuses somebody whom an identity does not sign in.
    pub(super) async fn refuse_new_person(
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
        }
    }

    /// Tells of a failure at a provider: the app where the standards say so, the person otherwise.
    async fn upstream_failed(
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
    async fn refuse_context(
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
    pub(super) async fn refuse_other_connection(
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

/// How old a sign-in at a provider may be that is to be a new one, in seconds.
const ANEW: u32 = 1;

/// What a provider has vouched for, with the email as far as the organization's word goes.
fn vouched(leg: &UpstreamLeg, identity: VerifiedIdentity, email: Option<(Email, bool)>) -> Identity {
    let (email, email_verified) = email.map_or((None, false), |(email, proven)| (Some(email), proven));
    let signed_in = if leg.forced { identity.issued_at } else { leg.sent_at };
    Identity {
        connection: leg.connection,
        registration: leg.registration,
        issuer: identity.issuer,
        subject: identity.subject,
        email,
        email_verified,
        contact: identity.contact,
        authenticated_at: identity.auth_time.unwrap_or(signed_in),
        witnessed: leg.forced || identity.auth_time.is_some(),
        amr: if identity.amr.is_empty() { vec!["fed".to_owned()] } else { identity.amr },
        acr: identity.mapped_acr,
        upstream_sid: identity.upstream_sid,
        id_token: identity.id_token.0,
    }
}

/// When a person may try a provider again that could not be reached.
const RETRY_PROVIDER: std::time::Duration = std::time::Duration::from_secs(10);

/// What an app is told when the provider's answer was in order but not what the app had asked for.
fn refusal_for_app(code: &str) -> Option<ErrorCode> {
    match code {
        "id_token_auth_time_unknown" | "id_token_auth_time_too_old" => Some(ErrorCode::LoginRequired),
        _ if code.starts_with("id_token_acr_") => Some(ErrorCode::UnmetAuthenticationRequirements),
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

/// A hash over what must not have changed between the way there and the way back.
pub(super) fn registration(connection: &Connection) -> [u8; 16] {
    let text = format!("{}\n{}\n{}", connection.organization, connection.issuer, connection.client_id);
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    hash.as_ref().first_chunk::<16>().copied().unwrap_or_default()
}

/// What a target asks of the provider: prompts, the greatest age of the sign-in in seconds, and classes of it.
fn demands(target: &Target) -> (Vec<Prompt>, Option<u32>, Vec<String>) {
    match target {
        Target::App(request) => (request.prompt.clone(), request.max_age, request.acr_values.clone()),
        Target::Account | Target::Home(_) => (Vec::new(), None, Vec::new()),
        // What is proved for an account's own sake is never silent, where the provider can be made to ask.
        Target::Own(..) | Target::Link(..) | Target::Near(..) => {
            (vec![Prompt::Login], Some(ANEW), Vec::new())
        }
    }
}
