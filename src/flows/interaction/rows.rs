//! The rows of interactions. Each is sealed, bound to a browser by a cookie, and changed by one claim at a time.

use crate::crypto::seal::Purpose;
use crate::flows::evidence::{Event, receipt_of};
use crate::flows::interaction::sealed::{keep_cookie, lost};
use crate::flows::interaction::{Claim, Interactions, Waiting, WaitingPage};
use crate::flows::refusal::{FlowError, Mark, PublicCode, Reason, refused};
use crate::flows::visit::{CookieChange, Visit};
use crate::model::{FlowId, Interaction, InteractionEnd, OrganizationId, Subject, Timestamp};
use crate::policy::sign_in::step::Stage;
use crate::store::interaction::interactions::{
    End, FoundInteraction, StoredInteraction, claim_interaction, find_end, find_interaction,
    insert_interaction, update_interaction,
};
use crate::store::{StoreError, Tx};

/// The format of sealed rows. The broker treats an interaction of another format as over. A release reads a new format
/// before the next release writes it.
const FORMAT: u32 = 1;

/// The sealed contents of a row.
#[derive(serde::Serialize, serde::Deserialize)]
struct Sealed {
    format: u32,
    stage: Stage,
    interaction: Interaction,
}

/// The part that every format has.
#[derive(serde::Deserialize)]
struct Format {
    format: u32,
}

impl Interactions {
    /// Lets an interaction wait for the user, at this stage and until this time: inserts its row, or updates it.
    /// `false` when another answer was first.
    pub(in crate::flows) async fn let_wait(
        &self,
        tx: &mut Tx,
        (interaction, organization): (&Interaction, Option<OrganizationId>),
        (stage, expires_at): (Stage, Timestamp),
        claim: Option<&Claim>,
    ) -> Result<bool, FlowError> {
        let sealed = Sealed { format: FORMAT, stage, interaction: interaction.clone() };
        let text = serde_json::to_vec(&sealed)
            .map_err(|_| FlowError::Unavailable("the interaction cannot be written".to_owned()))?;
        let chosen = interaction.link.as_ref().and_then(|link| link.chosen.as_ref());
        let stored = StoredInteraction {
            id: interaction.id,
            organization,
            accounts: [interaction.subject.account(), chosen.and_then(Subject::account)],
            state_sealed: self.core.sealer.seal_text(
                Purpose::PersonalData,
                &context(interaction.id),
                &text,
            )?,
            waits_since: self.core.clock.now(),
            expires_at,
        };
        match claim {
            Some(claim) => Ok(update_interaction(tx, &stored, claim.revision).await?),
            None => Ok(insert_interaction(tx, &stored).await?),
        }
    }

    /// Opens the sealed contents of a row; `None` for another format.
    fn open(&self, found: &FoundInteraction) -> Result<Option<Waiting>, StoreError> {
        let broken = || StoreError::inconsistent("interactions", "state_sealed", found.id);
        let opened =
            self.core.sealer.open_text(Purpose::PersonalData, &context(found.id), &found.state_sealed);
        let text = opened.map_err(|_| broken())?;
        let Format { format } = serde_json::from_slice(&text).map_err(|_| broken())?;
        if format != FORMAT {
            return Ok(None);
        }
        let Sealed { stage, interaction, .. } = serde_json::from_slice(&text).map_err(|_| broken())?;
        Ok(Some(Waiting { interaction, stage, revision: found.revision }))
    }

    /// The row of an interaction that has neither ended nor expired, and did not begin in the future.
    pub(in crate::flows) async fn find_waiting(
        &self,
        tx: &mut Tx,
        id: FlowId,
    ) -> Result<Option<Waiting>, StoreError> {
        let now = self.core.clock.now();
        let found = find_interaction(tx, id, now).await?;
        match found.filter(|found| !found.waits_since.is_ahead_of(now)) {
            Some(found) => self.open(&found),
            None => Ok(None),
        }
    }

    /// The interaction that a page's handle names. Refuses a browser other than the one that it is bound to.
    pub(in crate::flows) async fn require_waiting(
        &self,
        visit: &Visit,
        handle: &str,
        WaitingPage { action, foreign, by_cookie, over }: WaitingPage,
    ) -> Result<Waiting, FlowError> {
        let Some(name) = self.read_handle(handle) else {
            return Err(refused(Event::new(action), PublicCode::FlowExpired, Reason::FlowHandleInvalid));
        };
        let event = Event { app: name.app, receipt: Some(receipt_of(name.id)), ..Event::new(action) };
        let mut tx = self.core.database.read().await?;
        let found = self.find_waiting(&mut tx, name.id).await?;
        let end = if found.is_none() { find_end(&mut tx, name.id).await? } else { None };
        drop(tx);
        if let Some(waiting) = found {
            return if !by_cookie || self.is_bound(visit, name.id) {
                Ok(waiting)
            } else {
                Err(refused(event, PublicCode::SessionEnded, foreign))
            };
        }
        let lost = match (end, over) {
            (Some(End::Noted(InteractionEnd::Account)), _) => {
                return Err(refused(event, PublicCode::SessionEnded, Reason::AccountEnded));
            }
            (Some(End::Over | End::Noted(InteractionEnd::Expired)), Some(over)) => lost(over, name),
            _ => self.lost_flow(name).await?,
        };
        // The user learns that it is over, so it stays over even when the clock is set back.
        Err(match end {
            Some(End::Over) => lost.marking(Mark::ExpireInteraction(name.id)).into(),
            Some(End::Noted(_)) | None => lost.into(),
        })
    }

    /// Claims an interaction in the transaction that goes on with it; `None` when another answer was first.
    pub(in crate::flows) async fn claim(
        &self,
        tx: &mut Tx,
        id: FlowId,
        revision: i64,
    ) -> Result<Option<Claim>, StoreError> {
        let claimed = claim_interaction(tx, id, revision, self.core.clock.now()).await?;
        Ok(claimed.then_some(Claim { revision: revision + 1 }))
    }

    /// Whether this browser holds the cookie that binds the interaction.
    pub(in crate::flows) fn is_bound(&self, visit: &Visit, id: FlowId) -> bool {
        let value = visit.flows.iter().find(|(held, _)| *held == id).map(|(_, value)| value);
        value
            .is_some_and(|value| self.core.sealer.open_text(Purpose::FlowCookie, &binding(id), value).is_ok())
    }

    /// The cookies that bind an interaction to this browser.
    pub(in crate::flows) fn bind(&self, visit: &Visit, id: FlowId) -> Result<Vec<CookieChange>, FlowError> {
        let value = self.core.sealer.seal_text(Purpose::FlowCookie, &binding(id), &[])?;
        Ok(keep_cookie(visit, id, value))
    }
}

/// The context to which the state of an interaction is sealed.
fn context(id: FlowId) -> String {
    format!("interactions.state:{id}")
}

/// The context to which the cookie of an interaction is sealed.
fn binding(id: FlowId) -> String {
    format!("interaction:{id}")
}
