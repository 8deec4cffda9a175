//! Sessions: the account that a browser is signed in to, and how that begins and ends.

pub(in crate::flows) mod known_browser;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::crypto::random;
use crate::crypto::seal::Purpose;
use crate::flows::core::Core;
use crate::flows::evidence::{Event, receipt_of};
use crate::flows::refusal::{FlowError, PublicCode, Reason, refused};
use crate::flows::visit::Visit;
use crate::model::{Account, AccountId, FlowId, Organization, Proof, Secret, Session, SessionId, Target};
use crate::policy::provider::access::may_use_password;
use crate::policy::sign_in::step::SessionPermit;
use crate::protocol::packed;
use crate::store::account::{accounts, mail_codes};
use crate::store::interaction::interactions;
use crate::store::organization::organizations;
use crate::store::session::session_ends::{self, END_PAGE, EndedSession, SessionsOf};
use crate::store::session::sessions::{self, NewSession};
use crate::store::{StoreError, Tx};

/// A session's use is noted at most this often.
const TOUCH_EVERY: Duration = Duration::from_mins(1);

/// A session that has not ended or expired, of an account that is active now.
#[derive(Debug, Clone)]
pub struct CurrentSession {
    /// The session.
    pub session: Session,
    /// Its account.
    pub account: Account,
    /// The account's organization.
    pub organization: Option<Organization>,
}

/// A sign-in that opens a session.
pub(in crate::flows) struct SessionOpening<'a> {
    /// The account's organization.
    pub organization: Option<&'a Organization>,
    /// The proof of who the user is.
    pub proof: Proof,
    /// The provider's ID token, for its logout.
    pub upstream_id_token: Option<Secret>,
}

/// Why sessions end. It decides which of their grants end too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::flows) enum EndReason {
    /// The user has left them, or they have expired. Grants with `offline_access` continue.
    SignedOut,
    /// Something that they depend on is gone, or is not trusted any more. All grants end.
    Withdrawn,
}

/// A session that was opened, with the token that its cookie holds.
pub(in crate::flows) struct OpenedSession {
    /// The session.
    pub session: Session,
    /// The cookie's token.
    pub token: Secret,
}

/// How long sessions live.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// The longest time without a request.
    pub idle: Duration,
    /// The longest time in all.
    pub max: Duration,
}

/// Sessions of browsers.
pub struct Sessions {
    core: Arc<Core>,
    settings: SessionSettings,
}

impl Sessions {
    /// The service, on the shared core and the services that it calls.
    pub(in crate::flows) fn new(core: &Arc<Core>, settings: SessionSettings) -> Self {
        Self { core: Arc::clone(core), settings }
    }

    /// The session of a browser, if it has not ended or expired, and everything that it depends on is active now.
    pub async fn current_session(&self, visit: &Visit) -> Result<Option<CurrentSession>, FlowError> {
        let Some(token) = &visit.session else { return Ok(None) };
        let now = self.core.clock.now();
        let mut tx = self.core.database.read().await?;
        let hash = random::hash_token(token.expose());
        let Some(session) = sessions::find_session_by_token(&mut tx, &hash).await? else { return Ok(None) };
        if session.is_over(now) {
            drop(tx);
            // An expired session stays expired, even when the clock is set back.
            let mut tx = self.core.database.write().await?;
            self.end_session(&mut tx, &session).await?;
            tx.commit().await?;
            return Ok(None);
        }
        let standing =
            accounts::read_standing(&mut tx, session.account, session.proof.connection, None, None).await?;
        let good = standing
            .is_some_and(|standing| standing.is_good() && standing.organization_id == session.organization);
        let account = accounts::find_account(&mut tx, session.account).await?;
        let (Some(account), true) = (account, good) else { return Ok(None) };
        let organization = organizations::find_organization_of(&mut tx, &account).await?;
        drop(tx);
        if session.proof.connection.is_none() && !may_use_password(&account, organization.as_ref()) {
            return Ok(None);
        }
        if now.since(session.last_seen_at) >= TOUCH_EVERY {
            let (idle, _) = self.session_spans(organization.as_ref());
            let mut tx = self.core.database.write().await?;
            sessions::touch_session(&mut tx, session.id, now, now.after(idle)).await?;
            tx.commit().await?;
        }
        Ok(Some(CurrentSession { session, account, organization }))
    }

    pub(in crate::flows) async fn require_session(
        &self,
        visit: &Visit,
        action: &'static str,
    ) -> Result<CurrentSession, FlowError> {
        match self.current_session(visit).await? {
            Some(current) => Ok(current),
            None => Err(refused(Event::new(action), PublicCode::SessionEnded, Reason::NoSession)),
        }
    }

    /// Ends the session that a browser presents although its account, connection or organization is disabled. If that
    /// is enabled again, the session must not come back to a user who has signed out.
    pub(in crate::flows) async fn end_presented_session(&self, visit: &Visit) -> Result<(), FlowError> {
        let Some(token) = &visit.session else { return Ok(()) };
        let hash = random::hash_token(token.expose());
        let found = sessions::find_session_by_token(&mut self.core.database.read().await?, &hash).await?;
        let Some(session) = found else { return Ok(()) };
        let mut tx = self.core.database.write().await?;
        if self.end_session(&mut tx, &session).await? {
            self.core.record_success(&mut tx, &session_event("logout", &session, "scope=local")).await?;
        }
        Ok(tx.commit().await?)
    }

    /// How long a session lives without use, and at most. An organization may be stricter than the deployment, but not
    /// laxer.
    fn session_spans(&self, organization: Option<&Organization>) -> (Duration, Duration) {
        let policy = organization.map(|organization| &organization.policy);
        let (idle, max) = (self.settings.idle, self.settings.max);
        let own_idle = policy.and_then(|policy| policy.session_idle);
        let own_max = policy.and_then(|policy| policy.session_max);
        (own_idle.map_or(idle, |own| own.min(idle)), own_max.map_or(max, |own| own.min(max)))
    }

    /// Opens a session in the transaction that proved who signs in. The browser's session of the same account continues
    /// under a new token; a session of another account ends.
    pub(in crate::flows) async fn open_session(
        &self,
        tx: &mut Tx,
        visit: &Visit,
        permit: SessionPermit,
        sign_in: SessionOpening<'_>,
    ) -> Result<OpenedSession, FlowError> {
        let now = self.core.clock.now();
        let (idle, max) = self.session_spans(sign_in.organization);
        let before = match &visit.session {
            Some(token) => sessions::find_session_by_token(tx, &random::hash_token(token.expose())).await?,
            None => None,
        };
        let kept = before.as_ref().filter(|old| old.account == permit.account() && !old.is_over(now));
        let id = kept.map_or_else(|| SessionId::new(now, &*self.core.random), |old| old.id);
        let token = random::token(&*self.core.random);
        let session = Session {
            id,
            account: permit.account(),
            organization: sign_in.organization.map(|organization| organization.id),
            confirmed_at: None,
            created_at: kept.map_or(now, |old| old.created_at),
            last_seen_at: now,
            idle_until: now.after(idle),
            expires_at: now.after(max),
            user_agent: visit.user_agent.clone(),
            proof: sign_in.proof,
        };
        let new = NewSession {
            token_hash: random::hash_token(token.expose()),
            upstream_id_token_sealed: match &sign_in.upstream_id_token {
                Some(text) => Some(self.seal_upstream_id_token(id, text)?),
                None => None,
            },
            session: session.clone(),
        };
        let renewed = kept.is_some() && sessions::renew_session(tx, &new).await?;
        let (new, session) = if kept.is_some() && !renewed {
            // The old session ended a moment ago, so this is a new one.
            let session = Session { id: SessionId::new(now, &*self.core.random), ..session };
            (NewSession { session: session.clone(), upstream_id_token_sealed: None, ..new }, session)
        } else {
            (new, session)
        };
        if !renewed {
            if let Some(old) = &before
                && self.end_session(tx, old).await?
            {
                let receipt = Some(receipt_of(permit.interaction()));
                let event = Event { receipt, ..session_event("session.end", old, "replaced") };
                self.core.record_success(tx, &event).await?;
            }
            sessions::insert_session(tx, &new).await?;
        }
        Ok(OpenedSession { session, token })
    }

    /// Lets a session whose user has just proved by a mailed code who they are continue under another token, which is
    /// returned. `None` if it has ended, or has another token than the browser holds.
    pub(in crate::flows) async fn confirm_session(
        &self,
        tx: &mut Tx,
        visit: &Visit,
        permit: SessionPermit,
        session: SessionId,
    ) -> Result<Option<Secret>, StoreError> {
        let Some(old) = &visit.session else { return Ok(None) };
        let token = random::token(&*self.core.random);
        let hashes = (&*random::hash_token(old.expose()), &*random::hash_token(token.expose()));
        let session = (permit.account(), session);
        let confirmed = sessions::confirm_session(tx, session, hashes, self.core.clock.now()).await?;
        Ok(confirmed.then_some(token))
    }

    /// Ends a session that the user has left; `false` if it had ended already.
    pub(in crate::flows) async fn end_session(
        &self,
        tx: &mut Tx,
        session: &Session,
    ) -> Result<bool, StoreError> {
        let one = SessionsOf::One { account: session.account, session: session.id };
        Ok(!self.end_sessions(tx, one, EndReason::SignedOut).await?.is_empty())
    }

    /// Ends sessions with the grants that do not outlive them, and gives the sessions that ended. Every session that
    /// ends before its time ends here, so that all consequences have one place.
    pub(in crate::flows) async fn end_sessions(
        &self,
        tx: &mut Tx,
        which: SessionsOf,
        why: EndReason,
    ) -> Result<Vec<EndedSession>, StoreError> {
        let now = self.core.clock.now();
        // Order matters: sessions before grants, since a request that gets a grant locks the session first.
        let mut ended = Vec::new();
        loop {
            let page = session_ends::end_sessions(tx, which, now).await?;
            let is_last = page.len() < END_PAGE;
            ended.extend(page);
            if is_last {
                break;
            }
        }
        if matches!(which, SessionsOf::One { .. }) && ended.is_empty() {
            // The session belongs to another account, or it has ended, and then its grants were revoked too.
            return Ok(ended);
        }
        let places: HashMap<SessionId, usize> =
            ended.iter().enumerate().map(|(place, session)| (session.session, place)).collect();
        loop {
            let page = session_ends::revoke_grants_of(tx, which, why == EndReason::Withdrawn, now).await?;
            for grant in &page {
                let session = places.get(&grant.session).and_then(|place| ended.get_mut(*place));
                if let Some(session) = session {
                    session.apps.push(grant.app);
                }
            }
            if page.len() < END_PAGE {
                return Ok(ended);
            }
        }
    }

    /// Ends everything that an account has open: sessions, grants with all their tokens, interactions, and the codes
    /// that were mailed to it. The interaction `but` continues: it is the one that ends the rest.
    pub(in crate::flows) async fn end_everything(
        &self,
        tx: &mut Tx,
        account: AccountId,
        but: Option<FlowId>,
    ) -> Result<(), StoreError> {
        let now = self.core.clock.now();
        // Order matters: interactions before sessions, as in every use case that continues an interaction.
        interactions::end_interactions_of_account(tx, account, but, now).await?;
        self.end_sessions(tx, SessionsOf::Account(account), EndReason::Withdrawn).await?;
        mail_codes::delete_codes_of_account(tx, account).await
    }

    fn seal_upstream_id_token(&self, session: SessionId, token: &Secret) -> Result<String, FlowError> {
        let context = format!("sessions.upstream_id_token:{session}");
        let packed = packed::pack(token.expose()).map(Zeroizing::new);
        let text = packed.as_ref().map_or(token.expose().as_bytes(), |packed| packed.as_slice());
        Ok(self.core.sealer.seal_text(Purpose::PersonalData, &context, text)?)
    }

    /// The provider's ID token of a session, as a hint for its logout.
    pub(in crate::flows) async fn upstream_id_token(
        &self,
        tx: &mut Tx,
        session: SessionId,
    ) -> Result<Option<Secret>, StoreError> {
        let Some(sealed) = sessions::find_upstream_id_token(tx, session).await? else { return Ok(None) };
        let context = format!("sessions.upstream_id_token:{session}");
        let plain = self.core.sealer.open_text(Purpose::PersonalData, &context, &sealed).ok();
        Ok(plain.and_then(|plain| packed::unpack(&plain)).map(Secret::new))
    }
}

/// An event of a session's own account.
fn session_event(action: &'static str, session: &Session, detail: &str) -> Event {
    Event {
        organization: session.organization,
        actor: Some(session.account.into()),
        connection: session.proof.connection,
        detail: Some(detail.to_owned()),
        target: Some(Target::Session(session.id)),
        ..Event::new(action)
    }
}

/// An event of the signed-in user.
pub(in crate::flows) fn own_event(action: &'static str, current: &CurrentSession) -> Event {
    Event {
        organization: current.account.organization,
        actor: Some(current.account.id.into()),
        connection: current.session.proof.connection,
        ..Event::new(action)
    }
}
