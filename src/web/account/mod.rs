//! The user's own page.

pub mod link;
pub mod own_links;

use std::borrow::Cow;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use http::StatusCode;

use crate::flows::account::{LedgerView, OwnAccountView, ProfileView, SessionView};
use crate::flows::visit::NextPage;
use crate::model::Timestamp;
use crate::web::account::own_links::{LedgerText, ProfileText};
use crate::web::browser::guard::SessionForm;
use crate::web::browser::request::Browser;
use crate::web::browser::respond::{answer, outcome, page, refusal, see_other};
use crate::web::pages::{Failure, Frame, Page, path};
use crate::web::state::Web;

/// The routes of this file.
pub fn routes() -> Router<Web> {
    Router::new()
        .route(path::ACCOUNT, get(show_account))
        .route(path::END_SESSION, post(end_session))
        .route(path::END_OTHER_SESSIONS, post(end_other_sessions))
        .route(path::SIGN_OUT, post(sign_out))
}

/// How the user signed in to this session.
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

/// One session of the user.
#[derive(Debug, Clone)]
pub struct SessionRow {
    /// The value that the form sends as `session` to end it.
    pub value: String,
    /// Whether this session shows the page.
    pub current: bool,
    /// The browser's `User-Agent`, as it was at the sign-in.
    pub user_agent: Option<String>,
    /// The connection's name; `None` for username and password.
    pub via: Option<String>,
    /// When the session began.
    pub signed_in: Timestamp,
    /// When the session was last used.
    pub last_used: Timestamp,
}

/// The action of the form that led to this page.
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
    const PARAMETER: &str = "done";

    const ALL: [Self; 4] = [Self::SessionEnded, Self::OthersEnded, Self::Linked, Self::Unlinked];

    const fn word(self) -> &'static str {
        match self {
            Self::SessionEnded => "session-ended",
            Self::OthersEnded => "others-ended",
            Self::Linked => "linked",
            Self::Unlinked => "unlinked",
        }
    }

    /// The action that a word of the query parameter names.
    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|done| done.word() == word)
    }

    /// The address of the page that reports this action.
    pub fn address(self) -> String {
        path::with_query(path::ACCOUNT, Self::PARAMETER, self.word())
    }
}

/// The page itself.
#[derive(Template)]
#[template(path = "account.html")]
pub struct Account<'a> {
    /// The frame around it.
    pub frame: Frame<'a>,
    /// The token that proves that the broker made the page's forms.
    pub form_token: String,
    /// The account's name, as its identity provider or the user gave it.
    pub name: Option<String>,
    /// The username, where there is one.
    pub username: Option<String>,
    /// The email, where there is one.
    pub email: Option<String>,
    /// Whether the email is proven.
    pub email_proven: bool,
    /// The organization's name; `None` for an unattached account.
    pub organization: Option<String>,
    /// The domains of the organization, so that the user can tell a colleague.
    pub domains: Vec<String>,
    /// How this session was signed in.
    pub via: SignedInVia,
    /// The ways to sign in to the account.
    pub profiles: Vec<ProfileView>,
    /// The links, merges and other changes of these ways, newest first.
    pub ledger: Vec<LedgerView>,
    /// Whether another way to sign in can be added.
    pub linking: bool,
    /// All sessions, the current one first.
    pub sessions: Vec<SessionRow>,
    /// The action that was just done.
    pub done: Option<Done>,
    /// The failure of the last attempt.
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
    /// The browser and its system, by their usual names; the whole `User-Agent` if both are unknown.
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

/// Marks of browsers in a `User-Agent`. The existing parsers are not maintained or need a database of regular
/// expressions (`docs/dependencies.md`). For a browser that is not listed here, the page shows the whole text.
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

async fn show_account(State(web): State<Web>, browser: Browser) -> Response {
    match web.broker.account.view_account(&browser.visit).await {
        Ok(Some(view)) => page(StatusCode::OK, &account_page(&web, &browser, view)),
        Ok(None) => outcome(&web, &browser, web.broker.sign_in.begin_own_sign_in(&browser.visit).await).await,
        Err(error) => refusal(&web, &browser, error).await,
    }
}

fn account_page<'w>(web: &'w Web, browser: &Browser, view: OwnAccountView) -> Account<'w> {
    let frame = web.pages.branded(browser.locale, path::ACCOUNT, view.organization.clone());
    Account {
        frame,
        form_token: view.form_token,
        name: view.account.contact.name,
        username: view.account.username.map(|username| username.to_string()),
        email: view.account.email.map(|email| email.to_string()),
        email_proven: view.email_proven,
        organization: view.organization.map(|brand| brand.name),
        domains: view.domains,
        via: signed_in_via(&view.profiles),
        profiles: view.profiles,
        ledger: view.ledger,
        linking: view.linking,
        sessions: view.sessions.into_iter().map(session_row).collect(),
        done: browser.query.get(Done::PARAMETER).and_then(Done::from_word),
        failure: None,
    }
}

fn session_row(view: SessionView) -> SessionRow {
    let session = view.session;
    SessionRow {
        value: session.id.to_string(),
        current: view.current,
        user_agent: Some(session.user_agent).filter(|agent| !agent.is_empty()),
        via: view.via,
        signed_in: session.created_at,
        last_used: session.last_seen_at,
    }
}

/// How the user signed in to this session.
fn signed_in_via(profiles: &[ProfileView]) -> SignedInVia {
    let used = profiles.iter().find(|profile| profile.current);
    let external = used.and_then(|profile| profile.provider.clone().zip(profile.issuer.clone()));
    external.map_or(SignedInVia::Local, |(name, issuer)| SignedInVia::Connection { name, issuer })
}

async fn end_session(State(web): State<Web>, SessionForm { browser, form }: SessionForm) -> Response {
    let session = form.get("session").unwrap_or_default();
    match web.broker.account.end_own_session(&browser.visit, session).await {
        Ok(done) if done.next == NextPage::Account => see_other(&Done::SessionEnded.address()),
        other => outcome(&web, &browser, other).await,
    }
}

async fn end_other_sessions(State(web): State<Web>, SessionForm { browser, .. }: SessionForm) -> Response {
    match web.broker.account.end_own_other_sessions(&browser.visit).await {
        Ok(_) => see_other(&Done::OthersEnded.address()),
        Err(error) => refusal(&web, &browser, error).await,
    }
}

async fn sign_out(State(web): State<Web>, SessionForm { browser, .. }: SessionForm) -> Response {
    match web.broker.logouts.sign_out(&browser.visit).await {
        Ok(Some(done)) => answer(&done),
        // The user must answer a question first, and the sign-out page asks it.
        Ok(None) => see_other(path::LOGOUT),
        Err(error) => refusal(&web, &browser, error).await,
    }
}
