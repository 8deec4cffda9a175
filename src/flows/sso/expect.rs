//! Expected identities: an account to which nobody can sign in yet names the identity that will claim it.

use serde_json::{Map, Value};

use crate::flows::directory::ConnectionEntry;
use crate::flows::evidence::Event;
use crate::flows::profile::find_elsewhere;
use crate::flows::profile::ledger::NewEntry;
use crate::flows::profile::naming::name_identity;
use crate::flows::refusal::FlowError;
use crate::flows::sso::Sso;
use crate::model::{Account, Identity, LedgerKind, Moved, ProfileId};
use crate::policy::account::link::expected_value;
use crate::store::Tx;
use crate::store::account::{accounts, profiles};
use crate::store::link::expected;

impl Sso {
    /// The account that expects an identity, and the profile that the identity becomes there. An account is claimed
    /// once, by a claim that the user cannot change or by a proven email.
    pub(super) async fn claim_expected(
        &self,
        tx: &mut Tx,
        entry: &ConnectionEntry,
        identity: &Identity,
        claims: &Map<String, Value>,
    ) -> Result<Option<(Account, ProfileId)>, FlowError> {
        let (connection, organization) = (entry.connection.id, entry.organization.id);
        let names = expected::list_expected_claims(tx, organization, connection).await?;
        if names.is_empty() {
            return Ok(None);
        }
        if find_elsewhere(tx, organization, identity).await?.is_some() {
            return Ok(None);
        }
        let now = self.core.clock.now();
        for name in names {
            let Some(value) = expected_value(&name, identity, claims) else { continue };
            let what = (name.as_str(), value.as_str());
            let claimed = expected::consume_expected(tx, organization, connection, what, now).await?;
            let Some(account) = claimed else { continue };
            let Some(account) = accounts::find_account(tx, account).await? else { continue };
            let profile = self.profiles.profile_of(account.id, identity);
            profiles::insert_profile(tx, account.organization, &profile).await?;
            let new = NewEntry {
                kind: LedgerKind::Expected,
                organization,
                account: account.id,
                other: None,
                profile: Some(profile.id),
                connection: Some(connection),
                actor: account.id.into(),
                undoes: None,
                moved: Moved::default(),
                sides: &[name_identity(identity, Some(entry.connection.name.clone()))],
                also: None,
            };
            self.profiles.write_entry(tx, new, Event::new("link.expected")).await?;
            return Ok(Some((account, profile.id)));
        }
        Ok(None)
    }
}
