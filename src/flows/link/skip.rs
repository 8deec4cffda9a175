//! Keeping both apart, and going on: with a new account where the connection makes one, or with the one that is signed in.

use super::super::Broker;
use super::super::error::FlowError;
use super::super::interaction::Answered;
use super::super::refusal::{PublicCode, Reason, refused};
use super::super::visit::Visit;
use super::LinkAttempt;
use crate::model::Subject;
use crate::store::sessions;

impl Broker {
    /// Keeps both sides of a link apart.
    pub(super) async fn skip_link(&self, visit: &Visit, attempt: LinkAttempt) -> Result<Answered, FlowError> {
        let event = Self::link_event("link.skip", &attempt);
        let session = attempt.interaction.session.id();
        // A session is noted as used before: two transactions that write would wait for each other.
        let current = match session {
            Some(_) => self.current_session(visit).await?,
            None => None,
        };
        let connection = match &attempt.interaction.subject {
            Subject::Identity(identity) => Some(identity.connection),
            Subject::Account { .. } => None,
        };
        let (mut tx, known) = self.open_completion(Some(&attempt.interaction.purpose), connection).await?;
        if !self.claim(&mut tx, attempt.id(), attempt.revision).await? {
            return Err(refused(event, PublicCode::FlowFinished, Reason::LinkOvertaken));
        }
        if let Some(session) = session {
            let is_current = current.is_some_and(|current| current.session.id == session);
            if !is_current || !sessions::hold_session(&mut tx, session).await? {
                return Err(refused(event, PublicCode::SessionEnded, Reason::SessionEnded));
            }
        }
        self.record_success(&mut tx, &event).await?;
        let revision = Some(attempt.revision + 1);
        let mut interaction = attempt.with(None);
        interaction.answered.kept_apart = true;
        Ok(Answered { revision, ..Answered::new((tx, known), interaction, event) })
    }
}
