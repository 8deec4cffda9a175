//! What people are told when their links change, and the link by which a password is set.

use std::time::Duration;

use countersign::model::{Caller, LedgerKind};
use http::Method;

use crate::harness::app::TestApp;
use crate::harness::browser::{Browser, Page};
use crate::harness::database::Kind;
use crate::harness::mailbox::{Mailbox, Received, send_mails};
use crate::harness::world::{PASSWORD, World};
use crate::linking::pages::{by_password, linked, own_page};
use crate::on_both_databases;

/// Acme links; bobby shares bob's email, and robert is another account of the same person.
async fn world(kind: Kind) -> (World, Mailbox) {
    world_on(kind, "").await
}

/// [`world`], with further keys for acme's connection.
pub(super) async fn world_on(kind: Kind, connection: &str) -> (World, Mailbox) {
    let mailbox = Mailbox::new();
    let folder = mailbox.folder().display().to_string();
    let settings = [("COUNTERSIGN__MAIL__TRANSPORT", "file"), ("COUNTERSIGN__MAIL__DIR", folder.as_str())];
    let world = World::on(TestApp::configured(kind, &settings).await, "linking = true", connection).await;
    let account = |username: &str, email: &str| {
        format!(
            "[[organizations.accounts]]\nusername = \"{username}\"\nemail = \"{email}\"\nemail_verified = true\n\
             password = \"{PASSWORD}\"\n"
        )
    };
    let accounts = [account("bobby", "Bob@acme.test"), account("robert", "robert@acme.test")].concat();
    let acme =
        "[[organizations]]\nhandle = \"acme\"\nname = \"Acme\"\nplan = \"enterprise\"\nlinking = true\n";
    world.app.apply(&format!("{acme}{accounts}")).await;
    world.app.clock.advance(Duration::from_secs(1));
    (world, mailbox)
}

/// What has arrived once everything was sent.
pub(super) async fn mails(world: &World, mailbox: &Mailbox) -> Vec<Received> {
    let rows = "jobs WHERE finished_at IS NULL";
    for _ in 0..300 {
        send_mails(&world.app.broker).await;
        if world.app.count_rows(&[rows]).await[rows] == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    mailbox.mails()
}

on_both_databases! {
    async fn a_person_is_told_at_the_address_that_the_account_had_before(kind: Kind) {
        let (world, mailbox) = world(kind).await;
        let mut browser = world.browser();
        let page = world.brokered(&mut browser).await;
        let page = browser.press(&page, "link-accounts", &[]).await;
        let page = by_password(&mut browser, &page).await;
        page.expect(200, "link-confirm");
        assert!(mails(&world, &mailbox).await.is_empty(), "nothing has happened yet");
        browser.press(&page, "link-confirm", &[]).await;
        let told = mails(&world, &mailbox).await;
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].to, "Bob@acme.test", "byte for byte as the account has it");
        assert!(told[0].subject.contains("linked to your account at Acme"), "{told:?}");
        assert!(told[0].text.contains("Acme SSO · bob@acme.test can sign in"), "{told:?}");
        assert!(told[0].text.contains("Sie erhalten diese Nachricht"), "{told:?}");
        assert_eq!(told[0].link(), "https://id.test/account");
        world.app.clock.advance(Duration::from_secs(1));
        let page = own_page(&mut browser).await;
        let page = browser.click(&page, "unlink-2").await;
        browser.press(page.expect(200, "unlink-confirm"), "unlink-confirm", &[]).await;
        let told = mails(&world, &mailbox).await;
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[1].subject.contains("was removed from your account"), "{told:?}");
    }
}

on_both_databases! {
    async fn a_link_that_does_not_come_about_is_told_to_nobody(kind: Kind) {
        let (world, mailbox) = world(kind).await;
        let mut browser = world.browser();
        let page = world.brokered(&mut browser).await;
        let page = browser.press(&page, "link-accounts", &[]).await;
        let page = by_password(&mut browser, &page).await;
        world.apply_with("linking = false", "").await;
        browser.press(page.expect(200, "link-confirm"), "link-confirm", &[]).await;
        assert!(mails(&world, &mailbox).await.is_empty());
        assert_eq!(world.app.count_rows(&["jobs"]).await["jobs"], 0);
    }
}

/// Signs in to one's own page by password.
pub(super) async fn own(browser: &mut Browser, username: &str, password: &str) -> Page {
    let page = browser.open("https://id.test/account").await;
    page.expect(200, "sign-in");
    browser.press(&page, "sign-in", &[("username", username), ("password", password)]).await
}

/// Robert takes bobby's account, with the username and password of one of the two; gives his browser.
async fn merged(world: &World, local_of: &str) -> Browser {
    let mut browser = world.browser();
    let page = own(&mut browser, "robert", PASSWORD).await;
    let page = browser.click(page.expect(200, "merge"), "merge").await;
    let page = browser.press(page.expect(200, "link-password"), "link-password", &[]).await;
    let page = by_password(&mut browser, &page).await;
    page.expect(200, "merge-confirm");
    let id =
        async |name: &str| world.app.broker.accounts.find_account(name).await.unwrap().account.id.to_string();
    let (robert, local_of) = (id("robert").await, id(local_of).await);
    let choices = [("keep", robert.as_str()), ("local_of", local_of.as_str())];
    browser.press(&page, "merge-confirm", &choices).await.expect(200, "done");
    world.app.clock.advance(Duration::from_secs(5));
    browser
}

/// Undoes the only merge on one's own page; gives the mails with links that came of it.
async fn undone(world: &World, mailbox: &Mailbox, browser: &mut Browser) -> Vec<Received> {
    let page = own_page(browser).await;
    let page = browser.click(&page, "undo-1").await;
    browser.press(page.expect(200, "undo-confirm"), "undo-confirm", &[]).await.expect(200, "signed-out");
    let told = mails(world, mailbox).await;
    told.into_iter().filter(|mail| mail.subject.contains("Set a password")).collect()
}

/// Robert merges bobby's account, whose password ends, and undoes it; gives the mail with the link for bobby.
async fn merged_and_undone(world: &World, mailbox: &Mailbox) -> Received {
    // Without another way to sign in, nothing of bobby's would come back but the local profile.
    linked(world, &mut world.browser()).await;
    let mut browser = merged(world, "robert").await;
    let refused = own(&mut world.browser(), "bobby", PASSWORD).await;
    assert_eq!(refused.error().as_deref(), Some("bad_credentials"), "{}", refused.body);
    let links = undone(world, mailbox, &mut browser).await;
    assert_eq!(links.len(), 1, "{links:?}");
    links.into_iter().next().unwrap()
}

const NEW: &str = "Quiet4harbour";

on_both_databases! {
    async fn a_local_profile_that_came_back_gets_a_password_by_a_mailed_link(kind: Kind) {
        let (world, mailbox) = world(kind).await;
        let mail = merged_and_undone(&world, &mailbox).await;
        assert_eq!(mail.to, "Bob@acme.test");
        let link = mail.link();
        let token = link.strip_prefix("https://id.test/reset/").unwrap();
        assert!(!String::from_utf8_lossy(&world.app.everything_stored().await).contains(token), "only its hash is kept");
        let refused = own(&mut world.browser(), "bobby", PASSWORD).await;
        assert_eq!(refused.error().as_deref(), Some("bad_credentials"), "no old password revives");
        // To open the page uses nothing up: a mail scanner does so twice.
        let mut browser = world.browser();
        for _ in 0..2 {
            let page = world.browser().open(link).await;
            assert!(page.expect(200, "set-password").body.contains("bobby"));
        }
        let page = browser.open(link).await;
        let page = browser.press(&page, "set-password", &[("new_password", "short")]).await;
        assert_eq!((page.status.as_u16(), page.error().as_deref()), (422, Some("password_rules")));
        for remedy in ["Use more characters.", "at least one upper-case letter", "at least one digit"] {
            assert!(page.body.contains(remedy), "{remedy}: {}", page.body);
        }
        let page = browser.press(&page, "set-password", &[("new_password", NEW)]).await;
        page.expect(200, "password-set");
        own(&mut world.browser(), "bobby", NEW).await.expect(200, "this-session");
        // Used once; the user is led on.
        let again = browser.open(link).await;
        assert_eq!((again.status.as_u16(), again.error().as_deref()), (410, Some("password_link_used")));
        let records = world.app.audit().await;
        let set: Vec<_> = records.iter().filter(|record| record.action == "password.set").collect();
        assert_eq!(set.len(), 2, "set once, and one refusal");
        assert_eq!(set[1].reason.as_deref(), Some("link_unknown"));
    }
}

on_both_databases! {
    async fn a_link_sets_none_of_the_last_three_passwords(kind: Kind) {
        let (world, mailbox) = world(kind).await;
        let mail = merged_and_undone(&world, &mailbox).await;
        let mut browser = world.browser();
        // What bobby had before the merge counts, though it works nowhere any more.
        let page = browser.open(mail.link()).await;
        let page = browser.press(&page, "set-password", &[("new_password", PASSWORD)]).await;
        assert_eq!((page.status.as_u16(), page.error().as_deref()), (422, Some("password_rules")));
        assert!(page.body.contains("something other than the last three passwords"), "{}", page.body);
        let page = browser.press(&page, "set-password", &[("new_password", NEW)]).await;
        page.expect(200, "password-set");
        own(&mut world.browser(), "bobby", NEW).await.expect(200, "this-session");
    }
}

on_both_databases! {
    async fn a_password_link_is_over_after_an_hour_and_for_whoever_may_not_sign_in(kind: Kind) {
        let (world, mailbox) = world(kind).await;
        let mail = merged_and_undone(&world, &mailbox).await;
        let mut browser = world.browser();
        let page = browser.open(mail.link()).await;
        world.app.broker.accounts.set_account_enabled(Caller::Operator(None), "bobby", false).await.unwrap();
        let refused = browser.press(&page, "set-password", &[("new_password", NEW)]).await;
        assert_eq!(refused.error().as_deref(), Some("password_link_used"));
        world.app.broker.accounts.set_account_enabled(Caller::Operator(None), "bobby", true).await.unwrap();
        world.apply_with("linking = true\nlocal_sign_in = \"none\"", "").await;
        assert_eq!(browser.open(mail.link()).await.error().as_deref(), Some("password_link_used"));
        world.apply_with("linking = true", "").await;
        browser.open(mail.link()).await.expect(200, "set-password");
        world.app.clock.advance(Duration::from_hours(1));
        assert_eq!(browser.open(mail.link()).await.error().as_deref(), Some("password_link_used"));
        // The link stays over when the clock is set back.
        world.app.clock.set_back(Duration::from_mins(30));
        assert_eq!(browser.open(mail.link()).await.error().as_deref(), Some("password_link_used"));
        let refused = browser.press(&page, "set-password", &[("new_password", NEW)]).await;
        assert_eq!(refused.error().as_deref(), Some("password_link_used"));
        let page = own(&mut world.browser(), "bobby", NEW).await;
        assert_eq!(page.error().as_deref(), Some("bad_credentials"));
    }
}

on_both_databases! {
    async fn a_password_link_sets_one_password_however_many_ask_at_once(kind: Kind) {
        let (world, mailbox) = world(kind).await;
        let mail = merged_and_undone(&world, &mailbox).await;
        let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(6));
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..6 {
            let (mut browser, link, barrier) = (world.browser(), mail.link().to_owned(), barrier.clone());
            tasks.spawn(async move {
                let page = browser.open(&link).await;
                barrier.wait().await;
                let password = format!("{NEW}{number}");
                let page = browser.press(&page, "set-password", &[("new_password", &password)]).await;
                page.has("password-set").then_some(password)
            });
        }
        let set: Vec<String> = tasks.join_all().await.into_iter().flatten().collect();
        assert_eq!(set.len(), 1, "{set:?}");
        own(&mut world.browser(), "bobby", &set[0]).await.expect(200, "this-session");
    }
}

on_both_databases! {
    async fn another_site_sets_no_password(kind: Kind) {
        let (world, mailbox) = world(kind).await;
        let mail = merged_and_undone(&world, &mailbox).await;
        let mut browser = world.browser();
        let (url, body) = (mail.link().parse().unwrap(), format!("new_password={NEW}"));
        let evil = Some("https://evil.test");
        let page = browser.request(Method::POST, &url, Some(body), "cross-site", evil).await;
        assert_eq!(page.error().as_deref(), Some("cross_site"), "{}", page.body);
        browser.open(mail.link()).await.expect(200, "set-password");
    }
}

on_both_databases! {
    async fn a_link_names_the_account_whose_password_it_sets(kind: Kind) {
        let (world, mailbox) = world(kind).await;
        linked(&world, &mut world.browser()).await;
        let mut browser = merged(&world, "bobby").await;
        let links = undone(&world, &mailbox, &mut browser).await;
        assert_eq!(links.len(), 1, "{links:?}");
        let mail = &links[0];
        assert_eq!(mail.to, "robert@acme.test");
        assert!(mail.text.contains("The account robert at Acme"), "{}", mail.text);
        let page = world.browser().open(mail.link()).await;
        assert!(page.expect(200, "set-password").body.contains("robert"));
        own(&mut world.browser(), "bobby", PASSWORD).await.expect(200, "this-session");
    }
}

on_both_databases! {
    async fn an_operators_password_or_another_address_ends_a_mailed_link(kind: Kind) {
        let (world, mailbox) = world(kind).await;
        let mail = merged_and_undone(&world, &mailbox).await;
        let acme = |rest: &str| {
            format!(
                "[[organizations]]\nhandle = \"acme\"\nname = \"Acme\"\nplan = \"enterprise\"\nlinking = true\n\
                 [[organizations.accounts]]\nusername = \"bobby\"\nemail_verified = true\n{rest}\n"
            )
        };
        world.app.apply(&acme("email = \"elsewhere@acme.test\"")).await;
        let over = world.browser().open(mail.link()).await;
        assert_eq!(over.error().as_deref(), Some("password_link_used"));

        let (world, mailbox) = self::world(kind).await;
        let mail = merged_and_undone(&world, &mailbox).await;
        world.app.apply(&acme(&format!("email = \"Bob@acme.test\"\npassword = \"{NEW}\""))).await;
        let over = world.browser().open(mail.link()).await;
        assert_eq!(over.error().as_deref(), Some("password_link_used"));
        own(&mut world.browser(), "bobby", NEW).await.expect(200, "this-session");
    }
}

on_both_databases! {
    async fn an_address_that_is_not_proven_gets_no_link_and_the_operator_is_told(kind: Kind) {
        let (world, mailbox) = world(kind).await;
        world.app.run_statement("UPDATE accounts SET email_verified = FALSE WHERE username = 'bobby'").await;
        merged(&world, "robert").await;
        let entries = world.app.broker.accounts.list_links("robert").await.unwrap().entries;
        let undone = world.app.broker.accounts.undo_link(Caller::Operator(None), entries[0].id).await.unwrap();
        let bobby = world.app.broker.accounts.find_account("bobby").await.unwrap().account.id;
        assert_eq!(undone.without_password, [bobby]);
        let told = mails(&world, &mailbox).await;
        assert!(told.iter().all(|mail| !mail.subject.contains("Set a password")), "{told:?}");
    }
}

on_both_databases! {
    async fn a_user_who_came_through_the_new_way_is_told_too(kind: Kind) {
        let (world, mailbox) = world(kind).await;
        let mut browser = world.browser();
        // Another account than the one that shares the address.
        let page = world.brokered(&mut browser).await;
        let page = browser.press(&page, "link-skip", &[]).await;
        world.notes.code(&page);
        let page = own_page(&mut browser).await;
        let page = browser.click(&page, "merge").await;
        let page = browser.press(page.expect(200, "link-password"), "link-password", &[]).await;
        let fields = [("username", "robert"), ("password", PASSWORD)];
        let page = browser.press(&page, "sign-in", &fields).await;
        browser.press(page.expect(200, "merge-confirm"), "merge-confirm", &[]).await.expect(200, "done");
        let mut told: Vec<String> = mails(&world, &mailbox).await.into_iter().map(|mail| mail.to).collect();
        told.sort();
        assert_eq!(told, ["bob@acme.test", "robert@acme.test"]);
    }
}

on_both_databases! {
    async fn of_two_passwords_that_ended_each_gets_its_own_link(kind: Kind) {
        let (world, mailbox) = world(kind).await;
        linked(&world, &mut world.browser()).await;
        // Robert's password ends with the merge, bobby's when it is unlinked.
        let mut browser = merged(&world, "bobby").await;
        let page = own_page(&mut browser).await;
        let page = browser.click(&page, "unlink-1").await;
        assert!(page.expect(200, "unlink-confirm").body.contains("bobby"), "{}", page.body);
        // He is signed in by it.
        browser.press(&page, "unlink-confirm", &[]).await.expect(200, "signed-out");
        let entries = world.app.broker.accounts.list_links("bobby").await.unwrap().entries;
        let merge = entries.iter().find(|entry| entry.kind == LedgerKind::Merged).unwrap();
        let undone = world.app.broker.accounts.undo_link(Caller::Operator(None), merge.id).await.unwrap();
        assert_eq!(undone.without_password, [], "each could be mailed a link");
        let mut told = mails(&world, &mailbox).await;
        told.retain(|mail| mail.subject.contains("Set a password"));
        told.sort_by(|one, other| one.to.cmp(&other.to));
        let names: Vec<_> = told.iter().map(|mail| (mail.to.as_str(), mail.text.contains("The account bobby"))).collect();
        assert_eq!(names, [("Bob@acme.test", true), ("robert@acme.test", false)]);
    }
}
