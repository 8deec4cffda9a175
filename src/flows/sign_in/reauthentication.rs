//! Re-authentication: before something sensitive, a person proves again who they are. They do so by the password, by a
//! forced sign-in at the identity provider, or, where that cannot be forced, by a code that is mailed to the account's
//! proven address.

use crate::flows::evidence::Event;
use crate::flows::profile::email::account_email_proof;
use crate::flows::refusal::{FlowError, PublicCode, Reason, refused};
use crate::flows::session::CurrentSession;
use crate::flows::sign_in::SignIn;
use crate::flows::visit::{Answer, NextPage, Visit};
use crate::model::{AccountId, Aim, Email, Flow, Purpose, SensitiveAction, Timestamp};
use crate::policy::provider::access::may_use_password;
use crate::policy::sign_in::freshness::fresh_until;
use crate::store::StoreError;
use crate::store::account::{accounts, passwords};
use crate::store::organization::organizations;

/// Something sensitive: it is shown to a person who proved a moment ago who they are. Everybody else proves it first.
#[derive(Clone)]
pub enum Sensitive<T> {
    /// It is shown.
    Show(T),
    /// The person proves again who they are; the way there.
    Prove(Answer),
}

impl SignIn {
    /// The session of somebody who proved a moment ago who they are; for everybody else, the way to do so.
    pub(in crate::flows) async fn require_fresh(
        &self,
        visit: &Visit,
        sensitive: SensitiveAction,
        action: &'static str,
    ) -> Result<Sensitive<CurrentSession>, FlowError> {
        let current = self.sessions.require_session(visit, action).await?;
        if self.fresh_until(&current, sensitive).is_some() {
            return Ok(Sensitive::Show(current));
        }
        Ok(Sensitive::Prove(self.begin_reauthentication(visit, &current, sensitive).await?))
    }

    /// Until when a signed-in person may finish something sensitive; `None` where they prove first who they are.
    pub(in crate::flows) fn fresh_until(
        &self,
        current: &CurrentSession,
        sensitive: SensitiveAction,
    ) -> Option<Timestamp> {
        let proved_at = current.session.proved_at()?;
        fresh_until(sensitive, proved_at, self.core.clock.now())
    }

    /// Leads a signed-in person to prove again who they are, the way that this session was signed in.
    pub(in crate::flows) async fn begin_reauthentication(
        &self,
        visit: &Visit,
        current: &CurrentSession,
        sensitive: SensitiveAction,
    ) -> Result<Answer, FlowError> {
        let purpose = Purpose::Reauthenticate(current.account.id, sensitive);
        let flow = self.interactions.new_flow(Aim::Begin(purpose));
        let Some(connection) = current.session.proof.connection else {
            return self.show_sign_in(visit, &flow).await;
        };
        let hint = current.account.email.as_ref().map(Email::as_str);
        self.begin_upstream(visit, flow, connection, hint).await
    }

    /// How a person proves who they are whose identity provider cannot be made to ask: by the account's password, else
    /// by a code to its proven address.
    pub(in crate::flows) async fn reauthenticate_elsewhere(
        &self,
        visit: &Visit,
        flow: &Flow,
        (account, sensitive): (AccountId, SensitiveAction),
        event: Event,
    ) -> Result<Answer, FlowError> {
        let mut tx = self.core.database.read().await?;
        let Some(account) = accounts::find_account(&mut tx, account).await? else {
            return Err(StoreError::inconsistent("sessions", "account_id", account).into());
        };
        let organization = organizations::find_organization_of(&mut tx, &account).await?;
        let has_password = passwords::find_password(&mut tx, account.id).await?.is_some();
        let proof = account_email_proof(&mut tx, &account).await?;
        drop(tx);
        if has_password && may_use_password(&account, organization.as_ref()) {
            return self.show_sign_in(visit, flow).await;
        }
        if proof.is_proven() && self.mails.sends_mail() {
            return Ok(Answer::to(NextPage::MailCode(sensitive)));
        }
        Err(refused(event, PublicCode::CannotAskAnew, Reason::IdpCannotBeForced))
    }
}
