//! How many mails an address was sent for a purpose, by hour and by day. The address is kept as a keyed tag.

use crate::model::Timestamp;
use crate::store::engine::tx::{execute, statements};
use crate::store::{StoreError, Tx};

statements! {
    COUNT = "INSERT INTO mail_counts (subject, span, began, mails, expires_at) VALUES ($1, $2, $3, 1, $4) \
             ON CONFLICT (subject, span, began) DO UPDATE SET mails = mail_counts.mails + 1 WHERE mail_counts.mails < $5";
    TAKE_BACK = "UPDATE mail_counts SET mails = mails - 1 WHERE subject = $1 AND span = $2 AND began = $3 AND mails > 0";
}

/// Counts a mail to `subject` in the span (`hour`, `day`) that began at `began`. `false` if `most` were counted
/// already.
pub async fn count_mail(
    tx: &mut Tx,
    subject: &str,
    (span, began, most): (&str, i64, i64),
    expires_at: Timestamp,
) -> Result<bool, StoreError> {
    Ok(execute!(tx, COUNT, subject, span, began, expires_at.unix_micros(), most)? == 1)
}

/// Takes back one counted mail.
pub async fn take_count_back(
    tx: &mut Tx,
    subject: &str,
    (span, began): (&str, i64),
) -> Result<(), StoreError> {
    execute!(tx, TAKE_BACK, subject, span, began).map(drop)
}
