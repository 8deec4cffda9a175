//! What runs by itself, beside the requests.
//!
//! * Jobs of the durable queue: a use case of `flows` leaves them in its own transaction, and a worker here does them
//!   afterwards, once or more, on whichever node is first. One file each: [`send_mail`].
//! * [`periodic`]: what each node does every so often.

pub mod periodic;
pub mod send_mail;
pub mod worker;

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::flows::Broker;
use send_mail::SendMail;
use worker::Worker;

/// Starts everything; it ends when the set is dropped.
pub fn start(broker: &Arc<Broker>) -> JoinSet<()> {
    let mut jobs = JoinSet::new();
    periodic::start(broker, &mut jobs);
    // Without a way for mails, those that were kept before wait for it.
    if broker.mails.sends_mail() {
        jobs.spawn(Worker::new(Arc::clone(broker), SendMail).run());
    }
    jobs
}
