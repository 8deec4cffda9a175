//! Limits on redeeming codes at a provider. A stranger can invent codes, so the broker counts refused ones by
//! connection and network. A stranger thus cannot use up the requests that the provider allows the broker.
//!
//! The database counts a refusal when the provider has answered. Until then the code counts in this node's memory.
//! Browsers in which an account was used are counted by that account, so that a stranger behind the same address does
//! not stop a known browser. A code counts as refused when its browser goes away before the provider has answered.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::flows::guessing::count_failure;
use crate::flows::sso::Sso;
use crate::flows::visit::Visit;
use crate::model::{Clock, ConnectionId};
use crate::policy::sign_in::guesses::{CounterState, Scope, may_redeem};
use crate::store::{Database, StoreError};
use crate::upstream::{Asker, Gate};

/// The counters that have callbacks under way.
#[derive(Default)]
pub(in crate::flows) struct Redemptions(Mutex<HashMap<String, Note>>);

#[derive(Default)]
struct Note {
    /// The state of the counter in the database, as it was last read.
    seen: Option<CounterState>,
    /// The number of codes that the provider has not answered yet.
    unjudged: i64,
    /// The number of callbacks under way. The note is dropped with the last of them.
    present: usize,
}

impl Redemptions {
    /// Each change under the lock is complete, so the map is valid even after a panic elsewhere.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Note>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A callback's place at its counter.
struct Place {
    notes: Arc<Redemptions>,
    subject: String,
    /// Whether its code is with the provider.
    calling: AtomicBool,
}

impl Place {
    fn new(notes: &Arc<Redemptions>, subject: String) -> Self {
        notes.lock().entry(subject.clone()).or_default().present += 1;
        Self { notes: Arc::clone(notes), subject, calling: AtomicBool::new(false) }
    }

    fn learn(&self, seen: Option<CounterState>) {
        if let Some(note) = self.notes.lock().get_mut(&self.subject) {
            // Two callbacks may report what they read in the wrong order. The later state counts.
            let order = |seen: &CounterState| (seen.changed_at, seen.failures);
            if note.seen.as_ref().map(order) < seen.as_ref().map(order) {
                note.seen = seen;
            }
        }
    }

    fn judged(&self) {
        if self.calling.swap(false, Ordering::SeqCst)
            && let Some(note) = self.notes.lock().get_mut(&self.subject)
        {
            note.unjudged -= 1;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.judged();
        let mut notes = self.notes.lock();
        if let Some(note) = notes.get_mut(&self.subject) {
            note.present -= 1;
            if note.present == 0 {
                notes.remove(&self.subject);
            }
        }
    }
}

/// A code on its way to the provider.
pub(super) struct Attempt {
    place: Option<Place>,
    database: Arc<Database>,
    clock: Arc<dyn Clock>,
}

impl Attempt {
    /// The key of the counter in which the code counts.
    pub(in crate::flows) fn subject(&self) -> &str {
        self.place.as_ref().map_or("", |place| &place.subject)
    }

    /// Notes the state of the counter in the database.
    pub(in crate::flows) fn learn(&self, seen: Option<CounterState>) {
        if let Some(place) = &self.place {
            place.learn(seen);
        }
    }

    /// Whether the code may go to the provider now.
    ///
    /// # Errors
    /// How long to wait.
    pub(in crate::flows) fn check(&self) -> Result<(), Duration> {
        let Some(place) = &self.place else { return Ok(()) };
        let notes = place.notes.lock();
        let (seen, unjudged) = notes.get(&place.subject).map_or((None, 0), |note| (note.seen, note.unjudged));
        may_redeem(seen, unjudged, self.clock.now())
    }

    /// Counts the code as refused by the provider.
    pub(in crate::flows) async fn refused(mut self) -> Result<(), StoreError> {
        let subject = self.subject().to_owned();
        let seen = count_failure(&self.database, &*self.clock, Scope::Redemption, &subject).await?;
        // Order matters: until the failure is counted, dropping this counts it.
        if let Some(place) = self.place.take() {
            place.learn(seen);
        }
        Ok(())
    }

    /// Notes that the provider did not refuse the code.
    pub(super) fn settled(self) {
        self.accepted();
    }
}

impl Gate for Attempt {
    fn pass(&self) -> Result<(), Duration> {
        let Some(place) = &self.place else { return Ok(()) };
        if place.calling.load(Ordering::SeqCst) {
            return Ok(());
        }
        let mut notes = place.notes.lock();
        let note = notes.entry(place.subject.clone()).or_default();
        may_redeem(note.seen, note.unjudged, self.clock.now())?;
        note.unjudged += 1;
        place.calling.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn accepted(&self) {
        if let Some(place) = &self.place {
            place.judged();
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let calling = |place: &Place| place.calling.load(Ordering::SeqCst);
        let Some(place) = self.place.take().filter(calling) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (database, clock) = (Arc::clone(&self.database), Arc::clone(&self.clock));
        runtime.spawn(async move {
            match count_failure(&database, &*clock, Scope::Redemption, &place.subject).await {
                Ok(seen) => place.learn(seen),
                Err(error) => tracing::warn!(%error, "a code that nobody waited for could not be counted"),
            }
        });
    }
}

impl Sso {
    /// Begins an attempt for a code that came back, before the code goes to the provider.
    pub(super) fn begin_redemption(&self, asker: &Asker, connection: ConnectionId) -> Attempt {
        let subject = self.core.network_tag(&format!("redemption:{connection}:{}", asker.name()));
        Attempt {
            place: Some(Place::new(&self.redemptions, subject)),
            database: Arc::clone(&self.core.database),
            clock: Arc::clone(&self.core.clock),
        }
    }

    /// The known account or the network on whose behalf a provider is asked.
    pub(in crate::flows) fn asker(&self, visit: &Visit) -> Asker {
        match self.sessions.known_account(visit) {
            Some(account) => Asker::known(visit.customer_network(), account.to_string()),
            None => Asker::stranger(visit.customer_network()),
        }
    }
}
