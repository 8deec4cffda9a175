//! The worker of the durable queue: it claims the due jobs of one name, runs several at once, and records the result
//! of each.
//!
//! A job that hangs occupies one place, and is cut off at the end of its lease. An organization that has its full
//! share of jobs running gets no more until one has ended, so that others always find a place.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::{Id, JoinSet};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use crate::flows::Broker;
use crate::flows::queue::{ClaimedJob, Failure, LEASE, Payload};
use crate::model::OrganizationId;
use crate::store::{StoreError, Tx};

/// How often a worker looks for due jobs.
const LOOK: Duration = Duration::from_secs(1);

/// How many jobs a worker claims at once.
const BATCH: usize = 16;

/// How many jobs of one organization may run before the worker claims no more of them. The last claim may have added
/// nearly a batch to that.
const SHARE: usize = 16;

/// How many jobs a worker runs at once.
const PLACES: usize = 4 * SHARE;

/// How many jobs may write their results at once. The others wait, so that a burst of jobs leaves the database's
/// connections to sign-ins.
const NOTES: usize = 2;

/// One kind of job.
pub trait Job: Send + Sync + 'static {
    /// The job's data. It also names the job.
    type Payload: Payload;

    /// Runs the job. It may run again after it has succeeded, if the worker died before it could record that; the
    /// second run must change nothing.
    fn run(
        &self,
        broker: &Broker,
        payload: &Self::Payload,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Writes the further rows of a job that is given up, in the same transaction. `payload` is `None` if it could not
    /// be read.
    fn given_up(
        &self,
        _broker: &Broker,
        _tx: &mut Tx,
        _job: &ClaimedJob,
        _payload: Option<&Self::Payload>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        async { Ok(()) }
    }
}

/// Runs the jobs of one name on this node. A job that is under way when this is dropped is due again after its lease.
pub struct Worker<J> {
    broker: Arc<Broker>,
    job: Arc<J>,
    notes: Arc<Semaphore>,
    running: JoinSet<()>,
    places: HashMap<Id, Option<OrganizationId>>,
}

impl<J: Job> Worker<J> {
    /// A worker that has not started yet.
    pub fn new(broker: Arc<Broker>, job: J) -> Self {
        Self {
            broker,
            job: Arc::new(job),
            notes: Arc::new(Semaphore::new(NOTES)),
            running: JoinSet::new(),
            places: HashMap::new(),
        }
    }

    /// Runs until it is dropped.
    pub async fn run(mut self) {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let begun = self.begin_due().await.unwrap_or_else(|error| {
                tracing::warn!(job = J::Payload::NAME, %error, "the queue of jobs could not be read");
                0
            });
            self.wait(&mut ticks, begun == BATCH).await;
        }
    }

    /// Waits until it should look for jobs again: for a while or, if there were more jobs, until there is a free
    /// place.
    async fn wait(&mut self, ticks: &mut Interval, is_more: bool) {
        while !is_more || self.room() < BATCH {
            tokio::select! {
                _ = ticks.tick() => return,
                true = self.next_end() => {}
            }
        }
    }

    fn room(&self) -> usize {
        PLACES.saturating_sub(self.places.len())
    }

    /// Claims due jobs, as many as there are free places, and starts them. Returns how many.
    pub async fn begin_due(&mut self) -> Result<usize, StoreError> {
        let most = self.room().min(BATCH);
        if most == 0 {
            return Ok(0);
        }
        let claimed = self.broker.core.queue().claim::<J::Payload>(most, &self.full()).await?;
        let begun = claimed.len();
        for job in claimed {
            let organization = job.organization();
            let (broker, work, notes) =
                (Arc::clone(&self.broker), Arc::clone(&self.job), Arc::clone(&self.notes));
            let attempt = async move { attempt(&broker, &*work, &notes, &job).await };
            self.places.insert(self.running.spawn(attempt).id(), organization);
        }
        Ok(begun)
    }

    /// The organizations that have their full share of jobs; `None` stands for the deployment itself.
    fn full(&self) -> Vec<Option<OrganizationId>> {
        let mut shares: HashMap<Option<OrganizationId>, usize> = HashMap::new();
        for organization in self.places.values() {
            *shares.entry(*organization).or_default() += 1;
        }
        shares
            .into_iter()
            .filter(|(_, running)| *running >= SHARE)
            .map(|(organization, _)| organization)
            .collect()
    }

    /// Waits until a job has ended. `false` at once if none is running.
    pub async fn next_end(&mut self) -> bool {
        let Some(ended) = self.running.join_next_with_id().await else { return false };
        let id = match &ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        if let Err(error) = ended {
            // Its lease ends, and it is attempted again.
            tracing::error!(job = J::Payload::NAME, %error, "a job ended unexpectedly");
        }
        self.places.remove(&id);
        true
    }
}

/// Runs a claimed job, and records its result.
async fn attempt<J: Job>(broker: &Broker, job: &J, notes: &Semaphore, claimed: &ClaimedJob) {
    let opened = broker.core.queue().open::<J::Payload>(claimed);
    let ran = match &opened {
        Ok(payload) => run(broker, job, claimed, payload).await,
        Err(failure) => Err(failure.clone()),
    };
    let _turn = notes.acquire().await;
    let noted = match ran {
        Ok(()) => broker.core.queue().finish(claimed).await,
        Err(failure) => note_failure(broker, job, claimed, opened.as_ref().ok(), &failure).await,
    };
    if let Err(error) = noted {
        tracing::warn!(job = J::Payload::NAME, id = %claimed.id(), %error, "the result of a job could not be recorded");
    }
}

async fn run<J: Job>(
    broker: &Broker,
    job: &J,
    claimed: &ClaimedJob,
    payload: &J::Payload,
) -> Result<(), Failure> {
    broker.core.queue().require_useful(claimed)?;
    let ran = timeout(LEASE, job.run(broker, payload)).await;
    ran.unwrap_or_else(|_| Err(Failure::passing("too_slow", "it took longer than its lease")))
}

async fn note_failure<J: Job>(
    broker: &Broker,
    job: &J,
    claimed: &ClaimedJob,
    payload: Option<&J::Payload>,
    failure: &Failure,
) -> Result<(), StoreError> {
    let Failure { code, detail, is_final } = failure;
    let (name, id, attempts) = (J::Payload::NAME, claimed.id(), claimed.attempts());
    if !is_final {
        tracing::warn!(job = name, %id, attempts, code, detail, "a job failed, and is tried again");
        return broker.core.queue().postpone(claimed, failure).await;
    }
    tracing::warn!(job = name, %id, attempts, code, detail, "a job was given up");
    let Some(mut tx) = broker.core.queue().give_up(claimed, failure).await? else { return Ok(()) };
    job.given_up(broker, &mut tx, claimed, payload).await?;
    tx.commit().await
}
