//! The account of a provider's identity: a known account whose data the identity updates, or a new one.

use crate::flows::directory::ConnectionEntry;
use crate::flows::evidence::Event;
use crate::flows::profile::email::email_proof;
use crate::flows::profile::{find_elsewhere, vouching};
use crate::flows::refusal::{FlowError, PublicCode, Reason};
use crate::flows::sso::Sso;
use crate::model::{
    Account, AccountId, CheckedEmail, ConnectionId, Contact, Identity, OrganizationId, Profile, ProfileId,
    ProfileKind, Proof, Role, Secret,
};
use crate::policy::sign_in::provision::{FirstSignIn, Provision, decide};
use crate::store::account::{accounts, profiles};
use crate::store::organization::organizations;
use crate::store::{StoreError, Tx};
use crate::upstream::{AssertedEmail, VerifiedIdentity};

/// The reason why an identity does not sign the user in.
pub(in crate::flows) enum NewPersonError {
    /// The public code and the reason.
    Refused(PublicCode, Reason),
    /// The connection no longer vouches for the identity: the public code and the reason.
    NotVouched(PublicCode, Reason),
    /// The identity is already a profile of this other connection.
    OtherConnection(Option<ConnectionId>),
    Store(StoreError),
    Flow(FlowError),
}

impl From<FlowError> for NewPersonError {
    fn from(error: FlowError) -> Self {
        Self::Flow(error)
    }
}

impl From<StoreError> for NewPersonError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Sso {
    /// The asserted email, and whether it is proven. Only a connection that speaks for its domain proves it.
    pub(super) async fn trusted_email(
        &self,
        tx: &mut Tx,
        organization: OrganizationId,
        identity: &VerifiedIdentity,
    ) -> Result<Option<CheckedEmail>, StoreError> {
        let Some(AssertedEmail { email, verified, .. }) = &identity.email else { return Ok(None) };
        let whose = (organization, identity.connection);
        let is_proven = *verified && email_proof(tx, whose, email).await?.is_proven();
        Ok(Some(CheckedEmail { email: email.clone(), is_proven }))
    }

    /// Updates the data of a known user. An account with another profile keeps its own data.
    pub(super) async fn known_person(
        &self,
        tx: &mut Tx,
        profile: &Profile,
        identity: &Identity,
    ) -> Result<Account, NewPersonError> {
        let now = self.core.clock.now();
        let found = accounts::find_account_with_count(tx, profile.account).await?;
        let (account, count) =
            found.ok_or(NewPersonError::Refused(PublicCode::NoAccount, Reason::AccountGone))?;
        let mut told = account.clone();
        if let Some(email) = &identity.email {
            told.email = Some(email.clone());
            told.email_verified = identity.email_verified;
            told.email_from = Some(identity.connection);
        }
        merge_contact(&mut told, &identity.contact);
        // The account's data is replaced only where this is its only profile.
        let is_news = count == 1 && told != account;
        told.updated_at = now;
        if !(is_news && accounts::update_contact(tx, &told, now).await?) {
            told = account;
        }
        // Order matters: accounts before profiles, as in a link. From here on the profile cannot move to another
        // account.
        let (held, email) = ((profile.id, profile.account), identity.email.as_ref());
        if !profiles::touch_external_profile(tx, held, now, email, identity.email_verified).await? {
            return Err(StoreError::Conflict.into());
        }
        Ok(told)
    }

    /// Creates the account of an identity, if its connection still vouches for it. Gives the account, its proof, and
    /// the provider's ID token.
    pub(in crate::flows) async fn make_account(
        &self,
        tx: &mut Tx,
        entry: Option<&ConnectionEntry>,
        identity: Identity,
    ) -> Result<(Account, Proof, Option<Secret>), NewPersonError> {
        let entry =
            vouching(entry, &identity).map_err(|(code, reason)| NewPersonError::NotVouched(code, reason))?;
        let identity = self.profiles.still_proven(tx, identity, entry.organization.id).await?;
        let (account, profile) = self.new_person(tx, entry, &identity).await?;
        let proof = identity.proof(profile);
        Ok((account, proof, identity.id_token))
    }

    /// Creates the account for a first sign-in. An email that another account has too does not link the two.
    async fn new_person(
        &self,
        tx: &mut Tx,
        entry: &ConnectionEntry,
        identity: &Identity,
    ) -> Result<(Account, ProfileId), NewPersonError> {
        let organization = entry.organization.id;
        let elsewhere = find_elsewhere(tx, organization, identity).await?;
        organizations::lock_organization(tx, organization).await?;
        let accounts = accounts::count_accounts(tx, organization).await?;
        let facts = FirstSignIn {
            known_elsewhere: elsewhere.is_some(),
            new_accounts: entry.connection.settings.new_accounts,
            has_room: accounts < self.max_accounts,
        };
        if elsewhere.as_ref().is_some_and(|found| is_another_here(found, identity)) {
            return Err(NewPersonError::Refused(PublicCode::PersonUnclear, Reason::PlaceTakenByAnother));
        }
        let known = elsewhere.and_then(|profile| profile.kind.connection());
        require_creation(decide(facts), known, entry.connection.id)?;
        let now = self.core.clock.now();
        let mut account = Account {
            id: AccountId::new(now, &*self.core.random),
            organization: Some(organization),
            username: None,
            email: identity.email.clone(),
            email_verified: identity.email.is_some() && identity.email_verified,
            email_from: identity.email.as_ref().map(|_| identity.connection),
            contact: Contact::default(),
            roles: vec![Role::Member],
            enabled: true,
            break_glass: false,
            created_at: now,
            updated_at: now,
        };
        merge_contact(&mut account, &identity.contact);
        let profile = self.profiles.profile_of(account.id, identity);
        accounts::insert_account(tx, &account).await?;
        profiles::insert_profile(tx, Some(organization), &profile).await?;
        let event = Event {
            organization: Some(organization),
            actor: Some(account.id.into()),
            connection: Some(entry.connection.id),
            ..Event::new("account.create")
        };
        self.core.record_success(tx, &event).await?;
        Ok((account, profile.id))
    }
}

/// Refuses a first sign-in where policy does; `known` is the connection through which the user is known, `here` the one
/// of this sign-in.
fn require_creation(
    decided: Provision,
    known: Option<ConnectionId>,
    here: ConnectionId,
) -> Result<(), NewPersonError> {
    match decided {
        Provision::Create => Ok(()),
        // Another sign-in of the same user was first, a moment ago.
        Provision::RefuseOther if known == Some(here) => Err(StoreError::Conflict.into()),
        Provision::RefuseOther => Err(NewPersonError::OtherConnection(known)),
        Provision::RefuseOff => Err(NewPersonError::Refused(PublicCode::NoAccount, Reason::NewAccountsOff)),
        Provision::RefuseFull => {
            Err(NewPersonError::Refused(PublicCode::TooManyAccounts, Reason::TooManyAccounts))
        }
    }
}

/// Whether a profile belongs to another identity of the same connection, which thus takes the place of this one.
fn is_another_here(profile: &Profile, identity: &Identity) -> bool {
    match &profile.kind {
        ProfileKind::External { connection, issuer, subject, .. } => {
            *connection == identity.connection && (issuer, subject) != (&identity.issuer, &identity.subject)
        }
        ProfileKind::Local => false,
    }
}

fn merge_contact(account: &mut Account, told: &Contact) {
    let own = &mut account.contact;
    for (own, told) in [
        (&mut own.name, &told.name),
        (&mut own.given_name, &told.given_name),
        (&mut own.family_name, &told.family_name),
        (&mut own.phone, &told.phone),
    ] {
        if told.is_some() {
            own.clone_from(told);
        }
    }
}
