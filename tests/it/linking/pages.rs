//! Linking as people meet it: through the pages, with a browser that submits their forms.

use std::time::Duration;

use crate::harness::browser::{Browser, Page};
use crate::harness::database::Kind;
use crate::harness::relying_app::claims;
use crate::harness::world::{PASSWORD, World};
use crate::on_both_databases;

const ACCOUNT: &str = "https://id.test/account";

/// Acme links, and bob has a password at it besides his identity at its provider.
pub async fn linking(kind: Kind, connection: &str) -> World {
    let world = World::with(kind, "linking = true", connection).await;
    let account = format!(
        "[[organizations]]\nhandle = \"acme\"\nname = \"Acme\"\nplan = \"enterprise\"\nlinking = true\n\
         [[organizations.accounts]]\nusername = \"bobby\"\nemail = \"Bob@acme.test\"\nemail_verified = true\n\
         password = \"{PASSWORD}\"\nroles = [\"auditor\"]\n"
    );
    world.app.apply(&account).await;
    // What was there before is older than what comes.
    world.app.clock.advance(Duration::from_secs(1));
    world
}

/// Signs in at the page at hand with bobby's password.
pub async fn by_password(browser: &mut Browser, page: &Page) -> Page {
    page.expect(200, "sign-in");
    browser.press(page, "sign-in", &[("username", "bobby"), ("password", PASSWORD)]).await
}

/// From the app to the end of a link: offer, proof, confirmation.
pub async fn linked(world: &World, browser: &mut Browser) -> Page {
    let page = world.brokered(browser).await;
    page.expect(200, "link-accounts");
    let page = browser.press(&page, "link-accounts", &[]).await;
    assert!(page.body.contains("Notes"), "the app that is waiting is named: {}", page.body);
    let page = by_password(browser, &page).await;
    page.expect(200, "link-confirm");
    browser.press(&page, "link-confirm", &[]).await
}

pub async fn own_page(browser: &mut Browser) -> Page {
    browser.open(ACCOUNT).await.expect(200, "this-session").clone()
}

/// The `sub` that the app is told at the end of a sign-in.
async fn subject(world: &World, page: &Page) -> String {
    let (status, tokens) = world.notes.redeem(&world.notes.code(page)).await;
    assert_eq!(status, 200, "{tokens}");
    claims(tokens["id_token"].as_str().unwrap())["sub"].as_str().unwrap().to_owned()
}

on_both_databases! {
    async fn a_first_sign_in_is_linked_in_one_visit_and_the_app_gets_its_code(kind: Kind) {
        let world = linking(kind, "").await;
        let page = world.brokered(&mut world.browser()).await;
        let shown = page.expect(200, "link-accounts").body.clone();
        assert!(shown.contains("bob@acme.test") && shown.contains("b•••y"), "{shown}");
        assert!(!shown.contains("bobby"), "the page gives a username away");
        let page = linked(&world, &mut world.browser()).await;
        let sub = subject(&world, &page).await;
        let account = world.app.broker.accounts.find_account("bobby").await.unwrap();
        assert_eq!(sub, account.account.id.to_string());
        assert_eq!(account.profiles.len(), 2);
        // From now on either way leads there, and the user is not asked again.
        let mut other = world.browser();
        let page = world.brokered(&mut other).await;
        assert_eq!(subject(&world, &page).await, sub);
        let page = own_page(&mut other).await;
        assert_eq!(page.text("signed-in-via").as_deref(), Some("Acme SSO"));
        assert!(page.has("unlink-1") && page.has("unlink-2") && page.has("undo-1"));
    }
}

on_both_databases! {
    async fn a_user_who_keeps_them_apart_gets_an_account_of_their_own_and_is_not_asked_again(kind: Kind) {
        let world = linking(kind, "").await;
        let mut browser = world.browser();
        let page = world.brokered(&mut browser).await;
        let page = browser.press(&page, "link-skip", &[]).await;
        let sub = subject(&world, &page).await;
        let bobby = world.app.broker.accounts.find_account("bobby").await.unwrap();
        assert_ne!(sub, bobby.account.id.to_string());
        assert_eq!(bobby.profiles.len(), 1);
        let page = world.brokered(&mut world.browser()).await;
        assert_eq!(subject(&world, &page).await, sub);
    }
}

on_both_databases! {
    async fn where_the_organization_does_not_link_nobody_is_asked(kind: Kind) {
        let world = linking(kind, "").await;
        world.apply_with("linking = false", "").await;
        let page = world.brokered(&mut world.browser()).await;
        subject(&world, &page).await;
    }
}

on_both_databases! {
    async fn an_answer_that_chooses_nothing_is_asked_again_and_another_sites_is_refused(kind: Kind) {
        let world = linking(kind, "").await;
        let mut browser = world.browser();
        let mut page = world.brokered(&mut browser).await;
        page.body = page.body.replace(" checked", "");
        let again = browser.press(&page, "link-accounts", &[]).await;
        assert_eq!(again.error().as_deref(), Some("link_unanswered"));
        again.expect(422, "link-1");
        // Another browser that knows the address sees and answers nothing.
        let mut stranger = world.browser();
        let page = stranger.open(page.url.as_str()).await;
        assert_eq!((page.status.as_u16(), page.error().as_deref()), (403, Some("session_ended")));
    }
}

on_both_databases! {
    async fn another_account_than_the_chosen_one_links_nothing(kind: Kind) {
        let world = linking(kind, "").await;
        let mut browser = world.browser();
        let page = world.brokered(&mut browser).await;
        let page = browser.press(&page, "link-accounts", &[]).await;
        let fields = [("username", "carol"), ("password", PASSWORD)];
        let page = browser.press(&page, "sign-in", &fields).await;
        assert_eq!(page.error().as_deref(), Some("link_wrong_profile"));
        for name in ["bobby", "carol"] {
            assert_eq!(world.app.broker.accounts.find_account(name).await.unwrap().profiles.len(), 1);
        }
        assert!(world.app.refusals().await.contains(&"link_wrong_profile".to_owned()));
    }
}

on_both_databases! {
    async fn an_unproven_email_learns_nothing_and_may_still_link(kind: Kind) {
        let world = linking(kind, "claims = { email_verified = \"no_such_claim\" }").await;
        let mut browser = world.browser();
        let page = world.brokered(&mut browser).await;
        let shown = page.expect(200, "link-accounts").body.clone();
        assert!(!shown.contains("link-1") && !shown.contains("b•••y"), "{shown}");
        let page = browser.press(&page, "link-accounts", &[]).await;
        let page = by_password(&mut browser, &page).await;
        let page = browser.press(page.expect(200, "link-confirm"), "link-confirm", &[]).await;
        subject(&world, &page).await;
        assert_eq!(world.app.broker.accounts.find_account("bobby").await.unwrap().profiles.len(), 2);
    }
}

on_both_databases! {
    async fn two_accounts_are_merged_from_the_profile_page_and_come_apart_again(kind: Kind) {
        let world = linking(kind, "").await;
        let mut sso = world.browser();
        let page = world.brokered(&mut sso).await;
        let page = sso.press(&page, "link-skip", &[]).await;
        let own = subject(&world, &page).await;
        let page = own_page(&mut sso).await;
        let page = sso.click(&page, "merge").await;
        let page = sso.press(page.expect(200, "link-password"), "link-password", &[]).await;
        let page = by_password(&mut sso, &page).await;
        let shown = page.expect(200, "merge-confirm").body.clone();
        assert!(shown.contains("auditor") && shown.contains("Notes"), "{shown}");
        let bobby = world.app.broker.accounts.find_account("bobby").await.unwrap().account.id.to_string();
        let page = sso.press(&page, "merge-confirm", &[("keep", bobby.as_str())]).await;
        page.expect(200, "done");
        assert!(page.has("unlink-2") && page.has("undo-1"));
        // The app knew the other account alone, and goes on seeing it.
        let page = world.brokered(&mut world.browser()).await;
        assert_eq!(subject(&world, &page).await, own);
        let page = own_page(&mut sso).await;
        let page = sso.click(&page, "undo-1").await;
        let page = sso.press(page.expect(200, "undo-confirm"), "undo-confirm", &[]).await;
        page.expect(200, "signed-out");
        assert_eq!(world.app.broker.accounts.find_account("bobby").await.unwrap().profiles, ["password"]);
        let page = world.brokered(&mut world.browser()).await;
        assert_eq!(subject(&world, &page).await, own);
    }
}

on_both_databases! {
    async fn a_profile_is_unlinked_after_a_fresh_proof_and_never_the_last_one(kind: Kind) {
        let world = linking(kind, "").await;
        let mut browser = world.browser();
        linked(&world, &mut browser).await;
        world.app.clock.advance(Duration::from_mins(31));
        let page = own_page(&mut browser).await;
        // It was too long ago: the identity provider is asked again, then the question appears.
        let page = browser.click(&page, "unlink-1").await;
        let page = world.sign_in_at_provider(&mut browser, &page).await;
        page.expect(200, "unlink-confirm");
        let page = browser.press(&page, "unlink-confirm", &[]).await;
        page.expect(200, "done");
        assert!(!page.has("unlink-1"), "the last one can be unlinked");
        let mut other = world.browser();
        let page = other.open(ACCOUNT).await;
        let page = by_password(&mut other, &page).await;
        assert_eq!(page.error().as_deref(), Some("bad_credentials"), "the deleted password opens the account");
    }
}
