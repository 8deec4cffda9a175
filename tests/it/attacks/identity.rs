//! Linking and identity: rows 13 and 14.

use http::StatusCode;

use super::tools::{assert_error, is_signed_in, refresh, sign_carol_in, text};
use crate::harness::browser::{Browser, Page};
use crate::harness::database::Kind;
use crate::harness::evidence::Evidence;
use crate::harness::world::{ACME_IDP, PASSWORD, World};
use crate::on_both_databases;

/// Comes back from the provider on whichever node the browser's network leads to.
async fn finish(world: &World, browser: &mut Browser, page: &Page) -> Page {
    world.sign_in_at_provider(browser, page).await
}

on_both_databases! {
    async fn row_13_a_connection_disabled_between_start_and_finish(kind: Kind) {
        let world = World::new(kind).await;
        let other = world.app.second_node().await;
        // The other node has read everything that it keeps in mind, and has had no second to hear of the change.
        let mut warm = Browser::new(&other.network);
        world.brokered(&mut warm).await;
        for (organization, connection, reasons) in [
            ("", "enabled = false", ["connection_disabled", "inactive"]),
            ("enabled = false", "", ["connection_disabled", "inactive"]),
        ] {
            for at_other in [false, true] {
                let mut browser = world.browser();
                let page = browser.open(&world.notes.authorize_url(&[("domain_hint", "acme.test")])).await;
                page.expect(200, "emulator-sign-in");
                world.apply_with(organization, connection).await;
                if at_other {
                    browser.network = other.network.clone();
                }
                let before = Evidence::now(&world.app).await;
                let end = finish(&world, &mut browser, &page).await;
                assert_eq!(end.location_parameter("code"), None);
                end.expect(403, "error");
                let changes = before.changes(&world.app).await;
                assert!(changes.rows.is_empty(), "{changes:?}");
                let allowed = reasons.map(|reason| format!("sign_in refused {reason}"));
                assert!(changes.audit.len() == 1 && allowed.contains(&changes.audit[0]), "{changes:?}");
                world.apply_with("enabled = true", "enabled = true").await;
                world.app.clock.advance(std::time::Duration::from_secs(61));
            }
        }
    }
}

on_both_databases! {
    async fn row_13_a_disabled_connection_is_no_way_in_and_what_came_through_it_is_over(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let end = world.brokered(&mut browser).await;
        let tokens = world.notes.redeem(&world.notes.code(&end)).await.1;
        let unused = world.notes.code(&browser.open(&world.notes.authorize_url(&[])).await);
        world.apply_with("", "enabled = false").await;
        let before = Evidence::now(&world.app).await;
        assert_error(&refresh(&world.notes, text(&tokens, "refresh_token"), &[]).await, "invalid_grant");
        assert_error(&world.notes.redeem(&unused).await, "invalid_grant");
        assert_eq!(world.notes.userinfo(text(&tokens, "access_token")).await.0, StatusCode::UNAUTHORIZED);
        assert!(!is_signed_in(&mut browser).await);
        let silent = browser.open(&world.notes.authorize_url(&[("prompt", "none")])).await;
        assert_eq!(silent.location_parameter("error").as_deref(), Some("login_required"));
        let changes = before.changes(&world.app).await;
        assert!(changes.rows.is_empty(), "{changes:?}");
        assert_eq!(changes.audit.len(), 4, "{changes:?}");
        // No door leads there any more: hint, name, link, the provider's own start.
        for url in [
            world.notes.authorize_url(&[("domain_hint", "acme.test")]),
            world.notes.authorize_url(&[("idp_hint", "acme-idp")]),
            world.notes.authorize_url(&[("login_hint", "bob@acme.test")]),
            "https://id.test/sso/acme.test".to_owned(),
            format!("https://id.test/sso/initiate/{ACME_IDP}"),
        ] {
            let page = world.browser().open(&url).await;
            assert!(page.url.host_str() == Some("id.test") && page.location().is_none(), "{url} led to {}", page.url);
            assert!(!page.has("emulator-sign-in"), "{url}");
        }
        let mut browser = world.browser();
        let page = browser.open(&world.notes.authorize_url(&[])).await;
        let page = browser.press(&page, "sign-in", &[("username", "bob@acme.test"), ("password", PASSWORD)]).await;
        assert!(page.error().is_some() && page.url.host_str() == Some("id.test"), "{}", page.body);
    }
}

on_both_databases! {
    async fn row_14_a_deactivated_account(kind: Kind) {
        let world = World::new(kind).await;
        let broker = &world.app.broker;
        // Bob comes through his provider, carol with a password; she may work offline.
        let mut bob = world.browser();
        let first = world.brokered(&mut bob).await;
        let first = world.notes.redeem(&world.notes.code(&first)).await.1;
        let mut carol = world.browser();
        sign_carol_in(&mut carol).await;
        let offline = world.notes.authorize_url(&[("scope", "openid offline_access")]);
        let second = world.notes.redeem(&world.notes.code(&carol.open(&offline).await)).await.1;
        let unused = world.notes.code(&carol.open(&world.notes.authorize_url(&[])).await);
        let page = bob.open(&world.notes.authorize_url(&[("prompt", "login"), ("domain_hint", "acme.test")])).await;
        disable_everybody(&world).await;
        let before = Evidence::now(&world.app).await;
        for tokens in [&first, &second] {
            assert_error(&refresh(&world.notes, text(tokens, "refresh_token"), &[]).await, "invalid_grant");
            assert_eq!(world.notes.userinfo(text(tokens, "access_token")).await.0, StatusCode::UNAUTHORIZED);
            let answer = world.notes.post("/oauth2/introspect", &[("token", text(tokens, "access_token"))]).await.1;
            assert_eq!(answer, serde_json::json!({ "active": false }));
        }
        assert_error(&world.notes.redeem(&unused).await, "invalid_grant");
        for browser in [&mut bob, &mut carol] {
            assert!(!is_signed_in(browser).await);
            browser.open(&world.notes.authorize_url(&[])).await.expect(200, "sign-in");
            let silent = browser.open(&world.notes.authorize_url(&[("prompt", "none")])).await;
            assert_eq!(silent.location_parameter("error").as_deref(), Some("login_required"));
        }
        // Nor does the provider's word or the right password open the account again.
        let end = finish(&world, &mut bob, &page).await;
        assert_eq!(end.error().as_deref(), Some("account_disabled"), "{}", end.body);
        let page = carol.open(&world.notes.authorize_url(&[])).await;
        let end = carol.press(&page, "sign-in", &[("username", "carol"), ("password", PASSWORD)]).await;
        assert_eq!(end.error().as_deref(), Some("account_disabled"), "{}", end.body);
        let expected = [
            "token.refresh refused refresh_session_ended",
            "token.refresh refused grant_revoked",
            "userinfo refused token_revoked",
            "userinfo refused token_revoked",
            "token.code refused grant_revoked",
            "authorize refused login_required",
            "authorize refused login_required",
            "sign_in refused account_disabled",
            "sign_in refused account_disabled",
        ];
        before.assert_only_refused(&world.app, &expected).await;
        // Once enabled again, they may sign in again; nothing that was ended comes back.
        broker.set_account_enabled("carol", true).await.unwrap();
        assert!(!is_signed_in(&mut carol).await);
        assert_error(&refresh(&world.notes, text(&second, "refresh_token"), &[]).await, "invalid_grant");
        let end = carol.open(&world.notes.authorize_url(&[])).await;
        let end = carol.press(&end, "sign-in", &[("username", "carol"), ("password", PASSWORD)]).await;
        world.notes.code(&end);
    }
}

/// Disables carol as an operator does, and bob, who has no username, in the export.
async fn disable_everybody(world: &World) {
    world.app.broker.set_account_enabled("carol", false).await.unwrap();
    let bob = world.app.audit().await.into_iter().rfind(|record| record.action == "account.create");
    let bob = bob.unwrap().actor.unwrap().to_string();
    world.app.broker.set_account_enabled(&bob, false).await.unwrap();
}
