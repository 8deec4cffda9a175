//! Connections that replace others: whoever comes through the new one for the first time is recognized by a claim that
//! both identity providers know, and their identity takes the place of the profile that they had.

use serde_json::{Map, Value};

use crate::flows::directory::ConnectionEntry;
use crate::flows::evidence::Event;
use crate::flows::profile::ledger::NewEntry;
use crate::flows::profile::naming::name_identity;
use crate::flows::refusal::{PublicCode, Reason, code_of_link};
use crate::flows::session::EndReason;
use crate::flows::sso::Sso;
use crate::flows::sso::provision::NewPersonError;
use crate::model::{Identity, LedgerKind, Moved, Profile, ProfileId, Replacement};
use crate::policy::account::link::replacement::{
    Predecessor, SUBJECT, current, identifier, may_replace, predecessor,
};
use crate::store::account::{accounts, profiles};
use crate::store::link::replacing;
use crate::store::organization::connections;
use crate::store::session::session_ends::SessionsOf;
use crate::store::{StoreError, Tx};

impl Sso {
    /// Keeps what a connection is told to keep of an ID token, with the profile that it signed in; what the token does not
    /// say any more is forgotten.
    pub(in crate::flows) async fn keep_claims(
        &self,
        tx: &mut Tx,
        entry: &ConnectionEntry,
        profile: ProfileId,
        claims: &Map<String, Value>,
    ) -> Result<(), StoreError> {
        for claim in &entry.connection.settings.kept_claims {
            let kept = (claim.as_str(), identifier(claim, claims));
            replacing::keep_claim(tx, entry.organization.id, profile, kept).await?;
        }
        Ok(())
    }

    /// The profile that an identity becomes which nobody has yet, where its connection replaces another one and the person
    /// is recognized. Each profile gives its place once.
    pub(super) async fn replace_predecessor(
        &self,
        tx: &mut Tx,
        entry: &ConnectionEntry,
        identity: &Identity,
        claims: &Map<String, Value>,
    ) -> Result<Option<Profile>, NewPersonError> {
        let now = self.core.clock.now();
        if current(entry.connection.settings.replaces.as_ref(), now).is_none() {
            return Ok(None);
        }
        // What was read before the provider was called may be outdated.
        let organization = entry.organization.id;
        let fresh = connections::find_connection(tx, organization, identity.connection).await?;
        let replaces = fresh.and_then(|record| record.connection.settings.replaces);
        let Some(replacement) = current(replaces.as_ref(), now) else { return Ok(None) };
        let (issuer, subject) = (&identity.issuer, &identity.subject);
        let same = profiles::find_profile_in_organization(tx, organization, issuer, subject).await?;
        let by_claim = self.find_by_claim(tx, entry, replacement, claims).await?;
        match predecessor(replacement.connection, same, by_claim) {
            Predecessor::None => Ok(None),
            Predecessor::Ambiguous => {
                Err(NewPersonError::Refused(PublicCode::PersonUnclear, Reason::ReplacedClaimAmbiguous))
            }
            // Taken before, and given back since: whoever comes now is somebody new.
            Predecessor::Is(old)
                if replacing::was_taken(tx, organization, identity.connection, old.id).await? =>
            {
                Ok(None)
            }
            Predecessor::Is(old) => self.take_place(tx, entry, identity, old).await.map(Some),
        }
    }

    async fn find_by_claim(
        &self,
        tx: &mut Tx,
        entry: &ConnectionEntry,
        replacement: &Replacement,
        claims: &Map<String, Value>,
    ) -> Result<Vec<Profile>, StoreError> {
        let Some(value) = identifier(&replacement.claim, claims) else { return Ok(Vec::new()) };
        let of_old = (entry.organization.id, replacement.connection);
        if replacement.old_claim == SUBJECT {
            replacing::list_profiles_by_subject(tx, of_old, value).await
        } else {
            replacing::list_profiles_by_claim(tx, of_old, (&replacement.old_claim, value)).await
        }
    }

    /// Puts an identity in the place of a profile, which ends, with what it had opened.
    async fn take_place(
        &self,
        tx: &mut Tx,
        entry: &ConnectionEntry,
        identity: &Identity,
        old: Profile,
    ) -> Result<Profile, NewPersonError> {
        let (organization, account, now) = (&entry.organization, old.account, self.core.clock.now());
        let new = self.profiles.profile_of(account, identity);
        // Order matters: accounts before profiles, as whoever links does. Whoever was before us has changed what was read.
        accounts::lock_account(tx, account).await?;
        let is_as_read = profiles::find_profile(tx, old.id)
            .await?
            .is_some_and(|held| (held.account, &held.kind) == (old.account, &old.kind));
        let places = (&old, new.id);
        if !is_as_read
            || !replacing::consume_place(tx, organization.id, identity.connection, places, now).await?
        {
            return Err(StoreError::Conflict.into());
        }
        let side = self.profiles.name_profile(tx, &old).await?;
        let is_emergency =
            accounts::find_account(tx, account).await?.is_some_and(|account| account.break_glass);
        let holder = self.profiles.holder(tx, organization, account).await?;
        may_replace(holder, old.id, &identity.issuer, is_emergency)
            .map_err(|refusal| NewPersonError::Refused(code_of_link(refusal), refusal.into()))?;
        if !profiles::delete_profile(tx, account, old.id, 0).await? {
            return Err(StoreError::Conflict.into());
        }
        profiles::insert_profile(tx, Some(organization.id), &new).await?;
        self.sessions
            .end_sessions(tx, SessionsOf::Profile { account, profile: old.id }, EndReason::Withdrawn)
            .await?;
        let entry = NewEntry {
            kind: LedgerKind::Replaced,
            organization: organization.id,
            account,
            other: None,
            profile: Some(new.id),
            connection: Some(identity.connection),
            actor: account.into(),
            undoes: None,
            moved: Moved { profiles: vec![old.id], ..Moved::default() },
            sides: &[name_identity(identity, Some(entry.connection.name.clone())), side],
            also: None,
        };
        self.profiles.write_entry(tx, entry, Event::new("link.replaced")).await?;
        Ok(new)
    }
}
