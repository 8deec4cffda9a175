//! The second side of an attempt, proved by its own credentials: by a provider's answer or by a password.

use super::super::Broker;
use super::super::error::FlowError;
use super::super::evidence::Event;
use super::super::flow_state::finish_mark;
use super::super::visit::{Answer, CookieChange, Go, Visit};
use crate::model::{FLOW_LIFETIME, Flow, FlowId, LinkAttempt, LinkState, OrganizationId, Side};
use crate::policy::link::{LinkRefusal, fits};
use crate::store::links::{abandon_attempt, find_attempt};
use crate::store::{Tx, flows, profiles};

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
        let found = find_attempt(&mut tx, id, self.clock.now()).await?;
        let attempt = match found {
            Some(stored) if stored.revision == revision && self.is_bound(visit, id) => {
                self.open_attempt(&stored)?
            }
            _ => {
                drop(tx);
                return Err(self.refuse(visit, event, "flow_expired", "link_not_waiting").await);
            }
        };
        let event = Event { connection: event.connection, ..Self::link_event("link.prove", &attempt) };
        if let Side::Identity(identity) = &side {
            let (organization, issuer, subject) = (attempt.organization, &identity.issuer, &identity.subject);
            let elsewhere =
                profiles::find_profile_in_organization(&mut tx, organization, issuer, subject).await?;
            if let Some(other) = elsewhere {
                abandon_attempt(&mut tx, id, self.clock.now()).await?;
                tx.commit().await?;
                return Err(self.refuse_other_connection(visit, event, other.kind.connection()).await);
            }
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
