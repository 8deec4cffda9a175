//! Mails to users. A mail is a job, queued in the transaction of the change that it reports. The first free node sends
//! it afterwards.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::flows::core::Core;
use crate::flows::evidence::Event;
use crate::flows::queue::{About, ClaimedJob, Failure, Payload};
use crate::flows::refusal::{FlowError, Reason};
use crate::mail::{Letter, Mailer, Message, SendError};
use crate::model::{AccountId, Email, MailId, OrganizationId, Timestamp};
use crate::store::limits::mail_counts::{count_mail, take_count_back};
use crate::store::{StoreError, Tx};

/// A day: its name in counters, and its length in seconds.
const DAY: (&str, u64) = ("day", 86_400);

/// The most mails that an address gets for one purpose: the name of a span, its length in seconds, and the number.
const LIMITS: [(&str, u64, i64); 2] = [("hour", 3_600, 5), (DAY.0, DAY.1, 20)];

/// A mail that is to be sent.
pub struct OutgoingMail {
    /// The recipient.
    pub to: Email,
    /// The organization that it is about.
    pub organization: Option<OrganizationId>,
    /// The account that it is about.
    pub account: Option<AccountId>,
    /// The message.
    pub message: Message,
    /// Of two mails with the same key, one is sent.
    pub dedup_key: Option<String>,
}

/// A mail as it waits in the queue.
#[derive(Serialize, Deserialize)]
pub struct MailToSend {
    id: MailId,
    letter: Letter,
}

impl Payload for MailToSend {
    const NAME: &'static str = "send_mail";
    const VERSION: i64 = 1;

    fn useful_for(&self) -> Duration {
        self.letter.message.useful_for()
    }
}

/// The service that queues and sends mails to users.
pub struct Mails {
    core: Arc<Core>,
    mailer: Mailer,
}

impl Mails {
    /// The service, on the shared core and the mailer.
    pub(in crate::flows) fn new(core: &Arc<Core>, mailer: Mailer) -> Self {
        Self { core: Arc::clone(core), mailer }
    }

    /// Queues a mail in the caller's transaction. `false` when it is not queued: no mail is configured, its key was
    /// queued before, or its recipient has had too many, which is recorded.
    pub async fn queue_mail(&self, tx: &mut Tx, mail: OutgoingMail) -> Result<bool, FlowError> {
        if !self.mailer.is_configured() {
            return Ok(false);
        }
        let OutgoingMail { to, organization, account, message, dedup_key } = mail;
        let (now, purpose) = (self.core.clock.now(), message.purpose());
        let event = Event {
            organization,
            actor: account.map(Into::into),
            detail: Some(format!("purpose={purpose}")),
            ..Event::new("mail")
        };
        // Each organization has its own count, so that one cannot use up the mails of another.
        if !self.has_room_for_mail(tx, (&to, organization), purpose, now).await? {
            self.core.record_refusal(tx, &event, Reason::MailLimit).await?;
            return Ok(false);
        }
        let mail = MailToSend { id: MailId::new(now, &*self.core.random), letter: Letter { to, message } };
        self.core.queue.enqueue(tx, &mail, About { organization, account, dedup_key }).await
    }

    async fn has_room_for_mail(
        &self,
        tx: &mut Tx,
        (to, organization): (&Email, Option<OrganizationId>),
        purpose: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let about = organization.map(|organization| organization.to_string()).unwrap_or_default();
        let subject = self.mail_subject("mail", &format!("{purpose}:{about}:"), to);
        for (span, length, most) in LIMITS {
            let (began, expires_at) = span_of(length, now);
            if !count_mail(tx, &subject, (span, began, most), expires_at).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Counts one more `what` for an address today; `false` if it has reached `most`.
    pub(super) async fn count_by_day(
        &self,
        tx: &mut Tx,
        what: &str,
        address: &Email,
        most: i64,
    ) -> Result<bool, StoreError> {
        let (began, expires_at) = span_of(DAY.1, self.core.clock.now());
        count_mail(tx, &self.mail_subject(what, "", address), (DAY.0, began, most), expires_at).await
    }

    /// Takes back a count of [`Self::count_by_day`].
    pub(super) async fn take_back_by_day(
        &self,
        tx: &mut Tx,
        what: &str,
        address: &Email,
    ) -> Result<(), StoreError> {
        let (began, _) = span_of(DAY.1, self.core.clock.now());
        take_count_back(tx, &self.mail_subject(what, "", address), (DAY.0, began)).await
    }

    /// The key under which an address is counted. It is a keyed tag, so that the counters contain no address.
    fn mail_subject(&self, what: &str, purpose: &str, address: &Email) -> String {
        self.core.network_tag(&format!("{what}:{purpose}{}", address.canonical()))
    }

    /// Whether mail is configured.
    pub fn sends_mail(&self) -> bool {
        self.mailer.is_configured()
    }

    /// Sends a mail. If it is sent again, it has the same message id, and is the same file.
    pub async fn send_mail(&self, mail: &MailToSend) -> Result<(), Failure> {
        let sent = self.mailer.send(mail.id, &mail.letter, self.core.clock.now()).await;
        sent.map_err(|error| match error {
            SendError::Permanent(_) => Failure::lasting("refused", error.to_string()),
            SendError::Passing(_) => Failure::passing("not_now", error.to_string()),
        })
    }

    /// Records that a mail was given up, in the transaction that gives it up. `mail` is `None` if it cannot be read.
    pub async fn note_unsent_mail(
        &self,
        tx: &mut Tx,
        job: &ClaimedJob,
        mail: Option<&MailToSend>,
    ) -> Result<(), StoreError> {
        let event = Event {
            organization: job.organization(),
            actor: job.account().map(Into::into),
            detail: mail.map(|mail| format!("purpose={}", mail.letter.message.purpose())),
            ..Event::new("mail")
        };
        self.core.record_refusal(tx, &event, Reason::MailGivenUp).await
    }

    /// Tests whether mails can be sent, for `check`.
    pub(in crate::flows) async fn probe_mail(&self) -> Result<String, String> {
        self.mailer.probe().await
    }
}

/// The number of the span of `length` seconds that `now` is in, and the time until which its counts are kept.
fn span_of(length: u64, now: Timestamp) -> (i64, Timestamp) {
    let seconds = u64::try_from(now.unix_seconds()).unwrap_or(0);
    (i64::try_from(seconds / length).unwrap_or(0), now.after(Duration::from_secs(length)))
}
