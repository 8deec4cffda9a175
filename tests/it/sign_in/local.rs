//! Username and password.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Barrier;

use crate::harness::database::Kind;
use crate::harness::relying_app::claims;
use crate::harness::world::{PASSWORD, World};
use crate::on_both_databases;

on_both_databases! {
    async fn a_password_signs_in(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let end = world.local(&mut browser).await;
        let (_, tokens) = world.globex_app.redeem(&world.globex_app.code(&end)).await;
        let id_token = claims(tokens["id_token"].as_str().unwrap());
        assert_eq!(id_token["amr"], serde_json::json!(["pwd"]));
        assert!(id_token.get("connection").is_none());
    }
}

on_both_databases! {
    async fn a_refused_password_says_how_to_go_on_and_the_form_works_again(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let page = browser.open(&world.globex_app.authorize_url(&[])).await;
        let wrong = [("username", "gil"), ("password", "Wrong7password")];
        let again = browser.press(&page, "sign-in", &wrong).await;
        again.expect(403, "error").expect(403, "receipt");
        assert_eq!(again.error().as_deref(), Some("bad_credentials"));
        assert!(again.text("own-identity-provider").unwrap().contains("use your organization's domain"));
        let end = browser.press(&again, "sign-in", &[("username", "gil"), ("password", PASSWORD)]).await;
        assert!(end.location_parameter("code").is_some(), "{}", end.body);
    }
}

on_both_databases! {
    async fn unknown_and_known_names_are_answered_alike(kind: Kind) {
        let world = World::new(kind).await;
        let mut bodies = Vec::new();
        for name in ["gil", "nobody", "carol", "no such name", "x@nowhere.test"] {
            let mut browser = world.browser();
            let page = browser.open(&world.globex_app.authorize_url(&[])).await;
            let fields = [("username", name), ("password", "Wrong7password")];
            let again = browser.press(&page, "sign-in", &fields).await;
            assert_eq!(again.status, 403, "{name}");
            let receipt = again.text("receipt").unwrap();
            let code = receipt.split_whitespace().last().unwrap();
            assert_eq!(code.len(), 7, "{receipt}");
            let mut body = again.body.replace(code, "RECEIPT").replace(name, "NAME");
            for field in ["form_token", "flow"] {
                while let Some(at) = body.find(&format!("name=\"{field}\" value=\"")) {
                    let end = at + body[at..].find('>').unwrap();
                    body.replace_range(at..end, "HIDDEN");
                }
            }
            bodies.push(without_flow(&body));
        }
        for body in &bodies[1..] {
            assert_eq!(body, &bodies[0]);
        }
    }
}

/// The page without the flow's handle in its links and the receipt's code.
fn without_flow(body: &str) -> String {
    let mut text = String::new();
    for (at, part) in body.split("flow=").enumerate() {
        if at == 0 {
            text.push_str(part);
        } else {
            let end = part.find(['"', '&']).unwrap();
            text.push_str(&part[end..]);
        }
    }
    text
}

on_both_databases! {
    async fn parallel_guesses_do_not_outrun_the_count(kind: Kind) {
        let world = Arc::new(World::new(kind).await);
        let barrier = Arc::new(Barrier::new(40));
        let mut starts = Vec::new();
        for _ in 0..40 {
            let mut browser = world.browser();
            let page = browser.open(&world.globex_app.authorize_url(&[])).await;
            starts.push((browser, page));
        }
        let names = ["gil", "GIL", " Gil ", "gIl"];
        let tasks: Vec<_> = starts
            .into_iter()
            .enumerate()
            .map(|(number, (mut browser, page))| {
                let barrier = Arc::clone(&barrier);
                tokio::spawn(async move {
                    barrier.wait().await;
                    let name = names[number % names.len()];
                    let fields = [("username", name), ("password", "Wrong7password")];
                    browser.press(&page, "sign-in", &fields).await.error()
                })
            })
            .collect();
        let mut checked = 0;
        for task in tasks {
            match task.await.unwrap().as_deref() {
                Some("bad_credentials") => checked += 1,
                Some("too_many_attempts" | "busy") => {}
                other => panic!("{other:?}"),
            }
        }
        assert!((1..=10).contains(&checked), "{checked}");
        // The right password waits like any other guess, and works when the wait is over.
        let mut browser = world.browser();
        let blocked = world.local(&mut browser).await;
        assert_eq!(blocked.error().as_deref(), Some("too_many_attempts"));
        assert!(blocked.headers.contains_key("retry-after"));
        world.app.clock.advance(Duration::from_mins(20));
        let end = world.local(&mut world.browser()).await;
        assert!(end.location_parameter("code").is_some(), "{}", end.body);
    }
}

on_both_databases! {
    async fn a_known_browser_is_counted_separately(kind: Kind) {
        let world = World::new(kind).await;
        let mut home = world.browser();
        world.local(&mut home).await;
        let mut attacker = world.browser();
        for _ in 0..12 {
            let page = attacker.open(&world.globex_app.authorize_url(&[])).await;
            let fields = [("username", "gil"), ("password", "Wrong7password")];
            attacker.press(&page, "sign-in", &fields).await;
        }
        let page = attacker.open(&world.globex_app.authorize_url(&[])).await;
        let blocked =
            attacker.press(&page, "sign-in", &[("username", "gil"), ("password", PASSWORD)]).await;
        assert_eq!(blocked.error().as_deref(), Some("too_many_attempts"));
        let page = home.open(&world.globex_app.authorize_url(&[("prompt", "login")])).await;
        let end = home.press(&page, "sign-in", &[("username", "gil"), ("password", PASSWORD)]).await;
        assert!(end.location_parameter("code").is_some(), "{}", end.body);
    }
}

on_both_databases! {
    async fn where_local_sign_in_is_off_the_right_password_opens_nothing(kind: Kind) {
        let world = World::with(kind, "local_sign_in = \"none\"", "").await;
        let mut browser = world.browser();
        let page = browser.open(&world.notes.authorize_url(&[])).await;
        let fields = [("username", "carol"), ("password", PASSWORD)];
        let again = browser.press(&page, "sign-in", &fields).await;
        assert_eq!(again.error().as_deref(), Some("bad_credentials"));
        assert_eq!(world.app.refusals().await, ["local_sign_in_off"]);
    }
}

on_both_databases! {
    async fn a_form_from_another_site_is_refused(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let page = browser.open(&world.globex_app.authorize_url(&[])).await;
        let flow = page.url.query_pairs().find(|(name, _)| name == "flow").unwrap().1.into_owned();
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("flow", flow.as_str()), ("username", "gil"), ("password", PASSWORD)])
            .finish();
        let url: url::Url = "https://id.test/signin".parse().unwrap();
        let post = http::Method::POST;
        for (fetch_metadata, site, origin) in [
            (true, "cross-site", Some("https://evil.test")),
            (true, "same-site", None),
            (false, "", Some("https://evil.test")),
            (false, "", Some("null")),
            (false, "", None),
        ] {
            browser.fetch_metadata = fetch_metadata;
            let refused = browser.request(post.clone(), &url, Some(body.clone()), site, origin).await;
            assert_eq!(refused.status, 403, "{site} {origin:?}");
            assert_eq!(refused.error().as_deref(), Some("cross_site"));
        }
        // A browser that says neither is believed by the form's own token.
        browser.fetch_metadata = false;
        let end = browser.press(&page, "sign-in", &[("username", "gil"), ("password", PASSWORD)]).await;
        assert!(end.location_parameter("code").is_some(), "{}", end.body);
    }
}
