//! Re-authentication by a code that is mailed to the account's proven address.

use crate::crypto::random;
use crate::flows::directory::BrandView;
use crate::flows::evidence::Event;
use crate::flows::mail::OutgoingMail;
use crate::flows::refusal::{FlowError, Mark, PublicCode, Reason, refused};
use crate::flows::session::{CurrentSession, own_event};
use crate::flows::sign_in::SignIn;
use crate::flows::sign_in::reauthentication::Sensitive;
use crate::flows::visit::{Answer, CookieChange, NextPage, Visit};
use crate::mail::Message;
use crate::model::{Email, MAIL_CODE_LIFETIME, SensitiveAction, SessionId};
use crate::store::account::mail_codes::{delete_code, has_code, put_code, try_code};
use crate::store::session::sessions;

/// How many digits a code has.
const CODE_DIGITS: usize = 8;

/// How often it may be tried.
const TRIES: i64 = 10;

/// How many codes an address gets a day, and how many wrong ones it may have, over all accounts.
const CODES_A_DAY: i64 = 5;
const WRONG_TRIES_A_DAY: i64 = 30;

/// What the page shows on which a mailed code is asked for and entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailCodeView {
    /// What its forms prove.
    pub form_token: String,
    /// The organization whose page this is, if it is one's.
    pub brand: Option<BrandView>,
    /// Where the code goes: the account's own address.
    pub email: Email,
    /// Whether a code was sent that works now.
    pub is_sent: bool,
}

/// What came of an entered code.
#[derive(Clone)]
pub enum EnteredCode {
    /// It was the right one; the way on.
    Right(Answer),
    /// It was another one; it may be tried again.
    Wrong,
}

/// A person who may prove by a mailed code who they are.
struct ByMail {
    current: CurrentSession,
    email: Email,
}

impl SignIn {
    /// What the page shows on which a code is asked for and entered.
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

    /// Mails a code; the last one works no more.
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
        let has_room = self.mails.count_by_day(&mut tx, "code", &email, CODES_A_DAY).await?;
        if !has_room || !self.mails.queue_mail(&mut tx, mail).await? {
            return Err(refused(event, PublicCode::TooManyCodes, Reason::CodeLimit));
        }
        self.core.record_success(&mut tx, &event).await?;
        tx.commit().await?;
        Ok(Answer::to(NextPage::MailCode(sensitive)))
    }

    /// Takes an entered code. The right one makes the session one that was proved anew, under another token.
    pub async fn enter_mail_code(
        &self,
        visit: &Visit,
        sensitive: SensitiveAction,
        entered: &str,
    ) -> Result<EnteredCode, FlowError> {
        let ByMail { current, email } = match self.require_by_mail(visit, sensitive, "mail_code").await? {
            Sensitive::Show(by_mail) => by_mail,
            Sensitive::Prove(way) => return Ok(EnteredCode::Right(way)),
        };
        let event = own_event("mail_code", &current);
        let session = current.session.id;
        let digits: String = entered.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
        let now = self.core.clock.now();
        let mut tx = self.core.database.write().await?;
        let Some(tag) = try_code(&mut tx, session, TRIES, now).await? else {
            let over = refused(event, PublicCode::MailCodeOver, Reason::MailCodeOver);
            return Err(over.marking(Mark::ExpireMailCode(session)));
        };
        // Counted before it is compared, so that parallel guesses do not outrun the count.
        if !self.mails.count_by_day(&mut tx, "code-wrong", &email, WRONG_TRIES_A_DAY).await? {
            let limited = refused(event, PublicCode::TooManyCodes, Reason::CodeLimit);
            return Err(limited.marking(Mark::DeleteMailCode(session)));
        }
        if tag != self.code_tag(session, &digits) {
            self.core.record_refusal(&mut tx, &event, Reason::MailCodeWrong).await?;
            tx.commit().await?;
            return Ok(EnteredCode::Wrong);
        }
        self.mails.take_back_by_day(&mut tx, "code-wrong", &email).await?;
        delete_code(&mut tx, session).await?;
        let token = random::token(&*self.core.random);
        let old = visit.session.as_ref().map(|old| random::hash_token(old.expose())).unwrap_or_default();
        let hashes = (old.as_str(), &*random::hash_token(token.expose()));
        if !sessions::confirm_session(&mut tx, session, hashes, now).await? {
            return Err(refused(event, PublicCode::SessionEnded, Reason::SessionEnded));
        }
        self.core.record_success(&mut tx, &event).await?;
        tx.commit().await?;
        Ok(EnteredCode::Right(
            Answer::to(NextPage::Sensitive(sensitive)).with(CookieChange::SetSession(token)),
        ))
    }

    /// What is kept of a code: without the key, nobody who reads the database can try all of them.
    fn code_tag(&self, session: SessionId, code: &str) -> String {
        self.core.network_tag(&format!("mail code:{session}:{code}"))
    }

    /// Whether the signed-in person proves by a mailed code who they are; for others, their way. A code is never an
    /// easier way around a provider that can be made to ask.
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
        let way = self.begin_reauthentication(visit, &current, sensitive).await?;
        match (&way.next, current.account.email.clone()) {
            (NextPage::MailCode(_), Some(email)) => Ok(Sensitive::Show(ByMail { current, email })),
            _ => Ok(Sensitive::Prove(way)),
        }
    }
}
