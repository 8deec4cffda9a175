//! Every page in every state, in every language, held against what all pages must be.
//!
//! With `COUNTERSIGN_GALLERY=<folder>` in the environment the pages and their assets are also written there, to be
//! looked at.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use askama::Template;
use axum::body::HttpBody as _;
use http::HeaderMap;

use scraper::{ElementRef, Html, Selector};

use super::account::Done;
use super::*;
use crate::flows::password_link::{BrokenRule, PasswordRules};
use crate::model::{LedgerKind, Role, Timestamp};
use crate::web::asset::ASSETS_PATH;
use crate::web::errors::REASONS;
use crate::web::locale::Locale;

const HOSTILE: &str = "<script>alert(\"1\")</script>{{7*7}}&'";
const LONG: &str = "Donaudampfschifffahrtsgesellschaftsverein";

struct Sample {
    name: String,
    locale: Locale,
    html: String,
}

/// Renders every state of every page; `noun` stands wherever a name from outside may stand.
struct Samples<'a> {
    pages: &'a Pages,
    locale: Locale,
    noun: Option<&'static str>,
    done: Vec<Sample>,
}

impl<'a> Samples<'a> {
    fn noun(&self, usual: &str) -> String {
        self.noun.unwrap_or(usual).to_owned()
    }

    fn frame(&self, here: &str) -> Frame<'a> {
        let mut frame = self.pages.frame(self.locale, here);
        frame.app = Some(self.noun("Notes"));
        frame.organization = self.noun.map(str::to_owned);
        frame.privacy = Some("https://acme.test/privacy".into());
        frame
    }

    fn failed_frame(&self, here: &str) -> Frame<'a> {
        let mut frame = self.frame(here);
        frame.receipt = Some("7F3K-Q2".into());
        frame
    }

    fn add(&mut self, name: &str, page: &impl Template) {
        let html = page.render().unwrap();
        self.done.push(Sample { name: name.to_owned(), locale: self.locale, html });
    }

    fn form(&self) -> Form {
        Form { token: self.noun("token"), flow: Some(self.noun("flow-handle")) }
    }

    fn person(&self) -> Person {
        Person { label: self.noun("bob@acme.test"), switch: Some("/signin?flow=x&switch=1".into()) }
    }

    fn app(&self) -> AppHome {
        AppHome { name: self.noun("Notes"), home: "https://notes.acme.test/".into() }
    }

    fn connections(&self) -> Vec<ConnectionChoice> {
        [("acme-idp", "Acme SSO", "idp.acme.test"), ("partners", "Partners", "login.microsoftonline.com")]
            .map(|(handle, name, provider)| ConnectionChoice {
                handle: handle.into(),
                value: self.noun(handle),
                name: self.noun(name),
                provider: self.noun(provider),
            })
            .into()
    }

    fn sign_in(&mut self) {
        let here = "/signin?flow=flow-handle";
        let page = |frame, failure| SignIn {
            frame,
            form: self.form(),
            username: None,
            connections: Vec::new(),
            failure,
            purpose: Purpose::SignIn,
        };
        let empty = page(self.frame(here), None);
        let refused = SignIn {
            username: Some(self.noun("bob")),
            ..page(self.failed_frame(here), Some(Failure::new("bad_credentials")))
        };
        let wait = Failure::new("too_many_attempts").wait(Duration::from_secs(150));
        let paused = SignIn { username: Some("bob".into()), ..page(self.failed_frame(here), Some(wait)) };
        let mut frame = self.frame(here);
        frame.organization = Some(self.noun("Acme"));
        let own = SignIn { connections: self.connections(), ..page(frame, None) };
        let again = SignIn {
            purpose: Purpose::ProveAnew,
            username: Some(self.noun("bob")),
            ..page(self.frame(here), None)
        };
        let link = SignIn {
            purpose: Purpose::Link,
            connections: self.connections(),
            ..page(self.frame(here), None)
        };
        self.add("sign-in", &empty);
        self.add("sign-in-refused", &refused);
        self.add("sign-in-paused", &paused);
        self.add("sign-in-organization", &own);
        self.add("sign-in-anew", &again);
        self.add("sign-in-link", &link);
        self.add("sign-in-link-password", &SignIn { connections: Vec::new(), ..link });
    }

    fn link(&mut self) {
        let here = "/link?flow=flow-handle";
        let candidate = |provider: Option<&str>, hint: &str| Candidate {
            value: self.noun("pro_1"),
            provider: provider.map(|name| self.noun(name)),
            hint: Some(self.noun(hint)),
        };
        let candidates = vec![
            candidate(None, "c•••l"),
            candidate(Some("Partners"), "login.microsoftonline.com"),
            candidate(Some("Acme SSO"), "idp.acme.test"),
        ];
        let named = LinkOffer {
            frame: self.frame(here),
            form: self.form(),
            email: Some(self.noun("bob@acme.test")),
            provider: Some(self.noun("Acme SSO")),
            candidates,
            may_skip: true,
            failure: None,
        };
        self.add("link", &named);
        let failure = Some(Failure::new("link_unanswered"));
        let page = LinkOffer { frame: self.failed_frame(here), failure, ..named };
        self.add("link-unanswered", &page);
        let signed_in = LinkOffer { frame: self.frame(here), provider: None, failure: None, ..page };
        self.add("link-another", &signed_in);
        let unnamed = LinkOffer {
            frame: self.frame(here),
            form: self.form(),
            email: None,
            provider: None,
            candidates: Vec::new(),
            may_skip: false,
            failure: None,
        };
        self.add("link-unnamed", &unnamed);
        let side = |provider: Option<&str>, is_account: bool| LinkSide {
            provider: provider.map(|name| self.noun(name)),
            host: provider.map(|_| self.noun("idp.acme.test")),
            label: Some(self.noun(if provider.is_some() { "bob@acme.test" } else { "carol" })),
            details: vec![self.noun("Bob Berger")],
            account: is_account.then(|| self.noun(if provider.is_some() { "acc_1" } else { "acc_2" })),
        };
        let confirm = LinkConfirm {
            frame: self.frame("/link/confirm?flow=flow-handle"),
            form: self.form(),
            sides: [side(Some("Acme SSO"), false), side(None, true)],
            merge: None,
        };
        let both = |one: &str, two: &str| {
            [one, two].map(|text| Alternative { value: self.noun("acc_1"), label: self.noun(text) })
        };
        let merge = Merge {
            usernames: Some(both("bob", "carol")),
            roles: vec![Role::Owner, Role::Member],
            knowing_one: [vec![self.noun("Notes"), self.noun("Wiki")], vec![self.noun("Board")]],
            knowing_both: vec![self.noun("Mail")],
        };
        let sides = [side(Some("Acme SSO"), true), side(None, true)];
        let frame = self.frame("/link/confirm?flow=flow-handle");
        self.add("link-confirm", &confirm);
        self.add("merge-confirm", &LinkConfirm { frame, merge: Some(merge), sides, ..confirm });
    }

    fn profile_row(&self, provider: Option<&str>, current: bool) -> ProfileRow {
        ProfileRow {
            value: self.noun("pro_1"),
            provider: provider.map(|name| self.noun(name)),
            issuer: provider.map(|_| self.noun("https://idp.acme.test:9001")),
            label: Some(self.noun("bob@acme.test")),
            since: Timestamp::from_unix_seconds(1_761_200_000),
            last_used: current.then(|| Timestamp::from_unix_seconds(1_763_898_180)),
            current,
            may_unlink: true,
        }
    }

    fn ledger_row(&self, kind: LedgerKind, undo: bool) -> LedgerRow {
        LedgerRow {
            value: self.noun("led_1"),
            kind,
            what: vec![self.noun("Acme SSO · bob@acme.test"), self.noun("carol")],
            at: Timestamp::from_unix_seconds(1_761_200_000),
            undo_until: undo.then(|| Timestamp::from_unix_seconds(1_763_898_180)),
        }
    }

    fn own_links(&mut self) {
        let form = || Form { token: self.noun("token"), flow: None };
        let add =
            AddProfile { frame: self.frame("/account/link"), form: form(), connections: self.connections() };
        let unlink = |provider, current| Unlink {
            frame: self.frame("/account/unlink?profile=pro_1"),
            form: form(),
            profile: self.profile_row(provider, current),
        };
        let undo = |kind| Undo {
            frame: self.frame("/account/undo?entry=led_1"),
            form: form(),
            entry: self.ledger_row(kind, true),
        };
        let pages = (unlink(Some("Acme SSO"), true), unlink(None, false));
        let undone = (undo(LedgerKind::Linked), undo(LedgerKind::Merged));
        let set = |failure: Option<Failure>, broken| SetPassword {
            frame: self.frame("/reset/token"),
            form: form(),
            username: self.noun("bobby"),
            rules: PasswordRules::Classic,
            failure,
            broken,
        };
        let broken = vec![BrokenRule::TooShort, BrokenRule::NoDigit];
        let passwords = (set(None, Vec::new()), set(Some(Failure::new("password_rules")), broken));
        let done = PasswordSet { frame: self.frame("/reset/done") };
        self.add("set-password", &passwords.0);
        self.add("set-password-refused", &passwords.1);
        self.add("password-set", &done);
        self.add("account-link", &add);
        self.add("unlink-current", &pages.0);
        self.add("unlink-local", &pages.1);
        self.add("undo-link", &undone.0);
        self.add("undo-merge", &undone.1);
    }

    fn mail_codes(&mut self) {
        let here = "/account/confirm?place=link";
        let ask = MailCode {
            frame: self.frame(here),
            form: Form { token: self.noun("token"), flow: None },
            place: "link".to_owned(),
            email: self.noun("bob@acme.test"),
            is_sent: false,
            failure: None,
        };
        self.add("mail-code-send", &ask);
        let enter = MailCode { is_sent: true, ..ask };
        self.add("mail-code", &enter);
        let failure = Some(Failure::new("mail_code_wrong"));
        let again = MailCode { frame: self.failed_frame(here), failure, ..enter };
        self.add("mail-code-wrong", &again);
    }

    fn domain(&mut self) {
        let here = "/signin/domain?flow=flow-handle";
        let page = DomainEntry { frame: self.frame(here), form: self.form(), domain: None, failure: None };
        self.add("domain", &page);
        let failure = Some(Failure::new("unknown_domain"));
        let page = DomainEntry { domain: Some(self.noun("acme.tset")), failure, ..page };
        self.add("domain-unknown", &page);
        let entered = self.noun("acme.test");
        let page =
            Choice { frame: self.frame(here), form: self.form(), entered, connections: self.connections() };
        self.add("choice", &page);
    }

    fn consent(&mut self) {
        let named = ["openid", "profile", "email", "phone", "address", "offline_access"].map(str::to_owned);
        let page = Consent {
            frame: self.frame("/consent?flow=flow-handle"),
            form: self.form(),
            app: self.noun("Notes"),
            app_organization: self.noun("Acme"),
            person: self.person(),
            scopes: named.into_iter().chain([self.noun("notes:write")]).collect(),
        };
        self.add("consent", &page);
    }

    fn account(&mut self) {
        let session = |current: bool, user_agent: &str, via: Option<String>| SessionRow {
            value: self.noun("ses_1"),
            current,
            user_agent: Some(self.noun(user_agent)),
            address: Some(self.noun("2001:db8::4:17")),
            via,
            signed_in: Timestamp::from_unix_seconds(1_761_200_000),
            last_used: Timestamp::from_unix_seconds(1_763_898_180),
        };
        let sessions = vec![
            session(
                true,
                "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
                Some(self.noun("Acme SSO")),
            ),
            session(
                false,
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile Safari/604.1",
                None,
            ),
            session(false, "curl/8", Some(self.noun("Acme SSO"))),
        ];
        let page = Account {
            frame: self.frame("/account"),
            form_token: self.noun("token"),
            name: Some(self.noun("Bob Berger")),
            username: Some(self.noun("bob")),
            email: Some(self.noun("bob@acme.test")),
            email_proven: false,
            organization: Some(self.noun("Acme")),
            domains: vec![self.noun("acme.test"), self.noun("mail.acme.test")],
            via: SignedInVia::Connection {
                name: self.noun("Acme SSO"),
                issuer: self.noun("https://idp.acme.test:9001"),
            },
            sessions,
            profiles: vec![self.profile_row(Some("Acme SSO"), true), self.profile_row(None, false)],
            ledger: vec![self.ledger_row(LedgerKind::Linked, true)],
            linking: true,
            done: Some(Done::SessionEnded),
            failure: None,
        };
        self.add("account", &page);
        let mut sessions = page.sessions;
        sessions.truncate(1);
        let page = Account {
            sessions,
            profiles: vec![ProfileRow { may_unlink: false, ..self.profile_row(None, true) }],
            ledger: Vec::new(),
            linking: false,
            via: SignedInVia::Local,
            name: None,
            organization: None,
            domains: Vec::new(),
            email_proven: true,
            done: None,
            failure: Some(Failure::new("session_ended")),
            ..page
        };
        self.add("account-alone", &page);
        let kinds = [(LedgerKind::Undone, false), (LedgerKind::Merged, true), (LedgerKind::Expected, true)];
        let ledger = kinds.map(|(kind, undo)| self.ledger_row(kind, undo)).to_vec();
        let page = Account { done: Some(Done::OthersEnded), ledger, failure: None, ..page };
        self.add("account-others-ended", &page);
        let page = Account { done: Some(Done::Linked), ..page };
        self.add("account-linked", &page);
        self.add("account-unlinked", &Account { done: Some(Done::Unlinked), ..page });
    }

    fn leaving(&mut self) {
        let page = Logout {
            frame: self.frame("/oauth2/logout"),
            form: self.form(),
            person: self.person(),
            upstream: None,
        };
        self.add("logout", &page);
        self.add("logout-upstream", &Logout { upstream: Some(self.noun("Acme SSO")), ..page });
        let page = SignedOut { frame: self.frame("/signed-out"), app: Some(self.app()) };
        self.add("signed-out", &page);
        self.add("signed-out-without-app", &SignedOut { app: None, ..page });
        let page = Repost {
            frame: self.frame("/sso/callback/con_1"),
            action: self.noun("/sso/callback/con_1"),
            fields: vec![("state".into(), self.noun("s")), ("code".into(), self.noun("c"))],
        };
        self.add("repost", &page);
    }

    fn errors(&mut self) {
        for reason in REASONS {
            let page = ErrorPage {
                frame: self.failed_frame("/"),
                failure: Failure::new(reason.code),
                app: Some(self.app()),
                instead: Some("Acme SSO".into()),
                clashing: vec![self.noun("Acme SSO · bob@acme.test")],
                own: false,
            };
            assert_eq!(page.status(), reason.status);
            self.add(&format!("error-{}", reason.code), &page);
        }
        let mut frame = self.frame("/");
        frame.app = None;
        let page = ErrorPage {
            frame,
            failure: Failure::new(self.noun("brand_new")),
            app: None,
            instead: None,
            clashing: Vec::new(),
            own: false,
        };
        self.add("error-without-app", &page);
        self.add("error-of-ones-own", &ErrorPage { failure: Failure::new("unlink_last"), own: true, ..page });
    }

    fn all(pages: &'a Pages, noun: Option<&'static str>) -> Vec<Sample> {
        let mut all = Vec::new();
        for locale in Locale::ALL {
            let mut samples = Self { pages, locale, noun, done: Vec::new() };
            samples.sign_in();
            samples.domain();
            samples.link();
            samples.own_links();
            samples.mail_codes();
            samples.consent();
            samples.account();
            samples.leaving();
            samples.errors();
            all.append(&mut samples.done);
        }
        all
    }
}

fn select<'d>(document: &'d Html, selector: &str) -> Vec<ElementRef<'d>> {
    document.select(&Selector::parse(selector).unwrap()).collect()
}

fn text(document: &Html, selector: &str) -> String {
    let found = select(document, selector);
    assert_eq!(found.len(), 1, "{selector}");
    found[0].text().collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn every_page(noun: Option<&'static str>, check: impl Fn(&Sample, &Html)) {
    let pages = Pages::embedded().unwrap();
    for sample in Samples::all(&pages, noun) {
        check(&sample, &Html::parse_document(&sample.html));
    }
}

fn page(name: &str) -> Html {
    let pages = Pages::embedded().unwrap();
    let sample = Samples::all(&pages, None).into_iter().find(|sample| sample.name == name).unwrap();
    Html::parse_document(&sample.html)
}

#[test]
fn every_page_has_one_title_one_language_and_at_most_one_obvious_step() {
    every_page(None, |sample, document| {
        let name = &sample.name;
        assert!(document.errors.is_empty(), "{name}: {:?}", document.errors);
        assert_eq!(select(document, "h1").len(), 1, "{name}");
        assert_eq!(select(document, "main").len(), 1, "{name}");
        assert_eq!(select(document, "html")[0].attr("lang"), Some(sample.locale.tag()), "{name}");
        assert!(text(document, "title").contains(&text(document, "h1")), "{name}");
        assert!(select(document, ".primary").len() <= 1, "{name}");
        assert!(!select(document, "body > :not(footer) :is(a, button)").is_empty(), "{name} is a dead end");
    });
}

#[test]
fn every_input_has_a_label_and_every_reference_a_target() {
    every_page(None, |sample, document| {
        let ids: Vec<_> = select(document, "[id]").iter().filter_map(|e| e.attr("id")).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{}: an id twice", sample.name);
        for input in select(document, "input:not([type=hidden])") {
            let id = input.attr("id").unwrap();
            // The radios of one question share its name.
            assert!(input.attr("name") == Some(id) || input.attr("type") == Some("radio"));
            assert_eq!(select(document, &format!("label[for={id}]")).len(), 1, "{}: {id}", sample.name);
        }
        for element in select(document, "[aria-describedby], [aria-labelledby], [aria-controls]") {
            for attribute in ["aria-describedby", "aria-labelledby", "aria-controls"] {
                for target in element.attr(attribute).unwrap_or_default().split_whitespace() {
                    assert!(ids.contains(&target), "{}: {attribute} {target}", sample.name);
                }
            }
        }
    });
}

#[test]
fn no_page_carries_style_or_script_of_its_own() {
    every_page(Some(HOSTILE), |sample, document| {
        assert!(
            select(document, "style, [style], base, iframe, object, embed, template").is_empty(),
            "{}",
            sample.name
        );
        let scripts = select(document, "script");
        assert!(scripts.len() <= 1);
        for script in scripts {
            assert!(script.attr("src").is_some_and(|src| src.starts_with(ASSETS_PATH)), "{}", sample.name);
            assert_eq!(script.inner_html(), "");
        }
        for element in select(document, "*") {
            assert!(element.value().attrs().all(|(name, _)| !name.starts_with("on")), "{}", sample.name);
        }
    });
}

#[test]
fn what_comes_from_outside_is_shown_literally() {
    every_page(Some(HOSTILE), |sample, document| {
        assert!(!sample.html.contains("<script>"), "{}", sample.name);
        assert!(!sample.html.contains("49"), "{}: a template in a template", sample.name);
        if !sample.name.starts_with("error") {
            let shown: String = document.root_element().text().collect();
            assert!(shown.contains(HOSTILE), "{}", sample.name);
        }
    });
}

#[test]
fn nothing_is_left_untranslated() {
    every_page(None, |sample, document| {
        let shown: String = document.root_element().text().collect();
        assert!(
            !shown.contains("{$") && !shown.contains("{ $") && !shown.contains('\u{2068}'),
            "{}",
            sample.name
        );
    });
    every_page(Some(LONG), |sample, _| {
        assert!(!sample.html.contains('\u{e000}') && !sample.html.contains('\u{e001}'), "{}", sample.name);
    });
}

#[test]
fn a_page_links_to_itself_in_the_other_language() {
    let document = page("sign-in");
    let links = select(&document, "footer a[hreflang]");
    assert_eq!(links.len(), 1);
    assert_eq!(links[0].attr("href"), Some("/signin?flow=flow-handle&ui_locales=de"));
    assert_eq!(text(&document, "footer [aria-current=true]"), "English");
}

#[test]
fn the_contract_s_ids_are_there() {
    for (name, ids) in [
        ("sign-in", "username password sign-in use-custom-domain"),
        ("sign-in-refused", "username password sign-in use-custom-domain error receipt"),
        ("sign-in-organization", "connection-acme-idp connection-partners username"),
        ("domain", "domain continue"),
        ("domain-unknown", "domain continue error"),
        ("choice", "connection-acme-idp connection-partners"),
        ("consent", "consent-allow consent-deny"),
        ("link", "link-1 link-2 link-3 link-accounts link-skip"),
        ("link-unanswered", "link-1 link-accounts link-skip error receipt"),
        ("link-unnamed", "link-accounts link-cancel"),
        ("link-confirm", "link-confirm link-cancel"),
        ("merge-confirm", "keep-1 keep-2 local-1 local-2 merge-confirm link-cancel"),
        ("account-link", "connection-acme-idp connection-partners link-password"),
        ("set-password", "username new_password set-password"),
        ("set-password-refused", "new_password set-password error"),
        ("password-set", "password-set"),
        ("unlink-local", "unlink-confirm unlink-cancel"),
        ("undo-merge", "undo-confirm undo-cancel"),
        ("sign-in-anew", "username password sign-in"),
        ("sign-in-link", "connection-acme-idp username password sign-in"),
        (
            "account",
            "organization domains signed-in-via sign-out end-session-2 end-session-3 end-other-sessions \
             unlink-1 unlink-2 link-profile merge undo-1",
        ),
        ("logout", "logout-confirm"),
        ("logout-upstream", "logout-upstream logout-local"),
        ("signed-out", "signed-out"),
        ("repost", "continue"),
        ("error-flow_expired", "error receipt"),
    ] {
        let document = page(name);
        for id in ids.split(' ') {
            assert_eq!(select(&document, &format!("[id='{id}']")).len(), 1, "{name}: {id}");
        }
    }
}

#[test]
fn the_forms_carry_their_flow_and_token() {
    for name in [
        "sign-in",
        "sign-in-link",
        "domain",
        "choice",
        "consent",
        "link",
        "link-confirm",
        "merge-confirm",
        "logout",
    ] {
        let document = page(name);
        for form in select(&document, "form") {
            assert_eq!(form.attr("method"), Some("post"));
            for (field, value) in [("form_token", "token"), ("flow", "flow-handle")] {
                let selector = Selector::parse(&format!("input[type=hidden][name={field}]")).unwrap();
                assert_eq!(form.select(&selector).next().unwrap().attr("value"), Some(value), "{name}");
            }
        }
    }
    let link = page("sign-in");
    assert_eq!(select(&link, "#use-custom-domain")[0].attr("href"), Some("/signin/domain?flow=flow-handle"));
}

#[test]
fn a_refused_password_says_that_the_organization_may_sign_in_elsewhere() {
    for name in ["sign-in-refused", "sign-in-paused"] {
        let document = page(name);
        let shown = text(&document, "#error");
        assert!(
            shown.contains(
                "your organization may sign in through its own identity provider; use your organization's domain"
            ),
            "{shown}"
        );
    }
    assert_eq!(select(&page("sign-in-refused"), "#error")[0].attr("data-error"), Some("bad_credentials"));
    assert!(text(&page("sign-in-paused"), "#error").contains("Try again in 3 minutes."));
    assert_eq!(select(&page("sign-in-refused"), "#username")[0].attr("value"), Some("bob"));
    assert_eq!(select(&page("sign-in-refused"), "#password")[0].attr("value"), Some(""));
}

#[test]
fn an_offer_names_how_each_account_signs_in_and_chooses_for_nobody() {
    let document = page("link");
    let cards = select(&document, "label.card");
    assert_eq!(cards.len(), 3);
    for (card, (name, hint)) in cards.iter().zip([
        ("Username and password", "c•••l"),
        ("Partners", "login.microsoftonline.com"),
        ("Acme SSO", "idp.acme.test"),
    ]) {
        let shown: String = card.text().collect();
        assert!(shown.contains(name) && shown.contains(hint), "{shown}");
        assert_eq!(card.attr("title"), Some(format!("{name} · {hint}").as_str()));
    }
    assert!(select(&document, "[checked]").is_empty());
    assert!(text(&document, "main").contains("Kept apart, you get a new account."));
    // Whoever has an account gets none by keeping them apart.
    assert!(!text(&page("link-another"), "main").contains("new account"));
}

#[test]
fn a_merge_says_what_stays_and_which_apps_see_what() {
    let document = page("merge-confirm");
    for (id, value) in [("keep-1", "acc_1"), ("keep-2", "acc_2")] {
        assert_eq!(select(&document, &format!("#{id}"))[0].attr("value"), Some(value));
    }
    let shown = text(&document, "form");
    for expected in [
        "bob@acme.test Acme SSO · idp.acme.test · Bob Berger",
        "carol Username and password · Bob Berger",
        "owner, member",
        "Apps that know only bob@acme.test · Acme SSO go on seeing it as before: Notes, Wiki.",
        "Apps that know only carol · Username and password go on seeing it as before: Board.",
        "Apps that know both see the account that stays: Mail.",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
}

#[test]
fn who_is_asked_for_a_further_proof_is_not_led_astray() {
    for name in ["sign-in-anew", "sign-in-link"] {
        assert!(select(&page(name), "#use-custom-domain").is_empty(), "{name}");
    }
    // Neither a provider that is not offered, nor a password that is deleted for good.
    assert!(!text(&page("sign-in-link-password"), "main").contains("identity provider"));
    assert!(!text(&page("unlink-local"), "main").contains("link it anew"));
    assert!(text(&page("unlink-current"), "main").contains("link it anew"));
    assert_eq!(select(&page("sign-in-anew"), "#username")[0].attr("value"), Some("bob"));
    let back = page("error-of-ones-own");
    assert_eq!(select(&back, "main a")[0].attr("href"), Some("/account"));
}

#[test]
fn the_domain_page_says_who_knows_the_domain() {
    assert!(text(&page("domain"), "#domain-hint").contains("a colleague finds it in their profile"));
}

#[test]
fn an_email_goes_on_without_a_password() {
    assert!(select(&page("sign-in"), "[required]").is_empty());
}

#[test]
fn the_error_page_names_its_reason_its_code_and_the_way_back_to_the_app() {
    let document = page("error-flow_expired");
    assert_eq!(select(&document, "#error")[0].attr("data-error"), Some("flow_expired"));
    assert_eq!(text(&document, "#receipt"), "Code 7F3K-Q2");
    let link = select(&document, "a.primary")[0];
    assert_eq!(
        (link.attr("href"), link.text().collect::<String>().as_str()),
        (Some("https://notes.acme.test/"), "Start again at Notes")
    );
    let refused = text(&page("error-idp_refused"), "#error");
    assert!(refused.contains("give the code below to your organization’s administrator"), "{refused}");
    let unknown = page("error-without-app");
    assert!(!text(&unknown, "#error").contains("code below"), "there is no code");
    assert_eq!(select(&unknown, "#error")[0].attr("data-error"), Some("brand_new"));
    assert_eq!(text(&unknown, "h1"), "Something went wrong on our side");
}

#[test]
fn the_account_says_which_browser_and_when() {
    let document = page("account");
    let shown = text(&document, "[aria-labelledby=sessions] table");
    for expected in
        ["Firefox on Linux", "Safari on iPhone", "curl/8", "23 October 2025, 06:13 UTC", "This browser"]
    {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    assert_eq!(text(&document, "#signed-in-via"), "Acme SSO");
    assert_eq!(text(&document, "#done"), "The session has ended.");
    assert_eq!(select(&document, "#domains li").len(), 2);
}

#[test]
fn a_repost_carries_the_same_fields_in_order() {
    let document = page("repost");
    let form = select(&document, "form[data-submit]")[0];
    assert_eq!(form.attr("action"), Some("/sso/callback/con_1"));
    let fields: Vec<_> = select(&document, "form input")
        .iter()
        .map(|input| (input.attr("name"), input.attr("value")))
        .collect();
    assert_eq!(fields, [(Some("state"), Some("s")), (Some("code"), Some("c"))]);
}

#[test]
fn a_page_is_at_most_three_requests_and_twenty_kibibytes() {
    let pages = Pages::embedded().unwrap();
    every_page(Some(LONG), |sample, document| {
        let mut bytes = sample.html.len();
        let files: Vec<_> = select(document, "script[src], link[rel=stylesheet]")
            .iter()
            .filter_map(|element| element.attr("src").or(element.attr("href")))
            .collect();
        assert!(files.len() <= 2, "{}", sample.name);
        for file in files {
            let response =
                pages.assets().respond(file.strip_prefix(ASSETS_PATH).unwrap(), &HeaderMap::new()).unwrap();
            bytes += usize::try_from(response.into_body().size_hint().exact().unwrap()).unwrap();
        }
        assert!(bytes <= 20 * 1024, "{}: {bytes} bytes", sample.name);
    });
}

#[test]
fn the_gallery_is_written_where_somebody_asks_for_it() {
    let asked = std::env::var_os("COUNTERSIGN_GALLERY");
    let scratch = tempfile::tempdir().unwrap();
    let folder = asked.as_deref().map_or(scratch.path(), Path::new);
    let pages = Pages::embedded().unwrap();
    std::fs::create_dir_all(folder.join("assets")).unwrap();
    for (path, file) in
        [(pages.assets().style(), "countersign.css"), (pages.assets().script(), "countersign.js")]
    {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/assets").join(file);
        std::fs::copy(from, folder.join(path.trim_start_matches('/'))).unwrap();
    }
    for noun in [None, Some(LONG)] {
        for sample in Samples::all(&pages, noun) {
            let long = if noun.is_some() { "long-" } else { "" };
            let file = format!("{long}{}.{}.html", sample.name, sample.locale.tag());
            std::fs::write(folder.join(file), sample.html).unwrap();
        }
    }
    assert!(folder.join("sign-in.de.html").is_file());
}
