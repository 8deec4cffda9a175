//! Codes and tokens: rows 47 to 53.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::Value;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::tools::{assert_error, refresh, text, tokens_of_gil};
use crate::harness::database::Kind;
use crate::harness::evidence::Evidence;
use crate::harness::relying_app::{RelyingApp, VERIFIER, claims};
use crate::harness::world::World;
use crate::on_both_databases;

/// Further apps of globex: one that has opted out of PKCE, one without a secret, one that may refresh less.
const APPS: &str = r#"
[[organizations]]
handle = "globex"
name = "Globex"

[[organizations.apps]]
client_id = "old"
name = "Old"
client_secret = "old-secret-0123456789"
redirect_uris = ["https://old.globex.test/callback"]
require_pkce = false

[[organizations.apps]]
client_id = "spa"
name = "Single page"
redirect_uris = ["https://spa.globex.test/callback"]
require_pkce = false

[[organizations.apps]]
client_id = "narrow"
name = "Narrow"
client_secret = "narrow-secret-0123456789"
redirect_uris = ["https://narrow.globex.test/callback"]
scopes = ["openid", "email"]
"#;

fn app(world: &World, name: &str, secret: Option<&str>) -> RelyingApp {
    let uri = format!("https://{name}.globex.test/callback");
    RelyingApp::new(&world.app.network, name, secret, &uri)
}

/// No part of a family is valid any more, at any endpoint.
async fn assert_dead(app: &RelyingApp, tokens: &Value) {
    let (access, refresh_token) = (text(tokens, "access_token"), text(tokens, "refresh_token"));
    assert_eq!(app.userinfo(access).await.0, StatusCode::UNAUTHORIZED);
    assert_error(&refresh(app, refresh_token, &[]).await, "invalid_grant");
    for token in [access, refresh_token] {
        let (status, answer) = app.post("/oauth2/introspect", &[("token", token)]).await;
        assert_eq!((status.as_u16(), answer), (200, serde_json::json!({ "active": false })));
    }
}

/// Lets all requests go at once, dealt out to the nodes; gives the answers by success.
async fn at_once(
    nodes: &[RelyingApp],
    times: usize,
    pairs: &[(&'static str, String)],
) -> (Vec<Value>, Vec<Value>) {
    let barrier = Arc::new(Barrier::new(times));
    let mut tasks = JoinSet::new();
    for node in nodes.iter().cycle().take(times).cloned() {
        let (barrier, pairs) = (Arc::clone(&barrier), pairs.to_vec());
        tasks.spawn(async move {
            let pairs: Vec<(&str, &str)> =
                pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
            barrier.wait().await;
            node.token(&pairs).await
        });
    }
    let (mut won, mut lost) = (Vec::new(), Vec::new());
    for (status, answer) in tasks.join_all().await {
        if status == StatusCode::OK {
            won.push(answer);
        } else {
            assert_error(&(status, answer.clone()), "invalid_grant");
            lost.push(answer);
        }
    }
    (won, lost)
}

on_both_databases! {
    async fn row_47_a_code_redeemed_twice(kind: Kind) {
        let world = World::new(kind).await;
        let wiki = &world.globex_app;
        let bystander = tokens_of_gil(&world, &mut world.browser()).await;
        let code = wiki.code(&world.local(&mut world.browser()).await);
        let (status, first) = wiki.redeem(&code).await;
        assert_eq!(status, StatusCode::OK, "{first}");
        let (status, second) = refresh(wiki, text(&first, "refresh_token"), &[]).await;
        assert_eq!(status, 200, "{second}");
        for tokens in [&first, &second] {
            assert_eq!(wiki.userinfo(text(tokens, "access_token")).await.0, StatusCode::OK);
        }
        world.app.clock.advance(Duration::from_secs(30));
        let before = Evidence::now(&world.app).await;
        assert_error(&wiki.redeem(&code).await, "invalid_grant");
        before.assert_only_refused(&world.app, &["token.code refused code_reused"]).await;
        // The first access token and the tokens that were refreshed from it, and no others.
        assert_dead(wiki, &first).await;
        assert_dead(wiki, &second).await;
        assert_eq!(wiki.userinfo(text(&bystander, "access_token")).await.0, StatusCode::OK);
        assert_eq!(refresh(wiki, text(&bystander, "refresh_token"), &[]).await.0, 200);
    }
}

on_both_databases! {
    async fn row_48_a_hundred_redemptions_at_once_on_two_nodes(kind: Kind) {
        let world = World::new(kind).await;
        let other = world.app.second_node().await;
        let here = world.globex_app.clone();
        let nodes = [here.clone(), RelyingApp { network: other.network.clone(), ..here.clone() }];
        let code = here.code(&world.local(&mut world.browser()).await);
        let before = Evidence::now(&world.app).await;
        let pairs = [
            ("grant_type", "authorization_code".to_owned()),
            ("redirect_uri", here.redirect_uri.clone()),
            ("code_verifier", VERIFIER.to_owned()),
            ("code", code),
        ];
        let (won, lost) = at_once(&nodes, 100, &pairs).await;
        assert_eq!((won.len(), lost.len()), (1, 99));
        let expected = [("token.code done", 1), ("token.code refused code_reused", 99)];
        before.assert_exactly(&world.app, &[("refresh_tokens", 1)], &expected).await;
        for node in &nodes {
            assert_dead(node, &won[0]).await;
        }
    }
}

on_both_databases! {
    async fn row_49_a_code_with_another_client_address_or_verifier_or_too_late(kind: Kind) {
        let world = World::new(kind).await;
        world.app.apply(APPS).await;
        let wiki = &world.globex_app;
        let (spa, uri) = (app(&world, "spa", None), wiki.redirect_uri.as_str());
        let code = wiki.code(&world.local(&mut world.browser()).await);
        let other_code = wiki.code(&world.local(&mut world.browser()).await);
        let cases: [(&str, &RelyingApp, &str, &str); 9] = [
            ("code_of_another_app", &world.notes, uri, VERIFIER),
            ("code_of_another_app", &spa, uri, VERIFIER),
            ("code_redirect_uri", wiki, "https://wiki.globex.test/callback/", VERIFIER),
            ("code_redirect_uri", wiki, "https://wiki.globex.test/callback?x=1", VERIFIER),
            ("code_redirect_uri", wiki, "https://WIKI.globex.test/callback", VERIFIER),
            ("code_redirect_uri", wiki, "", VERIFIER),
            ("code_verifier_wrong", wiki, uri, "eBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            ("code_verifier_malformed", wiki, uri, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjX"),
            ("code_unknown", wiki, uri, VERIFIER),
        ];
        let before = Evidence::now(&world.app).await;
        let mut expected = Vec::new();
        for (reason, client, redirect_uri, verifier) in cases {
            let code = if reason == "code_unknown" { code.to_ascii_uppercase() } else { code.clone() };
            let answer = client
                .token(&[
                    ("grant_type", "authorization_code"),
                    ("code", &code),
                    ("redirect_uri", redirect_uri),
                    ("code_verifier", verifier),
                ])
                .await;
            assert_error(&answer, "invalid_grant");
            // Whichever part was wrong, the app is told the same.
            assert!(answer.1["error_description"].as_str().unwrap().starts_with("the code or token is"));
            expected.push(format!("token.code refused {reason}"));
        }
        let lines: Vec<&str> = expected.iter().map(String::as_str).collect();
        before.assert_only_refused(&world.app, &lines).await;
        // None of these used it up; the last second does not end it, the sixtieth does.
        world.app.clock.advance(Duration::from_secs(59));
        assert_eq!(wiki.redeem(&code).await.0, StatusCode::OK);
        world.app.clock.advance(Duration::from_secs(2));
        let before = Evidence::now(&world.app).await;
        assert_error(&wiki.redeem(&other_code).await, "invalid_grant");
        before.assert_only_refused(&world.app, &["token.code refused code_expired"]).await;
    }
}

on_both_databases! {
    async fn row_50_pkce_is_not_talked_down_at_either_end(kind: Kind) {
        let world = World::new(kind).await;
        world.app.apply(APPS).await;
        let wiki = &world.globex_app;
        let (old, spa) = (app(&world, "old", Some("old-secret-0123456789")), app(&world, "spa", None));
        let mut browser = world.browser();
        world.local(&mut browser).await;
        let without = [("code_challenge", ""), ("code_challenge_method", "")];
        let before = Evidence::now(&world.app).await;
        // At the authorization endpoint: S256, said aloud, or nothing; and nothing only where the app has opted out.
        let requests: [(&RelyingApp, &[(&str, &str)]); 6] = [
            (wiki, &without),
            (wiki, &[("code_challenge_method", "plain")]),
            (wiki, &[("code_challenge_method", "")]),
            (wiki, &[("code_challenge_method", "s256")]),
            (wiki, &[("code_challenge", "short")]),
            (&spa, &without),
        ];
        for (client, more) in requests {
            let page = browser.open(&client.authorize_url(more)).await;
            assert_eq!(page.location_parameter("error").as_deref(), Some("invalid_request"), "{more:?}");
            assert_eq!(page.location_parameter("code"), None);
        }
        before.assert_only_refused(&world.app, &["authorize refused invalid_request"; 6]).await;
        // A challenge that was sent is enforced even for an app that need not send one; without one, none is taken.
        let bound = old.code(&browser.open(&old.authorize_url(&[])).await);
        let unbound = old.code(&browser.open(&old.authorize_url(&without)).await);
        let before = Evidence::now(&world.app).await;
        let uri = old.redirect_uri.as_str();
        let grant = ("grant_type", "authorization_code");
        assert_error(&old.token(&[grant, ("code", &bound), ("redirect_uri", uri)]).await, "invalid_grant");
        assert_error(&old.redeem(&unbound).await, "invalid_grant");
        let reasons = ["token.code refused code_verifier_missing", "token.code refused code_verifier_without_challenge"];
        before.assert_only_refused(&world.app, &reasons).await;
        assert_eq!(old.redeem(&bound).await.0, StatusCode::OK);
        let plain = [grant, ("code", unbound.as_str()), ("redirect_uri", uri)];
        assert_eq!(old.token(&plain).await.0, StatusCode::OK);
        // The other end: the broker's own requests to a provider carry a challenge of their own each.
        let mut challenges = std::collections::BTreeSet::new();
        for _ in 0..2 {
            let start = world.notes.authorize_url(&[("domain_hint", "acme.test")]).parse().unwrap();
            let upstream_request = world.browser().request(Method::GET, &start, None, "none", None).await;
            assert_eq!(upstream_request.location_parameter("code_challenge_method").as_deref(), Some("S256"));
            challenges.insert(upstream_request.location_parameter("code_challenge").unwrap());
        }
        assert!(challenges.len() == 2 && challenges.iter().all(|challenge| challenge.len() == 43));
    }
}

on_both_databases! {
    async fn row_51_fifty_refreshes_at_once_on_two_nodes(kind: Kind) {
        let world = World::new(kind).await;
        let other = world.app.second_node().await;
        let here = world.globex_app.clone();
        let nodes = [here.clone(), RelyingApp { network: other.network.clone(), ..here.clone() }];
        let first = tokens_of_gil(&world, &mut world.browser()).await;
        let before = Evidence::now(&world.app).await;
        let pairs = [
            ("grant_type", "refresh_token".to_owned()),
            ("refresh_token", text(&first, "refresh_token").to_owned()),
        ];
        let (won, lost) = at_once(&nodes, 50, &pairs).await;
        assert_eq!((won.len(), lost.len()), (1, 49));
        let expected = [("token.refresh done", 1), ("token.refresh refused refresh_reused", 49)];
        before.assert_exactly(&world.app, &[("refresh_tokens", 1)], &expected).await;
        for node in &nodes {
            assert_dead(node, &won[0]).await;
        }
    }
}

on_both_databases! {
    async fn row_52_a_rotated_refresh_token_after_a_restart(kind: Kind) {
        let mut world = World::new(kind).await;
        let wiki = world.globex_app.clone();
        let first = tokens_of_gil(&world, &mut world.browser()).await;
        let (status, second) = refresh(&wiki, text(&first, "refresh_token"), &[]).await;
        assert_eq!(status, 200, "{second}");
        world.app.kill();
        let restarted = world.app.second_node().await;
        let wiki = RelyingApp { network: restarted.network.clone(), ..wiki };
        let before = Evidence::now(&world.app).await;
        assert_error(&refresh(&wiki, text(&first, "refresh_token"), &[]).await, "invalid_grant");
        before.assert_only_refused(&world.app, &["token.refresh refused refresh_reused"]).await;
        assert_dead(&wiki, &second).await;
        // And after another one: dead stays dead.
        drop(restarted);
        let again = world.app.second_node().await;
        let wiki = RelyingApp { network: again.network.clone(), ..wiki };
        assert_dead(&wiki, &second).await;
    }
}

on_both_databases! {
    async fn row_53_a_scope_that_grows(kind: Kind) {
        let world = World::new(kind).await;
        world.app.apply(APPS).await;
        let wiki = &world.globex_app;
        let mut browser = world.browser();
        world.local(&mut browser).await;
        let page = browser.open(&wiki.authorize_url(&[("scope", "openid email")])).await;
        let code = wiki.code(&page);
        // What a redemption says of scopes is not read.
        let (status, first) = wiki
            .token(&[
                ("grant_type", "authorization_code"),
                ("code", &code),
                ("redirect_uri", &wiki.redirect_uri),
                ("code_verifier", VERIFIER),
                ("scope", "openid email phone profile offline_access"),
            ])
            .await;
        assert_eq!((status.as_u16(), &first["scope"]), (200, &"openid email".into()));
        let token = text(&first, "refresh_token");
        let before = Evidence::now(&world.app).await;
        for scope in ["openid email phone", "phone", "openid email offline_access", "openid email made-up", "OPENID"] {
            assert_error(&refresh(wiki, token, &[("scope", scope)]).await, "invalid_scope");
        }
        let narrow = app(&world, "narrow", Some("narrow-secret-0123456789"));
        let page = browser.open(&narrow.authorize_url(&[("scope", "openid phone")])).await;
        assert_eq!(page.location_parameter("error").as_deref(), Some("invalid_scope"));
        let machine = [("grant_type", "client_credentials"), ("scope", "openid")];
        assert_error(&wiki.token(&machine).await, "invalid_scope");
        let mut expected = vec!["token.refresh refused scope_grown"; 5];
        expected.extend(["authorize refused invalid_scope", "token.client_credentials refused scope_not_allowed"]);
        before.assert_only_refused(&world.app, &expected).await;
        // Fewer are given, and the token that comes with them has no more than was granted.
        let (status, fewer) = refresh(wiki, token, &[("scope", "openid")]).await;
        assert_eq!((status, &fewer["scope"]), (200, &"openid".into()));
        assert_eq!(claims(text(&fewer, "access_token"))["scope"], "openid");
        let (_, about) = wiki.userinfo(text(&fewer, "access_token")).await;
        assert!(about.get("email").is_none(), "{about}");
        let (_, all) = refresh(wiki, text(&fewer, "refresh_token"), &[]).await;
        assert_eq!(all["scope"], "openid email");
    }
}
