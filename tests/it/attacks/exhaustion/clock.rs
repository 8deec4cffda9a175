//! Row 117: a clock that goes back. A flow, code or attempt that was over stays over, and one that
//! began in the future is over.

use std::time::Duration;

use crate::harness::browser::{Browser, Page};
use crate::harness::database::Kind;
use crate::harness::world::{PASSWORD, World};
use crate::linking::pages::{by_password, linking};
use crate::on_both_databases;

const MINUTE: Duration = Duration::from_mins(1);
const GIL: [(&str, &str); 2] = [("username", "gil"), ("password", PASSWORD)];

/// A sign-in page of wiki.
async fn sign_in_page(world: &World, browser: &mut Browser) -> Page {
    let page = browser.open(&world.globex_app.authorize_url(&[])).await;
    page.expect(200, "sign-in").clone()
}

fn is_signed_in(browser: &Browser) -> bool {
    browser.cookies_of("id.test").contains_key("__Host-session")
}

on_both_databases! {
    async fn row_117_a_flow_that_was_over_stays_over(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let page = sign_in_page(&world, &mut browser).await;
        // The attacker kept the cookie, although the response may have cleared it.
        let mut kept = browser.clone();
        world.app.clock.advance(31 * MINUTE);
        assert_eq!(browser.press(&page, "sign-in", &GIL).await.error().as_deref(), Some("flow_expired"));
        world.app.clock.set_back(20 * MINUTE);
        let answer = kept.press(&page, "sign-in", &GIL).await;
        assert_eq!(answer.error().as_deref(), Some("flow_expired"), "{}", answer.body);
        assert!(!is_signed_in(&kept));
        assert_eq!(kept.open(page.url.as_str()).await.error().as_deref(), Some("flow_expired"));
    }
}

on_both_databases! {
    async fn row_117_a_flow_that_began_in_the_future_is_over_and_stays_so_when_that_time_comes(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let page = sign_in_page(&world, &mut browser).await;
        world.app.clock.set_back(61 * Duration::from_secs(1));
        let mut kept = browser.clone();
        assert_eq!(browser.press(&page, "sign-in", &GIL).await.error().as_deref(), Some("flow_expired"));
        world.app.clock.advance(2 * MINUTE);
        assert_eq!(kept.press(&page, "sign-in", &GIL).await.error().as_deref(), Some("flow_expired"));
        assert!(!is_signed_in(&kept));
        // A clock that is a minute off stops no user.
        let mut other = world.browser();
        let page = sign_in_page(&world, &mut other).await;
        world.app.clock.set_back(MINUTE);
        other.press(&page, "sign-in", &GIL).await;
        assert!(is_signed_in(&other));
    }
}

on_both_databases! {
    async fn row_117_a_callback_that_came_too_late_comes_too_late_for_good(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let page = browser.open(&world.notes.authorize_url(&[("domain_hint", "acme.test")])).await;
        let fields = [("username", "bob"), ("password", "idp-password")];
        let callback = browser.press_only(&page, "emulator-sign-in", &fields).await.location().unwrap();
        let mut kept = browser.clone();
        world.app.clock.advance(31 * MINUTE);
        assert_eq!(browser.open(callback.as_str()).await.error().as_deref(), Some("flow_expired"));
        world.app.clock.set_back(31 * MINUTE);
        let answer = kept.open(callback.as_str()).await;
        assert_eq!(answer.error().as_deref(), Some("flow_finished"), "{}", answer.body);
        assert!(!is_signed_in(&kept));
    }
}

on_both_databases! {
    async fn row_117_a_used_callback_stays_used_although_the_clock_was_ahead_for_an_hour(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let page = browser.open(&world.notes.authorize_url(&[("domain_hint", "acme.test")])).await;
        let fields = [("username", "bob"), ("password", "idp-password")];
        let callback = browser.press_only(&page, "emulator-sign-in", &fields).await.location().unwrap();
        let mut kept = browser.clone();
        world.notes.code(&browser.open(callback.as_str()).await);
        world.app.clock.advance(60 * MINUTE);
        world.app.broker.housekeeping.sweep().await.unwrap();
        world.app.clock.set_back(60 * MINUTE);
        let answer = kept.open(callback.as_str()).await;
        assert_eq!(answer.error().as_deref(), Some("flow_finished"), "{}", answer.body);
        assert!(world.app.refusals().await.contains(&"state_spent".to_owned()));
    }
}

on_both_databases! {
    async fn row_117_a_consent_that_waited_too_long_is_over_for_good(kind: Kind) {
        let world = World::new(kind).await;
        let asks = crate::harness::relying_app::RelyingApp::new(
            &world.app.network,
            "asks",
            Some("asks-secret-0123456789"),
            "https://asks.acme.test/callback",
        );
        let mut browser = world.browser();
        let page = browser.open(&asks.authorize_url(&[("domain_hint", "acme.test")])).await;
        let page = world.sign_in_at_provider(&mut browser, &page).await;
        page.expect(200, "consent-allow");
        world.app.clock.advance(31 * MINUTE);
        let answer = browser.press(&page, "consent-allow", &[]).await;
        assert_eq!(answer.error().as_deref(), Some("flow_finished"), "{}", answer.body);
        world.app.clock.set_back(20 * MINUTE);
        let answer = browser.press(&page, "consent-allow", &[]).await;
        assert_eq!(answer.error().as_deref(), Some("flow_finished"), "{}", answer.body);
        // One that began in the future is over too.
        let mut other = world.browser();
        let page = other.open(&asks.authorize_url(&[("domain_hint", "acme.test")])).await;
        let page = world.sign_in_at_provider(&mut other, &page).await;
        page.expect(200, "consent-allow");
        world.app.clock.set_back(2 * MINUTE);
        assert!(other.press(&page, "consent-allow", &[]).await.error().is_some());
        world.app.clock.advance(3 * MINUTE);
        assert!(other.press(&page, "consent-allow", &[]).await.error().is_some());
    }
}

on_both_databases! {
    async fn row_117_an_attempt_to_link_that_was_over_stays_over(kind: Kind) {
        let world = linking(kind, "").await;
        for (ahead, back) in [(Some(11 * MINUTE), 5 * MINUTE), (None, 2 * MINUTE)] {
            let mut browser = world.browser();
            let page = world.brokered(&mut browser).await;
            let page = browser.press(page.expect(200, "link-accounts"), "link-accounts", &[]).await;
            let page = by_password(&mut browser, &page).await;
            page.expect(200, "link-confirm");
            let mut kept = browser.clone();
            match ahead {
                Some(ahead) => {
                    world.app.clock.advance(ahead);
                    let answer = browser.press(&page, "link-confirm", &[]).await;
                    assert!(answer.error().is_some(), "{}", answer.body);
                    world.app.clock.set_back(back);
                }
                None => {
                    world.app.clock.set_back(back);
                    let answer = browser.press(&page, "link-confirm", &[]).await;
                    assert!(answer.error().is_some(), "it began in the future: {}", answer.body);
                    world.app.clock.advance(back);
                }
            }
            let answer = kept.press(&page, "link-confirm", &[]).await;
            assert!(answer.error().is_some(), "{}", answer.body);
            assert_eq!(world.app.broker.accounts.find_account("bobby").await.unwrap().profiles.len(), 1);
        }
    }
}

on_both_databases! {
    async fn row_117_a_code_from_the_future_is_over_and_stays_so(kind: Kind) {
        let world = World::new(kind).await;
        let code = world.globex_app.code(&world.local(&mut world.browser()).await);
        world.app.clock.set_back(2 * MINUTE);
        assert_eq!(world.globex_app.redeem(&code).await.0, 400);
        world.app.clock.advance(2 * MINUTE);
        let (status, answer) = world.globex_app.redeem(&code).await;
        assert_eq!((status.as_u16(), &answer["error"]), (400, &"invalid_grant".into()));
    }
}
