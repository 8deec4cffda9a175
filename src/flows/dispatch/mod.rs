//! The dispatcher: [`next_step`] decides the next step of an interaction, and the dispatcher takes it, in the same
//! transaction as the proof or answer that led there.
//!
//! The dispatcher alone knows all concerns. Every step that `policy` can name has an arm here, without a wildcard, so
//! that a new step does not compile until it has one. Only the permits that `next_step` makes open a session or issue a
//! code.

mod facts;
mod finish;
mod refusal;
pub(in crate::flows) mod trips;
mod wait;

use std::sync::Arc;

use crate::flows::core::Core;
use crate::flows::interaction::sealed::finish_mark;
use crate::flows::interaction::to_app::LOGIN_REQUIRED;
use crate::flows::interaction::{Answered, Handled, Interactions, sign_in_event_of};
use crate::flows::link::Links;
use crate::flows::provider::Tokens;
use crate::flows::refusal::{FlowError, Mark, PublicCode, Reason, refused};
use crate::flows::session::{SessionOpening, Sessions};
use crate::flows::sign_in::SignIn;
use crate::flows::sso::Sso;
use crate::flows::sso::provision::NewPersonError;
use crate::flows::visit::{Answer, CookieChange, Visit};
use crate::model::{FLOW_LIFETIME, SessionId, SessionStage, Subject};
use crate::policy::sign_in::step::{SessionPermit, Step, next_step};
use crate::store::interaction::flows;
use crate::store::session::sessions::lock_session;
use facts::Standing;

/// The most steps that one answer takes. Each kind of step acts at most once, so no interaction comes near this limit.
const MOST_STEPS: usize = 8;

/// The dispatcher.
pub struct Dispatcher {
    core: Arc<Core>,
    interactions: Arc<Interactions>,
    sessions: Arc<Sessions>,
    links: Arc<Links>,
    sso: Arc<Sso>,
    sign_in: Arc<SignIn>,
    tokens: Arc<Tokens>,
}

impl Dispatcher {
    /// The service, on the shared core and the services that it calls.
    pub(in crate::flows) fn new(
        core: &Arc<Core>,
        interactions: &Arc<Interactions>,
        sessions: &Arc<Sessions>,
        links: &Arc<Links>,
        sso: &Arc<Sso>,
        sign_in: &Arc<SignIn>,
        tokens: &Arc<Tokens>,
    ) -> Self {
        Self {
            core: Arc::clone(core),
            interactions: Arc::clone(interactions),
            sessions: Arc::clone(sessions),
            links: Arc::clone(links),
            sso: Arc::clone(sso),
            sign_in: Arc::clone(sign_in),
            tokens: Arc::clone(tokens),
        }
    }

    /// Goes on with the result of a handler.
    pub async fn proceed(&self, visit: &Visit, handled: Handled) -> Result<Answer, FlowError> {
        match handled {
            Handled::Next(answer) => Ok(answer),
            Handled::Answered(answered) => Box::pin(self.advance(visit, *answered)).await,
        }
    }

    /// Goes on with an interaction after a proof or answer, until it waits for the user or ends. Everything that this
    /// function writes commits together with the proof.
    pub async fn advance(&self, visit: &Visit, answered: Answered) -> Result<Answer, FlowError> {
        let (id, burns) = (answered.interaction.id, answered.burns);
        match Box::pin(self.take_steps(visit, answered)).await {
            Err(error) if burns => Err(error.marking(Mark::EndInteraction(id))),
            result => result,
        }
    }

    async fn take_steps(&self, visit: &Visit, mut answered: Answered) -> Result<Answer, FlowError> {
        let was_open = matches!(answered.interaction.session, SessionStage::Open(_));
        let mut cookies = Vec::new();
        let mut standing = None;
        for _ in 0..MOST_STEPS {
            let facts = self.facts(&mut answered, &mut standing).await?;
            match next_step(facts) {
                Step::Refuse(refusal) => return Err(self.refuse_step(answered, refusal)),
                Step::CreateAccount => self.become_account(&mut answered).await?,
                Step::OpenSession(permit) => {
                    let opened = self.open_session_of(visit, &mut answered, standing.as_ref(), permit);
                    cookies.extend(opened.await?);
                }
                Step::Wait(stage) => {
                    // The confirmation of a link reads again everything that the link depends on.
                    if was_open && !stage.is_of_link() {
                        self.lock_open_session(&mut answered).await?;
                    }
                    return Box::pin(self.wait(visit, answered, (stage, standing), cookies)).await;
                }
                Step::Finish(permit) => {
                    if was_open {
                        self.lock_open_session(&mut answered).await?;
                    }
                    return self.finish(visit, answered, permit, cookies).await;
                }
            }
        }
        Err(FlowError::Unavailable("an interaction does not end".to_owned()))
    }

    /// Locks the open session for the rest of the transaction, so that an app gets nothing in a session that has ended.
    /// Our own pages check the session themselves.
    async fn lock_open_session(&self, answered: &mut Answered) -> Result<(), FlowError> {
        let Answered { tx, interaction, event, .. } = answered;
        let (SessionStage::Open(session), Some(request)) =
            (interaction.session, interaction.purpose.request())
        else {
            return Ok(());
        };
        if lock_session(tx, session, self.core.clock.now()).await? {
            return Ok(());
        }
        Err(if interaction.purpose.is_silent() {
            self.interactions.refuse_to_app(event.clone(), request, &LOGIN_REQUIRED, Reason::SessionEnded)
        } else {
            refused(event.clone(), PublicCode::SessionEnded, Reason::SessionEnded)
        })
    }

    /// Makes an account for an identity that has none, if its connection still vouches for it.
    async fn become_account(&self, answered: &mut Answered) -> Result<(), FlowError> {
        let Subject::Identity(identity) = answered.interaction.subject.clone() else {
            return Err(FlowError::Unavailable("an account is to be made of an account".to_owned()));
        };
        let tx = &mut answered.tx;
        let made = self.sso.make_account(tx, answered.known.connection.as_deref(), *identity).await;
        let (account, proof, id_token) = made.map_err(|error| {
            // An identity for which its connection no longer vouches proves nothing any more.
            let burned = matches!(error, NewPersonError::NotVouched(..)) && answered.claim.is_some();
            let refused = error.refuse(answered.event.clone());
            if burned { refused.marking(Mark::EndInteraction(answered.interaction.id)) } else { refused }
        })?;
        if let (Some(claims), Some(entry)) = (&answered.claims, &answered.known.connection) {
            self.sso.keep_claims(tx, entry, proof.profile, claims).await?;
        }
        answered.interaction.subject = Subject::Account { account: account.id, proof };
        answered.interaction.upstream_id_token = id_token;
        answered.event = sign_in_event_of(&answered.interaction, &account);
        answered.account = Some(account);
        Ok(())
    }

    /// Opens a session for the proved account, or bases the open session on the present proof. A flow opens a session
    /// once; a second answer is refused.
    async fn open_session_of(
        &self,
        visit: &Visit,
        answered: &mut Answered,
        standing: Option<&Standing>,
        permit: SessionPermit,
    ) -> Result<Vec<CookieChange>, FlowError> {
        if let SessionStage::Confirmed(session) = answered.interaction.session {
            return self.confirm_session_of(visit, answered, permit, session).await;
        }
        let Answered { tx, interaction, event, claim, .. } = answered;
        let (Some(standing), Subject::Account { proof, .. }) = (standing, &interaction.subject) else {
            return Err(FlowError::Unavailable("a session is to be opened for nobody".to_owned()));
        };
        let (account, proof) = (permit.account(), proof.clone());
        if interaction.session == SessionStage::None {
            *event = sign_in_event_of(interaction, &standing.account);
            let until = self.core.clock.now().after(FLOW_LIFETIME);
            if !flows::spend(tx, &finish_mark(interaction.id), until).await? {
                let finished = refused(event.clone(), PublicCode::FlowFinished, Reason::FlowFinished);
                let burned = Mark::EndInteraction(interaction.id);
                return Err(if claim.is_some() { finished.marking(burned) } else { finished });
            }
            self.core.record_success(tx, event).await?;
        }
        let sign_in = SessionOpening {
            organization: standing.organization.as_ref(),
            proof,
            upstream_id_token: interaction.upstream_id_token.take(),
        };
        let opened = self.sessions.open_session(tx, visit, permit, sign_in).await?;
        interaction.session = SessionStage::Open(opened.session.id);
        interaction.confirmed_at = opened.session.confirmed_at;
        let known = self.sessions.remember_browser(visit, account)?;
        Ok(vec![CookieChange::SetSession(opened.token), known])
    }

    /// Lets the open session continue after its user has entered a mailed code.
    async fn confirm_session_of(
        &self,
        visit: &Visit,
        answered: &mut Answered,
        permit: SessionPermit,
        session: SessionId,
    ) -> Result<Vec<CookieChange>, FlowError> {
        let Answered { tx, interaction, event, .. } = answered;
        let Some(token) = self.sessions.confirm_session(tx, visit, permit, session).await? else {
            return Err(refused(event.clone(), PublicCode::SessionEnded, Reason::SessionEnded));
        };
        self.core.record_success(tx, event).await?;
        interaction.session = SessionStage::Open(session);
        interaction.confirmed_at = Some(self.core.clock.now());
        Ok(vec![CookieChange::SetSession(token)])
    }
}
