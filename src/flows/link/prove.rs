//! The second side of an attempt, proved by its own credentials: by a provider's answer or by a password.

use super::super::Broker;
use super::super::error::FlowError;
use super::super::evidence::Event;
use super::super::flow_state::finish_mark;
use super::super::sso::provision::find_elsewhere;
use super::super::visit::{Answer, CookieChange, Go, Visit};
use crate::model::{
    FLOW_LIFETIME, Flow, FlowId, Identity, LinkAttempt, LinkState, OrganizationId, Profile, Side,
};
use crate::policy::link::{LinkRefusal, fits};
use crate::store::links::abandon_attempt;
use crate::store::{Tx, flows};

impl Broker {
    /// Keeps what was proved as the second side of an attempt, at the revision that asked for it. Anything that does not
    /// fit burns the attempt.
    pub(in crate::flows) async fn prove_second_side(
        &self,
        mut tx: Tx,
        visit: &Visit,
        flow: &Flow,
        (id, revision): (FlowId, i64),
        (side, belongs): (Side, Option<OrganizationId>),
        event: Event,
    ) -> Result<Answer, FlowError> {
        let event = Event { action: "link.prove", ..event };
        let Some(attempt) = self.waiting_attempt(&mut tx, visit, (id, revision)).await? else {
            drop(tx);
            return Err(self.refuse_unwaited(visit, event, id).await);
        };
        let event = Event { connection: event.connection, ..Self::link_event("link.prove", &attempt) };
        if let Side::Identity(identity) = &side
            && let Some(other) = find_elsewhere(&mut tx, attempt.organization, identity).await?
        {
            abandon_attempt(&mut tx, id, self.clock.now()).await?;
            tx.commit().await?;
            return Err(self.refuse_other_connection(visit, event, other.kind.connection()).await);
        }
        if let Err(refusal) = check_second_side(&attempt, &side, belongs) {
            drop(tx);
            return Err(self.burn(&attempt, event, refusal).await);
        }
        let state = LinkState { far: Some(side), ..attempt.state.clone() };
        let first =
            flows::spend(&mut tx, &finish_mark(flow.id), flow.started_at.after(FLOW_LIFETIME)).await?;
        if !first || !self.advance(&mut tx, &attempt, &state).await? {
            drop(tx);
            return Err(self.refuse(visit, event, "flow_finished", "link_overtaken").await);
        }
        self.record_success(&mut tx, &event).await?;
        tx.commit().await?;
        let go = Go::ConfirmLink(self.flow_handle(attempt.id, attempt.state.target.app())?);
        Ok(Answer::to(go).with(CookieChange::ClearFlow(flow.id)))
    }
}

impl Broker {
    /// The attempt that waits in this browser for a proof at this revision.
    pub(in crate::flows) async fn waiting_attempt(
        &self,
        tx: &mut Tx,
        visit: &Visit,
        (id, revision): (FlowId, i64),
    ) -> Result<Option<LinkAttempt>, FlowError> {
        let found = self.living_attempt(tx, id).await?;
        let waiting = found.filter(|stored| stored.revision == revision && self.is_bound(visit, id));
        Ok(waiting.map(|stored| self.open_attempt(&stored)).transpose()?)
    }

    /// Takes the first side of an attempt proved once more, by the same identity; then the second side is due. Anybody
    /// else's proof burns the attempt.
    pub(in crate::flows) async fn prove_near_side(
        &self,
        mut tx: Tx,
        visit: &Visit,
        flow: &Flow,
        at: (FlowId, i64),
        (identity, found): (Identity, Option<Profile>),
        event: Event,
    ) -> Result<Answer, FlowError> {
        let event = Event { action: "link.prove", ..event };
        let Some(attempt) = self.waiting_attempt(&mut tx, visit, at).await? else {
            drop(tx);
            return Err(self.refuse_unwaited(visit, event, at.0).await);
        };
        let event = Event { connection: event.connection, ..Self::link_event("link.prove", &attempt) };
        let Side::Identity(before) = &attempt.state.near else {
            return Err(FlowError::Unavailable("an attempt without an identity to prove".to_owned()));
        };
        let who = |it: &Identity| (it.connection, it.registration, it.issuer.clone(), it.subject.clone());
        if who(before) != who(&identity) {
            drop(tx);
            return Err(self.burn(&attempt, event, LinkRefusal::WrongProfile).await);
        }
        if found.is_some() {
            drop(tx);
            return Err(self.burn_for(&attempt, event, "link_taken", "link_taken").await);
        }
        let state = LinkState { near: Side::Identity(Box::new(identity)), ..attempt.state.clone() };
        let expires_at = flow.started_at.after(FLOW_LIFETIME);
        let first = flows::spend(&mut tx, &finish_mark(flow.id), expires_at).await?;
        if !first || !self.advance(&mut tx, &attempt, &state).await? {
            drop(tx);
            return Err(self.refuse(visit, event, "flow_finished", "link_overtaken").await);
        }
        self.record_success(&mut tx, &event).await?;
        tx.commit().await?;
        let next = self.begin_second_side(visit, (attempt.id, attempt.revision + 1)).await?;
        Ok(next.with(CookieChange::ClearFlow(flow.id)))
    }
}

/// Whether what was proved fits what the attempt is for.
fn check_second_side(
    attempt: &LinkAttempt,
    side: &Side,
    belongs: Option<OrganizationId>,
) -> Result<(), LinkRefusal> {
    let proved = match side {
        Side::Identity(_) => None,
        Side::Profile { proof, .. } => Some(proof.profile),
    };
    fits(attempt.state.wanted, proved)?;
    if belongs != Some(attempt.organization) {
        return Err(LinkRefusal::WrongProfile);
    }
    match (attempt.state.near.account(), side.account()) {
        (None, None) => Err(LinkRefusal::NoAccount),
        (Some(near), Some(far)) if near == far => Err(LinkRefusal::SameAccount),
        _ => Ok(()),
    }
}
