//! The work that the broker does regularly, without a request: forgetting data that other nodes have changed, moving
//! keys to their next state, and removing expired data.

pub mod audit_days;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::crypto::random;
use crate::flows::core::Core;
use crate::flows::directory::DIRECTORY_TOPIC;
use crate::flows::housekeeping::audit_days::Archive;
use crate::flows::keys::{KEYS_TOPIC, Keys, SigningError};
use crate::store::StoreError;
use crate::store::jobs::changes::{find_last_change, list_changes};
use crate::store::jobs::housekeeping;

/// Commits may come in another order than their numbers, so the last numbers are read again, this many of them.
const OVERLAP: i64 = 1_000;

/// How far a node has read the changes.
#[derive(Debug, Default)]
pub struct ChangeReader {
    after: i64,
    seen: BTreeSet<i64>,
    started: bool,
    keys_are_stale: bool,
}

/// The work that the broker does regularly, without a request.
pub struct Housekeeping {
    core: Arc<Core>,
    keys: Arc<Keys>,
    audit_archive: Option<Archive>,
}

impl Housekeeping {
    /// The service, on the shared core and the services that it calls.
    pub(in crate::flows) fn new(core: &Arc<Core>, keys: &Arc<Keys>, audit_archive: Option<Archive>) -> Self {
        Self { core: Arc::clone(core), keys: Arc::clone(keys), audit_archive }
    }

    /// Reads the changes since the last time, and forgets the changed data here. After an error this node forgets
    /// everything, since it may have missed a change. Keys that could not be read are tried again the next time.
    pub async fn forget_changes(&self, reader: &mut ChangeReader) -> Result<(), SigningError> {
        let topics = match self.read_changes(reader).await {
            Ok(topics) => topics,
            Err(error) => {
                self.core.directory.forget();
                reader.keys_are_stale = true;
                return Err(error.into());
            }
        };
        // Order matters: these notices are not read again, so none may wait for a step that may fail.
        if topics.iter().any(|topic| topic == DIRECTORY_TOPIC) {
            self.core.directory.forget();
        }
        reader.keys_are_stale |= topics.iter().any(|topic| topic == KEYS_TOPIC);
        if reader.keys_are_stale {
            self.keys.reload_signing_keys().await?;
            reader.keys_are_stale = false;
        }
        Ok(())
    }

    async fn read_changes(&self, reader: &mut ChangeReader) -> Result<Vec<String>, StoreError> {
        let mut tx = self.core.database.read().await?;
        if !reader.started {
            reader.after = (find_last_change(&mut tx).await? - OVERLAP).max(0);
        }
        let mut topics = Vec::new();
        for change in list_changes(&mut tx, reader.after).await? {
            // The cache holds none of the changes from before the start. To forget them costs nothing.
            if reader.seen.insert(change.seq) {
                topics.push(change.topic);
            }
        }
        reader.started = true;
        if let Some(newest) = reader.seen.last() {
            reader.after = (newest - OVERLAP).max(reader.after);
            reader.seen = reader.seen.split_off(&(reader.after + 1));
        }
        Ok(topics)
    }

    /// Removes all expired rows in short transactions, so that no other writer waits long. Gives the number of removed
    /// rows.
    pub async fn sweep(&self) -> Result<u64, StoreError> {
        let mut deleted = 0;
        loop {
            let mut tx = self.core.database.write_alone().await?;
            let step = housekeeping::sweep(&mut tx, self.core.clock.now()).await?;
            tx.commit().await?;
            deleted += step.deleted;
            if !step.is_more {
                return Ok(deleted);
            }
        }
    }

    /// Whether sign-ins can work now: the database answers in the way that sign-ins read it, and it commits a write.
    pub async fn is_ready(&self) -> Result<(), StoreError> {
        self.core.directory.is_readable().await?;
        let mark = random::token(&*self.core.random);
        let mut tx = self.core.database.write().await?;
        housekeeping::probe_write(&mut tx, mark.expose(), self.core.clock.now()).await?;
        tx.commit().await
    }

    /// Writes the refusals that are counted in memory, and closes the database.
    pub async fn close(&self) {
        if let Err(error) = self.core.write_counted_refusals().await {
            tracing::warn!(%error, "refusals that were counted in memory could not be written");
        }
        self.core.database.close().await;
    }
}
