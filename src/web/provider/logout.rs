//! RP-initiated logout (`OpenID` Connect RP-Initiated Logout 1.0), and the page after it.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use http::StatusCode;

use crate::flows::provider::logout::{Logout, LogoutView};
use crate::flows::refusal::Reason;
use crate::web::browser::guard::SessionForm;
use crate::web::browser::request::{Browser, UncheckedForm};
use crate::web::browser::respond::{answer, ask_again, outcome, page, refusal};
use crate::web::pages::{AppHome, Form, Logout as LogoutPage, SignedOut, path};
use crate::web::state::Web;

/// The routes of this file.
pub fn routes() -> Router<Web> {
    Router::new()
        .route(path::LOGOUT, get(logout).post(logout_by_post))
        .route(path::CONFIRM_LOGOUT, post(confirm_logout))
        .route(path::SIGNED_OUT, get(show_signed_out))
}

async fn logout(State(web): State<Web>, browser: Browser) -> Response {
    match web.broker.logouts.begin_logout(&browser.visit, &browser.query).await {
        Ok(Logout::Done(done)) => answer(&done),
        Ok(Logout::Ask(view)) => page(StatusCode::OK, &logout_page(&web, &browser, view)),
        Err(error) => refusal(&web, &browser, error).await,
    }
}

fn logout_page<'w>(web: &'w Web, browser: &Browser, view: LogoutView) -> LogoutPage<'w> {
    let mut frame = web.pages.branded(browser.locale, &browser.here, view.brand);
    frame.app = view.app;
    LogoutPage {
        frame,
        form: Form { token: view.form_token, flow: Some(view.handle) },
        person: view.person,
        upstream: view.upstream,
    }
}

/// A post comes from the app's site, so without our cookies. The browser asks again by GET, which sends them.
async fn logout_by_post(State(web): State<Web>, browser: Browser, form: UncheckedForm) -> Response {
    ask_again(&web, &browser, path::LOGOUT, &form).await
}

async fn confirm_logout(State(web): State<Web>, SessionForm { browser, form }: SessionForm) -> Response {
    let upstream = match form.get("scope") {
        Some("upstream") => true,
        Some("local") => false,
        _ => {
            let refused = web.broker.core.refuse_form(Reason::ScopeUnknown);
            return refusal(&web, &browser, refused).await;
        }
    };
    let handle = form.get("flow").unwrap_or_default();
    outcome(&web, &browser, web.broker.logouts.confirm_logout(&browser.visit, handle, upstream).await).await
}

async fn show_signed_out(State(web): State<Web>, browser: Browser) -> Response {
    match web.broker.logouts.signed_out_app(browser.query.get("client_id")).await {
        Ok(link) => {
            let frame = web.pages.frame(browser.locale, &browser.here);
            let app = link.and_then(|link| link.home.map(|home| AppHome { name: link.name, home }));
            page(StatusCode::OK, &SignedOut { frame, app })
        }
        Err(error) => refusal(&web, &browser, error).await,
    }
}
