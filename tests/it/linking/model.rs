//! What linking should do, in a few words: a reference that knows neither the database nor the policy. It is told what
//! happens, and says whether it is done and what there is afterwards.

mod attempts;
mod changes;

use std::collections::{BTreeMap, BTreeSet};

/// The number of an account, in the order in which they were made.
pub type Account = usize;

/// How long a link may take from its first proof on, in seconds.
const LINK: i64 = 600;
/// How old a proof may be where a link begins.
const BEGIN: i64 = 300;
/// How old a proof may be for other sensitive changes.
const FRESH: i64 = 1_800;
/// How long something can be undone.
const UNDO: i64 = 30 * 24 * 3_600;

/// One way to sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ident {
    /// Username and password.
    Local,
    /// Organization, connection, subject.
    At(usize, usize, usize),
}

/// The email that a provider asserts, and whether it counts as proven.
pub type Email = Option<(String, bool)>;

/// A profile: which one it is, since an identity may come, go and come again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    pub serial: usize,
    pub email: Email,
}

/// One account.
#[derive(Debug, Clone, Default)]
pub struct Person {
    pub organization: usize,
    pub enabled: bool,
    pub merged_into: Option<Account>,
    pub username: Option<String>,
    /// Whose password opens it.
    pub password: Option<String>,
    pub email: Email,
    /// Whether the operator has said so, and no provider.
    pub declared: bool,
    pub roles: BTreeSet<String>,
    pub profiles: BTreeMap<Ident, Profile>,
}

/// The session of a user in one browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub serial: usize,
    pub account: Account,
    pub by: Ident,
    pub profile: usize,
    created: i64,
    proved: i64,
}

/// One side of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    New { ident: Ident, email: Email, proved: i64 },
    Of { account: Account, ident: Ident, profile: usize, proved: i64 },
}

impl Side {
    pub fn account(&self) -> Option<Account> {
        match self {
            Self::New { .. } => None,
            Self::Of { account, .. } => Some(*account),
        }
    }
}

/// What has to be proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Nothing,
    Any,
    Profile(usize),
}

/// An attempt to link, in one browser.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub browser: usize,
    pub organization: usize,
    pub near: Side,
    session: Option<usize>,
    pub email: Email,
    pub wanted: Wanted,
    pub far: Option<Side>,
    pub revision: usize,
    expires: i64,
    app: Option<usize>,
    pub alive: bool,
}

/// What a merge moved.
#[derive(Debug, Clone)]
struct Moved {
    profiles: Vec<usize>,
    pins: Vec<usize>,
    roles: BTreeSet<String>,
    gained: BTreeSet<String>,
    ended: Option<Account>,
    swapped: bool,
}

#[derive(Debug, Clone)]
enum What {
    Linked(usize),
    Merged(Moved),
    Unlinked(Ident, usize),
    Other,
}

/// One entry of the ledger.
#[derive(Debug, Clone)]
pub struct Entry {
    pub kind: &'static str,
    pub account: Account,
    pub other: Option<Account>,
    pub undoes: Option<usize>,
    at: i64,
    what: What,
}

/// Everything.
#[derive(Debug, Default)]
pub struct Model {
    pub now: i64,
    pub linking: [bool; 2],
    pub disabled: BTreeSet<(usize, usize)>,
    /// The connection whose identity provider cannot be made to ask again.
    pub unforced: (usize, usize),
    /// The issuer of each connection: the connection that has it first.
    pub issuers: [Vec<usize>; 2],
    pub people: Vec<Person>,
    pub sessions: [Option<Session>; 2],
    pub attempts: Vec<Attempt>,
    pub ledger: Vec<Entry>,
    /// What an app (organization * 3 + number) calls an account: the account whose id it is.
    pub pins: BTreeMap<(usize, Account), Account>,
    pub serials: usize,
}

impl Model {
    pub fn serial(&mut self) -> usize {
        self.serials += 1;
        self.serials
    }

    fn issuer(&self, ident: Ident) -> Option<(usize, usize)> {
        match ident {
            Ident::Local => None,
            Ident::At(organization, connection, _) => {
                Some((organization, self.issuers[organization][connection]))
            }
        }
    }

    fn is_open(&self, ident: Ident) -> bool {
        match ident {
            Ident::Local => true,
            Ident::At(organization, connection, _) => !self.disabled.contains(&(organization, connection)),
        }
    }

    /// The ways by which an account can be signed in to.
    pub fn usable(&self, account: Account) -> Vec<Ident> {
        let person = &self.people[account];
        let has_password = person.password.is_some();
        let works = |held: &Ident| if *held == Ident::Local { has_password } else { self.is_open(*held) };
        person.profiles.keys().copied().filter(works).collect()
    }

    /// The account that has this very identity.
    pub fn holder(&self, ident: Ident) -> Option<Account> {
        self.people.iter().position(|person| ident != Ident::Local && person.profiles.contains_key(&ident))
    }

    /// Whether the subject has a profile in the organization, through any connection.
    fn is_known(&self, organization: usize, ident: Ident) -> bool {
        let Ident::At(_, _, subject) = ident else { return false };
        self.people.iter().filter(|person| person.organization == organization).any(|person| {
            person.profiles.keys().any(|held| {
                matches!(held, Ident::At(_, _, other) if *other == subject)
                    && self.issuer(*held) == self.issuer(ident)
            })
        })
    }

    /// The account and profile that a username and its own password open.
    pub fn by_password(&self, username: &str) -> Option<(Account, usize)> {
        let account = self.people.iter().position(|person| person.username.as_deref() == Some(username))?;
        let person = &self.people[account];
        let local = person.profiles.get(&Ident::Local)?;
        (person.password.as_deref() == Some(username)).then_some((account, local.serial))
    }

    /// The session of a browser, if everything it depends on is enabled.
    pub fn current(&self, browser: usize) -> Option<&Session> {
        let session = self.sessions[browser].as_ref()?;
        let good = self.people[session.account].enabled && self.is_open(session.by);
        good.then_some(session)
    }

    fn open_session(&mut self, browser: usize, account: Account, by: (Ident, usize), proved: i64) {
        let serial = self.serial();
        let before = self.sessions[browser].take().filter(|old| old.account == account);
        let (serial, created) = before.map_or((serial, self.now), |old| (old.serial, old.created));
        let (by, profile) = by;
        self.sessions[browser] = Some(Session { serial, account, by, profile, created, proved });
    }

    fn end_sessions(&mut self, which: impl Fn(&Session) -> bool) {
        for session in &mut self.sessions {
            if session.as_ref().is_some_and(&which) {
                *session = None;
            }
        }
    }

    /// Ends the attempts in which an account was proved, as either side.
    fn end_attempts(&mut self, account: Account) {
        for attempt in &mut self.attempts {
            let far = attempt.far.as_ref().and_then(Side::account);
            if [attempt.near.account(), far].contains(&Some(account)) {
                attempt.alive = false;
            }
        }
    }

    fn pin(&mut self, app: Option<usize>, account: Account) {
        if let Some(app) = app {
            self.pins.entry((app, account)).or_insert(account);
        }
    }

    fn write(&mut self, kind: &'static str, account: Account, other: Option<Account>, what: What) {
        self.ledger.push(Entry { kind, account, other, undoes: None, at: self.now, what });
    }

    /// Who may be joined with whom: enabled, and no provider on both sides.
    fn may_join(&self, issuers: &[(usize, usize)], holder: Account) -> bool {
        let person = &self.people[holder];
        let mut has = person.profiles.keys().filter_map(|held| self.issuer(*held));
        person.enabled && !person.profiles.is_empty() && !has.any(|issuer| issuers.contains(&issuer))
    }

    fn issuers_of(&self, account: Account) -> Vec<(usize, usize)> {
        self.people[account].profiles.keys().filter_map(|held| self.issuer(*held)).collect()
    }

    /// The profiles that a page names to a user who is `near` and has this proven email: those of accounts whose own
    /// side proves it, too.
    fn named(&self, organization: usize, near: &Side, email: &str) -> Vec<(Account, Ident)> {
        let proves = |held: &Email| held.as_ref().is_some_and(|(held, proven)| held == email && *proven);
        let sharing = self.sharing(organization, near, email).into_iter();
        let proven = sharing.filter(|account| {
            let person = &self.people[*account];
            let by_provider = person.profiles.values().any(|profile| proves(&profile.email));
            (person.declared && proves(&person.email)) || by_provider
        });
        proven.flat_map(|account| self.usable(account).into_iter().map(move |held| (account, held))).collect()
    }

    /// Whether the user may type a password to show that an account with the same email is theirs.
    fn may_type(&self, organization: usize, near: &Side, email: &str) -> bool {
        let sharing = self.sharing(organization, near, email);
        sharing.into_iter().any(|account| self.usable(account).contains(&Ident::Local))
    }

    /// The accounts that share an email with `near`, proven or not, and may be joined with it.
    fn sharing(&self, organization: usize, near: &Side, email: &str) -> Vec<Account> {
        let (own, issuers) = match near {
            Side::New { ident, .. } => (None, self.issuer(*ident).into_iter().collect()),
            Side::Of { account, .. } => (Some(*account), self.issuers_of(*account)),
        };
        if own.is_some_and(|own| !self.people[own].enabled) {
            return Vec::new();
        }
        let has = |email_held: &Email| email_held.as_ref().is_some_and(|(held, _)| held == email);
        let mut sharing = Vec::new();
        for (account, person) in self.people.iter().enumerate() {
            let shares = has(&person.email) || person.profiles.values().any(|profile| has(&profile.email));
            let same = person.organization == organization && Some(account) != own;
            if same && shares && self.may_join(&issuers, account) {
                sharing.push(account);
            }
        }
        sharing
    }

    /// What the offer of an attempt names.
    pub fn offered(&self, attempt: usize) -> Vec<(Account, Ident)> {
        let attempt = &self.attempts[attempt];
        match &attempt.email {
            Some((email, true)) if self.linking[attempt.organization] => {
                self.named(attempt.organization, &attempt.near, email)
            }
            _ => Vec::new(),
        }
    }

    /// A user returns from an identity provider to sign in. Returns whether they are signed in, or are offered a link.
    pub fn sign_in(&mut self, browser: usize, ident: Ident, email: Email, app: Option<usize>) -> bool {
        let Ident::At(organization, ..) = ident else { return false };
        if !self.is_open(ident) {
            return false;
        }
        if let Some(account) = self.holder(ident) {
            let person = &mut self.people[account];
            if !person.enabled {
                return false;
            }
            if person.profiles.len() == 1 && email.is_some() {
                person.email.clone_from(&email);
                person.declared = false;
            }
            let held = person.profiles.get_mut(&ident).unwrap();
            held.email = email;
            let profile = held.serial;
            self.open_session(browser, account, (ident, profile), self.now);
            self.pin(app, account);
            return true;
        }
        if self.is_known(organization, ident) {
            return false;
        }
        let near = Side::New { ident, email: email.clone(), proved: self.now };
        let due = match &email {
            Some((_, false)) => self.linking[organization],
            Some((email, true)) => {
                let is_named = !self.named(organization, &near, email).is_empty();
                self.linking[organization] && (is_named || self.may_type(organization, &near, email))
            }
            None => false,
        };
        if due {
            self.begin(browser, organization, near, None, email, (self.now + LINK, app));
        } else {
            self.new_person(browser, ident, email, (self.now, app));
        }
        true
    }

    fn begin(
        &mut self,
        browser: usize,
        organization: usize,
        near: Side,
        session: Option<usize>,
        email: Email,
        (expires, app): (i64, Option<usize>),
    ) {
        let wanted = if email.is_some() { Wanted::Nothing } else { Wanted::Any };
        let attempt = Attempt {
            browser,
            organization,
            near,
            session,
            email,
            wanted,
            far: None,
            revision: 0,
            expires,
            app,
            alive: true,
        };
        self.attempts.push(attempt);
    }

    fn new_person(
        &mut self,
        browser: usize,
        ident: Ident,
        email: Email,
        (proved, app): (i64, Option<usize>),
    ) {
        let Ident::At(organization, ..) = ident else { return };
        let serial = self.serial();
        self.people.push(Person {
            organization,
            enabled: true,
            email: email.clone(),
            roles: ["member".to_owned()].into(),
            profiles: [(ident, Profile { serial, email })].into(),
            ..Person::default()
        });
        let account = self.people.len() - 1;
        self.open_session(browser, account, (ident, serial), proved);
        self.pin(app, account);
    }

    /// A user enters username and password to sign in.
    pub fn sign_in_locally(&mut self, browser: usize, username: &str) -> bool {
        match self.by_password(username) {
            Some((account, profile)) if self.people[account].enabled => {
                self.open_session(browser, account, (Ident::Local, profile), self.now);
                true
            }
            _ => false,
        }
    }

    /// An app asks; whether it gets a code at once.
    pub fn ask(&mut self, browser: usize, app: usize) -> bool {
        let Some(account) = self.current(browser).map(|session| session.account) else { return false };
        let serves = self.people[account].organization == app / 3;
        if serves {
            self.pin(Some(app), account);
        }
        serves
    }

    /// Begins to add a profile. `None` if that is not allowed, `Some(false)` if the user must prove again who they
    /// are.
    pub fn add(&mut self, browser: usize) -> Option<bool> {
        let session = self.current(browser)?.clone();
        if self.now - session.proved > BEGIN {
            return self.may_prove_anew(&session).then_some(false);
        }
        let organization = self.people[session.account].organization;
        if !self.linking[organization] {
            return None;
        }
        let Session { account, by: ident, profile, proved, .. } = session;
        let near = Side::Of { account, ident, profile, proved };
        self.begin(browser, organization, near, Some(session.serial), None, (proved + LINK, None));
        Some(true)
    }

    /// Whether the user of a session can prove again who they are: at an identity provider that can be made to ask,
    /// otherwise by a password. There is no mail.
    fn may_prove_anew(&self, session: &Session) -> bool {
        self.can_be_asked(session.by) || self.people[session.account].password.is_some()
    }

    fn can_be_asked(&self, ident: Ident) -> bool {
        !matches!(ident, Ident::At(organization, connection, _) if (organization, connection) == self.unforced)
    }

    /// Whether the user may take a sensitive action; as [`Self::add`].
    pub fn may_change(&self, browser: usize) -> Option<bool> {
        let session = self.current(browser)?;
        if self.now - session.proved <= FRESH {
            return Some(true);
        }
        self.may_prove_anew(session).then_some(false)
    }

    /// Switches an account on or off; either way everything of it ends.
    pub fn enable(&mut self, account: Account, enabled: bool) {
        self.people[account].enabled = enabled;
        self.end_sessions(|session| session.account == account);
        self.end_attempts(account);
    }
}
