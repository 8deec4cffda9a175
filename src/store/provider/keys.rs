//! The broker's own signing keys, sealed.

use crate::model::{KeyId, KeyTimes, SigningAlg, Timestamp};
use crate::store::engine::row::{Row, time};
use crate::store::engine::tx::{execute, fetch_all, row, statements};
use crate::store::{StoreError, Tx};

statements! {
    LIST = "SELECT id, algorithm, private_sealed, created_at, signs_from, signs_until, published_until, verifies_until \
            FROM signing_keys ORDER BY signs_from, id LIMIT 1000";
    INSERT = "INSERT INTO signing_keys (id, algorithm, private_sealed, created_at, signs_from) VALUES ($1, $2, $3, $4, $5) \
              ON CONFLICT DO NOTHING";
    SET_ENDS = "UPDATE signing_keys SET signs_until = $2, published_until = $3, verifies_until = $4 WHERE id = $1";
    LOCK = "UPDATE signing_keys SET created_at = created_at";
    FORGET = "DELETE FROM signing_keys WHERE verifies_until < $1";
}

/// A signing key with the times at which it changes its stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKeyRecord {
    /// The `kid`.
    pub id: KeyId,
    /// The algorithm that it signs with.
    pub algorithm: SigningAlg,
    /// The private key (PKCS #8), sealed.
    pub private_sealed: String,
    /// The times at which it changes its stage.
    pub times: KeyTimes,
}

row! {
    struct KeyRow {
        id: String,
        algorithm: String,
        private_sealed: String,
        created_at: i64,
        signs_from: i64,
        signs_until: Option<i64>,
        published_until: Option<i64>,
        verifies_until: Option<i64>,
    }
}

impl TryFrom<KeyRow> for SigningKeyRecord {
    type Error = StoreError;

    fn try_from(row: KeyRow) -> Result<Self, StoreError> {
        let at = Row { table: "signing_keys", id: &row.id };
        Ok(Self {
            id: at.parse("id", &row.id)?,
            algorithm: at.parse("algorithm", &row.algorithm)?,
            times: KeyTimes {
                created_at: time(row.created_at),
                signs_from: time(row.signs_from),
                signs_until: row.signs_until.map(time),
                published_until: row.published_until.map(time),
                verifies_until: row.verifies_until.map(time),
            },
            private_sealed: row.private_sealed,
        })
    }
}

/// All keys, in the order in which they begin to sign.
pub async fn list_keys(tx: &mut Tx) -> Result<Vec<SigningKeyRecord>, StoreError> {
    fetch_all!(tx, KeyRow, LIST)?.into_iter().map(TryInto::try_into).collect()
}

/// Adds a key. `false` if its algorithm already has a key without a successor.
pub async fn insert_key(tx: &mut Tx, new: &SigningKeyRecord) -> Result<bool, StoreError> {
    let added = execute!(
        tx,
        INSERT,
        new.id.to_string(),
        new.algorithm.as_str(),
        &new.private_sealed,
        new.times.created_at.unix_micros(),
        new.times.signs_from.unix_micros(),
    )?;
    Ok(added == 1)
}

/// Locks all keys for the rest of the transaction: a transaction that retires a key, or lengthens the lifetime of
/// tokens, waits for this one.
pub async fn lock_keys(tx: &mut Tx) -> Result<(), StoreError> {
    execute!(tx, LOCK)?;
    Ok(())
}

/// Sets the times at which a key changes its stage.
pub async fn set_ends(tx: &mut Tx, id: KeyId, times: &KeyTimes) -> Result<(), StoreError> {
    let micros = |time: Option<Timestamp>| time.map(Timestamp::unix_micros);
    let ends = (micros(times.signs_until), micros(times.published_until), micros(times.verifies_until));
    execute!(tx, SET_ENDS, id.to_string(), ends.0, ends.1, ends.2)?;
    Ok(())
}

/// Deletes the keys that no longer verify anything.
pub async fn delete_dead_keys(tx: &mut Tx, now: Timestamp) -> Result<u64, StoreError> {
    execute!(tx, FORGET, now.unix_micros())
}
