//! Re-authentication by a code that is mailed to the account's proven address.

use crate::crypto::random;
use crate::flows::directory::BrandView;
use crate::flows::evidence::Event;
use crate::flows::interaction::{Answered, Handled};
use crate::flows::mail::OutgoingMail;
use crate::flows::refusal::{FlowError, Mark, PublicCode, Reason, refused};
use crate::flows::session::{CurrentSession, own_event};
use crate::flows::sign_in::SignIn;
use crate::flows::sign_in::reauthentication::Sensitive;
use crate::flows::visit::{Answer, NextPage, Visit};
use crate::mail::Message;
use crate::model::{
    Aim, Email, Interaction, MAIL_CODE_LIFETIME, Purpose, SensitiveAction, SessionId, SessionStage, Subject,
};
use crate::policy::sign_in::freshness::Reauthentication;
use crate::store::account::mail_codes::{consume_code, has_code, put_code, try_code};

/// How many digits a code has.
const CODE_DIGITS: usize = 8;

/// How often a code may be tried.
const TRIES: i64 = 10;

/// How many codes an address gets a day, and how many wrong codes may be entered for it, over all accounts.
const CODES_A_DAY: i64 = 5;
const WRONG_TRIES_A_DAY: i64 = 30;

/// The facts that the page for a mailed code shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailCodeView {
    /// The token that its forms send back.
    pub form_token: String,
    /// The organization whose page this is, if there is one.
    pub brand: Option<BrandView>,
    /// The address to which the code goes: the account's own.
    pub email: Email,
    /// Whether a code was sent that works now.
    pub is_sent: bool,
}

/// A signed-in user who may prove again who they are by a mailed code.
struct ByMail {
    current: CurrentSession,
    email: Email,
}

impl SignIn {
    /// The page on which the user asks for a code and enters it.
    pub async fn view_mail_code(
        &self,
        visit: &Visit,
        sensitive: SensitiveAction,
    ) -> Result<Sensitive<MailCodeView>, FlowError> {
        let ByMail { current, email } = match self.require_by_mail(visit, sensitive, "mail_code").await? {
            Sensitive::Show(by_mail) => by_mail,
            Sensitive::Prove(way) => return Ok(Sensitive::Prove(way)),
        };
        let session = current.session.id;
        let is_sent = has_code(&mut self.core.database.read().await?, session, self.core.clock.now()).await?;
        let form_token = self.interactions.form_token(&session.to_string());
        let brand = self.core.directory.brand_of(current.organization.as_ref()).await?;
        Ok(Sensitive::Show(MailCodeView { form_token, brand, email, is_sent }))
    }

    /// Mails a code. The code before it no longer works.
    pub async fn send_mail_code(
        &self,
        visit: &Visit,
        sensitive: SensitiveAction,
    ) -> Result<Answer, FlowError> {
        let ByMail { current, email } = match self.require_by_mail(visit, sensitive, "mail_code.send").await?
        {
            Sensitive::Show(by_mail) => by_mail,
            Sensitive::Prove(way) => return Ok(way),
        };
        let CurrentSession { session, account, organization } = &current;
        let event = Event { action: "mail_code.send", ..own_event("mail_code", &current) };
        let now = self.core.clock.now();
        let code = random::digits(&*self.core.random, CODE_DIGITS);
        let mail = OutgoingMail {
            to: email.clone(),
            organization: account.organization,
            account: Some(account.id),
            message: Message::ConfirmCode {
                organization: organization
                    .as_ref()
                    .map_or_else(|| self.core.issuer().to_owned(), |own| own.name.clone()),
                code: code.expose().to_owned(),
            },
            dedup_key: None,
        };
        let mut tx = self.core.database.write().await?;
        let tag = self.code_tag(session.id, code.expose());
        put_code(&mut tx, session.id, &tag, now.after(MAIL_CODE_LIFETIME)).await?;
        if !self.mails.count_by_day(&mut tx, "code", &email, CODES_A_DAY).await? {
            return Err(refused(event, PublicCode::TooManyCodes, Reason::CodeLimit));
        }
        if !self.mails.queue_mail(&mut tx, mail).await? {
            return Err(refused(event, PublicCode::TooManyCodes, Reason::MailLimit));
        }
        self.core.record_success(&mut tx, &event).await?;
        tx.commit().await?;
        Ok(Answer::to(NextPage::MailCode(sensitive)))
    }

    /// Takes an entered code. With the right code, the session continues under another token, and its user counts as
    /// just proved.
    ///
    /// # Errors
    /// A refusal for a wrong code, for a code that has expired or had too many attempts, and for an address to which
    /// too many wrong codes were entered in a day.
    pub async fn enter_mail_code(
        &self,
        visit: &Visit,
        sensitive: SensitiveAction,
        entered: &str,
    ) -> Result<Handled, FlowError> {
        let ByMail { current, email } = match self.require_by_mail(visit, sensitive, "mail_code").await? {
            Sensitive::Show(by_mail) => by_mail,
            Sensitive::Prove(way) => return Ok(way.into()),
        };
        let event = own_event("mail_code", &current);
        let CurrentSession { session, account, .. } = current;
        let tag = self.count_attempt(session.id, &email, &event).await?;
        let digits: String = entered.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
        if tag != self.code_tag(session.id, &digits) {
            return Err(refused(event, PublicCode::MailCodeWrong, Reason::MailCodeWrong));
        }
        let purpose = Purpose::Reauthenticate(account.id, sensitive);
        let flow = self.interactions.new_flow(Aim::Begin(purpose.clone()));
        let mut opened = self.interactions.open_for_flow(&flow, None).await?;
        // Order matters: the code before the counter, as where an attempt is counted.
        if !consume_code(&mut opened.0, session.id, &tag).await? {
            return Err(refused(event, PublicCode::MailCodeOver, Reason::MailCodeOver));
        }
        self.mails.take_back_by_day(&mut opened.0, "code-wrong", &email).await?;
        let subject = Subject::Account { account: account.id, proof: session.proof };
        let interaction = Interaction {
            session: SessionStage::Confirmed(session.id),
            ..Interaction::new(flow.id, purpose, subject)
        };
        Ok(Answered { account: Some(account), ..Answered::new(opened, interaction, event) }.into())
    }

    /// Counts an attempt at the code of a session before it is compared, so that parallel attempts do not outrun the
    /// count. Returns the tag of the code.
    async fn count_attempt(
        &self,
        session: SessionId,
        email: &Email,
        event: &Event,
    ) -> Result<String, FlowError> {
        let mut tx = self.core.database.write().await?;
        let Some(tag) = try_code(&mut tx, session, TRIES, self.core.clock.now()).await? else {
            let over = refused(event.clone(), PublicCode::MailCodeOver, Reason::MailCodeOver);
            return Err(over.marking(Mark::ExpireMailCode(session)));
        };
        if !self.mails.count_by_day(&mut tx, "code-wrong", email, WRONG_TRIES_A_DAY).await? {
            let limited = refused(event.clone(), PublicCode::TooManyCodes, Reason::CodeLimit);
            return Err(limited.marking(Mark::DeleteMailCode(session)));
        }
        tx.commit().await?;
        Ok(tag)
    }

    /// The tag of a code, which the database keeps. It has a key, so that a reader of the database cannot find the code
    /// by trying all of them.
    fn code_tag(&self, session: SessionId, code: &str) -> String {
        self.core.network_tag(&format!("mail code:{session}:{code}"))
    }

    /// The signed-in user, if a mailed code is their way to prove again who they are. For every other user, the page or
    /// upstream request that is. A code never replaces an identity provider that can be made to ask.
    async fn require_by_mail(
        &self,
        visit: &Visit,
        sensitive: SensitiveAction,
        action: &'static str,
    ) -> Result<Sensitive<ByMail>, FlowError> {
        let current = self.sessions.require_session(visit, action).await?;
        if self.fresh_until(&current, sensitive).is_some() {
            return Ok(Sensitive::Prove(Answer::to(NextPage::Sensitive(sensitive))));
        }
        match (self.reauthentication_of(&current).await?, current.account.email.clone()) {
            (Reauthentication::MailedCode, Some(email)) => Ok(Sensitive::Show(ByMail { current, email })),
            (other, _) => Ok(Sensitive::Prove(self.reauthenticate(visit, &current, sensitive, other).await?)),
        }
    }
}
