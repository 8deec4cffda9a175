//! The page that names both sides and asks once more, and what the person answers there.

use super::super::Broker;
use super::super::brand::BrandView;
use super::super::error::FlowError;
use super::super::visit::{Answer, CookieChange, Go, Visit};
use super::sides::SideView;
use crate::model::{AccountId, LinkAttempt, LinkState, ProfileKind, Role, Side, Wanted};
use crate::policy::link::{LinkRefusal, Newcomer, may_join};
use crate::store::links::abandon_attempt;
use crate::store::{Tx, accounts, merging, profiles};

/// What the page shows.
#[derive(Debug, Clone)]
pub struct LinkConfirmView {
    /// The attempt's handle.
    pub handle: String,
    /// What its form proves.
    pub form_token: String,
    /// The organization in which they are linked.
    pub brand: BrandView,
    /// The app that is waiting, by name.
    pub app: Option<String>,
    /// The side that was proved first.
    pub near: SideView,
    /// The side that was proved second.
    pub far: SideView,
    /// What merging two accounts changes; `None` when an identity becomes a profile of an account.
    pub merge: Option<MergeView>,
    /// The page languages that the app asked for (`ui_locales`).
    pub locale: Option<String>,
}

/// What merging two accounts changes.
#[derive(Debug, Clone)]
pub struct MergeView {
    /// The two accounts, the first side's before the other's.
    pub accounts: [AccountId; 2],
    /// The usernames of both, where both have a password: one stays.
    pub usernames: Option<[String; 2]>,
    /// The roles of each; the account that stays gets all of them.
    pub roles: [Vec<Role>; 2],
    /// The apps that know only the first account, only the second, and both, by name.
    pub apps: [Vec<String>; 3],
}

/// What the person answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfirmAnswer {
    /// Not now.
    Cancel,
    /// Link. Of two accounts, `keep` stays; the first side's without it. Of two passwords, that of `local_of` stays; the
    /// kept account's without it.
    Link {
        /// Which account stays.
        keep: Option<AccountId>,
        /// Whose username and password stay.
        local_of: Option<AccountId>,
    },
}

impl Broker {
    /// What the page of an attempt shows whose both sides are proved.
    pub async fn view_link_confirmation(
        &self,
        visit: &Visit,
        handle: &str,
    ) -> Result<LinkConfirmView, FlowError> {
        let attempt = self.require_attempt(visit, handle).await?;
        let Some(far) = &attempt.state.far else {
            let event = Self::link_event("link", &attempt);
            return Err(self.refuse(visit, event, "flow_expired", "link_not_proved").await);
        };
        let mut tx = self.database.read().await?;
        let near_view = self.side_view(&mut tx, &attempt.state.near).await?;
        let far_view = self.side_view(&mut tx, far).await?;
        let (Some(near_view), Some(far_view)) = (near_view, far_view) else {
            drop(tx);
            let event = Self::link_event("link", &attempt);
            return Err(self.burn_for(&attempt, event, "link_profile_gone", "profile_gone").await);
        };
        if let Err(refusal) = self.check_join(&mut tx, &attempt, far).await? {
            drop(tx);
            let event = Self::link_event("link", &attempt);
            return Err(self.burn(&attempt, event, refusal).await);
        }
        let organization = self.organization_of(&mut tx, attempt.organization).await?;
        let merge = match (attempt.state.near.account(), far.account()) {
            (Some(near), Some(far)) => Some(self.merge_view(&mut tx, [near, far]).await?),
            _ => None,
        };
        drop(tx);
        let app = match attempt.state.target.app() {
            Some(app) => self.app_link(app).await,
            None => None,
        };
        Ok(LinkConfirmView {
            handle: handle.to_owned(),
            form_token: self.form_token(&attempt.id.to_string()),
            brand: self.brand(&organization).await?,
            app: app.map(|app| app.name),
            near: near_view,
            far: far_view,
            merge,
            locale: attempt.state.target.ui_locales().map(str::to_owned),
        })
    }

    /// Whether both sides could become one account as things are now; whoever confirms is held to it once more.
    async fn check_join(
        &self,
        tx: &mut Tx,
        attempt: &LinkAttempt,
        far: &Side,
    ) -> Result<Result<(), LinkRefusal>, FlowError> {
        let organization = self.organization_of(tx, attempt.organization).await?;
        Ok(match (&attempt.state.near, far) {
            (Side::Identity(identity), Side::Profile { account, .. })
            | (Side::Profile { account, .. }, Side::Identity(identity)) => {
                let holder = self.holder(tx, &organization, *account).await?;
                may_join(Newcomer::Identity(&identity.issuer), &holder)
            }
            (Side::Profile { account: one, .. }, Side::Profile { account: two, .. }) => {
                let one = self.holder(tx, &organization, *one).await?;
                let two = self.holder(tx, &organization, *two).await?;
                may_join(Newcomer::Account(&two), &one)
            }
            (Side::Identity(_), Side::Identity(_)) => Err(LinkRefusal::NoAccount),
        })
    }

    /// What a merge of two accounts would change.
    async fn merge_view(&self, tx: &mut Tx, both: [AccountId; 2]) -> Result<MergeView, FlowError> {
        let mut usernames = Vec::new();
        let mut roles = [Vec::new(), Vec::new()];
        let mut known = [Vec::new(), Vec::new()];
        for ((account, roles), known) in both.into_iter().zip(&mut roles).zip(&mut known) {
            let local = profiles::list_profiles(tx, account).await?;
            let has_local = local.iter().any(|profile| profile.kind == ProfileKind::Local);
            let found = accounts::find_account(tx, account).await?;
            if let Some(found) = found {
                usernames.extend(found.username.filter(|_| has_local).map(|name| name.to_string()));
                *roles = found.roles;
            }
            *known = merging::list_subject_apps(tx, account).await?;
        }
        let [first, second] = known;
        let mut apps = [Vec::new(), Vec::new(), Vec::new()];
        let [only_first, only_second, by_both] = &mut apps;
        for app in &first {
            let list = if second.contains(app) { &mut *by_both } else { &mut *only_first };
            list.extend(self.app_link(*app).await.map(|link| link.name));
        }
        for app in second.iter().filter(|app| !first.contains(app)) {
            only_second.extend(self.app_link(*app).await.map(|link| link.name));
        }
        Ok(MergeView { accounts: both, usernames: usernames.try_into().ok(), roles, apps })
    }

    /// Takes the person's answer.
    pub async fn answer_link_confirmation(
        &self,
        visit: &Visit,
        handle: &str,
        answer: ConfirmAnswer,
    ) -> Result<Answer, FlowError> {
        let attempt = self.require_attempt(visit, handle).await?;
        match answer {
            ConfirmAnswer::Cancel => self.cancel_link(visit, &attempt, handle).await,
            ConfirmAnswer::Link { keep, local_of } => {
                Box::pin(self.finish_link(visit, attempt, keep, local_of)).await
            }
        }
    }

    /// Forgets the second proof. Somebody who was offered accounts is at the offer again, others at their own page.
    async fn cancel_link(
        &self,
        visit: &Visit,
        attempt: &LinkAttempt,
        handle: &str,
    ) -> Result<Answer, FlowError> {
        let event = Self::link_event("link.cancel", attempt);
        let offered = attempt.state.email.is_some();
        let mut tx = self.database.write().await?;
        let done = if offered {
            let state = LinkState { wanted: Wanted::Nothing, far: None, ..attempt.state.clone() };
            self.advance(&mut tx, attempt, &state).await?
        } else {
            abandon_attempt(&mut tx, attempt.id, self.clock.now()).await?;
            true
        };
        if !done {
            drop(tx);
            return Err(self.refuse(visit, event, "flow_finished", "link_overtaken").await);
        }
        self.record_success(&mut tx, &event).await?;
        tx.commit().await?;
        Ok(if offered {
            Answer::to(Go::Link(handle.to_owned()))
        } else {
            Answer::to(Go::Account).with(CookieChange::ClearFlow(attempt.id))
        })
    }
}

/// The accounts of both sides.
pub(super) fn accounts_of(near: &Side, far: &Side) -> Vec<AccountId> {
    let mut both: Vec<AccountId> = near.account().into_iter().chain(far.account()).collect();
    both.sort_unstable();
    both
}
