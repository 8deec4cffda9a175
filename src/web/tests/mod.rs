//! Every page in every state and every language, checked against the rules for all pages.
//!
//! With `COUNTERSIGN_GALLERY=<folder>` in the environment, the pages and their assets are also written to that folder,
//! so that they can be looked at in a browser.

mod samples;

use std::collections::BTreeSet;
use std::path::Path;

use axum::body::HttpBody as _;
use http::{HeaderMap, HeaderValue, header};

use scraper::{ElementRef, Html, Selector};

use self::samples::{Sample, Samples};
use crate::model::MAX_LOGO_BYTES;
use crate::web::asset::ASSETS_PATH;
use crate::web::pages::Pages;

const HOSTILE: &str = "<script>alert(\"1\")</script>{{7*7}}&'";
const LONG: &str = "Donaudampfschifffahrtsgesellschaftsverein";

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
        // A file's name may hold any digits.
        let html = sample.html.replace(Pages::embedded().unwrap().assets().style(), "");
        assert!(!html.contains("49"), "{}: a template in a template", sample.name);
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
    assert!(text(&document, "main").contains("If you do not link them, we will create a separate account."));
    // A user who has an account does not get another one by declining to link.
    assert!(!text(&page("link-another"), "main").contains("separate account"));
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
        "Apps that know only bob@acme.test · Acme SSO will see it as before: Notes, Wiki.",
        "Apps that know only carol · Username and password will see it as before: Board.",
        "Apps that know both will see the account that you keep: Mail.",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
}

#[test]
fn who_is_asked_for_a_further_proof_is_not_led_astray() {
    for name in ["sign-in-anew", "sign-in-link"] {
        assert!(select(&page(name), "#use-custom-domain").is_empty(), "{name}");
    }
    // The page must not name an identity provider that it does not offer, or a new link for a password that is deleted
    // for good.
    assert!(!text(&page("sign-in-link-password"), "main").contains("identity provider"));
    assert!(!text(&page("unlink-local"), "main").contains("link it again"));
    assert!(text(&page("unlink-current"), "main").contains("link it again"));
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
    let bare = page("error-without-app");
    assert!(!text(&bare, "#error").contains("code below"), "there is no code");
    assert_eq!(select(&bare, "#error")[0].attr("data-error"), Some("invalid_request"));
    assert_eq!(text(&bare, "h1"), "The app’s request cannot be answered");
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
            let mut request = HeaderMap::new();
            request.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate, br, zstd"));
            let response = pages.assets().respond(file.strip_prefix(ASSETS_PATH).unwrap(), &request).unwrap();
            bytes += usize::try_from(response.into_body().size_hint().exact().unwrap()).unwrap();
        }
        // The largest logo, in base64, and the rules of a look.
        bytes += MAX_LOGO_BYTES.div_ceil(3) * 4 + 300;
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
