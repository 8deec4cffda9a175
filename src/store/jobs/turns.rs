//! Jobs that run on one node at a time, and which node has the turn.

use std::time::Duration;

use crate::model::Timestamp;
use crate::store::engine::tx::{execute, statements};
use crate::store::{StoreError, Tx};

statements! {
    TAKE = "INSERT INTO turns (job, holder, held_until) VALUES ($1, $2, $3) ON CONFLICT (job) DO UPDATE \
            SET holder = excluded.holder, held_until = excluded.held_until \
            WHERE turns.holder = $2 OR turns.held_until <= $4 OR turns.held_until > $5";
    END = "DELETE FROM turns WHERE job = $1 AND holder = $2";
}

/// Takes the turn of a job for `span`, or extends it. `false` while another holder has it. A turn that ends later than
/// a turn that begins now could end was taken before the clock was set back, and does not count.
pub async fn take_turn(
    tx: &mut Tx,
    job: &str,
    holder: &str,
    now: Timestamp,
    span: Duration,
) -> Result<bool, StoreError> {
    let (until, last) = (now.after(span).unix_micros(), now.last_end(span).unix_micros());
    Ok(execute!(tx, TAKE, job, holder, until, now.unix_micros(), last)? == 1)
}

/// Gives a turn back.
pub async fn end_turn(tx: &mut Tx, job: &str, holder: &str) -> Result<(), StoreError> {
    execute!(tx, END, job, holder).map(drop)
}
