//! The durable queue, as the use cases see it: they leave jobs in the transaction that the jobs follow from, and never
//! wait for them. `jobs` has the workers, which claim here what is due, and tell here what became of it.
//!
//! A job may run more than once: a worker may die between doing it and saying so. Whatever a job does must therefore be
//! the same when it is done again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::crypto::random;
use crate::crypto::seal::{Purpose, Sealer};
use crate::flows::refusal::FlowError;
use crate::model::{AccountId, Clock, JobId, OrganizationId, Random, Timestamp};
use crate::store::jobs::{self, Claim, LEFT_OUT, NewJob, QueueState, StoredJob};
use crate::store::{Database, StoreError, Tx};

/// How long a worker has for a job that it claimed.
pub const LEASE: Duration = Duration::from_mins(2);

/// The first wait before another try, and the longest one.
const RETRY: (Duration, Duration) = (Duration::from_secs(30), Duration::from_hours(2));

/// What a job is done with. Its JSON is sealed, and destroyed when the job is done or given up.
pub trait Payload: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The name of the job: what is to be done. It never changes.
    const NAME: &'static str;

    /// The form of the payload: one more with each change that an earlier release cannot read. A form is read one release
    /// before it is written, since the nodes of two releases take jobs from one queue.
    const VERSION: i64;

    /// For how long the job is worth doing. Afterwards it is given up.
    fn useful_for(&self) -> Duration;

    /// Reads a payload of some form; `None` when it is not readable.
    fn read(version: i64, text: &[u8]) -> Option<Self> {
        (version == Self::VERSION).then(|| serde_json::from_slice(text).ok()).flatten()
    }
}

/// Whom a job is about.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// The organization: its jobs have one share of the workers.
    pub organization: Option<OrganizationId>,
    /// The account.
    pub account: Option<AccountId>,
    /// Of two jobs of one name with the same key, one is kept.
    pub dedup_key: Option<String>,
}

/// Why a job was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A short code without personal data; it stands in the database.
    pub code: &'static str,
    /// What happened, without personal data, for the log.
    pub detail: String,
    /// Whether trying again is of no use.
    pub is_final: bool,
}

impl Failure {
    /// The job may succeed later.
    pub fn passing(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), is_final: false }
    }

    /// The job never succeeds.
    pub fn lasting(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), is_final: true }
    }
}

/// A job that a worker has claimed.
#[derive(Debug, Clone)]
pub struct ClaimedJob {
    job: StoredJob,
    claim: String,
}

impl ClaimedJob {
    /// Its id.
    pub const fn id(&self) -> JobId {
        self.job.id
    }

    /// The organization that it is about.
    pub const fn organization(&self) -> Option<OrganizationId> {
        self.job.organization
    }

    /// The account that it is about.
    pub const fn account(&self) -> Option<AccountId> {
        self.job.account
    }

    /// How often it was tried, this time included.
    pub const fn attempts(&self) -> i64 {
        self.job.attempts
    }
}

/// What a run of a job came to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct JobRun {
    /// The job's name.
    pub job: String,
    /// `done`, `postponed`, `dead`, or `lost` when it took longer than its lease.
    pub outcome: &'static str,
}

/// A job's name as a label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct JobLabel {
    /// The job's name.
    pub job: String,
}

/// The queue's figures, for the operator's metrics. Clones are one.
#[derive(Debug, Clone, Default)]
pub struct QueueFigures {
    /// Runs of jobs on this node, by what they came to.
    pub runs: Family<JobRun, Counter>,
    /// Jobs that wait or are being done.
    pub waiting: Family<JobLabel, Gauge>,
    /// For how many seconds the oldest due job has not been taken.
    pub overdue_seconds: Family<JobLabel, Gauge>,
    /// Jobs that were given up, and are still kept.
    pub dead: Family<JobLabel, Gauge>,
}

/// The durable queue.
pub struct Queue {
    database: Arc<Database>,
    sealer: Sealer,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    figures: QueueFigures,
    measured: Mutex<Vec<String>>,
}

impl Queue {
    pub(super) fn new(
        database: Arc<Database>,
        sealer: Sealer,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self { database, sealer, clock, random, figures: QueueFigures::default(), measured: Mutex::default() }
    }

    /// Keeps a job in the caller's transaction, due at once; `false` when one with its key was kept before.
    pub async fn enqueue<P: Payload>(
        &self,
        tx: &mut Tx,
        payload: &P,
        about: About,
    ) -> Result<bool, FlowError> {
        let now = self.clock.now();
        let id = JobId::new(now, &*self.random);
        let text = serde_json::to_vec(payload).map(Zeroizing::new);
        let text =
            text.map_err(|_| FlowError::Unavailable("a job's payload cannot be written".to_owned()))?;
        let new = NewJob {
            id,
            name: P::NAME,
            version: P::VERSION,
            payload_sealed: self.sealer.seal_text(Purpose::PersonalData, &context(id), &text)?,
            organization: about.organization,
            account: about.account,
            dedup_key: about.dedup_key,
            created_at: now,
            useful_until: now.after(payload.useful_for()),
        };
        Ok(jobs::insert_job(tx, &new).await?)
    }

    /// Claims up to `most` due jobs, none of them of the organizations in `without` (of which the first four count; the
    /// deployment's own jobs are those of no organization).
    pub async fn claim<P: Payload>(
        &self,
        most: usize,
        without: &[Option<OrganizationId>],
    ) -> Result<Vec<ClaimedJob>, StoreError> {
        let now = self.clock.now();
        if !jobs::is_job_due(&mut self.database.read().await?, P::NAME, P::VERSION, now).await? {
            return Ok(Vec::new());
        }
        let name = random::token(&*self.random).expose().to_owned();
        let text = |organization: &Option<OrganizationId>| {
            organization.map(|organization| organization.to_string()).unwrap_or_default()
        };
        let without: Vec<String> = without.iter().take(LEFT_OUT).map(text).collect();
        let claim = Claim {
            name: &name,
            lease: LEASE,
            newest_version: P::VERSION,
            most: i64::try_from(most).unwrap_or(1).min(100),
            without: &without,
        };
        let mut tx = self.database.write().await?;
        let claimed = jobs::claim_jobs(&mut tx, P::NAME, claim, now).await?;
        tx.commit().await?;
        Ok(claimed.into_iter().map(|job| ClaimedJob { job, claim: name.clone() }).collect())
    }

    /// What a job is to be done with.
    pub fn open<P: Payload>(&self, claimed: &ClaimedJob) -> Result<P, Failure> {
        let job = &claimed.job;
        let text = self.sealer.open_text(Purpose::PersonalData, &context(job.id), &job.payload_sealed);
        let payload = text.ok().and_then(|text| P::read(job.version, &text));
        payload.ok_or_else(|| Failure::lasting("unreadable", "its payload cannot be opened"))
    }

    /// Refuses a job that is of no use any more.
    pub fn require_useful(&self, claimed: &ClaimedJob) -> Result<(), Failure> {
        if self.clock.now() < claimed.job.useful_until {
            return Ok(());
        }
        Err(Failure::lasting("too_late", "it could not be done while it was of use"))
    }

    /// A job is done.
    pub async fn finish(&self, claimed: &ClaimedJob) -> Result<(), StoreError> {
        let mut tx = self.database.write().await?;
        let is_ours = jobs::finish_job(&mut tx, claimed.job.id, &claimed.claim, self.clock.now()).await?;
        tx.commit().await?;
        self.count(claimed, if is_ours { "done" } else { "lost" });
        Ok(())
    }

    /// A job failed, and is tried again, later each time.
    pub async fn postpone(&self, claimed: &ClaimedJob, failure: &Failure) -> Result<(), StoreError> {
        let ClaimedJob { job, claim } = claimed;
        let now = self.clock.now();
        let at = now.after(shortened(wait(job.attempts), &*self.random));
        let mut tx = self.database.write().await?;
        let is_ours = jobs::postpone_job(&mut tx, job.id, claim, (at, failure.code), now).await?;
        tx.commit().await?;
        self.count(claimed, if is_ours { "postponed" } else { "lost" });
        Ok(())
    }

    /// Begins to give a job up, for this reason. The caller writes into the transaction what else follows, and commits.
    /// `None`: the claim had been lost, and nothing follows.
    pub async fn give_up(&self, claimed: &ClaimedJob, failure: &Failure) -> Result<Option<Tx>, StoreError> {
        let ClaimedJob { job, claim } = claimed;
        let mut tx = self.database.write().await?;
        let is_ours = jobs::give_up_job(&mut tx, job.id, claim, failure.code, self.clock.now()).await?;
        self.count(claimed, if is_ours { "dead" } else { "lost" });
        Ok(is_ours.then_some(tx))
    }

    fn count(&self, claimed: &ClaimedJob, outcome: &'static str) {
        self.figures.runs.get_or_create(&JobRun { job: claimed.job.name.clone(), outcome }).inc();
    }

    /// How it stands with the jobs of each name.
    pub async fn states(&self) -> Result<Vec<QueueState>, StoreError> {
        jobs::list_queues(&mut self.database.read().await?, self.clock.now()).await
    }

    /// The queue's figures.
    pub fn figures(&self) -> QueueFigures {
        self.figures.clone()
    }

    /// Brings the figures of what waits up to date.
    pub async fn measure(&self) -> Result<(), StoreError> {
        let (now, states) = (self.clock.now(), self.states().await?);
        let names = states.iter().map(|state| state.name.clone()).collect();
        let before =
            std::mem::replace(&mut *self.measured.lock().unwrap_or_else(PoisonError::into_inner), names);
        // What has no rows any more is at zero.
        for name in before.into_iter().filter(|name| states.iter().all(|state| state.name != *name)) {
            self.note_state(&JobLabel { job: name }, (0, None, 0), now);
        }
        for state in states {
            let figures = (state.waiting, state.due_since, state.dead);
            self.note_state(&JobLabel { job: state.name }, figures, now);
        }
        Ok(())
    }

    fn note_state(
        &self,
        label: &JobLabel,
        (waiting, due_since, dead): (i64, Option<Timestamp>, i64),
        now: Timestamp,
    ) {
        let overdue =
            due_since.map_or(0, |since| i64::try_from(now.since(since).as_secs()).unwrap_or(i64::MAX));
        self.figures.waiting.get_or_create(label).set(waiting);
        self.figures.overdue_seconds.get_or_create(label).set(overdue);
        self.figures.dead.get_or_create(label).set(dead);
    }
}

/// What a job's payload is sealed for.
fn context(id: JobId) -> String {
    format!("jobs.payload:{id}")
}

/// How long to wait after so many tries, at most.
fn wait(attempts: i64) -> Duration {
    let (first, longest) = RETRY;
    let doublings = u32::try_from(attempts.clamp(1, 20) - 1).unwrap_or(0);
    first.saturating_mul(2u32.saturating_pow(doublings)).min(longest)
}

/// A wait, shortened by up to a quarter, so that what failed together does not come again together.
fn shortened(wait: Duration, random: &dyn Random) -> Duration {
    let mut byte = [0u8; 1];
    random.fill(&mut byte);
    wait.saturating_mul(1024 - u32::from(byte[0])) / 1024
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::value::random::CountingRandom;

    #[test]
    fn tries_come_later_each_time_and_never_stop_for_long() {
        assert_eq!([1, 2, 3].map(|attempts| wait(attempts).as_secs()), [30, 60, 120]);
        assert_eq!(wait(9), Duration::from_hours(2));
        assert_eq!(wait(10_000), Duration::from_hours(2));
    }

    #[test]
    fn what_failed_together_is_not_tried_again_together() {
        let random = CountingRandom::default();
        let wait = Duration::from_secs(1024);
        let waits: Vec<Duration> = (0..256).map(|_| shortened(wait, &random)).collect();
        assert!(waits.windows(2).all(|pair| pair[0] > pair[1]), "{waits:?}");
        assert_eq!((waits[0], waits[255]), (wait, Duration::from_secs(1024 - 255)));
        assert_eq!(shortened(Duration::from_hours(2), &random), Duration::from_hours(2));
    }
}
