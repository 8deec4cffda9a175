//! RP-initiated logout: the demands of the certification profile, and what must not lead anywhere.

use std::time::Duration;

use countersign::flows::keys::Rotation;
use countersign::model::{Caller, SigningAlg};
use serde_json::json;
use url::form_urlencoded::Serializer;

use crate::harness::browser::{Browser, Page};
use crate::harness::database::Kind;
use crate::harness::relying_app::claims;
use crate::harness::world::{PASSWORD, World};
use crate::on_both_databases;

const BYE: &str = "https://notes.acme.test/bye";

fn logout_url(parameters: &[(&str, &str)]) -> String {
    let query = Serializer::new(String::new()).extend_pairs(parameters).finish();
    format!("https://id.test/oauth2/logout?{query}")
}

/// Signs carol in at notes; gives her tokens.
async fn tokens(world: &World, browser: &mut Browser, scope: &str) -> serde_json::Value {
    let page = browser.open(&world.notes.authorize_url(&[("scope", scope)])).await;
    let end = browser.press(&page, "sign-in", &[("username", "carol"), ("password", PASSWORD)]).await;
    world.notes.redeem(&world.notes.code(&end)).await.1
}

async fn is_signed_in(browser: &mut Browser) -> bool {
    browser.open("https://id.test/account").await.has("this-session")
}

fn target(page: &Page) -> Option<String> {
    page.location().map(String::from)
}

on_both_databases! {
    async fn a_hint_of_this_session_signs_out_and_leads_back_with_state(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let tokens = tokens(&world, &mut browser, "openid").await;
        let hint = tokens["id_token"].as_str().unwrap();
        let mut thief = browser.clone();
        let url = logout_url(&[
            ("id_token_hint", hint),
            ("post_logout_redirect_uri", BYE),
            ("state", "a b&c"),
        ]);
        let page = browser.open(&url).await;
        assert_eq!(target(&page).as_deref(), Some("https://notes.acme.test/bye?state=a+b%26c"));
        assert!(!is_signed_in(&mut thief).await);
        // No user is signed in any more: the same request still returns to the app.
        let page = browser.open(&logout_url(&[("id_token_hint", hint), ("post_logout_redirect_uri", BYE)])).await;
        assert_eq!(target(&page).as_deref(), Some(BYE));
    }
}

on_both_databases! {
    async fn without_a_hint_the_person_is_asked(kind: Kind) {
        let world = World::new(kind).await;
        for parameters in [
            vec![],
            vec![("state", "s")],
            vec![("client_id", "notes"), ("post_logout_redirect_uri", BYE), ("state", "s")],
        ] {
            let mut browser = world.browser();
            tokens(&world, &mut browser, "openid").await;
            let page = browser.open(&logout_url(&parameters)).await;
            page.expect(200, "logout-confirm");
            assert!(is_signed_in(&mut browser).await);
            let end = browser.press(&page, "logout-confirm", &[]).await;
            if parameters.len() == 3 {
                assert_eq!(target(&end).as_deref(), Some("https://notes.acme.test/bye?state=s"));
            } else {
                end.expect(200, "signed-out");
            }
            assert!(!is_signed_in(&mut browser).await);
        }
    }
}

on_both_databases! {
    async fn an_address_that_is_not_registered_is_never_followed(kind: Kind) {
        let world = World::new(kind).await;
        for uri in
            ["https://evil.test/", "https://notes.acme.test/bye?x=1", "https://notes.acme.test/bye/", "//evil.test"]
        {
            let mut browser = world.browser();
            let tokens = tokens(&world, &mut browser, "openid").await;
            let hint = tokens["id_token"].as_str().unwrap();
            let url = logout_url(&[("id_token_hint", hint), ("post_logout_redirect_uri", uri), ("state", "s")]);
            browser.open(&url).await.expect(200, "signed-out");
        }
    }
}

on_both_databases! {
    async fn a_wrong_hint_ends_nothing_and_leads_nowhere(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let tokens = tokens(&world, &mut browser, "openid").await;
        let good = tokens["id_token"].as_str().unwrap();
        let body = claims(good);
        let keys = world.app.broker.keys.signing_keys().unwrap();
        let key = keys.signer(SigningAlg::RS256).unwrap();
        let (head, signature) = good.rsplit_once('.').unwrap();
        let modified = format!("{head}.A{}", &signature[1..]);
        let modified = if modified == good { format!("{head}.B{}", &signature[1..]) } else { modified };
        let mut foreign = body.clone();
        foreign["iss"] = json!("https://other.test");
        let mut unknown_app = body.clone();
        unknown_app["aud"] = json!("no-such-app");
        let wrong = [
            "not-a-token".to_owned(),
            tokens["access_token"].as_str().unwrap().to_owned(),
            modified,
            key.sign_jwt("logout+jwt", None, &body).unwrap(),
            key.sign_jwt("JWT", None, &foreign).unwrap(),
            key.sign_jwt("JWT", None, &unknown_app).unwrap(),
        ];
        for hint in wrong {
            let url = logout_url(&[("id_token_hint", &hint), ("post_logout_redirect_uri", BYE)]);
            let page = browser.open(&url).await;
            assert_eq!(page.error().as_deref(), Some("invalid_request"), "{hint}");
            assert!(is_signed_in(&mut browser).await, "{hint}");
        }
        // The hint of one app in the name of another.
        let url = logout_url(&[("id_token_hint", good), ("client_id", "wiki"), ("post_logout_redirect_uri", BYE)]);
        assert_eq!(browser.open(&url).await.error().as_deref(), Some("invalid_request"));
        assert!(is_signed_in(&mut browser).await);
    }
}

on_both_databases! {
    async fn a_hint_of_another_session_asks(kind: Kind) {
        let world = World::new(kind).await;
        let (mut here, mut there) = (world.browser(), world.browser());
        let theirs = tokens(&world, &mut there, "openid").await;
        tokens(&world, &mut here, "openid").await;
        let url = logout_url(&[("id_token_hint", theirs["id_token"].as_str().unwrap())]);
        here.open(&url).await.expect(200, "logout-confirm");
        assert!(is_signed_in(&mut here).await && is_signed_in(&mut there).await);
    }
}

on_both_databases! {
    async fn a_post_is_asked_again_by_get(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let tokens = tokens(&world, &mut browser, "openid").await;
        let body = Serializer::new(String::new())
            .extend_pairs([
                ("id_token_hint", tokens["id_token"].as_str().unwrap()),
                ("post_logout_redirect_uri", BYE),
            ])
            .finish();
        let url = "https://id.test/oauth2/logout".parse().unwrap();
        let post = http::Method::POST;
        let page = browser.request(post, &url, Some(body), "cross-site", Some("https://notes.acme.test")).await;
        assert_eq!(page.status, 303);
        assert_eq!(target(&browser.follow(page).await).as_deref(), Some(BYE));
        assert!(!is_signed_in(&mut browser).await);
    }
}

on_both_databases! {
    async fn a_sign_out_revokes_what_was_given_without_offline_access(kind: Kind) {
        let world = World::new(kind).await;
        for (scope, lives) in [("openid", false), ("openid offline_access", true)] {
            let mut browser = world.browser();
            let tokens = tokens(&world, &mut browser, scope).await;
            let access = tokens["access_token"].as_str().unwrap();
            assert_eq!(world.notes.userinfo(access).await.0, 200, "{scope}");
            browser.open(&logout_url(&[("id_token_hint", tokens["id_token"].as_str().unwrap())])).await;
            let status = if lives { 200 } else { 401 };
            assert_eq!(world.notes.userinfo(access).await.0, status, "{scope}");
            if let Some(refresh) = tokens["refresh_token"].as_str() {
                let form = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
                let status = if lives { 200 } else { 400 };
                assert_eq!(world.notes.token(&form).await.0, status, "{scope}");
            } else {
                assert!(!lives, "offline_access brings a refresh token");
            }
        }
    }
}

on_both_databases! {
    async fn an_expired_token_under_a_retired_key_is_still_a_hint(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let tokens = tokens(&world, &mut browser, "openid").await;
        let hint = tokens["id_token"].as_str().unwrap();
        let kid = |text: &str| {
            use base64::Engine as _;
            let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text.split('.').next().unwrap());
            serde_json::from_slice::<serde_json::Value>(&header.unwrap()).unwrap()["kid"].clone()
        };
        world.app.broker.keys.rotate_signing_keys(Caller::Operator(None), Rotation::All).await.unwrap();
        world.app.clock.advance(Duration::from_hours(26));
        world.app.broker.keys.reload_signing_keys().await.unwrap();
        let keys = world.app.broker.keys.signing_keys().unwrap();
        assert_ne!(kid(hint), json!(keys.signer(SigningAlg::RS256).unwrap().kid()));
        let page = browser.open(&logout_url(&[("id_token_hint", hint), ("post_logout_redirect_uri", BYE)])).await;
        let end = if page.has("logout-confirm") { browser.press(&page, "logout-confirm", &[]).await } else { page };
        assert_eq!(target(&end).as_deref(), Some(BYE), "{}", end.body);
    }
}

on_both_databases! {
    async fn a_session_that_nobody_used_goes_with_what_does_not_outlive_it(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let short = tokens(&world, &mut browser, "openid").await;
        let long = tokens(&world, &mut world.browser(), "openid offline_access").await;
        let tables = ["sessions", "grants", "refresh_tokens", "codes"];
        let counts = async || {
            let rows = world.app.count_rows(&tables).await;
            tables.map(|table| rows[table])
        };
        let refresh = async |tokens: &serde_json::Value| {
            let Some(token) = tokens["refresh_token"].as_str() else { return 0 };
            world.notes.token(&[("grant_type", "refresh_token"), ("refresh_token", token)]).await.0.as_u16()
        };
        let all = counts().await;
        assert_eq!((all[0], all[1], all[3]), (2, 2, 2), "{all:?}");
        // Over for less than an hour, they stay: the clock may be ahead.
        world.app.clock.advance(Duration::from_mins(12 * 60 + 59));
        world.app.broker.housekeeping.sweep().await.unwrap();
        assert_eq!(counts().await[..2], all[..2]);
        world.app.clock.advance(Duration::from_mins(2));
        world.app.broker.housekeeping.sweep().await.unwrap();
        assert_eq!(counts().await, [0, 1, 1, 0]);
        assert!(!is_signed_in(&mut browser).await);
        assert_eq!(refresh(&long).await, 200);
        assert_ne!(refresh(&short).await, 200);
        assert_eq!(world.app.broker.housekeeping.sweep().await.unwrap(), 0);
    }
}
