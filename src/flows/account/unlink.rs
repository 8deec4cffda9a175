//! A user unlinks a profile from their own account. At least one must stay.

use crate::flows::account::OwnAccount;
use crate::flows::account::profiles::ProfileView;
use crate::flows::directory::BrandView;
use crate::flows::profile::ledger::NewEntry;
use crate::flows::refusal::{FlowError, PublicCode, Reason, refused};
use crate::flows::session::{CurrentSession, EndReason, own_event};
use crate::flows::sign_in::reauthentication::Sensitive;
use crate::flows::visit::{Answer, CookieChange, NextPage, Visit};
use crate::model::{
    LedgerKind, Moved, OrganizationId, Profile, ProfileId, ProfileKind, SensitiveAction, SessionId,
};
use crate::store::Tx;
use crate::store::account::{accounts, password_links, passwords, profiles};
use crate::store::session::session_ends::SessionsOf;
use crate::store::session::sessions;

/// The contents of the page that asks before a profile is unlinked.
#[derive(Debug, Clone)]
pub struct UnlinkView {
    /// The anti-forgery token of its form.
    pub form_token: String,
    /// The organization of the account, if it has one.
    pub brand: Option<BrandView>,
    /// The profile.
    pub profile: ProfileView,
}

impl OwnAccount {
    /// The contents of the page, or the answer that makes the user prove again who they are.
    pub async fn view_unlink(
        &self,
        visit: &Visit,
        profile: ProfileId,
    ) -> Result<Sensitive<UnlinkView>, FlowError> {
        let place = SensitiveAction::Unlink(profile);
        let current = match self.sign_in.require_fresh(visit, place, "unlink").await? {
            Sensitive::Show(current) => current,
            Sensitive::Prove(answer) => return Ok(Sensitive::Prove(answer)),
        };
        let found = self.own_profiles(&current).await?.into_iter().find(|view| view.profile == profile);
        let Some(view) = found else {
            let event = own_event("unlink", &current);
            return Err(refused(event, PublicCode::NotFound, Reason::ProfileNotOwn));
        };
        let form_token = self.interactions.form_token(&current.session.id.to_string());
        let brand = self.core.directory.brand_of(current.organization.as_ref()).await?;
        Ok(Sensitive::Show(UnlinkView { form_token, brand, profile: view }))
    }

    /// Unlinks a profile, ends the sessions that it had opened, and writes it to the ledger.
    pub async fn unlink(&self, visit: &Visit, profile: ProfileId) -> Result<Answer, FlowError> {
        let place = SensitiveAction::Unlink(profile);
        let current = match self.sign_in.require_fresh(visit, place, "unlink").await? {
            Sensitive::Show(current) => current,
            Sensitive::Prove(answer) => return Ok(answer),
        };
        let CurrentSession { session, account, organization } = &current;
        let event = own_event("unlink", &current);
        let found = profiles::find_profile(&mut self.core.database.read().await?, profile).await?;
        let found = found.filter(|found| found.account == account.id);
        let (Some(found), Some(organization)) = (found, organization) else {
            return Err(refused(event, PublicCode::NotFound, Reason::ProfileNotOwn));
        };
        let side = self.profiles.name_profile(&mut self.core.database.read().await?, &found).await?;
        let mut tx = self.core.database.write().await?;
        accounts::lock_account(&mut tx, account.id).await?;
        if let Some((code, reason)) = self.take_away(&mut tx, organization.id, &found, session.id).await? {
            return Err(refused(event, code, reason));
        }
        let opened = SessionsOf::Profile { account: account.id, profile };
        self.sessions.end_sessions(&mut tx, opened, EndReason::Withdrawn).await?;
        let entry = NewEntry {
            kind: LedgerKind::Unlinked,
            organization: organization.id,
            account: account.id,
            other: None,
            profile: Some(profile),
            connection: found.kind.connection(),
            actor: account.id.into(),
            undoes: None,
            moved: Moved::default(),
            sides: &[side],
            also: None,
        };
        self.profiles.write_entry(&mut tx, entry, event).await?;
        tx.commit().await?;
        Ok(if session.proof.profile == profile {
            Answer::to(NextPage::SignedOut(None)).with(CookieChange::ClearSession)
        } else {
            Answer::to(NextPage::Account)
        })
    }

    /// Takes a profile from its account, together with its password. The caller has locked the account. Returns the
    /// public code and the reason of a refusal; the caller must then drop the transaction.
    async fn take_away(
        &self,
        tx: &mut Tx,
        organization: OrganizationId,
        profile: &Profile,
        session: SessionId,
    ) -> Result<Option<(PublicCode, Reason)>, FlowError> {
        let account = profile.account;
        let organization = self.profiles.organization_of(tx, organization).await?;
        let holder = self.profiles.holder(tx, &organization, account).await?;
        if !holder.profiles.iter().any(|held| held.id == profile.id) {
            return Ok(Some((PublicCode::NotFound, Reason::NotFound)));
        }
        if !holder.is_reachable_without(profile.id) {
            return Ok(Some((PublicCode::UnlinkLast, Reason::UnlinkLast)));
        }
        // Order matters, as in a link: the password, the profile, then the sessions.
        if profile.kind == ProfileKind::Local {
            if accounts::find_account(tx, account).await?.is_some_and(|now| now.break_glass) {
                return Ok(Some((PublicCode::LinkEmergency, Reason::LinkEmergency)));
            }
            passwords::delete_password(tx, account).await?;
            password_links::consume_all_links(tx, account, self.core.clock.now()).await?;
        }
        if !profiles::delete_profile(tx, account, profile.id, 1).await? {
            return Ok(Some((PublicCode::UnlinkLast, Reason::UnlinkLast)));
        }
        let held = sessions::lock_session(tx, session, self.core.clock.now()).await?;
        Ok((!held).then_some((PublicCode::SessionEnded, Reason::SessionEnded)))
    }
}
