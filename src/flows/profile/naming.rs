//! A profile by its names, for pages and the ledger.

use crate::flows::profile::Profiles;
use crate::flows::refusal::FlowError;
use crate::model::{Email, Identity, NamedSide, Profile, ProfileKind, Username};
use crate::store::Tx;
use crate::store::account::accounts;

impl Profiles {
    /// A profile for the ledger, as it is now.
    pub(in crate::flows) async fn name_profile(
        &self,
        tx: &mut Tx,
        profile: &Profile,
    ) -> Result<NamedSide, FlowError> {
        let account = accounts::find_account(tx, profile.account).await?;
        let own_email = account.as_ref().and_then(|account| account.email.clone());
        let provider = self.core.directory.connection_name(profile.kind.connection()).await?;
        let (issuer, subject, username, email) = match &profile.kind {
            ProfileKind::Local => {
                let username = account.and_then(|account| account.username);
                (None, None, username.as_ref().map(Username::as_str).map(str::to_owned), own_email)
            }
            ProfileKind::External { issuer, subject, email, .. } => {
                (Some(issuer.clone()), Some(subject.clone()), None, email.clone().or(own_email))
            }
        };
        Ok(NamedSide {
            account: Some(profile.account),
            connection: profile.kind.connection(),
            provider,
            issuer,
            subject,
            username,
            email: email.map(|email| email.as_str().to_owned()),
            proved_at: profile.last_used_at.unwrap_or(profile.created_at),
            amr: Vec::new(),
        })
    }
}

/// An identity without a profile, for the ledger.
pub(in crate::flows) fn name_identity(identity: &Identity, provider: Option<String>) -> NamedSide {
    NamedSide {
        account: None,
        connection: Some(identity.connection),
        provider,
        issuer: Some(identity.issuer.clone()),
        subject: Some(identity.subject.clone()),
        username: None,
        email: identity.email.as_ref().map(Email::as_str).map(str::to_owned),
        proved_at: identity.authenticated_at,
        amr: identity.amr.clone(),
    }
}
