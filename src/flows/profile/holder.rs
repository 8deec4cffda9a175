//! An account as linking sees it: its profiles, and which of them can sign it in.

use crate::flows::profile::Profiles;
use crate::model::{AccountId, Organization, ProfileKind};
use crate::policy::account::link::{HeldProfile, Holder};
use crate::policy::provider::access::allows_password;
use crate::store::account::profiles;
use crate::store::{StoreError, Tx};

impl Profiles {
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

/// The accounts of these profiles. The profiles of an account must follow each other.
pub(in crate::flows) fn holders(
    organization: &Organization,
    held: Vec<profiles::HeldProfile>,
) -> Vec<Holder> {
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
pub(in crate::flows) fn host(issuer: &str) -> Option<String> {
    url::Url::parse(issuer).ok().and_then(|url| url.host_str().map(str::to_owned))
}
