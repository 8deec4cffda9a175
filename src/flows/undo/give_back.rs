//! The things that an undoing gives back: profiles, the place of a replaced profile, and names.

use crate::flows::session::{CurrentSession, EndReason};
use crate::flows::undo::{UndoError, UndoRefusal, Undos};
use crate::model::{
    Account, AccountId, Contact, LedgerEntry, NamedSide, OrganizationId, Profile, ProfileId, ProfileKind,
};
use crate::policy::account::link::merge::roles_after_undo;
use crate::store::account::{accounts, passwords, profiles};
use crate::store::link::{ledger, merging, replacing};
use crate::store::organization::connections;
use crate::store::session::session_ends::SessionsOf;
use crate::store::{StoreError, Tx};

impl Undos {
    /// Gives a replaced profile its place back. It does so even when the identity that took the place was unlinked
    /// since, so that an unlinking cannot keep an account from its owner.
    pub(super) async fn give_place_back(
        &self,
        tx: &mut Tx,
        entry: &LedgerEntry,
        sides: &[NamedSide],
        new: ProfileId,
        own: Option<&CurrentSession>,
    ) -> Result<(), UndoError> {
        let (now, account) = (self.core.clock.now(), entry.account);
        let ([_, side], [old]) = (sides, entry.moved.profiles.as_slice()) else {
            return Err(UndoError::Refused(UndoRefusal::Gone));
        };
        if merging::find_merged_into(tx, account).await?.is_some() {
            return Err(UndoError::Refused(UndoRefusal::LaterMergeFirst));
        }
        let held = replacing::find_here_or_successor(tx, entry.organization, new).await?;
        let held = held.filter(|held| held.account == account);
        if let Some(held) = &held {
            profiles::delete_profile(tx, account, held.id, 0).await?;
        }
        let found = accounts::find_account(tx, account).await?;
        let back = found.ok_or(UndoError::Refused(UndoRefusal::Gone))?;
        if own.is_some() && !is_enabled(tx, entry.organization, side).await? {
            return Err(UndoError::Refused(UndoRefusal::Last));
        }
        if !self.bring_back(tx, &back, *old, side).await?.0 {
            return Err(UndoError::Refused(UndoRefusal::Taken));
        }
        if back.username.is_none() {
            // These claims describe the other identity's user. This user's identity provider sends its own at the next
            // sign-in.
            let email = side.email.as_deref().and_then(|email| email.parse().ok());
            let told = Account {
                email,
                email_verified: false,
                email_from: side.connection,
                contact: Contact::default(),
                ..back
            };
            accounts::update_contact(tx, &told, now).await?;
        }
        self.end_own(tx, own).await?;
        if let Some(held) = held {
            self.sessions
                .end_sessions(tx, SessionsOf::Profile { account, profile: held.id }, EndReason::Withdrawn)
                .await?;
        }
        self.sessions
            .end_sessions(tx, SessionsOf::Since { account, since: entry.at }, EndReason::Withdrawn)
            .await?;
        Ok(())
    }

    /// Gives back roles, usernames, the apps' names for the merged account, and its consents.
    pub(super) async fn give_back_names(
        &self,
        tx: &mut Tx,
        entry: &LedgerEntry,
        kept: &Account,
        back: &Account,
    ) -> Result<(), StoreError> {
        let moved = &entry.moved;
        let roles = roles_after_undo(&kept.roles, moved);
        for role in kept.roles.iter().filter(|role| !roles.kept.contains(role)) {
            merging::take_role(tx, entry.organization, kept.id, *role).await?;
        }
        for role in roles.returned {
            merging::add_role(tx, entry.organization, back.id, role).await?;
        }
        if moved.swapped_usernames {
            // Order matters: after sessions, before subjects, as in a merge.
            let (one, two) = ((kept.id, kept.username.as_ref()), (back.id, back.username.as_ref()));
            merging::swap_usernames(tx, one, two, self.core.clock.now()).await?;
        }
        for app in &moved.subjects {
            merging::move_subject(tx, *app, kept.id, back.id).await?;
        }
        for app in &moved.consents {
            // A consent given since the merge stays with the kept account.
            merging::move_consent(tx, *app, kept.id, back.id, entry.at).await?;
        }
        Ok(())
    }

    /// Gives password and profiles back. A local profile that ended comes back without its password. Returns the
    /// accounts of such profiles.
    pub(super) async fn give_back_profiles(
        &self,
        tx: &mut Tx,
        kept: &Account,
        back: &Account,
        entry: &LedgerEntry,
    ) -> Result<Vec<AccountId>, UndoError> {
        let moved = &entry.moved;
        let mut came_back = 0;
        let held = profiles::list_profiles(tx, kept.id).await?;
        let local = held.iter().find(|held| held.kind == ProfileKind::Local).map(|local| local.id);
        // Order matters: passwords before profiles, as in a sign-in by password.
        if local.is_some_and(|local| moved.profiles.contains(&local)) {
            if kept.break_glass {
                return Err(UndoError::Refused(UndoRefusal::Emergency));
            }
            passwords::move_password(tx, kept.id, back.id).await?;
        }
        let mut restored = Vec::new();
        for profile in &moved.profiles {
            let held = replacing::find_here_or_successor(tx, entry.organization, *profile).await?;
            let held = held.map_or(*profile, |held| held.id);
            if profiles::move_profile(tx, held, kept.id, back.id).await? {
                came_back += 1;
            } else if let Some(side) = self.find_unlinked(tx, entry, *profile).await? {
                let (came, is_restored) = self.bring_back(tx, back, *profile, &side).await?;
                came_back += usize::from(came);
                restored.extend(is_restored.then_some(back.id));
            }
        }
        if let Some(account) = moved.ended_local {
            let account = if account == kept.id { kept } else { back };
            restored.extend(self.profiles.restore_local(tx, account).await?.then_some(account.id));
            came_back += usize::from(account.id == back.id);
        }
        if came_back == 0 {
            return Err(UndoError::Refused(UndoRefusal::Gone));
        }
        if profiles::list_profiles(tx, kept.id).await?.is_empty() {
            return Err(UndoError::Refused(UndoRefusal::Last));
        }
        Ok(restored)
    }

    /// The ledger's record of a profile that came with a merge and was unlinked since. An unlinking must not keep a
    /// user's identities from them.
    async fn find_unlinked(
        &self,
        tx: &mut Tx,
        merge: &LedgerEntry,
        profile: ProfileId,
    ) -> Result<Option<NamedSide>, StoreError> {
        let unlinked = ledger::find_unlinking(tx, merge.account, profile).await?;
        match unlinked.filter(|entry| (entry.at, entry.id) > (merge.at, merge.id)) {
            Some(entry) => Ok(self.profiles.open_sides(tx, &entry).await?.into_iter().next()),
            None => Ok(None),
        }
    }

    /// Makes an unlinked profile again, unless its identity has another account by now. Returns whether it was made,
    /// and whether it is a local profile without a password.
    async fn bring_back(
        &self,
        tx: &mut Tx,
        back: &Account,
        id: ProfileId,
        side: &NamedSide,
    ) -> Result<(bool, bool), UndoError> {
        let (Some(connection), Some(issuer), Some(subject)) = (side.connection, &side.issuer, &side.subject)
        else {
            let is_local = side.username.is_some();
            let restored = is_local && self.profiles.restore_local(tx, back).await?;
            return Ok((restored, restored));
        };
        let Some(organization) = back.organization else { return Ok((false, false)) };
        if profiles::find_profile_in_organization(tx, organization, issuer, subject).await?.is_some() {
            return Ok((false, false));
        }
        let now = self.core.clock.now();
        let kind = ProfileKind::External {
            connection,
            issuer: issuer.clone(),
            subject: subject.clone(),
            // Its identity provider sends it again at the next sign-in.
            email: None,
            email_verified: false,
        };
        let profile = Profile { id, account: back.id, kind, created_at: now, last_used_at: None };
        profiles::insert_profile(tx, back.organization, &profile).await?;
        Ok((true, false))
    }
}

/// Whether the connection of a side is enabled; true for a side without one.
async fn is_enabled(tx: &mut Tx, organization: OrganizationId, side: &NamedSide) -> Result<bool, StoreError> {
    match side.connection {
        Some(connection) => Ok(connections::find_connection(tx, organization, connection)
            .await?
            .is_some_and(|record| record.connection.enabled)),
        None => Ok(true),
    }
}
