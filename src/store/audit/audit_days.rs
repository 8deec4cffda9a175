//! Whole days of the audit log: reading them by the time in their records' ids, and removing them after their export;
//! and the files to which they were exported. An id is never earlier than its record, so every record belongs to
//! exactly one day.

use super::{AuditRecord, AuditRow};
use crate::model::{AuditId, Day};
use crate::store::engine::row::Row;
use crate::store::engine::tx::{execute, execute_many, fetch_many, fetch_optional, row, statements};
use crate::store::{StoreError, Tx};

statements! {
    FIND_FIRST = "SELECT id FROM audit WHERE id >= $1 ORDER BY id LIMIT 1";
    LIST = "SELECT id, organization_id, at, actor, action, outcome, reason, receipt, connection_id, app_id, detail, \
            target_kind, target_id FROM audit WHERE id > $1 AND id < $2 ORDER BY id LIMIT $3";
    DELETE = "DELETE FROM audit WHERE id >= $1 AND id <= $2";
    FIND_EXPORT = "SELECT part, records, sha256 FROM exported_days WHERE day = $1 ORDER BY part DESC LIMIT 1";
    INSERT_EXPORT = "INSERT INTO exported_days (day, part, records, sha256) VALUES ($1, $2, $3, $4)";
}

row! {
    struct IdRow {
        id: String,
    }
}

row! {
    struct ExportRow {
        part: i64,
        records: i64,
        sha256: String,
    }
}

/// The file to which a day, or the rest of a day, was exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// The number of this file among the day's files, from 1.
    pub part: i64,
    /// The number of records in the file: one a line.
    pub records: u64,
    /// The SHA-256 of the file, in hexadecimal digits, as `sha256sum` writes it.
    pub sha256: String,
}

/// The first day that has records, from `from` on.
pub async fn find_first_day(tx: &mut Tx, from: Option<Day>) -> Result<Option<Day>, StoreError> {
    let from = from.map(|day| AuditId::first_at(day.begins()).to_string()).unwrap_or_default();
    let Some(row) = fetch_optional!(tx, IdRow, FIND_FIRST, from)? else { return Ok(None) };
    let id: AuditId = Row { table: "audit", id: &row.id }.parse("id", &row.id)?;
    Ok(Some(Day::of(id.time())))
}

/// Up to `limit` records of a day, oldest first: from its first record, or from the one after `after`.
pub async fn list_records_of_day(
    tx: &mut Tx,
    day: Day,
    after: Option<AuditId>,
    limit: i64,
) -> Result<Vec<AuditRecord>, StoreError> {
    let after = after.unwrap_or_else(|| AuditId::first_at(day.begins())).to_string();
    let end = AuditId::first_at(day.ends()).to_string();
    fetch_many!(tx, AuditRow, LIST, after, end, limit)?.into_iter().map(TryInto::try_into).collect()
}

/// Removes the records from `first` to `last`. Returns how many they were.
pub async fn delete_records(tx: &mut Tx, first: AuditId, last: AuditId) -> Result<u64, StoreError> {
    execute_many!(tx, DELETE, first.to_string(), last.to_string())
}

/// The last file whose records the broker has begun to remove from a day.
pub async fn find_last_export(tx: &mut Tx, day: Day) -> Result<Option<Export>, StoreError> {
    let day = day.to_string();
    let Some(row) = fetch_optional!(tx, ExportRow, FIND_EXPORT, day.clone())? else { return Ok(None) };
    let records =
        u64::try_from(row.records).map_err(|_| Row { table: "exported_days", id: &day }.error("records"))?;
    Ok(Some(Export { part: row.part, records, sha256: row.sha256 }))
}

/// Notes that the broker begins to remove the records that this file holds.
pub async fn insert_export(tx: &mut Tx, day: Day, export: &Export) -> Result<(), StoreError> {
    let records = i64::try_from(export.records).unwrap_or(i64::MAX);
    execute!(tx, INSERT_EXPORT, day.to_string(), export.part, records, &export.sha256).map(drop)
}
