//! An identity becomes a profile of an account. The change is written to the ledger and the evidence as well.

use crate::flows::evidence::{Event, receipt_of};
use crate::flows::link::finish::FinishError;
use crate::flows::link::{LinkAttempt, Links};
use crate::flows::profile::ledger::NewEntry;
use crate::model::{AccountId, Identity, LedgerKind, Moved, NamedSide, Organization, Proof};
use crate::policy::account::link::{Newcomer, may_join};
use crate::store::Tx;
use crate::store::account::profiles;

impl Links {
    /// Makes an identity a profile of an account. The user has proved both.
    pub(in crate::flows) async fn join(
        &self,
        tx: &mut Tx,
        organization: &Organization,
        identity: &Identity,
        account: AccountId,
        (attempt, sides): (&LinkAttempt, &[NamedSide; 2]),
    ) -> Result<Proof, FinishError> {
        let holder = self.profiles.holder(tx, organization, account).await?;
        may_join(Newcomer::Identity(&identity.issuer), &holder).map_err(FinishError::Refused)?;
        let profile = self.profiles.profile_of(account, identity);
        profiles::insert_profile(tx, Some(organization.id), &profile).await?;
        self.lock_arriving(tx, attempt).await?;
        let entry = NewEntry {
            kind: LedgerKind::Linked,
            organization: organization.id,
            account,
            other: None,
            profile: Some(profile.id),
            connection: Some(identity.connection),
            actor: account.into(),
            undoes: None,
            moved: Moved::default(),
            sides,
            also: identity.email.as_ref().filter(|_| identity.email_verified),
        };
        let receipt = Some(receipt_of(attempt.id()));
        self.profiles.write_entry(tx, entry, Event { receipt, ..Event::new("link") }).await?;
        Ok(identity.proof(profile.id))
    }
}
