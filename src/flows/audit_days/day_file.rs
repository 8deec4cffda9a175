//! The file of an exported day: JSON Lines in the order of the records' ids. It is written under another name and gets
//! its own when it is whole and on disk; one that is there is read, never replaced.

use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use serde::Deserialize;
use tokio::fs::{self, File};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, BufWriter, Lines as LinesOf};

use super::AuditDayError;
use crate::crypto::{private_file, random};
use crate::model::{AuditId, Day, Random};
use crate::policy::audit_days::{Comparison, compare};

/// What ends the name of a file that is not whole yet.
const DRAFT: &str = ".part";

/// The place of a day's file.
pub(super) struct DayFile {
    folder: PathBuf,
    path: PathBuf,
    name: String,
}

/// What the record of a removal says of the file.
pub(super) struct Seal {
    /// Its lines.
    pub records: u64,
    /// Its SHA-256, in hexadecimal digits, as `sha256sum` writes it.
    pub sha256: String,
}

/// A file that is being written.
pub(super) struct Draft<'a> {
    of: &'a DayFile,
    path: PathBuf,
    file: BufWriter<File>,
}

/// The lines of a file, against which records are held in their order.
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
    pub(super) fn new(folder: &Path, day: Day) -> Self {
        let name = format!("audit-{day}.jsonl");
        Self { folder: folder.to_owned(), path: folder.join(&name), name }
    }

    fn failed(&self, error: io::Error) -> AuditDayError {
        AuditDayError::File { path: self.path.clone(), error }
    }

    /// Whether the day was exported before.
    pub(super) fn exists(&self) -> Result<bool, AuditDayError> {
        self.path.try_exists().map_err(|error| self.failed(error))
    }

    /// Begins to write, in a folder and a file for the broker alone. What an earlier attempt left is removed.
    pub(super) async fn draft(&self, random: &dyn Random) -> Result<Draft<'_>, AuditDayError> {
        let begin = async {
            private_file::make_folder(&self.folder)?;
            self.remove_drafts().await?;
            let path = self.folder.join(format!(".{}.{}{DRAFT}", self.name, random::token(random).expose()));
            let file = BufWriter::new(File::from_std(private_file::open(&path)?));
            Ok(Draft { of: self, path, file })
        };
        begin.await.map_err(|error| self.failed(error))
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

    /// Reads the file: all of it for its seal, then line by line.
    pub(super) async fn open(&self) -> Result<(Seal, Lines<'_>), AuditDayError> {
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
            let rest = BufReader::new(File::open(&self.path).await?).lines();
            Ok((Seal { records, sha256 }, Lines { of: self, rest, current: None }))
        };
        read.await.map_err(|error| self.failed(error))
    }
}

impl Draft<'_> {
    /// Writes lines.
    pub(super) async fn write(&mut self, lines: impl Iterator<Item = &str>) -> Result<(), AuditDayError> {
        let mut text = String::new();
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        self.file.write_all(text.as_bytes()).await.map_err(|error| self.of.failed(error))
    }

    /// Brings the file to disk and gives it its name, unless another node was quicker: then that one's file stands.
    pub(super) async fn finish(mut self) -> Result<(), AuditDayError> {
        let finish = async {
            self.file.flush().await?;
            self.file.get_ref().sync_all().await?;
            match fs::hard_link(&self.path, &self.of.path).await {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            // Order matters: the name is on disk before anything is removed from the database.
            File::open(&self.of.folder).await?.sync_all().await
        };
        finish.await.map_err(|error| self.of.failed(error))
    }
}

impl Drop for Draft<'_> {
    /// Takes the other name away: the file has its own by now, or takes room that is wanted. What a crash leaves, the next
    /// attempt removes.
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(file = %self.path.display(), %error, "a file that is not whole could not be removed");
        }
    }
}

impl Lines<'_> {
    /// Looks for a record in the file. Records come in the order of their ids, as the lines do.
    pub(super) async fn expect(&mut self, id: AuditId, record: &str) -> Result<(), AuditDayError> {
        let missing = || AuditDayError::Missing { path: self.of.path.clone(), record: id };
        let name = id.to_string();
        loop {
            if self.current.is_none() {
                let line = self.rest.next_line().await.map_err(|error| self.of.failed(error))?;
                let line = line.ok_or_else(missing)?;
                let named: Named = serde_json::from_str(&line).map_err(|_| missing())?;
                self.current = Some((named.id, line));
            }
            let Some((of, line)) = &self.current else { return Err(missing()) };
            match compare((&name, record), (of, line)) {
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
    use crate::model::random::CountingRandom;

    #[tokio::test]
    async fn a_full_disk_leaves_neither_a_file_nor_a_draft() {
        let folder = tempfile::tempdir().unwrap();
        let file = DayFile::new(folder.path(), Day::of(Timestamp::from_unix_seconds(1_790_000_000)));
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
        let file = DayFile::new(folder.path(), Day::of(Timestamp::from_unix_seconds(1_790_000_000)));
        let mut draft = file.draft(&CountingRandom::default()).await.unwrap();
        std::fs::write(&file.path, "first\n").unwrap();
        draft.write(std::iter::once("second")).await.unwrap();
        draft.finish().await.unwrap();
        assert_eq!(std::fs::read_to_string(&file.path).unwrap(), "first\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
