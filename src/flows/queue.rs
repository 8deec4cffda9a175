//! The durable queue, as the use cases see it. They queue a job in the transaction that causes it, and never wait for
//! it. `jobs` has the workers, which claim due jobs here and report the results here.
//!
//! A job may run more than once, because a worker may die between doing it and reporting it. A job must therefore have
//! the same effect when it runs again.

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

/// How long a worker may take for a job that it claimed.
pub const LEASE: Duration = Duration::from_mins(2);

/// The first wait before another try, and the longest one.
const RETRY: (Duration, Duration) = (Duration::from_secs(30), Duration::from_hours(2));

/// The data of a job. Its JSON is sealed, and deleted when the job is done or given up.
pub trait Payload: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The name of the job, which says what it does. It never changes.
    const NAME: &'static str;

    /// The version of the payload's form, one more with each change that an earlier release cannot read. A release
    /// reads a new form before the next one writes it, because the nodes of two releases share one queue.
    const VERSION: i64;

    /// How long the job is worth doing. Afterwards it is given up.
    fn useful_for(&self) -> Duration;

    /// Reads a payload of this version; `None` if it cannot be read.
    fn read(version: i64, text: &[u8]) -> Option<Self> {
        (version == Self::VERSION).then(|| serde_json::from_slice(text).ok()).flatten()
    }
}

/// The organization and account that a job is about.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// The organization. Its jobs have one share of the workers.
    pub organization: Option<OrganizationId>,
    /// The account.
    pub account: Option<AccountId>,
    /// Of two jobs of one name with the same key, one is kept.
    pub dedup_key: Option<String>,
}

/// The reason why a job was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A short code without personal data, kept in the database.
    pub code: &'static str,
    /// A description for the log, without personal data.
    pub detail: String,
    /// Whether another try is useless.
    pub is_final: bool,
}

impl Failure {
    /// A failure after which the job may succeed later.
    pub fn passing(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), is_final: false }
    }

    /// A failure after which the job cannot succeed.
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

    /// The number of tries, this one included.
    pub const fn attempts(&self) -> i64 {
        self.job.attempts
    }
}

/// The result of a run of a job.
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

/// The queue's figures, for the operator's metrics. Clones share the same figures.
#[derive(Debug, Clone, Default)]
pub struct QueueFigures {
    /// Runs of jobs on this node, by result.
    pub runs: Family<JobRun, Counter>,
    /// Jobs that are waiting or running.
    pub waiting: Family<JobLabel, Gauge>,
    /// How many seconds ago the oldest job that is still unclaimed became due.
    pub overdue_seconds: Family<JobLabel, Gauge>,
    /// Jobs that were given up and are still in the database.
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

    /// Queues a job in the caller's transaction, due at once; `false` if one with the same key was queued before.
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

    /// Claims up to `most` due jobs, but none of the organizations in `without`. Only the first four of these count;
    /// `None` stands for the deployment's own jobs.
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

    /// Opens the data of a job.
    pub fn open<P: Payload>(&self, claimed: &ClaimedJob) -> Result<P, Failure> {
        let job = &claimed.job;
        let text = self.sealer.open_text(Purpose::PersonalData, &context(job.id), &job.payload_sealed);
        let payload = text.ok().and_then(|text| P::read(job.version, &text));
        payload.ok_or_else(|| Failure::lasting("unreadable", "its payload cannot be opened"))
    }

    /// Refuses a job that is no longer useful.
    pub fn require_useful(&self, claimed: &ClaimedJob) -> Result<(), Failure> {
        if self.clock.now() < claimed.job.useful_until {
            return Ok(());
        }
        Err(Failure::lasting("too_late", "it could not be done while it was of use"))
    }

    /// Notes that a job is done.
    pub async fn finish(&self, claimed: &ClaimedJob) -> Result<(), StoreError> {
        let mut tx = self.database.write().await?;
        let is_ours = jobs::finish_job(&mut tx, claimed.job.id, &claimed.claim, self.clock.now()).await?;
        tx.commit().await?;
        self.count(claimed, if is_ours { "done" } else { "lost" });
        Ok(())
    }

    /// Notes that a job failed. It is tried again, after a longer wait each time.
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

    /// Begins to give a job up, for this reason. The caller adds its own writes to the transaction, and commits. `None`
    /// if the claim was lost; then there is nothing to do.
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

    /// The state of the jobs of each name.
    pub async fn states(&self) -> Result<Vec<QueueState>, StoreError> {
        jobs::list_queues(&mut self.database.read().await?, self.clock.now()).await
    }

    /// The queue's figures.
    pub fn figures(&self) -> QueueFigures {
        self.figures.clone()
    }

    /// Updates the figures of waiting, overdue and given-up jobs.
    pub async fn measure(&self) -> Result<(), StoreError> {
        let (now, states) = (self.clock.now(), self.states().await?);
        let names = states.iter().map(|state| state.name.clone()).collect();
        let before =
            std::mem::replace(&mut *self.measured.lock().unwrap_or_else(PoisonError::into_inner), names);
        // A name without rows is set to zero.
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

/// The context for which a job's payload is sealed.
fn context(id: JobId) -> String {
    format!("jobs.payload:{id}")
}

/// The longest wait after this many tries.
fn wait(attempts: i64) -> Duration {
    let (first, longest) = RETRY;
    let doublings = u32::try_from(attempts.clamp(1, 20) - 1).unwrap_or(0);
    first.saturating_mul(2u32.saturating_pow(doublings)).min(longest)
}

/// A wait, shortened by up to a quarter, so that jobs that failed together do not run again together.
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
