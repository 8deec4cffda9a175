//! What is remembered of messages that are good for nothing, and answers that must not depend on a password.

use std::time::Duration;

use countersign::model::{Caller, Clock};
use http::Method;
use serde_json::{Value, json};

use crate::harness::browser::{Browser, Page};
use crate::harness::database::Kind;
use crate::harness::relying_app::claims;
use crate::harness::world::{ACME_IDP, PASSWORD, World};
use crate::linking::pages::{by_password, linking};
use crate::on_both_databases;

const NINE_YEARS: i64 = 9 * 365 * 86_400;
const BACK_CHANNEL: &str = "https://id.test/sso/backchannel-logout/";

/// Sends a logout token of acme's provider with these claims; gives the status of the answer.
async fn logout(world: &World, jti: &str, about: &Value) -> u16 {
    let now = world.app.clock.now().unix_seconds();
    let mut token = json!({
        "iss": world.idp.as_str().trim_end_matches('/'), "aud": "countersign", "iat": now, "exp": now + NINE_YEARS,
        "jti": jti, "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
    });
    token.as_object_mut().unwrap().extend(about.as_object().unwrap().clone());
    send(world, &world.app.idp_key.as_ref().unwrap().sign_jwt("logout+jwt", None, &token).unwrap()).await
}

async fn send(world: &World, token: &str) -> u16 {
    let url = format!("{BACK_CHANNEL}{ACME_IDP}").parse().unwrap();
    let body = Some(format!("logout_token={token}"));
    world.browser().request(Method::POST, &url, body, "", None).await.status.as_u16()
}

async fn is_signed_in(browser: &mut Browser) -> bool {
    browser.open("https://id.test/account").await.has("this-session")
}

/// The provider's `sub` of bob, who signs in here.
async fn bob(world: &World, browser: &mut Browser) -> Value {
    world.brokered(browser).await;
    let page = browser.open("https://id.test/oauth2/logout").await;
    let onward = browser.press_only(&page, "logout-upstream", &[]).await;
    claims(&onward.location_parameter("id_token_hint").unwrap())["sub"].clone()
}

on_both_databases! {
    async fn logout_tokens_about_nobody_leave_nothing_but_a_count(kind: Kind) {
        let world = World::new(kind).await;
        let records = world.app.audit().await.len();
        for number in 0..40 {
            assert_eq!(logout(&world, &format!("j-{number}"), &json!({ "sub": format!("nobody-{number}") })).await, 200);
            assert_eq!(logout(&world, &format!("s-{number}"), &json!({ "sid": format!("none-{number}") })).await, 200);
        }
        assert_eq!(world.app.count_rows(&["dead_tokens"]).await["dead_tokens"], 0);
        let grown = world.app.audit().await.len() - records;
        assert_eq!(grown, 21, "twenty records, and one that counts the rest");
        assert!(world.app.refusals().await.contains(&"session_unknown".to_owned()));
    }
}

on_both_databases! {
    async fn a_logout_token_from_before_a_sign_in_ends_nothing_of_it(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let sub = bob(&world, &mut browser).await;
        assert!(!is_signed_in(&mut browser).await);
        let now = world.app.clock.now().unix_seconds();
        let old = json!({ "sub": sub, "iat": now });
        assert_eq!(logout(&world, "early", &old).await, 200);
        world.app.clock.advance(Duration::from_secs(61));
        let mut later = world.browser();
        world.brokered(&mut later).await;
        assert!(is_signed_in(&mut later).await);
        assert_eq!(logout(&world, "early", &old).await, 200, "it names no session that was there");
        assert!(is_signed_in(&mut later).await, "a token from before the sign-in ended it");
        assert_eq!(logout(&world, "now", &json!({ "sub": sub })).await, 200);
        assert!(!is_signed_in(&mut later).await);
    }
}

on_both_databases! {
    async fn a_logout_token_is_remembered_only_while_it_could_come_again(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let sub = bob(&world, &mut browser).await;
        // The provider's session goes on, so it brings him back without asking.
        browser.open(&world.notes.authorize_url(&[("domain_hint", "acme.test")])).await;
        assert!(is_signed_in(&mut browser).await);
        let issued = world.app.clock.now().unix_seconds();
        let about = json!({ "sub": sub, "iat": issued });
        assert_eq!(logout(&world, "once", &about).await, 200);
        assert!(!is_signed_in(&mut browser).await);
        assert_eq!(logout(&world, "once", &about).await, 400);
        assert_eq!(world.app.count_rows(&["dead_tokens"]).await["dead_tokens"], 1);
        // Eleven minutes later it is too old to be taken; what remembers it stays an hour more, for clocks that go back.
        world.app.clock.advance(Duration::from_secs(661));
        assert_eq!(logout(&world, "once", &about).await, 400);
        world.app.broker.housekeeping.sweep().await.unwrap();
        assert_eq!(world.app.count_rows(&["dead_tokens"]).await["dead_tokens"], 1);
        world.app.clock.advance(Duration::from_hours(1));
        world.app.broker.housekeeping.sweep().await.unwrap();
        assert_eq!(world.app.count_rows(&["dead_tokens"]).await["dead_tokens"], 0);
    }
}

/// What a page says and how, but for what differs each time.
fn answer(page: &Page) -> (u16, String) {
    (page.status.as_u16(), page.body.clone())
}

on_both_databases! {
    async fn a_flow_that_has_ended_answers_alike_whatever_the_password(kind: Kind) {
        let world = linking(kind, "").await;
        // A sign-in that has ended, and the proof of a second side that nothing waits for any more.
        let mut browser = world.browser();
        let page = browser.open(&world.globex_app.authorize_url(&[])).await.expect(200, "sign-in").clone();
        let ended = (browser.clone(), page.clone(), "gil", "flow_finished");
        let gil = [("username", "gil"), ("password", PASSWORD)];
        world.globex_app.code(&browser.press(&page, "sign-in", &gil).await);

        let mut browser = world.browser();
        let offer = world.brokered(&mut browser).await;
        let page = browser.press(&offer, "link-accounts", &[]).await.expect(200, "sign-in").clone();
        let unwaited = (browser.clone(), page.clone(), "bobby", "flow_expired");
        browser.press(&offer, "link-skip", &[]).await;

        let guesses = async || world.app.count_rows(&["guesses"]).await["guesses"];
        for (browser, page, username, code) in [ended, unwaited] {
            let before = guesses().await;
            let mut answers = Vec::new();
            for password in [PASSWORD, "Wrong7horse-000", ""] {
                for name in [username, "nobody-at-all"] {
                    let fields = [("username", name), ("password", password)];
                    let page = browser.clone().press(&page, "sign-in", &fields).await;
                    assert_eq!(page.error().as_deref(), Some(code), "{name} {password}: {}", page.body);
                    answers.push(answer(&page));
                }
            }
            assert!(answers.iter().all(|other| *other == answers[0]), "{answers:?}");
            assert_eq!(guesses().await, before, "a guess was counted that was not checked");
        }
    }
}

on_both_databases! {
    async fn an_attempt_to_link_ends_with_everything_else_of_its_account(kind: Kind) {
        let world = linking(kind, "").await;
        let mut browser = world.browser();
        let page = world.brokered(&mut browser).await;
        let page = browser.press(page.expect(200, "link-accounts"), "link-accounts", &[]).await;
        let page = by_password(&mut browser, &page).await;
        page.expect(200, "link-confirm");
        // Switched off and on again, the account has nothing left of what was open.
        for enabled in [false, true] {
            world.app.broker.accounts.set_account_enabled(Caller::Operator(None), "bobby", enabled).await.unwrap();
        }
        let answer = browser.press(&page, "link-confirm", &[]).await;
        assert_eq!(answer.error().as_deref(), Some("session_ended"), "{}", answer.body);
        assert!(world.app.refusals().await.contains(&"account_ended".to_owned()));
        assert_eq!(world.app.broker.accounts.find_account("bobby").await.unwrap().profiles, ["password"]);
    }
}
