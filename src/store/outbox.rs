//! Mails that wait to be sent: written in the transaction of what they tell of, claimed by one worker at a time.

use super::row::{Row, text, time};
use super::tx::{execute, fetch_all, fetch_optional, row, statements};
use super::{StoreError, Tx};
use crate::model::{AccountId, MailId, OrganizationId, Timestamp};

statements! {
    INSERT = "INSERT INTO mails (id, organization_id, account_id, purpose, content_sealed, dedup_key, created_at, \
              next_attempt_at, attempts, claimed_until) VALUES ($1, $2, $3, $4, $5, $6, $7, $7, 0, 0) \
              ON CONFLICT (dedup_key) DO NOTHING";
    FIND_DUE = "SELECT id FROM mails WHERE finished_at IS NULL AND next_attempt_at <= $1 AND claimed_until <= $1 LIMIT 1";
    CLAIM = "UPDATE mails SET claim = $1, claimed_until = $2, attempts = attempts + 1 \
             WHERE finished_at IS NULL AND next_attempt_at <= $3 AND claimed_until <= $3 AND id IN \
             (SELECT id FROM mails WHERE finished_at IS NULL AND next_attempt_at <= $3 AND claimed_until <= $3 \
              ORDER BY next_attempt_at, id LIMIT 16)";
    LIST_CLAIMED = "SELECT id, organization_id, account_id, purpose, content_sealed, dedup_key, created_at, attempts \
                    FROM mails WHERE claim = $1 AND finished_at IS NULL ORDER BY id LIMIT 16";
    FINISH = "UPDATE mails SET finished_at = $3, outcome = $4, content_sealed = '', claimed_until = 0 \
              WHERE id = $1 AND claim = $2 AND finished_at IS NULL";
    RETRY = "UPDATE mails SET next_attempt_at = $3, claimed_until = 0 WHERE id = $1 AND claim = $2 AND finished_at IS NULL";
    COUNT = "INSERT INTO mail_counts (subject, span, began, mails, expires_at) VALUES ($1, $2, $3, 1, $4) \
             ON CONFLICT (subject, span, began) DO UPDATE SET mails = mail_counts.mails + 1 WHERE mail_counts.mails < $5";
    TAKE_BACK = "UPDATE mail_counts SET mails = mails - 1 WHERE subject = $1 AND span = $2 AND began = $3 AND mails > 0";
}

/// A mail as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMail {
    /// Id.
    pub id: MailId,
    /// The organization that it is about.
    pub organization: Option<OrganizationId>,
    /// The account that it is about.
    pub account: Option<AccountId>,
    /// What it is for.
    pub purpose: String,
    /// Recipient and text, sealed.
    pub content_sealed: String,
    /// Of two with the same key, the second is not kept.
    pub dedup_key: Option<String>,
    /// When it was written.
    pub created_at: Timestamp,
    /// How often it was tried, this time included.
    pub attempts: i64,
}

row! {
    struct DueRow {
        id: String,
    }
}

row! {
    struct MailRow {
        id: String,
        organization_id: Option<String>,
        account_id: Option<String>,
        purpose: String,
        content_sealed: String,
        dedup_key: Option<String>,
        created_at: i64,
        attempts: i64,
    }
}

impl TryFrom<MailRow> for StoredMail {
    type Error = StoreError;

    fn try_from(row: MailRow) -> Result<Self, StoreError> {
        let at = Row { table: "mails", id: &row.id };
        Ok(Self {
            id: at.parse("id", &row.id)?,
            organization: at.parse_optional("organization_id", row.organization_id.as_deref())?,
            account: at.parse_optional("account_id", row.account_id.as_deref())?,
            created_at: time(row.created_at),
            attempts: row.attempts,
            purpose: row.purpose,
            content_sealed: row.content_sealed,
            dedup_key: row.dedup_key,
        })
    }
}

/// Keeps a mail until it is sent; `false` when one with its key was kept before.
pub async fn insert_mail(tx: &mut Tx, new: &StoredMail) -> Result<bool, StoreError> {
    let changed = execute!(
        tx,
        INSERT,
        new.id.to_string(),
        text(new.organization.as_ref()),
        text(new.account.as_ref()),
        &new.purpose,
        &new.content_sealed,
        &new.dedup_key,
        new.created_at.unix_micros(),
    )?;
    Ok(changed == 1)
}

/// Counts a mail to `subject` in the span (`hour`, `day`) that began at `began`; `false` when there were `most` already.
pub async fn count_mail(
    tx: &mut Tx,
    subject: &str,
    (span, began, most): (&str, i64, i64),
    expires_at: Timestamp,
) -> Result<bool, StoreError> {
    Ok(execute!(tx, COUNT, subject, span, began, expires_at.unix_micros(), most)? == 1)
}

/// Takes back one that was counted.
pub async fn take_count_back(
    tx: &mut Tx,
    subject: &str,
    (span, began): (&str, i64),
) -> Result<(), StoreError> {
    execute!(tx, TAKE_BACK, subject, span, began).map(drop)
}

/// Whether a mail is due.
pub async fn is_mail_due(tx: &mut Tx, now: Timestamp) -> Result<bool, StoreError> {
    let due = fetch_optional!(tx, DueRow, FIND_DUE, now.unix_micros())?;
    Ok(due.is_some_and(|row| !row.id.is_empty()))
}

/// Claims up to sixteen mails that are due, under a name that nobody else has, until `until`.
pub async fn claim_mails(
    tx: &mut Tx,
    claim: &str,
    until: Timestamp,
    now: Timestamp,
) -> Result<Vec<StoredMail>, StoreError> {
    // The guard stands on the outer statement too: of two workers that chose the same mail, one has it.
    if execute!(tx, CLAIM, claim, until.unix_micros(), now.unix_micros())? == 0 {
        return Ok(Vec::new());
    }
    fetch_all!(tx, MailRow, LIST_CLAIMED, claim)?.into_iter().map(TryInto::try_into).collect()
}

/// A mail was sent or given up: its content goes.
pub async fn finish_mail(
    tx: &mut Tx,
    id: MailId,
    claim: &str,
    outcome: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    execute!(tx, FINISH, id.to_string(), claim, now.unix_micros(), outcome).map(drop)
}

/// A mail is tried again at `at`.
pub async fn retry_mail(tx: &mut Tx, id: MailId, claim: &str, at: Timestamp) -> Result<(), StoreError> {
    execute!(tx, RETRY, id.to_string(), claim, at.unix_micros()).map(drop)
}
