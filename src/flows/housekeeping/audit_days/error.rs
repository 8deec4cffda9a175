//! The errors that keep a day in the audit log, and what the operator can do about them.

use std::io;
use std::path::PathBuf;

use crate::model::{AuditId, Day};
use crate::store::StoreError;
use crate::store::audit::audit_days::Export;

/// Why a day, or a part of it, stays in the audit log.
#[derive(Debug, thiserror::Error)]
pub enum AuditDayError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder or the file.
    #[error("{path}: {error}", path = .path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },
    /// The file could not get its name, as the file system has no hard links.
    #[error("{path}: {error}", path = .path.display())]
    NoHardLinks {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },
    /// A folder, a symbolic link or the like has the name of the file.
    #[error("{path} is not a regular file", path = .0.display())]
    NotAFile(PathBuf),
    /// The file does not hold a record that is in the database.
    #[error("{path} does not hold the record {record} as the database has it", path = .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The record.
        record: AuditId,
    },
    /// Nothing has been removed yet, and the file has more lines than the day has records.
    #[error("{path} has {lines} lines, and the day has {records} records", path = .path.display())]
    Count {
        /// The file.
        path: PathBuf,
        /// Its lines.
        lines: u64,
        /// The records of the day in the database.
        records: u64,
    },
    /// Some records were removed, and the file is no longer the one that holds them.
    #[error(
        "{path} has {} lines and the SHA-256 {}; when the broker began to remove its records, it had {} and {}",
        .found.records, .found.sha256, .expected.records, .expected.sha256, path = .path.display()
    )]
    Altered {
        /// The file.
        path: PathBuf,
        /// The file as it was.
        expected: Export,
        /// The file as it is.
        found: Export,
    },
    /// Another node has taken the turn.
    #[error("another node is doing this now")]
    NotOurTurn,
    /// Records were added or removed between reading and removing.
    #[error("records of {0} came or went meanwhile")]
    Changed(Day),
}

impl AuditDayError {
    /// The advice to the operator in the log; `None` if the operator cannot fix the problem.
    pub(super) const fn advice(&self) -> Option<&'static str> {
        match self {
            Self::File { .. } => Some(
                "The broker could not write this day's file, so the day stays in the audit log. Free space in audit.export_folder, and let the broker's user write there.",
            ),
            Self::NoHardLinks { .. } => Some(
                "The broker could not give this day's file its name, so the day stays in the audit log: the file system of audit.export_folder must support hard links.",
            ),
            Self::NotAFile(_) => Some(
                "This day's file is not a regular file, so the day stays in the audit log. Move it away; the broker then exports the day again.",
            ),
            Self::Missing { .. } | Self::Count { .. } => Some(
                "This day's file does not hold the same records as the database, so the day stays in the audit log. Move the file away; the broker then exports the day again.",
            ),
            Self::Altered { .. } => Some(
                "This day's file has changed since the broker began to remove its records, so the rest of the day stays in the audit log. Put the file back as it was. If you cannot, move it away; the broker then exports the rest of the day to another file.",
            ),
            Self::Store(_) | Self::NotOurTurn | Self::Changed(_) => None,
        }
    }

    /// Whether the next day would fail in the same way.
    pub(super) const fn concerns_all_days(&self) -> bool {
        matches!(self, Self::File { .. } | Self::NoHardLinks { .. })
    }
}
