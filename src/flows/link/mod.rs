//! Linking: two sides that one person proves in one browser become one account.
//!
//! An attempt goes *offer* (which account?) → *prove* (its own credentials) → *confirm* (both are named, and asked once
//! more) → *join* or *merge*. What was proved so far is a row, sealed, and bound to the browser by a cookie; each step
//! stands on the one before by its revision, so that nothing is used twice. A failure burns what was proved.

mod confirm;
mod expect;
mod finish;
mod give_back;
mod join;
mod merge;
mod offer;
mod own;
mod prove;
mod sides;
mod skip;
mod undo;
mod unlink;

pub use confirm::{ConfirmAnswer, LinkConfirmView, MergeView};
pub use offer::{CandidateView, LinkOfferView, OfferAnswer};
pub use own::{AddProfileView, AddWay, LedgerView, ProfileView};
pub use sides::SideView;
pub use undo::{UndoRefusal, UndoView, Undone};
pub use unlink::UnlinkView;

pub(super) use join::NewEntry;
pub(super) use sides::name_identity;

use super::Broker;
use super::error::{FlowError, Refusal};
use super::evidence::{Event, receipt_of};
use super::visit::{CookieChange, Visit};
use crate::crypto::seal::Purpose;
use crate::model::{FlowId, LINK_LIFETIME, LinkAttempt, LinkState, OrganizationId, Side, Timestamp};
use crate::policy::link::LinkRefusal;
use crate::store::links::{
    ProvedAccounts, StoredAttempt, abandon_attempt, advance_attempt, bury_attempt, find_attempt,
    has_ended_with_account, insert_attempt,
};
use crate::store::{StoreError, Tx};

impl Broker {
    /// Begins an attempt in this browser: its handle, and the cookie that binds it.
    async fn begin_attempt(
        &self,
        tx: &mut Tx,
        visit: &Visit,
        organization: OrganizationId,
        expires_at: Timestamp,
        state: &LinkState,
    ) -> Result<(FlowId, String, Vec<CookieChange>), FlowError> {
        let id = FlowId::new(self.clock.now(), &*self.random);
        let state_sealed = self.seal_attempt(id, state)?;
        let stored = StoredAttempt { id, organization, state_sealed, revision: 0, expires_at };
        insert_attempt(tx, &stored, proved_accounts(state)).await?;
        let binding = self.sealer.seal_text(Purpose::FlowCookie, &binding(id), &[])?;
        let handle = self.flow_handle(id, state.target.app())?;
        Ok((id, handle, super::flow_state::keep_cookie(visit, id, binding)))
    }

    fn seal_attempt(&self, id: FlowId, state: &LinkState) -> Result<String, FlowError> {
        let text = serde_json::to_vec(state)
            .map_err(|_| FlowError::Unavailable("the attempt to link cannot be written".to_owned()))?;
        Ok(self.sealer.seal_text(Purpose::PersonalData, &format!("link_attempts.state:{id}"), &text)?)
    }

    fn open_attempt(&self, stored: &StoredAttempt) -> Result<LinkAttempt, StoreError> {
        let context = format!("link_attempts.state:{}", stored.id);
        let broken = || StoreError::inconsistent("link_attempts", "state_sealed", stored.id);
        let opened = self.sealer.open_text(Purpose::PersonalData, &context, &stored.state_sealed);
        let text = opened.map_err(|_| broken())?;
        Ok(LinkAttempt {
            state: serde_json::from_slice(&text).map_err(|_| broken())?,
            id: stored.id,
            organization: stored.organization,
            revision: stored.revision,
            expires_at: stored.expires_at,
        })
    }

    /// Puts the next state of an attempt in the place of this one; `false` when somebody else was first.
    async fn advance(
        &self,
        tx: &mut Tx,
        attempt: &LinkAttempt,
        state: &LinkState,
    ) -> Result<bool, FlowError> {
        let sealed = self.seal_attempt(attempt.id, state)?;
        let at = (attempt.id, attempt.revision);
        Ok(advance_attempt(tx, at, &sealed, proved_accounts(state), self.clock.now()).await?)
    }

    /// The attempt that a page's handle names, in the browser that it is bound to.
    async fn require_attempt(&self, visit: &Visit, handle: &str) -> Result<LinkAttempt, FlowError> {
        let Some(name) = self.read_handle(handle) else {
            return Err(self.refuse(visit, Event::new("link"), "flow_expired", "flow_handle_invalid").await);
        };
        let event = Event { app: name.app, ..Event::new("link") };
        if !self.is_bound(visit, name.id) {
            return Err(self.refuse(visit, event, "session_ended", "link_of_another_browser").await);
        }
        let found = self.living_attempt(&mut self.database.read().await?, name.id).await?;
        match found {
            Some(stored) => Ok(self.open_attempt(&stored)?),
            None if has_ended_with_account(&mut self.database.read().await?, name.id).await? => {
                Err(self.refuse(visit, event, "session_ended", "account_ended").await)
            }
            None => {
                self.bury_attempt(name.id).await?;
                Err(self.lost_flow(name).await)
            }
        }
    }

    /// An attempt that is neither ended nor over, and did not begin in the future.
    async fn living_attempt(&self, tx: &mut Tx, id: FlowId) -> Result<Option<StoredAttempt>, StoreError> {
        let now = self.clock.now();
        let found = find_attempt(tx, id, now).await?;
        Ok(found.filter(|stored| !stored.expires_at.before(LINK_LIFETIME).is_ahead_of(now)))
    }

    /// Lets an attempt that somebody is told is over stay so, also when the clock is set back.
    async fn bury_attempt(&self, id: FlowId) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut tx = self.database.write().await?;
        bury_attempt(&mut tx, id, now, now.last_end(LINK_LIFETIME)).await?;
        tx.commit().await
    }

    /// Refuses what was proved for an attempt that does not wait for it.
    async fn refuse_unwaited(&self, visit: &Visit, event: Event, id: FlowId) -> FlowError {
        match self.bury_attempt(id).await {
            Ok(()) => self.refuse(visit, event, "flow_expired", "link_not_waiting").await,
            Err(error) => error.into(),
        }
    }

    /// Whether this browser is the one in which the attempt began.
    fn is_bound(&self, visit: &Visit, attempt: FlowId) -> bool {
        let value = visit.flows.iter().find(|(id, _)| *id == attempt).map(|(_, value)| value);
        value
            .is_some_and(|value| self.sealer.open_text(Purpose::FlowCookie, &binding(attempt), value).is_ok())
    }

    /// Ends an attempt because of a failure, with its record: what was proved proves nothing any more.
    async fn burn(&self, attempt: &LinkAttempt, event: Event, refusal: LinkRefusal) -> FlowError {
        let clashing = match refusal {
            LinkRefusal::SameProvider => self.clashing(attempt).await,
            _ => Ok(Vec::new()),
        };
        match (self.burn_for(attempt, event, refusal.code(), refusal.code()).await, clashing) {
            (FlowError::Refused(refused), Ok(clashing)) => {
                FlowError::Refused(Box::new(Refusal { clashing, ..*refused }))
            }
            (error, _) => error,
        }
    }

    /// [`Self::burn`], for a reason with words of its own: the public code, and the true reason.
    async fn burn_for(
        &self,
        attempt: &LinkAttempt,
        event: Event,
        code: &'static str,
        reason: &str,
    ) -> FlowError {
        let burned = async {
            let mut tx = self.database.write().await?;
            abandon_attempt(&mut tx, attempt.id, self.clock.now()).await?;
            self.record_refusal(&mut tx, &event, reason).await?;
            tx.commit().await
        };
        if let Err(error) = burned.await {
            return error.into();
        }
        let app = match attempt.state.target.app() {
            Some(app) => self.app_link(app).await,
            None => None,
        };
        FlowError::Refused(Box::new(Refusal { receipt: event.receipt, app, ..Refusal::new(code) }))
    }

    /// An event of an attempt.
    fn link_event(action: &'static str, attempt: &LinkAttempt) -> Event {
        Event {
            organization: Some(attempt.organization),
            actor: attempt.state.near.account().map(Into::into),
            app: attempt.state.target.app(),
            receipt: Some(receipt_of(attempt.state.origin)),
            ..Event::new(action)
        }
    }
}

/// The accounts whose proofs an attempt holds.
fn proved_accounts(state: &LinkState) -> ProvedAccounts {
    [state.near.account(), state.far.as_ref().and_then(Side::account)]
}

/// What the cookie of an attempt is sealed for.
fn binding(attempt: FlowId) -> String {
    format!("linking:{attempt}")
}
