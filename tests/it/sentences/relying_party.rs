//! What is demanded of a provider's answer, and when its state is spent.

use countersign::emulator::Vendor;
use serde_json::Value;
use url::Url;

use super::{
    acme, app_named, app_table, at_provider, callback_of_bob, error_at_app, globex, issuer_of,
    second_provider, text, tokens,
};
use crate::harness::app::TestApp;
use crate::harness::browser::Page;
use crate::harness::database::Kind;
use crate::harness::evidence::Evidence;
use crate::harness::relying_app::{RelyingApp, claims};
use crate::harness::world::{ACME_IDP, PASSWORD, World};
use crate::on_both_databases;

const AT_THE_SECOND: [(&str, &str); 1] = [("idp_hint", "acme-two")];

on_both_databases! {
    async fn only_an_email_in_a_domain_that_the_organization_owns_is_proven(kind: Kind) {
        let mut world = World::new(kind).await;
        second_provider(&mut world, Vendor::Okta, "vendor = \"okta\"").await;
        let routed = "domains = [{ name = \"*.acme.test\", connections = [\"acme-idp\", \"acme-two\"] }]\n";
        world.app.apply(&acme(routed)).await;
        // branch.acme.test lies under acme's wildcard, and yet it is globex's: the more specific owner counts.
        world.app.apply(&globex("domains = [{ name = \"branch.acme.test\" }]\n")).await;
        world.app.apply(&acme(&app_table("curious", "unproven_email = true"))).await;
        let curious = app_named(&world, "curious");
        for (person, email, proven) in [
            ("otto", "otto@office.acme.test", true),
            ("vic", "vic@outside.test", false),
            ("vera", "vera@branch.acme.test", false),
        ] {
            for app in [&world.notes, &curious] {
                let mut browser = world.browser();
                let page = browser.open(&app.authorize_url(&AT_THE_SECOND)).await;
                let end = at_provider(&mut browser, &page, person).await;
                let tokens = tokens(app, &end).await;
                let (_, about) = app.userinfo(text(&tokens, "access_token")).await;
                if proven || app.client_id == "curious" {
                    assert_eq!(about["email"], email, "{person} {about}");
                    assert_eq!(about["email_verified"], proven, "{person} {about}");
                } else {
                    assert!(about.get("email").is_none(), "{person} {about}");
                    assert!(about.get("email_verified").is_none(), "{person} {about}");
                }
            }
        }
    }
}

on_both_databases! {
    async fn a_connection_with_another_client_or_issuer_than_at_the_start_signs_nobody_in(kind: Kind) {
        let world = World::new(kind).await;
        let issuer = world.idp.as_str().trim_end_matches('/').to_owned();
        let changed = |issuer: &str, client: &str| {
            acme(&format!(
                "[[organizations.connections]]\nid = \"{ACME_IDP}\"\nhandle = \"acme-idp\"\nname = \"Acme SSO\"\n\
                 vendor = \"okta\"\nissuer = \"{issuer}\"\nclient_id = \"{client}\"\n\
                 client_secret = \"idp-secret-0123456789\"\n"
            ))
        };
        for document in [changed(&issuer, "another"), changed("https://another.test", "countersign")] {
            world.apply_with("", "").await;
            let mut browser = world.browser();
            let page = browser.open(&world.notes.authorize_url(&[("domain_hint", "acme.test")])).await;
            let callback = callback_of_bob(&mut browser, &page).await;
            world.app.apply(&document).await;
            let before = Evidence::now(&world.app).await;
            let end = browser.open(callback.as_str()).await;
            assert_eq!(end.error().as_deref(), Some("idp_answer_invalid"), "{}", end.body);
            before.assert_only_refused(&world.app, &["sign_in refused connection_changed"]).await;
        }
    }
}

/// The same callback with another answer of the provider in it.
fn with_answer(callback: &Url, name: &str, value: &str) -> String {
    let kept = callback
        .query_pairs()
        .filter(|(key, _)| key != "code")
        .map(|(k, v)| (k.into_owned(), v.into_owned()));
    let kept: Vec<_> = kept.collect();
    let mut url = callback.clone();
    url.query_pairs_mut().clear().extend_pairs(kept).append_pair(name, value);
    url.to_string()
}

on_both_databases! {
    async fn a_failed_answer_burns_the_state_too(kind: Kind) {
        let world = World::new(kind).await;
        for (name, value) in [
            ("code", "not-the-code"),
            ("error", "access_denied"),
            ("error", "invalid_request"),
            ("nothing", "at-all"),
        ] {
            let mut browser = world.browser();
            let page = browser.open(&world.notes.authorize_url(&[("domain_hint", "acme.test")])).await;
            let callback = callback_of_bob(&mut browser, &page).await;
            // What the browser keeps afterwards does not matter: the copy has its cookies.
            let mut copy = browser.clone();
            let failed = browser.open(&with_answer(&callback, name, value)).await;
            assert_eq!(failed.location_parameter("code"), None, "{name}={value}");
            let before = Evidence::now(&world.app).await;
            let good = copy.open(callback.as_str()).await;
            assert_eq!(good.error().as_deref(), Some("flow_finished"), "{name}={value}: {}", good.body);
            before.assert_only_refused(&world.app, &["sign_in refused state_spent"]).await;
        }
    }
}

on_both_databases! {
    async fn the_state_is_spent_before_the_provider_is_called(kind: Kind) {
        crate::harness::watch::expect_errors();
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let page = browser.open(&world.notes.authorize_url(&[("domain_hint", "acme.test")])).await;
        let callback = callback_of_bob(&mut browser, &page).await;
        world.app.run_statement("ALTER TABLE spent_flows RENAME TO spent_flows_gone").await;
        let failed = browser.clone().open(callback.as_str()).await;
        assert_eq!(failed.status, 503, "{}", failed.body);
        world.app.run_statement("ALTER TABLE spent_flows_gone RENAME TO spent_flows").await;
        // The provider takes a code once. It was not asked, so it takes this one now.
        let end = browser.open(callback.as_str()).await;
        world.notes.code(&end);
    }
}

on_both_databases! {
    async fn a_connection_proves_itself_by_a_key_that_anybody_can_fetch(kind: Kind) {
        let mut app = TestApp::new(kind).await;
        let connection = |issuer: &str| {
            acme(&format!(
                "[[organizations.connections]]\nid = \"{ACME_IDP}\"\nhandle = \"acme-idp\"\nname = \"Acme SSO\"\n\
                 vendor = \"okta\"\nissuer = \"{issuer}\"\nclient_id = \"countersign\"\nauth = \"private_key_jwt\"\n{}",
                app_table("keyed", "")
            ))
        };
        app.apply(&connection("https://idp.test")).await;
        let page = app.browser().open(&format!("https://id.test/sso/jwks/{ACME_IDP}")).await;
        let set: Value = serde_json::from_str(&page.body).unwrap();
        let keys = set["keys"].as_array().unwrap();
        assert_eq!((page.status.as_u16(), keys.len()), (200, 1), "{set}");
        assert!(keys[0]["kty"].is_string() && keys[0]["kid"].is_string(), "{set}");
        for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert!(keys[0].get(private).is_none(), "{private}");
        }
        // An identity provider that knows only this about the broker accepts it.
        let jwks = page.body.clone();
        let directory = format!(
            "[[clients]]\nclient_id = \"countersign\"\njwks = '{jwks}'\n\
             redirect_uris = [\"https://id.test/sso/callback/{ACME_IDP}\"]\n\
             [[users]]\nusername = \"bob\"\npassword = \"idp-password\"\nname = \"Bob\"\nemail = \"bob@acme.test\"\n"
        );
        let idp = app.emulate(Vendor::Okta, |_| directory).await;
        app.apply(&connection(&issuer_of(Vendor::Okta, &idp))).await;
        let secret = Some("keyed-secret-0123456789");
        let keyed = RelyingApp::new(&app.network, "keyed", secret, "https://keyed.test/callback");
        let mut browser = app.browser();
        let page = browser.open(&keyed.authorize_url(&[("idp_hint", "acme-idp")])).await;
        let end = at_provider(&mut browser, &page, "bob").await;
        keyed.code(&end);
    }
}

on_both_databases! {
    async fn without_auth_time_a_fresh_sign_in_is_one_only_where_that_can_be_known(kind: Kind) {
        // The emulated Entra ID says no auth_time.
        for (settings, fresh) in [
            ("vendor = \"generic\"", false),
            ("vendor = \"generic\"\ncapabilities = { honours_prompt_login = true }", true),
            ("vendor = \"generic\"\nfreshness = \"round_trip\"\nfreshness_until = \"2027-01-31\"", true),
        ] {
            let mut world = World::new(kind).await;
            second_provider(&mut world, Vendor::Entra, settings).await;
            let mut browser = world.browser();
            let page = browser.open(&world.notes.authorize_url(&AT_THE_SECOND)).await;
            let end = at_provider(&mut browser, &page, "bob").await;
            world.notes.code(&end);
            let mut asked = vec![("prompt", "login")];
            // Only prompt=login makes iat count: an age alone does not force a sign-in.
            if !settings.contains("honours") {
                asked.push(("max_age", "60"));
            }
            for wish in asked {
                let mut browser = world.browser();
                let page = browser.open(&world.notes.authorize_url(&[AT_THE_SECOND[0], wish])).await;
                let before = Evidence::now(&world.app).await;
                let end = at_provider(&mut browser, &page, "bob").await;
                if fresh {
                    world.notes.code(&end);
                } else {
                    assert_eq!(error_at_app(&end).as_deref(), Some("login_required"), "{wish:?} {}", end.body);
                    assert_at_app(&world, &end);
                    before.assert_only_refused(&world.app, &["sign_in refused id_token_auth_time_unknown"]).await;
                }
            }
        }
    }
}

on_both_databases! {
    async fn an_answer_that_counts_as_recent_by_a_waiver_alone_proves_nothing_for_sensitive_actions(kind: Kind) {
        let mut world = World::new(kind).await;
        let waived = "vendor = \"generic\"\nfreshness = \"round_trip\"\nfreshness_until = \"2027-01-31\"";
        second_provider(&mut world, Vendor::Entra, waived).await;
        let mut browser = world.browser();
        let demanded = [AT_THE_SECOND[0], ("prompt", "login")];
        let page = browser.open(&world.notes.authorize_url(&demanded)).await;
        let end = at_provider(&mut browser, &page, "bob").await;
        world.notes.code(&end);
        // The provider may have answered without asking the user, and cannot be made to prove that it asks.
        let page = browser.open("https://id.test/account/link").await;
        assert_eq!(page.error().as_deref(), Some("cannot_ask_anew"), "{}", page.body);
    }
}

fn assert_at_app(world: &World, end: &Page) {
    assert!(end.location().unwrap().as_str().starts_with(&world.notes.redirect_uri), "{:?}", end.location());
}

on_both_databases! {
    async fn a_providers_email_does_not_change_an_account_with_a_local_profile(kind: Kind) {
        let world = World::new(kind).await;
        let notes = &world.notes;
        let first = tokens(notes, &world.brokered(&mut world.browser()).await).await;
        let account = text(&claims(text(&first, "id_token")), "sub").to_owned();
        let email = async || {
            let tokens = tokens(notes, &world.brokered(&mut world.browser()).await).await;
            assert_eq!(claims(text(&tokens, "id_token"))["sub"], account.as_str());
            text(&notes.userinfo(text(&tokens, "access_token")).await.1, "email").to_owned()
        };
        // While the provider alone answers for the user, its word counts.
        world
            .app
            .run_statement(
                "UPDATE accounts SET email = 'old@acme.test', email_canonical = 'old@acme.test' \
                 WHERE username_key IS NULL",
            )
            .await;
        assert_eq!(email().await, "bob@acme.test");
        world
            .app
            .apply(&acme(&format!(
                "[[organizations.accounts]]\nid = \"{account}\"\nusername = \"robert\"\nemail = \"robert@acme.test\"\n\
                 email_verified = true\npassword = \"{PASSWORD}\"\n"
            )))
            .await;
        assert_eq!(email().await, "robert@acme.test");
    }
}
