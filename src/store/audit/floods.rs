//! Floods of refusals before any proof. Each minute, a limited number have a record of their own; one record counts
//! the rest.
//!
//! Refusals are counted by the network they come from, or by the account they are aimed at. Each has its own limit, so
//! that noise from many networks cannot hide guesses at an account. The counters are kept for an hour
//! (`housekeeping`).

use std::collections::BTreeMap;

use super::{AuditRecord, insert_audit};
use crate::store::engine::tx::{execute, fetch_optional, row, statements};
use crate::store::{StoreError, Tx};

statements! {
    COUNT = "INSERT INTO audit_floods (reason, network, minute, refusals, counted) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (reason, network, minute) DO UPDATE SET \
             refusals = audit_floods.refusals + excluded.refusals, counted = audit_floods.counted + excluded.counted \
             RETURNING refusals, counted, audit_id";
    FIND = "SELECT refusals, counted, audit_id FROM audit_floods WHERE reason = $1 AND network = $2 AND minute = $3";
    NAME = "UPDATE audit_floods SET audit_id = $4 WHERE reason = $1 AND network = $2 AND minute = $3";
    UPDATE_SUMMARY = "UPDATE audit SET detail = $2 WHERE id = $1";
}

/// The key by which a refusal is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Source {
    /// The networks that it came from, narrowest first, or the one account that it was aimed at.
    pub levels: Vec<Level>,
    /// Which of the two it is.
    pub kind: SourceKind,
    /// About how many refusals a minute, of all reasons and sources of this kind, have records of their own in one
    /// organization's log or in the operator's. The limit keeps a flood from filling the disk on which decisions must
    /// be recorded.
    pub all: i64,
}

/// A network or an account, as a counter names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Level {
    /// Its name in the counters.
    pub tag: String,
    /// How many refusals a minute, for one reason, have a record of their own.
    pub room: i64,
}

/// The kind of key by which refusals are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceKind {
    /// By the network that they came from.
    Network,
    /// By the account that they were aimed at.
    Account,
}

impl SourceKind {
    fn one(self, record: &AuditRecord) -> String {
        match (self, &record.detail) {
            (Self::Network, _) => "from this network".to_owned(),
            (Self::Account, None) => "at this account".to_owned(),
            (Self::Account, Some(which)) => format!("at this account ({which})"),
        }
    }

    const fn all(self) -> &'static str {
        match self {
            Self::Network => "from all networks",
            Self::Account => "at all accounts",
        }
    }

    /// The tag that stands for all sources of this kind.
    const fn everybody(self) -> &'static str {
        match self {
            Self::Network => "*",
            Self::Account => "*accounts ",
        }
    }
}

/// The reason that stands for all reasons.
const ALL: &str = "*";

row! {
    struct FloodRow {
        /// Refusals that were written one by one.
        refusals: i64,
        /// Refusals that were counted in memory.
        counted: i64,
        audit_id: Option<String>,
    }
}

impl FloodRow {
    /// How many refusals have no record of their own, if `room` of them have.
    fn beyond(&self, room: i64) -> i64 {
        self.refusals - self.refusals.min(room) + self.counted
    }
}

/// A counter: a reason, a tag, and the minute.
#[derive(Clone, Copy)]
struct Counter<'a> {
    reason: &'a str,
    tag: &'a str,
    minute: i64,
}

/// Records a refusal before any proof. It gets a record of its own while the limit allows; then the record that counts
/// the rest of its reason, source and minute includes it. If the organization's log has reached its limit, one record
/// counts for all sources.
pub async fn insert_anonymous_refusal(
    tx: &mut Tx,
    record: &AuditRecord,
    source: &Source,
) -> Result<(), StoreError> {
    let everybody = everybody(record, source.kind);
    if is_full(tx, record, source, &everybody).await? {
        return count_for_all(tx, record, source.kind, &everybody, (1, 0)).await;
    }
    let Some((narrowest, wider)) = source.levels.split_first() else { return insert_audit(tx, record).await };
    for level in wider.iter().rev() {
        let counter = counter(record, &level.tag);
        let found = fetch_optional!(tx, FloodRow, FIND, counter.reason, counter.tag, counter.minute)?;
        if found.is_some_and(|found| found.refusals >= level.room) {
            return count_and_summarize(tx, record, (counter, level.room), (1, 0), &source.kind.one(record))
                .await
                .map(drop);
        }
    }
    let at_narrowest = counter(record, &narrowest.tag);
    let flood = count(tx, at_narrowest, (1, 0)).await?;
    if flood.refusals > narrowest.room {
        let beyond = flood.beyond(narrowest.room);
        return summarize(tx, record, at_narrowest, flood.audit_id, beyond, &source.kind.one(record))
            .await
            .map(drop);
    }
    for level in wider {
        count(tx, counter(record, &level.tag), (1, 0)).await?;
    }
    count(tx, Counter { reason: ALL, ..counter(record, &everybody) }, (1, 0)).await?;
    insert_audit(tx, record).await
}

/// Records that a number of refusals like `record` came from a source and were counted in memory. Returns whether the
/// record that says so is new; [`count_records_of_all`] must then count the new ones.
pub async fn count_anonymous_refusals(
    tx: &mut Tx,
    record: &AuditRecord,
    source: &Source,
    times: i64,
) -> Result<bool, StoreError> {
    let everybody = everybody(record, source.kind);
    let narrowest = source.levels.first();
    let (Some(level), false) = (narrowest, is_full(tx, record, source, &everybody).await?) else {
        count_for_all(tx, record, source.kind, &everybody, (0, times)).await?;
        return Ok(false);
    };
    let counting = (counter(record, &level.tag), level.room);
    count_and_summarize(tx, record, counting, (0, times), &source.kind.one(record)).await
}

/// Counts new records against the limit over all sources. It does so in a fixed order, so that transactions that lock
/// these counters cannot deadlock.
pub async fn count_records_of_all(tx: &mut Tx, new: &[(&AuditRecord, SourceKind)]) -> Result<(), StoreError> {
    let mut counters: BTreeMap<(String, i64), i64> = BTreeMap::new();
    for (record, kind) in new {
        let tag = everybody(record, *kind);
        let minute = counter(record, &tag).minute;
        *counters.entry((tag, minute)).or_default() += 1;
    }
    for ((tag, minute), records) in counters {
        count(tx, Counter { reason: ALL, tag: &tag, minute }, (records, 0)).await?;
    }
    Ok(())
}

fn counter<'a>(record: &'a AuditRecord, tag: &'a str) -> Counter<'a> {
    let reason = record.reason.as_deref().unwrap_or_default();
    Counter { reason, tag, minute: record.at.unix_seconds().div_euclid(60) }
}

/// The tag that stands for all sources of a kind in the log of a record.
fn everybody(record: &AuditRecord, kind: SourceKind) -> String {
    let organization = record.organization.map(|id| id.to_string()).unwrap_or_default();
    format!("{}{organization}", kind.everybody())
}

/// Whether the log has reached its limit for records of this kind in this minute.
async fn is_full(
    tx: &mut Tx,
    record: &AuditRecord,
    source: &Source,
    everybody: &str,
) -> Result<bool, StoreError> {
    let minute = counter(record, everybody).minute;
    let written = fetch_optional!(tx, FloodRow, FIND, ALL, everybody, minute)?;
    Ok(written.is_some_and(|written| written.refusals >= source.all))
}

/// Counts a refusal in the one record that stands for all sources of a kind.
async fn count_for_all(
    tx: &mut Tx,
    record: &AuditRecord,
    kind: SourceKind,
    everybody: &str,
    more: (i64, i64),
) -> Result<(), StoreError> {
    count_and_summarize(tx, record, (counter(record, everybody), 0), more, kind.all()).await.map(drop)
}

/// Counts more refusals and writes the count to the counter's record. Returns whether that record is new.
async fn count_and_summarize(
    tx: &mut Tx,
    record: &AuditRecord,
    (counter, room): (Counter<'_>, i64),
    more: (i64, i64),
    source: &str,
) -> Result<bool, StoreError> {
    let flood = count(tx, counter, more).await?;
    let beyond = flood.beyond(room);
    summarize(tx, record, counter, flood.audit_id, beyond, source).await
}

/// Counts more refusals: some that came one by one, and some that were counted in memory.
async fn count(
    tx: &mut Tx,
    counter: Counter<'_>,
    (refusals, counted): (i64, i64),
) -> Result<FloodRow, StoreError> {
    let Counter { reason, tag, minute } = counter;
    let row = fetch_optional!(tx, FloodRow, COUNT, reason, tag, minute, refusals, counted)?;
    row.ok_or_else(|| StoreError::inconsistent("audit_floods", "refusals", tag))
}

/// Writes the record that counts a flood, or updates its number. Returns whether the record is new.
async fn summarize(
    tx: &mut Tx,
    record: &AuditRecord,
    Counter { reason, tag, minute }: Counter<'_>,
    summary: Option<String>,
    beyond: i64,
    source: &str,
) -> Result<bool, StoreError> {
    let detail = format!("{beyond} further refusals {source} in this minute");
    if let Some(id) = summary {
        execute!(tx, UPDATE_SUMMARY, id, detail)?;
        return Ok(false);
    }
    let summary = AuditRecord { receipt: None, detail: Some(detail), ..record.clone() };
    insert_audit(tx, &summary).await?;
    execute!(tx, NAME, reason, tag, minute, summary.id.to_string())?;
    Ok(true)
}
