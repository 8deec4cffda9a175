//! What changes while something is under way: behind the cache's back, at another node, between check and commit.

use std::time::Duration;

use super::{
    app_named, app_table, assert_one_refusal, by_password, callback_of_bob, error_at_app, globex,
    is_signed_in,
};
use super::{keep_what_is_cached, text, tokens};
use crate::harness::browser::{Browser, Page};
use crate::harness::database::Kind;
use crate::harness::evidence::Evidence;
use crate::harness::relying_app::{RelyingApp, claims};
use crate::harness::world::{PASSWORD, World};
use crate::on_both_databases;

on_both_databases! {
    async fn status_is_read_again_in_the_transaction_that_completes_a_sign_in(kind: Kind) {
        for statement in [
            "UPDATE connections SET enabled = FALSE WHERE handle = 'acme-idp'",
            "UPDATE organizations SET enabled = FALSE WHERE handle = 'acme'",
            "UPDATE apps SET enabled = FALSE WHERE client_id = 'notes'",
            "UPDATE accounts SET enabled = FALSE",
        ] {
            let world = World::new(kind).await;
            keep_what_is_cached(&world).await;
            world.brokered(&mut world.browser()).await;
            let mut browser = world.browser();
            let page = browser.open(&world.notes.authorize_url(&[("domain_hint", "acme.test")])).await;
            let callback = callback_of_bob(&mut browser, &page).await;
            // The caches of this node say that all is well; only the transaction can know better.
            world.app.run_statement(statement).await;
            let before = Evidence::now(&world.app).await;
            let end = browser.open(callback.as_str()).await;
            assert!(end.error().is_some() && end.location().is_none(), "{statement}: {}", end.body);
            assert_one_refusal(&world, &before, "sign_in").await;
            assert!(!browser.cookies_of("id.test").contains_key("__Host-session"));
        }
    }
}

on_both_databases! {
    async fn client_credentials_read_the_app_again(kind: Kind) {
        for (statement, back) in [
            (
                "UPDATE apps SET enabled = FALSE WHERE client_id = 'wiki'",
                "UPDATE apps SET enabled = TRUE WHERE client_id = 'wiki'",
            ),
            (
                "UPDATE organizations SET enabled = FALSE WHERE handle = 'globex'",
                "UPDATE organizations SET enabled = TRUE WHERE handle = 'globex'",
            ),
            (
                "UPDATE apps SET secret_hash = 'another' WHERE client_id = 'wiki'",
                "UPDATE apps SET secret_hash = (SELECT secret_hash FROM apps WHERE client_id = 'notes')",
            ),
        ] {
            let world = World::new(kind).await;
            keep_what_is_cached(&world).await;
            let grant = [("grant_type", "client_credentials")];
            assert_eq!(world.globex_app.token(&grant).await.0, 200);
            world.app.run_statement(statement).await;
            let before = Evidence::now(&world.app).await;
            let (status, answer) = world.globex_app.token(&grant).await;
            assert_eq!((status.as_u16(), &answer["error"]), (401, &"invalid_client".into()), "{statement} {answer}");
            let record = "token.client_credentials refused client_disabled";
            before.assert_only_refused(&world.app, &[record]).await;
            world.app.run_statement(back).await;
        }
    }
}

/// Repeats the request until the condition is true. The node reads the changes of other nodes each second; the
/// patience is far longer than that. Without the reading nothing would ever change, because the broker's clock stands
/// still.
async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..300 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the other node never forgets: {what}");
}

on_both_databases! {
    async fn another_node_forgets_what_was_changed_here(kind: Kind) {
        let world = World::new(kind).await;
        world.app.apply(&globex(&app_table("switched", ""))).await;
        let node = world.app.second_node().await;
        let there = RelyingApp { network: node.network.clone(), ..app_named(&world, "switched") };
        let open = async |url: &str| Browser::new(&node.network).open(url).await;
        // The other node knows the app, acme's names, and that initech does not exist.
        open(&there.authorize_url(&[])).await.expect(200, "sign-in");
        open("https://id.test/sso/acme").await.expect(200, "emulator-sign-in");
        assert_eq!(open("https://id.test/sso/initech").await.error().as_deref(), Some("unknown_domain"));
        let mut signed_in = Browser::new(&node.network);
        let end = by_password(&mut signed_in, &there, "gil").await;
        let tokens = tokens(&there, &end).await;

        world.app.apply(&globex(&app_table("switched", "enabled = false"))).await;
        eventually("a disabled app", async || {
            open(&there.authorize_url(&[])).await.error().as_deref() == Some("unknown_client")
        })
        .await;
        assert_eq!(there.userinfo(text(&tokens, "access_token")).await.0, 401);
        world.apply_with("", "enabled = false").await;
        eventually("a disabled connection", async || {
            open("https://id.test/sso/acme").await.error().as_deref() == Some("unknown_domain")
        })
        .await;
        let issuer = world.idp.as_str().trim_end_matches('/');
        world
            .app
            .apply(&format!(
                "[[organizations]]\nhandle = \"initech\"\nname = \"Initech\"\n[[organizations.connections]]\n\
                 handle = \"sso\"\nname = \"SSO\"\nissuer = \"{issuer}\"\nclient_id = \"countersign\"\n\
                 client_secret = \"idp-secret-0123456789\"\n"
            ))
            .await;
        eventually("a new organization", async || {
            open("https://id.test/sso/initech").await.url.as_str().starts_with(issuer)
        })
        .await;
    }
}

/// Opens an address while the statements of an open transaction block it.
async fn open_while(
    world: &World,
    browser: &Browser,
    url: &str,
    statements: &[&'static str],
) -> (Browser, Page) {
    let mut held = world.app.hold(statements).await;
    let (mut browser, url) = (browser.clone(), url.to_owned());
    let opened = tokio::spawn(async move {
        let page = browser.open(&url).await;
        (browser, page)
    });
    held.wait_for_the_broker().await;
    held.release().await;
    opened.await.unwrap()
}

on_both_databases! {
    async fn new_contact_data_does_not_undo_a_disabling(kind: Kind) {
        let world = World::new(kind).await;
        let first = tokens(&world.notes, &world.brokered(&mut world.browser()).await).await;
        let account = claims(text(&first, "id_token"))["sub"].as_str().unwrap().to_owned();
        // The provider has a new name to tell, so that the sign-in writes.
        world.app.run_statement("UPDATE accounts SET name = 'Old Name' WHERE username_key IS NULL").await;
        let mut browser = world.browser();
        let page = browser.open(&world.notes.authorize_url(&[("domain_hint", "acme.test")])).await;
        let callback = callback_of_bob(&mut browser, &page).await;
        let before = Evidence::now(&world.app).await;
        let disable = ["UPDATE accounts SET enabled = FALSE WHERE username_key IS NULL"];
        let (browser, end) = open_while(&world, &browser, callback.as_str(), &disable).await;
        assert_eq!(end.location_parameter("code"), None, "{:?}", end.location());
        assert!(!browser.cookies_of("id.test").contains_key("__Host-session"));
        assert_one_refusal(&world, &before, "sign_in").await;
        assert!(!world.app.broker.accounts.find_account(&account).await.unwrap().account.enabled);
    }
}

on_both_databases! {
    async fn a_password_that_is_changed_while_the_old_one_is_checked_opens_nothing(kind: Kind) {
        let world = World::new(kind).await;
        let other = "[[organizations.accounts]]\nusername = \"dora\"\npassword = \"Another7horse\"\n";
        world.app.apply(&globex(other)).await;
        // One wrong guess, so that there is a count which the next sign-in has to wait for.
        let mut browser = world.browser();
        let page = browser.open(&world.globex_app.authorize_url(&[])).await;
        let page = browser.press(&page, "sign-in", &[("username", "gil"), ("password", "Wrong7password")]).await;
        assert_eq!(page.error().as_deref(), Some("bad_credentials"));
        let before = Evidence::now(&world.app).await;
        let mut held = world
            .app
            .hold(&[
                "UPDATE guesses SET updated_at = updated_at",
                "UPDATE passwords SET hash = (SELECT p.hash FROM passwords p JOIN accounts a ON a.id = p.account_id \
                 WHERE a.username_key = 'dora') \
                 WHERE account_id = (SELECT id FROM accounts WHERE username_key = 'gil')",
            ])
            .await;
        let mut victim = browser.clone();
        let signing_in = tokio::spawn(async move {
            let fields = [("username", "gil"), ("password", PASSWORD)];
            (victim.press(&page, "sign-in", &fields).await, victim)
        });
        // By now the old hash has been read, and the count is waited for.
        held.wait_for_the_broker().await;
        held.release().await;
        let (end, victim) = signing_in.await.unwrap();
        assert_eq!(end.error().as_deref(), Some("bad_credentials"), "{:?} {}", end.location(), end.body);
        assert!(!victim.cookies_of("id.test").contains_key("__Host-session"));
        assert_one_refusal(&world, &before, "sign_in").await;
        if kind == Kind::Postgres {
            assert_eq!(world.app.refusals().await.last().map(String::as_str), Some("password_changed"));
        }
    }
}

on_both_databases! {
    async fn a_session_that_ends_during_a_request_grants_nothing(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        world.local(&mut browser).await;
        let before = Evidence::now(&world.app).await;
        let url = world.globex_app.authorize_url(&[]);
        let (mut browser, end) = open_while(&world, &browser, &url, &["UPDATE sessions SET ended_at = 1"]).await;
        assert_eq!(end.location_parameter("code"), None, "{:?}", end.location());
        let changes = before.changes(&world.app).await;
        assert!(changes.rows.is_empty(), "{changes:?}");
        if kind == Kind::Postgres {
            assert_eq!(changes.audit, ["authorize refused session_ended"]);
        }
        assert!(!is_signed_in(&mut browser).await);
    }
}

on_both_databases! {
    async fn a_silent_request_shows_nothing_even_when_its_session_ends_meanwhile(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        world.local(&mut browser).await;
        let before = Evidence::now(&world.app).await;
        let url = world.globex_app.authorize_url(&[("prompt", "none")]);
        let (_, end) = open_while(&world, &browser, &url, &["UPDATE sessions SET ended_at = 1"]).await;
        assert_eq!(error_at_app(&end).as_deref(), Some("login_required"), "{}", end.body);
        assert_one_refusal(&world, &before, "authorize").await;
    }
}

on_both_databases! {
    async fn a_browser_is_known_only_since_the_password_was_last_set(kind: Kind) {
        let world = World::new(kind).await;
        let gil = |password: &str| {
            globex(&format!(
                "[[organizations.accounts]]\nusername = \"gil\"\nemail = \"gil@globex.test\"\n\
                 email_verified = true\npassword = \"{password}\"\n"
            ))
        };
        let sign_in = async |browser: &mut Browser, password: &str| {
            let page = browser.open(&world.globex_app.authorize_url(&[("prompt", "login")])).await;
            browser.press(&page, "sign-in", &[("username", "gil"), ("password", password)]).await
        };
        let mut home = world.browser();
        world.globex_app.code(&sign_in(&mut home, PASSWORD).await);
        let guess = async || {
            let mut stranger = world.browser();
            for _ in 0..12 {
                sign_in(&mut stranger, "Wrong7password").await;
            }
            let stopped = sign_in(&mut stranger, "Wrong7password").await;
            assert_eq!(stopped.error().as_deref(), Some("too_many_attempts"));
        };
        guess().await;
        // Known: strangers do not lock it out.
        world.globex_app.code(&sign_in(&mut home, PASSWORD).await);
        world.app.clock.advance(Duration::from_mins(20));
        world.app.apply(&gil("Another7horse")).await;
        guess().await;
        // A user of this browser knew the old password, and now counts as a stranger.
        let counted = sign_in(&mut home, "Another7horse").await;
        assert_eq!(counted.error().as_deref(), Some("too_many_attempts"), "{:?}", counted.location());
        world.app.clock.advance(Duration::from_hours(2));
        world.globex_app.code(&sign_in(&mut home, "Another7horse").await);
        guess().await;
        world.globex_app.code(&sign_in(&mut home, "Another7horse").await);
    }
}
