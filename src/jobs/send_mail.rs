//! Sends a mail.

use super::worker::Job;
use crate::flows::Broker;
use crate::flows::mail::MailToSend;
use crate::flows::queue::{ClaimedJob, Failure};
use crate::store::{StoreError, Tx};

/// Sends a mail that a use case has queued. If it is sent twice, after a crash, both copies have the same message id.
pub struct SendMail;

impl Job for SendMail {
    type Payload = MailToSend;

    async fn run(&self, broker: &Broker, mail: &MailToSend) -> Result<(), Failure> {
        broker.mails.send_mail(mail).await
    }

    async fn given_up(
        &self,
        broker: &Broker,
        tx: &mut Tx,
        job: &ClaimedJob,
        mail: Option<&MailToSend>,
    ) -> Result<(), StoreError> {
        broker.mails.note_unsent_mail(tx, job, mail).await
    }
}
