//! The counters of guesses at passwords.

use crate::flows::evidence::Named;
use crate::flows::sign_in::SignIn;
use crate::flows::visit::Visit;
use crate::model::{Account, AccountId};
use crate::policy::sign_in::guesses::Scope;
use crate::store::account::passwords::StoredPassword;

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
    pub(super) fn guesses_of(&self, username: &str) -> String {
        self.core.network_tag(&format!("username:{}", username.to_ascii_lowercase()))
    }

    /// A username that was guessed at, for the record.
    pub(in crate::flows) fn named(&self, username: &str, account: Option<AccountId>) -> Named {
        Named { tag: self.guesses_of(username), account }
    }
}
