//! Signing in at an identity provider: the way there. The way back is in `callback`. The identity that comes back is in
//! `identity`, `provision` and `replace`, and the answer to a failed sign-in in `refusal`.

mod callback;
pub(in crate::flows) mod expect;
mod identity;
pub(in crate::flows) mod logout;
pub(in crate::flows) mod provision;
pub(in crate::flows) mod redeeming;
mod refusal;
mod replace;

use std::sync::Arc;
use std::time::Duration;

use crate::flows::core::Core;
use crate::flows::directory::ConnectionEntry;
use crate::flows::evidence::Event;
use crate::flows::interaction::{Interactions, sign_in_event};
use crate::flows::link::Links;
use crate::flows::profile::{Profiles, registration};
use crate::flows::refusal::{FlowError, PublicCode, Reason, refused};
use crate::flows::session::Sessions;
use crate::flows::sso::redeeming::Redemptions;
use crate::flows::visit::{Answer, NextPage, Visit};
use crate::model::{Aim, Connection, ConnectionId, Flow, LinkSide, Prompt, Purpose, Trip, UpstreamRequest};
use crate::policy::sign_in::context::can_be_asked_for;
use crate::protocol::base64url;
use crate::upstream::{AuthorizationInput, Upstream};

pub use callback::CallbackParameters;

/// The result of beginning a sign-in at a provider.
pub(in crate::flows) enum Begun {
    /// The browser goes to the provider.
    There(Answer),
    /// The provider cannot be made to ask the user, so its answer would not prove enough for this flow. A refusal is
    /// recorded under this event.
    CannotAsk(Event),
}

/// How a flow continues whose provider cannot be made to ask the user.
enum Unforced {
    /// The user does not go there.
    Stays,
    /// The user goes there, and any sign-in is good enough.
    NotFresh,
    /// The user goes there, and the demands on the sign-in stay.
    AsDemanded,
}

/// Signing in at identity providers.
pub struct Sso {
    core: Arc<Core>,
    interactions: Arc<Interactions>,
    sessions: Arc<Sessions>,
    profiles: Arc<Profiles>,
    links: Arc<Links>,
    upstream: Arc<Upstream>,
    redemptions: Arc<Redemptions>,
    max_accounts: i64,
}

impl Sso {
    /// The service, on the shared core and the services that it calls.
    pub(in crate::flows) fn new(
        core: &Arc<Core>,
        interactions: &Arc<Interactions>,
        sessions: &Arc<Sessions>,
        profiles: &Arc<Profiles>,
        links: &Arc<Links>,
        upstream: &Arc<Upstream>,
        max_accounts: i64,
    ) -> Self {
        Self {
            core: Arc::clone(core),
            interactions: Arc::clone(interactions),
            sessions: Arc::clone(sessions),
            profiles: Arc::clone(profiles),
            links: Arc::clone(links),
            upstream: Arc::clone(upstream),
            redemptions: Arc::default(),
            max_accounts,
        }
    }

    /// Sends the user to a connection's provider.
    pub(in crate::flows) async fn begin(
        &self,
        visit: &Visit,
        mut flow: Flow,
        connection: ConnectionId,
        login_hint: Option<&str>,
    ) -> Result<Begun, FlowError> {
        let event = Event { connection: Some(connection), ..sign_in_event(&flow) };
        let (entry, event) = self.require_enabled(connection, event).await?;
        if let Some(request) = flow.aim.request()
            && !can_be_asked_for(&request.essential_acr, &entry.connection.settings.acr_values)
        {
            return Err(self.refuse_context(event, request).await?);
        }
        let (prompts, max_age, acr_values) = demands(&flow.aim);
        let mut sent = self.new_upstream_request(&entry.connection, &prompts, max_age);
        let state = self.interactions.upstream_state(&flow, sent.state)?;
        let input = AuthorizationInput {
            redirect_uri: &self.core.callback_url(connection),
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
            Err(error) => return Err(self.upstream_failed(event, flow.aim.request(), &error).await),
        };
        sent.forced = request.forced;
        if !sent.forced {
            match unforced(&flow.aim) {
                Unforced::Stays => return Ok(Begun::CannotAsk(event)),
                Unforced::NotFresh => sent.not_before = None,
                Unforced::AsDemanded => {}
            }
        }
        flow.upstream = Some(sent);
        let cookies = self.interactions.keep_flow(visit, &flow).await?;
        let next = NextPage::Upstream(request.url.into());
        Ok(Begun::There(Answer::to(next).with_all(cookies)))
    }

    /// Whether the identity provider of a connection can be made to ask a user again who signed in through it.
    pub(in crate::flows) async fn can_ask_again(&self, connection: ConnectionId) -> Result<bool, FlowError> {
        let event = Event { connection: Some(connection), ..Event::new("sign_in") };
        let (entry, event) = self.require_enabled(connection, event).await?;
        match self.upstream.can_ask_again(&entry.connection).await {
            Ok(can_ask) => Ok(can_ask),
            Err(error) => Err(self.upstream_failed(event, None, &error).await),
        }
    }

    /// The connection, if users may sign in through it now.
    async fn require_enabled(
        &self,
        connection: ConnectionId,
        event: Event,
    ) -> Result<(Arc<ConnectionEntry>, Event), FlowError> {
        let Some(entry) = self.core.directory.connection(connection).await? else {
            return Err(refused(event, PublicCode::ConnectionDisabled, Reason::ConnectionUnknown));
        };
        let event = Event { organization: Some(entry.organization.id), ..event };
        if !entry.is_enabled() {
            return Err(refused(event, PublicCode::ConnectionDisabled, Reason::ConnectionDisabled));
        }
        Ok((entry, event))
    }

    fn new_upstream_request(
        &self,
        connection: &Connection,
        prompts: &[Prompt],
        max_age: Option<u32>,
    ) -> UpstreamRequest {
        let sent_at = self.core.clock.now();
        let (mut state, mut nonce, mut verifier) = ([0; 16], [0; 16], [0; 32]);
        self.core.random.fill(&mut state);
        self.core.random.fill(&mut nonce);
        self.core.random.fill(&mut verifier);
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
}

/// The greatest age of a sign-in at a provider that must be new, in seconds.
const NEW_SIGN_IN: u32 = 1;

/// The demands of a flow on the provider: prompts, the greatest age of the sign-in in seconds, and context classes
/// (`acr_values`).
fn demands(aim: &Aim) -> (Vec<Prompt>, Option<u32>, Vec<String>) {
    match aim {
        Aim::Begin(Purpose::App(request)) => {
            (request.prompt.clone(), request.max_age, request.acr_values.clone())
        }
        Aim::Begin(Purpose::Account | Purpose::Home(_)) => (Vec::new(), None, Vec::new()),
        // A proof that protects an account is never silent where the provider can be made to ask.
        Aim::Begin(Purpose::Reauthenticate(..) | Purpose::AddProfile) | Aim::Prove(_) => {
            (vec![Prompt::Login], Some(NEW_SIGN_IN), Vec::new())
        }
    }
}

/// How a flow continues whose provider cannot be made to ask the user.
const fn unforced(aim: &Aim) -> Unforced {
    match aim {
        Aim::Begin(Purpose::App(_) | Purpose::Account | Purpose::Home(_) | Purpose::AddProfile) => {
            Unforced::AsDemanded
        }
        // Going there would prove nothing. The user proves who they are in another way, or proves the chosen side next.
        Aim::Begin(Purpose::Reauthenticate(..)) | Aim::Prove(Trip { side: LinkSide::Arriving, .. }) => {
            Unforced::Stays
        }
        // The page that follows names both sides and asks the user to confirm.
        Aim::Prove(Trip { side: LinkSide::Chosen, .. }) => Unforced::NotFresh,
    }
}
