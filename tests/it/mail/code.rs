//! A mailed code as the proof of who one is, where the identity provider cannot be made to ask again.

use std::sync::Arc;
use std::time::Duration;

use countersign::model::{Caller, Clock};
use http::Method;

use super::links::{mails, own, world_on};
use crate::harness::browser::{Browser, Page};
use crate::harness::database::Kind;
use crate::harness::mailbox::{Mailbox, Received};
use crate::harness::relying_app::claims;
use crate::harness::world::World;
use crate::linking::pages::{by_password, linked, own_page};
use crate::on_both_databases;

/// An identity provider that ignores the wish to ask again.
const DEAF: &str = "capabilities = { prompts = [], max_age = false }";
const CONFIRM: &str = "https://id.test/account/confirm";

/// A user whose only profile is at such an identity provider, some time after they signed in.
async fn signed_in_long_ago(kind: Kind, connection: &str) -> (World, Mailbox, Browser) {
    let (world, mailbox) = world_on(kind, connection).await;
    let mut browser = world.browser();
    let page = world.brokered(&mut browser).await;
    browser.press(page.expect(200, "link-skip"), "link-skip", &[]).await;
    world.app.clock.advance(Duration::from_mins(6));
    (world, mailbox, browser)
}

/// The page that asks for the code, and the code from the newest mail.
async fn with_code(world: &World, mailbox: &Mailbox, browser: &mut Browser) -> (Page, String) {
    let page = browser.open(&format!("{CONFIRM}?place=link")).await;
    let page = browser.press(page.expect(200, "send-code"), "send-code", &[]).await;
    page.expect(200, "verify");
    let told = mails(world, mailbox).await;
    (page, code_in(told.last().unwrap()))
}

/// The eight digits in a mail, which are on a line of their own.
fn code_in(mail: &Received) -> String {
    let code = mail.text.lines().find(|line| line.len() == 8 && line.bytes().all(|b| b.is_ascii_digit()));
    code.unwrap_or_else(|| panic!("no code in {}", mail.text)).to_owned()
}

/// Another code of as many digits.
fn other_than(code: &str, by: u32) -> String {
    format!("{:08}", (code.parse::<u32>().unwrap() + by) % 100_000_000)
}

fn refused(page: &Page) -> (u16, Option<String>) {
    (page.status.as_u16(), page.error())
}

fn because(status: u16, code: &str) -> (u16, Option<String>) {
    (status, Some(code.to_owned()))
}

on_both_databases! {
    async fn a_user_who_cannot_be_asked_again_proves_it_by_a_mailed_code(kind: Kind) {
        let (world, mailbox, mut browser) = signed_in_long_ago(kind, DEAF).await;
        let page = own_page(&mut browser).await;
        let before = browser.cookies_of("id.test");
        let page = browser.click(&page, "link-profile").await;
        assert!(page.expect(200, "send-code").body.contains("bob@acme.test"), "{}", page.body);
        assert!(mails(&world, &mailbox).await.is_empty(), "looking at the page mails nothing");
        let page = browser.press(&page, "send-code", &[]).await;
        page.expect(200, "verify");
        let told = mails(&world, &mailbox).await;
        assert_eq!((told.len(), told[0].to.as_str()), (1, "bob@acme.test"));
        let code = code_in(&told[0]);
        assert!(!String::from_utf8_lossy(&world.app.everything_stored().await).contains(&code), "kept in clear");
        let page = browser.press(&page, "verify", &[("code", &other_than(&code, 1))]).await;
        assert_eq!(refused(&page), because(403, "mail_code_wrong"));
        // As people type it.
        let spaced = format!(" {}-{} ", &code[..4], &code[4..]);
        let page = browser.press(&page, "verify", &[("code", &spaced)]).await;
        page.expect(200, "link-password");
        // The session continues with another token: a holder of the old one is signed out.
        let mut thief = world.browser();
        thief.cookies.insert("id.test".to_owned(), before);
        assert!(thief.open("https://id.test/account").await.has("sign-in"));
        // It is used up.
        let page = browser.open(&format!("{CONFIRM}?place=link")).await;
        page.expect(200, "link-password");
        let page = browser.press(&page, "link-password", &[]).await;
        let page = by_password(&mut browser, &page).await;
        let page = browser.press(page.expect(200, "merge-confirm"), "merge-confirm", &[]).await;
        page.expect(200, "done");
    }
}

on_both_databases! {
    async fn a_mailed_code_is_no_sign_in_for_apps(kind: Kind) {
        let (world, mailbox, mut browser) = signed_in_long_ago(kind, DEAF).await;
        let signed_in = world.app.clock.now().unix_seconds() - 360;
        let (page, code) = with_code(&world, &mailbox, &mut browser).await;
        browser.press(&page, "verify", &[("code", &code)]).await.expect(200, "link-password");
        let page = browser.open(&world.notes.authorize_url(&[("domain_hint", "acme.test")])).await;
        let (_, tokens) = world.notes.redeem(&world.notes.code(&page)).await;
        assert_eq!(claims(tokens["id_token"].as_str().unwrap())["auth_time"], signed_in, "{tokens}");
        let aged = [("domain_hint", "acme.test"), ("max_age", "60")];
        let page = browser.open(&world.notes.authorize_url(&aged)).await;
        assert!(page.url.path().starts_with("/sso/callback/"), "the session satisfied it: {}", page.url);
    }
}

on_both_databases! {
    async fn a_code_has_ten_tries_and_ten_minutes(kind: Kind) {
        let (world, mailbox, mut browser) = signed_in_long_ago(kind, DEAF).await;
        let (page, code) = with_code(&world, &mailbox, &mut browser).await;
        for number in 1..=10 {
            let wrong = browser.press(&page, "verify", &[("code", &other_than(&code, number))]).await;
            assert_eq!(refused(&wrong), because(403, "mail_code_wrong"), "{number}");
        }
        let over = browser.press(&page, "verify", &[("code", &code)]).await;
        assert_eq!(refused(&over), because(410, "mail_code_over"));
        // Another one replaces it, and is over in time.
        let (page, second) = with_code(&world, &mailbox, &mut browser).await;
        let old = browser.press(&page, "verify", &[("code", &code)]).await;
        assert_eq!(refused(&old), because(403, "mail_code_wrong"), "only the newest works");
        world.app.clock.advance(Duration::from_mins(10));
        let over = browser.press(&page, "verify", &[("code", &second)]).await;
        assert_eq!(refused(&over), because(410, "mail_code_over"));
        browser.open(&format!("{CONFIRM}?place=link")).await.expect(200, "send-code");
    }
}

on_both_databases! {
    async fn an_address_gets_five_codes_and_thirty_wrong_tries_a_day(kind: Kind) {
        let (world, mailbox, mut browser) = signed_in_long_ago(kind, DEAF).await;
        for round in 0..3 {
            let (page, code) = with_code(&world, &mailbox, &mut browser).await;
            for number in 1..=10 {
                let wrong = browser.press(&page, "verify", &[("code", &other_than(&code, number))]).await;
                assert_eq!(refused(&wrong), because(403, "mail_code_wrong"), "{round} {number}");
            }
        }
        // After thirty, even the right one proves nothing.
        let (page, code) = with_code(&world, &mailbox, &mut browser).await;
        let stopped = browser.press(&page, "verify", &[("code", &code)]).await;
        assert_eq!(refused(&stopped), because(429, "too_many_codes"));
        with_code(&world, &mailbox, &mut browser).await;
        let page = browser.open(&format!("{CONFIRM}?place=link")).await;
        let sixth = browser.press(&page, "send-code", &[]).await;
        assert_eq!(refused(&sixth), because(429, "too_many_codes"));
        assert_eq!(mails(&world, &mailbox).await.len(), 5);
        world.app.clock.advance(Duration::from_hours(7));
        let sixth = browser.press(&page, "send-code", &[]).await;
        assert_eq!(refused(&sixth), because(429, "too_many_codes"), "not by the hour");
    }
}

on_both_databases! {
    async fn a_right_code_counts_once_however_many_enter_it_at_once(kind: Kind) {
        let (world, mailbox, mut browser) = signed_in_long_ago(kind, DEAF).await;
        let (page, code) = with_code(&world, &mailbox, &mut browser).await;
        let barrier = Arc::new(tokio::sync::Barrier::new(8));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (page, code, barrier) = (page.clone(), code.clone(), barrier.clone());
            let mut same = world.browser();
            same.cookies.clone_from(&browser.cookies);
            tasks.spawn(async move {
                barrier.wait().await;
                same.press(&page, "verify", &[("code", &code)]).await.has("link-password")
            });
        }
        let right = tasks.join_all().await.into_iter().filter(|right| *right).count();
        assert_eq!(right, 1);
        let records = world.app.audit().await;
        let right = records.iter().filter(|it| it.action == "mail_code" && it.reason.is_none()).count();
        assert_eq!(right, 1);
    }
}

on_both_databases! {
    async fn a_mailed_code_does_not_bypass_a_provider_that_can_be_asked(kind: Kind) {
        let (world, mailbox, mut browser) = signed_in_long_ago(kind, "").await;
        let page = browser.open(&format!("{CONFIRM}?place=link")).await;
        page.expect(200, "emulator-sign-in");
        for path in ["/account/confirm", "/account/confirm/send"] {
            let url = format!("https://id.test{path}").parse().unwrap();
            let body = Some("place=link&code=12345678".to_owned());
            let page = browser.request(Method::POST, &url, body, "same-origin", None).await;
            let page = browser.follow(page).await;
            page.expect(200, "emulator-sign-in");
        }
        assert!(mails(&world, &mailbox).await.is_empty());
        assert_eq!(world.app.count_rows(&["mail_codes"]).await["mail_codes"], 0);
    }
}

on_both_databases! {
    async fn a_user_with_a_password_enters_it_and_one_without_a_proven_address_is_told(kind: Kind) {
        let (world, mailbox) = world_on(kind, DEAF).await;
        let mut browser = world.browser();
        linked(&world, &mut browser).await;
        world.app.clock.advance(Duration::from_mins(31));
        let page = own_page(&mut browser).await;
        let page = browser.click(&page, "unlink-2").await;
        let page = by_password(&mut browser, &page).await;
        page.expect(200, "unlink-confirm");
        let told = mails(&world, &mailbox).await;
        assert!(told.iter().all(|mail| mail.subject.contains("was linked")), "{told:?}");
        own(&mut world.browser(), "bobby", crate::harness::world::PASSWORD).await.expect(200, "this-session");

        let (world, mailbox, mut browser) = signed_in_long_ago(kind, DEAF).await;
        world.app.run_statement("UPDATE accounts SET email_verified = FALSE").await;
        let page = browser.open(&format!("{CONFIRM}?place=link")).await;
        assert_eq!(refused(&page), because(403, "cannot_ask_anew"));
        assert!(mails(&world, &mailbox).await.is_empty());
    }
}

on_both_databases! {
    async fn another_site_and_another_session_enter_no_code(kind: Kind) {
        let (world, mailbox, mut browser) = signed_in_long_ago(kind, DEAF).await;
        let url = format!("{CONFIRM}/send").parse().unwrap();
        let evil = Some("https://evil.test");
        let page = browser.request(Method::POST, &url, Some("place=link".to_owned()), "cross-site", evil).await;
        assert_eq!(refused(&page), because(403, "cross_site"));
        assert!(mails(&world, &mailbox).await.is_empty());
        let mut second = world.browser();
        world.brokered(&mut second).await;
        world.app.clock.advance(Duration::from_mins(6));
        let (_, code) = with_code(&world, &mailbox, &mut browser).await;
        let url = CONFIRM.parse().unwrap();
        let body = Some(format!("place=link&code={code}"));
        let page = second.request(Method::POST, &url, body, "same-origin", None).await;
        assert_eq!(refused(&page), because(410, "mail_code_over"));
        let page = browser.open(&format!("{CONFIRM}?place=nowhere")).await;
        assert_eq!(refused(&page), because(404, "not_found"));
    }
}

on_both_databases! {
    async fn a_code_that_is_over_stays_so_when_the_clock_is_set_back(kind: Kind) {
        let (world, mailbox, mut browser) = signed_in_long_ago(kind, DEAF).await;
        let (page, code) = with_code(&world, &mailbox, &mut browser).await;
        world.app.clock.advance(Duration::from_mins(11));
        let over = browser.press(&page, "verify", &[("code", &code)]).await;
        assert_eq!(refused(&over), because(410, "mail_code_over"));
        world.app.clock.set_back(Duration::from_mins(5));
        let over = browser.press(&page, "verify", &[("code", &code)]).await;
        assert_eq!(refused(&over), because(410, "mail_code_over"));
        // One that was made in the future is over, and stays so when that time comes.
        let (page, code) = with_code(&world, &mailbox, &mut browser).await;
        world.app.clock.set_back(Duration::from_mins(2));
        let over = browser.press(&page, "verify", &[("code", &code)]).await;
        assert_eq!(refused(&over), because(410, "mail_code_over"));
        world.app.clock.advance(Duration::from_mins(2));
        let over = browser.press(&page, "verify", &[("code", &code)]).await;
        assert_eq!(refused(&over), because(410, "mail_code_over"));
    }
}

on_both_databases! {
    async fn a_code_ends_with_everything_else_of_its_account(kind: Kind) {
        let (world, mailbox, mut browser) = signed_in_long_ago(kind, DEAF).await;
        with_code(&world, &mailbox, &mut browser).await;
        assert_eq!(world.app.count_rows(&["mail_codes"]).await["mail_codes"], 1);
        let account = world.app.broker.accounts.list_accounts(&"acme".parse().unwrap(), 10).await.unwrap();
        let account = account.iter().find(|account| account.username.is_none()).unwrap().id.to_string();
        world.app.broker.accounts.set_account_enabled(Caller::Operator(None), &account, false).await.unwrap();
        assert_eq!(world.app.count_rows(&["mail_codes"]).await["mail_codes"], 0);
    }
}
