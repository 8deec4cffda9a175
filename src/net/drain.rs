//! The shutdown: first not ready, then no new connections, then the running requests finish, then a hard stop.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Tells all listeners and connections that the shutdown has begun. Clones share it.
#[derive(Debug, Clone)]
pub struct Drain(watch::Sender<Option<Instant>>);

impl Default for Drain {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Drain {
    /// Begins the shutdown: running requests may continue for `patience`. A second call changes nothing.
    pub fn begin(&self, patience: Duration) {
        self.0.send_if_modified(|deadline| {
            let first = deadline.is_none();
            if first {
                *deadline = Some(Instant::now() + patience);
            }
            first
        });
    }

    /// Whether the shutdown has begun. A listener that drains is not ready.
    pub fn has_begun(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Waits until the shutdown begins.
    pub async fn begun(&self) {
        self.deadline().await;
    }

    /// Waits until patience is over.
    pub async fn expired(&self) {
        let deadline = self.deadline().await;
        tokio::time::sleep_until(deadline).await;
    }

    async fn deadline(&self) -> Instant {
        let mut receiver = self.0.subscribe();
        loop {
            if let Some(deadline) = *receiver.borrow_and_update() {
                return deadline;
            }
            if receiver.changed().await.is_err() {
                // The sender lives in `self`, so this cannot happen. To wait is still correct.
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn patience_counts_from_the_first_begin() {
        let drain = Drain::default();
        assert!(!drain.has_begun());
        drain.begin(Duration::from_secs(30));
        let deadline = drain.deadline().await;
        drain.begin(Duration::from_mins(1));
        assert!(drain.has_begun());
        assert_eq!(drain.clone().deadline().await, deadline);
    }

    #[tokio::test]
    async fn waiters_from_before_and_after_the_begin_are_told() {
        let drain = Drain::default();
        let waiting = tokio::spawn({
            let drain = drain.clone();
            async move { drain.begun().await }
        });
        tokio::task::yield_now().await;
        drain.begin(Duration::ZERO);
        waiting.await.unwrap();
        drain.begun().await;
    }
}
