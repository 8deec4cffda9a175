//! The proofs of a link's sides by their own credentials: an identity provider's answer or a password.

use crate::flows::evidence::Event;
use crate::flows::interaction::sealed::finish_mark;
use crate::flows::interaction::{Answered, Claim, Known};
use crate::flows::link::{LinkAttempt, Links, burned};
use crate::flows::profile::find_elsewhere;
use crate::flows::refusal::{FlowError, Mark, PublicCode, Reason, refuse_other_connection, refused};
use crate::flows::visit::Visit;
use crate::model::{FLOW_LIFETIME, Flow, Identity, Linking, OrganizationId, Profile, Subject, Trip};
use crate::policy::account::link::{LinkRefusal, fits};
use crate::store::Tx;
use crate::store::interaction::flows;

impl Links {
    /// Takes a proof as that of the chosen side of a link, at the revision that asked for it. A proof that does not fit
    /// burns all proofs of the link.
    pub(in crate::flows) async fn prove_chosen(
        &self,
        (mut tx, known): (Tx, Known),
        visit: &Visit,
        flow: &Flow,
        trip: Trip,
        (chosen, belongs): (Subject, Option<OrganizationId>),
        event: Event,
    ) -> Result<Answered, FlowError> {
        let (attempt, event) = self.require_waiting_for(&mut tx, visit, trip, event).await?;
        if let Subject::Identity(identity) = &chosen
            && let Some(other) = find_elsewhere(&mut tx, attempt.link.organization, identity).await?
        {
            let refusal = refuse_other_connection(event, other.kind.connection());
            return Err(refusal.marking(Mark::EndInteraction(attempt.id())).into());
        }
        if let Err(refusal) = check_chosen(&attempt, &chosen, belongs) {
            drop(tx);
            return Err(self.burn(&attempt, event, refusal).await);
        }
        let claim = self.claim_proof(&mut tx, &attempt, flow, &event).await?;
        let link = Linking { chosen: Some(chosen), ..attempt.link.clone() };
        Ok(proved((tx, known), (attempt, claim), link, flow, event))
    }

    /// Takes a second proof of the arriving side of a link. A proof of another identity burns all proofs of the link.
    pub(in crate::flows) async fn prove_arriving(
        &self,
        (mut tx, known): (Tx, Known),
        visit: &Visit,
        flow: &Flow,
        trip: Trip,
        (identity, found): (Identity, Option<Profile>),
        event: Event,
    ) -> Result<Answered, FlowError> {
        let (mut attempt, event) = self.require_waiting_for(&mut tx, visit, trip, event).await?;
        let Subject::Identity(before) = &attempt.interaction.subject else {
            return Err(FlowError::Unavailable("a link without an identity to prove".to_owned()));
        };
        let who = |it: &Identity| (it.connection, it.registration, it.issuer.clone(), it.subject.clone());
        if who(before) != who(&identity) {
            drop(tx);
            return Err(self.burn(&attempt, event, LinkRefusal::WrongProfile).await);
        }
        if found.is_some() {
            return Err(burned(&attempt, event, PublicCode::LinkTaken, Reason::LinkTaken).into());
        }
        let claim = self.claim_proof(&mut tx, &attempt, flow, &event).await?;
        attempt.interaction.subject = Subject::Identity(Box::new(identity));
        let link = Linking { arrival_settled: true, ..attempt.link.clone() };
        Ok(proved((tx, known), (attempt, claim), link, flow, event))
    }

    /// The link that waits for the proof of a trip, and the event of the proof.
    async fn require_waiting_for(
        &self,
        tx: &mut Tx,
        visit: &Visit,
        trip: Trip,
        event: Event,
    ) -> Result<(LinkAttempt, Event), FlowError> {
        match self.find_waiting_for(tx, visit, trip).await? {
            Some(attempt) => {
                let connection = event.connection;
                let event = Event { connection, ..Self::link_event("link.prove", &attempt) };
                Ok((attempt, event))
            }
            None => {
                let event = Event { action: "link.prove", ..event };
                let refused = refused(event, PublicCode::FlowExpired, Reason::LinkNotWaiting);
                Err(refused.marking(Mark::ExpireInteraction(trip.interaction)))
            }
        }
    }

    /// Spends the flow of a trip and claims the interaction. Of two proofs that come at once, the later one is refused.
    async fn claim_proof(
        &self,
        tx: &mut Tx,
        attempt: &LinkAttempt,
        flow: &Flow,
        event: &Event,
    ) -> Result<Claim, FlowError> {
        let until = flow.started_at.after(FLOW_LIFETIME);
        let first = flows::spend(tx, &finish_mark(flow.id), until).await?;
        let claim =
            if first { self.interactions.claim(tx, attempt.id(), attempt.revision).await? } else { None };
        let Some(claim) = claim else {
            return Err(refused(event.clone(), PublicCode::FlowFinished, Reason::LinkOvertaken));
        };
        self.core.record_success(tx, event).await?;
        Ok(claim)
    }
}

/// Goes on with a link in which a side was proved, by a trip that ends here.
fn proved(
    opened: (Tx, Known),
    (attempt, claim): (LinkAttempt, Claim),
    link: Linking,
    flow: &Flow,
    event: Event,
) -> Answered {
    let answered = Answered::new(opened, attempt.with(Some(link)), event);
    Answered { claim: Some(claim), trip: Some(flow.id), ..answered }
}

/// Whether the proof fits the link: the wanted profile, the organization, and an account other than the arriving one.
fn check_chosen(
    attempt: &LinkAttempt,
    chosen: &Subject,
    belongs: Option<OrganizationId>,
) -> Result<(), LinkRefusal> {
    let proved = match chosen {
        Subject::Identity(_) => None,
        Subject::Account { proof, .. } => Some(proof.profile),
    };
    fits(attempt.link.wanted, proved)?;
    if belongs != Some(attempt.link.organization) {
        return Err(LinkRefusal::WrongProfile);
    }
    match (attempt.interaction.subject.account(), chosen.account()) {
        (None, None) => Err(LinkRefusal::NoAccount),
        (Some(arriving), Some(chosen)) if arriving == chosen => Err(LinkRefusal::SameAccount),
        (Some(_), _) | (None, Some(_)) => Ok(()),
    }
}
