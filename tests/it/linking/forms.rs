//! The forms of linking: what they take, and from whom.

use http::Method;

use super::pages::{by_password, linked, linking, own_page};
use crate::harness::browser::{Browser, Page};
use crate::harness::database::Kind;
use crate::harness::evidence::Evidence;
use crate::harness::relying_app::RelyingApp;
use crate::harness::world::{PASSWORD, World};
use crate::on_both_databases;

/// Comes to the page that asks once more: chosen, and proved by the password.
async fn at_the_question(world: &World, browser: &mut Browser) -> Page {
    let page = world.brokered(browser).await;
    let page = browser.press(&page, "link-accounts", &[]).await;
    let page = by_password(browser, &page).await;
    page.expect(200, "link-confirm").clone()
}

/// Posts a form that no page of ours has sent.
async fn post(browser: &mut Browser, path: &str, body: &str, site: &str) -> Page {
    let url = format!("https://id.test{path}").parse().unwrap();
    browser.request(Method::POST, &url, Some(body.to_owned()), site, None).await
}

fn flow_of(page: &Page) -> String {
    page.url.query_pairs().find(|(name, _)| name == "flow").unwrap().1.into_owned()
}

async fn ways(world: &World) -> usize {
    world.app.broker.accounts.find_account("bobby").await.unwrap().profiles.len()
}

on_both_databases! {
    async fn a_form_of_another_site_links_and_unlinks_nothing(kind: Kind) {
        let world = linking(kind, "").await;
        let mut asked = world.browser();
        let page = at_the_question(&world, &mut asked).await;
        let flow = flow_of(&page);
        let mut signed_in = world.browser();
        let page = signed_in.open("https://id.test/account").await;
        by_password(&mut signed_in, &page).await.expect(200, "this-session");
        let before = Evidence::now(&world.app).await;
        let mut refused = Vec::new();
        for (path, body) in [
            ("/link", format!("flow={flow}&answer=skip")),
            ("/link/confirm", format!("flow={flow}&answer=link")),
            ("/account/link", "connection=password".to_owned()),
            ("/account/unlink", "profile=pro_00000000000000000000000000000001".to_owned()),
            ("/account/undo", "entry=led_00000000000000000000000000000001".to_owned()),
            ("/account/confirm", "place=link&code=12345678".to_owned()),
            ("/account/confirm/send", "place=link".to_owned()),
        ] {
            let browser = if path.starts_with("/link") { &mut asked } else { &mut signed_in };
            let page = post(browser, path, &body, "cross-site").await;
            assert_eq!((page.status.as_u16(), page.error().as_deref()), (403, Some("cross_site")), "{path}");
            browser.fetch_metadata = false;
            let page = post(browser, path, &body, "").await;
            assert_eq!(page.error().as_deref(), Some("cross_site"), "{path} without token");
            browser.fetch_metadata = true;
            refused.extend(["form refused cross_site", "form refused cross_site"]);
        }
        before.assert_only_refused(&world.app, &refused).await;
        // What waits still waits.
        let page = asked.open(&format!("https://id.test/link/confirm?flow={flow}")).await;
        let page = asked.press(page.expect(200, "link-confirm"), "link-confirm", &[]).await;
        world.notes.code(&page);
    }
}

on_both_databases! {
    async fn an_empty_answer_is_no_answer(kind: Kind) {
        let world = linking(kind, "").await;
        let mut browser = world.browser();
        let page = world.brokered(&mut browser).await;
        let flow = flow_of(&page);
        let page = post(&mut browser, "/link", &format!("flow={flow}"), "same-origin").await;
        assert_eq!((page.status.as_u16(), page.error().as_deref()), (422, Some("link_unanswered")));
        let page = browser.press(page.expect(422, "link-accounts"), "link-accounts", &[]).await;
        by_password(&mut browser, &page).await.expect(200, "link-confirm");
        for body in ["", "&answer=", "&answer=link&keep=nobody", "&answer=link&local_of=nobody"] {
            let page = post(&mut browser, "/link/confirm", &format!("flow={flow}{body}"), "same-origin").await;
            assert_eq!((page.status.as_u16(), page.error().as_deref()), (400, Some("invalid_request")), "{body}");
        }
        for (path, code) in [("/link", "flow_expired"), ("/link/confirm", "invalid_request")] {
            let page = post(&mut browser, path, "", "same-origin").await;
            assert_eq!(page.error().as_deref(), Some(code), "{path}");
        }
        assert_eq!(ways(&world).await, 1);
        let page = browser.open(&format!("https://id.test/link/confirm?flow={flow}")).await;
        let page = browser.press(page.expect(200, "link-confirm"), "link-confirm", &[]).await;
        world.notes.code(&page);
        own_page(&mut browser).await;
        for path in ["/account/link", "/account/unlink", "/account/undo"] {
            let page = post(&mut browser, path, "", "same-origin").await;
            assert_eq!((page.status.as_u16(), page.error().as_deref()), (400, Some("invalid_request")), "{path}");
        }
        for path in ["/account/unlink", "/account/undo"] {
            let page = browser.open(&format!("https://id.test{path}")).await;
            assert_eq!(page.error().as_deref(), Some("not_found"), "{path}");
        }
        assert_eq!(ways(&world).await, 2);
    }
}

on_both_databases! {
    async fn a_user_who_cancels_is_at_the_offer_again_and_may_still_keep_them_apart(kind: Kind) {
        let world = linking(kind, "").await;
        let mut browser = world.browser();
        let page = at_the_question(&world, &mut browser).await;
        let page = browser.press(&page, "link-cancel", &[]).await;
        let again = page.expect(200, "link-1").clone();
        // The proof is forgotten with it.
        let page = browser.open(&format!("https://id.test/link/confirm?flow={}", flow_of(&again))).await;
        assert_eq!(page.error().as_deref(), Some("flow_expired"));
        let page = browser.press(&again, "link-skip", &[]).await;
        world.notes.code(&page);
        assert_eq!(ways(&world).await, 1);
    }
}

on_both_databases! {
    async fn a_code_does_not_rest_on_a_profile_that_was_unlinked_while_consent_was_asked(kind: Kind) {
        let world = linking(kind, "").await;
        let secret = Some("asks-secret-0123456789");
        let asks = RelyingApp::new(&world.app.network, "asks", secret, "https://asks.acme.test/callback");
        let mut browser = world.browser();
        linked(&world, &mut browser).await;
        let again = [("domain_hint", "acme.test"), ("prompt", "login")];
        let page = browser.open(&asks.authorize_url(&again)).await;
        let consent = world.sign_in_at_provider(&mut browser, &page).await;
        consent.expect(200, "consent-allow");
        // In another tab: the same session continues by password, and loses the profile.
        let page = browser.open("https://id.test/signin").await;
        by_password(&mut browser, &page).await.expect(200, "this-session");
        let page = own_page(&mut browser).await;
        let page = browser.click(&page, "unlink-2").await;
        browser.press(page.expect(200, "unlink-confirm"), "unlink-confirm", &[]).await;
        assert_eq!(ways(&world).await, 1);
        own_page(&mut browser).await;
        let page = browser.press(&consent, "consent-allow", &[]).await;
        assert_eq!(page.error().as_deref(), Some("session_ended"), "{}", page.body);
        let records = world.app.audit().await;
        assert!(records.iter().any(|record| record.reason.as_deref() == Some("profile_unlinked")));
    }
}

on_both_databases! {
    async fn neither_the_only_way_in_nor_somebody_elses_is_unlinked(kind: Kind) {
        let world = linking(kind, "").await;
        linked(&world, &mut world.browser()).await;
        let mut carol = world.browser();
        let page = carol.open("https://id.test/account").await;
        let page = carol.press(&page, "sign-in", &[("username", "carol"), ("password", PASSWORD)]).await;
        assert!(!page.expect(200, "this-session").has("unlink-1"), "the only way in can be unlinked");
        let before = Evidence::now(&world.app).await;
        let mut theirs = world.browser();
        world.brokered(&mut theirs).await;
        let page = own_page(&mut theirs).await;
        // The way by which they are signed in here; the older one is the password.
        let bobs = page.link("unlink-2").unwrap();
        let undo = page.link("undo-1").unwrap();
        for foreign in [&bobs, &undo] {
            let page = carol.open(foreign.as_str()).await;
            assert_eq!((page.status.as_u16(), page.error().as_deref()), (404, Some("not_found")), "{foreign}");
            let body = foreign.query().unwrap();
            let page = post(&mut carol, foreign.path(), body, "same-origin").await;
            assert_eq!((page.status.as_u16(), page.error().as_deref()), (404, Some("not_found")), "{foreign}");
        }
        assert_eq!(ways(&world).await, 2);
        assert_eq!(before.changes(&world.app).await.rows.get("profiles"), None);
        // It was unlinked once. The one that is left stays, whatever is posted.
        let page = theirs.click(&page, "unlink-1").await;
        let left = theirs.press(page.expect(200, "unlink-confirm"), "unlink-confirm", &[]).await;
        left.expect(200, "done");
        let page = post(&mut theirs, bobs.path(), bobs.query().unwrap(), "same-origin").await;
        assert_eq!((page.status.as_u16(), page.error().as_deref()), (409, Some("unlink_last")));
        assert!(page.leads_to("/account"), "{}", page.body);
        assert_eq!(ways(&world).await, 1);
    }
}

on_both_databases! {
    async fn the_only_way_in_that_works_is_not_unlinked_either(kind: Kind) {
        let world = linking(kind, "").await;
        linked(&world, &mut world.browser()).await;
        let mut browser = world.browser();
        let page = browser.open("https://id.test/account").await;
        by_password(&mut browser, &page).await;
        let page = own_page(&mut browser).await;
        let asked = browser.click(&page, "unlink-1").await;
        // Meanwhile the other way is switched off.
        world.apply_with("linking = true", "enabled = false").await;
        assert!(!own_page(&mut browser).await.has("unlink-1"), "it can still be unlinked");
        let page = browser.press(asked.expect(200, "unlink-confirm"), "unlink-confirm", &[]).await;
        assert_eq!((page.status.as_u16(), page.error().as_deref()), (409, Some("unlink_last")));
        // The one that does not work may go.
        let page = own_page(&mut browser).await;
        let page = browser.click(&page, "unlink-2").await;
        browser.press(page.expect(200, "unlink-confirm"), "unlink-confirm", &[]).await.expect(200, "done");
        assert_eq!(ways(&world).await, 1);
    }
}

on_both_databases! {
    async fn the_pages_speak_german_to_those_who_ask_for_it(kind: Kind) {
        let world = linking(kind, "").await;
        let mut browser = world.browser();
        browser.language = "de";
        let page = world.brokered(&mut browser).await;
        assert!(page.body.contains("<h1>Konto verknüpfen</h1>"), "{}", page.body);
        let page = browser.press(&page, "link-accounts", &[]).await;
        let page = by_password(&mut browser, &page).await;
        assert!(page.body.contains("<h1>Diese beiden verknüpfen?</h1>"), "{}", page.body);
        assert!(page.body.contains("Benutzername und Passwort") && page.body.contains("bobby"), "{}", page.body);
    }
}
