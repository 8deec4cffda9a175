//! Signing in at an identity provider: the way there. The way back is in `callback`, who comes back in `identity`,
//! `provision` and `replace`, and what is said where nobody does in `refusal`.

mod callback;
mod identity;
pub(super) mod provision;
mod refusal;
mod replace;

use std::time::Duration;

use aws_lc_rs::digest;

use super::Broker;
use super::directory::Name;
use super::error::FlowError;
use super::evidence::Event;
use super::visit::{Answer, Go, Visit};
use crate::model::{Connection, ConnectionId, Flow, Prompt, Target, UpstreamLeg};
use crate::policy::context::can_be_asked_for;
use crate::policy::route::NamedBy;
use crate::protocol::base64url;
use crate::upstream::AuthorizationInput;

pub use callback::CallbackParameters;

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
    pub(in crate::flows) async fn begin_leg(
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
                Some(seconds) => Some(sent_at.before(Duration::from_secs(seconds.into()))),
                None => prompts.contains(&Prompt::Login).then_some(sent_at),
            },
            forced: false,
        }
    }

    /// The address that a connection's provider sends browsers back to.
    pub fn callback_url(&self, connection: ConnectionId) -> String {
        self.url(&format!("/sso/callback/{connection}"))
    }
}

/// How old a sign-in at a provider may be that is to be a new one, in seconds.
const ANEW: u32 = 1;

/// A hash over what must not have changed between the way there and the way back.
pub(in crate::flows) fn registration(connection: &Connection) -> [u8; 16] {
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
