//! The names of both sides of a link: for the page that asks for confirmation, and for the ledger.

use crate::flows::link::{LinkAttempt, Links};
use crate::flows::profile::email::{account_email_proof, email_proof};
use crate::flows::profile::holder::host;
use crate::flows::profile::naming::name_identity;
use crate::flows::refusal::FlowError;
use crate::model::{Account, AccountId, NamedSide, Profile, ProfileKind, Subject, Timestamp};
use crate::store::account::{accounts, profiles};
use crate::store::{StoreError, Tx};

/// The ledger's word for a mailed code that the user entered as well (RFC 8176, section 2).
const BY_CODE: &str = "otp";

/// One side, as a page names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SideView {
    /// Its account; `None` for an identity that has no account yet.
    pub account: Option<AccountId>,
    /// The user's name there.
    pub name: Option<String>,
    /// The email.
    pub email: Option<String>,
    /// The username of a local profile.
    pub username: Option<String>,
    /// The connection's name; `None` is username and password.
    pub provider: Option<String>,
    /// The host of the identity provider.
    pub host: Option<String>,
    /// The user's subject identifier at the identity provider (the token's `sub`).
    pub subject: Option<String>,
    /// When it became a profile; `None` for an identity that has no account yet.
    pub since: Option<Timestamp>,
    /// Whether the email counts as proven.
    pub email_proven: bool,
}

impl Links {
    /// A side, for the page; `None` when its profile is gone.
    pub(super) async fn side_view(&self, tx: &mut Tx, side: &Subject) -> Result<Option<SideView>, FlowError> {
        let Some(named) = self.name_side(tx, side).await? else { return Ok(None) };
        let (name, since, email_proven) = match side {
            Subject::Identity(identity) => {
                let email = identity.email.as_ref().filter(|_| identity.email_verified);
                let is_proven = match (email, self.core.directory.connection(identity.connection).await?) {
                    (Some(email), Some(entry)) => {
                        let whose = (entry.organization.id, identity.connection);
                        email_proof(tx, whose, email).await?.is_proven()
                    }
                    _ => false,
                };
                (identity.contact.name.clone(), None, is_proven)
            }
            Subject::Account { account, proof } => {
                let account = accounts::find_account(tx, *account).await?;
                let profile = profiles::find_profile(tx, proof.profile).await?;
                let is_proven = is_email_proven(tx, account.as_ref(), profile.as_ref()).await?;
                let since = profile.map(|profile| profile.created_at);
                (account.and_then(|account| account.contact.name), since, is_proven)
            }
        };
        Ok(Some(SideView {
            account: named.account,
            name,
            email: named.email,
            username: named.username,
            provider: named.provider,
            host: named.issuer.as_deref().and_then(host),
            subject: named.subject,
            since,
            email_proven,
        }))
    }

    /// Both sides, for the ledger, as they are before the link; `None` when the profile of one is gone.
    pub(super) async fn name_sides(
        &self,
        attempt: &LinkAttempt,
        chosen: &Subject,
    ) -> Result<Option<[NamedSide; 2]>, FlowError> {
        let mut tx = self.core.database.read().await?;
        let LinkAttempt { interaction, .. } = attempt;
        let arriving = self.name_side(&mut tx, &interaction.subject).await?;
        let (Some(mut arriving), Some(chosen)) = (arriving, self.name_side(&mut tx, chosen).await?) else {
            return Ok(None);
        };
        let confirmed_at = interaction.confirmed_at.filter(|confirmed| *confirmed > arriving.proved_at);
        if let Some(confirmed_at) = confirmed_at {
            arriving.proved_at = confirmed_at;
            arriving.amr.push(BY_CODE.to_owned());
        }
        Ok(Some([arriving, chosen]))
    }

    /// The names of the profiles that both sides of an attempt have at the same identity provider. The user must unlink
    /// one of each pair first.
    pub(super) async fn clashing(&self, attempt: &LinkAttempt) -> Result<Vec<String>, FlowError> {
        let Some(chosen) = &attempt.link.chosen else { return Ok(Vec::new()) };
        let arriving = &attempt.interaction.subject;
        let mut tx = self.core.database.read().await?;
        let mut held = Vec::new();
        for account in accounts_of(arriving, chosen) {
            held.extend(profiles::list_profiles(&mut tx, account).await?);
        }
        let mut issuers: Vec<String> =
            held.iter().filter_map(|profile| profile.kind.issuer().map(str::to_owned)).collect();
        for side in [arriving, chosen] {
            if let Subject::Identity(identity) = side {
                issuers.push(identity.issuer.clone());
            }
        }
        let mut names = Vec::new();
        for profile in &held {
            let issuer = profile.kind.issuer();
            if issuers.iter().filter(|other| Some(other.as_str()) == issuer).count() > 1 {
                names.push(self.profiles.name_profile(&mut tx, profile).await?.label());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// A side, for the ledger: which profile or identity was proved, how, and when. `None` when its profile is gone.
    async fn name_side(&self, tx: &mut Tx, side: &Subject) -> Result<Option<NamedSide>, FlowError> {
        match side {
            Subject::Identity(identity) => {
                let provider = self.core.directory.connection_name(Some(identity.connection)).await?;
                Ok(Some(name_identity(identity, provider)))
            }
            Subject::Account { proof, .. } => {
                let profile = profiles::find_profile(tx, proof.profile).await?;
                let Some(profile) = profile else { return Ok(None) };
                let named = self.profiles.name_profile(tx, &profile).await?;
                Ok(Some(NamedSide { proved_at: proof.authenticated_at, amr: proof.amr.clone(), ..named }))
            }
        }
    }
}

/// Whether the email that names a profile counts as proven. It is the profile's own, or that of its account.
async fn is_email_proven(
    tx: &mut Tx,
    account: Option<&Account>,
    profile: Option<&Profile>,
) -> Result<bool, StoreError> {
    let Some(account) = account else { return Ok(false) };
    let Some(ProfileKind::External { connection, email: Some(email), email_verified, .. }) =
        profile.map(|profile| &profile.kind)
    else {
        return Ok(account_email_proof(tx, account).await?.is_proven());
    };
    match account.organization.filter(|_| *email_verified) {
        Some(organization) => Ok(email_proof(tx, (organization, *connection), email).await?.is_proven()),
        None => Ok(false),
    }
}

/// The accounts of both sides.
pub(super) fn accounts_of(arriving: &Subject, chosen: &Subject) -> Vec<AccountId> {
    let mut both: Vec<AccountId> = arriving.account().into_iter().chain(chosen.account()).collect();
    both.sort_unstable();
    both
}
