//! A person's own page.

pub mod link;
pub mod own_links;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use http::StatusCode;

use super::browser::guard::SessionForm;
use super::browser::request::Browser;
use super::browser::respond::{answer, outcome, page, refusal, see_other};
use super::pages::account::Done;
use super::pages::{Account, SessionRow, SignedInVia, path};
use super::state::Web;
use crate::flows::account::{OwnAccountView, ProfileView, SessionView};
use crate::flows::visit::NextPage;

/// The routes of this file.
pub fn routes() -> Router<Web> {
    Router::new()
        .route(path::ACCOUNT, get(show_account))
        .route(path::END_SESSION, post(end_session))
        .route(path::END_OTHER_SESSIONS, post(end_other_sessions))
        .route(path::SIGN_OUT, post(sign_out))
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

/// How this session was signed in.
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
        // There is something to ask first, and one page that asks it.
        Ok(None) => see_other(path::LOGOUT),
        Err(error) => refusal(&web, &browser, error).await,
    }
}
