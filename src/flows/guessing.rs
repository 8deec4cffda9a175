//! Guesses at passwords: counted before they are checked, so that parallel ones cannot outrun the count, and what was no
//! failure taken back. Failures of other kinds are counted here after they happened.

use std::time::Duration;

use crate::flows::evidence::{Event, Named};
use crate::flows::interaction::sign_in_event;
use crate::flows::refusal::{FlowError, PublicCode, Reason, Wait, refused};
use crate::model::{Clock, Flow};
use crate::policy::sign_in::guesses::{CounterState, Scope, Verdict, decide};
use crate::store::limits::guesses::{GuessCount, find_guesses, reserve_guess};
use crate::store::{Database, StoreError};

/// How often the broker tries to count a failure when others are counted at the same moment. In each round one of them
/// succeeds.
const FAILURE_ATTEMPTS: usize = 256;

/// The state of a counter, as it was read.
pub(super) const fn as_seen(count: GuessCount) -> CounterState {
    let GuessCount { failures, blocked_until, updated_at: changed_at } = count;
    CounterState { failures, blocked_until, changed_at }
}

/// Counts a failure, and gives the state of the counter afterwards. While it blocks, further failures change nothing.
pub(super) async fn count_failure(
    database: &Database,
    clock: &dyn Clock,
    scope: Scope,
    subject: &str,
) -> Result<Option<CounterState>, StoreError> {
    for _ in 0..FAILURE_ATTEMPTS {
        let now = clock.now();
        let mut tx = database.write().await?;
        let seen = find_guesses(&mut tx, scope.as_str(), subject).await?;
        let facts = seen.map(as_seen);
        let Verdict::Check { failures, blocked_until } = decide(scope, facts, now) else { return Ok(facts) };
        let next = GuessCount { failures, blocked_until, updated_at: now };
        if reserve_guess(&mut tx, scope.as_str(), subject, seen, next).await? {
            tx.commit().await?;
            return Ok(Some(as_seen(next)));
        }
    }
    Err(StoreError::Unavailable("too many failures are counted at once"))
}

/// Tells somebody to wait, and records it. `about` is the name whose password was guessed at.
pub(super) fn too_many(flow: &Flow, about: Option<Named>, (scope, wait): (Scope, Duration)) -> FlowError {
    let reason = match scope {
        Scope::Account => Reason::GuessesAccount,
        Scope::KnownBrowser => Reason::GuessesBrowser,
        Scope::Network => Reason::GuessesNetwork,
        Scope::Client => Reason::GuessesClient,
        Scope::Redemption => Reason::Redemptions,
    };
    // A network that guesses at everybody is one source, whomever it names.
    let about = about.filter(|_| scope != Scope::Network);
    let event = Event { about, ..sign_in_event(flow) };
    refused(event, PublicCode::TooManyAttempts(Wait(Some(wait))), reason)
}
