//! The pages of an attempt to link: the offer, and the question after the user has proved both sides.

use std::borrow::Cow;

use askama::Template;
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
use crate::model::{Role, Timestamp};
use crate::web::account::Done;
use crate::web::browser::guard::FlowForm;
use crate::web::browser::request::Browser;
use crate::web::browser::respond::{outcome, page, proceed, refusal, see_other, with_cookies};
use crate::web::pages::{Failure, Form, Frame, Page, path};
use crate::web::state::Web;

/// The routes of this file.
pub fn routes() -> Router<Web> {
    Router::new()
        .route(path::LINK, get(show_offer).post(post_offer))
        .route(path::CONFIRM_LINK, get(show_confirmation).post(post_confirmation))
}

/// One profile to choose, as a radio card.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The value that the form sends as `profile`.
    pub value: String,
    /// The connection's name; `None` is username and password.
    pub provider: Option<String>,
    /// The host of the identity provider, or the username, most of it hidden.
    pub hint: Option<String>,
}

/// Offers to link other accounts of the user.
#[derive(Template)]
#[template(path = "link.html")]
pub struct LinkOffer<'a> {
    /// The frame around it.
    pub frame: Frame<'a>,
    /// The hidden fields of its form.
    pub form: Form,
    /// The email that the accounts share; `None` if the page names no account.
    pub email: Option<String>,
    /// The connection through which the user has just signed in; `None` if the account was signed in already.
    pub provider: Option<String>,
    /// The profiles to choose from.
    pub candidates: Vec<Candidate>,
    /// Whether the sign-in goes on if the user declines.
    pub may_skip: bool,
    /// The failure of the last attempt.
    pub failure: Option<Failure>,
}

impl Page for LinkOffer<'_> {
    fn title(&self) -> Cow<'_, str> {
        self.frame.say("link-title")
    }

    fn failed(&self) -> bool {
        self.failure.is_some()
    }
}

impl Candidate {
    fn name<'f>(&'f self, frame: &Frame<'f>) -> Cow<'f, str> {
        self.provider.as_deref().map_or_else(|| frame.say("via-local"), Cow::Borrowed)
    }
}

/// One of the two sides of a link.
#[derive(Debug, Clone)]
pub struct LinkSide {
    /// The connection's name; `None` is username and password.
    pub provider: Option<String>,
    /// The host of the identity provider.
    pub host: Option<String>,
    /// The username, else the email or the name.
    pub label: Option<String>,
    /// Further facts that tell it apart: the user's name, the email.
    pub details: Vec<String>,
    /// The identity provider's id for the user.
    pub subject: Option<String>,
    /// Since when it signs a user in here; `None` for an identity that does not belong to an account yet.
    pub since: Option<Timestamp>,
    /// Whether its label is an email that is not proven.
    pub is_unproven: bool,
    /// Its account, as the form sends it; `None` for an identity that does not belong to an account yet.
    pub account: Option<String>,
}

impl LinkSide {
    fn name<'f>(&'f self, frame: &Frame<'f>) -> Cow<'f, str> {
        self.provider.as_deref().map_or_else(|| frame.say("via-local"), Cow::Borrowed)
    }

    fn title<'f>(&'f self, frame: &Frame<'f>) -> Cow<'f, str> {
        self.label.as_deref().map_or_else(|| self.name(frame), Cow::Borrowed)
    }

    /// The label with the way to sign in. It tells apart two accounts with the same email.
    fn whole(&self, frame: &Frame<'_>) -> String {
        let name = self.name(frame);
        self.label.as_ref().map_or_else(|| name.to_string(), |label| format!("{label} · {name}"))
    }

    /// How and where the user signs in with it, and what else tells it apart.
    fn about(&self, frame: &Frame<'_>) -> String {
        let name = self.name(frame);
        let parts = [Some(&*name), self.host.as_deref()].into_iter().flatten();
        let parts = parts.chain(self.details.iter().map(String::as_str));
        parts.collect::<Vec<_>>().join(" · ")
    }
}

/// One of two, in a list of radio cards.
#[derive(Debug, Clone)]
pub struct Alternative {
    /// The value that the form sends.
    pub value: String,
    /// The label that the page shows.
    pub label: String,
}

/// The questions and facts that the page shows about a merge of two accounts.
#[derive(Debug, Clone)]
pub struct Merge {
    /// The accounts whose username and password the user can keep (field `local_of`), if both have them.
    pub usernames: Option<[Alternative; 2]>,
    /// The roles that the account has afterwards.
    pub roles: Vec<Role>,
    /// The apps that know only the first side's account, and those that know only the second's.
    pub knowing_one: [Vec<String>; 2],
    /// The apps that know both accounts.
    pub knowing_both: Vec<String>,
}

impl Merge {
    /// The roles' names on the page.
    fn named_roles<'f>(&self, frame: &Frame<'f>) -> Vec<Cow<'f, str>> {
        let named = self.roles.iter().map(|role| match role {
            Role::Owner => frame.say("role-owner"),
            Role::Administrator => frame.say("role-administrator"),
            Role::Member => frame.say("role-member"),
            Role::Auditor => frame.say("role-auditor"),
            Role::Operator => frame.say("role-operator"),
        });
        named.collect()
    }
}

/// Names both sides, and asks the user to confirm.
#[derive(Template)]
#[template(path = "link_confirm.html")]
pub struct LinkConfirm<'a> {
    /// The frame around it.
    pub frame: Frame<'a>,
    /// The hidden fields of its form.
    pub form: Form,
    /// The side that was proved first, then the other.
    pub sides: [LinkSide; 2],
    /// The questions and facts about a merge; `None` if an identity becomes part of an account.
    pub merge: Option<Merge>,
}

impl Page for LinkConfirm<'_> {
    fn title(&self) -> Cow<'_, str> {
        match &self.merge {
            Some(_) => self.frame.say("merge-title"),
            None => self.frame.say("link-confirm-title"),
        }
    }
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

/// A side is named by its username, else by its email, else by its name. The rest of these become its details.
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
