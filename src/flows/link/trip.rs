//! The link that waits for the proof of a side, and the ways to prove that side.

use crate::flows::evidence::Event;
use crate::flows::interaction::{Answered, Waiting};
use crate::flows::link::{LinkAttempt, Links};
use crate::flows::refusal::{FlowError, Mark, PublicCode, Reason, refused};
use crate::flows::visit::Visit;
use crate::model::{ConnectionId, LinkSide, Linking, OrganizationId, Purpose, Subject, Trip, Wanted};
use crate::policy::sign_in::step::Stage;
use crate::store::Tx;
use crate::store::account::profiles;
use crate::store::organization::connections;

impl Links {
    /// Accepts the earlier proof of the arriving side, where its identity provider cannot ask the user again.
    pub(in crate::flows) async fn settle_arriving(
        &self,
        visit: &Visit,
        trip: Trip,
    ) -> Result<Answered, FlowError> {
        let found = self.find_waiting_for(&mut self.core.database.read().await?, visit, trip).await?;
        let Some(attempt) = found else {
            let event = Event::new("link.prove");
            let refused = refused(event, PublicCode::FlowExpired, Reason::LinkNotWaiting);
            return Err(refused.marking(Mark::ExpireInteraction(trip.interaction)));
        };
        let event = Self::link_event("link.prove", &attempt);
        let (mut tx, known) = self.interactions.open_for(&attempt.interaction).await?;
        let Some(claim) = self.interactions.claim(&mut tx, attempt.id(), attempt.revision).await? else {
            return Err(refused(event, PublicCode::FlowFinished, Reason::LinkOvertaken));
        };
        let link = Linking { arrival_settled: true, ..attempt.link.clone() };
        let answered = Answered::new((tx, known), attempt.with(Some(link)), event);
        Ok(Answered { claim: Some(claim), ..answered })
    }

    /// The link that waits in this browser for the proof of a trip.
    pub(in crate::flows) async fn find_waiting_for(
        &self,
        tx: &mut Tx,
        visit: &Visit,
        trip: Trip,
    ) -> Result<Option<LinkAttempt>, FlowError> {
        let found = self.interactions.find_waiting(tx, trip.interaction).await?;
        let stage = match trip.side {
            LinkSide::Arriving => Stage::ProveArriving,
            LinkSide::Chosen => Stage::ProveChosen,
        };
        let waits = |found: &Waiting| (found.revision, found.stage) == (trip.revision, stage);
        let found = found.filter(|found| waits(found) && self.interactions.is_bound(visit, trip.interaction));
        Ok(found.and_then(LinkAttempt::of))
    }

    /// The connections by which the user may prove the chosen side (none where a certain profile is wanted), and the
    /// purpose of the interaction. `None` when the interaction is over.
    pub(in crate::flows) async fn ways_to_prove(
        &self,
        trip: Trip,
    ) -> Result<Option<(Vec<ConnectionId>, Purpose)>, FlowError> {
        let mut tx = self.core.database.read().await?;
        let found = self.interactions.find_waiting(&mut tx, trip.interaction).await?;
        let Some(LinkAttempt { interaction, link, .. }) = found.and_then(LinkAttempt::of) else {
            return Ok(None);
        };
        let Linking { wanted: Wanted::Any, organization, .. } = link else {
            return Ok(Some((Vec::new(), interaction.purpose)));
        };
        let has = match &interaction.subject {
            Subject::Identity(identity) => vec![identity.issuer.clone()],
            Subject::Account { account, .. } => {
                let has = profiles::list_profiles(&mut tx, *account).await?;
                has.iter().filter_map(|profile| profile.kind.issuer().map(str::to_owned)).collect()
            }
        };
        drop(tx);
        let has: Vec<&str> = has.iter().map(String::as_str).collect();
        Ok(Some((self.connections_but(organization, &has).await?, interaction.purpose)))
    }

    /// The enabled connections of an organization, without those of these identity providers.
    pub(in crate::flows) async fn connections_but(
        &self,
        organization: OrganizationId,
        issuers: &[&str],
    ) -> Result<Vec<ConnectionId>, FlowError> {
        let all = connections::list_connections(&mut self.core.database.read().await?, organization).await?;
        let open = all.iter().map(|record| &record.connection).filter(|connection| connection.enabled);
        let open = open.filter(|connection| !issuers.contains(&connection.issuer.as_str()));
        Ok(open.map(|connection| connection.id).collect())
    }
}
