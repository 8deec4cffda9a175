//! Which way a sign-in goes.

use crate::harness::database::Kind;
use crate::harness::world::{ACME_IDP, ACME_OTHER, World};
use crate::on_both_databases;

on_both_databases! {
    async fn every_name_of_an_organization_leads_to_its_provider(kind: Kind) {
        let world = World::new(kind).await;
        for name in ["acme", "ACME", "acme.test", "Mail.Acme.Test", "a.b.acme.test", "bob@acme.test", " acme.test "] {
            let mut browser = world.browser();
            let page = browser.open(&world.notes.authorize_url(&[])).await;
            let page = browser.click(&page, "use-custom-domain").await;
            let page = browser.press(&page, "continue", &[("domain", name)]).await;
            page.expect(200, "emulator-sign-in");
        }
        for name in ["", "nobody", "globex", "badacme.test", "acme.test.", "127.0.0.1", "@", "acme.test\0"] {
            let mut browser = world.browser();
            let page = browser.open(&world.notes.authorize_url(&[])).await;
            let page = browser.click(&page, "use-custom-domain").await;
            let page = browser.press(&page, "continue", &[("domain", name)]).await;
            assert_eq!(page.error().as_deref(), Some("unknown_domain"), "{name}");
        }
    }
}

on_both_databases! {
    async fn an_email_whose_domain_is_routed_needs_no_password(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let page = browser.open(&world.notes.authorize_url(&[])).await;
        let page = browser.press(&page, "sign-in", &[("username", "bob@acme.test"), ("password", "")]).await;
        page.expect(200, "emulator-sign-in");
        assert!(page.url.as_str().contains("login_hint=bob%40acme.test"), "{}", page.url);
    }
}

on_both_databases! {
    async fn hints_of_the_app_lead_straight_to_the_provider(kind: Kind) {
        let world = World::new(kind).await;
        for hint in [
            ("idp_hint", "acme-idp"),
            ("domain_hint", "acme"),
            ("domain_hint", "acme.test"),
            ("login_hint", "bob@acme.test"),
        ] {
            let mut browser = world.browser();
            let page = browser.open(&world.notes.authorize_url(&[hint])).await;
            page.expect(200, "emulator-sign-in");
        }
        for hint in [("idp_hint", "nothing"), ("domain_hint", "nothing"), ("login_hint", "bob@globex.test")] {
            let mut browser = world.browser();
            let page = browser.open(&world.notes.authorize_url(&[hint])).await;
            page.expect(200, "sign-in");
        }
    }
}

on_both_databases! {
    async fn closed_routing_looks_like_an_unknown_name(kind: Kind) {
        let world = World::with(kind, "routing = \"closed\"", "").await;
        let mut bodies = Vec::new();
        for name in ["acme", "acme.test", "noone", "noone.test"] {
            let mut browser = world.browser();
            let page = browser.open(&world.globex_app.authorize_url(&[])).await;
            let page = browser.click(&page, "use-custom-domain").await;
            let page = browser.press(&page, "continue", &[("domain", name)]).await;
            assert_eq!((page.status.as_u16(), page.error().as_deref()), (404, Some("unknown_domain")), "{name}");
            bodies.push(page.text("error").unwrap());
        }
        assert!(bodies.iter().all(|body| *body == bodies[0]));
        // Its own app's hint and its own link still route.
        let page = world.browser().open(&world.notes.authorize_url(&[("domain_hint", "acme")])).await;
        page.expect(200, "emulator-sign-in");
        let page = world.browser().open("https://id.test/sso/acme").await;
        page.expect(200, "emulator-sign-in");
        // Another organization's app learns nothing.
        let page = world.browser().open(&world.globex_app.authorize_url(&[("domain_hint", "acme")])).await;
        page.expect(200, "sign-in");
    }
}

on_both_databases! {
    async fn several_connections_on_one_name_are_a_choice(kind: Kind) {
        let world = World::new(kind).await;
        let issuer = world.idp.as_str().trim_end_matches('/');
        world
            .app
            .apply(&format!(
                "[[organizations]]\nhandle = \"acme\"\nname = \"Acme\"\n\
                 domains = [{{ name = \"acme.test\", connections = [\"acme-idp\", \"acme-two\"] }}]\n\
                 [[organizations.connections]]\nid = \"{ACME_OTHER}\"\nhandle = \"acme-two\"\nname = \"Acme Two\"\n\
                 vendor = \"okta\"\nissuer = \"{issuer}\"\nclient_id = \"countersign-2\"\n\
                 client_secret = \"idp-secret-2-0123456789\"\n"
            ))
            .await;
        let mut browser = world.browser();
        let page = browser.open(&world.notes.authorize_url(&[("domain_hint", "acme.test")])).await;
        page.expect(200, "connection-acme-idp").expect(200, "connection-acme-two");
        assert!(page.body.contains("Sign in with Acme Two"), "{}", page.body);
        let page = browser.press(&page, "connection-acme-idp", &[]).await;
        let end = world.sign_in_at_provider(&mut browser, &page).await;
        assert!(end.location_parameter("code").is_some(), "{}", end.body);
        let _ = ACME_IDP;
        let mut browser = world.browser();
        let page = browser.open(&world.notes.authorize_url(&[])).await;
        let page = browser.click(&page, "use-custom-domain").await;
        let page = browser.press(&page, "continue", &[("domain", "acme.test")]).await;
        page.expect(200, "connection-acme-idp").expect(200, "connection-acme-two");
    }
}

on_both_databases! {
    async fn the_first_change_of_the_directory_is_seen_at_once(kind: Kind) {
        let world = World::new(kind).await;
        let start = |name: &'static str| {
            let mut browser = world.browser();
            let url = format!("https://id.test/sso/{name}");
            async move { browser.open(&url).await }
        };
        assert_eq!(start("initech").await.error().as_deref(), Some("unknown_domain"));
        let issuer = world.idp.as_str().trim_end_matches('/');
        world
            .app
            .apply(&format!(
                "[[organizations]]\nhandle = \"initech\"\nname = \"Initech\"\n[[organizations.connections]]\n\
                 handle = \"sso\"\nname = \"SSO\"\nissuer = \"{issuer}\"\nclient_id = \"countersign\"\n\
                 client_secret = \"idp-secret-0123456789\"\n"
            ))
            .await;
        // The emulated provider refuses the unregistered callback; what matters is that the broker went there.
        assert!(start("initech").await.url.as_str().starts_with(world.idp.as_str()));
    }
}
