//! The page that names both sides and asks once more, and the user's answer.

use crate::flows::directory::BrandView;
use crate::flows::interaction::Answered;
use crate::flows::link::finish::Kept;
use crate::flows::link::sides::SideView;
use crate::flows::link::{LinkAttempt, Links, burned};
use crate::flows::refusal::{FlowError, PublicCode, Reason, refused};
use crate::flows::visit::Visit;
use crate::model::{AccountId, Linking, ProfileKind, Role, Subject, Wanted};
use crate::policy::account::link::{LinkRefusal, Newcomer, may_join};
use crate::store::Tx;
use crate::store::account::{accounts, profiles};
use crate::store::link::merging;

/// The contents of the page.
#[derive(Debug, Clone)]
pub struct LinkConfirmView {
    /// The attempt's handle.
    pub handle: String,
    /// The anti-forgery token of its form.
    pub form_token: String,
    /// The organization in which both are linked.
    pub brand: BrandView,
    /// The name of the app that is waiting.
    pub app: Option<String>,
    /// The side that has arrived.
    pub arriving: SideView,
    /// The side that the user chose.
    pub chosen: SideView,
    /// The changes of a merge; `None` when an identity becomes a profile of an account.
    pub merge: Option<MergeView>,
    /// The page languages that the app asked for (`ui_locales`).
    pub locale: Option<String>,
}

/// The changes that a merge of two accounts makes.
#[derive(Debug, Clone)]
pub struct MergeView {
    /// The two accounts: that of the arriving side, then that of the chosen one.
    pub accounts: [AccountId; 2],
    /// The usernames of both, where both have a password: one stays.
    pub usernames: Option<[String; 2]>,
    /// The roles of each; the account that stays gets all of them.
    pub roles: [Vec<Role>; 2],
    /// The names of the apps that know only the first account, only the second, and both.
    pub apps: [Vec<String>; 3],
}

/// The user's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfirmAnswer {
    /// Not now.
    Cancel,
    /// Link. Of two accounts, `keep` stays, or else the first. Of two passwords, that of `local_of` stays, or else that
    /// of the kept account.
    Link {
        /// Which account stays.
        keep: Option<AccountId>,
        /// The account whose username and password stay.
        local_of: Option<AccountId>,
    },
}

impl Links {
    /// The contents of the page. Both sides of the attempt must be proved.
    pub async fn view_link_confirmation(
        &self,
        visit: &Visit,
        handle: &str,
    ) -> Result<LinkConfirmView, FlowError> {
        let attempt = self.require_attempt(visit, handle).await?;
        let Some(chosen) = &attempt.link.chosen else {
            let event = Self::link_event("link", &attempt);
            return Err(refused(event, PublicCode::FlowExpired, Reason::LinkNotProved));
        };
        let mut tx = self.core.database.read().await?;
        let arriving_view = self.side_view(&mut tx, &attempt.interaction.subject).await?;
        let chosen_view = self.side_view(&mut tx, chosen).await?;
        let (Some(arriving_view), Some(chosen_view)) = (arriving_view, chosen_view) else {
            let event = Self::link_event("link", &attempt);
            return Err(burned(&attempt, event, PublicCode::LinkProfileGone, Reason::ProfileGone).into());
        };
        if let Err(refusal) = self.check_join(&mut tx, &attempt, chosen).await? {
            drop(tx);
            let event = Self::link_event("link", &attempt);
            return Err(self.burn(&attempt, event, refusal).await);
        }
        let organization = self.profiles.organization_of(&mut tx, attempt.link.organization).await?;
        let merge = match (attempt.interaction.subject.account(), chosen.account()) {
            (Some(one), Some(other)) => Some(self.merge_view(&mut tx, [one, other]).await?),
            _ => None,
        };
        drop(tx);
        let app = match attempt.interaction.purpose.app() {
            Some(app) => self.core.directory.app_link(app).await,
            None => None,
        };
        Ok(LinkConfirmView {
            handle: handle.to_owned(),
            form_token: self.interactions.form_token(&attempt.id().to_string()),
            brand: self.core.directory.brand(&organization).await?,
            app: app.map(|app| app.name),
            arriving: arriving_view,
            chosen: chosen_view,
            merge,
            locale: attempt.interaction.purpose.ui_locales().map(str::to_owned),
        })
    }

    /// Whether both sides could become one account now. The confirmation checks this again.
    async fn check_join(
        &self,
        tx: &mut Tx,
        attempt: &LinkAttempt,
        chosen: &Subject,
    ) -> Result<Result<(), LinkRefusal>, FlowError> {
        let organization = self.profiles.organization_of(tx, attempt.link.organization).await?;
        Ok(match (&attempt.interaction.subject, chosen) {
            (Subject::Identity(identity), Subject::Account { account, .. })
            | (Subject::Account { account, .. }, Subject::Identity(identity)) => {
                let holder = self.profiles.holder(tx, &organization, *account).await?;
                may_join(Newcomer::Identity(&identity.issuer), &holder)
            }
            (Subject::Account { account: one, .. }, Subject::Account { account: two, .. }) => {
                let one = self.profiles.holder(tx, &organization, *one).await?;
                let two = self.profiles.holder(tx, &organization, *two).await?;
                may_join(Newcomer::Account(&two), &one)
            }
            (Subject::Identity(_), Subject::Identity(_)) => Err(LinkRefusal::NoAccount),
        })
    }

    /// The changes that a merge of two accounts would make.
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
            list.extend(self.core.directory.app_link(*app).await.map(|link| link.name));
        }
        for app in second.iter().filter(|app| !first.contains(app)) {
            only_second.extend(self.core.directory.app_link(*app).await.map(|link| link.name));
        }
        Ok(MergeView { accounts: both, usernames: usernames.try_into().ok(), roles, apps })
    }

    /// Takes the user's answer.
    pub async fn answer_link_confirmation(
        &self,
        visit: &Visit,
        handle: &str,
        answer: ConfirmAnswer,
    ) -> Result<Answered, FlowError> {
        let attempt = self.require_attempt(visit, handle).await?;
        match answer {
            ConfirmAnswer::Cancel => self.cancel_link(attempt).await,
            ConfirmAnswer::Link { keep, local_of } => {
                Box::pin(self.finish_link(visit, attempt, Kept { account: keep, local_of })).await
            }
        }
    }

    /// Forgets the chosen side. A user who came from an offer returns to it; any other returns to their own page.
    async fn cancel_link(&self, attempt: LinkAttempt) -> Result<Answered, FlowError> {
        let event = Self::link_event("link.cancel", &attempt);
        let was_offered = attempt.link.email.is_some();
        let (mut tx, known) = self.interactions.open_for(&attempt.interaction).await?;
        let Some(claim) = self.interactions.claim(&mut tx, attempt.id(), attempt.revision).await? else {
            return Err(refused(event, PublicCode::FlowFinished, Reason::LinkOvertaken));
        };
        self.core.record_success(&mut tx, &event).await?;
        let link = Linking { wanted: Wanted::Nothing, chosen: None, ..attempt.link.clone() };
        let interaction = attempt.with(was_offered.then_some(link));
        Ok(Answered { claim: Some(claim), ..Answered::new((tx, known), interaction, event) })
    }
}
