//! What a session is good for, and what ends it.

use std::time::Duration;

use countersign::flows::keys::Rotation;
use countersign::model::Caller;
use serde_json::Value;

use super::{
    acme, by_password, error_at_app, globex, is_signed_in, keep_what_is_cached, refresh, text, tokens,
};
use crate::harness::browser::Browser;
use crate::harness::database::Kind;
use crate::harness::evidence::Evidence;
use crate::harness::relying_app::token_header;
use crate::harness::world::{PASSWORD, World};
use crate::on_both_databases;

const SILENT: [(&str, &str); 1] = [("prompt", "none")];

on_both_databases! {
    async fn a_session_counts_only_while_all_that_it_stands_on_is_active_now(kind: Kind) {
        for (off, on) in [
            ("UPDATE accounts SET enabled = FALSE", "UPDATE accounts SET enabled = TRUE"),
            (
                "UPDATE connections SET enabled = FALSE WHERE handle = 'acme-idp'",
                "UPDATE connections SET enabled = TRUE WHERE handle = 'acme-idp'",
            ),
            (
                "UPDATE organizations SET enabled = FALSE WHERE handle = 'acme'",
                "UPDATE organizations SET enabled = TRUE WHERE handle = 'acme'",
            ),
        ] {
            let world = World::new(kind).await;
            keep_what_is_cached(&world).await;
            let mut browser = world.browser();
            world.brokered(&mut browser).await;
            let silent = world.notes.authorize_url(&SILENT);
            world.notes.code(&browser.open(&silent).await);
            // Behind the cache's back: it still says that all is well.
            world.app.run_statement(off).await;
            let before = Evidence::now(&world.app).await;
            let refused = browser.open(&silent).await;
            assert_eq!(error_at_app(&refused).as_deref(), Some("login_required"), "{off} {}", refused.body);
            before.assert_only_refused(&world.app, &["authorize refused login_required"]).await;
            assert!(!is_signed_in(&mut browser).await, "{off}");
            world.app.run_statement(on).await;
            world.notes.code(&browser.open(&silent).await);
        }
    }
}

on_both_databases! {
    async fn in_emergencies_only_the_named_accounts_sign_in_by_password(kind: Kind) {
        let world = World::new(kind).await;
        let named = |name: &str| {
            format!(
                "[[organizations.accounts]]\nusername = \"{name}\"\npassword = \"{PASSWORD}\"\nbreak_glass = true\n"
            )
        };
        world.app.apply(&acme(&format!("{}{}", named("firefighter"), named("paramedic")))).await;
        world.apply_with("local_sign_in = \"break_glass\"", "").await;
        for name in ["firefighter", "paramedic"] {
            let mut browser = world.browser();
            let end = by_password(&mut browser, &world.notes, name).await;
            world.notes.code(&end);
            assert!(is_signed_in(&mut browser).await);
        }
        let before = Evidence::now(&world.app).await;
        let mut browser = world.browser();
        let frozen = by_password(&mut browser, &world.notes, "carol").await;
        assert_eq!(frozen.error().as_deref(), Some("bad_credentials"), "{}", frozen.body);
        before.assert_only_refused(&world.app, &["sign_in refused local_sign_in_off"]).await;
        assert!(!is_signed_in(&mut browser).await);
        // Frozen, not lost: the same password opens again what it opened before.
        world.apply_with("local_sign_in = \"all\"", "").await;
        world.notes.code(&by_password(&mut browser, &world.notes, "carol").await);
    }
}

on_both_databases! {
    async fn passwords_that_policy_withdrew_carry_no_session_and_no_refresh_token(kind: Kind) {
        let world = World::new(kind).await;
        let notes = &world.notes;
        let mut browser = world.browser();
        let page = browser.open(&notes.authorize_url(&[("scope", "openid offline_access")])).await;
        let end = browser.press(&page, "sign-in", &[("username", "carol"), ("password", PASSWORD)]).await;
        let tokens = tokens(notes, &end).await;
        let mut brokered = world.browser();
        world.brokered(&mut brokered).await;
        world.apply_with("local_sign_in = \"none\"", "").await;
        let silent = browser.open(&notes.authorize_url(&SILENT)).await;
        assert_eq!(error_at_app(&silent).as_deref(), Some("login_required"), "{}", silent.body);
        assert!(!is_signed_in(&mut browser).await);
        let (status, answer) = refresh(notes, text(&tokens, "refresh_token"), &[]).await;
        assert_eq!((status, &answer["error"]), (400, &"invalid_grant".into()), "{answer}");
        assert!(world.app.refusals().await.contains(&"local_sign_in_off".to_owned()));
        // Who came through the provider stays.
        assert!(is_signed_in(&mut brokered).await);
    }
}

on_both_databases! {
    async fn a_sign_out_while_the_organization_is_disabled_is_for_good(kind: Kind) {
        let world = World::new(kind).await;
        for (path, by_form) in [("https://id.test/oauth2/logout", false), ("https://id.test/account", true)] {
            let (mut leaves, mut stays) = (world.browser(), world.browser());
            world.brokered(&mut leaves).await;
            world.brokered(&mut stays).await;
            let account = leaves.open("https://id.test/account").await;
            let mut thief = leaves.clone();
            world.apply_with("enabled = false", "").await;
            assert!(!is_signed_in(&mut thief).await && !is_signed_in(&mut stays).await);
            if by_form {
                leaves.press(&account, "sign-out", &[]).await.expect(200, "signed-out");
            } else {
                leaves.open(path).await.expect(200, "signed-out");
            }
            world.apply_with("", "").await;
            assert!(!is_signed_in(&mut thief).await, "{path}");
            assert!(is_signed_in(&mut stays).await, "{path}");
        }
    }
}

on_both_databases! {
    async fn what_an_account_had_open_when_it_was_disabled_does_not_come_back(kind: Kind) {
        let world = World::new(kind).await;
        let wiki = &world.globex_app;
        let gil = |enabled: bool| {
            globex(&format!(
                "[[organizations.accounts]]\nusername = \"gil\"\nemail = \"gil@globex.test\"\n\
                 email_verified = true\nenabled = {enabled}\n"
            ))
        };
        for by_apply in [true, false] {
            let mut browser = world.browser();
            let page = browser.open(&wiki.authorize_url(&[("scope", "openid offline_access")])).await;
            let end = browser.press(&page, "sign-in", &[("username", "gil"), ("password", PASSWORD)]).await;
            let tokens = tokens(wiki, &end).await;
            let code = wiki.code(&browser.open(&wiki.authorize_url(&[])).await);
            for enabled in [false, true] {
                if by_apply {
                    world.app.apply(&gil(enabled)).await;
                } else {
                    world.app.broker.accounts.set_account_enabled(Caller::Operator(None), "gil", enabled).await.unwrap();
                }
            }
            assert!(!is_signed_in(&mut browser).await);
            assert_eq!(wiki.userinfo(text(&tokens, "access_token")).await.0, 401);
            assert_eq!(refresh(wiki, text(&tokens, "refresh_token"), &[]).await.1["error"], "invalid_grant");
            assert_eq!(wiki.redeem(&code).await.1["error"], "invalid_grant");
            // The password is as good as before.
            wiki.code(&by_password(&mut browser, wiki, "gil").await);
        }
    }
}

on_both_databases! {
    async fn introspection_calls_a_refresh_token_active_only_while_it_could_be_used(kind: Kind) {
        for (policy, later, offline) in [
            ("local_sign_in = \"none\"", Duration::ZERO, true),
            ("session_idle = \"1h\"", Duration::from_mins(61), false),
            ("upstream_recheck = \"2h\"", Duration::from_mins(121), true),
        ] {
            let world = World::with(kind, if offline { "" } else { policy }, "").await;
            let notes = &world.notes;
            let scope = [("scope", if offline { "openid offline_access" } else { "openid" })];
            let mut browser = world.browser();
            let end = if policy.starts_with("upstream") {
                let page = browser.open(&notes.authorize_url(&[scope[0], ("domain_hint", "acme.test")])).await;
                world.sign_in_at_provider(&mut browser, &page).await
            } else {
                let page = browser.open(&notes.authorize_url(&scope)).await;
                browser.press(&page, "sign-in", &[("username", "carol"), ("password", PASSWORD)]).await
            };
            let tokens = tokens(notes, &end).await;
            let token = text(&tokens, "refresh_token");
            let active = async || notes.post("/oauth2/introspect", &[("token", token)]).await.1["active"].clone();
            assert_eq!(active().await, true, "{policy}");
            world.apply_with(policy, "").await;
            world.app.clock.advance(later);
            assert_eq!(active().await, false, "{policy}");
            assert_eq!(refresh(notes, token, &[]).await.1["error"], "invalid_grant", "{policy}");
        }
    }
}

async fn published_keys(browser: &mut Browser) -> Vec<String> {
    let page = browser.open("https://id.test/oauth2/jwks").await;
    let set: Value = serde_json::from_str(&page.body).unwrap();
    set["keys"].as_array().unwrap().iter().map(|key| text(key, "kid").to_owned()).collect()
}

on_both_databases! {
    async fn a_retired_key_verifies_hints_unpublished_for_the_longest_session_life(kind: Kind) {
        const BYE: &str = "https://notes.acme.test/bye";
        let world = World::new(kind).await;
        let (broker, clock) = (&world.app.broker, &world.app.clock);
        let mut browser = world.browser();
        let tokens_before = tokens(&world.notes, &world.brokered(&mut browser).await).await;
        let hint = text(&tokens_before, "id_token");
        let old = text(&token_header(hint), "kid").to_owned();
        let leave = async || {
            let url = format!(
                "https://id.test/oauth2/logout?id_token_hint={hint}&post_logout_redirect_uri={BYE}"
            );
            let page = world.browser().open(&url).await;
            (page.location().map(String::from), page.error())
        };
        broker.keys.rotate_signing_keys(Caller::Operator(None), Rotation::All).await.unwrap();
        // The successor signs after a day.
        clock.advance(Duration::from_hours(24));
        broker.keys.reload_signing_keys().await.unwrap();
        let new = tokens(&world.notes, &world.brokered(&mut world.browser()).await).await;
        assert_ne!(text(&token_header(text(&new, "id_token")), "kid"), old);
        assert!(published_keys(&mut browser).await.contains(&old), "its tokens live");
        // When its tokens are dead, it is unpublished, and verifies hints all the same.
        clock.advance(Duration::from_hours(24));
        broker.keys.reload_signing_keys().await.unwrap();
        assert!(!published_keys(&mut browser).await.contains(&old));
        assert_eq!(leave().await, (Some(BYE.to_owned()), None));
        // Until a session from its last moment is over: seven days.
        clock.advance(Duration::from_hours(6 * 24) - Duration::from_secs(1));
        broker.keys.reload_signing_keys().await.unwrap();
        assert_eq!(leave().await, (Some(BYE.to_owned()), None));
        clock.advance(Duration::from_secs(1));
        broker.keys.reload_signing_keys().await.unwrap();
        assert_eq!(leave().await, (None, Some("invalid_request".to_owned())));
    }
}
