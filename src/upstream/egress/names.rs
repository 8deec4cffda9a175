//! Looks names up, in such a way that no organization uses up what all share.
//!
//! A look-up that hangs blocks a thread of the system's resolver until that gives up, whether or not a caller still
//! waits for it. So it counts against its connection and its organization until it has really ended, and each name has
//! at most one.

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::Owner;

/// How many look-ups may run at once.
const LOOKUPS: usize = 128;
/// How many of them may belong to one organization. It may also have only as many as it leaves free.
const OF_AN_ORGANIZATION: usize = 16;
/// How many of them may belong to one connection.
const OF_A_CONNECTION: usize = 4;

/// The addresses that the resolver found, or why it found none.
pub(in crate::upstream) type Found = Result<Vec<IpAddr>, String>;

/// Turns names into addresses.
pub(in crate::upstream) trait Resolver: Send + Sync {
    /// Every address of a name.
    fn resolve(&self, host: String) -> Pin<Box<dyn Future<Output = Found> + Send>>;
}

/// The system's resolver, which reads the hosts file.
pub(super) struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve(&self, host: String) -> Pin<Box<dyn Future<Output = Found> + Send>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await.map_err(|error| error.to_string())?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Why a look-up gave no addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LookupError {
    /// The resolver found none.
    Failed(String),
    /// It took too long.
    TimedOut,
    /// The owner already has as many look-ups under way as it may have.
    Busy,
}

/// A look-up under way: when it began, and where its result will arrive.
type Flight = (Instant, watch::Receiver<Option<Found>>);

#[derive(Default)]
struct State {
    flights: HashMap<String, Flight>,
    by_organization: HashMap<String, usize>,
    by_connection: HashMap<Owner, usize>,
}

/// The look-ups under way.
pub(super) struct Names {
    resolver: Arc<dyn Resolver>,
    state: Mutex<State>,
    limit: Duration,
}

/// The place that a look-up takes until it ends.
struct Charge {
    names: Arc<Names>,
    owner: Owner,
    host: String,
}

impl Names {
    pub fn new(resolver: Arc<dyn Resolver>, limit: Duration) -> Arc<Self> {
        Arc::new(Self { resolver, state: Mutex::default(), limit })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every address of `host`. Two callers that ask for the same name wait for the same look-up. A look-up that has
    /// already taken too long is not waited for.
    pub async fn look_up(self: &Arc<Self>, owner: &Owner, host: String) -> Result<Vec<IpAddr>, LookupError> {
        let (since, mut outcome) = self.flight(owner, host)?;
        let landed = tokio::time::timeout_at(since + self.limit, outcome.wait_for(Option::is_some)).await;
        let found = landed.map_err(|_| LookupError::TimedOut)?.ok().and_then(|found| found.clone());
        found.unwrap_or_else(|| Err("the look-up was given up".to_owned())).map_err(LookupError::Failed)
    }

    fn flight(self: &Arc<Self>, owner: &Owner, host: String) -> Result<Flight, LookupError> {
        let mut state = self.state();
        if let Some(flight) = state.flights.get(&host) {
            return Ok(flight.clone());
        }
        state.charge(owner)?;
        let (sender, receiver) = watch::channel(None);
        let flight = (Instant::now(), receiver);
        state.flights.insert(host.clone(), flight.clone());
        drop(state);
        let charge = Charge { names: Arc::clone(self), owner: owner.clone(), host: host.clone() };
        let resolving = self.resolver.resolve(host);
        tokio::spawn(async move {
            let found = resolving.await;
            drop(charge);
            sender.send_replace(Some(found));
        });
        Ok(flight)
    }

    /// How many look-ups are under way.
    #[cfg(test)]
    pub fn under_way(&self) -> usize {
        self.state().flights.len()
    }
}

impl State {
    /// Counts one more look-up, if its owner may have it.
    fn charge(&mut self, owner: &Owner) -> Result<(), LookupError> {
        let free = LOOKUPS.saturating_sub(self.flights.len());
        let of_organization = self.by_organization.get(&owner.organization).copied().unwrap_or_default();
        let of_connection = self.by_connection.get(owner).copied().unwrap_or_default();
        if of_connection >= OF_A_CONNECTION || of_organization >= OF_AN_ORGANIZATION.min(free) {
            return Err(LookupError::Busy);
        }
        self.by_organization.insert(owner.organization.clone(), of_organization + 1);
        self.by_connection.insert(owner.clone(), of_connection + 1);
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let mut state = self.names.state();
        state.flights.remove(&self.host);
        less(&mut state.by_organization, &self.owner.organization);
        less(&mut state.by_connection, &self.owner);
    }
}

/// Counts one look-up less, and removes a count that has reached zero.
fn less<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}
