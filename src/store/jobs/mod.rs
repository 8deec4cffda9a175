//! The durable queue: a job is written in the transaction that causes it, and one worker at a time claims it.
//!
//! A claim is a lease: it moves `due_at` to its own end, so that a job whose worker died becomes due again. Every
//! statement that ends or postpones a job names the claim, so a worker that took longer than its lease can no longer
//! change the job.
//!
//! Due jobs are taken in the order of `turn`, not by age. The turns of one organization's jobs are ten seconds apart,
//! so that another organization's next job comes before most of a flood.

pub mod changes;
pub mod housekeeping;
pub mod turns;

use std::time::Duration;

use super::engine::row::{Row, text, time};
use super::engine::tx::{execute, execute_many, fetch_many, fetch_optional, row, statements};
use super::{StoreError, Tx};
use crate::model::{AccountId, CLOCK_SKEW, JobId, OrganizationId, Timestamp};

/// How far apart the turns of one organization's jobs are, in microseconds. Even an organization whose jobs all hang
/// finishes one more often than this, so few of its jobs can come before those of others.
const TURN_STEP: i64 = 10_000_000;

/// How many organizations a claim can exclude.
pub const LEFT_OUT: usize = 4;

/// The turn after the last one of an organization, or `$at` if that is later.
macro_rules! next_turn {
    ($name:literal, $organization:literal, $at:literal, $step:literal) => {
        concat!(
            "(SELECT CASE WHEN MAX(o.turn) + ",
            $step,
            " > ",
            $at,
            " THEN MAX(o.turn) + ",
            $step,
            " ELSE ",
            $at,
            " END FROM jobs o WHERE o.name = ",
            $name,
            " AND COALESCE(o.organization_id, '') = COALESCE(",
            $organization,
            ", '') AND o.finished_at IS NULL)"
        )
    };
}

statements! {
    INSERT = concat!(
        "INSERT INTO jobs (id, name, payload_version, payload_sealed, organization_id, account_id, dedup_key, created_at, \
         useful_until, noted_at, due_at, turn, attempts) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $8, $8, ",
        next_turn!("$2", "$5", "$8", "$10"),
        ", 0) ON CONFLICT (name, dedup_key) DO NOTHING"
    );
    FIND_DUE = "SELECT id FROM jobs WHERE name = $1 AND finished_at IS NULL AND due_at <= $2 AND payload_version <= $4 \
                UNION ALL SELECT id FROM jobs WHERE name = $1 AND finished_at IS NULL AND noted_at > $3 LIMIT 1";
    RELEASE = "UPDATE jobs SET due_at = $2, noted_at = $2 WHERE finished_at IS NULL AND noted_at > $3 AND id IN \
               (SELECT id FROM jobs WHERE name = $1 AND finished_at IS NULL AND noted_at > $3 LIMIT 1000)";
    CLAIM = "UPDATE jobs SET claim = $1, noted_at = $2, due_at = $3, attempts = attempts + 1 \
             WHERE finished_at IS NULL AND due_at <= $2 AND id IN (SELECT d.id FROM \
             (SELECT id, turn, COALESCE(organization_id, '') AS organization FROM jobs \
              WHERE name = $4 AND finished_at IS NULL AND +due_at <= $2 AND payload_version <= $5 ORDER BY turn, id LIMIT 256) d \
             WHERE d.organization NOT IN ($6, $7, $8, $9) ORDER BY d.turn, d.id LIMIT $10) \
             RETURNING id, name, payload_version, payload_sealed, organization_id, account_id, useful_until, attempts";
    FINISH = "UPDATE jobs SET finished_at = $3, outcome = 'done', payload_sealed = '' \
              WHERE id = $1 AND claim = $2 AND finished_at IS NULL";
    GIVE_UP = "UPDATE jobs SET finished_at = $3, outcome = 'dead', payload_sealed = '', last_error = $4 \
               WHERE id = $1 AND claim = $2 AND finished_at IS NULL";
    POSTPONE = concat!(
        "UPDATE jobs SET noted_at = $3, due_at = $4, last_error = $5, claim = NULL, turn = ",
        next_turn!("jobs.name", "jobs.organization_id", "$4", "$6"),
        " WHERE id = $1 AND claim = $2 AND finished_at IS NULL"
    );
    FIND_NEXT_NAME = "SELECT name FROM jobs WHERE name > $1 ORDER BY name LIMIT 1";
    COUNT_WAITING = "SELECT COUNT(*) AS amount, MIN(due_at) AS first_at FROM jobs WHERE name = $1 AND finished_at IS NULL";
    COUNT_DEAD = "SELECT COUNT(*) AS amount, MIN(finished_at) AS first_at FROM jobs WHERE outcome = 'dead' AND name = $1";
    FIND_LAST_DEAD = "SELECT finished_at, last_error FROM jobs WHERE outcome = 'dead' AND name = $1 \
                      ORDER BY finished_at DESC LIMIT 1";
}

/// A job to be stored.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Stable id.
    pub id: JobId,
    /// The kind of job.
    pub name: &'static str,
    /// The version of its payload. Workers claim the versions that they know.
    pub version: i64,
    /// Its sealed payload.
    pub payload_sealed: String,
    /// The organization that it is about.
    pub organization: Option<OrganizationId>,
    /// The account that it is about.
    pub account: Option<AccountId>,
    /// The queue keeps only the first of two jobs with the same name and key.
    pub dedup_key: Option<String>,
    /// When it was written.
    pub created_at: Timestamp,
    /// The time from which the job is no longer useful.
    pub useful_until: Timestamp,
}

/// A job that a worker has claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredJob {
    /// Stable id.
    pub id: JobId,
    /// The kind of job.
    pub name: String,
    /// The version of its payload.
    pub version: i64,
    /// Its sealed payload.
    pub payload_sealed: String,
    /// The organization that it is about.
    pub organization: Option<OrganizationId>,
    /// The account that it is about.
    pub account: Option<AccountId>,
    /// The time from which the job is no longer useful.
    pub useful_until: Timestamp,
    /// How often it was attempted, including this time.
    pub attempts: i64,
}

/// Which jobs a worker claims.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The unique name of the claim.
    pub name: &'a str,
    /// How long the worker may take.
    pub lease: Duration,
    /// The newest payload version that the worker knows.
    pub newest_version: i64,
    /// The most jobs to claim, up to a hundred.
    pub most: i64,
    /// The ids of organizations whose jobs it must not claim now. The empty text stands for the deployment itself.
    /// Only the first [`LEFT_OUT`] count.
    pub without: &'a [String],
}

/// The state of the jobs of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueState {
    /// The kind of job.
    pub name: String,
    /// How many wait or are running.
    pub waiting: i64,
    /// Since when the oldest due job has waited to be claimed; `None` if no job is due.
    pub due_since: Option<Timestamp>,
    /// How many jobs that were given up are still kept.
    pub dead: i64,
    /// When the first and the last of them were given up, and why the last one was.
    pub deaths: Option<Deaths>,
}

/// When jobs were given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deaths {
    /// When the first one was.
    pub first: Timestamp,
    /// When the last one was.
    pub last: Timestamp,
    /// Why the last one was, as a code.
    pub last_error: String,
}

row! {
    struct IdRow {
        id: String,
    }
}

row! {
    struct NameRow {
        name: String,
    }
}

row! {
    struct AmountRow {
        amount: i64,
        first_at: Option<i64>,
    }
}

row! {
    struct DeathRow {
        finished_at: i64,
        last_error: Option<String>,
    }
}

row! {
    struct JobRow {
        id: String,
        name: String,
        payload_version: i64,
        payload_sealed: String,
        organization_id: Option<String>,
        account_id: Option<String>,
        useful_until: i64,
        attempts: i64,
    }
}

impl TryFrom<JobRow> for StoredJob {
    type Error = StoreError;

    fn try_from(row: JobRow) -> Result<Self, StoreError> {
        let at = Row { table: "jobs", id: &row.id };
        Ok(Self {
            id: at.parse("id", &row.id)?,
            organization: at.parse_optional("organization_id", row.organization_id.as_deref())?,
            account: at.parse_optional("account_id", row.account_id.as_deref())?,
            useful_until: time(row.useful_until),
            attempts: row.attempts,
            version: row.payload_version,
            name: row.name,
            payload_sealed: row.payload_sealed,
        })
    }
}

/// Stores a job until it is done. `false` if one with its name and key was stored before.
pub async fn insert_job(tx: &mut Tx, new: &NewJob) -> Result<bool, StoreError> {
    let changed = execute!(
        tx,
        INSERT,
        new.id.to_string(),
        new.name,
        new.version,
        &new.payload_sealed,
        text(new.organization.as_ref()),
        text(new.account.as_ref()),
        &new.dedup_key,
        new.created_at.unix_micros(),
        new.useful_until.unix_micros(),
        TURN_STEP,
    )?;
    Ok(changed == 1)
}

/// The latest time that a row can carry if the clocks agree. A row with a later time was written before the clock was
/// set back, and its times do not count.
fn last_note(now: Timestamp) -> i64 {
    now.after(CLOCK_SKEW).unix_micros()
}

/// Whether a job of this name is due.
pub async fn is_job_due(
    tx: &mut Tx,
    name: &str,
    newest_version: i64,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let row = fetch_optional!(tx, IdRow, FIND_DUE, name, now.unix_micros(), last_note(now), newest_version)?;
    Ok(row.is_some_and(|row| !row.id.is_empty()))
}

/// Claims due jobs of this name. Jobs that were claimed or postponed before the clock was set back are due as well.
pub async fn claim_jobs(
    tx: &mut Tx,
    name: &str,
    claim: Claim<'_>,
    now: Timestamp,
) -> Result<Vec<StoredJob>, StoreError> {
    let (at, until) = (now.unix_micros(), now.after(claim.lease).unix_micros());
    execute_many!(tx, RELEASE, name, at, last_note(now))?;
    // No organization has this id.
    let without = |place: usize| claim.without.get(place).map_or("-", String::as_str).to_owned();
    let (newest, [one, two, three, four]) = (claim.newest_version, [0, 1, 2, 3].map(without));
    // The outer statement repeats the guard: if two workers choose the same job, only one gets it.
    let rows = fetch_many!(
        tx, JobRow, CLAIM, claim.name, at, until, name, newest, one, two, three, four, claim.most
    )?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Finishes a job and deletes its payload. `false` if the claim was lost.
pub async fn finish_job(tx: &mut Tx, id: JobId, claim: &str, now: Timestamp) -> Result<bool, StoreError> {
    Ok(execute!(tx, FINISH, id.to_string(), claim, now.unix_micros())? == 1)
}

/// Gives a job up for the reason `code` and deletes its payload. The row stays for a while as a dead letter. `false`
/// if the claim was lost.
pub async fn give_up_job(
    tx: &mut Tx,
    id: JobId,
    claim: &str,
    code: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    Ok(execute!(tx, GIVE_UP, id.to_string(), claim, now.unix_micros(), code)? == 1)
}

/// Postpones a job that failed for the reason `code`: it is due again at `at`, after the waiting jobs of its
/// organization. `false` if the claim was lost.
pub async fn postpone_job(
    tx: &mut Tx,
    id: JobId,
    claim: &str,
    (at, code): (Timestamp, &str),
    now: Timestamp,
) -> Result<bool, StoreError> {
    let (now, at) = (now.unix_micros(), at.unix_micros());
    Ok(execute!(tx, POSTPONE, id.to_string(), claim, now, at, code, TURN_STEP)? == 1)
}

/// The state of the jobs of each name that has rows.
pub async fn list_queues(tx: &mut Tx, now: Timestamp) -> Result<Vec<QueueState>, StoreError> {
    let (mut queues, mut after) = (Vec::new(), String::new());
    while let Some(NameRow { name }) = fetch_optional!(tx, NameRow, FIND_NEXT_NAME, &after)? {
        queues.push(read_queue(tx, &name, now).await?);
        after = name;
    }
    Ok(queues)
}

async fn read_queue(tx: &mut Tx, name: &str, now: Timestamp) -> Result<QueueState, StoreError> {
    let count =
        |rows: Vec<AmountRow>| rows.into_iter().next().map_or((0, None), |row| (row.amount, row.first_at));
    let (waiting, first_due) = count(fetch_many!(tx, AmountRow, COUNT_WAITING, name)?);
    let (dead, first_death) = count(fetch_many!(tx, AmountRow, COUNT_DEAD, name)?);
    let last = fetch_many!(tx, DeathRow, FIND_LAST_DEAD, name)?.into_iter().next();
    Ok(QueueState {
        name: name.to_owned(),
        waiting,
        due_since: first_due.map(time).filter(|due| *due <= now),
        dead,
        deaths: first_death.zip(last).map(|(first, last)| Deaths {
            first: time(first),
            last: time(last.finished_at),
            last_error: last.last_error.unwrap_or_default(),
        }),
    })
}
