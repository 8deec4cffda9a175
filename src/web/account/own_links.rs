//! The user's own profiles: adding one, removing one, undoing a link or merge. A user who signed in too long ago must
//! first prove who they are.

use std::borrow::Cow;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use http::StatusCode;

use crate::flows::account::{AddProfileView, AddWay, LedgerView, ProfileView, UndoView, UnlinkView};
use crate::flows::refusal::{FlowError, PublicCode, Reason, Told};
use crate::flows::sign_in::mail_code::MailCodeView;
use crate::flows::sign_in::reauthentication::Sensitive;
use crate::flows::visit::NextPage;
use crate::model::{LedgerKind, SensitiveAction};
use crate::web::account::Done;
use crate::web::browser::guard::SessionForm;
use crate::web::browser::request::Browser;
use crate::web::browser::respond::{answer, outcome, page, refusal, see_other, tell};
use crate::web::pages::{Failure, Form, Frame, Page, path};
use crate::web::sign_in::{ConnectionChoice, choices};
use crate::web::state::Web;

/// The routes of this file.
pub fn routes() -> Router<Web> {
    Router::new()
        .route(path::ADD_PROFILE, get(show_add).post(post_add))
        .route(path::UNLINK, get(show_unlink).post(post_unlink))
        .route(path::UNDO_LINK, get(show_undo).post(post_undo))
        .route(path::MAIL_CODE, get(show_code).post(post_code))
        .route(path::SEND_MAIL_CODE, post(send_code))
}

/// How pages name a profile, and how they link to its removal.
pub(in crate::web) trait ProfileText {
    /// The name of its connection, or the text for username and password.
    fn name<'f>(&'f self, frame: &Frame<'f>) -> Cow<'f, str>;

    /// The address of the page that removes it.
    fn unlink(&self) -> String;
}

impl ProfileText for ProfileView {
    fn name<'f>(&'f self, frame: &Frame<'f>) -> Cow<'f, str> {
        self.provider.as_deref().map_or_else(|| frame.say("via-local"), Cow::Borrowed)
    }

    fn unlink(&self) -> String {
        path::with_query(path::UNLINK, "profile", &self.profile.to_string())
    }
}

/// How pages describe an entry of the ledger, and how they link to its undoing.
pub(in crate::web) trait LedgerText {
    /// The sentence for the entry.
    fn told<'f>(&self, frame: &Frame<'f>) -> Cow<'f, str>;

    /// The address of the page that undoes it.
    fn undo(&self) -> String;
}

impl LedgerText for LedgerView {
    fn told<'f>(&self, frame: &Frame<'f>) -> Cow<'f, str> {
        match self.kind {
            LedgerKind::Linked => frame.say("ledger-linked"),
            LedgerKind::Expected => frame.say("ledger-expected"),
            LedgerKind::Replaced => frame.say("ledger-replaced"),
            LedgerKind::Merged => frame.say("ledger-merged"),
            LedgerKind::Unlinked => frame.say("ledger-unlinked"),
            LedgerKind::Undone => frame.say("ledger-undone"),
        }
    }

    fn undo(&self) -> String {
        path::with_query(path::UNDO_LINK, "entry", &self.id.to_string())
    }
}

/// Asks for another way to sign in, or another account, to add.
#[derive(Template)]
#[template(path = "add_profile.html")]
pub struct AddProfile<'a> {
    /// The frame around it.
    pub frame: Frame<'a>,
    /// The hidden fields of its form.
    pub form: Form,
    /// The connections whose providers the account does not have yet.
    pub connections: Vec<ConnectionChoice>,
}

impl Page for AddProfile<'_> {
    fn title(&self) -> Cow<'_, str> {
        self.frame.say("add-title")
    }
}

/// Asks before a profile is removed.
#[derive(Template)]
#[template(path = "unlink.html")]
pub struct Unlink<'a> {
    /// The frame around it.
    pub frame: Frame<'a>,
    /// The hidden fields of its form.
    pub form: Form,
    /// The profile to remove.
    pub profile: ProfileView,
}

impl Page for Unlink<'_> {
    fn title(&self) -> Cow<'_, str> {
        self.frame.say("unlink-title")
    }
}

/// Asks before a link or merge is undone.
#[derive(Template)]
#[template(path = "undo.html")]
pub struct Undo<'a> {
    /// The frame around it.
    pub frame: Frame<'a>,
    /// The hidden fields of its form.
    pub form: Form,
    /// The entry to undo.
    pub entry: LedgerView,
}

impl Page for Undo<'_> {
    fn title(&self) -> Cow<'_, str> {
        self.frame.say("undo-title")
    }
}

/// Offers to mail a code, or asks for it, before one of the other pages.
#[derive(Template)]
#[template(path = "mail_code.html")]
pub struct MailCode<'a> {
    /// The frame around it.
    pub frame: Frame<'a>,
    /// The hidden fields of its form.
    pub form: Form,
    /// The place to which the right code leads.
    pub place: String,
    /// The address to which the code is mailed.
    pub email: String,
    /// Whether a code was sent that is still valid.
    pub is_sent: bool,
    /// The failure, if the user entered a wrong code.
    pub failure: Option<Failure>,
}

impl Page for MailCode<'_> {
    fn title(&self) -> Cow<'_, str> {
        self.frame.say("reauthenticate-title")
    }

    fn failed(&self) -> bool {
        self.failure.is_some()
    }
}

/// Answers a request for a sensitive action: with its page, or with the way to prove again who the user is.
async fn sensitive<T>(
    web: &Web,
    browser: &Browser,
    result: Result<Sensitive<T>, FlowError>,
    show: impl FnOnce(T) -> Response,
) -> Response {
    match result {
        Ok(Sensitive::Show(view)) => show(view),
        Ok(Sensitive::Prove(way)) => answer(&way),
        Err(error) => refusal(web, browser, error).await,
    }
}

async fn show_add(State(web): State<Web>, browser: Browser) -> Response {
    let result = web.broker.account.view_add_profile(&browser.visit).await;
    sensitive(&web, &browser, result, |view: AddProfileView| {
        let add = AddProfile {
            frame: web.pages.branded(browser.locale, &browser.here, view.brand),
            form: Form { token: view.form_token, flow: None },
            connections: choices(view.connections),
        };
        page(StatusCode::OK, &add)
    })
    .await
}

async fn post_add(State(web): State<Web>, SessionForm { browser, form }: SessionForm) -> Response {
    let way = match form.get("connection") {
        Some("password") => Some(AddWay::Password),
        Some(connection) => connection.parse().ok().map(AddWay::Connection),
        None => None,
    };
    let Some(way) = way else {
        let refused = web.broker.core.refuse_form(Reason::ConnectionMalformed);
        return refusal(&web, &browser, refused).await;
    };
    outcome(&web, &browser, web.broker.account.begin_add_profile(&browser.visit, way).await).await
}

async fn show_unlink(State(web): State<Web>, browser: Browser) -> Response {
    let Some(profile) = browser.query.get("profile").and_then(|text| text.parse().ok()) else {
        return refusal(&web, &browser, FlowError::refused(PublicCode::NotFound)).await;
    };
    let result = web.broker.account.view_unlink(&browser.visit, profile).await;
    sensitive(&web, &browser, result, |view: UnlinkView| {
        let unlink = Unlink {
            frame: web.pages.branded(browser.locale, &browser.here, view.brand),
            form: Form { token: view.form_token, flow: None },
            profile: view.profile,
        };
        page(StatusCode::OK, &unlink)
    })
    .await
}

async fn post_unlink(State(web): State<Web>, SessionForm { browser, form }: SessionForm) -> Response {
    let Some(profile) = form.get("profile").and_then(|text| text.parse().ok()) else {
        return refusal(&web, &browser, web.broker.core.refuse_form(Reason::ProfileMalformed)).await;
    };
    match web.broker.account.unlink(&browser.visit, profile).await {
        Ok(next) if next.next == NextPage::Account => see_other(&Done::Unlinked.address()),
        result => outcome(&web, &browser, result).await,
    }
}

async fn show_undo(State(web): State<Web>, browser: Browser) -> Response {
    let Some(entry) = browser.query.get("entry").and_then(|text| text.parse().ok()) else {
        return refusal(&web, &browser, FlowError::refused(PublicCode::NotFound)).await;
    };
    let result = web.broker.account.view_undo(&browser.visit, entry).await;
    sensitive(&web, &browser, result, |view: UndoView| {
        let undo = Undo {
            frame: web.pages.branded(browser.locale, &browser.here, view.brand),
            form: Form { token: view.form_token, flow: None },
            entry: undone(view.entry),
        };
        page(StatusCode::OK, &undo)
    })
    .await
}

async fn post_undo(State(web): State<Web>, SessionForm { browser, form }: SessionForm) -> Response {
    let Some(entry) = form.get("entry").and_then(|text| text.parse().ok()) else {
        return refusal(&web, &browser, web.broker.core.refuse_form(Reason::EntryMalformed)).await;
    };
    outcome(&web, &browser, web.broker.account.undo_own_link(&browser.visit, entry).await).await
}

async fn show_code(State(web): State<Web>, browser: Browser) -> Response {
    let Some(place) = browser.query.get("place").and_then(path::read_place) else {
        return refusal(&web, &browser, FlowError::refused(PublicCode::NotFound)).await;
    };
    let result = web.broker.sign_in.view_mail_code(&browser.visit, place).await;
    sensitive(&web, &browser, result, |view| {
        page(StatusCode::OK, &code_page(&web, &browser, place, view, None))
    })
    .await
}

fn code_page<'w>(
    web: &'w Web,
    browser: &Browser,
    place: SensitiveAction,
    view: MailCodeView,
    failure: Option<Failure>,
) -> MailCode<'w> {
    let place = path::place(place);
    let here = path::with_query(path::MAIL_CODE, "place", &place);
    MailCode {
        frame: web.pages.branded(browser.locale, &here, view.brand),
        form: Form { token: view.form_token, flow: None },
        place,
        email: view.email.to_string(),
        is_sent: view.is_sent,
        failure,
    }
}

async fn send_code(State(web): State<Web>, SessionForm { browser, form }: SessionForm) -> Response {
    let Some(place) = form.get("place").and_then(path::read_place) else {
        return refusal(&web, &browser, web.broker.core.refuse_form(Reason::PlaceMalformed)).await;
    };
    outcome(&web, &browser, web.broker.sign_in.send_mail_code(&browser.visit, place).await).await
}

async fn post_code(State(web): State<Web>, SessionForm { browser, form }: SessionForm) -> Response {
    let Some(place) = form.get("place").and_then(path::read_place) else {
        return refusal(&web, &browser, web.broker.core.refuse_form(Reason::PlaceMalformed)).await;
    };
    let entered = form.get("code").unwrap_or_default();
    match web.broker.sign_in.enter_mail_code(&browser.visit, place, entered).await {
        Err(FlowError::Refused(refused)) if refused.code == PublicCode::MailCodeWrong => {
            match web.broker.core.settle(&browser.visit, FlowError::Refused(refused)).await {
                Ok(Told::Person(again)) => enter_again(&web, &browser, place, again.code).await,
                Ok(told) => tell(&web, &browser, told),
                Err(error) => refusal(&web, &browser, error).await,
            }
        }
        result => outcome(&web, &browser, result).await,
    }
}

async fn enter_again(web: &Web, browser: &Browser, place: SensitiveAction, code: PublicCode) -> Response {
    let result = web.broker.sign_in.view_mail_code(&browser.visit, place).await;
    sensitive(web, browser, result, |view| {
        let failure = Failure::new(code);
        let status = failure.status();
        page(status, &code_page(web, browser, place, view, Some(failure)))
    })
    .await
}

/// The entry with only what its undoing removes. For a link, that is the added identity, not the account that it was
/// added to.
fn undone(mut entry: LedgerView) -> LedgerView {
    if entry.kind.adds_identity() {
        entry.what.truncate(1);
    }
    entry
}
