//! Keeping both sides apart. The user goes on with a new account where the connection allows one, or with the account
//! that is signed in.

use crate::flows::interaction::Answered;
use crate::flows::link::{LinkAttempt, Links};
use crate::flows::refusal::{FlowError, PublicCode, Reason, refused};
use crate::flows::visit::Visit;

impl Links {
    /// Whether the browser holds the session in which a link is under way; true where the link has no session.
    pub(super) async fn is_of_session(
        &self,
        visit: &Visit,
        attempt: &LinkAttempt,
    ) -> Result<bool, FlowError> {
        let Some(session) = attempt.interaction.session.id() else { return Ok(true) };
        let current = self.sessions.current_session(visit).await?;
        Ok(current.is_some_and(|current| current.session.id == session))
    }

    /// Keeps both sides of a link apart.
    pub(super) async fn skip_link(&self, visit: &Visit, attempt: LinkAttempt) -> Result<Answered, FlowError> {
        let event = Self::link_event("link.skip", &attempt);
        // This check may write that the session was used. Inside the transaction, the writes would wait for each other.
        if !self.is_of_session(visit, &attempt).await? {
            return Err(refused(event, PublicCode::SessionEnded, Reason::SessionEnded));
        }
        let (mut tx, known) = self.interactions.open_for(&attempt.interaction).await?;
        let Some(claim) = self.interactions.claim(&mut tx, attempt.id(), attempt.revision).await? else {
            return Err(refused(event, PublicCode::FlowFinished, Reason::LinkOvertaken));
        };
        self.core.record_success(&mut tx, &event).await?;
        let mut interaction = attempt.with(None);
        interaction.answered.kept_apart = true;
        Ok(Answered { claim: Some(claim), ..Answered::new((tx, known), interaction, event) })
    }
}
