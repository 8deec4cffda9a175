//! Guesses at passwords: counted before they are checked, so that parallel ones cannot outrun the count, and what was no
//! failure taken back. Failures of other kinds are counted here after they happened.

use std::time::Duration;

use super::Broker;
use super::error::FlowError;
use super::evidence::{Event, Named};
use super::refusal::{PublicCode, Reason, Wait, refused};
use super::visit::Visit;
use crate::model::{Account, AccountId, Clock, Flow, Timestamp};
use crate::policy::guesses::{CounterState, Scope, Verdict, decide};
use crate::store::guesses::{GuessCount, find_guesses, reserve_guess};
use crate::store::passwords::StoredPassword;
use crate::store::{Database, StoreError};

/// How often a guess is counted anew that another one overtook.
const ATTEMPTS: usize = 8;
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

/// A guess that was counted.
pub(super) struct Guess {
    /// Whose guesses its counter counts.
    pub(super) scope: Scope,
    /// Which of them.
    pub(super) subject: String,
    /// Until when it has whoever comes next wait.
    pub(super) blocked_until: Timestamp,
}

/// What came of counting a guess.
pub(super) enum Counted {
    /// It may be checked.
    Check([Guess; 2]),
    /// It may not, for so long: this counter demands it, or too many guesses count in it at once.
    Wait(Scope, Duration),
}

impl Broker {
    /// The counters that a guess counts in: the account's (or, in a browser that it was used in since its password
    /// was set, that browser's), and the network's. Names that do not exist have counters too.
    pub(super) fn counters(
        &self,
        visit: &Visit,
        entered: &str,
        found: Option<&(Account, Option<StoredPassword>)>,
    ) -> [(Scope, String); 2] {
        let key = self.guesses_of(entered);
        let known = found.and_then(|(account, stored)| {
            self.known_browser(visit, account.id, stored.as_ref().map(|stored| stored.changed_at))
        });
        let known_here = known.is_some();
        let first = match known {
            Some(browser) => (Scope::KnownBrowser, self.network_tag(&format!("{key}:{browser}"))),
            None => (Scope::Account, key),
        };
        // Somebody else's guesses from the same network do not stop a browser that the account was used in.
        let network = if known_here { format!("known:{}", first.1) } else { visit.customer_network() };
        [first, (Scope::Network, self.network_tag(&network))]
    }

    /// Under what guesses at a username's password are counted, from browsers that it was not used in.
    pub(super) fn guesses_of(&self, username: &str) -> String {
        self.network_tag(&format!("username:{}", username.to_ascii_lowercase()))
    }

    /// A username that was guessed at, for the record.
    pub(super) fn named(&self, username: &str, account: Option<AccountId>) -> Named {
        Named { tag: self.guesses_of(username), account }
    }

    /// Counts a guess before it is checked, in both counters.
    pub(super) async fn count_guess(&self, counters: [(Scope, String); 2]) -> Result<Counted, FlowError> {
        let mut busy = Scope::Account;
        for _ in 0..ATTEMPTS {
            let now = self.clock.now();
            let mut tx = self.database.write().await?;
            let mut waits = [now, now];
            let mut overtaken = false;
            for ((scope, subject), left) in counters.iter().zip(&mut waits) {
                let seen = find_guesses(&mut tx, scope.as_str(), subject).await?;
                let facts = seen.map(as_seen);
                match decide(*scope, facts, now) {
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
                let ([one, other], [first, second]) = (counters, waits);
                let guess = |(scope, subject), blocked_until| Guess { scope, subject, blocked_until };
                return Ok(Counted::Check([guess(one, first), guess(other, second)]));
            }
        }
        Ok(Counted::Wait(busy, Duration::from_secs(1)))
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
        let event = Event { about, ..Self::sign_in_event(flow) };
        refused(event, PublicCode::TooManyAttempts(Wait(Some(wait))), reason)
    }
}
