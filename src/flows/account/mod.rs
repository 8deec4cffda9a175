//! The user's own page (`/account`): their account, their ways to sign in, and their sessions.

mod profiles;
mod undo;
mod unlink;

pub use profiles::{AddProfileView, AddWay, LedgerView, ProfileView};
pub use undo::UndoView;
pub use unlink::UnlinkView;

use std::sync::Arc;

use crate::flows::core::Core;
use crate::flows::directory::BrandView;
use crate::flows::evidence::Event;
use crate::flows::interaction::Interactions;
use crate::flows::link::Links;
use crate::flows::profile::Profiles;
use crate::flows::profile::email::account_email_proof;
use crate::flows::refusal::{FlowError, PublicCode, Reason, refused};
use crate::flows::session::{CurrentSession, EndReason, Sessions, own_event};
use crate::flows::sign_in::SignIn;
use crate::flows::undo::Undos;
use crate::flows::visit::{Answer, CookieChange, NextPage, Visit};
use crate::model::{Account, Session, SessionId, Target};
use crate::store::organization::domains;
use crate::store::session::session_ends::SessionsOf;
use crate::store::session::sessions;

/// The contents of the page.
#[derive(Debug, Clone)]
pub struct OwnAccountView {
    /// The anti-forgery token of its forms.
    pub form_token: String,
    /// The account that is signed in.
    pub account: Account,
    /// Whether the account's email counts as proven.
    pub email_proven: bool,
    /// The account's organization.
    pub organization: Option<BrandView>,
    /// The domains of the organization.
    pub domains: Vec<String>,
    /// The sessions, the current one first.
    pub sessions: Vec<SessionView>,
    /// The ways to sign in to the account.
    pub profiles: Vec<ProfileView>,
    /// The changes of its links, newest first.
    pub ledger: Vec<LedgerView>,
    /// Whether the user can add another way to sign in.
    pub linking: bool,
}

/// One session of the user.
#[derive(Debug, Clone)]
pub struct SessionView {
    /// The session.
    pub session: Session,
    /// Whether it is the session of this request.
    pub current: bool,
    /// The name of its connection.
    pub via: Option<String>,
}

/// The user's own page, and their actions there.
pub struct OwnAccount {
    core: Arc<Core>,
    interactions: Arc<Interactions>,
    sessions: Arc<Sessions>,
    profiles: Arc<Profiles>,
    links: Arc<Links>,
    sign_in: Arc<SignIn>,
    undos: Arc<Undos>,
}

impl OwnAccount {
    /// The service, on the shared core and the services that it calls.
    pub(in crate::flows) fn new(
        core: &Arc<Core>,
        interactions: &Arc<Interactions>,
        sessions: &Arc<Sessions>,
        profiles: &Arc<Profiles>,
        links: &Arc<Links>,
        sign_in: &Arc<SignIn>,
        undos: &Arc<Undos>,
    ) -> Self {
        Self {
            core: Arc::clone(core),
            interactions: Arc::clone(interactions),
            sessions: Arc::clone(sessions),
            profiles: Arc::clone(profiles),
            links: Arc::clone(links),
            sign_in: Arc::clone(sign_in),
            undos: Arc::clone(undos),
        }
    }

    /// The subject of the anti-forgery token of the user's forms; `None` when no user is signed in.
    pub async fn own_form_subject(&self, visit: &Visit) -> Result<Option<String>, FlowError> {
        Ok(self.sessions.current_session(visit).await?.map(|current| current.session.id.to_string()))
    }

    /// The contents of the page; `None` when no user is signed in.
    pub async fn view_account(&self, visit: &Visit) -> Result<Option<OwnAccountView>, FlowError> {
        let Some(current) = self.sessions.current_session(visit).await? else { return Ok(None) };
        let (profiles, ledger) = (self.own_profiles(&current).await?, self.own_ledger(&current).await?);
        let CurrentSession { session, account, organization } = current;
        let now = self.core.clock.now();
        let mut tx = self.core.database.read().await?;
        let owned = match account.organization {
            Some(id) => domains::list_domains(&mut tx, id).await?,
            None => Vec::new(),
        };
        let mut all = sessions::list_sessions(&mut tx, account.id, now).await?;
        let email_proven = account_email_proof(&mut tx, &account).await?.is_proven();
        drop(tx);
        all.sort_by_key(|one| one.id != session.id);
        let mut rows = Vec::with_capacity(all.len());
        for one in all {
            let via = self.core.directory.connection_name(one.proof.connection).await?;
            rows.push(SessionView { current: one.id == session.id, via, session: one });
        }
        let brand = self.core.directory.brand_of(organization.as_ref()).await?;
        Ok(Some(OwnAccountView {
            form_token: self.interactions.form_token(&session.id.to_string()),
            linking: organization.as_ref().is_some_and(|organization| organization.policy.linking),
            organization: brand,
            domains: owned.iter().map(|owned| owned.domain.to_string()).collect(),
            sessions: rows,
            profiles,
            ledger,
            email_proven,
            account,
        }))
    }

    /// Ends one of the user's own sessions. Another user's session is refused like one that does not exist.
    pub async fn end_own_session(&self, visit: &Visit, session: &str) -> Result<Answer, FlowError> {
        let current = self.sessions.require_session(visit, "session.end").await?;
        let event = own_event("session.end", &current);
        let Ok(id) = session.parse::<SessionId>() else {
            return Err(refused(event, PublicCode::NotFound, Reason::SessionMalformed));
        };
        let one = SessionsOf::One { account: current.account.id, session: id };
        let mut tx = self.core.database.write().await?;
        if self.sessions.end_sessions(&mut tx, one, EndReason::SignedOut).await?.is_empty() {
            return Err(refused(event, PublicCode::NotFound, Reason::SessionNotOwn));
        }
        let event =
            Event { detail: Some(format!("session={id}")), target: Some(Target::Session(id)), ..event };
        self.core.record_success(&mut tx, &event).await?;
        tx.commit().await?;
        Ok(if id == current.session.id {
            Answer::to(NextPage::SignedOut(None)).with(CookieChange::ClearSession)
        } else {
            Answer::to(NextPage::Account)
        })
    }

    /// Ends all of the user's sessions but this one, and returns how many.
    pub async fn end_own_other_sessions(&self, visit: &Visit) -> Result<usize, FlowError> {
        let current = self.sessions.require_session(visit, "session.end_others").await?;
        let others = SessionsOf::AccountBut { account: current.account.id, keep: current.session.id };
        let mut tx = self.core.database.write().await?;
        let ended = self.sessions.end_sessions(&mut tx, others, EndReason::SignedOut).await?.len();
        let event = own_event("session.end_others", &current);
        let event = Event { detail: Some(format!("ended={ended}")), ..event };
        self.core.record_success(&mut tx, &event).await?;
        tx.commit().await?;
        Ok(ended)
    }
}
