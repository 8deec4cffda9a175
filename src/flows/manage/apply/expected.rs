//! Expected identities in an [`apply`](super::apply): the identity that will claim an account without a way to sign in.

use crate::flows::manage::Organizations;
use crate::flows::manage::apply::{ApplyError, taken};
use crate::flows::manage::document::WantedIdentity;
use crate::model::{Account, Organization};
use crate::store::Tx;
use crate::store::account::profiles;
use crate::store::link::expected::{ExpectedIdentity, delete_expected, find_expected, save_expected};
use crate::store::organization::connections;

impl Organizations {
    /// Writes the identity that is expected for an account, or removes it for `None`; `true` if this is a change.
    pub(super) async fn apply_expected(
        &self,
        tx: &mut Tx,
        organization: &Organization,
        account: &Account,
        wanted: Option<&WantedIdentity>,
    ) -> Result<bool, ApplyError> {
        let before = find_expected(tx, organization.id, account.id).await?;
        let Some(wanted) = wanted else {
            let waits = before.is_some_and(|(_, came)| !came);
            if waits {
                delete_expected(tx, organization.id, account.id).await?;
            }
            return Ok(waits);
        };
        let name = account.username.as_ref().map_or_else(|| account.id.to_string(), ToString::to_string);
        let name = format!("account {}/{name}", organization.handle);
        let handle = &wanted.connection;
        let found = connections::find_connection_by_handle(tx, organization.id, handle).await?;
        let Some(found) = found else {
            return Err(ApplyError::Refused(format!("{name}: the organization has no connection {handle}")));
        };
        let identity = ExpectedIdentity {
            account: account.id,
            connection: found.connection.id,
            claim: wanted.claim.clone(),
            value: wanted.value.clone(),
        };
        let came = before.as_ref().is_some_and(|(_, came)| *came);
        if before.is_some_and(|(before, _)| before == identity) {
            return Ok(false);
        }
        if came || !profiles::list_profiles(tx, account.id).await?.is_empty() {
            return Err(ApplyError::Refused(format!(
                "{name}: a user can sign in to it already, so no identity is expected any more; remove expects"
            )));
        }
        let sentence =
            || format!("{name}: another account expects the same identity; remove expects from one of them");
        save_expected(tx, organization.id, &identity, self.core.clock.now())
            .await
            .map_err(|error| taken(error, sentence))?;
        Ok(true)
    }
}
