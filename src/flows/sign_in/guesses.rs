//! Guesses at passwords: counted before they are checked, so that parallel ones cannot outrun the count.

use std::time::Duration;

use crate::flows::evidence::Named;
use crate::flows::guessing::as_seen;
use crate::flows::refusal::FlowError;
use crate::flows::sign_in::SignIn;
use crate::flows::visit::Visit;
use crate::model::{Account, AccountId, Timestamp};
use crate::policy::sign_in::guesses::{Scope, Verdict, decide};
use crate::store::account::passwords::StoredPassword;
use crate::store::limits::guesses::{GuessCount, find_guesses, reserve_guess};

/// How often a guess is counted again that another one overtook.
const ATTEMPTS: usize = 8;

/// A guess that was counted.
pub(in crate::flows) struct Guess {
    /// Whose guesses its counter counts.
    pub(in crate::flows) scope: Scope,
    /// Which of them.
    pub(in crate::flows) subject: String,
    /// Until when it has whoever comes next wait.
    pub(in crate::flows) blocked_until: Timestamp,
}

/// What came of counting a guess.
pub(in crate::flows) enum Counted {
    /// It may be checked.
    Check([Guess; 2]),
    /// It may not, for so long: this counter demands it, or too many guesses count in it at once.
    Wait(Scope, Duration),
}

impl SignIn {
    /// The counters that a guess counts in: the account's (or, in a browser that it was used in since its password
    /// was set, that browser's), and the network's. Names that do not exist have counters too.
    pub(in crate::flows) fn counters(
        &self,
        visit: &Visit,
        entered: &str,
        found: Option<&(Account, Option<StoredPassword>)>,
    ) -> [(Scope, String); 2] {
        let key = self.guesses_of(entered);
        let known = found.and_then(|(account, stored)| {
            self.sessions.known_browser(visit, account.id, stored.as_ref().map(|stored| stored.changed_at))
        });
        let known_here = known.is_some();
        let first = match known {
            Some(browser) => (Scope::KnownBrowser, self.core.network_tag(&format!("{key}:{browser}"))),
            None => (Scope::Account, key),
        };
        // Somebody else's guesses from the same network do not stop a browser that the account was used in.
        let network = if known_here { format!("known:{}", first.1) } else { visit.customer_network() };
        [first, (Scope::Network, self.core.network_tag(&network))]
    }

    /// Under what guesses at a username's password are counted, from browsers that it was not used in.
    pub(in crate::flows) fn guesses_of(&self, username: &str) -> String {
        self.core.network_tag(&format!("username:{}", username.to_ascii_lowercase()))
    }

    /// A username that was guessed at, for the record.
    pub(in crate::flows) fn named(&self, username: &str, account: Option<AccountId>) -> Named {
        Named { tag: self.guesses_of(username), account }
    }

    /// Counts a guess before it is checked, in both counters.
    pub(in crate::flows) async fn count_guess(
        &self,
        counters: [(Scope, String); 2],
    ) -> Result<Counted, FlowError> {
        let mut busy = Scope::Account;
        for _ in 0..ATTEMPTS {
            let now = self.core.clock.now();
            let mut tx = self.core.database.write().await?;
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
}
