//! Changes that other nodes must learn of: a row for each change, in the transaction of that change.

use crate::model::Timestamp;
use crate::store::engine::tx::{execute, fetch_many, fetch_optional, row, statements};
use crate::store::{StoreError, Tx};

statements! {
    INSERT = "INSERT INTO changes (topic, at) VALUES ($1, $2)";
    LAST = "SELECT COALESCE(MAX(seq), 0) AS seq FROM changes";
    LIST = "SELECT seq, topic FROM changes WHERE seq > $1 ORDER BY seq LIMIT 10000";
}

row! {
    /// A change, by its number.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Change {
        /// Grows with each change. Changes may be committed in another order.
        pub seq: i64,
        /// The thing that changed.
        pub topic: String,
    }
}

row! {
    struct SeqRow {
        seq: i64,
    }
}

/// Records a change.
pub async fn insert_change(tx: &mut Tx, topic: &str, now: Timestamp) -> Result<(), StoreError> {
    execute!(tx, INSERT, topic, now.unix_micros())?;
    Ok(())
}

/// The number of the newest change.
pub async fn find_last_change(tx: &mut Tx) -> Result<i64, StoreError> {
    Ok(fetch_optional!(tx, SeqRow, LAST)?.map_or(0, |row| row.seq))
}

/// The changes after a number, at most 10,000.
pub async fn list_changes(tx: &mut Tx, after: i64) -> Result<Vec<Change>, StoreError> {
    fetch_many!(tx, Change, LIST, after)
}
