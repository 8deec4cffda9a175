//! Which way a sign-in goes.

use super::{acme, client_at_provider, globex, second_connection};
use crate::harness::browser::Page;
use crate::harness::database::Kind;
use crate::harness::world::{ACME_IDP, World};
use crate::on_both_databases;

/// The way to acme's provider, as the world declares it.
fn issuer(world: &World) -> String {
    world.idp.as_str().trim_end_matches('/').to_owned()
}

on_both_databases! {
    async fn different_domains_of_an_organization_lead_to_different_connections(kind: Kind) {
        let world = World::new(kind).await;
        let domains = "domains = [{ name = \"two.acme.test\", connection = \"acme-two\" }]\n";
        let connection = second_connection(&issuer(&world), "vendor = \"okta\"");
        world.app.apply(&acme(&format!("{domains}{connection}"))).await;
        for (name, client) in [
            ("acme.test", "countersign"),
            ("bob@acme.test", "countersign"),
            ("other.acme.test", "countersign"),
            ("two.acme.test", "countersign-2"),
            ("bob@two.acme.test", "countersign-2"),
        ] {
            let hinted = world.browser().open(&world.notes.authorize_url(&[("domain_hint", name)])).await;
            assert_eq!(client_at_provider(&hinted), client, "{name} as a hint");
            let linked = world.browser().open(&format!("https://id.test/sso/{name}")).await;
            assert_eq!(client_at_provider(&linked), client, "{name} as a link");
            let mut browser = world.browser();
            let page = browser.open(&world.notes.authorize_url(&[])).await;
            let page = browser.click(&page, "use-custom-domain").await;
            let entered = browser.press(&page, "continue", &[("domain", name)]).await;
            assert_eq!(client_at_provider(&entered), client, "{name} entered");
        }
    }
}

/// What the shared page answers to each name, in one and the same flow, without the echo of the name.
async fn answers(world: &World, names: [&str; 2]) -> Vec<(u16, String)> {
    let mut start = world.browser();
    let sign_in = start.open(&world.globex_app.authorize_url(&[])).await;
    let domain = start.click(&sign_in, "use-custom-domain").await;
    let mut answers = Vec::new();
    for name in names {
        let by_name = start.clone().press(&domain, "continue", &[("domain", name)]).await;
        answers.push((by_name.status.as_u16(), bytes(&by_name, name)));
    }
    answers
}

fn bytes(page: &Page, name: &str) -> String {
    let echo = format!("value=\"{name}\"");
    assert!(page.body.contains(&echo), "the page echoes {name}: {}", page.body);
    let own = ["date", "set-cookie", "x-request-id"];
    let head: Vec<String> = page
        .headers
        .iter()
        .filter(|(name, _)| !own.contains(&name.as_str()))
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    format!("{}\n\n{}", head.join("\n"), page.body.replace(&echo, "ECHO"))
}

on_both_databases! {
    async fn closed_routing_answers_with_the_same_status_and_bytes_but_the_echo(kind: Kind) {
        let world = World::with(kind, "routing = \"closed\"", "").await;
        for names in [["acme", "noon"], ["acme.test", "noon.test"], ["bob@acme.test", "bob@noon.test"]] {
            let answers = answers(&world, names).await;
            assert_eq!(answers[0].0, 404);
            assert_eq!(answers[0], answers[1]);
        }
        // An email address is not a way around: with a password beside it, it is a name like any other.
        let mut start = world.browser();
        let page = start.open(&world.globex_app.authorize_url(&[])).await;
        let mut refused = Vec::new();
        for name in ["bob@acme.test", "bob@noon.test"] {
            let fields = [("username", name), ("password", "Wrong7password")];
            let page = start.clone().press(&page, "sign-in", &fields).await;
            refused.push((page.status.as_u16(), bytes(&page, name)));
        }
        assert_eq!(refused[0].0, 403);
        assert_eq!(refused[0], refused[1]);
    }
}

on_both_databases! {
    async fn an_idp_hint_that_fits_several_connections_is_a_choice(kind: Kind) {
        let world = World::new(kind).await;
        // globex has a connection of the same handle, and notes serves both organizations; initech's is not its own.
        let issuer = issuer(&world);
        let sso = |id: &str, client: &str, name: &str| {
            format!(
                "[[organizations.connections]]\nid = \"{id}\"\nhandle = \"staff\"\nname = \"{name}\"\n\
                 vendor = \"okta\"\nissuer = \"{issuer}\"\nclient_id = \"{client}\"\n\
                 client_secret = \"idp-secret-0123456789\"\n"
            )
        };
        let con = |digit: char| format!("con_0190000000007000800000000000000{digit}");
        world.app.apply(&acme(&sso(&con('b'), "acme-staff", "Acme staff"))).await;
        world.app.apply(&globex(&sso(&con('c'), "globex-staff", "Globex staff"))).await;
        let initech = "[[organizations]]\nhandle = \"initech\"\nname = \"Initech\"\n";
        world.app.apply(&format!("{initech}{}", sso(&con('d'), "initech-staff", "Initech staff"))).await;
        let hint = [("idp_hint", "staff")];
        // An app of acme alone has nothing to choose from.
        let page = world.browser().open(&world.notes.authorize_url(&hint)).await;
        assert!(page.url.as_str().contains("client_id=acme-staff"), "{}", page.url);
        world
            .app
            .apply(&acme(
                "[[organizations.apps]]\nclient_id = \"notes\"\nname = \"Notes\"\naudience = [\"globex\"]\n\
                 client_secret = \"notes-secret-0123456789\"\n\
                 redirect_uris = [\"https://notes.acme.test/callback\"]\n",
            ))
            .await;
        let mut browser = world.browser();
        let page = browser.open(&world.notes.authorize_url(&hint)).await;
        page.expect(200, "connection-staff");
        assert!(page.body.contains("Sign in with Acme staff"), "{}", page.body);
        assert!(page.body.contains("Sign in with Globex staff"), "{}", page.body);
        assert!(!page.body.contains("Initech"), "{}", page.body);
        // Each button has a name of its own, and leads to its own connection.
        for (button, client) in [("connection-staff", "acme-staff"), ("connection-staff.2", "globex-staff")] {
            let chosen = browser.clone().press(&page, button, &[]).await;
            assert!(chosen.url.as_str().contains(&format!("client_id={client}&")), "{}", chosen.url);
        }
    }
}

on_both_databases! {
    async fn a_lost_flow_names_the_app_and_leads_back_to_it(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let page = browser.open(&world.notes.authorize_url(&[("domain_hint", "acme.test")])).await;
        let state = page.url.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
        let callback = |state: &str| {
            let mut url = url::Url::parse(&format!("https://id.test/sso/callback/{ACME_IDP}")).unwrap();
            url.query_pairs_mut().append_pair("state", state).append_pair("code", "any");
            url.to_string()
        };
        // Another browser, or this one without its cookies: the state alone knows the app.
        let lost = world.browser().open(&callback(&state)).await;
        assert_eq!(lost.error().as_deref(), Some("flow_expired"), "{}", lost.body);
        assert!(lost.body.contains("href=\"https://notes.acme.test/\""), "{}", lost.body);
        assert!(lost.body.contains("Notes"), "{}", lost.body);
        // A flow without an app leads to none, and a state that was tampered with to nothing.
        let own = world.browser().open("https://id.test/sso/acme").await;
        let own = own.url.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
        let mut tampered = state.clone();
        tampered.replace_range(0..1, if state.starts_with('A') { "B" } else { "A" });
        for state in [own, tampered] {
            let lost = world.browser().open(&callback(&state)).await;
            assert!(lost.error().is_some() && !lost.body.contains("notes.acme.test"), "{}", lost.body);
        }
    }
}

on_both_databases! {
    async fn a_closed_organization_with_several_connections_is_reached_by_its_link_and_its_apps_hints(kind: Kind) {
        let world = World::with(kind, "routing = \"closed\"", "").await;
        let domains = "routing = \"closed\"\n\
                       domains = [{ name = \"acme.test\", connections = [\"acme-idp\", \"acme-two\"] }]\n";
        let connection = second_connection(&issuer(&world), "vendor = \"okta\"");
        world.app.apply(&acme(&format!("{domains}{connection}"))).await;
        for start in [
            "https://id.test/sso/acme".to_owned(),
            "https://id.test/sso/acme.test".to_owned(),
            world.notes.authorize_url(&[("domain_hint", "acme")]),
            world.notes.authorize_url(&[("domain_hint", "acme.test")]),
        ] {
            let mut browser = world.browser();
            let page = browser.open(&start).await;
            page.expect(200, "connection-acme-idp").expect(200, "connection-acme-two");
            // A reload shows the same.
            let page = browser.open(page.url.as_str()).await;
            page.expect(200, "connection-acme-idp").expect(200, "connection-acme-two");
            for (button, client) in [("connection-acme-idp", "countersign"), ("connection-acme-two", "countersign-2")] {
                let chosen = browser.clone().press(&page, button, &[]).await;
                assert!(chosen.url.as_str().contains(&format!("client_id={client}&")), "{start}: {}", chosen.url);
            }
        }
        // The shared page knows neither the name nor the target of another organization's link.
        let mut browser = world.browser();
        let page = browser.open(&world.globex_app.authorize_url(&[])).await;
        let page = browser.click(&page, "use-custom-domain").await;
        let unknown = browser.press(&page, "continue", &[("domain", "acme")]).await;
        assert_eq!(unknown.error().as_deref(), Some("unknown_domain"));
        for name in ["acme", "acme.test"] {
            let url = format!("{}&domain={name}", page.url);
            let shown = browser.open(&url).await;
            assert!(!shown.has("connection-acme-idp") && !shown.body.contains("Acme Two"), "{}", shown.body);
        }
    }
}
