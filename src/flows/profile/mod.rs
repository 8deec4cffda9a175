//! The profiles of accounts. Each profile is an identity at a provider, or the username and password. Here are also
//! their names on pages and in the ledger, and the ledger of their changes.

pub(in crate::flows) mod email;
pub(in crate::flows) mod holder;
pub(in crate::flows) mod ledger;
pub(in crate::flows) mod naming;
mod sides;

use std::sync::Arc;

use aws_lc_rs::digest;

use crate::flows::core::Core;
use crate::flows::directory::ConnectionEntry;
use crate::flows::mail::Mails;
use crate::flows::refusal::{FlowError, PublicCode, Reason};
use crate::model::{
    Account, AccountId, Connection, Identity, Organization, OrganizationId, Profile, ProfileId, ProfileKind,
};
use crate::store::account::{password_links, passwords, profiles};
use crate::store::link::replacing;
use crate::store::organization::organizations;
use crate::store::{StoreError, Tx};
use email::email_proof;

/// The profiles of accounts.
pub struct Profiles {
    core: Arc<Core>,
    mails: Arc<Mails>,
}

impl Profiles {
    /// The service, on the shared core and the services that it calls.
    pub(in crate::flows) fn new(core: &Arc<Core>, mails: &Arc<Mails>) -> Self {
        Self { core: Arc::clone(core), mails: Arc::clone(mails) }
    }

    /// Makes the local profile of an account, without a password; `false` when it has one.
    pub(in crate::flows) async fn restore_local(
        &self,
        tx: &mut Tx,
        account: &Account,
    ) -> Result<bool, StoreError> {
        let now = self.core.clock.now();
        let held = profiles::list_profiles(tx, account.id).await?;
        if held.iter().any(|held| held.kind == ProfileKind::Local) {
            return Ok(false);
        }
        let profile = Profile {
            id: ProfileId::new(now, &*self.core.random),
            account: account.id,
            kind: ProfileKind::Local,
            created_at: now,
            last_used_at: None,
        };
        profiles::insert_profile(tx, account.organization, &profile).await?;
        Ok(true)
    }

    /// Sets a password, with the local profile that it belongs to.
    pub(in crate::flows) async fn set_password(
        &self,
        tx: &mut Tx,
        account: &Account,
        hash: &str,
    ) -> Result<(), StoreError> {
        let now = self.core.clock.now();
        self.restore_local(tx, account).await?;
        passwords::save_password(tx, account.id, hash, now).await?;
        // A link that was mailed before could set another one.
        password_links::consume_all_links(tx, account.id, now).await
    }

    /// The profile that an identity gets on an account.
    pub(in crate::flows) fn profile_of(&self, account: AccountId, identity: &Identity) -> Profile {
        let now = self.core.clock.now();
        Profile {
            id: ProfileId::new(now, &*self.core.random),
            account,
            kind: ProfileKind::External {
                connection: identity.connection,
                issuer: identity.issuer.clone(),
                subject: identity.subject.clone(),
                email: identity.email.clone(),
                email_verified: identity.email.is_some() && identity.email_verified,
            },
            created_at: now,
            last_used_at: Some(now),
        }
    }

    /// The identity; its email address stays proven only if its provider may speak for the domain now.
    pub(in crate::flows) async fn still_proven(
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

    /// An organization, as it is now.
    pub(in crate::flows) async fn organization_of(
        &self,
        tx: &mut Tx,
        id: OrganizationId,
    ) -> Result<Organization, FlowError> {
        let found = organizations::find_organization(tx, id).await?;
        found.ok_or_else(|| FlowError::Unavailable("an organization is gone".to_owned()))
    }
}

/// A hash of the values of a connection that must not change while the user is at the provider.
pub(in crate::flows) fn registration(connection: &Connection) -> [u8; 16] {
    let text = format!("{}\n{}\n{}", connection.organization, connection.issuer, connection.client_id);
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    hash.as_ref().first_chunk::<16>().copied().unwrap_or_default()
}

/// The connection that vouches for an identity, if it is enabled and its registration is unchanged; else the public
/// code and the reason.
pub(in crate::flows) fn vouching<'a>(
    entry: Option<&'a ConnectionEntry>,
    identity: &Identity,
) -> Result<&'a ConnectionEntry, (PublicCode, Reason)> {
    match entry.filter(|entry| entry.is_enabled()) {
        None => Err((PublicCode::ConnectionDisabled, Reason::ConnectionDisabled)),
        Some(entry) if registration(&entry.connection) != identity.registration => {
            Err((PublicCode::IdpAnswerInvalid, Reason::ConnectionChanged))
        }
        Some(entry) => Ok(entry),
    }
}

/// The profile that an identity already has in this organization, through any connection; or the profile that took its
/// place when a connection was replaced.
pub(in crate::flows) async fn find_elsewhere(
    tx: &mut Tx,
    organization: OrganizationId,
    identity: &Identity,
) -> Result<Option<Profile>, StoreError> {
    let (issuer, subject) = (&identity.issuer, &identity.subject);
    let found = profiles::find_profile_in_organization(tx, organization, issuer, subject).await?;
    match found {
        Some(found) => Ok(Some(found)),
        None => replacing::find_successor_of_identity(tx, organization, issuer, subject).await,
    }
}
