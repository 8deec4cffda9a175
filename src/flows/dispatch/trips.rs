//! The trips on which the user proves the sides of a link: sealed flows that name the interaction and its revision.

use crate::flows::dispatch::Dispatcher;
use crate::flows::refusal::FlowError;
use crate::flows::sso::Begun;
use crate::flows::visit::{Answer, Visit};
use crate::model::{Aim, ConnectionId, Email, Interaction, Subject, Trip, Wanted};
use crate::store::account::profiles;

impl Dispatcher {
    /// Sends the user to prove the arriving side once more.
    pub(super) async fn begin_arriving(
        &self,
        visit: &Visit,
        interaction: &Interaction,
        trip: Trip,
    ) -> Result<Answer, FlowError> {
        let Subject::Identity(identity) = &interaction.subject else {
            return Err(FlowError::Unavailable("an account is to be proved like an identity".to_owned()));
        };
        let hint = identity.email.as_ref().map(Email::as_str);
        let flow = self.interactions.new_flow(Aim::Prove(trip));
        match self.sso.begin(visit, flow, identity.connection, hint).await? {
            Begun::There(answer) => Ok(answer),
            // Its earlier answer still counts. The user proves the chosen side next.
            Begun::CannotAsk(_) => {
                let answered = self.links.settle_arriving(visit, trip).await?;
                Box::pin(self.advance(visit, answered)).await
            }
        }
    }

    /// Sends the user to prove the chosen side: at the identity provider of the chosen profile, or the one that the
    /// user selected, or else at the sign-in page.
    pub(super) async fn begin_chosen(
        &self,
        visit: &Visit,
        interaction: &Interaction,
        trip: Trip,
        through: Option<ConnectionId>,
    ) -> Result<Answer, FlowError> {
        let flow = self.interactions.new_flow(Aim::Prove(trip));
        let link = interaction.link.as_ref();
        let chosen = match link.map(|link| link.wanted) {
            Some(Wanted::Profile(profile)) => {
                profiles::find_profile(&mut self.core.database.read().await?, profile).await?
            }
            Some(Wanted::Any | Wanted::Nothing) | None => None,
        };
        match chosen.and_then(|profile| profile.kind.connection()).or(through) {
            Some(connection) => {
                let hint = link.and_then(|link| link.email.as_ref()).map(|checked| checked.email.as_str());
                Box::pin(self.sign_in.begin_upstream(visit, flow, connection, hint)).await
            }
            None => self.sign_in.show_sign_in(visit, &flow).await,
        }
    }
}
