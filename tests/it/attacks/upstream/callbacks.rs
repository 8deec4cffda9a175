//! Whose answer it is: rows 22, 70 and 71, and codes that are carried from flow to flow and from browser to browser.

use std::collections::BTreeMap;

use http::Method;
use serde_json::json;
use url::Url;

use crate::harness::beta::{BETA_IDP, Beta};
use crate::harness::browser::{Browser, Page};
use crate::harness::database::Kind;
use crate::harness::evidence::Evidence;
use crate::harness::world::{ACME_IDP, World};
use crate::on_both_databases;

/// Opens a callback as the provider's redirect makes a browser do, and follows nothing.
async fn arrive(browser: &mut Browser, callback: &Url) -> Page {
    browser.request(Method::GET, callback, None, "cross-site", None).await
}

/// The callback with a parameter replaced, or left out.
fn with(callback: &Url, name: &str, value: Option<&str>) -> Url {
    let mut pairs: Vec<(String, String)> = callback.query_pairs().into_owned().collect();
    pairs.retain(|(known, _)| known != name);
    pairs.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    let mut changed = callback.clone();
    changed.query_pairs_mut().clear().extend_pairs(pairs);
    changed
}

fn parameter(url: &Url, name: &str) -> String {
    url.query_pairs().find(|(known, _)| known == name).unwrap().1.into_owned()
}

/// A callback of bob at acme's honest provider, not opened.
async fn honest_callback(world: &World, browser: &mut Browser) -> Url {
    let page = browser.open(&world.notes.authorize_url(&[("domain_hint", "acme.test")])).await;
    let fields = [("username", "bob"), ("password", "idp-password")];
    browser.press_only(&page, "emulator-sign-in", &fields).await.location().unwrap()
}

on_both_databases! {
    async fn row_22_an_answer_of_another_issuer(kind: Kind) {
        let beta = Beta::new(kind).await;
        let honest = beta.world.idp.as_str().trim_end_matches('/').to_owned();
        let before = Evidence::now(&beta.world.app).await;
        let own = beta.idp.issuer.clone();
        let (slash, capitals) = (format!("{own}/"), own.to_uppercase());
        for iss in [Some(honest.as_str()), Some(""), Some(&slash), Some(&capitals), Some("https://id.test"), None] {
            let mut browser = beta.browser();
            let callback = beta.callback(&mut browser, &[]).await;
            let end = arrive(&mut browser, &with(&callback, "iss", iss)).await;
            assert_eq!(end.error().as_deref(), Some("idp_answer_invalid"), "{iss:?}");
        }
        let mut browser = beta.browser();
        let mut twice = beta.callback(&mut browser, &[]).await;
        twice.query_pairs_mut().append_pair("iss", &honest);
        assert_eq!(arrive(&mut browser, &twice).await.error().as_deref(), Some("idp_answer_invalid"));
        let (other, missing) = ("sign_in refused callback_iss_mismatch", "sign_in refused callback_iss_missing");
        before.assert_only_refused(&beta.world.app, &[other, missing, other, other, other, missing, missing]).await;
        assert_eq!(beta.idp.seen("/token").len(), 0);
        beta.signs_in("its own").await;
    }
}

on_both_databases! {
    async fn row_22_a_code_of_the_honest_provider_on_its_way_to_the_hostile_one(kind: Kind) {
        let beta = Beta::new(kind).await;
        let mut browser = beta.browser();
        // The victim begins with M, and M sends the browser on to H, with the broker's own client id there.
        let asked = beta.start(&mut browser, &[]).await.location().unwrap();
        let state = parameter(&asked, "state");
        let at_honest = Url::parse_with_params(
            beta.world.idp.join("/oauth2/v1/authorize").unwrap().as_str(),
            [
                ("client_id", "countersign"),
                ("redirect_uri", &format!("https://id.test/sso/callback/{ACME_IDP}")),
                ("response_type", "code"),
                ("scope", "openid email profile"),
                ("state", &state),
                ("nonce", &parameter(&asked, "nonce")),
                ("code_challenge", &parameter(&asked, "code_challenge")),
                ("code_challenge_method", "S256"),
            ],
        )
        .unwrap();
        let page = browser.request(Method::GET, &at_honest, None, "cross-site", None).await;
        let fields = [("username", "bob"), ("password", "idp-password")];
        let callback = browser.press_only(&page, "emulator-sign-in", &fields).await.location().unwrap();
        let before = Evidence::now(&beta.world.app).await;
        let end = arrive(&mut browser, &callback).await;
        assert_eq!(end.error().as_deref(), Some("idp_answer_invalid"), "{}", end.body);
        // Carried on to M's callback by hand, it is still H's.
        let moved: Url = callback.as_str().replace(ACME_IDP, BETA_IDP).parse().unwrap();
        let end = arrive(&mut browser, &moved).await;
        assert_eq!(end.error().as_deref(), Some("idp_answer_invalid"), "{}", end.body);
        let expected = ["sign_in refused state_mismatch", "sign_in refused callback_iss_mismatch"];
        before.assert_only_refused(&beta.world.app, &expected).await;
        assert_eq!(beta.idp.seen("/token").len(), 0, "M never sees H's code");
    }
}

on_both_databases! {
    async fn row_70_a_state_that_is_missing_or_foreign_spends_nothing(kind: Kind) {
        let beta = Beta::new(kind).await;
        let mut victim = beta.browser();
        let callback = beta.callback(&mut victim, &[]).await;
        let mut attacker = beta.browser();
        let theirs = beta.callback(&mut attacker, &[]).await;
        let before = Evidence::now(&beta.world.app).await;
        let state = parameter(&callback, "state");
        let cut = &state[..state.len() - 1];
        let flipped = state.replacen(|_: char| true, if state.starts_with('A') { "B" } else { "A" }, 1);
        for state in [None, Some(""), Some("chosen"), Some(cut), Some(&flipped)] {
            let end = arrive(&mut victim.clone(), &with(&callback, "state", state)).await;
            assert_eq!(end.error().as_deref(), Some("idp_answer_invalid"), "{state:?}");
        }
        let mut twice = callback.clone();
        twice.query_pairs_mut().append_pair("state", "another");
        assert_eq!(arrive(&mut victim.clone(), &twice).await.error().as_deref(), Some("idp_answer_invalid"));
        // Another browser's, in both directions; then at another connection's callback.
        assert_eq!(arrive(&mut victim.clone(), &theirs).await.error().as_deref(), Some("flow_expired"));
        assert_eq!(arrive(&mut attacker.clone(), &callback).await.error().as_deref(), Some("flow_expired"));
        let elsewhere = callback.as_str().replace(BETA_IDP, ACME_IDP).parse().unwrap();
        assert_eq!(arrive(&mut victim.clone(), &elsewhere).await.error().as_deref(), Some("idp_answer_invalid"));
        let (missing, foreign) = ("sign_in refused state_missing", "sign_in refused state_foreign");
        let browser = "sign_in refused state_of_another_browser";
        before
            .assert_only_refused(
                &beta.world.app,
                &[missing, missing, foreign, foreign, foreign, missing, browser, browser, "sign_in refused state_mismatch"],
            )
            .await;
        assert_eq!(beta.idp.seen("/token").len(), 0);
        // Nothing of it cost the victim or the other their own sign-in.
        for (mut browser, callback) in [(victim, callback), (attacker, theirs)] {
            let end = arrive(&mut browser, &callback).await;
            assert!(end.location_parameter("code").is_some(), "{}", end.body);
        }
    }
}

on_both_databases! {
    async fn row_70_a_refused_token_leaves_the_state_spent(kind: Kind) {
        let beta = Beta::new(kind).await;
        let before = Evidence::now(&beta.world.app).await;
        let mut browser = beta.browser();
        let callback = beta.callback(&mut browser, &[]).await;
        let mut copy = browser.clone();
        beta.idp.forge(|f| f.claims["nonce"] = json!("chosen-by-the-attacker"));
        assert_eq!(arrive(&mut browser, &callback).await.error().as_deref(), Some("idp_answer_invalid"));
        beta.idp.behave();
        // With a good answer, and with another code, it is too late.
        assert_eq!(arrive(&mut copy.clone(), &callback).await.error().as_deref(), Some("flow_finished"));
        let fresh = with(&callback, "code", Some("another"));
        assert_eq!(arrive(&mut copy, &fresh).await.error().as_deref(), Some("flow_finished"));
        let spent = "sign_in refused state_spent";
        before
            .assert_only_refused(&beta.world.app, &["sign_in refused id_token_nonce_mismatch", spent, spent])
            .await;
        assert_eq!(beta.idp.seen("/token").len(), 1);
    }
}

on_both_databases! {
    async fn row_70_a_code_carried_into_another_flow_or_browser(kind: Kind) {
        let beta = Beta::new(kind).await;
        let mut browser = beta.browser();
        let first = beta.callback(&mut browser, &[]).await;
        let second = beta.callback(&mut browser, &[]).await;
        let mut attacker = beta.browser();
        let theirs = beta.callback(&mut attacker, &[]).await;
        let before = Evidence::now(&beta.world.app).await;
        // M redeems any code for every client; the nonce shows for whom the code was.
        for code in [&second, &theirs] {
            let mixed = with(&first, "code", Some(&parameter(code, "code")));
            let end = arrive(&mut browser.clone(), &mixed).await;
            // The first attempt spends the state, so the second one is too late already.
            assert_eq!(end.location_parameter("code"), None, "{}", end.body);
        }
        let mixed = with(&second, "code", Some(&parameter(&theirs, "code")));
        assert_eq!(arrive(&mut browser, &mixed).await.error().as_deref(), Some("idp_answer_invalid"));
        let nonce = "sign_in refused id_token_nonce_mismatch";
        before.assert_only_refused(&beta.world.app, &[nonce, "sign_in refused state_spent", nonce]).await;
    }
}

on_both_databases! {
    async fn row_70_a_stolen_code_fails_at_an_honest_provider_too(kind: Kind) {
        let world = World::new(kind).await;
        let (mut victim, mut thief) = (world.browser(), world.browser());
        let stolen = honest_callback(&world, &mut victim).await;
        let own = honest_callback(&world, &mut thief).await;
        let before = Evidence::now(&world.app).await;
        // The verifier is the thief's own, so the provider refuses the code (RFC 7636).
        let injected = with(&own, "code", Some(&parameter(&stolen, "code")));
        assert_eq!(arrive(&mut thief, &injected).await.error().as_deref(), Some("idp_refused"));
        before.assert_only_refused(&world.app, &["sign_in refused idp_invalid_grant"]).await;
    }
}

on_both_databases! {
    async fn row_71_one_callback_many_times_at_once_on_two_nodes(kind: Kind) {
        let beta = Beta::new(kind).await;
        let node = beta.world.app.second_node().await;
        beta.signs_in("so that the account is there").await;
        let redeemed = beta.idp.seen("/token").len();
        let mut browser = beta.browser();
        let callback = beta.callback(&mut browser, &[]).await;
        let before = Evidence::now(&beta.world.app).await;
        let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(10));
        let tasks: Vec<_> = (0..10)
            .map(|number| {
                let (mut browser, callback, barrier) = (browser.clone(), callback.clone(), barrier.clone());
                if number % 2 == 1 {
                    let mut network = node.network.clone();
                    network.add(&format!("localhost:{}", beta.idp.port), ([127, 0, 0, 1], beta.idp.port).into());
                    browser.network = network;
                }
                tokio::spawn(async move {
                    barrier.wait().await;
                    arrive(&mut browser, &callback).await
                })
            })
            .collect();
        let mut codes = 0;
        for task in tasks {
            let end = task.await.unwrap();
            if end.location_parameter("code").is_some() {
                codes += 1;
            } else {
                assert_eq!(end.error().as_deref(), Some("flow_finished"), "{}", end.body);
            }
        }
        assert_eq!(codes, 1);
        assert_eq!(beta.idp.seen("/token").len(), redeemed + 1);
        // Later, it is still too late.
        assert_eq!(arrive(&mut browser, &callback).await.error().as_deref(), Some("flow_finished"));
        let changes = before.changes(&beta.world.app).await;
        assert_eq!(changes.rows, BTreeMap::from([("codes", 1), ("grants", 1), ("sessions", 1)]));
        let (refused, mut done): (Vec<_>, Vec<_>) =
            changes.audit.iter().map(String::as_str).partition(|line| line.contains("refused"));
        done.sort_unstable();
        assert_eq!(done, ["authorize done", "sign_in done"]);
        assert_eq!(refused.len(), 10);
        let late = ["sign_in refused state_spent", "sign_in refused state_of_finished_flow"];
        assert!(refused.iter().all(|line| late.contains(line)), "{refused:?}");
    }
}

on_both_databases! {
    async fn an_attackers_finished_callback_signs_no_victim_in(kind: Kind) {
        let beta = Beta::new(kind).await;
        let mut attacker = beta.browser();
        let theirs = beta.callback(&mut attacker, &[]).await;
        // The victim has nothing open; then a flow of their own; then a session of their own.
        let mut fresh = beta.browser();
        let mut busy = beta.browser();
        beta.start(&mut busy, &[]).await;
        let mut signed_in = beta.signs_in("the victim").await;
        let session = signed_in.cookies_of("id.test")["__Host-session"].clone();
        let before = Evidence::now(&beta.world.app).await;
        for victim in [&mut fresh, &mut busy, &mut signed_in] {
            let end = arrive(victim, &theirs).await;
            assert_eq!(end.error().as_deref(), Some("flow_expired"), "{}", end.body);
        }
        assert!(!fresh.cookies_of("id.test").contains_key("__Host-session"));
        assert!(!busy.cookies_of("id.test").contains_key("__Host-session"));
        assert_eq!(signed_in.cookies_of("id.test")["__Host-session"], session);
        before.assert_only_refused(&beta.world.app, &["sign_in refused state_of_another_browser"; 3]).await;
    }
}
