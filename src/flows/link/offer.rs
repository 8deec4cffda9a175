//! The offer: who shares the email, the page that lists them, and the person's answer.

use super::super::Broker;
use super::super::brand::BrandView;
use super::super::complete::{Further, Known, Way};
use super::super::directory::ConnectionEntry;
use super::super::email::email_proof;
use super::super::error::FlowError;
use super::super::evidence::{Event, receipt_of};
use super::super::sso::provision::find_elsewhere;
use super::super::sso::registration;
use super::super::visit::{Answer, CookieChange, Go, Visit};
use super::finish::FinishError;
use crate::model::{
    Account, AccountId, ConnectionId, Email, Flow, FlowId, Identity, LINK_LIFETIME, LinkAttempt, LinkState,
    Organization, OrganizationId, Profile, ProfileId, ProfileKind, Session, Side, Target, Wanted,
};
use crate::policy::access::allows_password;
use crate::policy::link::{HeldProfile, Holder, LinkRefusal, Newcomer, Offer, Sharer, is_proved, offer};
use crate::store::{StoreError, Tx, accounts, organizations, profiles};

/// What the page **Link your account** shows.
#[derive(Debug, Clone)]
pub struct LinkOfferView {
    /// The attempt's handle.
    pub handle: String,
    /// What its form proves.
    pub form_token: String,
    /// The app that is waiting, by name.
    pub app: Option<String>,
    /// The code under which the attempt can be looked up.
    pub receipt: String,
    /// The organization whose accounts are offered.
    pub brand: BrandView,
    /// The connection through which the person has just come; `None` for an account that is signed in already.
    pub provider: Option<String>,
    /// The email that is shared; `None` where none is proven, and nobody is named.
    pub email: Option<Email>,
    /// The profiles to choose from.
    pub candidates: Vec<CandidateView>,
    /// Whether declining leads on.
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

/// What the person answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfferAnswer {
    /// Link with this profile's account.
    Link(ProfileId),
    /// Link with an account that the page does not name.
    Existing,
    /// Keep them apart.
    Skip,
}

impl Broker {
    /// Whether an identity that is nobody's profile is offered an account to link. Nobody is asked who could not go on
    /// in the end, and nothing is offered for an identity that another connection of the organization signs in.
    pub(in crate::flows) async fn offers_link(
        &self,
        tx: &mut Tx,
        flow: &Flow,
        entry: &ConnectionEntry,
        identity: &Identity,
        known: &Known,
    ) -> Result<bool, FlowError> {
        if matches!(flow.target, Target::Own(..)) {
            return Ok(false);
        }
        let organization = organizations::find_organization(tx, entry.organization.id).await?;
        let Some(organization) = organization.filter(|now| now.policy.linking) else { return Ok(false) };
        if !known.admits(&organization, identity.connection) {
            return Ok(false);
        }
        if find_elsewhere(tx, organization.id, identity).await?.is_some() {
            return Ok(false);
        }
        let issuer = &identity.issuer;
        let email = shared_email(identity);
        Ok(self.offer_to(tx, &organization, email.as_ref(), Newcomer::Identity(issuer)).await?.is_due())
    }

    /// What is offered to somebody with this email.
    pub(super) async fn offer_to(
        &self,
        tx: &mut Tx,
        organization: &Organization,
        email: Option<&(Email, bool)>,
        newcomer: Newcomer<'_>,
    ) -> Result<Offer, StoreError> {
        let linking = organization.policy.linking;
        let sharers = match email {
            Some((email, true)) if linking => sharers(tx, organization, email).await?,
            _ => Vec::new(),
        };
        Ok(offer(linking, email.map(|(_, proven)| *proven), newcomer, &sharers))
    }

    /// Keeps what a provider has vouched for, and leads to the offer. The flow goes on from there.
    pub(in crate::flows) async fn offer_link(
        &self,
        mut tx: Tx,
        visit: &Visit,
        flow: &Flow,
        identity: Identity,
        event: Event,
    ) -> Result<Answer, FlowError> {
        let Some(organization) = event.organization else {
            return Err(FlowError::Unavailable("a connection without an organization".to_owned()));
        };
        let now = self.clock.now();
        // Without a proof of a moment ago the person proves it anew, within this time.
        let proved_at = if is_proved(&identity, now) { identity.authenticated_at } else { now };
        let expires_at = proved_at.after(LINK_LIFETIME);
        let state = LinkState {
            origin: flow.id,
            target: flow.target.clone(),
            session: None,
            confirmed_at: None,
            email: shared_email(&identity),
            near: Side::Identity(Box::new(identity)),
            wanted: Wanted::Nothing,
            far: None,
        };
        let (_, handle, cookies) =
            self.begin_attempt(&mut tx, visit, organization, expires_at, &state).await?;
        self.record_success(&mut tx, &Event { action: "link.offer", ..event }).await?;
        tx.commit().await?;
        let cookies = cookies.into_iter().chain([CookieChange::ClearFlow(flow.id)]);
        Ok(cookies.fold(Answer::to(Go::Link(handle)), Answer::with))
    }

    /// Offers the next account to somebody who has just linked one, in the transaction that linked it.
    pub(in crate::flows) async fn offer_another(
        &self,
        tx: &mut Tx,
        visit: &Visit,
        way: Way<'_>,
        account: &Account,
        session: &Session,
        further: Further,
    ) -> Result<Answer, FlowError> {
        let Some(organization) = account.organization else { return Ok(Answer::to(Go::Account)) };
        let state = LinkState {
            origin: way.flow,
            target: way.target.clone(),
            near: Side::Profile { account: account.id, proof: session.proof.clone() },
            session: Some(session.id),
            confirmed_at: session.confirmed_at,
            email: Some(further.email),
            wanted: Wanted::Nothing,
            far: None,
        };
        let (_, handle, cookies) = self.begin_attempt(tx, visit, organization, further.until, &state).await?;
        Ok(cookies.into_iter().fold(Answer::to(Go::Link(handle)), Answer::with))
    }

    /// What the page of an attempt shows.
    pub async fn view_offer(&self, visit: &Visit, handle: &str) -> Result<LinkOfferView, FlowError> {
        let attempt = self.require_attempt(visit, handle).await?;
        let mut tx = self.database.read().await?;
        let (organization, offered) = self.offered(&mut tx, &attempt).await?;
        let mut candidates = Vec::new();
        if let Offer::Named(named) = &offered {
            for (_, profile) in named {
                candidates.extend(self.candidate(&mut tx, *profile).await?);
            }
        }
        drop(tx);
        let (provider, may_skip) = match &attempt.state.near {
            Side::Profile { .. } => (None, true),
            Side::Identity(identity) => match self.directory.connection(identity.connection).await? {
                Some(entry) => (Some(entry.connection.name.clone()), entry.connection.settings.new_accounts),
                None => (None, false),
            },
        };
        let app = match attempt.state.target.app() {
            Some(app) => self.app_link(app).await,
            None => None,
        };
        let email = attempt.state.email.as_ref().filter(|(_, proven)| *proven);
        Ok(LinkOfferView {
            handle: handle.to_owned(),
            form_token: self.form_token(&attempt.id.to_string()),
            app: app.map(|app| app.name),
            receipt: receipt_of(attempt.state.origin),
            brand: self.brand(&organization).await?,
            provider,
            email: email.map(|(email, _)| email.clone()),
            candidates,
            may_skip,
            locale: attempt.state.target.ui_locales().map(str::to_owned),
        })
    }

    /// What an attempt offers now, and its organization.
    async fn offered(&self, tx: &mut Tx, attempt: &LinkAttempt) -> Result<(Organization, Offer), FlowError> {
        let organization = self.organization_of(tx, attempt.organization).await?;
        let near;
        let mut email = attempt.state.email.clone();
        let newcomer = match &attempt.state.near {
            Side::Identity(identity) => {
                let now = self.still_proven(tx, (**identity).clone(), organization.id).await?;
                email = shared_email(&now);
                Newcomer::Identity(&identity.issuer)
            }
            Side::Profile { account, .. } => {
                near = self.holder(tx, &organization, *account).await?;
                Newcomer::Account(&near)
            }
        };
        let offered = self.offer_to(tx, &organization, email.as_ref(), newcomer).await?;
        Ok((organization, offered))
    }

    /// The organization of an attempt, as it is now.
    pub(super) async fn organization_of(
        &self,
        tx: &mut Tx,
        id: OrganizationId,
    ) -> Result<Organization, FlowError> {
        let found = organizations::find_organization(tx, id).await?;
        found.ok_or_else(|| FlowError::Unavailable("an organization is gone".to_owned()))
    }

    async fn candidate(&self, tx: &mut Tx, profile: ProfileId) -> Result<Option<CandidateView>, FlowError> {
        let Some(found) = profiles::find_profile(tx, profile).await? else { return Ok(None) };
        let provider = self.connection_name(found.kind.connection()).await?;
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

    /// Takes the person's answer to the offer.
    pub async fn answer_offer(
        &self,
        visit: &Visit,
        handle: &str,
        answer: OfferAnswer,
    ) -> Result<Answer, FlowError> {
        let attempt = self.require_attempt(visit, handle).await?;
        let wanted = match answer {
            OfferAnswer::Skip => return Box::pin(self.skip_link(visit, attempt)).await,
            OfferAnswer::Existing => Wanted::Any,
            OfferAnswer::Link(profile) => {
                let (_, offered) = self.offered(&mut self.database.read().await?, &attempt).await?;
                let is_offered =
                    matches!(&offered, Offer::Named(named) if named.iter().any(|(_, id)| *id == profile));
                if !is_offered {
                    let event = Self::link_event("link.choose", &attempt);
                    return Err(self.burn(&attempt, event, LinkRefusal::WrongProfile).await);
                }
                Wanted::Profile(profile)
            }
        };
        self.choose(visit, attempt, wanted).await
    }

    /// Keeps what has to be proved, and leads to where it is.
    pub(super) async fn choose(
        &self,
        visit: &Visit,
        attempt: LinkAttempt,
        wanted: Wanted,
    ) -> Result<Answer, FlowError> {
        let mut tx = self.database.write().await?;
        let chosen = match wanted {
            Wanted::Profile(profile) => profiles::find_profile(&mut tx, profile).await?,
            Wanted::Any | Wanted::Nothing => None,
        };
        let state = LinkState { wanted, far: None, ..attempt.state.clone() };
        if !self.advance(&mut tx, &attempt, &state).await? {
            drop(tx);
            let event = Self::link_event("link.choose", &attempt);
            return Err(self.refuse(visit, event, "flow_finished", "link_overtaken").await);
        }
        self.record_success(&mut tx, &Self::link_event("link.choose", &attempt)).await?;
        tx.commit().await?;
        let attempt = LinkAttempt { revision: attempt.revision + 1, state, ..attempt };
        match &attempt.state.near {
            Side::Identity(identity) if !is_proved(identity, self.clock.now()) => {
                let flow = self.new_flow(Target::Near(attempt.id, attempt.revision));
                let hint = identity.email.as_ref().map(Email::as_str);
                self.begin_leg(visit, flow, identity.connection, hint).await
            }
            _ => self.lead_to_second_side(visit, &attempt, chosen.as_ref()).await,
        }
    }

    /// Leads to where the second side of an attempt is proved, which is at this revision.
    pub(in crate::flows) async fn begin_second_side(
        &self,
        visit: &Visit,
        at: (FlowId, i64),
    ) -> Result<Answer, FlowError> {
        let mut tx = self.database.read().await?;
        let Some(attempt) = self.waiting_attempt(&mut tx, visit, at).await? else {
            drop(tx);
            return Err(self.refuse_unwaited(visit, Event::new("link.prove"), at.0).await);
        };
        let chosen = match attempt.state.wanted {
            Wanted::Profile(profile) => profiles::find_profile(&mut tx, profile).await?,
            Wanted::Any | Wanted::Nothing => None,
        };
        drop(tx);
        self.lead_to_second_side(visit, &attempt, chosen.as_ref()).await
    }

    async fn lead_to_second_side(
        &self,
        visit: &Visit,
        attempt: &LinkAttempt,
        chosen: Option<&Profile>,
    ) -> Result<Answer, FlowError> {
        let flow = self.new_flow(Target::Link(attempt.id, attempt.revision));
        match chosen.and_then(|profile| profile.kind.connection()) {
            Some(connection) => {
                let hint = attempt.state.email.as_ref().map(|(email, _)| email.as_str());
                self.begin_leg(visit, flow, connection, hint).await
            }
            None => {
                let cookies = self.keep_flow(visit, &flow).await?;
                let go = Go::SignIn(self.flow_handle(flow.id, None)?);
                Ok(cookies.into_iter().fold(Answer::to(go), Answer::with))
            }
        }
    }

    /// The connection that has vouched for an identity, if it is still the one that it was.
    pub(super) async fn vouching_connection(
        &self,
        identity: &Identity,
    ) -> Result<std::sync::Arc<ConnectionEntry>, FinishError> {
        let entry = self.directory.connection(identity.connection).await?;
        let Some(entry) = entry.filter(|entry| entry.is_enabled()) else {
            return Err(FinishError::Gone("connection_disabled", "connection_disabled"));
        };
        if registration(&entry.connection) != identity.registration {
            return Err(FinishError::Gone("idp_answer_invalid", "connection_changed"));
        }
        Ok(entry)
    }

    /// An identity whose email counts as proven only if its provider speaks for the domain now.
    pub(super) async fn still_proven(
        &self,
        tx: &mut Tx,
        mut identity: Identity,
        organization: OrganizationId,
    ) -> Result<Identity, StoreError> {
        if let Some(email) = identity.email.as_ref().filter(|_| identity.email_verified) {
            let whose = (organization, identity.connection);
            identity.email_verified = email_proof(tx, whose, email).await?.is_proven();
        }
        Ok(identity)
    }

    /// An account as linking sees it.
    pub(in crate::flows) async fn holder(
        &self,
        tx: &mut Tx,
        organization: &Organization,
        account: AccountId,
    ) -> Result<Holder, StoreError> {
        let held = profiles::list_held_profiles(tx, account).await?;
        let empty = Holder { account, enabled: false, profiles: Vec::new() };
        Ok(holders(organization, held).pop().unwrap_or(empty))
    }
}

impl LinkAttempt {
    /// The flow that waits for this attempt, to be ended with it.
    pub(super) fn flow(&self) -> Flow {
        Flow {
            id: self.state.origin,
            started_at: self.expires_at.before(LINK_LIFETIME),
            target: self.state.target.clone(),
            named: None,
            leg: None,
        }
    }
}

/// The email by which other accounts of an identity's person are looked for.
fn shared_email(identity: &Identity) -> Option<(Email, bool)> {
    identity.email.clone().map(|email| (email, identity.email_verified))
}

/// The accounts that share an email, each with whether its own side proves it: by the operator's word, or by that of a
/// provider which speaks for the domain now.
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

/// Accounts from their profiles, which stand together.
pub(super) fn holders(organization: &Organization, held: Vec<profiles::HeldProfile>) -> Vec<Holder> {
    let mut holders: Vec<Holder> = Vec::new();
    for one in held {
        let account = one.profile.account;
        if holders.last().is_none_or(|last| last.account != account) {
            holders.push(Holder { account, enabled: one.account_enabled, profiles: Vec::new() });
        }
        let rule = Some(organization.policy.local_sign_in);
        let usable = match &one.profile.kind {
            ProfileKind::Local => one.has_password && allows_password(true, rule, one.break_glass),
            ProfileKind::External { .. } => one.connection_enabled,
        };
        let issuer = one.profile.kind.issuer().map(str::to_owned);
        if let Some(last) = holders.last_mut() {
            last.profiles.push(HeldProfile { id: one.profile.id, issuer, usable });
        }
    }
    holders
}

/// The host of an issuer, as pages name it.
pub(super) fn host(issuer: &str) -> Option<String> {
    url::Url::parse(issuer).ok().and_then(|url| url.host_str().map(str::to_owned))
}

/// A username of which only whoever knows it sees which one it is.
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
