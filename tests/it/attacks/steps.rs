//! A request and its steps: rows 38 to 44 and 46.

use countersign::model::Caller;
use http::{Method, StatusCode, header};

use super::tools::{SESSION, assert_error, form, is_signed_in, sign_carol_in};
use crate::harness::app::ISSUER;
use crate::harness::browser::{Browser, Page};
use crate::harness::database::Kind;
use crate::harness::evidence::Evidence;
use crate::harness::relying_app::RelyingApp;
use crate::harness::world::{ACME_IDP, PASSWORD, World};
use crate::on_both_databases;

const CAROL: [(&str, &str); 2] = [("username", "carol"), ("password", PASSWORD)];

/// The app of acme that asks for consent.
fn asks(world: &World) -> RelyingApp {
    let secret = Some("asks-secret-0123456789");
    RelyingApp::new(&world.app.network, "asks", secret, "https://asks.acme.test/callback")
}

/// The handle of the flow that a page belongs to.
fn flow_of(page: &Page) -> String {
    page.url.query_pairs().find(|(name, _)| name == "flow").unwrap().1.into_owned()
}

async fn post(browser: &mut Browser, path: &str, fields: &[(&str, &str)]) -> Page {
    let url = format!("{ISSUER}{path}").parse().unwrap();
    browser.request(Method::POST, &url, Some(form(fields)), "same-origin", Some(ISSUER)).await
}

on_both_databases! {
    async fn row_38_a_parameter_that_comes_twice(kind: Kind) {
        let world = World::new(kind).await;
        let wiki = &world.globex_app;
        let names = [
            "response_type", "scope", "state", "nonce", "code_challenge", "code_challenge_method", "prompt", "max_age",
            "login_hint", "domain_hint", "idp_hint", "id_token_hint", "acr_values", "ui_locales", "response_mode",
            "request", "request_uri", "made_up",
        ];
        let before = Evidence::now(&world.app).await;
        for name in names {
            for values in [["", ""], ["a", "a"], ["a", ""]] {
                let twice = form(&[(name, values[0]), (name, values[1])]);
                let page = world.browser().open(&format!("{}&{twice}", wiki.authorize_url(&[]))).await;
                assert_eq!(page.location_parameter("error").as_deref(), Some("invalid_request"), "{twice}");
                assert!(page.location().unwrap().as_str().starts_with(&format!("{}?", wiki.redirect_uri)));
                let state = page.location_parameter("state");
                assert_eq!(state.as_deref(), (name != "state").then_some("the-state"), "{twice}");
            }
        }
        for (name, value) in [("client_id", "wiki"), ("client_id", "notes"), ("client_id", "")] {
            let page = world.browser().open(&format!("{}&{}", wiki.authorize_url(&[]), form(&[(name, value)]))).await;
            assert!(page.location().is_none());
            page.expect(400, "error");
        }
        for value in [wiki.redirect_uri.as_str(), "https://evil.test/", ""] {
            let again = form(&[("redirect_uri", value)]);
            for url in [format!("{}&{again}", wiki.authorize_url(&[])), wiki.authorize_url(&[]).replacen('?', &format!("?{again}&"), 1)] {
                let page = world.browser().open(&url).await;
                assert!(page.location().is_none(), "{url}");
                page.expect(400, "error");
            }
        }
        let expected = [
            ("authorize refused client_id_missing_or_repeated", 3),
            ("authorize refused invalid_request", 21),
            ("authorize refused redirect_uri_missing_or_repeated", 6),
        ];
        before.assert_exactly(&world.app, &[], &expected).await;
        // Resources may be several (RFC 8707).
        let twice = form(&[("resource", "https://api.globex.test/"), ("resource", "https://api.globex.test/")]);
        world.browser().open(&format!("{}&{twice}", wiki.authorize_url(&[]))).await.expect(200, "sign-in");
        // The token endpoint reads no parameter twice either.
        for name in ["grant_type", "code", "redirect_uri", "code_verifier", "client_id", "scope"] {
            let answer = wiki.token(&[("grant_type", "authorization_code"), (name, "a"), (name, "b")]).await;
            assert_error(&answer, "invalid_request");
        }
    }
}

on_both_databases! {
    async fn row_39_flows_that_are_gone_stay_gone(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        for signed_in in [false, true, false] {
            if signed_in {
                world.local(&mut browser).await;
            } else {
                browser.cookies.clear();
            }
            let before = Evidence::now(&world.app).await;
            let types = ["token", "id_token", "id_token token", "code token", "code id_token", "code id_token token", "none", "Code", "code code", "code "];
            for response_type in types {
                for more in [None, Some(("prompt", "none")), Some(("response_mode", "fragment"))] {
                    let mut wish = vec![("response_type", response_type)];
                    wish.extend(more);
                    let page = browser.open(&world.globex_app.authorize_url(&wish)).await;
                    let location = page.location().unwrap();
                    assert_eq!(page.location_parameter("error").as_deref(), Some("unsupported_response_type"), "{location}");
                    assert!(location.fragment().is_none() && !location.as_str().contains("token="), "{location}");
                    assert_eq!(page.location_parameter("code"), None);
                }
            }
            for mode in ["fragment", "form_post", "query.jwt", "web_message"] {
                let page = browser.open(&world.globex_app.authorize_url(&[("response_mode", mode)])).await;
                assert_eq!(page.location_parameter("error").as_deref(), Some("invalid_request"), "{mode}");
            }
            let changes = before.changes(&world.app).await;
            assert!(changes.rows.is_empty(), "{changes:?}");
            world.app.clock.advance(std::time::Duration::from_mins(2));
        }
        for grant in ["password", "implicit", "urn:ietf:params:oauth:grant-type:device_code", "token", ""] {
            let form = [("grant_type", grant), ("username", "gil"), ("password", PASSWORD)];
            let error = if grant.is_empty() { "invalid_request" } else { "unsupported_grant_type" };
            assert_error(&world.globex_app.token(&form).await, error);
        }
        let document = "[[organizations]]\nhandle = \"globex\"\nname = \"Globex\"\n[[organizations.apps]]\nclient_id = \"x\"\n\
                        name = \"X\"\nredirect_uris = [\"https://x.test/\"]\ngrant_types = [\"implicit\"]\n";
        world.app.broker.organizations.apply(Caller::Operator(None), &[("x.toml".to_owned(), document.to_owned())], false).await.unwrap_err();
    }
}

on_both_databases! {
    async fn row_40_a_flow_in_the_hands_of_another_browser(kind: Kind) {
        let world = World::new(kind).await;
        let asks = asks(&world);
        let (mut victim, mut attacker) = (world.browser(), world.browser());
        sign_carol_in(&mut attacker).await;
        let sign_in = victim.open(&asks.authorize_url(&[])).await;
        let flow = flow_of(&sign_in);
        let before = Evidence::now(&world.app).await;
        // No user has proved anything yet: such a flow exists in its browser only, and not for another.
        for path in ["/signin", "/signin/domain"] {
            let page = attacker.open(&format!("{ISSUER}{path}?{}", form(&[("flow", &flow)]))).await;
            assert_eq!((page.status.as_u16(), page.error().as_deref()), (410, Some("flow_expired")), "{path}");
        }
        let posts: [(&str, Vec<(&str, &str)>); 3] = [
            ("/signin", CAROL.to_vec()),
            ("/signin/domain", vec![("domain", "acme.test")]),
            ("/signin/connection", vec![("connection", ACME_IDP)]),
        ];
        for (path, mut fields) in posts {
            fields.push(("flow", &flow));
            let page = post(&mut attacker, path, &fields).await;
            assert_eq!((page.status.as_u16(), page.location()), (410, None), "{path}");
        }
        before.assert_only_refused(&world.app, &[]).await;
        // Proven, it is a row that the thief's session does not fit.
        let consent = victim.press(&sign_in, "sign-in", &CAROL).await;
        let flow = flow_of(consent.expect(200, "consent-allow"));
        let before = Evidence::now(&world.app).await;
        for thief in [&mut attacker, &mut world.browser()] {
            let page = thief.open(&format!("{ISSUER}/consent?{}", form(&[("flow", &flow)]))).await;
            assert_eq!((page.status.as_u16(), page.location()), (403, None), "{}", page.body);
            for decision in ["allow", "deny"] {
                let page = post(thief, "/consent", &[("flow", &flow), ("decision", decision)]).await;
                assert_eq!((page.status.as_u16(), page.location()), (403, None), "{}", page.body);
            }
        }
        before.assert_only_refused(&world.app, &["consent refused flow_of_another_browser"; 6]).await;
        asks.code(&victim.press(&consent, "consent-allow", &[]).await);
    }
}

on_both_databases! {
    async fn row_41_steps_that_are_skipped_or_sent_empty(kind: Kind) {
        let world = World::new(kind).await;
        let asks = asks(&world);
        let mut browser = world.browser();
        let sign_in = browser.open(&asks.authorize_url(&[])).await;
        let flow = flow_of(&sign_in);
        let before = Evidence::now(&world.app).await;
        let steps = ["/signin", "/signin/domain", "/signin/connection", "/consent", "/oauth2/logout/confirm", "/account/sessions/end", "/account/sessions/end-others", "/account/sign-out"];
        for path in steps {
            for fields in [vec![], vec![("flow", "")], vec![("flow", flow.as_str())], vec![("flow", flow.as_str()), ("decision", "allow")]] {
                let page = post(&mut browser, path, &fields).await;
                let led = page.location().map(String::from).unwrap_or_default();
                assert!(page.status.is_client_error() || led.starts_with("https://id.test/"), "{path} {fields:?}: {} {led}", page.status);
                assert_eq!(page.location_parameter("code"), None, "{path}");
                assert!(!browser.cookies_of("id.test").contains_key(SESSION), "{path}");
            }
        }
        let changes = before.changes(&world.app).await;
        assert!(changes.rows.is_empty(), "{changes:?}");
        // In the right order the same flow goes through; its steps cannot be taken again, nor the next one early.
        let consent = browser.press(&sign_in, "sign-in", &CAROL).await;
        let later = browser.open(&asks.authorize_url(&[("prompt", "login")])).await;
        let before = Evidence::now(&world.app).await;
        let page = post(&mut browser, "/consent", &[("flow", &flow_of(&later)), ("decision", "allow")]).await;
        assert_eq!((page.status.as_u16(), page.error().as_deref()), (410, Some("flow_expired")), "not proven yet");
        let again = post(&mut browser, "/signin", &[("flow", &flow), CAROL[0], CAROL[1]]).await;
        assert_eq!((again.status.as_u16(), again.error().as_deref()), (410, Some("flow_finished")));
        let changes = before.changes(&world.app).await;
        assert!(changes.rows.is_empty(), "{changes:?}");
        asks.code(&browser.press(&consent, "consent-allow", &[]).await);
        let page = post(&mut browser, "/consent", &[("flow", &flow_of(&consent)), ("decision", "allow")]).await;
        assert_eq!((page.status.as_u16(), page.location()), (410, None));
    }
}

on_both_databases! {
    async fn row_42_consent_is_not_passed_over(kind: Kind) {
        let world = World::new(kind).await;
        world
            .app
            .apply(
                "[[organizations]]\nhandle = \"acme\"\nname = \"Acme\"\n[[organizations.apps]]\nclient_id = \"phone\"\n\
                 name = \"Phone\"\napplication_type = \"native\"\nredirect_uris = [\"http://127.0.0.1/cb\"]\n",
            )
            .await;
        let asks = asks(&world);
        let phone = RelyingApp::new(&world.app.network, "phone", None, "http://127.0.0.1/cb");
        let mut browser = world.browser();
        sign_carol_in(&mut browser).await;
        let before = Evidence::now(&world.app).await;
        let silent = |scope| [("prompt", "none"), ("scope", scope)];
        for app in [&asks, &phone] {
            let page = browser.open(&app.authorize_url(&silent("openid"))).await;
            assert_eq!(page.location_parameter("error").as_deref(), Some("consent_required"));
        }
        before.assert_only_refused(&world.app, &["authorize refused consent_required"; 2]).await;
        let page = browser.open(&asks.authorize_url(&[("scope", "openid email")])).await;
        asks.code(&browser.press(page.expect(200, "consent-allow"), "consent-allow", &[]).await);
        for (scope, error) in [
            ("openid", None),
            ("email", None),
            ("openid email", None),
            ("openid profile", Some("consent_required")),
            ("openid email phone", Some("consent_required")),
        ] {
            let page = browser.open(&asks.authorize_url(&silent(scope))).await;
            assert_eq!(page.location_parameter("error").as_deref(), error, "{scope}");
            assert_eq!(page.location_parameter("code").is_some(), error.is_none(), "{scope}");
        }
        // What was denied is not given, and takes nothing away that was given before.
        let page = browser.open(&asks.authorize_url(&[("scope", "openid phone")])).await;
        let page = browser.press(&page, "consent-deny", &[]).await;
        assert_eq!(page.location_parameter("error").as_deref(), Some("access_denied"));
        let page = browser.open(&asks.authorize_url(&silent("openid phone"))).await;
        assert_eq!(page.location_parameter("error").as_deref(), Some("consent_required"));
        asks.code(&browser.open(&asks.authorize_url(&silent("openid"))).await);
        // A program that listens on the user's machine needs consent each time.
        for _ in 0..2 {
            let page = browser.open(&phone.authorize_url(&[("scope", "openid")])).await;
            phone.code(&browser.press(page.expect(200, "consent-allow"), "consent-allow", &[]).await);
            let page = browser.open(&phone.authorize_url(&silent("openid"))).await;
            assert_eq!(page.location_parameter("error").as_deref(), Some("consent_required"));
        }
    }
}

on_both_databases! {
    async fn row_43_what_was_posted_here_is_posted_nowhere_else(kind: Kind) {
        let world = World::new(kind).await;
        let asks = asks(&world);
        let before = Evidence::now(&world.app).await;
        let mut browser = world.browser();
        let mut seen = Vec::new();
        let sign_in = browser.open(&asks.authorize_url(&[])).await;
        let mut other = world.browser();
        let named = other.open(&asks.authorize_url(&[])).await;
        let named = other.click(&named, "use-custom-domain").await;
        seen.push(other.press_only(&named, "continue", &[("domain", "acme.test")]).await);
        seen.push(post(&mut other, "/signin/connection", &[("flow", &flow_of(&named)), ("connection", ACME_IDP)]).await);
        let onward = browser.press_only(&sign_in, "sign-in", &CAROL).await;
        let consent = browser.follow(onward.clone()).await;
        seen.push(onward);
        seen.push(browser.press_only(&consent, "consent-allow", &[]).await);
        seen.push(post(&mut browser, "/account/sessions/end-others", &[]).await);
        seen.push(post(&mut browser, "/oauth2/authorize", &[("client_id", "asks"), ("response_type", "code")]).await);
        seen.push(post(&mut browser, "/oauth2/logout", &[("client_id", "asks")]).await);
        seen.push(post(&mut browser, &format!("/sso/initiate/{ACME_IDP}"), &[("login_hint", "bob")]).await);
        let question = browser.open(&format!("{ISSUER}/oauth2/logout")).await;
        seen.push(browser.press_only(&question, "logout-confirm", &[]).await);
        let mut refused = world.browser();
        let page = refused.open(&asks.authorize_url(&[("prompt", "consent")])).await;
        let page = refused.press(&page, "sign-in", &CAROL).await;
        seen.push(refused.press_only(&page, "consent-deny", &[]).await);
        assert_eq!(seen.len(), 10);
        for page in seen {
            assert_eq!(page.status, StatusCode::SEE_OTHER, "{}: {}", page.url, page.body);
            assert_eq!(page.headers[header::CACHE_CONTROL], "no-store");
            assert!(!page.location().unwrap().as_str().contains(PASSWORD) && page.body.is_empty());
        }
        before
            .assert_exactly(
                &world.app,
                &[("codes", 1), ("consents", 1), ("grants", 1), ("interactions", 2), ("sessions", 2)],
                &[
                    ("authorize done", 1),
                    ("consent done", 1),
                    ("consent refused consent_denied", 1),
                    ("logout done", 1),
                    ("session.end_others done", 1),
                    ("sign_in done", 2),
                ],
            )
            .await;
    }
}

on_both_databases! {
    async fn row_44_no_page_lets_itself_be_framed(kind: Kind) {
        let world = World::new(kind).await;
        let asks = asks(&world);
        let before = Evidence::now(&world.app).await;
        let mut browser = world.browser();
        let mut pages = Vec::new();
        let sign_in = browser.open(&asks.authorize_url(&[])).await;
        pages.push(browser.click(&sign_in, "use-custom-domain").await);
        pages.push(browser.press(&sign_in, "sign-in", &[CAROL[0], ("password", "Wrong7password")]).await);
        pages.push(browser.open(&asks.authorize_url(&[("redirect_uri", "https://evil.test/")])).await);
        let consent = browser.press(&sign_in, "sign-in", &CAROL).await;
        pages.extend([sign_in, consent]);
        for path in ["/account", "/account?done=others-ended", "/oauth2/logout", "/signed-out", "/signin", "/consent", "/nothing", "/account/nothing", "/sso/nothing", "/sso/callback/x"] {
            pages.push(browser.open(&format!("{ISSUER}{path}")).await);
        }
        for (method, path) in [(Method::PUT, "/signin"), (Method::GET, "/signin/connection"), (Method::POST, "/account"), (Method::DELETE, "/account/sign-out")] {
            pages.push(browser.request(method, &format!("{ISSUER}{path}").parse().unwrap(), None, "none", None).await);
        }
        let url = format!("{ISSUER}/sso/callback/{ACME_IDP}").parse().unwrap();
        pages.push(world.browser().request(Method::POST, &url, Some("state=x".to_owned()), "cross-site", None).await);
        pages.push(world.browser().request(Method::POST, &format!("{ISSUER}/account/sign-out").parse().unwrap(), Some(String::new()), "cross-site", None).await);
        for page in pages {
            let html = page.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
            assert!(html, "{} {}", page.url, page.status);
            let policy = page.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.split("; ").any(|rule| rule == "frame-ancestors 'none'"), "{}: {policy}", page.url);
            assert!(!policy.contains("unsafe-inline") && policy.contains("script-src 'self'"), "{policy}");
            assert_eq!(page.headers[header::X_FRAME_OPTIONS], "DENY", "{}", page.url);
            let apart = page.headers.contains_key("cross-origin-opener-policy");
            let path = page.url.path();
            assert_eq!(apart, path == "/account" || path.starts_with("/account/"), "{}", page.url);
        }
        before
            .assert_exactly(
                &world.app,
                &[("interactions", 1), ("sessions", 1)],
                &[
                    ("authorize refused redirect_uri_mismatch", 1),
                    ("consent refused flow_handle_invalid", 1),
                    ("form refused cross_site", 1),
                    ("sign_in done", 1),
                    ("sign_in refused unknown_name", 1),
                    ("sign_in refused wrong_password", 1),
                ],
            )
            .await;
    }
}

on_both_databases! {
    async fn row_46_what_is_given_back_is_given_back_as_text(kind: Kind) {
        let world = World::new(kind).await;
        let nasty = "<svg/onload=alert(1)>\"'><script>alert(2)</script>&lt;{{7*7}}";
        let before = Evidence::now(&world.app).await;
        let mut browser = world.browser();
        let mut pages = Vec::new();
        // A provider's answer by form_post is posted once more by a page of ours.
        let url = format!("{ISSUER}/sso/callback/{ACME_IDP}").parse().unwrap();
        let body = form(&[("state", nasty), ("code", nasty), ("error_description", nasty), (nasty, nasty)]);
        let repost = browser.request(Method::POST, &url, Some(body), "cross-site", Some("https://idp.test")).await;
        pages.push(repost.expect(200, "continue").clone());
        // Sent on, it is what it was, and is refused.
        pages.push(browser.press(&repost, "continue", &[]).await);
        let wish = [("state", nasty), ("nonce", nasty), ("login_hint", nasty), ("domain_hint", nasty), ("ui_locales", nasty)];
        let sign_in = browser.open(&world.notes.authorize_url(&wish)).await;
        pages.push(sign_in.expect(200, "sign-in").clone());
        pages.push(browser.press(&sign_in, "sign-in", &[("username", nasty), ("password", nasty)]).await);
        let named = browser.click(&sign_in, "use-custom-domain").await;
        pages.push(browser.press(&named, "continue", &[("domain", nasty)]).await);
        pages.push(browser.open(&format!("{ISSUER}/nothing?{}", form(&[(nasty, nasty)]))).await);
        pages.push(browser.open(&format!("{ISSUER}/signed-out?{}", form(&[("client_id", nasty)]))).await);
        for page in &pages {
            assert!(!page.body.contains("<svg/onload") && !page.body.contains("<script>alert"), "{}: {}", page.url, page.body);
            let policy = page.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        }
        assert!(pages.iter().filter(|page| page.body.contains("&#60;svg/onload")).count() >= 3, "{}", pages[0].body);
        // The app gets its state back as it sent it, encoded; form_post is not there to carry it.
        let end = browser.press(&sign_in, "sign-in", &CAROL).await;
        assert_eq!(end.location_parameter("state").as_deref(), Some(nasty));
        assert!(!end.headers[header::LOCATION].to_str().unwrap().contains(['<', '"', ' ']));
        let page = browser.open(&world.notes.authorize_url(&[("response_mode", "form_post"), ("state", nasty)])).await;
        assert_eq!(page.location_parameter("error").as_deref(), Some("invalid_request"));
        assert!(is_signed_in(&mut browser).await);
        before
            .assert_exactly(
                &world.app,
                &[("codes", 1), ("grants", 1), ("sessions", 1)],
                &[
                    ("authorize done", 1),
                    ("authorize refused invalid_request", 1),
                    ("sign_in done", 1),
                    ("sign_in refused state_foreign", 1),
                    ("sign_in refused unknown_name", 1),
                    ("sign_in refused unknown_username", 1),
                ],
            )
            .await;
    }
}
