//! The counters of guesses at passwords.

use crate::flows::evidence::Named;
use crate::flows::sign_in::SignIn;
use crate::flows::visit::Visit;
use crate::model::{Account, AccountId};
use crate::policy::sign_in::guesses::Scope;
use crate::store::account::passwords::StoredPassword;

impl SignIn {
    /// The two counters of a guess: the account's and the network's. A browser in which the account was used since its
    /// password was set has a counter of its own in place of the account's. Names that do not exist have counters too.
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
        // Guesses from the same network by others do not stop a browser in which the account was used.
        let network = if known_here { format!("known:{}", first.1) } else { visit.customer_network() };
        [first, (Scope::Network, self.core.network_tag(&network))]
    }

    /// The counter's key for guesses at a username's password, from browsers in which the account was not used.
    pub(super) fn guesses_of(&self, username: &str) -> String {
        self.core.network_tag(&format!("username:{}", username.to_ascii_lowercase()))
    }

    /// The name in an audit record for a username whose password was guessed at.
    pub(in crate::flows) fn named(&self, username: &str, account: Option<AccountId>) -> Named {
        Named { tag: self.guesses_of(username), account }
    }
}
