//! The accounts that were used in a browser, sealed in a cookie of its own. They keep an attacker's guesses from
//! locking a user out of the browser that they use.

use crate::crypto::password::Share;
use crate::crypto::random;
use crate::crypto::seal::Purpose;
use crate::flows::refusal::FlowError;
use crate::flows::session::Sessions;
use crate::flows::visit::{CookieChange, Visit};
use crate::model::{AccountId, Timestamp};

/// The most accounts that a browser is known for. Beyond that, the one used longest ago is forgotten.
const MAX_ACCOUNTS: usize = 5;

/// The content of the cookie: the browser's own name, and for each account the time of its last sign-in, in
/// microseconds.
type Sealed = (String, Vec<([u8; 16], i64)>);

#[derive(Default)]
struct Known {
    browser: Option<String>,
    /// The accounts, each with the time of its last sign-in.
    accounts: Vec<(AccountId, Timestamp)>,
}

impl Sessions {
    /// The sealed list of accounts that were used in a browser, with `account` in it, newest first.
    pub(in crate::flows) fn remember_browser(
        &self,
        visit: &Visit,
        account: AccountId,
    ) -> Result<CookieChange, FlowError> {
        let mut known = self.read_known(visit);
        let browser = known.browser.unwrap_or_else(|| random::token(&*self.core.random).expose().to_owned());
        known.accounts.retain(|(id, _)| *id != account);
        known.accounts.insert(0, (account, self.core.clock.now()));
        known.accounts.truncate(MAX_ACCOUNTS);
        let entries = known.accounts.iter().map(|(id, at)| (id.into_bytes(), at.unix_micros()));
        let list = (browser, entries.collect::<Vec<_>>());
        let text = postcard::to_allocvec(&list)
            .map_err(|_| FlowError::Unavailable("the list of accounts cannot be written".to_owned()))?;
        Ok(CookieChange::SetKnown(self.core.sealer.seal_text(Purpose::KnownBrowser, "known", &text)?))
    }

    /// The browser's own name in guess counters, if the account was used in it since its password was set. A sign-in
    /// with an older password does not count.
    pub(in crate::flows) fn known_browser(
        &self,
        visit: &Visit,
        account: AccountId,
        password_since: Option<Timestamp>,
    ) -> Option<String> {
        let known = self.read_known(visit);
        let (_, used_at) = known.accounts.iter().find(|(id, _)| *id == account)?;
        known.browser.filter(|_| password_since.is_none_or(|since| *used_at >= since))
    }

    /// The share of the hashing threads that a visitor waits for: that of the account last used in the browser, since a
    /// browser costs nothing and an account does; else that of their network.
    pub(in crate::flows) fn hashing_share(&self, visit: &Visit) -> Share {
        let known = self.known_account(visit).map(|account| account.to_string());
        known.map_or_else(|| Share::Network(visit.customer_network()), Share::Known)
    }

    /// The account that was last used in a browser.
    pub(in crate::flows) fn known_account(&self, visit: &Visit) -> Option<AccountId> {
        self.read_known(visit).accounts.first().map(|(account, _)| *account)
    }

    fn read_known(&self, visit: &Visit) -> Known {
        let open = |sealed: &String| self.core.sealer.open_text(Purpose::KnownBrowser, "known", sealed).ok();
        let text = visit.known.as_ref().and_then(open);
        let list: Option<Sealed> = text.and_then(|text| postcard::from_bytes(&text).ok());
        let entry = |(id, at)| (AccountId::from_bytes(id), Timestamp::from_unix_micros(at));
        list.map_or_else(Known::default, |(browser, accounts)| Known {
            browser: Some(browser),
            accounts: accounts.into_iter().map(entry).collect(),
        })
    }
}
