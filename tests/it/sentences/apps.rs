//! What an app gets, for whom, signed how, and by which secret.

use countersign::crypto::jws::{select_key, verify};
use countersign::flows::manage::NewAccount;
use countersign::model::{Caller, Secret};
use countersign::protocol::jose::{CompactJws, JwkSet};
use serde_json::json;

use super::{
    app_named, app_table, assert_one_refusal, at_provider, by_password, error_at_app, globex, is_signed_in,
    refresh, text, tokens,
};
use crate::harness::database::Kind;
use crate::harness::evidence::Evidence;
use crate::harness::relying_app::{claims, token_header};
use crate::harness::world::{PASSWORD, World};
use crate::on_both_databases;

on_both_databases! {
    async fn an_audience_widens_whom_an_app_serves(kind: Kind) {
        let world = World::new(kind).await;
        let apps = [
            app_table("own", ""),
            app_table("shared", "audience = [\"acme\"]"),
            app_table("open", "audience = \"any\""),
        ];
        world.app.apply(&globex(&apps.concat())).await;
        world
            .app
            .apply(&format!(
                "[[organizations]]\nhandle = \"initech\"\nname = \"Initech\"\n[[organizations.accounts]]\n\
                 username = \"ida\"\npassword = \"{PASSWORD}\"\n"
            ))
            .await;
        let loner = NewAccount {
            organization: None,
            username: "loner".parse().unwrap(),
            email: None,
            administrator: false,
            password: Some(Secret::new(PASSWORD)),
        };
        world.app.broker.accounts.create_account(Caller::Operator(None), loner).await.unwrap();
        for (person, served) in [
            ("gil", ["own", "shared", "open"].as_slice()),
            ("carol", &["shared", "open"]),
            ("ida", &["open"]),
            ("loner", &["open"]),
        ] {
            for name in ["own", "shared", "open"] {
                let app = app_named(&world, name);
                let mut browser = world.browser();
                let end = by_password(&mut browser, &app, person).await;
                if served.contains(&name) {
                    let tokens = tokens(&app, &end).await;
                    let (_, about) = app.userinfo(text(&tokens, "access_token")).await;
                    assert_eq!(about["sub"], claims(text(&tokens, "id_token"))["sub"], "{person} at {name}");
                } else {
                    assert_eq!(error_at_app(&end).as_deref(), Some("access_denied"), "{person} at {name}");
                    assert!(!is_signed_in(&mut browser).await);
                }
            }
        }
        // And through a provider: the tokens name the user's organization, not the app's.
        let shared = app_named(&world, "shared");
        let mut browser = world.browser();
        let page = browser.open(&shared.authorize_url(&[("domain_hint", "acme.test")])).await;
        let brokered = tokens(&shared, &at_provider(&mut browser, &page, "bob").await).await;
        let own = tokens(&world.notes, &browser.open(&world.notes.authorize_url(&[])).await).await;
        let (brokered, own) = (claims(text(&brokered, "id_token")), claims(text(&own, "id_token")));
        assert_eq!((&brokered["org_id"], &brokered["connection"]), (&own["org_id"], &own["connection"]));
        // Narrowed again, it no longer serves accounts of acme.
        world.app.apply(&globex(&app_table("shared", ""))).await;
        let silent = browser.open(&shared.authorize_url(&[("prompt", "none")])).await;
        assert_eq!(error_at_app(&silent).as_deref(), Some("access_denied"));
    }
}

on_both_databases! {
    async fn resource_alone_may_come_several_times(kind: Kind) {
        let world = World::new(kind).await;
        let (api, files) = ("https://api.globex.test/", "https://files.globex.test/");
        world.app.apply(&globex(&app_table("rich", &format!("resources = [\"{api}\", \"{files}\"]")))).await;
        let rich = app_named(&world, "rich");
        let mut browser = world.browser();
        world.local(&mut browser).await;
        let both = [("resource", api), ("resource", files)];
        let tokens = tokens(&rich, &browser.open(&rich.authorize_url(&both)).await).await;
        assert_eq!(claims(text(&tokens, "access_token"))["aud"], json!([api, files]));
        for repeated in ["scope", "state", "nonce", "prompt", "code_challenge"] {
            let url = format!("{}&{repeated}=x", rich.authorize_url(&[("prompt", "none")]));
            let page = browser.open(&url).await;
            assert_eq!(error_at_app(&page).as_deref(), Some("invalid_request"), "{repeated} {:?}", page.location());
        }
        for repeated in ["client_id", "redirect_uri"] {
            let page = browser.open(&format!("{}&{repeated}=x", rich.authorize_url(&[]))).await;
            assert!(page.location().is_none() && page.error().is_some(), "{repeated} {:?}", page.location());
        }
    }
}

on_both_databases! {
    async fn tokens_are_signed_by_the_algorithms_of_the_app(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        world.local(&mut browser).await;
        for (id_token_alg, access_token_alg) in
            [("RS256", "ES256"), ("PS256", "EdDSA"), ("ES256", "PS256"), ("EdDSA", "RS256")]
        {
            let settings = format!("id_token_alg = \"{id_token_alg}\"\naccess_token_alg = \"{access_token_alg}\"");
            world.app.apply(&globex(&app_table("signed", &settings))).await;
            let signed = app_named(&world, "signed");
            let tokens = tokens(&signed, &browser.open(&signed.authorize_url(&[])).await).await;
            let published = browser.open("https://id.test/oauth2/jwks").await;
            let published = JwkSet::parse(published.body.as_bytes()).unwrap();
            for (name, alg) in [("id_token", id_token_alg), ("access_token", access_token_alg)] {
                assert_eq!(token_header(text(&tokens, name))["alg"], alg, "{name}");
                let jws = CompactJws::parse(text(&tokens, name), 16_384).unwrap();
                let alg = alg.parse().unwrap();
                let key = select_key(&published, jws.header(), alg).unwrap();
                assert_eq!(verify(&jws, alg, key), Ok(()), "{name} {alg}");
            }
            // The broker takes back what it signed.
            assert_eq!(signed.userinfo(text(&tokens, "access_token")).await.0, 200, "{access_token_alg}");
            let hint = [("id_token_hint", text(&tokens, "id_token")), ("prompt", "none")];
            signed.code(&browser.open(&signed.authorize_url(&hint)).await);
        }
    }
}

on_both_databases! {
    async fn two_secrets_of_an_app_overlap(kind: Kind) {
        let world = World::new(kind).await;
        let app = |secrets: &str| {
            globex(&format!(
                "[[organizations.apps]]\nclient_id = \"rolling\"\nname = \"Rolling\"\n{secrets}\n\
                 redirect_uris = [\"https://rolling.test/callback\"]\n"
            ))
        };
        let (old, new) = ("old-secret-0123456789", "new-secret-0123456789");
        let accepted = async |secret: &str| {
            let mut rolling = app_named(&world, "rolling");
            rolling.client_secret = Some(secret.to_owned());
            let (status, answer) = rolling.token(&[("grant_type", "client_credentials")]).await;
            assert!(status == 200 || answer["error"] == "invalid_client", "{answer}");
            status == 200
        };
        world.app.apply(&app(&format!("client_secret = \"{old}\""))).await;
        assert!(accepted(old).await && !accepted(new).await);
        world.app.apply(&app(&format!("client_secret = \"{old}\"\nnext_client_secret = \"{new}\""))).await;
        assert!(accepted(old).await && accepted(new).await && !accepted("other-secret-0123456789").await);
        world.app.apply(&app(&format!("client_secret = \"{new}\""))).await;
        assert!(!accepted(old).await && accepted(new).await);
    }
}

on_both_databases! {
    async fn client_credentials_come_with_a_secret_and_without_one_never(kind: Kind) {
        let world = World::new(kind).await;
        let grant = [("grant_type", "client_credentials")];
        // wiki says nothing of grant types; the other names others.
        assert_eq!(world.globex_app.token(&grant).await.0, 200);
        world.app.apply(&globex(&app_table("codes", "grant_types = [\"authorization_code\"]"))).await;
        let codes = app_named(&world, "codes");
        let (status, answer) = codes.token(&grant).await;
        assert_eq!(status, 200, "{answer}");
        assert!(answer.get("refresh_token").is_none() && answer.get("id_token").is_none(), "{answer}");
        // What is not implied stays refused.
        let (status, answer) = refresh(&codes, "any", &[]).await;
        assert_eq!((status, &answer["error"]), (400, &"unauthorized_client".into()), "{answer}");
        let public = "[[organizations.apps]]\nclient_id = \"phone\"\nname = \"Phone\"\n\
                      redirect_uris = [\"https://phone.test/callback\"]\n";
        world.app.apply(&globex(public)).await;
        let mut phone = app_named(&world, "phone");
        phone.client_secret = None;
        let (status, answer) = phone.token(&grant).await;
        assert_eq!((status.as_u16(), &answer["error"]), (400, &"unauthorized_client".into()), "{answer}");
    }
}

on_both_databases! {
    async fn a_disabled_organization_gets_nothing_and_gives_nothing(kind: Kind) {
        let world = World::new(kind).await;
        world.app.apply(&globex(&app_table("shared", "audience = [\"acme\"]"))).await;
        let shared = app_named(&world, "shared");
        let mut browser = world.browser();
        world.brokered(&mut browser).await;
        let tokens = tokens(&shared, &browser.open(&shared.authorize_url(&[])).await).await;
        world.apply_with("enabled = false", "").await;
        // Its apps are unknown, its names lead nowhere, its people are signed out and sign in nowhere.
        let page = browser.open(&world.notes.authorize_url(&[])).await;
        assert!(page.location().is_none(), "{:?}", page.location());
        assert_eq!(page.error().as_deref(), Some("unknown_client"));
        assert_eq!(world.notes.token(&[("grant_type", "client_credentials")]).await.1["error"], "invalid_client");
        for name in ["acme", "acme.test"] {
            let page = world.browser().open(&format!("https://id.test/sso/{name}")).await;
            assert_eq!(page.error().as_deref(), Some("unknown_domain"), "{name}");
        }
        assert!(!is_signed_in(&mut browser).await);
        assert_eq!(shared.userinfo(text(&tokens, "access_token")).await.0, 401);
        assert_eq!(refresh(&shared, text(&tokens, "refresh_token"), &[]).await.1["error"], "invalid_grant");
        let before = Evidence::now(&world.app).await;
        let refused = by_password(&mut world.browser(), &shared, "carol").await;
        assert_eq!(refused.location_parameter("code"), None);
        assert_one_refusal(&world, &before, "sign_in").await;
    }
}

on_both_databases! {
    async fn a_disabled_app_gets_nothing(kind: Kind) {
        let world = World::new(kind).await;
        world.app.apply(&globex(&app_table("switched", ""))).await;
        let switched = app_named(&world, "switched");
        let mut browser = world.browser();
        world.local(&mut browser).await;
        let end = browser.open(&switched.authorize_url(&[])).await;
        let tokens = tokens(&switched, &end).await;
        let waiting = world.browser();
        let mut half_way = waiting.clone();
        let page = half_way.open(&switched.authorize_url(&[])).await;
        world.app.apply(&globex(&app_table("switched", "enabled = false"))).await;
        let refused = browser.open(&switched.authorize_url(&[])).await;
        assert!(refused.location().is_none(), "{:?}", refused.location());
        assert_eq!(refused.error().as_deref(), Some("unknown_client"));
        let late = half_way.press(&page, "sign-in", &[("username", "gil"), ("password", PASSWORD)]).await;
        assert_eq!(late.location_parameter("code"), None, "{:?}", late.location());
        assert_eq!(refresh(&switched, text(&tokens, "refresh_token"), &[]).await.1["error"], "invalid_client");
        assert_eq!(switched.userinfo(text(&tokens, "access_token")).await.0, 401);
        // No other app is affected.
        world.globex_app.code(&browser.open(&world.globex_app.authorize_url(&[])).await);
        world.app.apply(&globex(&app_table("switched", ""))).await;
        switched.code(&browser.open(&switched.authorize_url(&[])).await);
    }
}

on_both_databases! {
    async fn what_an_app_may_ask_for_no_longer_is_taken_from_what_it_was_granted(kind: Kind) {
        let world = World::new(kind).await;
        world.app.apply(&globex(&app_table("greedy", ""))).await;
        let greedy = app_named(&world, "greedy");
        let mut browser = world.browser();
        let first = tokens(&greedy, &by_password(&mut browser, &greedy, "gil").await).await;
        assert!(greedy.userinfo(text(&first, "access_token")).await.1["email"].is_string());
        let code = greedy.code(&browser.open(&greedy.authorize_url(&[])).await);
        world.app.apply(&globex(&app_table("greedy", "scopes = [\"openid\"]"))).await;
        // In tokens that it has, that it renews, and that a code brings.
        let (status, about) = greedy.userinfo(text(&first, "access_token")).await;
        assert!(status == 200 && about.get("email").is_none(), "{about}");
        let (status, renewed) = refresh(&greedy, text(&first, "refresh_token"), &[]).await;
        assert_eq!((status, &renewed["scope"]), (200, &"openid".into()), "{renewed}");
        let (status, late) = greedy.redeem(&code).await;
        assert_eq!((status.as_u16(), &late["scope"]), (200, &"openid".into()), "{late}");
        for tokens in [&renewed, &late] {
            assert!(claims(text(tokens, "id_token")).get("email").is_none());
            assert!(greedy.userinfo(text(tokens, "access_token")).await.1.get("email").is_none());
        }
    }
}

on_both_databases! {
    async fn a_consent_sends_nothing_to_an_address_that_was_taken_from_the_app(kind: Kind) {
        let world = World::new(kind).await;
        world.app.apply(&globex(&app_table("polite", "consent = \"explicit\""))).await;
        let polite = app_named(&world, "polite");
        let mut browser = world.browser();
        let page = by_password(&mut browser, &polite, "gil").await;
        page.expect(200, "consent-allow");
        let moved = app_table("polite", "consent = \"explicit\"").replace("/callback", "/elsewhere");
        world.app.apply(&globex(&moved)).await;
        for button in ["consent-allow", "consent-deny"] {
            let before = Evidence::now(&world.app).await;
            let end = browser.clone().press(&page, button, &[]).await;
            assert!(end.location().is_none(), "{button} {:?}", end.location());
            assert_eq!(end.error().as_deref(), Some("redirect_uri_mismatch"), "{button}");
            before.assert_only_refused(&world.app, &["consent refused redirect_uri_withdrawn"]).await;
        }
    }
}
