//! Connections that replace others. At the first sign-in through the new connection, the broker recognizes the user by
//! a claim that both identity providers send. The new identity then takes the place of the user's old profile.

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
    /// Keeps the claims of an ID token that the connection is configured to keep, with the profile that it signed in. A
    /// claim that the token no longer has is deleted.
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

    /// The new profile of an identity that no account has yet, if its connection replaces another one and the user is
    /// recognized. Each old profile is replaced once.
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
        // The settings that were read before the provider was called may be outdated.
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
            // The profile was replaced before and has come back since, so this identity is a new user's.
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

    /// Replaces a profile by an identity. The profile ends, and so do the sessions that it opened.
    async fn take_place(
        &self,
        tx: &mut Tx,
        entry: &ConnectionEntry,
        identity: &Identity,
        old: Profile,
    ) -> Result<Profile, NewPersonError> {
        let (organization, account, now) = (&entry.organization, old.account, self.core.clock.now());
        let new = self.profiles.profile_of(account, identity);
        // Order matters: accounts before profiles, as in a link. Another change may have come first, so the profile is
        // read again.
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
