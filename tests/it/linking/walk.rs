//! Whatever users do, in whatever order: after every step the database equals the reference.
//!
//! `LINK_STEPS` makes the walk longer, `LINK_SEED` takes another one; a walk that fails is shortened first.

mod actions;
mod comparing;
mod steps;

use std::collections::BTreeMap;
use std::sync::Mutex;

use countersign::model::{AccountId, Caller, Clock, LedgerId, ProfileId};
use proptest::collection::vec;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use self::actions::{Action, action, place_of};
use super::direct::{LOCALS, Links, ORGANIZATIONS, Outcome, Place, Switches, Tab, UNFORCED, connection};
use super::model::{Ident, Model, Person as Account, Profile};
use super::rows::Rows;
use crate::harness::database::Kind;
use crate::on_both_databases;

/// How many steps a run takes, if `LINK_STEPS` does not say; and how many of them go through one world.
const STEPS: usize = 1_600;
const IN_ONE_WORLD: usize = 200;

/// The connections of each organization; the last has the issuer of the first.
const CONNECTIONS: [usize; 2] = [5, 3];

/// What proves a second side: the word of an identity provider, or a password.
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
    /// How the rows of the database map to the reference.
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
                    declared: true,
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
                let done = self
                    .links
                    .app
                    .broker
                    .accounts
                    .set_account_enabled(Caller::Operator(None), &id, enabled)
                    .await;
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
}

fn client_of(app: usize) -> String {
    format!("{}-{}", ORGANIZATIONS[app / 3], ["one", "two", "three"][app % 3])
}

#[track_caller]
fn agree(outcome: &Outcome, expected: bool) -> bool {
    assert_eq!(outcome.is_ok(), expected, "{outcome:?}");
    expected
}

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
