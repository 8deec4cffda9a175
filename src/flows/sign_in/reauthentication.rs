//! Re-authentication: before something sensitive, the user proves again who they are. They do so by their password, by
//! a forced sign-in at the identity provider, or, where that cannot be forced, by a code that is mailed to the
//! account's proven address.

use crate::flows::evidence::Event;
use crate::flows::interaction::sign_in_event;
use crate::flows::profile::email::account_email_proof;
use crate::flows::refusal::{FlowError, PublicCode, Reason, refused};
use crate::flows::session::CurrentSession;
use crate::flows::sign_in::SignIn;
use crate::flows::visit::{Answer, NextPage, Visit};
use crate::model::{Aim, Email, Purpose, SensitiveAction, Timestamp};
use crate::policy::provider::access::may_use_password;
use crate::policy::sign_in::freshness::{
    Reauthentication, ReauthenticationFacts, fresh_until, reauthentication,
};
use crate::store::account::passwords;

/// Something sensitive. It is shown to a user who proved a moment ago who they are; every other user proves it first.
#[derive(Clone)]
pub enum Sensitive<T> {
    /// The user may see this.
    Show(T),
    /// The user must first prove again who they are; this leads there.
    Prove(Answer),
}

impl SignIn {
    /// The session of a user who proved a moment ago who they are; for every other user, the way to do so.
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
        let by = self.reauthentication_of(&current).await?;
        Ok(Sensitive::Prove(self.reauthenticate(visit, &current, sensitive, by).await?))
    }

    /// Until when a signed-in user may finish something sensitive; `None` where they must first prove again who they
    /// are.
    pub(in crate::flows) fn fresh_until(
        &self,
        current: &CurrentSession,
        sensitive: SensitiveAction,
    ) -> Option<Timestamp> {
        let proved_at = current.session.proved_at()?;
        fresh_until(sensitive, proved_at, self.core.clock.now())
    }

    /// How a signed-in user proves again who they are.
    pub(super) async fn reauthentication_of(
        &self,
        current: &CurrentSession,
    ) -> Result<Reauthentication, FlowError> {
        let CurrentSession { session, account, organization } = current;
        let asks_again = match session.proof.connection {
            Some(connection) if self.sso.can_ask_again(connection).await? => Some(connection),
            Some(_) | None => None,
        };
        let mut tx = self.core.database.read().await?;
        let has_password = passwords::find_password(&mut tx, account.id).await?.is_some()
            && may_use_password(account, organization.as_ref());
        let has_address = self.mails.sends_mail() && account_email_proof(&mut tx, account).await?.is_proven();
        Ok(reauthentication(ReauthenticationFacts { asks_again, has_password, has_address }))
    }

    /// Sends a signed-in user to the page or identity provider where they prove again who they are.
    pub(super) async fn reauthenticate(
        &self,
        visit: &Visit,
        current: &CurrentSession,
        sensitive: SensitiveAction,
        by: Reauthentication,
    ) -> Result<Answer, FlowError> {
        let purpose = Purpose::Reauthenticate(current.account.id, sensitive);
        let flow = self.interactions.new_flow(Aim::Begin(purpose));
        match by {
            Reauthentication::Connection(connection) => {
                let hint = current.account.email.as_ref().map(Email::as_str);
                self.begin_upstream(visit, flow, connection, hint).await
            }
            Reauthentication::Password => self.show_sign_in(visit, &flow).await,
            Reauthentication::MailedCode => Ok(Answer::to(NextPage::MailCode(sensitive))),
            Reauthentication::Impossible => {
                let event = Event {
                    organization: current.account.organization,
                    connection: current.session.proof.connection,
                    ..sign_in_event(&flow)
                };
                Err(refused(event, PublicCode::CannotAskAnew, Reason::IdpCannotBeForced))
            }
        }
    }
}
