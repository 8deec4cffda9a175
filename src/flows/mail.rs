//! Telling people: a mail is kept in the transaction of what it tells of, and sent afterwards, by whichever node is first.

use std::time::Duration;

use super::Broker;
use super::error::FlowError;
use super::evidence::Event;
use crate::crypto::random;
use crate::crypto::seal::Purpose;
use crate::mail::{Letter, Message, SendError};
use crate::model::{AccountId, Email, MailId, OrganizationId, Timestamp};
use crate::store::outbox::{
    StoredMail, claim_mails, count_mail, finish_mail, insert_mail, is_mail_due, retry_mail, take_count_back,
};
use crate::store::{StoreError, Tx};

/// How long a worker has for the mails that it claimed.
const CLAIM: Duration = Duration::from_mins(2);

/// The first wait before another try, and the longest one.
const RETRY: (Duration, Duration) = (Duration::from_secs(30), Duration::from_hours(2));

/// A day, as counters name it, and its seconds.
const DAY: (&str, u64) = ("day", 86_400);

/// Mails that an address gets at most for one purpose: spans in seconds, and how many.
const LIMITS: [(&str, u64, i64); 2] = [("hour", 3_600, 5), (DAY.0, DAY.1, 20)];

/// A mail that is to be sent.
pub struct OutgoingMail {
    /// To whom.
    pub to: Email,
    /// The organization that it is about.
    pub organization: Option<OrganizationId>,
    /// The account that it is about.
    pub account: Option<AccountId>,
    /// What it says.
    pub message: Message,
    /// Of two with the same key, one is sent.
    pub dedup_key: Option<String>,
}

impl Broker {
    /// Keeps a mail in the caller's transaction. `false` when it is not kept: no mail is configured, or its recipient has
    /// had too many, which is recorded.
    pub async fn queue_mail(&self, tx: &mut Tx, mail: OutgoingMail) -> Result<bool, FlowError> {
        if !self.mailer.is_configured() {
            return Ok(false);
        }
        let OutgoingMail { to, organization, account, message, dedup_key } = mail;
        let (now, purpose) = (self.clock.now(), message.purpose());
        let event = Event {
            organization,
            actor: account.map(Into::into),
            detail: Some(format!("purpose={purpose}")),
            ..Event::new("mail")
        };
        // Each organization has its own count, so that none uses up what another has to say.
        if !self.has_room_for_mail(tx, (&to, organization), purpose, now).await? {
            self.record_refusal(tx, &event, "mail_limit").await?;
            return Ok(false);
        }
        let id = MailId::new(now, &*self.random);
        let text = serde_json::to_vec(&Letter { to, message })
            .map_err(|_| FlowError::Unavailable("a mail cannot be written".to_owned()))?;
        let stored = StoredMail {
            id,
            organization,
            account,
            purpose: purpose.to_owned(),
            content_sealed: self.sealer.seal_text(Purpose::PersonalData, &context(id), &text)?,
            dedup_key,
            created_at: now,
            attempts: 0,
        };
        Ok(insert_mail(tx, &stored).await?)
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

    /// Counts one more of what an address may have so often a day; `false` when it has had that many.
    pub(super) async fn count_by_day(
        &self,
        tx: &mut Tx,
        what: &str,
        address: &Email,
        most: i64,
    ) -> Result<bool, StoreError> {
        let (began, expires_at) = span_of(DAY.1, self.clock.now());
        count_mail(tx, &self.mail_subject(what, "", address), (DAY.0, began, most), expires_at).await
    }

    /// Takes back one that was counted a moment ago.
    pub(super) async fn take_back_by_day(
        &self,
        tx: &mut Tx,
        what: &str,
        address: &Email,
    ) -> Result<(), StoreError> {
        let (began, _) = span_of(DAY.1, self.clock.now());
        take_count_back(tx, &self.mail_subject(what, "", address), (DAY.0, began)).await
    }

    /// Under what an address is counted: a keyed tag, so that the counters name nobody.
    fn mail_subject(&self, what: &str, purpose: &str, address: &Email) -> String {
        self.network_tag(&format!("{what}:{purpose}{}", address.canonical()))
    }

    /// Sends what is due, several at once, so that one that hangs holds nobody up; gives how many were sent.
    pub async fn deliver_mails(&self) -> Result<usize, FlowError> {
        let now = self.clock.now();
        if !self.mailer.is_configured() || !is_mail_due(&mut self.database.read().await?, now).await? {
            return Ok(0);
        }
        let claim = random::token(&*self.random).expose().to_owned();
        let mut tx = self.database.write().await?;
        let claimed = claim_mails(&mut tx, &claim, now.after(CLAIM), now).await?;
        tx.commit().await?;
        let mut sending = tokio::task::JoinSet::new();
        for mail in claimed {
            let mailer = std::sync::Arc::clone(&self.mailer);
            let letter = self.open_letter(&mail, now);
            sending.spawn(async move {
                let sent = match letter {
                    Ok(letter) => mailer.send(mail.id, &letter, now).await,
                    Err(error) => Err(error),
                };
                (mail, sent)
            });
        }
        let (mut done, mut failed) = (0, None);
        while let Some(ended) = sending.join_next().await {
            let Ok((mail, sent)) = ended else { continue };
            done += usize::from(sent.is_ok());
            // What was sent is noted for each, so that a fault at one lets no other go out twice.
            failed = self.note_mail(&mail, &claim, sent).await.err().or(failed);
        }
        failed.map_or(Ok(done), |error| Err(error.into()))
    }

    /// What a mail says; refused for good when it is of no use any more.
    fn open_letter(&self, mail: &StoredMail, now: Timestamp) -> Result<Letter, SendError> {
        let broken = || SendError::Permanent("its content cannot be opened".to_owned());
        let text = self.sealer.open_text(Purpose::PersonalData, &context(mail.id), &mail.content_sealed);
        let letter: Letter = serde_json::from_slice(&text.map_err(|_| broken())?).map_err(|_| broken())?;
        if now.since(mail.created_at) >= letter.message.useful_for() {
            return Err(SendError::Permanent("it could not be sent while it was of use".to_owned()));
        }
        Ok(letter)
    }

    /// Notes what has become of a mail: sent, given up, or to be tried again, later each time.
    async fn note_mail(
        &self,
        mail: &StoredMail,
        claim: &str,
        sent: Result<(), SendError>,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut tx = self.database.write().await?;
        match sent {
            Ok(()) => finish_mail(&mut tx, mail.id, claim, "sent", now).await?,
            Err(SendError::Passing(error)) => {
                tracing::warn!(mail = %mail.id, attempts = mail.attempts, error, "a mail was not sent, and is tried again");
                retry_mail(&mut tx, mail.id, claim, now.after(wait(mail.attempts))).await?;
            }
            Err(error) => {
                tracing::warn!(mail = %mail.id, attempts = mail.attempts, %error, "a mail was given up");
                let event = Event {
                    organization: mail.organization,
                    actor: mail.account.map(Into::into),
                    detail: Some(format!("purpose={}", mail.purpose)),
                    ..Event::new("mail")
                };
                self.record_refusal(&mut tx, &event, "mail_given_up").await?;
                finish_mail(&mut tx, mail.id, claim, "given up", now).await?;
            }
        }
        tx.commit().await
    }

    /// Whether mails leave, for `check`.
    pub(in crate::flows) async fn probe_mail(&self) -> Result<String, String> {
        self.mailer.probe().await
    }
}

/// What a mail's content is sealed for.
fn context(id: MailId) -> String {
    format!("mails.content:{id}")
}

/// Which span of so many seconds `now` is in, and when what is counted in it is kept no longer.
fn span_of(length: u64, now: Timestamp) -> (i64, Timestamp) {
    let seconds = u64::try_from(now.unix_seconds()).unwrap_or(0);
    (i64::try_from(seconds / length).unwrap_or(0), now.after(Duration::from_secs(length)))
}

/// How long to wait after so many tries.
fn wait(attempts: i64) -> Duration {
    let (first, longest) = RETRY;
    let doublings = u32::try_from(attempts.clamp(1, 20) - 1).unwrap_or(0);
    first.saturating_mul(2u32.saturating_pow(doublings)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_come_later_each_time_and_never_stop_for_long() {
        assert_eq!([1, 2, 3].map(|attempts| wait(attempts).as_secs()), [30, 60, 120]);
        assert_eq!(wait(9), Duration::from_hours(2));
        assert_eq!(wait(10_000), Duration::from_hours(2));
    }
}
