//! What a completed sign-in is held to: the way and the user that the app asked for.

use http::Method;

use crate::harness::app::TestApp;
use crate::harness::database::Kind;
use crate::harness::relying_app::RelyingApp;
use crate::harness::world::{ACME_IDP, PASSWORD, World};
use crate::on_both_databases;

/// An app of acme that takes only people who come through acme's provider.
async fn strict_app(world: &World) -> RelyingApp {
    world
        .app
        .apply(
            "[[organizations]]\nhandle = \"acme\"\nname = \"Acme\"\n[[organizations.apps]]\nclient_id = \"strict\"\n\
             name = \"Strict\"\nclient_secret = \"strict-secret-0123456789\"\nconnections = [\"acme-idp\"]\n\
             redirect_uris = [\"https://strict.acme.test/callback\"]\n",
        )
        .await;
    let secret = Some("strict-secret-0123456789");
    RelyingApp::new(&world.app.network, "strict", secret, "https://strict.acme.test/callback")
}

on_both_databases! {
    async fn a_password_does_not_open_an_app_that_wants_the_provider(kind: Kind) {
        let world = World::new(kind).await;
        let strict = strict_app(&world).await;
        let mut browser = world.browser();
        let to_provider = browser
            .request(Method::GET, &strict.authorize_url(&[]).parse().unwrap(), None, "none", None)
            .await;
        assert!(to_provider.location().unwrap().as_str().starts_with(world.idp.as_str()));
        let mut local = world.browser();
        let page = local.open(&world.notes.authorize_url(&[])).await;
        let fields = [("username", "carol"), ("password", PASSWORD)];
        world.notes.code(&local.press(&page, "sign-in", &fields).await);
        let silent = local.open(&strict.authorize_url(&[("prompt", "none")])).await;
        assert_eq!(silent.location_parameter("error").as_deref(), Some("login_required"));
        let mut brokered = world.browser();
        let page = brokered.open(&strict.authorize_url(&[])).await;
        strict.code(&world.sign_in_at_provider(&mut brokered, &page).await);
        // With two providers to choose from, the page has the password form too; it leads nowhere for this app.
        let issuer = world.idp.as_str().trim_end_matches('/');
        world
            .app
            .apply(&format!(
                "[[organizations]]\nhandle = \"acme\"\nname = \"Acme\"\n[[organizations.connections]]\n\
                 handle = \"acme-two\"\nname = \"Acme Two\"\nvendor = \"okta\"\nissuer = \"{issuer}\"\n\
                 client_id = \"countersign-2\"\nclient_secret = \"idp-secret-2-0123456789\"\n\
                 [[organizations.apps]]\nclient_id = \"strict\"\nname = \"Strict\"\n\
                 client_secret = \"strict-secret-0123456789\"\nconnections = [\"acme-idp\", \"acme-two\"]\n\
                 redirect_uris = [\"https://strict.acme.test/callback\"]\n"
            ))
            .await;
        let mut bypass = world.browser();
        let page = bypass.open(&strict.authorize_url(&[])).await;
        page.expect(200, "connection-acme-idp").expect(200, "sign-in");
        let end = bypass.press(&page, "sign-in", &fields).await;
        assert_eq!(end.location_parameter("error").as_deref(), Some("access_denied"), "{}", end.body);
        assert_eq!(end.location_parameter("code"), None);
        assert!(!bypass.cookies_of("id.test").contains_key("__Host-session"));
    }
}

on_both_databases! {
    async fn somebody_else_than_the_hint_names_is_not_signed_in(kind: Kind) {
        let world = World::new(kind).await;
        let mut first = world.browser();
        let end = world.brokered(&mut first).await;
        let (_, tokens) = world.notes.redeem(&world.notes.code(&end)).await;
        let hint = tokens["id_token"].as_str().unwrap().to_owned();
        let mut second = world.browser();
        let page = second.open(&world.notes.authorize_url(&[("id_token_hint", &hint)])).await;
        let end = second.press(&page, "sign-in", &[("username", "carol"), ("password", PASSWORD)]).await;
        assert_eq!(end.location_parameter("error").as_deref(), Some("login_required"), "{}", end.body);
        assert!(!second.cookies_of("id.test").contains_key("__Host-session"));
    }
}

on_both_databases! {
    async fn a_callback_page_posts_to_nothing_but_a_callback(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        for path in ["..%2F..%2Faccount%2Fsign-out", "nothing", &ACME_IDP.to_uppercase()] {
            let url = format!("https://id.test/sso/callback/{path}").parse().unwrap();
            let body = Some("state=x&scope=local".to_owned());
            let page = browser.request(Method::POST, &url, body, "cross-site", Some("https://evil.test")).await;
            assert_eq!(page.status, 404, "{path}");
            assert!(!page.body.contains("data-submit"), "{}", page.body);
        }
    }
}

on_both_databases! {
    async fn a_new_password_ends_what_the_old_one_opened(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let end = world.local(&mut browser).await;
        let (_, tokens) = world.globex_app.redeem(&world.globex_app.code(&end)).await;
        world
            .app
            .apply(
                "[[organizations]]\nhandle = \"globex\"\nname = \"Globex\"\n[[organizations.accounts]]\n\
                 username = \"gil\"\nemail = \"gil@globex.test\"\nemail_verified = true\npassword = \"Another7horse\"\n",
            )
            .await;
        let silent = browser.open(&world.globex_app.authorize_url(&[("prompt", "none")])).await;
        assert_eq!(silent.location_parameter("error").as_deref(), Some("login_required"));
        let (status, _) = world.globex_app.userinfo(tokens["access_token"].as_str().unwrap()).await;
        assert_eq!(status, 401);
        let refresh = tokens["refresh_token"].as_str().unwrap();
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
        assert_eq!(world.globex_app.token(&form).await.1["error"], "invalid_grant");
    }
}

on_both_databases! {
    async fn no_app_gets_a_token_for_somebody_elses_api(kind: Kind) {
        let world = World::new(kind).await;
        let more = [("resource", "https://api.acme.test/")];
        let page = world.browser().open(&world.globex_app.authorize_url(&more)).await;
        assert_eq!(page.location_parameter("error").as_deref(), Some("invalid_target"), "{}", page.body);
    }
}

on_both_databases! {
    async fn an_address_taken_from_the_app_meanwhile_gets_nothing(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let page = browser.open(&world.globex_app.authorize_url(&[])).await;
        change_address(&world.app).await;
        let end = browser.press(&page, "sign-in", &[("username", "gil"), ("password", PASSWORD)]).await;
        assert!(end.location().is_none(), "{:?}", end.location());
        end.expect(400, "error");
        assert!(end.body.contains("data-error=\"redirect_uri_mismatch\""), "{}", end.body);
    }
}

async fn change_address(app: &TestApp) {
    app.apply(
        "[[organizations]]\nhandle = \"globex\"\nname = \"Globex\"\n[[organizations.apps]]\nclient_id = \"wiki\"\n\
         name = \"Wiki\"\nclient_secret = \"wiki-secret-0123456789\"\n\
         redirect_uris = [\"https://wiki.globex.test/other\"]\n",
    )
    .await;
}

on_both_databases! {
    async fn a_resource_taken_from_the_app_is_in_no_further_token(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let url = world.globex_app.authorize_url(&[("resource", "https://api.globex.test/")]);
        let page = browser.open(&url).await;
        let end = browser.press(&page, "sign-in", &[("username", "gil"), ("password", PASSWORD)]).await;
        let (_, tokens) = world.globex_app.redeem(&world.globex_app.code(&end)).await;
        let token = tokens["refresh_token"].as_str().unwrap();
        change_address(&world.app).await;
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        let (status, answer) = world.globex_app.token(&form).await;
        assert_eq!((status.as_u16(), answer["error"].as_str()), (400, Some("invalid_grant")), "{answer}");
        assert!(world.app.refusals().await.contains(&"resource_withdrawn".to_owned()));
    }
}

on_both_databases! {
    async fn not_even_a_refusal_of_the_provider_goes_to_an_address_that_was_taken_from_the_app(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let url = world.notes.authorize_url(&[("domain_hint", "acme.test")]).parse().unwrap();
        let to_provider = browser.request(Method::GET, &url, None, "none", None).await;
        let state = to_provider.location_parameter("state").unwrap();
        world
            .app
            .apply(
                "[[organizations]]\nhandle = \"acme\"\nname = \"Acme\"\n[[organizations.apps]]\n\
                 client_id = \"notes\"\nname = \"Notes\"\nclient_secret = \"notes-secret-0123456789\"\n\
                 redirect_uris = [\"https://notes.acme.test/other\"]\n",
            )
            .await;
        let issuer = world.idp.as_str().trim_end_matches('/');
        let mut callback = url::Url::parse(&format!("https://id.test/sso/callback/{ACME_IDP}")).unwrap();
        callback
            .query_pairs_mut()
            .extend_pairs([("error", "access_denied"), ("state", state.as_str()), ("iss", issuer)]);
        let end = browser.open(callback.as_str()).await;
        assert!(end.location().is_none(), "{:?}", end.location());
        end.expect(403, "error");
    }
}
