//! Sessions: rows 80 to 83, and 85.

use std::time::Duration;

use http::{Method, StatusCode, header};

use super::tools::{
    SESSION, assert_error, form, is_signed_in, refresh, request, sign_carol_in, text, tokens_of_gil,
};
use crate::harness::app::ISSUER;
use crate::harness::browser::{Browser, Page};
use crate::harness::database::Kind;
use crate::harness::evidence::Evidence;
use crate::harness::relying_app::{RelyingApp, claims};
use crate::harness::world::{ACME_IDP, PASSWORD, World};
use crate::on_both_databases;

fn cookie(browser: &Browser) -> String {
    browser.cookies_of("id.test").get(SESSION).cloned().unwrap_or_default()
}

fn plant(browser: &mut Browser, value: &str) {
    browser.cookies.entry("id.test".to_owned()).or_default().insert(SESSION.to_owned(), value.to_owned());
}

on_both_databases! {
    async fn row_80_a_session_that_somebody_else_has_set(kind: Kind) {
        let world = World::new(kind).await;
        // A value that the broker never issued, and a valid session of the attacker's own.
        let mut attacker = world.browser();
        tokens_of_gil(&world, &mut attacker).await;
        for planted in ["chosen-by-somebody-else".to_owned(), cookie(&attacker)] {
            for brokered in [false, true] {
                let mut attacker = world.browser();
                plant(&mut attacker, &planted);
                let mut victim = world.browser();
                plant(&mut victim, &planted);
                if brokered {
                    let url = world.notes.authorize_url(&[("domain_hint", "acme.test"), ("prompt", "login")]);
                    let page = victim.open(&url).await;
                    world.notes.code(&world.sign_in_at_provider(&mut victim, &page).await);
                } else {
                    let page = victim.open(&world.notes.authorize_url(&[("prompt", "login")])).await;
                    let fields = [("username", "carol"), ("password", PASSWORD)];
                    world.notes.code(&victim.press(&page, "sign-in", &fields).await);
                }
                assert_ne!(cookie(&victim), planted);
                assert!(is_signed_in(&mut victim).await);
                // What was planted opens nothing of the victim's; the attacker's own session, used here, has ended.
                assert!(!is_signed_in(&mut attacker).await);
                // A new proof in the same browser changes the token again, and the old one is dead.
                let mut old = victim.clone();
                let page = victim.open(&world.notes.authorize_url(&[("prompt", "login")])).await;
                let fields = [("username", "carol"), ("password", PASSWORD)];
                world.notes.code(&victim.press(&page, "sign-in", &fields).await);
                assert_ne!(cookie(&victim), cookie(&old));
                let before = Evidence::now(&world.app).await;
                assert!(!is_signed_in(&mut old).await);
                before.assert_only_refused(&world.app, &[]).await;
            }
        }
    }
}

on_both_databases! {
    async fn row_81_cookies_that_another_host_could_toss(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        sign_carol_in(&mut browser).await;
        let token = cookie(&browser);
        let sign_in = world.browser().open(&format!("{ISSUER}/account")).await;
        assert!(sign_in.has("sign-in"));
        let mut line = world.app.network.dial(&ISSUER.parse().unwrap()).await;
        let before = Evidence::now(&world.app).await;
        let good = format!("{SESSION}={token}");
        for (cookies, signed_in) in [
            (good.clone(), true),
            (format!("a=b; {good}; c=d"), true),
            (format!("\u{2000}{good}"), false),
            (format!("\u{a0}{good}"), false),
            (format!("{good}; {SESSION}=x"), false),
            (format!("{SESSION}=x; {good}"), false),
            (format!("{good}; {good}"), false),
            (format!("{good}; {SESSION}="), false),
            (format!("__host-session={token}"), false),
            (format!("__Host-Session={token}"), false),
            (format!("session={token}"), false),
            (format!("__Secure-session={token}"), false),
            (format!("{SESSION} ={token}"), false),
            (format!("{SESSION}==={token}"), false),
            (format!("{SESSION}=\"{token}\""), false),
            (format!("a=\"; {SESSION}=x\"; b={good}"), false),
            (format!("={good}"), false),
        ] {
            let mut asked = request(Method::GET, "/account", &[], "");
            let value = header::HeaderValue::from_bytes(cookies.as_bytes()).unwrap();
            asked.headers_mut().insert(header::COOKIE, value);
            let answer = line.send(asked).await;
            let shown = String::from_utf8_lossy(answer.body()).contains("this-session");
            assert_eq!(shown, signed_in, "{cookies:?}");
        }
        // In two headers it is doubled all the same.
        let twice = request(Method::GET, "/account", &[("cookie", &good), ("cookie", &format!("{SESSION}=x"))], "");
        assert_ne!(line.send(twice).await.status(), StatusCode::OK);
        before.assert_only_refused(&world.app, &[]).await;
        // Every cookie that is set on the whole way binds itself to this host and hides from scripts.
        let mut seen = 0;
        let mut browser = world.browser();
        let start = world.notes.authorize_url(&[("domain_hint", "acme.test")]).parse().unwrap();
        let mut page = browser.request(Method::GET, &start, None, "none", None).await;
        for _ in 0..2 {
            for value in page.headers.get_all(header::SET_COOKIE) {
                let text = value.to_str().unwrap();
                assert!(text.starts_with("__Host-") && text.contains("; Path=/; Secure; HttpOnly; SameSite=Lax"), "{text}");
                assert!(!text.to_ascii_lowercase().contains("domain="), "{text}");
                seen += 1;
            }
            let at_provider = browser.follow(page).await;
            let fields = [("username", "bob"), ("password", "idp-password")];
            let back = if at_provider.has("emulator-sign-in") {
                browser.press_only(&at_provider, "emulator-sign-in", &fields).await.location().unwrap()
            } else {
                format!("{ISSUER}/oauth2/logout?state=x").parse().unwrap()
            };
            page = browser.request(Method::GET, &back, None, "cross-site", None).await;
        }
        assert!(seen >= 4, "flow, session, known, and the flow cleared: {seen}");
    }
}

on_both_databases! {
    async fn row_82_a_sign_in_that_another_site_sends(kind: Kind) {
        let world = World::new(kind).await;
        let mut victim = world.browser();
        sign_carol_in(&mut victim).await;
        let session = cookie(&victim);
        // The attacker's own credentials, in a flow that the victim's browser holds.
        let page = victim.open(&world.globex_app.authorize_url(&[("prompt", "login")])).await;
        let flow = page.url.query_pairs().find(|(name, _)| name == "flow").unwrap().1.into_owned();
        let body = form(&[("flow", &flow), ("username", "gil"), ("password", PASSWORD), ("domain", "acme.test"), ("connection", ACME_IDP), ("decision", "allow")]);
        let before = Evidence::now(&world.app).await;
        let paths = ["/signin", "/signin/domain", "/signin/connection", "/consent", "/account/sign-out", "/account/sessions/end", "/account/sessions/end-others", "/oauth2/logout/confirm"];
        let mut refused = 0;
        for path in paths {
            let url = format!("{ISSUER}{path}").parse().unwrap();
            for (fetch_metadata, site, origin) in [
                (true, "cross-site", Some("https://evil.test")),
                (true, "cross-site", Some(ISSUER)),
                (true, "same-site", Some("https://other.test")),
                (true, "made-up", None),
                (false, "", Some("https://evil.test")),
                (false, "", Some("null")),
                (false, "", Some("https://id.test.evil.test")),
                (false, "", Some("http://id.test")),
                (false, "", None),
            ] {
                victim.fetch_metadata = fetch_metadata;
                let page = victim.request(Method::POST, &url, Some(body.clone()), site, origin).await;
                assert_eq!((page.status.as_u16(), page.error().as_deref()), (403, Some("cross_site")), "{path} {site} {origin:?}");
                assert!(page.headers.get(header::SET_COOKIE).is_none(), "{path}");
                refused += 1;
            }
        }
        victim.fetch_metadata = true;
        assert_eq!(refused, 72);
        before.assert_only_refused(&world.app, &["form refused cross_site"; 21]).await;
        assert_eq!(cookie(&victim), session);
        // A form's token is valid in its own flow only.
        let mut attacker = world.browser();
        let theirs = attacker.open(&world.globex_app.authorize_url(&[])).await;
        let token = theirs.body.split("name=\"form_token\" value=\"").nth(1).unwrap().split('"').next().unwrap();
        victim.fetch_metadata = false;
        let body = form(&[("flow", &flow), ("username", "gil"), ("password", PASSWORD), ("form_token", token)]);
        let url = format!("{ISSUER}/signin").parse().unwrap();
        let page = victim.request(Method::POST, &url, Some(body), "", None).await;
        assert_eq!(page.error().as_deref(), Some("cross_site"));
        victim.fetch_metadata = true;
        assert!(is_signed_in(&mut victim).await);
        assert!(victim.open(&format!("{ISSUER}/account")).await.body.contains("carol"));
    }
}

on_both_databases! {
    async fn row_83_nothing_of_a_session_outlives_its_end(kind: Kind) {
        let world = World::new(kind).await;
        let asks = RelyingApp::new(&world.app.network, "asks", Some("asks-secret-0123456789"), "https://asks.acme.test/callback");
        let mut browser = world.browser();
        sign_carol_in(&mut browser).await;
        let tokens = world.notes.redeem(&world.notes.code(&browser.open(&world.notes.authorize_url(&[])).await)).await.1;
        let offline = world.notes.authorize_url(&[("scope", "openid offline_access")]);
        let offline = world.notes.redeem(&world.notes.code(&browser.open(&offline).await)).await.1;
        let unused = world.notes.code(&browser.open(&world.notes.authorize_url(&[])).await);
        let consent = browser.open(&asks.authorize_url(&[])).await;
        consent.expect(200, "consent-allow");
        let mut thief = browser.clone();
        let page = browser.open(&format!("{ISSUER}/account")).await;
        browser.press(&page, "sign-out", &[]).await.expect(200, "signed-out");
        let before = Evidence::now(&world.app).await;
        // The cookie that was copied: on the own page, at the same app, at a second one, in a step that was open.
        assert!(!is_signed_in(&mut thief).await);
        for app in [&world.notes, &asks] {
            thief.open(&app.authorize_url(&[])).await.expect(200, "sign-in");
            let silent = thief.open(&app.authorize_url(&[("prompt", "none")])).await;
            assert_eq!(silent.location_parameter("error").as_deref(), Some("login_required"));
        }
        let page = thief.press(&consent, "consent-allow", &[]).await;
        assert_eq!((page.status.as_u16(), page.location()), (403, None), "{}", page.body);
        assert_error(&refresh(&world.notes, text(&tokens, "refresh_token"), &[]).await, "invalid_grant");
        assert_error(&world.notes.redeem(&unused).await, "invalid_grant");
        assert_eq!(world.notes.userinfo(text(&tokens, "access_token")).await.0, StatusCode::UNAUTHORIZED);
        let expected = [
            "authorize refused login_required",
            "authorize refused login_required",
            "consent refused flow_of_another_browser",
            "token.refresh refused refresh_session_ended",
            "token.code refused grant_revoked",
            "userinfo refused token_revoked",
        ];
        before.assert_only_refused(&world.app, &expected).await;
        // Offline access was granted to outlive it.
        assert_eq!(refresh(&world.notes, text(&offline, "refresh_token"), &[]).await.0, 200);
    }
}

/// Where the browser is sent, with these parameters taken out: a provider that pays no heed to them.
fn unheeded(page: &Page, names: &[&str]) -> String {
    let mut url = page.location().unwrap();
    let kept: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| !names.contains(&&**name))
        .map(|(n, v)| (n.into_owned(), v.into_owned()))
        .collect();
    url.query_pairs_mut().clear().extend_pairs(kept);
    url.into()
}

on_both_databases! {
    async fn row_85_a_sign_in_that_is_older_than_the_app_takes(kind: Kind) {
        let world = World::new(kind).await;
        let wiki = &world.globex_app;
        let auth_time = |tokens: &serde_json::Value| claims(text(tokens, "id_token"))["auth_time"].as_i64().unwrap();
        let mut browser = world.browser();
        let first = auth_time(&tokens_of_gil(&world, &mut browser).await);
        world.app.clock.advance(Duration::from_secs(2));
        let before = Evidence::now(&world.app).await;
        let silent = browser.open(&wiki.authorize_url(&[("prompt", "none"), ("max_age", "1")])).await;
        assert_eq!(silent.location_parameter("error").as_deref(), Some("login_required"));
        before.assert_only_refused(&world.app, &["authorize refused login_required"]).await;
        for wish in [[("max_age", "1")], [("prompt", "login")]] {
            world.app.clock.advance(Duration::from_secs(2));
            let page = browser.open(&wiki.authorize_url(&wish)).await;
            page.expect(200, "sign-in");
            // The page may not be stepped over with the session that is there.
            let again = browser.open(&wiki.authorize_url(&[("prompt", "none"), ("max_age", "1")])).await;
            assert_eq!(again.location_parameter("error").as_deref(), Some("login_required"));
            let page = browser.press(&page, "sign-in", &[("username", "gil"), ("password", PASSWORD)]).await;
            let fresh = auth_time(&wiki.redeem(&wiki.code(&page)).await.1);
            assert!(fresh > first, "{fresh} {first}");
            let silent = browser.open(&wiki.authorize_url(&[("prompt", "none"), ("max_age", "1")])).await;
            assert_eq!(auth_time(&wiki.redeem(&wiki.code(&silent)).await.1), fresh);
        }
        // A provider that remembers the user and pays no heed to what it was asked.
        let mut browser = world.browser();
        let old = world.notes.redeem(&world.notes.code(&world.brokered(&mut browser).await)).await.1;
        for wish in [("prompt", "login"), ("max_age", "30")] {
            world.app.clock.advance(Duration::from_mins(10));
            let before = Evidence::now(&world.app).await;
            let url = world.notes.authorize_url(&[("domain_hint", "acme.test"), wish]).parse().unwrap();
            let upstream_request = browser.request(Method::GET, &url, None, "none", None).await;
            assert!(upstream_request.location_parameter(wish.0).is_some(), "{wish:?} goes upstream: {:?}", upstream_request.location());
            let end = browser.open(&unheeded(&upstream_request, &["prompt", "max_age"])).await;
            assert_eq!(end.location_parameter("code"), None, "{wish:?}");
            assert_eq!(end.location_parameter("error").as_deref(), Some("login_required"), "{wish:?} {}", end.body);
            let changes = before.changes(&world.app).await;
            assert!(changes.rows.is_empty() && changes.audit.len() == 1, "{changes:?}");
            // Asked properly, the same provider asks the user, and the time is new.
            let page = browser.open(url.as_str()).await;
            let end = world.sign_in_at_provider(&mut browser, &page).await;
            let fresh = world.notes.redeem(&world.notes.code(&end)).await.1;
            assert!(auth_time(&fresh) > auth_time(&old));
        }
    }
}
