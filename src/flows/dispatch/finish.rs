//! The end of an interaction, where its purpose is fulfilled.

use crate::flows::dispatch::Dispatcher;
use crate::flows::interaction::Answered;
use crate::flows::provider::token::issue_code::CodeRequest;
use crate::flows::refusal::FlowError;
use crate::flows::visit::{Answer, CookieChange, NextPage, Visit};
use crate::model::{InteractionEnd, Purpose, Subject};
use crate::policy::sign_in::step::FinishPermit;
use crate::store::interaction::interactions::end_interaction;

impl Dispatcher {
    /// Fulfills the purpose of an interaction, ends it, and commits.
    pub(in crate::flows) async fn finish(
        &self,
        visit: &Visit,
        answered: Answered,
        permit: FinishPermit,
        cookies: Vec<CookieChange>,
    ) -> Result<Answer, FlowError> {
        let Answered { mut tx, known, interaction, claim, trip, .. } = answered;
        let Subject::Account { proof, .. } = interaction.subject else {
            return Err(FlowError::Unavailable("an interaction ends without an account".to_owned()));
        };
        let next = match (interaction.purpose, &known.app, interaction.session.id()) {
            (Purpose::App(request), Some(entry), Some(session)) => {
                let code = CodeRequest { request: &request, entry, session, proof: &proof };
                NextPage::App(self.tokens.issue_code(&mut tx, permit, code).await?)
            }
            (Purpose::App(_), _, _) => {
                return Err(FlowError::Unavailable(
                    "a code is to be issued without an app or session".to_owned(),
                ));
            }
            (Purpose::Home(_), entry, _) => {
                let home = entry.as_ref().and_then(|entry| entry.app.settings.home_uri.clone());
                home.map_or(NextPage::Account, NextPage::App)
            }
            (Purpose::Reauthenticate(_, action), _, _) => NextPage::Sensitive(action),
            (Purpose::Account | Purpose::AddProfile, _, _) => NextPage::Account,
        };
        if claim.is_some() {
            let by = InteractionEnd::Answered;
            end_interaction(&mut tx, interaction.id, by, self.core.clock.now()).await?;
        }
        tx.commit().await?;
        // This browser no longer needs its cookies of the flow.
        let held = visit.flows.iter().map(|(id, _)| *id).filter(|id| *id == interaction.id);
        let cookies = cookies.into_iter().chain(held.chain(trip).map(CookieChange::ClearFlow));
        Ok(cookies.fold(Answer::to(next), Answer::with))
    }
}
