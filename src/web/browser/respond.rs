//! How the broker answers browsers after a use case: with a page, or with a redirect, always by 303 (RFC 9700, section
//! 4.12).

use std::time::Duration;

use askama::Template;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};

use super::cookies::set_cookie;
use super::request::{Browser, UncheckedForm};
use crate::flows::interaction::Handled;
use crate::flows::refusal::{
    Clashing, FlowError, PublicCode, Reason, RefusalView, Told, Wait, private_detail,
};
use crate::flows::visit::{Answer, CookieChange, NextPage};
use crate::model::SensitiveAction;
use crate::web::pages::{AppHome, ErrorPage, Failure, path};
use crate::web::state::Web;
use crate::web::text::whole_seconds;

/// A short text answer.
pub fn plain(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    no_store(response)
}

/// Forbids every cache to keep the answer.
pub fn no_store(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A redirect that turns every method into GET.
pub fn see_other(location: &str) -> Response {
    let Ok(value) = HeaderValue::try_from(location) else {
        return plain(StatusCode::BAD_REQUEST, "the address cannot be sent");
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    response.headers_mut().insert(header::LOCATION, value);
    no_store(response)
}

/// The most bytes of a posted request that the redirect repeats as a query.
const MAX_QUERY: usize = 12 * 1024;

/// Answers a post from another site, which comes without our cookies. The browser asks `path` again by GET, which sends
/// them.
pub async fn ask_again(
    web: &Web,
    browser: &Browser,
    path: &str,
    UncheckedForm(form): &UncheckedForm,
) -> Response {
    let query = form.to_text();
    if query.len() > MAX_QUERY {
        return refusal(web, browser, web.broker.core.refuse_form(Reason::RequestTooLong)).await;
    }
    see_other(&format!("{path}?{query}"))
}

/// Adds cookies to an answer.
pub fn with_cookies(mut response: Response, changes: &[CookieChange]) -> Response {
    for value in changes.iter().filter_map(set_cookie) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}

/// A page with a status.
pub fn page(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => {
            let mut response = Response::new(Body::from(html));
            *response.status_mut() = status;
            let kind = HeaderValue::from_static("text/html; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            no_store(response)
        }
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "The page could not be made.")
        }
    }
}

/// Where the browser goes next, with its cookies.
pub fn answer(answer: &Answer) -> Response {
    let location = match &answer.next {
        NextPage::SignIn(flow) | NextPage::Choose(flow, None) => {
            path::with_query(path::SIGN_IN, "flow", flow)
        }
        NextPage::Choose(flow, Some(name)) => {
            path::with_query(&path::with_query(path::DOMAIN, "flow", flow), "domain", name)
        }
        NextPage::Stage(stage, flow) => path::with_query(&format!("/{stage}"), "flow", flow),
        NextPage::Upstream(url) | NextPage::App(url) => url.clone(),
        NextPage::Account => path::ACCOUNT.to_owned(),
        NextPage::Sensitive(SensitiveAction::AddProfile) => path::ADD_PROFILE.to_owned(),
        NextPage::Sensitive(SensitiveAction::Unlink(profile)) => {
            path::with_query(path::UNLINK, "profile", &profile.to_string())
        }
        NextPage::Sensitive(SensitiveAction::Undo(entry)) => {
            path::with_query(path::UNDO_LINK, "entry", &entry.to_string())
        }
        NextPage::MailCode(place) => path::with_query(path::MAIL_CODE, "place", &path::place(*place)),
        NextPage::SignedOut(None) => path::SIGNED_OUT.to_owned(),
        NextPage::SignedOut(Some(client)) => path::with_query(path::SIGNED_OUT, "client_id", client),
    };
    with_cookies(see_other(&location), &answer.cookies)
}

/// The answer to a use case, whether it succeeded or not. After a step of an interaction, the dispatcher continues.
pub async fn outcome(
    web: &Web,
    browser: &Browser,
    result: Result<impl Into<Handled>, FlowError>,
) -> Response {
    match proceed(web, browser, result).await {
        Ok(next) => answer(&next),
        Err(error) => refusal(web, browser, error).await,
    }
}

/// The place to which the browser goes after a use case, whether it succeeded or not.
pub async fn proceed(
    web: &Web,
    browser: &Browser,
    result: Result<impl Into<Handled>, FlowError>,
) -> Result<Answer, FlowError> {
    web.broker.dispatcher.proceed(&browser.visit, result?.into()).await
}

/// The page or the redirect that reports a refusal. This function also writes the refusal's record, once.
pub async fn refusal(web: &Web, browser: &Browser, error: FlowError) -> Response {
    let error = match web.broker.core.settle(&browser.visit, error).await {
        Ok(told) => return tell(web, browser, told),
        Err(error) => error,
    };
    tracing::error!(error = private_detail(&error), "a request could not be served");
    let wait = Wait(Some(Duration::from_secs(2)));
    error_page(web, browser, RefusalView::new(PublicCode::TemporarilyUnavailable(wait)))
}

/// Reports a refusal whose record has been written.
pub fn tell(web: &Web, browser: &Browser, told: Told) -> Response {
    match told {
        Told::Person(view) => error_page(web, browser, *view),
        Told::App(address) => see_other(&address),
    }
}

/// The time to wait, as the value of the header `Retry-After` (RFC 9110, section 10.2.3).
pub(in crate::web) fn retry_after(span: Duration) -> HeaderValue {
    HeaderValue::from(whole_seconds(span))
}

fn error_page(web: &Web, browser: &Browser, refusal: RefusalView) -> Response {
    let RefusalView { code, receipt, app } = refusal;
    let mut frame = web.pages.frame(browser.locale, &browser.here);
    frame.receipt = receipt;
    frame.app = app.as_ref().map(|app| app.name.clone());
    let app = app.and_then(|app| app.home.map(|home| AppHome { name: app.name, home }));
    let own = browser.here.starts_with(path::ACCOUNT) || is_about_a_link(&code);
    let wait = code.wait();
    let (instead, clashing) = match &code {
        PublicCode::OtherConnection(elsewhere) => (elsewhere.name.clone(), Vec::new()),
        PublicCode::LinkSameProvider(Clashing(names)) => (None, names.clone()),
        _ => (None, Vec::new()),
    };
    let error = ErrorPage { frame, failure: Failure::new(code), app, instead, clashing, own };
    let mut response = page(error.status(), &error);
    if let Some(span) = wait {
        response.headers_mut().insert(header::RETRY_AFTER, retry_after(span));
    }
    response
}

/// Whether a refusal stopped a link. The user can start it again from their own page.
const fn is_about_a_link(code: &PublicCode) -> bool {
    matches!(
        code,
        PublicCode::LinkUnanswered
            | PublicCode::LinkOff
            | PublicCode::LinkSameAccount
            | PublicCode::LinkSameProvider(_)
            | PublicCode::LinkFull
            | PublicCode::LinkNoAccount
            | PublicCode::LinkWrongProfile
            | PublicCode::LinkEmergency
            | PublicCode::LinkTaken
            | PublicCode::LinkProfileGone
    )
}
