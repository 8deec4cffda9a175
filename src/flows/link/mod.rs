//! Linking: one user proves two sides in one browser, and both become one account.
//!
//! A link is part of an interaction. Its steps are *offer* (which account?) → *prove* (its own credentials) → *confirm*
//! (a page names both sides and asks once more) → *join* or *merge*. The subject of the interaction is the arriving
//! side; the user chooses the other one. Each step names the revision that the step before has left, so that no answer
//! counts twice. A failure burns the proofs: the interaction ends, and they prove nothing any more.

mod confirm;
mod due;
mod finish;
mod join;
mod merge;
mod offer;
mod prove;
mod sides;
mod skip;
mod trip;

pub use confirm::{ConfirmAnswer, LinkConfirmView, MergeView};
pub use offer::{CandidateView, LinkOfferView, OfferAnswer};
pub use sides::SideView;

use std::sync::Arc;

use crate::flows::core::Core;
use crate::flows::evidence::{Event, receipt_of};
use crate::flows::interaction::{Interactions, Waiting, WaitingPage};
use crate::flows::profile::Profiles;
use crate::flows::refusal::{Clashing, FlowError, Mark, PublicCode, Reason, Refusal, code_of_link, refused};
use crate::flows::session::Sessions;
use crate::flows::visit::Visit;
use crate::model::{FlowId, Interaction, Linking};
use crate::policy::account::link::LinkRefusal;

/// The pages of a link.
const PAGE: WaitingPage = WaitingPage {
    action: "link",
    foreign: Reason::LinkOfAnotherBrowser,
    by_cookie: true,
    over: Some(PublicCode::FlowExpired),
};

/// A link that is under way: the interaction waits for the proof of a side, or for the user's answer.
#[derive(Debug, Clone)]
pub(in crate::flows) struct LinkAttempt {
    /// The interaction, without its `link`.
    pub interaction: Interaction,
    /// The link.
    pub link: Linking,
    /// The interaction's revision.
    pub revision: i64,
}

impl LinkAttempt {
    fn of(waiting: Waiting) -> Option<Self> {
        let Waiting { mut interaction, stage, revision } = waiting;
        let link = interaction.link.take().filter(|_| stage.is_of_link())?;
        Some(Self { interaction, link, revision })
    }

    /// The id of the interaction.
    const fn id(&self) -> FlowId {
        self.interaction.id
    }

    /// The interaction, with this link.
    fn with(self, link: Option<Linking>) -> Interaction {
        Interaction { link, ..self.interaction }
    }
}

/// Links between two sides that one user proves.
pub struct Links {
    core: Arc<Core>,
    interactions: Arc<Interactions>,
    sessions: Arc<Sessions>,
    profiles: Arc<Profiles>,
}

impl Links {
    /// The service, on the shared core and the services that it calls.
    pub(in crate::flows) fn new(
        core: &Arc<Core>,
        interactions: &Arc<Interactions>,
        sessions: &Arc<Sessions>,
        profiles: &Arc<Profiles>,
    ) -> Self {
        Self {
            core: Arc::clone(core),
            interactions: Arc::clone(interactions),
            sessions: Arc::clone(sessions),
            profiles: Arc::clone(profiles),
        }
    }

    /// The link that a page's handle names. Refuses a browser other than the one that its interaction is bound to.
    async fn require_attempt(&self, visit: &Visit, handle: &str) -> Result<LinkAttempt, FlowError> {
        // A browser without the cookie of the link learns nothing about it.
        if let Some(name) =
            self.interactions.read_handle(handle).filter(|name| !self.interactions.is_bound(visit, name.id))
        {
            let event =
                Event { app: name.app, receipt: Some(receipt_of(name.id)), ..Event::new(PAGE.action) };
            return Err(refused(event, PublicCode::SessionEnded, PAGE.foreign));
        }
        let waiting = self.interactions.require_waiting(visit, handle, PAGE).await?;
        let (id, app) = (waiting.interaction.id, waiting.interaction.purpose.app());
        LinkAttempt::of(waiting).ok_or_else(|| {
            let event = Event { app, receipt: Some(receipt_of(id)), ..Event::new(PAGE.action) };
            refused(event, PublicCode::FlowFinished, Reason::LinkNotWaiting)
        })
    }

    /// Refuses because of a failure that burns the proofs.
    async fn burn(&self, attempt: &LinkAttempt, event: Event, refusal: LinkRefusal) -> FlowError {
        let code = match refusal {
            // The proofs are burned, whether the names can be read or not.
            LinkRefusal::SameProvider => {
                PublicCode::LinkSameProvider(Clashing(self.clashing(attempt).await.unwrap_or_default()))
            }
            other => code_of_link(other),
        };
        burned(attempt, event, code, refusal.into()).into()
    }

    /// The event of a step of a link.
    fn link_event(action: &'static str, attempt: &LinkAttempt) -> Event {
        let LinkAttempt { interaction, link, .. } = attempt;
        Event {
            organization: Some(link.organization),
            actor: interaction.subject.account().map(Into::into),
            app: interaction.purpose.app(),
            receipt: Some(receipt_of(interaction.id)),
            ..Event::new(action)
        }
    }
}

/// Refuses with the public code and the true reason, and ends the interaction: its proofs prove nothing any more.
fn burned(attempt: &LinkAttempt, event: Event, code: PublicCode, reason: Reason) -> Refusal {
    Refusal::new(event, code, reason).marking(Mark::EndInteraction(attempt.id()))
}
