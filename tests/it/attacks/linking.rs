//! Linking, whole, against a provider whose every byte is the attacker's: rows 1, 2, 3, 5, 16 and 17. Rows 4, 10, 11 and
//! 12 are tested where linking is (`tests/it/linking`), since they speak of both sides.

use countersign::model::Caller;
use serde_json::{Value, json};

use crate::harness::beta::Beta;
use crate::harness::browser::{Browser, Page};
use crate::harness::database::Kind;
use crate::harness::evidence::Evidence;
use crate::harness::hostile::Forgery;
use crate::harness::relying_app::claims;
use crate::harness::world::PASSWORD;
use crate::on_both_databases;

/// Beta allows linking, and a user has an account there with a password, which the operator created.
async fn beta(kind: Kind, connection: &str, email: &str) -> Beta {
    let beta = Beta::with(kind, connection).await;
    let account = format!(
        "[[organizations]]\nhandle = \"beta\"\nname = \"Beta\"\nlinking = true\n[[organizations.accounts]]\n\
         username = \"victoria\"\nemail = \"{email}\"\nemail_verified = true\nname = \"Victoria Vale\"\n\
         password = \"{PASSWORD}\"\nroles = [\"administrator\"]\n"
    );
    beta.world.app.apply(&account).await;
    beta
}

/// A first sign-in as that subject, with what a change makes of the answer.
async fn arrive(beta: &Beta, browser: &mut Browser, sub: String, change: fn(&mut Forgery)) -> Page {
    beta.idp.forge(move |f| {
        f.claims["sub"] = json!(sub);
        f.userinfo["sub"] = json!(sub);
        change(f);
    });
    beta.sign_in(browser).await
}

/// The page names no account, and no user is signed in.
fn assert_names_nobody(page: &Page, browser: &Browser, name: &str) {
    let shown = &page.expect(200, "link-accounts").body;
    assert!(!page.has("link-1"), "{name}: {shown}");
    for word in ["victoria", "v•••a", "Victoria", "Vale", "administrator"] {
        assert!(!shown.contains(word), "{name}: {word} in {shown}");
    }
    assert!(!browser.cookies_of("id.test").contains_key("__Host-session"), "{name}");
}

/// The user goes on without linking, to an account of their own; the claims that the app is told.
async fn go_on_apart(beta: &Beta, browser: &mut Browser, page: &Page) -> Value {
    let page = browser.press(page, "link-skip", &[]).await;
    told(beta, &page).await
}

/// The claims that the app is told at the end of a sign-in.
async fn told(beta: &Beta, page: &Page) -> Value {
    let (status, tokens) = beta.board.redeem(&beta.board.code(page)).await;
    assert_eq!(status, 200, "{tokens}");
    claims(tokens["id_token"].as_str().unwrap())
}

/// The victim's account, as the operator sees it, and that it has its password alone.
async fn assert_untouched(beta: &Beta, name: &str) -> String {
    let view = beta.world.app.broker.accounts.find_account("victoria").await.unwrap();
    assert_eq!(view.profiles, ["password"], "{name}");
    view.account.id.to_string()
}

/// A name, and what the provider changes of its answer.
type Variant = (&'static str, fn(&mut Forgery));

/// None of these ways to assert the victim's email shows or gives anything of hers.
async fn assert_each_is_apart(beta: &Beta, ways: &[Variant]) {
    for (number, (name, change)) in ways.iter().enumerate() {
        let before = Evidence::now(&beta.world.app).await;
        let mut browser = beta.browser();
        let page = arrive(beta, &mut browser, format!("sub-{number}"), *change).await;
        // Without an address that is one, there is nothing by which others could be looked for.
        let is_asked = page.has("link-accounts");
        let claims = if is_asked {
            assert_names_nobody(&page, &browser, name);
            let rows = before.changes(&beta.world.app).await.rows;
            assert!(!rows.contains_key("sessions") && !rows.contains_key("profiles"), "{name}: {rows:?}");
            go_on_apart(beta, &mut browser, &page).await
        } else {
            told(beta, &page).await
        };
        let victim = assert_untouched(beta, name).await;
        assert_ne!(claims["sub"], victim, "{name}");
        assert!(claims.get("email").is_none(), "{name}: an unproven email is told to no app: {claims}");
        let tables =
            ["account_roles", "accounts", "codes", "grants", "profiles", "refresh_tokens", "sessions"];
        let mut rows = tables.map(|table| (table, 1)).to_vec();
        rows.extend(is_asked.then_some(("interactions", 1)));
        let mut records = vec!["account.create done", "authorize done", "sign_in done", "token.code done"];
        records.extend(is_asked.then_some(["link.offer done", "link.skip done"]).into_iter().flatten());
        let records: Vec<_> = records.into_iter().map(|record| (record, 1)).collect();
        before.assert_exactly(&beta.world.app, &rows, &records).await;
    }
}

on_both_databases! {
    async fn row_01_a_provider_asserts_the_victims_email_and_does_not_vouch_for_it(kind: Kind) {
        let beta = beta(kind, "", "victoria@beta.test").await;
        assert_each_is_apart(
            &beta,
            &[
                ("absent", |f| {
                    f.claims["email"] = json!("victoria@beta.test");
                    f.without("email_verified");
                }),
                ("false", |f| {
                    f.claims["email"] = json!("victoria@beta.test");
                    f.claims["email_verified"] = json!(false);
                }),
                ("null", |f| {
                    f.claims["email"] = json!("victoria@beta.test");
                    f.claims["email_verified"] = Value::Null;
                }),
                ("as preferred_username and upn alone", |f| {
                    f.without("email");
                    f.userinfo.as_object_mut().unwrap().remove("email");
                    f.claims["preferred_username"] = json!("victoria@beta.test");
                    f.claims["upn"] = json!("victoria@beta.test");
                }),
            ],
        )
        .await;
    }
}

on_both_databases! {
    async fn row_02_only_the_boolean_true_inside_the_own_domains_names_anybody(kind: Kind) {
        let beta = beta(kind, "", "victoria@beta.test").await;
        assert_each_is_apart(
            &beta,
            &[
                ("a word", |f| {
                    f.claims["email"] = json!("victoria@beta.test");
                    f.claims["email_verified"] = json!("true");
                }),
                ("a number", |f| {
                    f.claims["email"] = json!("victoria@beta.test");
                    f.claims["email_verified"] = json!(1);
                }),
                ("yes", |f| {
                    f.claims["email"] = json!("victoria@beta.test");
                    f.claims["email_verified"] = json!("yes");
                }),
                ("a list", |f| {
                    f.claims["email"] = json!("victoria@beta.test");
                    f.claims["email_verified"] = json!([true]);
                }),
            ],
        )
        .await;
        // The same with the boolean: she is offered her own account, and still no user is signed in.
        let before = Evidence::now(&beta.world.app).await;
        let mut browser = beta.browser();
        let honest = |f: &mut Forgery| f.claims["email"] = json!("victoria@beta.test");
        let page = arrive(&beta, &mut browser, "honest".to_owned(), honest).await;
        assert!(page.expect(200, "link-accounts").has("link-1"), "{}", page.body);
        assert!(!browser.cookies_of("id.test").contains_key("__Host-session"));
        assert_untouched(&beta, "the boolean").await;
        before.assert_exactly(&beta.world.app, &[("interactions", 1)], &[("link.offer done", 1)]).await;
    }
}

on_both_databases! {
    async fn row_02_the_boolean_outside_the_own_domains_names_nobody(kind: Kind) {
        let beta = beta(kind, "", "victoria@elsewhere.test").await;
        assert_each_is_apart(&beta, &[("another domain", |f| f.claims["email"] = json!("victoria@elsewhere.test"))]).await;
    }
}

on_both_databases! {
    async fn row_03_an_id_token_and_userinfo_about_two_people(kind: Kind) {
        let beta = beta(kind, "always_userinfo = true", "victoria@beta.test").await;
        assert_each_is_apart(
            &beta,
            &[
                ("verified in one, the email in the other", |f| {
                    f.without("email");
                    f.userinfo = json!({ "sub": f.claims["sub"], "email": "victoria@beta.test" });
                }),
                ("the email in one, verified in the other", |f| {
                    f.claims["email"] = json!("victoria@beta.test");
                    f.without("email_verified");
                    f.userinfo = json!({ "sub": f.claims["sub"], "email_verified": true });
                }),
                ("two emails", |f| {
                    f.userinfo = json!({ "sub": f.claims["sub"], "email": "victoria@beta.test", "email_verified": true });
                }),
            ],
        )
        .await;
        let before = Evidence::now(&beta.world.app).await;
        let mut browser = beta.browser();
        let other = |f: &mut Forgery| {
            f.userinfo = json!({ "sub": "somebody else", "email": "victoria@beta.test", "email_verified": true });
        };
        let page = arrive(&beta, &mut browser, "two people".to_owned(), other).await;
        assert_eq!(page.error().as_deref(), Some("idp_answer_invalid"), "{}", page.body);
        before.assert_only_refused(&beta.world.app, &["sign_in refused userinfo_sub_mismatch"]).await;
    }
}

on_both_databases! {
    async fn row_05_an_account_made_beforehand_with_the_victims_email(kind: Kind) {
        // The attacker knows the password of `victoria`; the victim comes through her own provider.
        let beta = beta(kind, "", "victoria@beta.test").await;
        let before = Evidence::now(&beta.world.app).await;
        let mut victim = beta.browser();
        let honest = |f: &mut Forgery| f.claims["email"] = json!("victoria@beta.test");
        let page = arrive(&beta, &mut victim, "victim".to_owned(), honest).await;
        page.expect(200, "link-accounts");
        let own = go_on_apart(&beta, &mut victim, &page).await;
        assert_untouched(&beta, "kept apart").await;
        let mut attacker = beta.browser();
        let page = attacker.open(&beta.board.authorize_url(&[])).await;
        let page = attacker.press(&page, "sign-in", &[("username", "victoria"), ("password", PASSWORD)]).await;
        let theirs = told(&beta, &page).await;
        assert_ne!(theirs["sub"], own["sub"], "the attacker's password opens the attacker's account alone");
        // Nor does the attacker reach the victim's identity from their own page without her provider's word.
        let page = attacker.open("https://id.test/account").await;
        assert!(!page.body.contains("Beta SSO"), "{}", page.body);
        // She comes again: she is not asked again, and her account is still hers alone.
        let end = beta.sign_in(&mut beta.browser()).await;
        assert_eq!(told(&beta, &end).await["sub"], own["sub"]);
        let rows = [
            ("account_roles", 1),
            ("accounts", 1),
            ("codes", 3),
            ("grants", 3),
            ("interactions", 1),
            ("profiles", 1),
            ("refresh_tokens", 3),
            ("sessions", 3),
        ];
        let records = [
            ("account.create done", 1),
            ("authorize done", 3),
            ("link.offer done", 1),
            ("link.skip done", 1),
            ("sign_in done", 3),
            ("token.code done", 3),
        ];
        before.assert_exactly(&beta.world.app, &rows, &records).await;
    }
}

on_both_databases! {
    async fn row_16_addresses_that_only_look_alike_are_not_the_same(kind: Kind) {
        let beta = beta(kind, "", "kissf@beta.test").await;
        assert_each_is_apart(
            &beta,
            &[
                ("a Kelvin sign", |f| f.claims["email"] = json!("\u{212a}issf@beta.test")),
                ("a long s", |f| f.claims["email"] = json!("ki\u{17f}sf@beta.test")),
                ("a dotless i", |f| f.claims["email"] = json!("k\u{131}ssf@beta.test")),
                ("a sharp s", |f| f.claims["email"] = json!("ki\u{df}f@beta.test")),
                ("a full-width letter", |f| f.claims["email"] = json!("\u{ff4b}issf@beta.test")),
                ("a dot more", |f| f.claims["email"] = json!("ki.ssf@beta.test")),
                ("a tag more", |f| f.claims["email"] = json!("kissf+x@beta.test")),
                ("a Cyrillic letter in the domain", |f| f.claims["email"] = json!("kissf@bet\u{430}.test")),
            ],
        )
        .await;
    }
}

on_both_databases! {
    async fn row_17_what_is_no_plain_address_is_nobodys(kind: Kind) {
        let beta = beta(kind, "", "victoria@beta.test").await;
        assert_each_is_apart(
            &beta,
            &[
                ("two at signs", |f| f.claims["email"] = json!("victoria@beta.test@evil.test")),
                ("another at sign before", |f| f.claims["email"] = json!("a@evil.test@beta.test")),
                ("quotes", |f| f.claims["email"] = json!("\"victoria\"@beta.test")),
                ("an encoded word", |f| f.claims["email"] = json!("=?utf-8?q?victoria?=@beta.test")),
                ("a line break", |f| f.claims["email"] = json!("victoria@beta.test\r\nBcc: mallory@evil.test")),
                ("a comment", |f| f.claims["email"] = json!("victoria(x)@beta.test")),
                ("a list of addresses", |f| f.claims["email"] = json!("victoria@beta.test,mallory@evil.test")),
                ("a name before", |f| f.claims["email"] = json!("Victoria <victoria@beta.test>")),
            ],
        )
        .await;
        // No database keeps a NUL in a text, so such an answer is none.
        let before = Evidence::now(&beta.world.app).await;
        let with_nul = |f: &mut Forgery| f.claims["email"] = json!("victoria@beta.test\u{0}");
        let page = arrive(&beta, &mut beta.browser(), "nul".to_owned(), with_nul).await;
        assert_eq!(page.error().as_deref(), Some("idp_answer_invalid"), "{}", page.body);
        assert!(before.changes(&beta.world.app).await.rows.is_empty());
        for wrong in ["a@evil@corp.com", "=?utf-8?q?a?=@b.test", "\\\"a\\\"@b.test", "a@b.test\\r\\nBcc: c@d.test"] {
            let document = format!(
                "[[organizations]]\nhandle = \"beta\"\nname = \"Beta\"\n[[organizations.accounts]]\nusername = \"new\"\n\
                 email = \"{wrong}\"\n"
            );
            let files = [("test.toml".to_owned(), document)];
            let error = beta.world.app.broker.organizations.apply(Caller::Operator(None), &files, false).await.unwrap_err().to_string();
            assert!(error.contains("test.toml:6") && error.contains("email"), "{wrong}: {error}");
        }
    }
}
