//! The user's own page, and what ends a session.

use std::time::Duration;

use countersign::model::{Caller, Clock};

use crate::harness::browser::{Browser, Page};
use crate::harness::database::Kind;
use crate::harness::world::{PASSWORD, World};
use crate::on_both_databases;

const ACCOUNT: &str = "https://id.test/account";
const SESSION: &str = "__Host-session";

/// Signs carol in on her own page.
async fn carol(browser: &mut Browser) -> Page {
    let page = browser.open(ACCOUNT).await;
    page.expect(200, "sign-in");
    let page = browser.press(&page, "sign-in", &[("username", "carol"), ("password", PASSWORD)]).await;
    page.expect(200, "this-session").clone()
}

async fn is_signed_in(browser: &mut Browser) -> bool {
    browser.open(ACCOUNT).await.has("this-session")
}

on_both_databases! {
    async fn the_page_says_who_i_am_and_how_i_came(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let page = carol(&mut browser).await;
        assert_eq!(page.text("organization").as_deref(), Some("Acme"));
        assert!(page.text("domains").unwrap().contains("acme.test"));
        assert_eq!(page.text("signed-in-via").as_deref(), Some("Username and password"));
        assert!(page.has("sign-out"));
        let mut browser = world.browser();
        world.brokered(&mut browser).await;
        let page = browser.open(ACCOUNT).await;
        assert_eq!(page.text("signed-in-via").as_deref(), Some("Acme SSO"));
    }
}

on_both_databases! {
    async fn one_or_all_other_sessions_are_ended_at_once(kind: Kind) {
        let world = World::new(kind).await;
        let (mut here, mut there, mut elsewhere) = (world.browser(), world.browser(), world.browser());
        carol(&mut there).await;
        carol(&mut elsewhere).await;
        let page = carol(&mut here).await;
        let page = here.press(&page, "end-session-2", &[]).await;
        page.expect(200, "done");
        let left = [is_signed_in(&mut there).await, is_signed_in(&mut elsewhere).await];
        assert_eq!(left.iter().filter(|left| **left).count(), 1);
        let page = here.open(ACCOUNT).await;
        here.press(&page, "end-other-sessions", &[]).await.expect(200, "done");
        assert!(!is_signed_in(&mut there).await && !is_signed_in(&mut elsewhere).await);
        assert!(is_signed_in(&mut here).await);
    }
}

on_both_databases! {
    async fn a_session_of_somebody_else_is_answered_like_none(kind: Kind) {
        let world = World::new(kind).await;
        let mut gil = world.browser();
        world.local(&mut gil).await;
        let theirs = world.app.broker.accounts.list_account_sessions("gil").await;
        let theirs = theirs.unwrap().first().unwrap().id.to_string();
        let (mut here, mut there) = (world.browser(), world.browser());
        carol(&mut there).await;
        let page = carol(&mut here).await;
        for session in [theirs.as_str(), "ses_00000000000000000000000000000001", "x", ""] {
            let refused = here.press(&page, "end-session-2", &[("session", session)]).await;
            assert_eq!(refused.error().as_deref(), Some("not_found"), "{session}");
        }
        assert!(gil.open(ACCOUNT).await.has("this-session"));
        assert!(world.app.refusals().await.contains(&"session_not_own".to_owned()));
    }
}

on_both_databases! {
    async fn a_form_from_another_site_ends_nothing(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        carol(&mut browser).await;
        for path in ["account/sign-out", "account/sessions/end-others", "oauth2/logout/confirm"] {
            let url = format!("https://id.test/{path}").parse().unwrap();
            let body = Some("scope=local".to_owned());
            let post = http::Method::POST;
            let refused = browser.request(post.clone(), &url, body.clone(), "cross-site", None).await;
            assert_eq!(refused.error().as_deref(), Some("cross_site"), "{path}");
            browser.fetch_metadata = false;
            let refused = browser.request(post, &url, body, "", None).await;
            assert_eq!(refused.error().as_deref(), Some("cross_site"), "{path} without token");
            browser.fetch_metadata = true;
        }
        assert!(is_signed_in(&mut browser).await);
    }
}

on_both_databases! {
    async fn signing_out_kills_the_cookie_that_somebody_kept(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let page = carol(&mut browser).await;
        let mut thief = browser.clone();
        browser.press(&page, "sign-out", &[]).await.expect(200, "signed-out");
        assert!(!browser.cookies_of("id.test").contains_key(SESSION));
        assert!(!is_signed_in(&mut thief).await);
    }
}

on_both_databases! {
    async fn a_new_sign_in_of_the_same_person_renews_the_token_and_keeps_the_session(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        carol(&mut browser).await;
        let mut old = browser.clone();
        let before = world.app.broker.accounts.list_account_sessions("carol").await.unwrap();
        let page = browser.open(&world.notes.authorize_url(&[("prompt", "login")])).await;
        let end = browser.press(&page, "sign-in", &[("username", "carol"), ("password", PASSWORD)]).await;
        world.notes.code(&end);
        let after = world.app.broker.accounts.list_account_sessions("carol").await.unwrap();
        assert_eq!((before.len(), after.len()), (1, 1));
        assert_eq!(before[0].id, after[0].id);
        assert!(is_signed_in(&mut browser).await);
        assert!(!is_signed_in(&mut old).await);
    }
}

on_both_databases! {
    async fn a_session_is_over_when_unused_or_too_old(kind: Kind) {
        let world = World::with(kind, "session_idle = \"1h\"\nsession_max = \"3h\"", "").await;
        let mut browser = world.browser();
        carol(&mut browser).await;
        world.app.clock.advance(Duration::from_mins(61));
        assert!(!is_signed_in(&mut browser).await);
        let mut browser = world.browser();
        carol(&mut browser).await;
        for _ in 0..5 {
            world.app.clock.advance(Duration::from_mins(35));
            assert!(is_signed_in(&mut browser).await);
        }
        world.app.clock.advance(Duration::from_mins(6));
        assert!(!is_signed_in(&mut browser).await);
    }
}

on_both_databases! {
    async fn a_disabled_account_has_no_session_at_its_next_request(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        carol(&mut browser).await;
        world.app.broker.accounts.set_account_enabled(Caller::Operator(None), "carol", false).await.unwrap();
        assert!(!is_signed_in(&mut browser).await);
    }
}

on_both_databases! {
    async fn an_organization_makes_sessions_shorter_and_never_longer(kind: Kind) {
        let day = Duration::from_hours(24);
        let hour = Duration::from_hours(1);
        for (own, idle, max) in [
            ("session_idle = \"30d\"\nsession_max = \"60d\"", 12 * hour, 7 * day),
            ("session_idle = \"1h\"\nsession_max = \"1d\"", hour, day),
        ] {
            let world = World::with(kind, own, "").await;
            carol(&mut world.browser()).await;
            let now = Clock::now(&*world.app.clock);
            let session = world.app.broker.accounts.list_account_sessions("carol").await.unwrap().remove(0);
            assert_eq!((session.idle_until.since(now), session.expires_at.since(now)), (idle, max), "{own}");
        }
    }
}
