//! Connections that replace others: whoever comes through the new one for the first time is recognized by a claim that
//! both identity providers know, and takes the place of the profile that they had.

use serde_json::{Map, Value};

use super::super::Broker;
use super::super::directory::ConnectionEntry;
use super::super::evidence::Event;
use super::provision::NewPersonError;
use crate::flows::link::{NewEntry, name_identity};
use crate::model::{Identity, LedgerKind, Moved, Profile, ProfileId};
use crate::policy::link::replacement::{SUBJECT, Takeover, identifier, is_replacing, takeover};
use crate::policy::link::{Newcomer, may_join};
use crate::store::{StoreError, Tx, accounts, connections, profiles, replacing};

impl Broker {
    /// Keeps what a connection is told to keep of an ID token, with the profile that it signed in.
    pub(super) async fn keep_claims(
        &self,
        tx: &mut Tx,
        entry: &ConnectionEntry,
        profile: ProfileId,
        claims: &Map<String, Value>,
    ) -> Result<(), StoreError> {
        for claim in &entry.connection.settings.kept_claims {
            // `sub` is never kept, so no subject is asked for.
            let Some(value) = identifier(claim, "", claims) else { continue };
            let kept = (claim.as_str(), value);
            replacing::keep_claim(tx, entry.organization.id, profile, kept, self.clock.now()).await?;
        }
        Ok(())
    }

    /// The profile by which an identity signs in that nobody has yet, where its connection replaces another one and the
    /// person is recognized: the one that they had, moved over, or a further one of its account. Each profile gives its
    /// place once.
    pub(super) async fn claim_replaced(
        &self,
        tx: &mut Tx,
        entry: &ConnectionEntry,
        identity: &Identity,
        claims: &Map<String, Value>,
    ) -> Result<Option<Profile>, NewPersonError> {
        let (connection, organization) = (&entry.connection, &entry.organization);
        let Some(replacement) = is_replacing(connection.settings.replaces.as_ref(), self.clock.now()) else {
            return Ok(None);
        };
        let replaced = &replacement.connection;
        let found = connections::find_connection_by_handle(tx, organization.id, replaced).await?;
        let Some(old) = found.map(|record| record.connection) else { return Ok(None) };
        let (issuer, subject) = (&identity.issuer, &identity.subject);
        let same = profiles::find_profile_in_organization(tx, organization.id, issuer, subject).await?;
        let of_old = (organization.id, old.id);
        let by_claim = match identifier(&replacement.claim, subject, claims) {
            None => Vec::new(),
            Some(value) if replacement.old_claim == SUBJECT => {
                replacing::list_profiles_by_subject(tx, of_old, value).await?
            }
            Some(value) => {
                let claim = (replacement.old_claim.as_str(), value);
                replacing::list_profiles_by_claim(tx, of_old, claim).await?
            }
        };
        match takeover(issuer, old.id, same, by_claim) {
            Takeover::None => Ok(None),
            Takeover::Ambiguous => Err(NewPersonError::Refused("no_account", "replaced_claim_ambiguous")),
            Takeover::Move(profile) => self.take_place(tx, entry, identity, profile, true).await,
            Takeover::Join(profile) => self.take_place(tx, entry, identity, profile, false).await,
        }
    }

    async fn take_place(
        &self,
        tx: &mut Tx,
        entry: &ConnectionEntry,
        identity: &Identity,
        old: Profile,
        moves: bool,
    ) -> Result<Option<Profile>, NewPersonError> {
        let (connection, organization, account) = (entry.connection.id, &entry.organization, old.account);
        // Order matters: whoever links holds accounts before profiles too.
        accounts::hold_account(tx, account).await?;
        let side = self.name_profile(tx, &old).await?;
        if !replacing::consume_place(tx, organization.id, connection, &old, self.clock.now()).await? {
            return Ok(None);
        }
        let mut new = self.profile_of(account, identity);
        if moves {
            let from = old.kind.connection().ok_or(StoreError::Conflict)?;
            let named = (identity.issuer.as_str(), identity.subject.as_str());
            if !replacing::move_to_connection(tx, old.id, (from, connection), named).await? {
                return Err(StoreError::Conflict.into());
            }
            new.id = old.id;
        } else {
            let holder = self.holder(tx, organization, account).await?;
            may_join(Newcomer::Identity(&identity.issuer), &holder)
                .map_err(|refusal| NewPersonError::Refused(refusal.code(), refusal.code()))?;
            profiles::insert_profile(tx, Some(organization.id), &new).await?;
        }
        let entry = NewEntry {
            kind: LedgerKind::Replaced,
            organization: organization.id,
            account,
            other: None,
            profile: Some(new.id),
            connection: Some(connection),
            actor: account.into(),
            undoes: None,
            moved: Moved::default(),
            sides: &[name_identity(identity, Some(entry.connection.name.clone())), side],
            also: None,
        };
        self.write_entry(tx, entry, Event::new("link.replaced")).await?;
        Ok(Some(new))
    }
}
