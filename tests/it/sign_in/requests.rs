//! Authorization requests: what is refused, and how; sessions that satisfy them.

use std::time::Duration;

use http::Method;

use crate::harness::database::Kind;
use crate::harness::relying_app::{RelyingApp, claims};
use crate::harness::world::World;
use crate::on_both_databases;

on_both_databases! {
    async fn what_is_not_registered_is_never_redirected_to(kind: Kind) {
        let world = World::new(kind).await;
        for more in [
            ("redirect_uri", "https://evil.test/callback"),
            ("redirect_uri", "https://notes.acme.test/callback/"),
            ("redirect_uri", "https://notes.acme.test/callback?x=1"),
            ("redirect_uri", "https://notes.acme.test:444/callback"),
            ("redirect_uri", ""),
            ("client_id", "nobody"),
            ("client_id", ""),
        ] {
            let page = world.browser().open(&world.notes.authorize_url(&[more])).await;
            assert!(page.location().is_none(), "{more:?}");
            page.expect(400, "error").expect(400, "receipt");
        }
        let doubled = world.notes.authorize_url(&[]) + "&redirect_uri=https%3A%2F%2Fevil.test%2F";
        world.browser().open(&doubled).await.expect(400, "error");
        assert_eq!(world.app.refusals().await.len(), 8);
    }
}

on_both_databases! {
    async fn other_faults_go_back_to_the_app_by_name(kind: Kind) {
        let world = World::new(kind).await;
        for (more, error) in [
            (("response_type", "token"), "unsupported_response_type"),
            (("response_type", ""), "invalid_request"),
            (("request", "x.y.z"), "request_not_supported"),
            (("request_uri", "https://a.test"), "request_uri_not_supported"),
            (("code_challenge", ""), "invalid_request"),
            (("code_challenge_method", "plain"), "invalid_request"),
            (("prompt", "none login"), "invalid_request"),
            (("prompt", "none"), "login_required"),
            (("id_token_hint", "rubbish"), "invalid_request"),
        ] {
            let page = world.browser().open(&world.notes.authorize_url(&[more])).await;
            assert_eq!(page.status, 303, "{more:?}");
            assert_eq!(page.location_parameter("error").as_deref(), Some(error), "{more:?}");
            assert_eq!(page.location_parameter("state").as_deref(), Some("the-state"));
            assert_eq!(page.location_parameter("iss").as_deref(), Some("https://id.test"));
        }
        let doubled = world.notes.authorize_url(&[]) + "&nonce=again";
        let page = world.browser().open(&doubled).await;
        assert_eq!(page.location_parameter("error").as_deref(), Some("invalid_request"));
    }
}

on_both_databases! {
    async fn a_posted_request_is_asked_again_by_get(kind: Kind) {
        let world = World::new(kind).await;
        let url = world.notes.authorize_url(&[]);
        let (endpoint, query) = url.split_once('?').unwrap();
        let mut browser = world.browser();
        let endpoint = endpoint.parse().unwrap();
        let origin = Some("https://notes.acme.test");
        let page = browser.request(Method::POST, &endpoint, Some(query.to_owned()), "cross-site", origin).await;
        assert_eq!(page.status, 303);
        browser.follow(page).await.expect(200, "sign-in");
    }
}

on_both_databases! {
    async fn a_session_serves_the_next_app_request_without_a_page(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let first = world.brokered(&mut browser).await;
        let (_, tokens) = world.notes.redeem(&world.notes.code(&first)).await;
        let hint = tokens["id_token"].as_str().unwrap().to_owned();
        for more in [
            vec![],
            vec![("prompt", "none")],
            vec![("prompt", "none"), ("id_token_hint", hint.as_str())],
            vec![("domain_hint", "acme.test")],
            vec![("login_hint", "bob@acme.test")],
        ] {
            let end = browser.open(&world.notes.authorize_url(&more)).await;
            world.notes.code(&end);
        }
        for (more, error) in [
            (("max_age", "0"), "login_required"),
            (("login_hint", "eve@acme.test"), "login_required"),
            (("idp_hint", "other"), "login_required"),
        ] {
            world.app.clock.advance(Duration::from_secs(2));
            let end = browser.open(&world.notes.authorize_url(&[("prompt", "none"), more])).await;
            assert_eq!(end.location_parameter("error").as_deref(), Some(error), "{more:?}");
        }
        browser.open(&world.notes.authorize_url(&[("prompt", "login")])).await.expect(200, "sign-in");
        browser.open(&world.notes.authorize_url(&[("prompt", "select_account")])).await.expect(200, "sign-in");
    }
}

on_both_databases! {
    async fn an_app_of_another_organization_gets_access_denied(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        world.brokered(&mut browser).await;
        let silent = browser.open(&world.globex_app.authorize_url(&[("prompt", "none")])).await;
        assert_eq!(silent.location_parameter("error").as_deref(), Some("access_denied"));
        // To sign in there as a user of acme ends at the app, with the same response.
        let mut browser = world.browser();
        let page = browser.open(&world.globex_app.authorize_url(&[])).await;
        let fields = [("username", "carol"), ("password", crate::harness::world::PASSWORD)];
        let end = browser.press(&page, "sign-in", &fields).await;
        assert_eq!(end.location_parameter("error").as_deref(), Some("access_denied"), "{}", end.body);
        assert!(!browser.cookies_of("id.test").contains_key("__Host-session"));
    }
}

on_both_databases! {
    async fn two_tabs_with_two_apps_end_at_their_own_app(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let first = browser.open(&world.globex_app.authorize_url(&[])).await;
        let asks = RelyingApp::new(
            &world.app.network,
            "asks",
            Some("asks-secret-0123456789"),
            "https://asks.acme.test/callback",
        );
        let second = browser.open(&asks.authorize_url(&[])).await;
        let fields = [("username", "gil"), ("password", crate::harness::world::PASSWORD)];
        let end = browser.press(&first, "sign-in", &fields).await;
        world.globex_app.code(&end);
        let fields = [("username", "carol"), ("password", crate::harness::world::PASSWORD)];
        let consent = browser.press(&second, "sign-in", &fields).await;
        consent.expect(200, "consent-allow");
        let end = browser.press(&consent, "consent-allow", &[]).await;
        asks.code(&end);
    }
}

on_both_databases! {
    async fn consent_is_asked_once_and_may_be_denied(kind: Kind) {
        let world = World::new(kind).await;
        let asks = RelyingApp::new(
            &world.app.network,
            "asks",
            Some("asks-secret-0123456789"),
            "https://asks.acme.test/callback",
        );
        let mut browser = world.browser();
        let page = browser.open(&asks.authorize_url(&[])).await;
        let fields = [("username", "carol"), ("password", crate::harness::world::PASSWORD)];
        let consent = browser.press(&page, "sign-in", &fields).await;
        let denied = browser.press(&consent, "consent-deny", &[]).await;
        assert_eq!(denied.location_parameter("error").as_deref(), Some("access_denied"));
        // Answered once: the back button leads to a page that says so.
        let again = browser.press(&consent, "consent-allow", &[]).await;
        assert!(again.location().is_none());
        assert_eq!(again.status, 410, "{}", again.body);
        let silent = browser.open(&asks.authorize_url(&[("prompt", "none")])).await;
        assert_eq!(silent.location_parameter("error").as_deref(), Some("consent_required"));
        let consent = browser.open(&asks.authorize_url(&[])).await;
        let end = browser.press(&consent, "consent-allow", &[]).await;
        asks.code(&end);
        let silent = browser.open(&asks.authorize_url(&[("prompt", "none")])).await;
        asks.code(&silent);
        // A new scope asks again.
        let more = [("prompt", "none"), ("scope", "openid profile email phone")];
        let silent = browser.open(&asks.authorize_url(&more)).await;
        assert_eq!(silent.location_parameter("error").as_deref(), Some("consent_required"));
    }
}

on_both_databases! {
    async fn another_browser_cannot_answer_a_consent(kind: Kind) {
        let world = World::new(kind).await;
        let asks = RelyingApp::new(
            &world.app.network,
            "asks",
            Some("asks-secret-0123456789"),
            "https://asks.acme.test/callback",
        );
        let mut victim = world.browser();
        let page = victim.open(&asks.authorize_url(&[])).await;
        let fields = [("username", "carol"), ("password", crate::harness::world::PASSWORD)];
        let consent = victim.press(&page, "sign-in", &fields).await;
        let mut attacker = world.browser();
        let stolen = attacker.press(&consent, "consent-allow", &[]).await;
        assert_eq!(stolen.status, 403, "{}", stolen.body);
        assert!(stolen.location().is_none());
    }
}

on_both_databases! {
    async fn a_finished_or_expired_flow_says_so_and_leads_back_to_the_app(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let page = browser.open(&world.notes.authorize_url(&[])).await;
        let fields = [("username", "carol"), ("password", crate::harness::world::PASSWORD)];
        browser.press(&page, "sign-in", &fields).await;
        let back = browser.open(page.url.as_str()).await;
        assert_eq!(back.error().as_deref(), Some("flow_finished"), "{}", back.body);
        assert!(back.body.contains("https://notes.acme.test/"), "{}", back.body);
        let mut late = world.browser();
        let page = late.open(&world.notes.authorize_url(&[])).await;
        world.app.clock.advance(Duration::from_mins(31));
        let expired = late.press(&page, "sign-in", &fields).await;
        assert_eq!(expired.error().as_deref(), Some("flow_expired"), "{}", expired.body);
        assert!(expired.body.contains("https://notes.acme.test/"));
    }
}

on_both_databases! {
    async fn a_request_too_large_for_a_cookie_is_parked(kind: Kind) {
        let world = World::new(kind).await;
        let state = "s".repeat(2_048);
        let mut browser = world.browser();
        let page = browser.open(&world.notes.authorize_url(&[("state", &state)])).await;
        for value in browser.cookies_of("id.test").values() {
            assert!(value.len() <= 1_024);
        }
        let fields = [("username", "carol"), ("password", crate::harness::world::PASSWORD)];
        let end = browser.press(&page, "sign-in", &fields).await;
        assert_eq!(end.location_parameter("state"), Some(state), "{}", end.body);
    }
}

on_both_databases! {
    async fn a_sixth_flow_clears_the_oldest(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let oldest = browser.open(&world.notes.authorize_url(&[])).await;
        for _ in 0..5 {
            world.app.clock.advance(Duration::from_secs(1));
            browser.open(&world.notes.authorize_url(&[])).await;
        }
        assert_eq!(browser.cookies_of("id.test").len(), 5);
        let gone = browser.open(oldest.url.as_str()).await;
        assert_eq!(gone.error().as_deref(), Some("flow_expired"));
    }
}

on_both_databases! {
    async fn signing_in_changes_the_session_cookie_and_ends_the_old_one(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let jar = browser.cookies.entry("id.test".to_owned()).or_default();
        jar.insert("__Host-session".to_owned(), "chosen-by-somebody-else".to_owned());
        world.local(&mut browser).await;
        let first = browser.cookies_of("id.test")["__Host-session"].clone();
        assert_ne!(first, "chosen-by-somebody-else");
        let mut old = browser.clone();
        let page = browser.open(&world.globex_app.authorize_url(&[("prompt", "login")])).await;
        let fields = [("username", "gil"), ("password", crate::harness::world::PASSWORD)];
        let end = browser.press(&page, "sign-in", &fields).await;
        let (_, tokens) = world.globex_app.redeem(&world.globex_app.code(&end)).await;
        assert!(claims(tokens["id_token"].as_str().unwrap())["sid"].is_string());
        assert_ne!(browser.cookies_of("id.test")["__Host-session"], first);
        let silent = old.open(&world.globex_app.authorize_url(&[("prompt", "none")])).await;
        assert_eq!(silent.location_parameter("error").as_deref(), Some("login_required"));
    }
}
