//! The ways to where the sides of a link are proved: sealed flows that name the interaction and its revision.

use super::super::Broker;
use super::super::error::FlowError;
use super::super::evidence::Event;
use super::super::interaction::{Answered, Waiting};
use super::super::refusal::{Mark, PublicCode, Reason, refused};
use super::super::visit::{Answer, Visit};
use super::LinkAttempt;
use crate::model::{
    Aim, ConnectionId, Email, Interaction, LinkSide, Linking, OrganizationId, Purpose, Subject, Trip, Wanted,
};
use crate::policy::step::Stage;
use crate::store::{Tx, connections, profiles};

impl Broker {
    /// Leads to where the arriving side is proved once more.
    pub(in crate::flows) async fn begin_arriving(
        &self,
        visit: &Visit,
        interaction: &Interaction,
        trip: Trip,
    ) -> Result<Answer, FlowError> {
        let Subject::Identity(identity) = &interaction.subject else {
            return Err(FlowError::Unavailable("an account is to be proved like an identity".to_owned()));
        };
        let hint = identity.email.as_ref().map(Email::as_str);
        let flow = self.new_flow(Aim::Prove(trip));
        Box::pin(self.begin_upstream(visit, flow, identity.connection, hint)).await
    }

    /// Leads to where the chosen side is proved: at the provider of the chosen profile, or the one that the person wants,
    /// else at the sign-in page.
    pub(in crate::flows) async fn begin_chosen(
        &self,
        visit: &Visit,
        interaction: &Interaction,
        trip: Trip,
        through: Option<ConnectionId>,
    ) -> Result<Answer, FlowError> {
        let flow = self.new_flow(Aim::Prove(trip));
        let link = interaction.link.as_ref();
        let chosen = match link.map(|link| link.wanted) {
            Some(Wanted::Profile(profile)) => {
                profiles::find_profile(&mut self.database.read().await?, profile).await?
            }
            Some(Wanted::Any | Wanted::Nothing) | None => None,
        };
        match chosen.and_then(|profile| profile.kind.connection()).or(through) {
            Some(connection) => {
                let hint = link.and_then(|link| link.email.as_ref()).map(|checked| checked.email.as_str());
                Box::pin(self.begin_upstream(visit, flow, connection, hint)).await
            }
            None => self.show_sign_in(visit, &flow).await,
        }
    }

    /// Goes on where the provider of the arriving side cannot be made to ask: the chosen side is proved next.
    pub(in crate::flows) async fn go_on_to_chosen(
        &self,
        visit: &Visit,
        trip: Trip,
    ) -> Result<Answer, FlowError> {
        let found = self.find_waiting_for(&mut self.database.read().await?, visit, trip).await?;
        let Some(attempt) = found else {
            let event = Event::new("link.prove");
            let refused = refused(event, PublicCode::FlowExpired, Reason::LinkNotWaiting);
            return Err(refused.marking(Mark::ExpireInteraction(trip.interaction)));
        };
        let event = Self::link_event("link.prove", &attempt);
        let (mut tx, known) = self.open_for(&attempt.interaction).await?;
        let Some(claim) = self.claim(&mut tx, attempt.id(), attempt.revision).await? else {
            return Err(refused(event, PublicCode::FlowFinished, Reason::LinkOvertaken));
        };
        let link = Linking { arrival_settled: true, ..attempt.link.clone() };
        let answered = Answered::new((tx, known), attempt.with(Some(link)), event);
        Box::pin(self.advance(visit, Answered { claim: Some(claim), ..answered })).await
    }

    /// The link that waits in this browser for what a trip proves.
    pub(in crate::flows) async fn find_waiting_for(
        &self,
        tx: &mut Tx,
        visit: &Visit,
        trip: Trip,
    ) -> Result<Option<LinkAttempt>, FlowError> {
        let found = self.find_waiting(tx, trip.interaction).await?;
        let stage = match trip.side {
            LinkSide::Arriving => Stage::ProveArriving,
            LinkSide::Chosen => Stage::ProveChosen,
        };
        let waits = |found: &Waiting| (found.revision, found.stage) == (trip.revision, stage);
        let found = found.filter(|found| waits(found) && self.is_bound(visit, trip.interaction));
        Ok(found.and_then(LinkAttempt::of))
    }

    /// The connections by which the chosen side may be proved, where any may, and the purpose of the interaction. `None`
    /// for one that is over.
    pub(in crate::flows) async fn ways_to_prove(
        &self,
        trip: Trip,
    ) -> Result<Option<(Vec<ConnectionId>, Purpose)>, FlowError> {
        let mut tx = self.database.read().await?;
        let found = self.find_waiting(&mut tx, trip.interaction).await?;
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

    /// The enabled connections of an organization, but for those of these providers.
    pub(super) async fn connections_but(
        &self,
        organization: OrganizationId,
        issuers: &[&str],
    ) -> Result<Vec<ConnectionId>, FlowError> {
        let all = connections::list_connections(&mut self.database.read().await?, organization).await?;
        let open = all.iter().map(|record| &record.connection).filter(|connection| connection.enabled);
        let open = open.filter(|connection| !issuers.contains(&connection.issuer.as_str()));
        Ok(open.map(|connection| connection.id).collect())
    }
}
