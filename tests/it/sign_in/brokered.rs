//! App → broker → provider → broker → app.

use http::StatusCode;

use crate::harness::database::Kind;
use crate::harness::relying_app::{claims, token_header};
use crate::harness::world::{ACME_IDP, World};
use crate::on_both_databases;

on_both_databases! {
    async fn an_app_gets_tokens_for_somebody_of_another_provider(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let end = world.brokered(&mut browser).await;
        let (status, tokens) = world.notes.redeem(&world.notes.code(&end)).await;
        assert_eq!(status, StatusCode::OK, "{tokens}");
        let id_token = claims(tokens["id_token"].as_str().unwrap());
        assert_eq!(id_token["iss"], "https://id.test");
        assert_eq!(id_token["aud"], "notes");
        assert_eq!(id_token["nonce"], "the-nonce");
        assert_eq!(id_token["connection"], ACME_IDP);
        assert!(id_token["sub"].as_str().unwrap().starts_with("acc_"));
        assert!(id_token["org_id"].as_str().unwrap().starts_with("org_"));
        let access_token = tokens["access_token"].as_str().unwrap();
        assert_eq!(token_header(access_token)["typ"], "at+jwt");
        assert_eq!(token_header(access_token)["alg"], "ES256");
        assert_eq!(token_header(tokens["id_token"].as_str().unwrap())["alg"], "RS256");
        let (status, person) = world.notes.userinfo(access_token).await;
        assert_eq!(status, StatusCode::OK, "{person}");
        assert_eq!(person["sub"], id_token["sub"]);
        assert_eq!(person["email"], "bob@acme.test");
        assert_eq!(person["email_verified"], true);
        assert_eq!(person["name"], "Bob Berger");
    }
}

on_both_databases! {
    async fn the_second_sign_in_is_the_same_account(kind: Kind) {
        let world = World::new(kind).await;
        let mut subjects = Vec::new();
        for _ in 0..2 {
            let mut browser = world.browser();
            let end = world.brokered(&mut browser).await;
            let (_, tokens) = world.notes.redeem(&world.notes.code(&end)).await;
            subjects.push(claims(tokens["id_token"].as_str().unwrap())["sub"].clone());
        }
        assert_eq!(subjects[0], subjects[1]);
        let created = world.app.audit().await.into_iter().filter(|record| record.action == "account.create");
        assert_eq!(created.filter(|record| record.connection.is_some()).count(), 1);
    }
}

on_both_databases! {
    async fn an_email_that_another_account_has_links_nothing(kind: Kind) {
        let world = World::new(kind).await;
        // Another user registered bob's address with a password before bob came.
        world
            .app
            .apply(
                "[[organizations]]\nhandle = \"acme\"\nname = \"Acme\"\n[[organizations.accounts]]\n\
                 username = \"squatter\"\nemail = \"bob@acme.test\"\npassword = \"Correct7horse\"\n",
            )
            .await;
        let mut browser = world.browser();
        let end = world.brokered(&mut browser).await;
        let (_, tokens) = world.notes.redeem(&world.notes.code(&end)).await;
        let bob = claims(tokens["id_token"].as_str().unwrap())["sub"].clone();
        let mut other = world.browser();
        let page = other.open(&world.notes.authorize_url(&[])).await;
        let fields = [("username", "squatter"), ("password", "Correct7horse")];
        let end = other.press(&page, "sign-in", &fields).await;
        let (_, tokens) = world.notes.redeem(&world.notes.code(&end)).await;
        assert_ne!(claims(tokens["id_token"].as_str().unwrap())["sub"], bob);
    }
}

on_both_databases! {
    async fn without_new_accounts_nobody_new_comes_in(kind: Kind) {
        let world = World::with(kind, "", "new_accounts = false").await;
        let mut browser = world.browser();
        let end = world.brokered(&mut browser).await;
        end.expect(403, "error").expect(403, "receipt");
        assert_eq!(end.error().as_deref(), Some("no_account"));
        assert_eq!(world.app.refusals().await, ["new_accounts_off"]);
    }
}

on_both_databases! {
    async fn a_callback_works_once(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let page = browser.open(&world.notes.authorize_url(&[("domain_hint", "acme.test")])).await;
        let fields = [("username", "bob"), ("password", "idp-password")];
        let callback = browser.press_only(&page, "emulator-sign-in", &fields).await.location().unwrap();
        let mut copy = browser.clone();
        let first = browser.open(callback.as_str()).await;
        assert!(first.location().is_some(), "{}", first.body);
        let second = copy.open(callback.as_str()).await;
        assert_eq!(second.error().as_deref(), Some("flow_finished"));
        assert_eq!(world.app.refusals().await, ["state_spent"]);
    }
}

on_both_databases! {
    async fn a_callback_in_another_browser_signs_nobody_in(kind: Kind) {
        let world = World::new(kind).await;
        let mut victim = world.browser();
        let page = victim.open(&world.notes.authorize_url(&[("domain_hint", "acme.test")])).await;
        let fields = [("username", "bob"), ("password", "idp-password")];
        let callback = victim.press_only(&page, "emulator-sign-in", &fields).await.location().unwrap();
        let mut attacker = world.browser();
        let page = attacker.open(callback.as_str()).await;
        assert_eq!(page.error().as_deref(), Some("flow_expired"));
        assert!(attacker.cookies_of("id.test").is_empty());
        assert_eq!(world.app.refusals().await, ["state_of_another_browser"]);
        // A foreign attempt spends nothing: the victim's own callback still works.
        let end = victim.open(callback.as_str()).await;
        assert!(end.location_parameter("code").is_some(), "{}", end.body);
    }
}

on_both_databases! {
    async fn a_provider_that_answers_elsewhere_is_refused(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let page = browser.open(&world.notes.authorize_url(&[("domain_hint", "acme.test")])).await;
        let fields = [("username", "bob"), ("password", "idp-password")];
        let callback = browser.press_only(&page, "emulator-sign-in", &fields).await.location().unwrap();
        let other = callback.as_str().replace(ACME_IDP, crate::harness::world::ACME_OTHER);
        let page = browser.open(&other).await;
        assert_eq!(page.error().as_deref(), Some("idp_answer_invalid"));
        assert_eq!(world.app.refusals().await, ["state_mismatch"]);
        let wrong_iss = browser.clone().open(&callback.as_str().replace("iss=", "iss=x")).await;
        assert_eq!(wrong_iss.error().as_deref(), Some("idp_answer_invalid"));
    }
}

on_both_databases! {
    async fn a_callback_by_form_post_is_posted_again_from_our_own_origin(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let page = browser.open(&world.notes.authorize_url(&[("domain_hint", "acme.test")])).await;
        let fields = [("username", "bob"), ("password", "idp-password")];
        let callback = browser.press_only(&page, "emulator-sign-in", &fields).await.location().unwrap();
        let mut bare = callback.clone();
        bare.set_query(None);
        let mut without_cookies = world.browser();
        let body = callback.query().unwrap().to_owned();
        let method = http::Method::POST;
        let repost =
            without_cookies.request(method, &bare, Some(body), "cross-site", Some("https://idp.test")).await;
        repost.expect(200, "continue");
        let end = browser.press(&repost, "continue", &[]).await;
        assert!(end.location_parameter("code").is_some(), "{} {}", end.status, end.body);
    }
}

on_both_databases! {
    async fn the_providers_own_error_reaches_the_app_as_the_standard_says(kind: Kind) {
        let world = World::new(kind).await;
        for (error, expected) in [
            ("access_denied", Some("access_denied")),
            ("login_required", Some("login_required")),
            ("temporarily_unavailable", Some("temporarily_unavailable")),
            ("invalid_scope", None),
            ("<script>alert(1)</script>", None),
        ] {
            let mut browser = world.browser();
            let start = world.notes.authorize_url(&[("domain_hint", "acme.test")]);
            let first = browser
                .request(http::Method::GET, &start.parse().unwrap(), None, "none", None)
                .await
                .location()
                .unwrap();
            let state = first.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
            let issuer = world.idp.as_str().trim_end_matches('/');
            let callback = url::Url::parse_with_params(
                &format!("https://id.test/sso/callback/{ACME_IDP}"),
                [("state", state.as_str()), ("error", error), ("iss", issuer), ("error_description", "<b>x</b>")],
            )
            .unwrap();
            let end = browser.open(callback.as_str()).await;
            match expected {
                Some(code) => assert_eq!(end.location_parameter("error").as_deref(), Some(code), "{}", end.body),
                None => {
                    assert_eq!(end.error().as_deref(), Some("idp_refused"), "{error}");
                    assert!(!end.body.contains("<b>") && !end.body.contains("<script>alert"), "{}", end.body);
                }
            }
        }
    }
}

on_both_databases! {
    async fn a_connection_disabled_meanwhile_signs_nobody_in(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let page = browser.open(&world.notes.authorize_url(&[("domain_hint", "acme.test")])).await;
        let fields = [("username", "bob"), ("password", "idp-password")];
        let callback = browser.press_only(&page, "emulator-sign-in", &fields).await.location().unwrap();
        let issuer = world.idp.as_str().trim_end_matches('/');
        world
            .app
            .apply(&format!(
                "[[organizations]]\nhandle = \"acme\"\nname = \"Acme\"\n[[organizations.connections]]\n\
                 handle = \"acme-idp\"\nname = \"Acme SSO\"\nvendor = \"okta\"\nissuer = \"{issuer}\"\n\
                 client_id = \"countersign\"\nenabled = false\n"
            ))
            .await;
        let end = browser.open(callback.as_str()).await;
        assert_eq!(end.error().as_deref(), Some("connection_disabled"), "{}", end.body);
        assert!(!browser.cookies_of("id.test").contains_key("__Host-session"));
    }
}
