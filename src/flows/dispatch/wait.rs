//! An interaction that has to wait for the user. The dispatcher writes its row, commits everything so far, and sends
//! the browser to the page or trip.

use crate::flows::dispatch::Dispatcher;
use crate::flows::dispatch::facts::Standing;
use crate::flows::evidence::Event;
use crate::flows::interaction::Answered;
use crate::flows::refusal::{FlowError, PublicCode, Reason, refused};
use crate::flows::visit::{Answer, CookieChange, NextPage, Visit};
use crate::model::{FLOW_LIFETIME, Interaction, LinkSide, Purpose, Subject, Timestamp, Trip};
use crate::policy::sign_in::step::Stage;
use crate::protocol::oauth::{ErrorCode, OAuthError};

impl Dispatcher {
    pub(in crate::flows) async fn wait(
        &self,
        visit: &Visit,
        mut answered: Answered,
        (stage, standing): (Stage, Option<Standing>),
        cookies: Vec<CookieChange>,
    ) -> Result<Answer, FlowError> {
        if answered.interaction.purpose.is_silent() {
            return Err(self.refuse_silently(answered, stage));
        }
        self.prepare_link(&mut answered, stage).await?;
        let until = end_of(stage, &answered.interaction, self.core.clock.now());
        let Answered { mut tx, interaction, claim, event, trip, through, .. } = answered;
        let organization = match &interaction.link {
            Some(link) => Some(link.organization),
            None => standing.and_then(|standing| standing.account.organization),
        };
        if !self
            .interactions
            .let_wait(&mut tx, (&interaction, organization), (stage, until), claim.as_ref())
            .await?
        {
            return Err(refused(event, PublicCode::FlowFinished, Reason::SignInOvertaken));
        }
        let bound = self.interactions.bind(visit, interaction.id)?;
        let handle = self.interactions.flow_handle(interaction.id, interaction.purpose.app())?;
        tx.commit().await?;
        let cookies = bound.into_iter().chain(cookies).chain(trip.map(CookieChange::ClearFlow));
        let revision = claim.map_or(0, |claim| claim.revision());
        let trip = |side| Trip { interaction: interaction.id, revision, side };
        let answer = match stage {
            Stage::LinkOffer | Stage::ConfirmLink | Stage::Consent => {
                Answer::to(NextPage::Stage(stage, handle))
            }
            Stage::ProveArriving => {
                self.begin_arriving(visit, &interaction, trip(LinkSide::Arriving)).await?
            }
            Stage::ProveChosen => {
                self.begin_chosen(visit, &interaction, trip(LinkSide::Chosen), through).await?
            }
        };
        Ok(cookies.fold(answer, Answer::with))
    }

    /// The refusal of a silent request, in which the app allowed no page to be shown (`prompt=none`).
    fn refuse_silently(&self, answered: Answered, stage: Stage) -> FlowError {
        let Answered { interaction, event, .. } = answered;
        let (code, description, reason) = match stage {
            Stage::Consent => {
                (ErrorCode::ConsentRequired, "the user must be asked for consent", Reason::ConsentRequired)
            }
            Stage::LinkOffer | Stage::ProveArriving | Stage::ProveChosen | Stage::ConfirmLink => (
                ErrorCode::InteractionRequired,
                "the user must be asked something",
                Reason::InteractionRequired,
            ),
        };
        match &interaction.purpose {
            Purpose::App(request) => {
                self.interactions.refuse_to_app(event, request, &OAuthError::new(code, description), reason)
            }
            Purpose::Account | Purpose::Home(_) | Purpose::Reauthenticate(..) | Purpose::AddProfile => {
                refused(event, PublicCode::InvalidRequest, reason)
            }
        }
    }

    /// Begins the link that the broker offers, and ends a link that is no longer due.
    async fn prepare_link(&self, answered: &mut Answered, stage: Stage) -> Result<(), FlowError> {
        let Answered { tx, interaction, event, .. } = answered;
        let Interaction { subject, link, .. } = interaction;
        if !stage.is_of_link() {
            *link = None;
        } else if let (Subject::Identity(identity), None) = (&*subject, &*link) {
            let Some(organization) = event.organization else {
                return Err(FlowError::Unavailable("a connection without an organization".to_owned()));
            };
            *link = Some(self.links.offered_link(organization, identity));
            self.core.record_success(tx, &Event { action: "link.offer", ..event.clone() }).await?;
        }
        Ok(())
    }
}

/// When an interaction that waits at this stage expires. A link has an end of its own.
fn end_of(stage: Stage, interaction: &Interaction, now: Timestamp) -> Timestamp {
    let of_link = interaction.link.as_ref().filter(|_| stage.is_of_link());
    of_link.map_or_else(|| now.after(FLOW_LIFETIME), |link| link.until)
}
