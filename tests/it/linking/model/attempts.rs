//! The reference, while a link is under way: choosing, proving, skipping, leaving.

use super::{Account, BEGIN, Email, Ident, Model, Side, Wanted};

impl Model {
    /// Whether an attempt is there for this browser.
    pub fn waits(&self, attempt: usize, browser: usize) -> bool {
        let attempt = &self.attempts[attempt];
        attempt.alive && attempt.browser == browser && self.now < attempt.expires
    }

    /// Declines the offer.
    pub fn skip(&mut self, at: usize, browser: usize) -> bool {
        if !self.waits(at, browser) {
            return false;
        }
        let attempt = self.attempts[at].clone();
        match attempt.near {
            Side::New { ident, email, proved } => {
                if !self.is_open(ident) {
                    self.attempts[at].alive = false;
                    return false;
                }
                if self.is_known(attempt.organization, ident) {
                    return false;
                }
                self.new_person(browser, ident, email, (proved, attempt.app));
            }
            Side::Of { .. } => {
                let current = self.current(browser).map(|session| (session.serial, session.account));
                match current {
                    Some((serial, account)) if Some(serial) == attempt.session => {
                        self.pin(attempt.app, account);
                    }
                    _ => return false,
                }
            }
        }
        self.attempts[at].alive = false;
        true
    }

    /// Chooses what to prove: `Some` of a profile that is named, `None` of an account that is not. Whether the user is
    /// led to where they prove it.
    pub fn choose(&mut self, at: usize, browser: usize, profile: Option<(Account, Ident)>) -> bool {
        if !self.waits(at, browser) {
            return false;
        }
        let wanted = match profile {
            None => Wanted::Any,
            Some(chosen) if self.offered(at).contains(&chosen) => {
                Wanted::Profile(self.people[chosen.0].profiles[&chosen.1].serial)
            }
            Some(_) => {
                self.attempts[at].alive = false;
                return false;
            }
        };
        let attempt = &mut self.attempts[at];
        attempt.wanted = wanted;
        attempt.far = None;
        attempt.revision += 1;
        let near = self.stale_near(at);
        near.or(profile.map(|(_, ident)| ident)).is_none_or(|ident| self.is_open(ident))
    }

    /// The first side of an attempt, where it is proved once more before the second: it was proved too long ago, by a
    /// provider that can be made to ask.
    pub fn stale_near(&self, at: usize) -> Option<Ident> {
        match &self.attempts[at].near {
            Side::New { ident, proved, .. } if self.now - proved > BEGIN => {
                self.can_be_asked(*ident).then_some(*ident)
            }
            _ => None,
        }
    }

    /// Comes back with the first side proved once more, by the same identity.
    pub fn prove_near(&mut self, at: usize, again: Email) {
        let now = self.now;
        let attempt = &mut self.attempts[at];
        if let Side::New { proved, email, .. } = &mut attempt.near {
            (*proved, *email) = (now, again);
            attempt.revision += 1;
        }
    }

    /// Comes back with the second proof: an identity with its email, or an account by its password.
    pub fn prove(
        &mut self,
        at: usize,
        browser: usize,
        revision: usize,
        (ident, email): (Ident, Email),
        local: Option<(Account, usize)>,
    ) -> bool {
        if !self.is_open(ident) || !self.waits(at, browser) || self.attempts[at].revision != revision {
            return false;
        }
        let organization = self.attempts[at].organization;
        let side = match (local, self.holder(ident)) {
            (Some((account, profile)), _) => Side::Of { account, ident, profile, proved: self.now },
            (None, Some(account)) => {
                let profile = self.people[account].profiles[&ident].serial;
                Side::Of { account, ident, profile, proved: self.now }
            }
            (None, None) => Side::New { ident, email, proved: self.now },
        };
        let fits = match (&side, self.attempts[at].wanted) {
            (Side::New { .. }, _) if self.is_known(organization, ident) => false,
            (_, Wanted::Any) => true,
            (Side::Of { profile, .. }, Wanted::Profile(wanted)) => *profile == wanted,
            _ => false,
        };
        let of_it = match (&side, ident) {
            (Side::Of { account, .. }, Ident::Local) => self.people[*account].organization == organization,
            (_, Ident::At(other, ..)) => other == organization,
            (Side::New { .. }, Ident::Local) => false,
        };
        let differ = match (self.attempts[at].near.account(), side.account()) {
            (None, None) => false,
            (near, far) => near != far,
        };
        let attempt = &mut self.attempts[at];
        if fits && of_it && differ {
            attempt.far = Some(side);
            attempt.revision += 1;
            return true;
        }
        attempt.alive = false;
        false
    }

    /// Does not confirm.
    pub fn cancel(&mut self, at: usize, browser: usize) -> bool {
        if !self.waits(at, browser) {
            return false;
        }
        let attempt = &mut self.attempts[at];
        if attempt.email.is_some() {
            attempt.wanted = Wanted::Nothing;
            attempt.far = None;
            attempt.revision += 1;
        } else {
            attempt.alive = false;
        }
        true
    }
}
