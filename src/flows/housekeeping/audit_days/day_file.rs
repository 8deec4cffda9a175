//! The file of an exported day: JSON Lines in the order of the records' ids. The broker writes it under another name,
//! and gives it its own name once it is complete and on disk. An existing file is read, never replaced. If records of a
//! day are left after its file was moved away, they go to a further file, with a number in its name.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use serde::Deserialize;
use tokio::fs::{self, File};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, BufWriter, Lines as LinesOf};

use crate::crypto::{private_file, random};
use crate::flows::housekeeping::audit_days::error::AuditDayError;
use crate::model::{AuditId, Day, Random};
use crate::policy::audit_days::{Comparison, Exported, compare};
use crate::store::audit::audit_days::Export;

/// The end of the name of a file that is not complete yet.
const DRAFT: &str = ".part";

/// The place of a day's file.
pub(super) struct DayFile {
    day: Day,
    part: i64,
    folder: PathBuf,
    path: PathBuf,
    name: String,
}

/// A file that is being written.
pub(super) struct Draft<'a> {
    of: &'a DayFile,
    path: PathBuf,
    file: BufWriter<File>,
    is_empty: bool,
}

/// The lines of a file, for comparing records with them in their order.
pub(super) struct Lines<'a> {
    of: &'a DayFile,
    rest: LinesOf<BufReader<File>>,
    current: Option<(String, String)>,
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

impl DayFile {
    /// The first file of a day, or a further one.
    pub(in crate::flows) fn new(folder: &Path, day: Day, part: i64) -> Self {
        let name = if part == 1 { format!("audit-{day}.jsonl") } else { format!("audit-{day}.{part}.jsonl") };
        Self { day, part, folder: folder.to_owned(), path: folder.join(&name), name }
    }

    pub(in crate::flows) fn path(&self) -> &Path {
        &self.path
    }

    fn failed(&self, error: io::Error) -> AuditDayError {
        AuditDayError::File { path: self.path.clone(), error }
    }

    /// The error for one of `link(2)`, which has several codes for a file system without hard links.
    fn not_linked(&self, error: io::Error) -> AuditDayError {
        match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::Unsupported | ErrorKind::CrossesDevices => {
                AuditDayError::NoHardLinks { path: self.path.clone(), error }
            }
            _ => self.failed(error),
        }
    }

    /// Whether the day was exported before. Only a regular file counts: the broker makes no symbolic links, and does
    /// not follow one.
    pub(in crate::flows) fn exists(&self) -> Result<bool, AuditDayError> {
        match std::fs::symlink_metadata(&self.path) {
            Ok(found) if found.is_file() => Ok(true),
            Ok(_) => Err(AuditDayError::NotAFile(self.path.clone())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Begins to write, in a folder and a file that only the broker can read. Removes files that an earlier attempt
    /// left.
    pub(super) async fn draft(&self, random: &dyn Random) -> Result<Draft<'_>, AuditDayError> {
        let begin = async {
            private_file::make_folder(&self.folder)?;
            self.remove_drafts().await?;
            let path = self.folder.join(format!(".{}.{}{DRAFT}", self.name, random::token(random).expose()));
            let file = BufWriter::new(File::from_std(private_file::open(&path)?));
            Ok(Draft { of: self, path, file, is_empty: true })
        };
        begin.await.map_err(|error| self.failed(error))
    }

    /// Completes a file that an earlier run has named, since that run may have ended right then. Removes the file's
    /// other name, and brings the file and its name to disk.
    pub(in crate::flows) async fn settle(&self) -> Result<(), AuditDayError> {
        let settle = async {
            self.remove_drafts().await?;
            File::open(&self.path).await?.sync_all().await?;
            self.sync_folder().await
        };
        settle.await.map_err(|error| self.failed(error))
    }

    async fn sync_folder(&self) -> io::Result<()> {
        File::open(&self.folder).await?.sync_all().await
    }

    async fn remove_drafts(&self) -> io::Result<()> {
        let mut entries = fs::read_dir(&self.folder).await?;
        let begin = format!(".{}.", self.name);
        while let Some(entry) = entries.next_entry().await? {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(&begin) && name.ends_with(DRAFT) {
                fs::remove_file(entry.path()).await?;
            }
        }
        Ok(())
    }

    /// Reads the whole file. Gives its number of lines and its SHA-256.
    pub(in crate::flows) async fn read(&self) -> Result<Export, AuditDayError> {
        let read = async {
            let (mut hash, mut records) = (Context::new(&SHA256), 0);
            let mut file = BufReader::new(File::open(&self.path).await?);
            let mut line = Vec::new();
            while file.read_until(b'\n', &mut line).await? > 0 {
                hash.update(&line);
                records += 1;
                line.clear();
            }
            let digits = hash.finish();
            let sha256 = digits.as_ref().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
            Ok(Export { part: self.part, records, sha256 })
        };
        read.await.map_err(|error| self.failed(error))
    }

    /// Opens the file, to look for records in it.
    pub(in crate::flows) async fn lines(&self) -> Result<Lines<'_>, AuditDayError> {
        let file = File::open(&self.path).await.map_err(|error| self.failed(error))?;
        Ok(Lines { of: self, rest: BufReader::new(file).lines(), current: None })
    }
}

impl Draft<'_> {
    /// Writes lines.
    pub(in crate::flows) async fn write(
        &mut self,
        lines: impl Iterator<Item = &str>,
    ) -> Result<(), AuditDayError> {
        let mut text = String::new();
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        self.is_empty &= text.is_empty();
        self.file.write_all(text.as_bytes()).await.map_err(|error| self.of.failed(error))
    }

    /// Brings the file to disk and gives it its name. If another node was quicker, the file of that node stays. A file
    /// without a line gets no name.
    pub(in crate::flows) async fn finish(mut self) -> Result<(), AuditDayError> {
        if self.is_empty {
            return Err(AuditDayError::Changed(self.of.day));
        }
        let failed = |error| self.of.failed(error);
        self.file.flush().await.map_err(failed)?;
        self.file.get_ref().sync_all().await.map_err(failed)?;
        match fs::hard_link(&self.path, &self.of.path).await {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(self.of.not_linked(error)),
            _ => {}
        }
        // Order matters: the name is on disk before anything is removed from the database.
        self.of.sync_folder().await.map_err(failed)
    }
}

impl Drop for Draft<'_> {
    /// Removes the other name: either the file has its own name by now, or it is not needed. If a crash prevents this,
    /// the next attempt removes it.
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(file = %self.path.display(), %error, "an incomplete file could not be removed");
        }
    }
}

impl Lines<'_> {
    /// Looks for a record in the file. Callers pass records in the order of their ids, which is that of the lines.
    pub(in crate::flows) async fn expect(&mut self, id: AuditId, record: &str) -> Result<(), AuditDayError> {
        let missing = || AuditDayError::Missing { path: self.of.path.clone(), record: id };
        let name = id.to_string();
        loop {
            if self.current.is_none() {
                let line = match self.rest.next_line().await {
                    Ok(line) => line.ok_or_else(missing)?,
                    Err(error) if error.kind() == ErrorKind::InvalidData => return Err(missing()),
                    Err(error) => return Err(self.of.failed(error)),
                };
                let named: Named = serde_json::from_str(&line).map_err(|_| missing())?;
                self.current = Some((named.id, line));
            }
            let Some((of, line)) = &self.current else { return Err(missing()) };
            let line = Exported { id: of, text: line };
            match compare(Exported { id: &name, text: record }, line) {
                Comparison::Same => {
                    self.current = None;
                    return Ok(());
                }
                Comparison::Earlier => self.current = None,
                Comparison::Missing => return Err(missing()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;
    use crate::model::value::random::CountingRandom;

    fn day_file(folder: &Path) -> DayFile {
        DayFile::new(folder, Day::of(Timestamp::from_unix_seconds(1_790_000_000)), 1)
    }

    #[tokio::test]
    async fn a_file_without_a_line_gets_no_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = day_file(folder.path());
        let mut draft = file.draft(&CountingRandom::default()).await.unwrap();
        draft.write(std::iter::empty()).await.unwrap();
        assert!(matches!(draft.finish().await, Err(AuditDayError::Changed(_))));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_file_system_without_hard_links_is_called_so() {
        let folder = tempfile::tempdir().unwrap();
        let file = day_file(folder.path());
        // EPERM, EXDEV, ENOSYS and EOPNOTSUPP.
        for number in [1, 18, 38, 95] {
            let error = file.not_linked(io::Error::from_raw_os_error(number));
            assert!(matches!(error, AuditDayError::NoHardLinks { .. }), "{error}");
        }
        // ENOSPC.
        assert!(matches!(file.not_linked(io::Error::from_raw_os_error(28)), AuditDayError::File { .. }));
        // A file on another file system, which cannot be linked.
        let mut draft = file.draft(&CountingRandom::default()).await.unwrap();
        std::fs::remove_file(&draft.path).unwrap();
        draft.path = PathBuf::from("/proc/version");
        draft.write(std::iter::once("line")).await.unwrap();
        let error = draft.finish().await.unwrap_err();
        let advice = error.advice().unwrap();
        assert!(
            advice.contains("the file system of audit.export_folder must support hard links"),
            "{advice}"
        );
        assert!(!file.exists().unwrap());
    }

    #[tokio::test]
    async fn a_full_disk_leaves_neither_a_file_nor_a_draft() {
        let folder = tempfile::tempdir().unwrap();
        let file = day_file(folder.path());
        let mut draft = file.draft(&CountingRandom::default()).await.unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        draft.file = BufWriter::new(File::from_std(full));
        let line = "x".repeat(100_000);
        let failed = match draft.write(std::iter::once(line.as_str())).await {
            Ok(()) => draft.finish().await,
            Err(error) => {
                drop(draft);
                Err(error)
            }
        };
        assert!(failed.unwrap_err().to_string().contains("No space left"));
        assert!(!file.exists().unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_file_that_is_there_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = day_file(folder.path());
        let mut draft = file.draft(&CountingRandom::default()).await.unwrap();
        std::fs::write(&file.path, "first\n").unwrap();
        draft.write(std::iter::once("second")).await.unwrap();
        draft.finish().await.unwrap();
        assert_eq!(std::fs::read_to_string(&file.path).unwrap(), "first\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
