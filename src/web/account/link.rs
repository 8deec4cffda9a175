//! The pages of an attempt to link: the offer, and the question after both sides are proved.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;

use crate::flows::link::{
    CandidateView, ConfirmAnswer, LinkConfirmView, LinkOfferView, MergeView, OfferAnswer, SideView,
};
use crate::flows::refusal::{PublicCode, Reason};
use crate::flows::visit::NextPage;
use crate::model::Role;
use crate::web::browser::guard::FlowForm;
use crate::web::browser::request::Browser;
use crate::web::browser::respond::{outcome, page, proceed, refusal, see_other, with_cookies};
use crate::web::pages::account::Done;
use crate::web::pages::{
    Alternative, Candidate, Failure, Form, LinkConfirm, LinkOffer, LinkSide, Merge, path,
};
use crate::web::state::Web;

/// The routes of this file.
pub fn routes() -> Router<Web> {
    Router::new()
        .route(path::LINK, get(show_offer).post(post_offer))
        .route(path::CONFIRM_LINK, get(show_confirmation).post(post_confirmation))
}

async fn show_offer(State(web): State<Web>, browser: Browser) -> Response {
    let handle = browser.query.get("flow").unwrap_or_default();
    offer(&web, &browser, handle, None).await
}

async fn offer(web: &Web, browser: &Browser, handle: &str, failure: Option<Failure>) -> Response {
    let status = if failure.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    match web.broker.links.view_offer(&browser.visit, handle).await {
        Ok(view) => page(status, &offer_page(web, browser, view, failure)),
        Err(error) => refusal(web, browser, error).await,
    }
}

fn offer_page<'w>(
    web: &'w Web,
    browser: &Browser,
    view: LinkOfferView,
    failure: Option<Failure>,
) -> LinkOffer<'w> {
    let here = path::with_query(path::LINK, "flow", &view.handle);
    let locale = browser.language(view.locale.as_deref());
    let mut frame = web.pages.branded(locale, &here, Some(view.brand));
    frame.app = view.app;
    frame.receipt = failure.is_some().then_some(view.receipt);
    let candidate = |found: CandidateView| Candidate {
        value: found.profile.to_string(),
        provider: found.provider,
        hint: found.host.or(found.hint),
    };
    LinkOffer {
        frame,
        form: Form { token: view.form_token, flow: Some(view.handle) },
        email: view.email.map(|email| email.to_string()).filter(|_| !view.candidates.is_empty()),
        provider: view.provider,
        candidates: view.candidates.into_iter().map(candidate).collect(),
        may_skip: view.may_skip,
        failure,
    }
}

async fn post_offer(State(web): State<Web>, FlowForm { browser, handle, form }: FlowForm) -> Response {
    let handle = handle.as_str();
    let answer = match (form.get("answer"), form.get("profile").and_then(|text| text.parse().ok())) {
        (Some("skip"), _) => OfferAnswer::Skip,
        (Some("existing"), _) => OfferAnswer::Existing,
        (Some("link"), Some(profile)) => OfferAnswer::Link(profile),
        _ => return offer(&web, &browser, handle, Some(Failure::new(PublicCode::LinkUnanswered))).await,
    };
    outcome(&web, &browser, web.broker.links.answer_offer(&browser.visit, handle, answer).await).await
}

async fn show_confirmation(State(web): State<Web>, browser: Browser) -> Response {
    let handle = browser.query.get("flow").unwrap_or_default();
    match web.broker.links.view_link_confirmation(&browser.visit, handle).await {
        Ok(view) => page(StatusCode::OK, &confirmation_page(&web, &browser, view)),
        Err(error) => refusal(&web, &browser, error).await,
    }
}

fn confirmation_page<'w>(web: &'w Web, browser: &Browser, view: LinkConfirmView) -> LinkConfirm<'w> {
    let here = path::with_query(path::CONFIRM_LINK, "flow", &view.handle);
    let locale = browser.language(view.locale.as_deref());
    let mut frame = web.pages.branded(locale, &here, Some(view.brand));
    frame.app = view.app;
    LinkConfirm {
        frame,
        form: Form { token: view.form_token, flow: Some(view.handle) },
        merge: view.merge.map(merge_part),
        sides: [view.arriving, view.chosen].map(side),
    }
}

/// A side is named by its username, else by its email or its name; what is left of them stands beside it.
fn side(view: SideView) -> LinkSide {
    let has_email = view.email.is_some();
    let mut names = [view.username, view.email, view.name].into_iter().flatten();
    LinkSide {
        label: names.next(),
        details: names.collect(),
        provider: view.provider,
        host: view.host,
        subject: view.subject,
        since: view.since,
        is_unproven: has_email && !view.email_proven,
        account: view.account.map(|account| account.to_string()),
    }
}

fn merge_part(view: MergeView) -> Merge {
    let [first, second] = view.accounts.map(|account| account.to_string());
    let alternatives = |[one, two]: [String; 2]| {
        [Alternative { value: first, label: one }, Alternative { value: second, label: two }]
    };
    let mut roles: Vec<Role> = view.roles.into_iter().flatten().collect();
    roles.sort_unstable();
    roles.dedup();
    let [knowing_first, knowing_second, knowing_both] = view.apps;
    Merge {
        usernames: view.usernames.map(alternatives),
        roles,
        knowing_one: [knowing_first, knowing_second],
        knowing_both,
    }
}

async fn post_confirmation(State(web): State<Web>, FlowForm { browser, handle, form }: FlowForm) -> Response {
    let handle = handle.as_str();
    let account = |name: &str| form.get(name).map(str::parse).transpose();
    let answer = match (form.get("answer"), account("keep"), account("local_of")) {
        (Some("cancel"), _, _) => ConfirmAnswer::Cancel,
        (Some("link"), Ok(keep), Ok(local_of)) => ConfirmAnswer::Link { keep, local_of },
        _ => {
            let refused = web.broker.core.refuse_form(Reason::LinkUnanswered);
            return refusal(&web, &browser, refused).await;
        }
    };
    let linked = answer != ConfirmAnswer::Cancel;
    let answered = web.broker.links.answer_link_confirmation(&browser.visit, handle, answer).await;
    match proceed(&web, &browser, answered).await {
        Ok(next) if linked && next.next == NextPage::Account => {
            with_cookies(see_other(&Done::Linked.address()), &next.cookies)
        }
        result => outcome(&web, &browser, result).await,
    }
}
