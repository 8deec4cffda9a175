//! The audit log leaves the database by whole days: a day that is old enough is written to a file, and only what stands in
//! that file, word for word, is removed. Each step may be the last before a crash; the next run goes on from what it finds.

mod day_file;

use std::path::PathBuf;
use std::time::Duration;

use super::Broker;
use super::evidence::Event;
use super::manage::AuditLine;
use crate::crypto::random;
use crate::model::{AuditId, Day};
use crate::policy::audit_days::is_due;
use crate::store::audit_days::{delete_records, find_first_day, list_records_of_day};
use crate::store::turns::{end_turn, take_turn};
use crate::store::{StoreError, Tx};
use day_file::{DayFile, Seal};

/// Records that are read, written and removed at once.
const PAGE: usize = 1_000;

/// The job, as whose turn it is says.
const JOB: &str = "export_audit";

/// How long a turn lasts; each page begins it anew.
const TURN: Duration = Duration::from_mins(10);

/// How long the audit log is kept in the database.
#[derive(Debug, Clone)]
pub struct Term {
    /// For how long, from the end of a day on.
    pub keep: Duration,
    /// Where exported days go.
    pub folder: PathBuf,
}

/// A day that has left the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemovedDay {
    /// Which.
    pub day: Day,
    /// The records in its file.
    pub records: u64,
}

/// Why a day stays in the audit log, or part of it does.
#[derive(Debug, thiserror::Error)]
pub enum AuditDayError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder or the file.
    #[error("{path}: {error}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// There is a file of this day, and it does not hold a record that is in the database.
    #[error("{path} does not hold the record {record} as the database has it", path = .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The record.
        record: AuditId,
    },
    /// Another node has taken the turn.
    #[error("another node does this now")]
    NotOurTurn,
    /// Rows came or went between reading and removing.
    #[error("records of {0} came or went meanwhile")]
    Changed(Day),
}

impl Broker {
    /// Exports and removes all days that are older than the term, if there is one and no other node does it at this
    /// moment. A day that cannot be exported stays, and the log says what to do.
    pub async fn export_old_days(&self) -> Result<Vec<RemovedDay>, AuditDayError> {
        let Some(term) = &self.settings.audit_term else { return Ok(Vec::new()) };
        let holder = random::token(&*self.random);
        let exported = self.export_days(term, holder.expose()).await;
        let mut tx = self.database.write().await?;
        end_turn(&mut tx, JOB, holder.expose()).await?;
        tx.commit().await?;
        match exported {
            Err(AuditDayError::NotOurTurn) => Ok(Vec::new()),
            exported => exported,
        }
    }

    async fn export_days(&self, term: &Term, holder: &str) -> Result<Vec<RemovedDay>, AuditDayError> {
        let (mut removed, mut from) = (Vec::new(), None);
        loop {
            let first = find_first_day(&mut self.database.read().await?, from).await?;
            let Some(day) = first.filter(|day| is_due(*day, term.keep, self.clock.now())) else {
                return Ok(removed);
            };
            self.hold_turn(holder).await?;
            let file = DayFile::new(&term.folder, day);
            let outcome = match self.export_day(&file, day, holder).await {
                Ok(()) => self.remove_day(&file, day, holder).await,
                Err(error) => Err(error),
            };
            match outcome {
                Ok(records) => removed.push(RemovedDay { day, records }),
                Err(AuditDayError::Missing { path, record }) => tracing::error!(
                    %day, file = %path.display(), %record,
                    "this day stays in the audit log: its file does not hold all of its records; move the file away, and the day is exported anew"
                ),
                Err(error @ AuditDayError::File { .. }) => {
                    tracing::error!(
                        %day, %error,
                        "this day stays in the audit log: it could not be exported; give the broker room in audit.export_folder and leave to write there"
                    );
                    return Ok(removed);
                }
                Err(error) => return Err(error),
            }
            from = Some(Day::of(day.ends()));
        }
    }

    /// Writes a day to its file, unless there is one.
    async fn export_day(&self, file: &DayFile, day: Day, holder: &str) -> Result<(), AuditDayError> {
        if file.exists()? {
            return Ok(());
        }
        let mut draft = file.draft(&*self.random).await?;
        let mut after = None;
        loop {
            let records = self.page(day, after, PAGE).await?;
            let Some(last) = records.last() else { break };
            after = Some(last.0);
            draft.write(records.iter().map(|(_, line)| line.as_str())).await?;
            self.hold_turn(holder).await?;
        }
        draft.finish().await
    }

    /// Removes the records of a day that stand in its file, in short transactions; gives how many the file has. The last
    /// of them records it.
    async fn remove_day(&self, file: &DayFile, day: Day, holder: &str) -> Result<u64, AuditDayError> {
        let (seal, mut lines) = file.open().await?;
        loop {
            // One more than is removed at once: whether these are the last.
            let mut records = self.page(day, None, PAGE + 1).await?;
            let is_more = records.len() > PAGE;
            records.truncate(PAGE);
            for (id, line) in &records {
                lines.expect(*id, line).await?;
            }
            let mut tx = self.database.write().await?;
            self.hold_turn_in(&mut tx, holder).await?;
            let (Some((first, _)), Some((last, _))) = (records.first(), records.last()) else {
                return Err(AuditDayError::Changed(day));
            };
            let deleted = delete_records(&mut tx, *first, *last).await?;
            if usize::try_from(deleted) != Ok(records.len()) {
                return Err(AuditDayError::Changed(day));
            }
            if !is_more {
                self.record_removal(&mut tx, day, &seal).await?;
            }
            tx.commit().await?;
            if !is_more {
                return Ok(seal.records);
            }
        }
    }

    /// Records of a day, each as its line in the export.
    async fn page(
        &self,
        day: Day,
        after: Option<AuditId>,
        limit: usize,
    ) -> Result<Vec<(AuditId, String)>, AuditDayError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let records = list_records_of_day(&mut self.database.read().await?, day, after, limit).await?;
        let lines = records.into_iter().map(|record| {
            let id = record.id;
            let line = serde_json::to_string(&AuditLine::from(record))
                .map_err(|_| StoreError::inconsistent("audit", "id", id))?;
            Ok((id, line))
        });
        lines.collect()
    }

    async fn record_removal(&self, tx: &mut Tx, day: Day, seal: &Seal) -> Result<(), StoreError> {
        let detail = format!("day={day} records={} sha256={}", seal.records, seal.sha256);
        let event = Event { detail: Some(detail), ..Event::new("audit.remove_day") };
        self.record_success(tx, &event).await
    }

    async fn hold_turn(&self, holder: &str) -> Result<(), AuditDayError> {
        let mut tx = self.database.write().await?;
        self.hold_turn_in(&mut tx, holder).await?;
        Ok(tx.commit().await?)
    }

    async fn hold_turn_in(&self, tx: &mut Tx, holder: &str) -> Result<(), AuditDayError> {
        let is_ours = take_turn(tx, JOB, holder, self.clock.now(), TURN).await?;
        if is_ours { Ok(()) } else { Err(AuditDayError::NotOurTurn) }
    }
}
