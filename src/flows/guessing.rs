//! Guesses at secrets, and failures, by the counters of `policy::sign_in::guesses`. A guess is counted before it is
//! checked, so that parallel guesses cannot outrun the count; a failure is counted after it happened.

use std::time::Duration;

use crate::flows::evidence::{Event, Named};
use crate::flows::refusal::{FlowError, PublicCode, Reason, Wait, refused};
use crate::model::{Clock, Timestamp};
use crate::policy::sign_in::guesses::{CounterState, Scope, Verdict, decide};
use crate::store::limits::guesses::{GuessCount, find_guesses, reserve_guess};
use crate::store::{Database, StoreError};

/// How often the broker tries to count a guess when others are counted at the same moment.
const GUESS_ATTEMPTS: usize = 8;

/// How often the broker tries to count a failure when others are counted at the same moment. In each round one of them
/// succeeds.
const FAILURE_ATTEMPTS: usize = 256;

/// The state of a counter, as it was read.
pub(super) const fn as_seen(count: GuessCount) -> CounterState {
    let GuessCount { failures, blocked_until, updated_at: changed_at } = count;
    CounterState { failures, blocked_until, changed_at }
}

/// A guess that was counted.
pub(super) struct Guess {
    /// The kind of its counter.
    pub(super) scope: Scope,
    /// The account, browser or network whose guesses the counter counts, as a keyed tag.
    pub(super) subject: String,
    /// No further guess is checked before this time.
    pub(super) blocked_until: Timestamp,
}

/// The result of counting a guess.
pub(super) enum Counted<const N: usize> {
    /// The guess may be checked. It counts in each of its counters.
    Check([Guess; N]),
    /// The guess may not be checked for this time: the counter demands it, or too many guesses count in it at once.
    Wait(Scope, Duration),
}

/// Counts a guess in all of its counters, or in none.
pub(super) async fn count_guess<const N: usize>(
    database: &Database,
    clock: &dyn Clock,
    counters: [(Scope, String); N],
) -> Result<Counted<N>, StoreError> {
    let mut busy = Scope::Network;
    for _ in 0..GUESS_ATTEMPTS {
        let now = clock.now();
        let mut tx = database.write().await?;
        let mut waits = [now; N];
        let mut overtaken = false;
        for ((scope, subject), left) in counters.iter().zip(&mut waits) {
            let seen = find_guesses(&mut tx, scope.as_str(), subject).await?;
            match decide(*scope, seen.map(as_seen), now) {
                Verdict::Wait { wait } => return Ok(Counted::Wait(*scope, wait)),
                Verdict::Check { failures, blocked_until } => {
                    let next = GuessCount { failures, blocked_until, updated_at: now };
                    *left = blocked_until;
                    if !reserve_guess(&mut tx, scope.as_str(), subject, seen, next).await? {
                        (overtaken, busy) = (true, *scope);
                        break;
                    }
                }
            }
        }
        if !overtaken {
            tx.commit().await?;
            let mut waits = waits.into_iter();
            return Ok(Counted::Check(counters.map(|(scope, subject)| Guess {
                scope,
                subject,
                blocked_until: waits.next().unwrap_or(now),
            })));
        }
    }
    Ok(Counted::Wait(busy, Duration::from_secs(1)))
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

/// Refuses a guess that may not be checked for this time. `about` is the name whose secret was guessed at.
pub(super) fn too_many(event: Event, about: Option<Named>, (scope, wait): (Scope, Duration)) -> FlowError {
    let reason = match scope {
        Scope::Account => Reason::GuessesAccount,
        Scope::KnownBrowser => Reason::GuessesBrowser,
        Scope::Network => Reason::GuessesNetwork,
        Scope::Client => Reason::GuessesClient,
        Scope::Redemption => Reason::Redemptions,
    };
    // A network that guesses at many names is one source, so the record names none of them.
    let about = about.filter(|_| scope != Scope::Network);
    let event = Event { about, ..event };
    refused(event, PublicCode::TooManyAttempts(Wait(Some(wait))), reason)
}
