//! The offer: the accounts that share the email, the page that lists their profiles, and the user's answer.

use crate::flows::directory::BrandView;
use crate::flows::evidence::receipt_of;
use crate::flows::interaction::Answered;
use crate::flows::link::{LinkAttempt, Links};
use crate::flows::profile::email::email_proof;
use crate::flows::profile::holder::{holders, host};
use crate::flows::refusal::{FlowError, PublicCode, Reason, refused};
use crate::flows::visit::Visit;
use crate::model::{
    AccountId, CheckedEmail, ConnectionId, Email, Identity, Linking, Organization, ProfileId, ProfileKind,
    Subject, Wanted,
};
use crate::policy::account::link::{Holder, LinkRefusal, Newcomer, Offer, Sharer, offer};
use crate::store::account::{accounts, profiles};
use crate::store::{StoreError, Tx};

/// The contents of the page **Link your account**.
#[derive(Debug, Clone)]
pub struct LinkOfferView {
    /// The attempt's handle.
    pub handle: String,
    /// The anti-forgery token of its form.
    pub form_token: String,
    /// The name of the app that is waiting.
    pub app: Option<String>,
    /// The code by which the operator finds the attempt in the records.
    pub receipt: String,
    /// The organization whose accounts are offered.
    pub brand: BrandView,
    /// The name of the connection through which the user has just come; `None` where an account is signed in already.
    pub provider: Option<String>,
    /// The shared email; `None` where no email is proven, and the page names no account.
    pub email: Option<Email>,
    /// The profiles to choose from.
    pub candidates: Vec<CandidateView>,
    /// Whether the user can go on without a link.
    pub may_skip: bool,
    /// The page languages that the app asked for (`ui_locales`).
    pub locale: Option<String>,
}

/// One profile to choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CandidateView {
    /// The profile.
    pub profile: ProfileId,
    /// Its connection's name; `None` is username and password.
    pub provider: Option<String>,
    /// The host of the identity provider.
    pub host: Option<String>,
    /// The username of a local profile, most of it hidden.
    pub hint: Option<String>,
}

/// The user's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfferAnswer {
    /// Link with this profile's account.
    Link(ProfileId),
    /// Link with an account that the page does not list.
    Existing,
    /// Keep both sides apart.
    Skip,
}

impl Links {
    /// The offer to a user with this email.
    pub(super) async fn offer_to(
        &self,
        tx: &mut Tx,
        organization: &Organization,
        email: Option<&CheckedEmail>,
        newcomer: Newcomer<'_>,
    ) -> Result<Offer, StoreError> {
        let linking = organization.policy.linking;
        let sharers = match email {
            Some(CheckedEmail { email, is_proven: true }) if linking => {
                sharers(tx, organization, email).await?
            }
            _ => Vec::new(),
        };
        Ok(offer(linking, email.map(|email| email.is_proven), newcomer, &sharers))
    }

    /// The contents of the page.
    pub async fn view_offer(&self, visit: &Visit, handle: &str) -> Result<LinkOfferView, FlowError> {
        let attempt = self.require_attempt(visit, handle).await?;
        let mut tx = self.core.database.read().await?;
        let (organization, offered) = self.offered(&mut tx, &attempt).await?;
        let mut candidates = Vec::new();
        if let Offer::Named(named) = &offered {
            for (_, profile) in named {
                candidates.extend(self.candidate(&mut tx, *profile).await?);
            }
        }
        drop(tx);
        let (provider, may_skip) = match &attempt.interaction.subject {
            Subject::Account { .. } => (None, true),
            Subject::Identity(identity) => match self.core.directory.connection(identity.connection).await? {
                Some(entry) => (Some(entry.connection.name.clone()), entry.connection.settings.new_accounts),
                None => (None, false),
            },
        };
        let app = match attempt.interaction.purpose.app() {
            Some(app) => self.core.directory.app_link(app).await,
            None => None,
        };
        let email = attempt.link.email.as_ref().filter(|email| email.is_proven);
        Ok(LinkOfferView {
            handle: handle.to_owned(),
            form_token: self.interactions.form_token(&attempt.id().to_string()),
            app: app.map(|app| app.name),
            receipt: receipt_of(attempt.id()),
            brand: self.core.directory.brand(&organization).await?,
            provider,
            email: email.map(|checked| checked.email.clone()),
            candidates,
            may_skip,
            locale: attempt.interaction.purpose.ui_locales().map(str::to_owned),
        })
    }

    /// The organization of a link, and the present offer.
    async fn offered(&self, tx: &mut Tx, attempt: &LinkAttempt) -> Result<(Organization, Offer), FlowError> {
        let organization = self.profiles.organization_of(tx, attempt.link.organization).await?;
        let holder;
        let mut email = attempt.link.email.clone();
        let newcomer = match &attempt.interaction.subject {
            Subject::Identity(identity) => {
                let now = self.profiles.still_proven(tx, (**identity).clone(), organization.id).await?;
                email = shared_email(&now);
                Newcomer::Identity(&identity.issuer)
            }
            Subject::Account { account, .. } => {
                holder = self.profiles.holder(tx, &organization, *account).await?;
                Newcomer::Account(&holder)
            }
        };
        let offered = self.offer_to(tx, &organization, email.as_ref(), newcomer).await?;
        Ok((organization, offered))
    }

    async fn candidate(&self, tx: &mut Tx, profile: ProfileId) -> Result<Option<CandidateView>, FlowError> {
        let Some(found) = profiles::find_profile(tx, profile).await? else { return Ok(None) };
        let provider = self.core.directory.connection_name(found.kind.connection()).await?;
        let (host, hint) = match &found.kind {
            ProfileKind::External { issuer, .. } => (host(issuer), None),
            ProfileKind::Local => {
                let account = accounts::find_account(tx, found.account).await?;
                let username = account.and_then(|account| account.username);
                (None, username.map(|username| hide(username.as_str())))
            }
        };
        Ok(Some(CandidateView { profile, provider, host, hint }))
    }

    /// Takes the user's answer to the offer.
    pub async fn answer_offer(
        &self,
        visit: &Visit,
        handle: &str,
        answer: OfferAnswer,
    ) -> Result<Answered, FlowError> {
        let attempt = self.require_attempt(visit, handle).await?;
        let wanted = match answer {
            OfferAnswer::Skip => return Box::pin(self.skip_link(visit, attempt)).await,
            OfferAnswer::Existing => Wanted::Any,
            OfferAnswer::Link(profile) => {
                let (_, offered) = self.offered(&mut self.core.database.read().await?, &attempt).await?;
                let is_offered =
                    matches!(&offered, Offer::Named(named) if named.iter().any(|(_, id)| *id == profile));
                if !is_offered {
                    let event = Self::link_event("link.choose", &attempt);
                    return Err(self.burn(&attempt, event, LinkRefusal::WrongProfile).await);
                }
                Wanted::Profile(profile)
            }
        };
        self.choose(attempt, wanted).await
    }

    /// Records which profile the user has to prove as the chosen side.
    async fn choose(&self, attempt: LinkAttempt, wanted: Wanted) -> Result<Answered, FlowError> {
        let event = Self::link_event("link.choose", &attempt);
        let (mut tx, known) = self.interactions.open_for(&attempt.interaction).await?;
        let Some(claim) = self.interactions.claim(&mut tx, attempt.id(), attempt.revision).await? else {
            return Err(refused(event, PublicCode::FlowFinished, Reason::LinkOvertaken));
        };
        self.core.record_success(&mut tx, &event).await?;
        let link = Linking { wanted, arrival_settled: false, chosen: None, ..attempt.link.clone() };
        let interaction = attempt.with(Some(link));
        Ok(Answered { claim: Some(claim), ..Answered::new((tx, known), interaction, event) })
    }
}

/// The email by which the broker looks for other accounts of the same user.
pub(super) fn shared_email(identity: &Identity) -> Option<CheckedEmail> {
    let is_proven = identity.email_verified;
    identity.email.clone().map(|email| CheckedEmail { email, is_proven })
}

/// The accounts that share an email. For each, says whether the account itself proves the email: the operator has
/// declared it, or an identity provider that now speaks for its domain asserts it.
async fn sharers(tx: &mut Tx, organization: &Organization, email: &Email) -> Result<Vec<Sharer>, StoreError> {
    let shared = profiles::list_profiles_sharing_email(tx, organization.id, email.canonical()).await?;
    let mut speaks: Vec<(ConnectionId, bool)> = Vec::new();
    let mut proven: Vec<AccountId> = Vec::new();
    for one in &shared {
        let vouching = match &one.profile.kind {
            ProfileKind::External { connection, email: Some(said), email_verified: true, .. } => {
                (said.canonical() == email.canonical()).then_some(*connection)
            }
            ProfileKind::External { .. } | ProfileKind::Local => None,
        };
        let is_vouched_for = match vouching {
            None => false,
            Some(connection) => match speaks.iter().find(|(known, _)| *known == connection) {
                Some((_, speaks)) => *speaks,
                None => {
                    let proof = email_proof(tx, (organization.id, connection), email).await?.is_proven();
                    speaks.push((connection, proof));
                    proof
                }
            },
        };
        if one.email_declared || is_vouched_for {
            proven.push(one.profile.account);
        }
    }
    let sharer = |holder: Holder| Sharer { proven: proven.contains(&holder.account), holder };
    Ok(holders(organization, shared).into_iter().map(sharer).collect())
}

/// A username, hidden but for its first and last letter. Only a user who knows the username recognizes it.
fn hide(username: &str) -> String {
    let mut letters = username.chars();
    let first = letters.next().into_iter();
    let last = letters.next_back().into_iter();
    first.chain("•••".chars()).chain(last).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hidden_username_tells_its_ends_and_not_its_length() {
        assert_eq!(hide("carol"), "c•••l");
        assert_eq!(hide("carolina-bell"), "c•••l");
    }

    #[test]
    fn the_host_of_an_issuer_is_named() {
        assert_eq!(host("https://idp.acme.test:9001/x").as_deref(), Some("idp.acme.test"));
        assert_eq!(host("local"), None);
    }
}
