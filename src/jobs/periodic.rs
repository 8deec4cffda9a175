//! The work of each node at regular intervals. Each task is a loop that logs its failures and continues.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::flows::Broker;
use crate::flows::housekeeping::ChangeReader;
use crate::flows::keys::Rotation;
use crate::model::Caller;

/// How often this node reads the changes of other nodes.
const READ_CHANGES: Duration = Duration::from_secs(1);

/// How often keys move from one stage to the next.
const MOVE_KEYS: Duration = Duration::from_secs(15);

/// How often the waiting jobs are counted, for the operator's metrics.
const MEASURE_QUEUE: Duration = Duration::from_secs(15);

/// How often refusals that were counted in memory are written.
const WRITE_REFUSALS: Duration = Duration::from_secs(1);

/// How often expired rows are removed.
const SWEEP: Duration = Duration::from_mins(1);

/// How often the broker checks whether a signing key must be replaced.
const ROTATE: Duration = Duration::from_hours(1);

/// How often the broker looks for days of the audit log that are old enough to leave it.
const EXPORT_AUDIT: Duration = Duration::from_hours(1);

/// How often the broker warns that a client secret expires soon.
const WARN: Duration = Duration::from_hours(24);

/// Starts all of them.
pub(super) fn start(broker: &Arc<Broker>, jobs: &mut JoinSet<()>) {
    jobs.spawn(read_changes(Arc::clone(broker)));
    jobs.spawn(every(MOVE_KEYS, "move_keys", Arc::clone(broker), |broker| async move {
        Ok(broker.keys.reload_signing_keys().await?)
    }));
    jobs.spawn(every(ROTATE, "rotate_keys", Arc::clone(broker), |broker| async move {
        broker.keys.rotate_signing_keys(Caller::Job, Rotation::Due).await?;
        Ok(())
    }));
    jobs.spawn(every(MEASURE_QUEUE, "measure_queue", Arc::clone(broker), |broker| async move {
        Ok(broker.core.queue().measure().await?)
    }));
    jobs.spawn(every(WRITE_REFUSALS, "write_refusals", Arc::clone(broker), |broker| async move {
        Ok(broker.core.write_counted_refusals().await?)
    }));
    jobs.spawn(every(SWEEP, "sweep", Arc::clone(broker), |broker| async move {
        broker.housekeeping.sweep().await?;
        Ok(())
    }));
    jobs.spawn(every(EXPORT_AUDIT, "export_audit", Arc::clone(broker), |broker| async move {
        broker.housekeeping.export_old_days().await?;
        Ok(())
    }));
    jobs.spawn(every(WARN, "warn_of_ending_secrets", Arc::clone(broker), |broker| async move {
        Ok(broker.health.warn_of_ending_secrets().await?)
    }));
}

async fn read_changes(broker: Arc<Broker>) {
    let mut reader = ChangeReader::default();
    let mut ticks = interval(READ_CHANGES);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = broker.housekeeping.forget_changes(&mut reader).await {
            tracing::warn!(%error, "the changes of other nodes could not be read");
        }
    }
}

async fn every<F, T>(span: Duration, name: &'static str, broker: Arc<Broker>, run: F)
where
    F: Fn(Arc<Broker>) -> T + Send,
    T: Future<Output = anyhow::Result<()>> + Send,
{
    let mut ticks = interval(span);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = run(Arc::clone(&broker)).await {
            tracing::warn!(job = name, error = format!("{error:#}"), "a job failed");
        }
    }
}
