//! The audit log leaves the database by whole days. A day that is old enough is written to a file, and the broker
//! removes only records that are in that file, word for word. Each step may be the last one before a crash; the next
//! run continues from there.

mod day_file;
mod error;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::crypto::random;
use crate::flows::evidence::{AuditLine, Event};
use crate::flows::housekeeping::Housekeeping;
use crate::model::{AuditId, Day};
use crate::policy::audit_days::is_due;
use crate::store::audit::audit_days::{
    Export, delete_records, find_first_day, find_last_export, insert_export, list_records_of_day,
};
use crate::store::jobs::turns::{end_turn, take_turn};
use crate::store::{StoreError, Tx};
use day_file::DayFile;

pub use error::AuditDayError;

/// Records that are read, written and removed at once.
const PAGE: i64 = 1_000;

/// The name of the job in `turns`.
const JOB: &str = "export_audit";

/// How long a turn lasts; each page starts it again.
const TURN: Duration = Duration::from_mins(10);

/// How long the audit log is kept in the database, and where it goes after that.
#[derive(Debug, Clone)]
pub struct Archive {
    /// How long a day is kept, from its end on.
    pub keep: Duration,
    /// Where exported days go.
    pub folder: PathBuf,
}

/// A day that has left the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemovedDay {
    /// The day.
    pub day: Day,
    /// The records in its file.
    pub records: u64,
}

impl Housekeeping {
    /// Exports and removes all days that are older than the term, if there is one and no other node does this now. A
    /// day that cannot be exported stays, and the log says what to do.
    pub async fn export_old_days(&self) -> Result<Vec<RemovedDay>, AuditDayError> {
        let Some(archive) = &self.audit_archive else { return Ok(Vec::new()) };
        let holder = random::token(&*self.core.random);
        let exported = self.export_days(archive, holder.expose()).await;
        let mut tx = self.core.database.write().await?;
        end_turn(&mut tx, JOB, holder.expose()).await?;
        tx.commit().await?;
        match exported {
            Err(AuditDayError::NotOurTurn) => Ok(Vec::new()),
            exported => exported,
        }
    }

    async fn export_days(&self, archive: &Archive, holder: &str) -> Result<Vec<RemovedDay>, AuditDayError> {
        let (mut removed, mut from) = (Vec::new(), None);
        loop {
            // Order matters: until the turn is this node's, another node may remove the day that it finds.
            self.hold_turn(holder).await?;
            let first = find_first_day(&mut self.core.database.read().await?, from).await?;
            let Some(day) = first.filter(|day| is_due(*day, archive.keep, self.core.clock.now())) else {
                return Ok(removed);
            };
            match self.export_day(&archive.folder, day, holder).await {
                Ok(records) => {
                    tracing::info!(%day, records, "a day of the audit log was exported and removed");
                    removed.push(RemovedDay { day, records });
                }
                Err(error) => {
                    let Some(advice) = error.advice() else { return Err(error) };
                    tracing::error!(%day, %error, "{advice}");
                    if error.concerns_all_days() {
                        return Ok(removed);
                    }
                }
            }
            from = Some(Day::of(day.ends()));
        }
    }

    /// Exports a day and removes its records, or continues with that. Gives the number of records in the file.
    async fn export_day(&self, folder: &Path, day: Day, holder: &str) -> Result<u64, AuditDayError> {
        let last = find_last_export(&mut self.core.database.read().await?, day).await?;
        let part = last.as_ref().map_or(1, |export| export.part);
        let file = DayFile::new(folder, day, part);
        if last.is_none() || file.exists()? {
            return self.move_records(&file, last, day, holder).await;
        }
        // The file was moved away, but records of the day are left: they go to a file of their own.
        let file = DayFile::new(folder, day, part.saturating_add(1));
        self.move_records(&file, None, day, holder).await
    }

    /// Moves the records of a day to its file. `begun` is the file as it was when the removal began.
    async fn move_records(
        &self,
        file: &DayFile,
        begun: Option<Export>,
        day: Day,
        holder: &str,
    ) -> Result<u64, AuditDayError> {
        if file.exists()? {
            file.settle().await?;
        } else {
            self.write_day(file, day, holder).await?;
        }
        // Order matters: all records of the day are compared with the file before any of them is removed.
        let export = file.read().await?;
        match &begun {
            Some(begun) if *begun != export => {
                let path = file.path().to_owned();
                return Err(AuditDayError::Altered { path, expected: begun.clone(), found: export });
            }
            _ => {}
        }
        let records = self.check_day(file, day, holder).await?;
        if begun.is_none() && records != export.records {
            return Err(AuditDayError::Count {
                path: file.path().to_owned(),
                lines: export.records,
                records,
            });
        }
        self.remove_day(file, &export, begun.is_some(), day, holder).await?;
        Ok(export.records)
    }

    async fn write_day(&self, file: &DayFile, day: Day, holder: &str) -> Result<(), AuditDayError> {
        let mut draft = file.draft(&*self.core.random).await?;
        let mut after = None;
        loop {
            let records = self.page(day, after).await?;
            // Order matters: up to here, no other node has removed any of the records.
            self.hold_turn(holder).await?;
            let Some(last) = records.last() else { break };
            after = Some(last.0);
            draft.write(records.iter().map(|(_, line)| line.as_str())).await?;
        }
        draft.finish().await
    }

    /// Compares the records of a day with its file. Gives the number of records.
    async fn check_day(&self, file: &DayFile, day: Day, holder: &str) -> Result<u64, AuditDayError> {
        let (mut lines, mut after, mut count) = (file.lines().await?, None, 0);
        loop {
            let records = self.page(day, after).await?;
            self.hold_turn(holder).await?;
            let Some(last) = records.last() else { return Ok(count) };
            after = Some(last.0);
            for (id, line) in &records {
                lines.expect(*id, line).await?;
                count += 1;
            }
        }
    }

    /// Removes the records of a day that are in its file, in short transactions. The first transaction records which
    /// file it is.
    async fn remove_day(
        &self,
        file: &DayFile,
        export: &Export,
        mut has_begun: bool,
        day: Day,
        holder: &str,
    ) -> Result<(), AuditDayError> {
        let mut lines = file.lines().await?;
        loop {
            let records = self.page(day, None).await?;
            let (Some((first, _)), Some((last, _))) = (records.first(), records.last()) else {
                return if has_begun { Ok(()) } else { Err(AuditDayError::Changed(day)) };
            };
            for (id, line) in &records {
                lines.expect(*id, line).await?;
            }
            let mut tx = self.core.database.write_alone().await?;
            self.hold_turn_in(&mut tx, holder).await?;
            let deleted = delete_records(&mut tx, *first, *last).await?;
            if usize::try_from(deleted) != Ok(records.len()) {
                return Err(AuditDayError::Changed(day));
            }
            if !has_begun {
                insert_export(&mut tx, day, export).await?;
                self.record_removal(&mut tx, day, export).await?;
            }
            tx.commit().await?;
            has_begun = true;
        }
    }

    /// Records of a day, each as its line in the export.
    async fn page(&self, day: Day, after: Option<AuditId>) -> Result<Vec<(AuditId, String)>, AuditDayError> {
        let records = list_records_of_day(&mut self.core.database.read().await?, day, after, PAGE).await?;
        let lines = records.into_iter().map(|record| {
            let id = record.id;
            let line = serde_json::to_string(&AuditLine::from(record))
                .map_err(|_| StoreError::inconsistent("audit", "id", id))?;
            Ok((id, line))
        });
        lines.collect()
    }

    async fn record_removal(&self, tx: &mut Tx, day: Day, export: &Export) -> Result<(), StoreError> {
        let detail =
            format!("day={day} part={} records={} sha256={}", export.part, export.records, export.sha256);
        let event = Event { detail: Some(detail), ..Event::new("audit.remove_day") };
        self.core.record_success(tx, &event).await
    }

    async fn hold_turn(&self, holder: &str) -> Result<(), AuditDayError> {
        let mut tx = self.core.database.write().await?;
        self.hold_turn_in(&mut tx, holder).await?;
        Ok(tx.commit().await?)
    }

    async fn hold_turn_in(&self, tx: &mut Tx, holder: &str) -> Result<(), AuditDayError> {
        let is_ours = take_turn(tx, JOB, holder, self.core.clock.now(), TURN).await?;
        if is_ours { Ok(()) } else { Err(AuditDayError::NotOurTurn) }
    }
}
