//! Whatever people do, in whatever order: after every step the database holds what the reference says.
//!
//! `LINK_STEPS` makes the walk longer, `LINK_SEED` takes another one; a walk that fails is shortened first.

use std::collections::BTreeMap;
use std::sync::Mutex;

use countersign::flows::link::{AddWay, OfferAnswer};
use countersign::model::{AccountId, Clock, LedgerId, ProfileId};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::direct::{
    LOCALS, Links, ORGANIZATIONS, Outcome, Place, Rows, Switches, Tab, UNFORCED, connection, connection_of,
    password_of,
};
use super::model::{Email, Ident, Model, Person as Account, Profile, Side, Wanted};
use super::providers::{Person, person};
use crate::harness::database::Kind;
use crate::on_both_databases;

/// How many steps a run takes, if `LINK_STEPS` does not say; and how many of them go through one world.
const STEPS: usize = 1_600;
const IN_ONE_WORLD: usize = 200;

/// The connections of each organization; the last has the issuer of the first.
const CONNECTIONS: [usize; 2] = [5, 3];

/// One step. Numbers count among whatever there is then.
#[derive(Debug, Clone)]
enum Action {
    SignIn {
        browser: usize,
        at: usize,
        subject: usize,
        mail: usize,
        app: usize,
    },
    SignInLocally {
        browser: usize,
        who: usize,
    },
    Ask {
        browser: usize,
        app: usize,
    },
    Answer {
        attempt: usize,
        choice: usize,
        stranger: bool,
    },
    Prove {
        attempt: usize,
        page: usize,
        at: usize,
        subject: usize,
        mail: usize,
        who: Option<usize>,
        stranger: bool,
        honest: bool,
    },
    Confirm {
        attempt: usize,
        keep: usize,
        local: usize,
        stranger: bool,
    },
    Cancel {
        attempt: usize,
    },
    Add {
        browser: usize,
        at: Option<usize>,
    },
    Unlink {
        browser: usize,
        profile: usize,
    },
    Undo {
        entry: usize,
        own: Option<usize>,
    },
    Enable {
        account: usize,
        enabled: bool,
    },
    Open {
        at: usize,
        open: bool,
    },
    Link {
        organization: usize,
        on: bool,
    },
    TakeRole {
        account: usize,
    },
    Wait {
        seconds: u64,
    },
}

fn action() -> impl Strategy<Value = Action> {
    let rarely = || prop::bool::weighted(0.06);
    let mostly = || prop::bool::weighted(0.8);
    // What was begun last is continued most often.
    let late = || prop_oneof![6 => Just(0usize), 1 => 1..4usize];
    prop_oneof![
        8 => (0..2usize, 0..8usize, 0..3usize, 0..6usize, 0..4usize)
            .prop_map(|(browser, at, subject, mail, app)| Action::SignIn { browser, at, subject, mail, app }),
        5 => (0..2usize, 0..5usize).prop_map(|(browser, who)| Action::SignInLocally { browser, who }),
        4 => (0..2usize, 0..6usize).prop_map(|(browser, app)| Action::Ask { browser, app }),
        14 => (late(), 0..8usize, rarely())
            .prop_map(|(attempt, choice, stranger)| Action::Answer { attempt, choice, stranger }),
        24 => ((late(), late(), 0..8usize), 0..3usize, 0..6usize, prop::option::of(0..5usize), rarely(), mostly())
            .prop_map(|((attempt, page, at), subject, mail, who, stranger, honest)| {
                Action::Prove { attempt, page, at, subject, mail, who, stranger, honest }
            }),
        20 => (late(), 0..4usize, 0..4usize, rarely())
            .prop_map(|(attempt, keep, local, stranger)| Action::Confirm { attempt, keep, local, stranger }),
        1 => late().prop_map(|attempt| Action::Cancel { attempt }),
        14 => (0..2usize, prop::option::of(0..8usize)).prop_map(|(browser, at)| Action::Add { browser, at }),
        4 => (0..2usize, 0..5usize).prop_map(|(browser, profile)| Action::Unlink { browser, profile }),
        6 => (0..6usize, prop::option::of(0..2usize)).prop_map(|(entry, own)| Action::Undo { entry, own }),
        2 => (0..30usize, mostly()).prop_map(|(account, enabled)| Action::Enable { account, enabled }),
        2 => (0..8usize, mostly()).prop_map(|(at, open)| Action::Open { at, open }),
        2 => (0..2usize, mostly()).prop_map(|(organization, on)| Action::Link { organization, on }),
        1 => (0..30usize).prop_map(|account| Action::TakeRole { account }),
        3 => prop::sample::select(vec![30u64, 30, 30, 200, 200, 320, 620, 1_900, 90_000, 32 * 86_400])
            .prop_map(|seconds| Action::Wait { seconds }),
    ]
}

/// A connection of either organization, by one number.
fn place_of(at: usize) -> (usize, usize) {
    if at < CONNECTIONS[0] { (0, at) } else { (1, (at - CONNECTIONS[0]) % CONNECTIONS[1]) }
}

/// Somebody at a provider, and what of their email counts.
fn somebody(organization: usize, subject: usize, mail: usize) -> (Person, Email) {
    let who = person(&format!("s{subject}"));
    let handle = ORGANIZATIONS[organization];
    let (ann, team) = (format!("{}@{handle}.test", LOCALS[organization][0]), format!("team@{handle}.test"));
    let elsewhere = "x@elsewhere.test".to_owned();
    match mail {
        0 => (who, None),
        1 => (who.proven(&ann), Some((ann, true))),
        2 => (who.proven(&team), Some((team, true))),
        3 => (who.unproven(&elsewhere), Some((elsewhere, false))),
        // A domain that the organization does not own; an email that the provider has not verified.
        4 => (who.proven(&elsewhere), Some((elsewhere, false))),
        _ => (who.unproven(&ann), Some((ann, false))),
    }
}

/// What a second side is proved by: a provider's word for somebody, or a password.
struct By {
    place: (usize, usize),
    subject: usize,
    mail: usize,
    name: Option<&'static str>,
}

/// The pages of an attempt that a browser has open.
#[derive(Default)]
struct Pages {
    offer: Option<Place>,
    confirm: Option<Place>,
    proofs: Vec<(Place, usize)>,
}

struct Walk {
    links: Links,
    rows: Rows,
    model: Model,
    tabs: [Tab; 2],
    pages: Vec<Pages>,
    switches: Switches,
    accounts: Vec<AccountId>,
    profiles: BTreeMap<(usize, Ident), ProfileId>,
    entries: Vec<LedgerId>,
    /// What stands for what in the database's rows.
    names: BTreeMap<String, String>,
}

impl Walk {
    async fn new(kind: Kind) -> Self {
        let links = Links::new(kind, CONNECTIONS[0]).await;
        let mut model = Model { linking: [true, true], ..Model::default() };
        let mut names = BTreeMap::new();
        let mut accounts = Vec::new();
        for organization in 0..2 {
            let count = CONNECTIONS[organization];
            model.issuers[organization] = (0..count).map(|at| if at + 1 == count { 0 } else { at }).collect();
            for at in 0..count {
                names.insert(connection(organization, at).to_string(), format!("{organization}.{at}"));
            }
            for (at, name) in LOCALS[organization].iter().enumerate() {
                accounts.push(links.account(name).await);
                let role = if at == 0 { "administrator" } else { "member" };
                let serial = model.serial();
                model.people.push(Account {
                    organization,
                    enabled: true,
                    username: Some((*name).to_owned()),
                    password: Some((*name).to_owned()),
                    email: Some((format!("{name}@{}.test", ORGANIZATIONS[organization]), true)),
                    roles: [role.to_owned()].into(),
                    profiles: [(Ident::Local, Profile { serial, email: None })].into(),
                    ..Account::default()
                });
            }
        }
        model.unforced = (0, UNFORCED);
        let (rows, tabs) = (links.rows().await, [links.tab(), links.tab()]);
        let mut walk = Self {
            links,
            rows,
            model,
            tabs,
            pages: Vec::new(),
            switches: Switches::default(),
            accounts,
            profiles: BTreeMap::new(),
            entries: Vec::new(),
            names,
        };
        walk.compare("the beginning").await;
        walk
    }

    /// What is in the database, and what the reference has, by the same names.
    async fn compare(&mut self, after: &str) {
        let order = "SELECT id FROM accounts ORDER BY created_at, id";
        for id in self.rows.texts(order).await {
            let id: AccountId = id.parse().unwrap();
            if !self.accounts.contains(&id) {
                self.accounts.push(id);
            }
        }
        for (number, id) in self.accounts.iter().enumerate() {
            self.names.insert(id.to_string(), format!("a{number}"));
        }
        let all = "SELECT id FROM link_ledger ORDER BY at, id";
        self.entries = self.rows.texts(all).await.iter().map(|id| id.parse().unwrap()).collect();
        for (number, id) in self.entries.iter().enumerate() {
            self.names.insert(id.to_string(), format!("e{number}"));
        }
        let mut found = Vec::new();
        for sql in DUMP {
            let mut lines = self.rows.texts(sql).await;
            for line in &mut lines {
                let words = line.split('|').map(|word| self.names.get(word).map_or(word, String::as_str));
                *line = words.collect::<Vec<_>>().join("|");
            }
            found.extend(lines);
        }
        let (mut expected, mut known) = (self.expected(), found.clone());
        expected.sort();
        known.sort();
        let missing: Vec<_> = expected.iter().filter(|line| !known.contains(line)).collect();
        let surplus: Vec<_> = known.iter().filter(|line| !expected.contains(line)).collect();
        assert!(expected == known, "after {after}: the database lacks {missing:#?} and has {surplus:#?}");
        self.rows.assert_sound().await;
        self.assert_names_stay();
        let profiles = "SELECT id || '|' || account_id || '|' || COALESCE(connection_id, '') || '|' || subject FROM profiles";
        self.profiles.clear();
        for line in self.rows.texts(profiles).await {
            let words: Vec<&str> = line.split('|').collect();
            let account = self.accounts.iter().position(|id| id.to_string() == words[1]).unwrap();
            let ident = match self.names.get(words[2]).and_then(|name| name.split_once('.')) {
                Some((organization, at)) => {
                    let subject = words[3].strip_prefix('s').unwrap();
                    Ident::At(organization.parse().unwrap(), at.parse().unwrap(), subject.parse().unwrap())
                }
                None => Ident::Local,
            };
            self.profiles.insert((account, ident), words[0].parse().unwrap());
        }
    }

    /// The rows that the reference expects.
    fn expected(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let ident = |ident: Ident| match ident {
            Ident::Local => "local|".to_owned(),
            Ident::At(organization, at, subject) => format!("{organization}.{at}|s{subject}"),
        };
        let mail = |email: &Email| match email {
            Some((email, proven)) => format!("{email}|{}", u8::from(*proven)),
            None => "|0".to_owned(),
        };
        for (number, person) in self.model.people.iter().enumerate() {
            let merged = person.merged_into.map(|into| format!("a{into}")).unwrap_or_default();
            let roles: Vec<&str> = person.roles.iter().map(String::as_str).collect();
            lines.push(format!(
                "account|a{number}|{}|{merged}|{}|{}|{}|{}|{}",
                u8::from(person.enabled),
                person.profiles.len(),
                person.username.as_deref().unwrap_or_default(),
                mail(&person.email),
                u8::from(person.password.is_some()),
                roles.join(" "),
            ));
            for (held, profile) in &person.profiles {
                lines.push(format!("profile|a{number}|{}|{}", ident(*held), mail(&profile.email)));
            }
        }
        for session in self.model.sessions.iter().flatten() {
            lines.push(format!("session|a{}|{}", session.account, ident(session.by)));
        }
        for ((app, account), subject) in &self.model.pins {
            lines.push(format!("subject|{}|a{account}|a{subject}", client_of(*app)));
        }
        for (number, entry) in self.model.ledger.iter().enumerate() {
            let other = entry.other.map(|other| format!("a{other}")).unwrap_or_default();
            let undoes = entry.undoes.map(|undoes| format!("e{undoes}")).unwrap_or_default();
            lines.push(format!("ledger|e{number}|{}|a{}|{other}|{undoes}", entry.kind, entry.account));
        }
        lines
    }

    /// What an app calls an account is that account's id, or that of one that has become it: nobody else ever has it.
    fn assert_names_stay(&self) {
        let stands_for = |mut account: usize| {
            while let Some(into) = self.model.people[account].merged_into {
                account = into;
            }
            account
        };
        for ((app, account), subject) in &self.model.pins {
            assert_eq!(
                stands_for(*account),
                stands_for(*subject),
                "{} has somebody else's name",
                client_of(*app)
            );
        }
    }

    /// The browser closes what it has open, when it has more open than its cookies can hold.
    fn make_room(&mut self, browser: usize, most: usize) -> bool {
        let full = self.tabs[browser].visit.flows.len() > most;
        if full {
            self.tabs[browser].visit.flows.clear();
            for attempt in self.model.attempts.iter_mut().filter(|attempt| attempt.browser == browser) {
                attempt.alive = false;
            }
        }
        full
    }

    /// Keeps the page of an attempt that has just begun.
    fn keep_pages(&mut self, outcome: &Outcome) {
        if self.model.attempts.len() > self.pages.len() {
            let Ok(Place::Link(_)) = outcome else { panic!("no offer, but {outcome:?}") };
            self.pages.push(Pages { offer: outcome.clone().ok(), ..Pages::default() });
        } else {
            assert!(!matches!(outcome, Ok(Place::Link(_))), "an offer that was not due");
        }
    }

    /// One of the latest attempts that have such a page open, and the browser that it is continued in.
    fn attempt(
        &self,
        back: usize,
        stranger: bool,
        has: impl Fn(&Self, usize) -> bool,
    ) -> Option<(usize, usize)> {
        let open: Vec<usize> = (0..self.pages.len()).filter(|at| has(self, *at)).collect();
        let living = |at: &&usize| back == 3 || self.model.waits(**at, self.model.attempts[**at].browser);
        let at = *open.iter().rev().filter(living).chain(open.last()).nth(back % open.len().max(1))?;
        let browser = self.model.attempts[at].browser;
        Some((at, if stranger { 1 - browser } else { browser }))
    }

    async fn step(&mut self, action: &Action) -> Option<bool> {
        self.links.later(1);
        self.model.now = self.links.app.clock.now().unix_seconds();
        let done = Box::pin(self.act(action)).await;
        self.compare(&format!("{action:?}")).await;
        done
    }

    /// Does it in both worlds; whether it was done, `None` where there was nothing to do it with.
    async fn act(&mut self, action: &Action) -> Option<bool> {
        match *action {
            Action::SignIn { browser, at, subject, mail, app } => {
                Some(self.sign_in(browser, place_of(at), (subject, mail), app).await)
            }
            Action::SignInLocally { browser, who } => self.sign_in_locally(browser, who).await,
            Action::Ask { browser, app } => Some(self.ask(browser, app).await),
            Action::Answer { attempt, choice, stranger } => {
                let (at, browser) =
                    self.attempt(attempt, stranger, |walk, at| walk.pages[at].offer.is_some())?;
                self.answer(at, browser, choice).await
            }
            Action::Prove { attempt, page, at, subject, mail, who, stranger, honest } => {
                let (attempt, browser) =
                    self.attempt(attempt, stranger, |walk, at| !walk.pages[at].proofs.is_empty())?;
                let by = By { place: place_of(at), subject, mail, name: who.map(|who| LOCALS.concat()[who]) };
                let by = if honest { self.as_wanted(attempt, by) } else { by };
                self.prove((attempt, page), browser, by).await
            }
            Action::Confirm { attempt, keep, local, stranger } => {
                let (at, browser) =
                    self.attempt(attempt, stranger, |walk, at| walk.pages[at].confirm.is_some())?;
                self.confirm(at, browser, keep, local).await
            }
            Action::Cancel { attempt } => {
                let (at, browser) =
                    self.attempt(attempt, false, |walk, at| walk.pages[at].confirm.is_some())?;
                let page = self.pages[at].confirm.clone()?;
                let outcome = self.tabs[browser].cancel(&page).await;
                let expected = self.model.cancel(at, browser);
                Some(agree(&outcome, expected))
            }
            Action::Add { browser, at } => Some(self.add(browser, at.map(place_of)).await),
            Action::Unlink { browser, profile } => self.unlink(browser, profile).await,
            Action::Undo { entry, own } => self.undo(entry, own).await,
            Action::Enable { account, enabled } => {
                let account = account % self.model.people.len();
                let id = self.accounts[account].to_string();
                let done = self.links.app.broker.set_account_enabled(&id, enabled).await;
                let is_there = self.model.people[account].merged_into.is_none();
                assert_eq!(done.is_ok(), is_there, "{:?}", done.err());
                if is_there {
                    self.model.enable(account, enabled);
                }
                Some(is_there)
            }
            Action::Open { at, open } => {
                let at = place_of(at);
                let changed =
                    if open { self.switches.disabled.remove(&at) } else { self.switches.disabled.insert(at) };
                self.model.disabled.clone_from(&self.switches.disabled);
                self.switch(changed).await
            }
            Action::Link { organization, on } => {
                let changed = self.switches.linking[organization] != on;
                self.switches.linking[organization] = on;
                self.model.linking = self.switches.linking;
                self.switch(changed).await
            }
            Action::TakeRole { account } => {
                let account = account % self.model.people.len();
                let had = self.model.people[account].roles.remove("administrator");
                let id = self.accounts[account];
                let sql =
                    format!("DELETE FROM account_roles WHERE account_id = '{id}' AND role = 'administrator'");
                self.rows.run(&sql).await;
                Some(had)
            }
            Action::Wait { seconds } => {
                self.links.later(seconds);
                self.model.now += i64::try_from(seconds).unwrap();
                Some(true)
            }
        }
    }

    async fn switch(&self, changed: bool) -> Option<bool> {
        if changed {
            self.links.switch(&self.switches).await;
        }
        changed.then_some(true)
    }

    async fn sign_in(
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

    async fn sign_in_locally(&mut self, browser: usize, who: usize) -> Option<bool> {
        let name = LOCALS.concat()[who];
        // Guesses that fail are counted, and that is another test's matter.
        self.model.by_password(name)?;
        self.make_room(browser, 3);
        let outcome = self.tabs[browser].sign_in_locally(name).await;
        let expected = self.model.sign_in_locally(browser, name);
        Some(agree(&outcome, expected))
    }

    async fn ask(&mut self, browser: usize, app: usize) -> bool {
        self.make_room(browser, 3);
        let outcome = self.tabs[browser].come_from_app(&client_of(app), &[]).await;
        let expected = self.model.ask(browser, app);
        assert_eq!(matches!(outcome, Ok(Place::App(_))), expected, "{outcome:?}");
        expected
    }

    async fn answer(&mut self, at: usize, browser: usize, choice: usize) -> Option<bool> {
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
    async fn prove_near(
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
    fn as_wanted(&self, attempt: usize, by: By) -> By {
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

    async fn prove(
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
    fn place_at(&self, url: &str) -> (usize, usize) {
        let name = &self.names[&connection_of(url).to_string()];
        let (organization, at) = name.split_once('.').unwrap();
        (organization.parse().unwrap(), at.parse().unwrap())
    }

    async fn confirm(&mut self, at: usize, browser: usize, keep: usize, local: usize) -> Option<bool> {
        let page = self.pages[at].confirm.clone()?;
        let attempt = &self.model.attempts[at];
        let sides = [Some(&attempt.near), attempt.far.as_ref()].map(|side| side.and_then(Side::account));
        let choose = |number: usize| match number {
            0 | 1 => sides[number],
            // Somebody else's account, now and then.
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

    async fn add(&mut self, browser: usize, at: Option<(usize, usize)>) -> bool {
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
            // Nobody can reach what was begun at a provider that is closed.
            self.model.attempts.last_mut().unwrap().alive = open;
            return agree(&outcome, open);
        }
        agree(&outcome, begun.is_some()) && begun == Some(true)
    }

    async fn unlink(&mut self, browser: usize, number: usize) -> Option<bool> {
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

    async fn undo(&mut self, back: usize, own: Option<usize>) -> Option<bool> {
        let number = self.entries.len().checked_sub(1 + back % self.entries.len().max(1))?;
        let id = self.entries[number];
        let Some(browser) = own else {
            let outcome = self.links.app.broker.undo_link(id).await;
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

fn client_of(app: usize) -> String {
    format!("{}-{}", ORGANIZATIONS[app / 3], ["one", "two", "three"][app % 3])
}

#[track_caller]
fn agree(outcome: &Outcome, expected: bool) -> bool {
    assert_eq!(outcome.is_ok(), expected, "{outcome:?}");
    expected
}

/// What the database has, by the same names as the reference.
const DUMP: [&str; 5] = [
    "SELECT 'account|' || a.id || '|' || CASE WHEN a.enabled THEN '1' ELSE '0' END || '|' || COALESCE(a.merged_into, '') \
     || '|' || CAST(a.profile_count AS TEXT) || '|' || COALESCE(a.username, '') || '|' || COALESCE(a.email, '') || '|' \
     || CASE WHEN a.email_verified THEN '1' ELSE '0' END || '|' \
     || CASE WHEN EXISTS (SELECT 1 FROM passwords w WHERE w.account_id = a.id) THEN '1' ELSE '0' END || '|' \
     || COALESCE((SELECT string_agg(r.role, ' ' ORDER BY r.role) FROM account_roles r WHERE r.account_id = a.id), '') \
     FROM accounts a",
    "SELECT 'profile|' || account_id || '|' || COALESCE(connection_id, 'local') || '|' \
     || CASE WHEN connection_id IS NULL THEN '' ELSE subject END || '|' || COALESCE(email, '') || '|' \
     || CASE WHEN email_verified THEN '1' ELSE '0' END FROM profiles",
    "SELECT 'session|' || s.account_id || '|' || COALESCE(p.connection_id, 'local') || '|' \
     || CASE WHEN p.connection_id IS NULL THEN '' ELSE p.subject END \
     FROM sessions s LEFT JOIN profiles p ON p.id = s.profile_id WHERE s.ended_at IS NULL",
    "SELECT 'subject|' || p.client_id || '|' || s.account_id || '|' || s.subject FROM subjects s JOIN apps p ON p.id = s.app_id",
    "SELECT 'ledger|' || id || '|' || kind || '|' || account_id || '|' || COALESCE(other_account_id, '') || '|' \
     || COALESCE(undoes, '') FROM link_ledger",
];

/// How often each kind of step was done, and how often refused.
type Tally = BTreeMap<String, [usize; 2]>;

async fn walk(kind: Kind, actions: &[Action], tally: &Mutex<Tally>) {
    let mut walk = Walk::new(kind).await;
    for action in actions {
        if let Some(done) = walk.step(action).await {
            let name = format!("{action:?}");
            let name = name.split(' ').next().unwrap().to_owned();
            tally.lock().unwrap().entry(name).or_default()[usize::from(!done)] += 1;
        }
    }
    let mut tally = tally.lock().unwrap();
    for entry in &walk.model.ledger {
        tally.entry(entry.kind.to_owned()).or_default()[0] += 1;
    }
}

fn from_environment(name: &str, otherwise: usize) -> usize {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

on_both_databases! {
    async fn after_every_step_the_database_holds_what_the_reference_says(kind: Kind) {
        let steps = from_environment("LINK_STEPS", STEPS);
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&from_environment("LINK_SEED", 1).to_le_bytes());
        let worlds = steps.div_ceil(IN_ONE_WORLD);
        let config = Config {
            cases: u32::try_from(worlds).unwrap(),
            max_shrink_iters: Config::default().max_shrink_iters.min(50),
            failure_persistence: None,
            ..Config::default()
        };
        let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
        let tally = Mutex::new(Tally::new());
        let runtime = tokio::runtime::Handle::current();
        let outcome = tokio::task::block_in_place(|| {
            runner.run(&vec(action(), IN_ONE_WORLD), |actions| {
                runtime.block_on(walk(kind, &actions, &tally));
                Ok(())
            })
        });
        outcome.unwrap_or_else(|error| panic!("{error}"));
        let tally = tally.into_inner().unwrap();
        println!("{kind:?}: {} steps: {tally:?}", worlds * IN_ONE_WORLD);
        // A walk that does nothing finds nothing.
        for kind in ["linked", "merged", "unlinked", "undone"] {
            assert!(tally.get(kind).is_some_and(|[done, _]| *done > 0), "nothing was {kind}");
        }
    }
}
