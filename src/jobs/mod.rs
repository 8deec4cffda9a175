//! The work that runs by itself, beside the requests.
//!
//! * Jobs of the durable queue: a use case of `flows` adds them in its own transaction, and a worker here runs them
//!   afterwards, once or more, on the first node that claims them. Each kind has one file: [`send_mail`].
//! * [`periodic`]: the work of each node at regular intervals.

pub mod periodic;
pub mod send_mail;
pub mod worker;

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::flows::Broker;
use send_mail::SendMail;
use worker::Worker;

/// Starts all of this work. It ends when the set is dropped.
pub fn start(broker: &Arc<Broker>) -> JoinSet<()> {
    let mut jobs = JoinSet::new();
    periodic::start(broker, &mut jobs);
    // If no way to send mails is configured, queued mails wait until there is one.
    if broker.mails.sends_mail() {
        jobs.spawn(Worker::new(Arc::clone(broker), SendMail).run());
    }
    jobs
}
