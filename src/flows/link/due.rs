//! The next step of a link, for the dispatcher.

use crate::flows::interaction::Known;
use crate::flows::link::Links;
use crate::flows::link::offer::shared_email;
use crate::flows::profile::find_elsewhere;
use crate::flows::refusal::FlowError;
use crate::model::{
    AccountId, Identity, Interaction, LINK_LIFETIME, Linking, OrganizationId, Purpose, SensitiveAction,
    Subject, Timestamp, Wanted,
};
use crate::policy::account::link::{Newcomer, Offer};
use crate::policy::sign_in::freshness::{fresh_until, is_proved};
use crate::policy::sign_in::step::LinkDue;
use crate::store::Tx;
use crate::store::organization::organizations;

impl Links {
    /// The next step of an interaction's link, or of a link that the broker could offer.
    pub(in crate::flows) async fn link_due(
        &self,
        tx: &mut Tx,
        interaction: &Interaction,
        known: &Known,
    ) -> Result<LinkDue, FlowError> {
        let is_offered = match (&interaction.link, &interaction.subject) {
            (Some(link), subject) if link.wanted != Wanted::Nothing => {
                return Ok(due_of(link, subject, self.core.clock.now()));
            }
            _ if interaction.answered.kept_apart => false,
            // The user has seen the offer, and sees it again.
            (Some(_), Subject::Identity(_)) => true,
            (None, Subject::Identity(identity)) => {
                self.offers_link(tx, &interaction.purpose, identity, known).await?
            }
            (Some(link), Subject::Account { account, .. }) => {
                self.offers_another(tx, &interaction.purpose, link, *account).await?
            }
            (None, Subject::Account { .. }) => false,
        };
        Ok(if is_offered { LinkDue::Offer } else { LinkDue::Nothing })
    }

    /// Whether the broker offers an account to a user whose identity has none. It does not ask a user who could not go
    /// on in the end, nor about an identity that already signs in through another connection of the organization.
    async fn offers_link(
        &self,
        tx: &mut Tx,
        purpose: &Purpose,
        identity: &Identity,
        known: &Known,
    ) -> Result<bool, FlowError> {
        let Some(entry) = &known.connection else { return Ok(false) };
        match purpose {
            Purpose::App(_) | Purpose::Account | Purpose::Home(_) => {}
            Purpose::Reauthenticate(..) | Purpose::AddProfile => return Ok(false),
        }
        let organization = organizations::find_organization(tx, entry.organization.id).await?;
        let Some(organization) = organization.filter(|now| now.policy.linking) else { return Ok(false) };
        if !known.admits(&organization, identity.connection) {
            return Ok(false);
        }
        if find_elsewhere(tx, organization.id, identity).await?.is_some() {
            return Ok(false);
        }
        let email = shared_email(identity);
        let newcomer = Newcomer::Identity(&identity.issuer);
        Ok(self.offer_to(tx, &organization, email.as_ref(), newcomer).await?.is_due())
    }

    /// Whether the broker offers another account to a user who has just linked one. It does while an app is waiting, an
    /// account to offer exists, and the proofs are still fresh enough.
    async fn offers_another(
        &self,
        tx: &mut Tx,
        purpose: &Purpose,
        link: &Linking,
        account: AccountId,
    ) -> Result<bool, FlowError> {
        let waits = match purpose {
            Purpose::App(_) | Purpose::Home(_) => true,
            Purpose::Account | Purpose::Reauthenticate(..) | Purpose::AddProfile => false,
        };
        let proved_at = link.until.before(LINK_LIFETIME);
        if !waits || fresh_until(SensitiveAction::AddProfile, proved_at, self.core.clock.now()).is_none() {
            return Ok(false);
        }
        let organization = self.profiles.organization_of(tx, link.organization).await?;
        let holder = self.profiles.holder(tx, &organization, account).await?;
        let offered =
            self.offer_to(tx, &organization, link.email.as_ref(), Newcomer::Account(&holder)).await?;
        Ok(matches!(offered, Offer::Named(_)))
    }

    /// The link that the broker offers to an identity. Its time runs from the proof of the identity, or from now where
    /// that proof is too old and the user has to prove the identity once more.
    pub(in crate::flows) fn offered_link(
        &self,
        organization: OrganizationId,
        identity: &Identity,
    ) -> Linking {
        let now = self.core.clock.now();
        let proved_at = if is_proved(identity, now) { identity.authenticated_at } else { now };
        Linking {
            organization,
            until: proved_at.after(LINK_LIFETIME),
            email: shared_email(identity),
            wanted: Wanted::Nothing,
            arrival_settled: false,
            chosen: None,
        }
    }
}

/// The next step of a link after the user has chosen an account.
fn due_of(link: &Linking, subject: &Subject, now: Timestamp) -> LinkDue {
    match (&link.chosen, subject) {
        (Some(_), _) => LinkDue::Confirmation,
        (None, Subject::Identity(identity)) if !link.arrival_settled && !is_proved(identity, now) => {
            LinkDue::ArrivingProof
        }
        (None, Subject::Identity(_) | Subject::Account { .. }) => LinkDue::ChosenProof,
    }
}
