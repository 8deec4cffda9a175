//! What each step does, in the broker and in the reference.

use countersign::flows::account::AddWay;
use countersign::flows::link::OfferAnswer;
use countersign::model::{Caller, ProfileId};

use super::super::direct::{LOCALS, Outcome, Place, connection, connection_of, password_of};
use super::super::model::{Ident, Side, Wanted};
use super::actions::somebody;
use super::{By, CONNECTIONS, Pages, Walk, agree, client_of};

impl Walk {
    pub(super) async fn sign_in(
        &mut self,
        browser: usize,
        (organization, at): (usize, usize),
        (subject, mail): (usize, usize),
        app: usize,
    ) -> bool {
        self.make_room(browser, 3);
        let (who, email) = somebody(organization, subject, mail);
        let tab = &mut self.tabs[browser];
        let app = (app < 3).then_some(organization * 3 + app);
        let begun = match app {
            None => tab.begin(connection(organization, at)).await,
            Some(app) => {
                let hint = format!("c{at}");
                tab.come_from_app(&client_of(app), &[("idp_hint", &hint), ("prompt", "login")]).await
            }
        };
        let outcome = match begun {
            Ok(place @ Place::Upstream(_)) => tab.vouched(&place, &who).await,
            // A hint to a connection that is closed leads to no provider.
            Ok(place) => Err(format!("{place:?}")),
            Err(refused) => Err(refused),
        };
        let expected = self.model.sign_in(browser, Ident::At(organization, at, subject), email, app);
        self.keep_pages(&outcome);
        agree(&outcome, expected)
    }

    pub(super) async fn sign_in_locally(&mut self, browser: usize, who: usize) -> Option<bool> {
        let name = LOCALS.concat()[who];
        // Guesses that fail are counted, and that is another test's matter.
        self.model.by_password(name)?;
        self.make_room(browser, 3);
        let outcome = self.tabs[browser].sign_in_locally(name).await;
        let expected = self.model.sign_in_locally(browser, name);
        Some(agree(&outcome, expected))
    }

    pub(super) async fn ask(&mut self, browser: usize, app: usize) -> bool {
        self.make_room(browser, 3);
        let outcome = self.tabs[browser].come_from_app(&client_of(app), &[]).await;
        let expected = self.model.ask(browser, app);
        assert_eq!(matches!(outcome, Ok(Place::App(_))), expected, "{outcome:?}");
        expected
    }

    pub(super) async fn answer(&mut self, at: usize, browser: usize, choice: usize) -> Option<bool> {
        let page = self.pages[at].offer.clone()?;
        if self.tabs[browser].visit.flows.len() > 4 {
            self.make_room(browser, 4);
            return None;
        }
        let named = self.model.offered(at);
        if self.model.waits(at, browser) {
            let view = self.tabs[browser].offer(&page).await;
            let mut seen: Vec<ProfileId> =
                view.candidates.iter().map(|candidate| candidate.profile).collect();
            let mut due: Vec<ProfileId> = named.iter().map(|named| self.profiles[named]).collect();
            seen.sort_unstable();
            due.sort_unstable();
            assert_eq!(seen, due, "the page names others");
        }
        let (answer, expected, proves) = match (choice, named.is_empty()) {
            (0, _) => (OfferAnswer::Skip, self.model.skip(at, browser), false),
            (1, _) | (_, true) => (OfferAnswer::Existing, self.model.choose(at, browser, None), true),
            (number, false) => {
                let chosen = named[number % named.len()];
                (
                    OfferAnswer::Link(self.profiles[&chosen]),
                    self.model.choose(at, browser, Some(chosen)),
                    true,
                )
            }
        };
        let stale = self.model.stale_near(at).filter(|_| expected && proves);
        let mut outcome = self.tabs[browser].answer(&page, answer).await;
        if let (Ok(place), Some(Ident::At(organization, _, subject))) = (&outcome, stale) {
            let place = place.clone();
            outcome = self.prove_near(at, browser, &place, (organization, subject)).await;
        }
        if let (Ok(place), true) = (&outcome, proves) {
            self.pages[at].proofs.push((place.clone(), self.model.attempts[at].revision));
        }
        Some(agree(&outcome, expected))
    }

    /// Proves the first side of an attempt once more, where it was proved too long ago.
    pub(super) async fn prove_near(
        &mut self,
        at: usize,
        browser: usize,
        place: &Place,
        (organization, subject): (usize, usize),
    ) -> Outcome {
        let (person, email) = somebody(organization, subject, 0);
        let outcome = self.tabs[browser].vouched(place, &person).await;
        self.model.prove_near(at, email);
        outcome
    }

    /// The proof that an attempt waits for, where it waits for one alone.
    pub(super) fn as_wanted(&self, attempt: usize, by: By) -> By {
        let (waiting, places) = (&self.model.attempts[attempt], CONNECTIONS);
        let Wanted::Profile(serial) = waiting.wanted else {
            // Any other account of the same organization.
            let organization = waiting.organization;
            let near = waiting.near.account().and_then(|near| self.model.people[near].username.as_deref());
            let others = LOCALS[organization].iter().filter(|name| Some(**name) != near);
            let name = by.name.and_then(|_| others.cycle().nth(by.subject).copied());
            return By { place: (organization, by.place.1 % places[organization]), name, ..by };
        };
        let held = self
            .model
            .people
            .iter()
            .flat_map(|person| person.profiles.iter().map(move |held| (person, held)));
        let mut wanted = held.filter(|(_, (_, profile))| profile.serial == serial);
        match wanted.next() {
            Some((_, (Ident::At(organization, at, subject), _))) => {
                By { place: (*organization, *at), subject: *subject, name: None, ..by }
            }
            Some((person, (Ident::Local, _))) => {
                let name = LOCALS.concat().into_iter().find(|name| person.username.as_deref() == Some(name));
                By { name, ..by }
            }
            None => by,
        }
    }

    pub(super) async fn prove(
        &mut self,
        (attempt, page): (usize, usize),
        browser: usize,
        By { place, subject, mail, name }: By,
    ) -> Option<bool> {
        let proofs = &self.pages[attempt].proofs;
        let number = proofs.len().checked_sub(1 + page % proofs.len().max(1))?;
        let (page, revision) = proofs[number].clone();
        let ((organization, at), local) = match (&page, name) {
            (Place::Upstream(url), _) => (self.place_at(url), None),
            (_, Some(name)) => (place, Some((name, self.model.by_password(name)?))),
            (_, None) => (place, None),
        };
        let (person, email) = somebody(organization, subject, mail);
        let tab = &mut self.tabs[browser];
        let (outcome, ident) = match (&page, local) {
            (Place::Upstream(_), _) => {
                (tab.vouched(&page, &person).await, Ident::At(organization, at, subject))
            }
            (_, Some((name, _))) => (tab.enter_with(&page, name, &password_of(name)).await, Ident::Local),
            _ => {
                let outcome = tab.through(&page, connection(organization, at), &person).await;
                (outcome, Ident::At(organization, at, subject))
            }
        };
        let proved = (ident, email);
        let expected = self.model.prove(attempt, browser, revision, proved, local.map(|local| local.1));
        let own = self.model.attempts[attempt].browser == browser;
        if matches!(page, Place::Upstream(_)) && own {
            self.pages[attempt].proofs.remove(number);
        }
        if let Ok(place) = &outcome {
            self.pages[attempt].confirm = Some(place.clone());
        }
        Some(agree(&outcome, expected))
    }

    /// The connection whose provider an address belongs to.
    pub(super) fn place_at(&self, url: &str) -> (usize, usize) {
        let name = &self.names[&connection_of(url).to_string()];
        let (organization, at) = name.split_once('.').unwrap();
        (organization.parse().unwrap(), at.parse().unwrap())
    }

    pub(super) async fn confirm(
        &mut self,
        at: usize,
        browser: usize,
        keep: usize,
        local: usize,
    ) -> Option<bool> {
        let page = self.pages[at].confirm.clone()?;
        let attempt = &self.model.attempts[at];
        let sides = [Some(&attempt.near), attempt.far.as_ref()].map(|side| side.and_then(Side::account));
        let choose = |number: usize| match number {
            0 | 1 => sides[number],
            // Another user's account, now and then.
            2 if self.model.now % 5 == 0 => Some(0),
            _ => None,
        };
        let (keep, local) = (choose(keep), choose(local));
        let id = |account: Option<usize>| account.map(|account| self.accounts[account]);
        let outcome = self.tabs[browser].confirm_keeping(&page, id(keep), id(local)).await;
        let expected = self.model.confirm(at, browser, keep, local);
        self.keep_pages(&outcome);
        Some(agree(&outcome, expected))
    }

    pub(super) async fn add(&mut self, browser: usize, at: Option<(usize, usize)>) -> bool {
        self.make_room(browser, 3);
        let own = self.model.sessions[browser]
            .as_ref()
            .map(|session| self.model.people[session.account].organization);
        // Mostly a connection of one's own organization.
        let at = at.map(|(organization, at)| match own {
            Some(own) if at > 0 => (own, at % CONNECTIONS[own]),
            _ => (organization, at),
        });
        let way = at
            .map_or(AddWay::Password, |(organization, at)| AddWay::Connection(connection(organization, at)));
        let outcome = self.tabs[browser].add(way).await;
        let begun = self.model.add(browser);
        if begun == Some(true) {
            let open = at.is_none_or(|at| !self.model.disabled.contains(&at));
            let proofs = outcome.iter().map(|place| (place.clone(), 0)).collect();
            self.pages.push(Pages { proofs, ..Pages::default() });
            // No browser can reach what was begun at an identity provider that is closed.
            self.model.attempts.last_mut().unwrap().alive = open;
            return agree(&outcome, open);
        }
        agree(&outcome, begun.is_some()) && begun == Some(true)
    }

    pub(super) async fn unlink(&mut self, browser: usize, number: usize) -> Option<bool> {
        let account = self.model.sessions[browser].as_ref()?.account;
        let held: Vec<Ident> = self.model.people[account].profiles.keys().copied().collect();
        let ident = held[number % held.len()];
        self.make_room(browser, 3);
        let outcome = self.tabs[browser].unlink(self.profiles[&(account, ident)]).await;
        let may = self.model.may_change(browser);
        if may == Some(true) {
            let expected = self.model.unlink(browser, ident);
            return Some(agree(&outcome, expected));
        }
        agree(&outcome, may.is_some());
        Some(false)
    }

    pub(super) async fn undo(&mut self, back: usize, own: Option<usize>) -> Option<bool> {
        let number = self.entries.len().checked_sub(1 + back % self.entries.len().max(1))?;
        let id = self.entries[number];
        let Some(browser) = own else {
            let outcome = self.links.app.broker.accounts.undo_link(Caller::Operator(None), id).await;
            let expected = self.model.undo(number, None);
            assert_eq!(outcome.is_ok(), expected, "{:?}", outcome.err());
            return Some(expected);
        };
        self.make_room(browser, 3);
        let outcome = self.tabs[browser].undo(id).await;
        let may = self.model.may_change(browser);
        if may == Some(true) {
            let expected = self.model.undo(number, own);
            return Some(agree(&outcome, expected));
        }
        agree(&outcome, may.is_some());
        Some(false)
    }
}
