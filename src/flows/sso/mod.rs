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
use super::refusal::{PublicCode, Reason, refused};
use super::visit::{Answer, NextPage, Visit};
use crate::model::{Aim, Connection, ConnectionId, Flow, LinkSide, Prompt, Purpose, Trip, UpstreamRequest};
use crate::policy::context::can_be_asked_for;
use crate::policy::route::NamedBy;
use crate::protocol::base64url;
use crate::upstream::AuthorizationInput;

pub use callback::CallbackParameters;
pub(super) use refusal::refuse_other_connection;

/// What becomes of a flow whose provider cannot be made to ask the person.
enum Unforced {
    /// The person goes on elsewhere.
    Elsewhere(Answer),
    /// They go there, and any sign-in is good enough.
    NotFresh,
    /// They go there, and what was demanded of the sign-in stays demanded.
    AsDemanded,
}

impl Broker {
    /// Starts a sign-in by a link (`/sso/{handle or domain}`): at the provider, or where one of several is chosen.
    pub async fn begin_by_link(&self, visit: &Visit, entered: &str) -> Result<Answer, FlowError> {
        let connections = match Name::parse(entered) {
            Some(name) => self.connections_for_name(&name, NamedBy::Link).await?,
            None => Vec::new(),
        };
        let flow = self.new_flow(Aim::Begin(Purpose::Account));
        match connections.as_slice() {
            [] => Err(refused(Self::sign_in_event(&flow), PublicCode::UnknownDomain, Reason::UnknownName)),
            [only] => self.begin_upstream(visit, flow, *only, None).await,
            _ => self.offer_choice(visit, flow, entered, true).await,
        }
    }

    /// Starts a sign-in through one connection, for a purpose that was checked.
    pub async fn begin_connection(
        &self,
        visit: &Visit,
        connection: ConnectionId,
        purpose: Purpose,
        login_hint: Option<&str>,
    ) -> Result<Answer, FlowError> {
        let flow = self.new_flow(Aim::Begin(purpose));
        self.begin_upstream(visit, flow, connection, login_hint).await
    }

    /// Sends the person to a connection's provider.
    pub(in crate::flows) async fn begin_upstream(
        &self,
        visit: &Visit,
        mut flow: Flow,
        connection: ConnectionId,
        login_hint: Option<&str>,
    ) -> Result<Answer, FlowError> {
        let event = Event { connection: Some(connection), ..Self::sign_in_event(&flow) };
        let Some(entry) = self.directory.connection(connection).await? else {
            return Err(refused(event, PublicCode::ConnectionDisabled, Reason::ConnectionUnknown));
        };
        let event = Event { organization: Some(entry.organization.id), ..event };
        if !entry.is_enabled() {
            return Err(refused(event, PublicCode::ConnectionDisabled, Reason::ConnectionDisabled));
        }
        if let Some(request) = flow.aim.request()
            && !can_be_asked_for(&request.essential_acr, &entry.connection.settings.acr_values)
        {
            return Err(self.refuse_context(event, request).await?);
        }
        let (prompts, max_age, acr_values) = demands(&flow.aim);
        let mut sent = self.new_upstream_request(&entry.connection, &prompts, max_age);
        let state = self.upstream_state(&flow, sent.state)?;
        let input = AuthorizationInput {
            redirect_uri: &self.callback_url(connection),
            state: &state,
            nonce: &base64url::encode(sent.nonce),
            verifier: &sent.verifier,
            login_hint,
            prompts: &prompts,
            max_age,
            acr_values: &acr_values,
        };
        let request = match self.upstream.authorization_url(&entry.connection, input).await {
            Ok(request) => request,
            Err(error) => return Err(self.upstream_failed(event, &flow, &error).await),
        };
        sent.forced = request.forced;
        if !sent.forced {
            match self.without_asking(visit, &flow, event).await? {
                Unforced::Elsewhere(answer) => return Ok(answer),
                Unforced::NotFresh => sent.not_before = None,
                Unforced::AsDemanded => {}
            }
        }
        flow.upstream = Some(sent);
        let cookies = self.keep_flow(visit, &flow).await?;
        let next = NextPage::Upstream(request.url.into());
        Ok(Answer::to(next).with_all(cookies))
    }

    /// What becomes of a flow whose provider cannot be made to ask the person.
    async fn without_asking(&self, visit: &Visit, flow: &Flow, event: Event) -> Result<Unforced, FlowError> {
        match &flow.aim {
            Aim::Begin(Purpose::App(_) | Purpose::Account | Purpose::Home(_) | Purpose::AddProfile) => {
                Ok(Unforced::AsDemanded)
            }
            Aim::Begin(Purpose::Reauthenticate(account, action)) => {
                let elsewhere = self.reauthenticate_elsewhere(visit, flow, (*account, *action), event);
                Ok(Unforced::Elsewhere(Box::pin(elsewhere).await?))
            }
            // Nothing is gained by going there: the chosen side is proved next.
            Aim::Prove(trip @ Trip { side: LinkSide::Arriving, .. }) => {
                Ok(Unforced::Elsewhere(Box::pin(self.go_on_to_chosen(visit, *trip)).await?))
            }
            // The page after it names both sides and asks once more.
            Aim::Prove(Trip { side: LinkSide::Chosen, .. }) => Ok(Unforced::NotFresh),
        }
    }

    fn new_upstream_request(
        &self,
        connection: &Connection,
        prompts: &[Prompt],
        max_age: Option<u32>,
    ) -> UpstreamRequest {
        let sent_at = self.clock.now();
        let (mut state, mut nonce, mut verifier) = ([0; 16], [0; 16], [0; 32]);
        self.random.fill(&mut state);
        self.random.fill(&mut nonce);
        self.random.fill(&mut verifier);
        UpstreamRequest {
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

/// How old a sign-in at a provider may be that must be a new one, in seconds.
const NEW_SIGN_IN: u32 = 1;

/// A hash over what must not have changed between the way there and the way back.
pub(in crate::flows) fn registration(connection: &Connection) -> [u8; 16] {
    let text = format!("{}\n{}\n{}", connection.organization, connection.issuer, connection.client_id);
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    hash.as_ref().first_chunk::<16>().copied().unwrap_or_default()
}

/// What a flow asks of the provider: prompts, the greatest age of the sign-in in seconds, and classes of it.
fn demands(aim: &Aim) -> (Vec<Prompt>, Option<u32>, Vec<String>) {
    match aim {
        Aim::Begin(Purpose::App(request)) => {
            (request.prompt.clone(), request.max_age, request.acr_values.clone())
        }
        Aim::Begin(Purpose::Account | Purpose::Home(_)) => (Vec::new(), None, Vec::new()),
        // What is proved for an account's own sake is never silent, where the provider can be made to ask.
        Aim::Begin(Purpose::Reauthenticate(..) | Purpose::AddProfile) | Aim::Prove(_) => {
            (vec![Prompt::Login], Some(NEW_SIGN_IN), Vec::new())
        }
    }
}
