//! Two accounts become one. The kept account gets the profiles, roles, apps' names and consents of the other. The other
//! account remains as an empty, reserved record, and an undoing can bring it back.

use crate::flows::evidence::{Event, receipt_of};
use crate::flows::link::finish::FinishError;
use crate::flows::link::{LinkAttempt, Links};
use crate::flows::profile::ledger::NewEntry;
use crate::flows::session::EndReason;
use crate::model::{Account, AccountId, LedgerKind, Moved, NamedSide, Organization, ProfileKind};
use crate::policy::account::link::merge::{Party, Plan, plan};
use crate::policy::account::link::{LinkRefusal, Newcomer, may_join};
use crate::store::account::{accounts, password_links, passwords, profiles};
use crate::store::interaction::interactions;
use crate::store::link::{expected, merging};
use crate::store::session::session_ends::SessionsOf;
use crate::store::{StoreError, Tx};

impl Links {
    /// Merges `gone` into `kept`. `local_of` says whose username and password stay where both have one.
    pub(in crate::flows) async fn merge(
        &self,
        tx: &mut Tx,
        organization: &Organization,
        (kept, gone): (AccountId, AccountId),
        local_of: AccountId,
        (attempt, sides): (&LinkAttempt, &[NamedSide; 2]),
    ) -> Result<(), FinishError> {
        let into = self.profiles.holder(tx, organization, kept).await?;
        let from = self.profiles.holder(tx, organization, gone).await?;
        may_join(Newcomer::Account(&from), &into).map_err(FinishError::Refused)?;
        let (kept, gone) = (find(tx, kept).await?, find(tx, gone).await?);
        let parties = (party(tx, &kept).await?, party(tx, &gone).await?);
        let planned = plan(&parties.0, &parties.1, local_of).map_err(FinishError::Refused)?;
        let mut moved = planned.moved.clone();
        // Order matters: interactions before profiles and sessions, as wherever an interaction goes on.
        interactions::end_interactions_of_account(tx, gone.id, Some(attempt.id()), self.core.clock.now())
            .await?;
        self.move_profiles(tx, &kept, &gone, &planned).await?;
        self.lock_arriving(tx, attempt).await?;
        self.sessions.end_everything(tx, gone.id, Some(attempt.id())).await?;
        self.end_elsewhere(tx, kept.id, attempt).await?;
        self.move_names(tx, organization, &kept, &gone, &mut moved).await?;
        expected::delete_expected(tx, organization.id, gone.id).await?;
        if !merging::mark_merged(tx, gone.id, kept.id, self.core.clock.now()).await? {
            return Err(StoreError::Conflict.into());
        }
        let entry = NewEntry {
            kind: LedgerKind::Merged,
            organization: organization.id,
            account: kept.id,
            other: Some(gone.id),
            profile: None,
            connection: None,
            actor: kept.id.into(),
            undoes: None,
            moved,
            sides,
            also: None,
        };
        let receipt = Some(receipt_of(attempt.id()));
        self.profiles.write_entry(tx, entry, Event { receipt, ..Event::new("merge") }).await?;
        Ok(())
    }

    /// Moves password and profiles as planned. It deletes the ending password and profile first, to make room.
    async fn move_profiles(
        &self,
        tx: &mut Tx,
        kept: &Account,
        gone: &Account,
        planned: &Plan,
    ) -> Result<(), StoreError> {
        let now = self.core.clock.now();
        // Order matters: passwords before profiles, as in a sign-in by password.
        if let Some(account) = planned.moved.ended_local {
            passwords::delete_password(tx, account).await?;
            password_links::consume_all_links(tx, account, now).await?;
        }
        if planned.moves_password {
            passwords::move_password(tx, gone.id, kept.id).await?;
            password_links::consume_all_links(tx, gone.id, now).await?;
        }
        if let (Some(profile), Some(account)) = (planned.ended_local, planned.moved.ended_local)
            && !profiles::delete_profile(tx, account, profile, 0).await?
        {
            return Err(StoreError::Conflict);
        }
        for profile in &planned.moved.profiles {
            if !profiles::move_profile(tx, *profile, gone.id, kept.id).await? {
                return Err(StoreError::Conflict);
            }
        }
        Ok(())
    }

    /// Moves roles, usernames as planned, the apps' names for the merged account, and its consents.
    async fn move_names(
        &self,
        tx: &mut Tx,
        organization: &Organization,
        kept: &Account,
        gone: &Account,
        moved: &mut Moved,
    ) -> Result<(), StoreError> {
        let now = self.core.clock.now();
        for role in &moved.gained {
            merging::add_role(tx, organization.id, kept.id, *role).await?;
        }
        for role in &moved.roles {
            merging::take_role(tx, organization.id, gone.id, *role).await?;
        }
        if moved.swapped_usernames {
            // Order matters: after sessions, before subjects. Setting a username waits for every transaction that is
            // opening something at the account, and makes every later one wait.
            let (one, two) = ((kept.id, kept.username.as_ref()), (gone.id, gone.username.as_ref()));
            merging::swap_usernames(tx, one, two, now).await?;
        }
        for app in merging::list_subject_apps(tx, gone.id).await? {
            moved.subjects.extend(merging::move_subject(tx, app, gone.id, kept.id).await?.then_some(app));
        }
        for app in merging::list_consent_apps(tx, gone.id).await? {
            moved
                .consents
                .extend(merging::move_consent(tx, app, gone.id, kept.id, now).await?.then_some(app));
        }
        merging::delete_consents(tx, gone.id).await
    }

    /// Ends the sessions of the kept account in other browsers: they began before the account got the other's rights.
    async fn end_elsewhere(
        &self,
        tx: &mut Tx,
        kept: AccountId,
        attempt: &LinkAttempt,
    ) -> Result<(), StoreError> {
        match attempt.interaction.session.id() {
            Some(here) => {
                let others = SessionsOf::AccountBut { account: kept, keep: here };
                self.sessions.end_sessions(tx, others, EndReason::SignedOut).await?;
            }
            None => self.sessions.end_everything(tx, kept, Some(attempt.id())).await?,
        }
        Ok(())
    }
}

async fn find(tx: &mut Tx, account: AccountId) -> Result<Account, FinishError> {
    let found = accounts::find_account(tx, account).await?;
    found.ok_or(FinishError::Refused(LinkRefusal::WrongProfile))
}

/// The facts about an account that a merge needs.
async fn party(tx: &mut Tx, account: &Account) -> Result<Party, StoreError> {
    let mut party = Party {
        account: account.id,
        roles: account.roles.clone(),
        local: None,
        external: Vec::new(),
        break_glass: account.break_glass,
    };
    for profile in profiles::list_profiles(tx, account.id).await? {
        match profile.kind {
            ProfileKind::Local => party.local = Some(profile.id),
            ProfileKind::External { .. } => party.external.push(profile.id),
        }
    }
    Ok(party)
}
