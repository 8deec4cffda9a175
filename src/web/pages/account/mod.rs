//! A person's own page: who they are here, how they came in, and where else they are signed in.

pub mod link;
pub mod own_links;

use std::borrow::Cow;

use askama::Template;

use super::{Failure, Frame, Page, path};
use crate::flows::account::{LedgerView, ProfileView};
use crate::model::Timestamp;
use own_links::{LedgerText, ProfileText};

/// How the session at hand was signed in.
#[derive(Debug, Clone)]
pub enum SignedInVia {
    /// With username and password.
    Local,
    /// Through a connection.
    Connection {
        /// Its name.
        name: String,
        /// The issuer that answered.
        issuer: String,
    },
}

/// One session of the person.
#[derive(Debug, Clone)]
pub struct SessionRow {
    /// What the form sends as `session` to end it.
    pub value: String,
    /// Whether it is the one that shows the page.
    pub current: bool,
    /// The browser's `User-Agent`, as it was at the sign-in.
    pub user_agent: Option<String>,
    /// The connection's name; `None` for username and password.
    pub via: Option<String>,
    /// When it began.
    pub signed_in: Timestamp,
    /// When it was used last.
    pub last_used: Timestamp,
}

/// What was done by the form that led here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// One session was ended.
    SessionEnded,
    /// All other sessions were ended.
    OthersEnded,
    /// A profile or account was linked.
    Linked,
    /// A profile was taken away.
    Unlinked,
}

impl Done {
    /// The query parameter of the page that names it.
    pub const PARAMETER: &str = "done";

    const ALL: [Self; 4] = [Self::SessionEnded, Self::OthersEnded, Self::Linked, Self::Unlinked];

    const fn word(self) -> &'static str {
        match self {
            Self::SessionEnded => "session-ended",
            Self::OthersEnded => "others-ended",
            Self::Linked => "linked",
            Self::Unlinked => "unlinked",
        }
    }

    /// What a word of the query parameter names.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|done| done.word() == word)
    }

    /// The address of the page that says so.
    pub fn address(self) -> String {
        path::with_query(path::ACCOUNT, Self::PARAMETER, self.word())
    }
}

/// The page itself.
#[derive(Template)]
#[template(path = "account.html")]
pub struct Account<'a> {
    /// What stands around it.
    pub frame: Frame<'a>,
    /// Proof that its forms are ours.
    pub form_token: String,
    /// The account's name, as its identity provider or the person gave it.
    pub name: Option<String>,
    /// The username, where there is one.
    pub username: Option<String>,
    /// The email, where there is one.
    pub email: Option<String>,
    /// Whether the email is proven.
    pub email_proven: bool,
    /// The organization's name; `None` for an unattached account.
    pub organization: Option<String>,
    /// The domains of the organization, so that a colleague can be told.
    pub domains: Vec<String>,
    /// How this session was signed in.
    pub via: SignedInVia,
    /// The ways to sign in to the account.
    pub profiles: Vec<ProfileView>,
    /// What happened to them, newest first.
    pub ledger: Vec<LedgerView>,
    /// Whether another way to sign in can be added.
    pub linking: bool,
    /// All sessions, the current one first.
    pub sessions: Vec<SessionRow>,
    /// What was just done.
    pub done: Option<Done>,
    /// What just went wrong.
    pub failure: Option<Failure>,
}

impl Page for Account<'_> {
    fn title(&self) -> Cow<'_, str> {
        self.frame.say("account-title")
    }

    fn failed(&self) -> bool {
        self.failure.is_some()
    }
}

impl Account<'_> {
    fn has_others(&self) -> bool {
        self.sessions.iter().any(|session| !session.current)
    }
}

impl SessionRow {
    /// The browser and its system, as people call them; the whole `User-Agent` where neither can be told.
    fn device(&self, frame: &Frame<'_>) -> Cow<'_, str> {
        let Some(agent) = self.user_agent.as_deref() else {
            return Cow::Owned(frame.say("device-unknown").into_owned());
        };
        match (find(agent, &BROWSERS), find(agent, &SYSTEMS)) {
            (Some(browser), Some(system)) => Cow::Owned(
                frame.text().tell_all("device", [("browser", browser.into()), ("system", system.into())]),
            ),
            (Some(one), None) | (None, Some(one)) => Cow::Borrowed(one),
            (None, None) => Cow::Borrowed(agent),
        }
    }
}

/// Marks of browsers in a `User-Agent`. The parsers that exist are unkept or need a database of regular expressions
/// (`docs/dependencies.md`); a browser that is not named here is shown by its whole text.
// Order matters: most browsers also carry the marks of those below them.
const BROWSERS: [(&str, &str); 6] = [
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
];

/// Marks of systems in a `User-Agent`.
// Order matters: Android names Linux, and iOS names Mac OS X.
const SYSTEMS: [(&str, &str); 7] = [
    ("Windows", "Windows"),
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("CrOS", "ChromeOS"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
];

fn find(agent: &str, marks: &[(&str, &'static str)]) -> Option<&'static str> {
    marks.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name)
}
