//! Whose keys, which keys, and for how long: rows 66 and 72 to 74.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use serde_json::json;

use super::KEYS_OLD;
use crate::harness::beta::{BETA_IDP, Beta};
use crate::harness::browser::{Network, Page};
use crate::harness::database::Kind;
use crate::harness::evidence::Evidence;
use crate::harness::hostile::{Forgery, Hostile, Reply, Signer};
use crate::harness::relying_app::RelyingApp;
use crate::on_both_databases;

/// Keys under these names; the first signs.
fn signing_with(f: &mut Forgery, signer: usize, kid: &str, published: &[(usize, &str)]) {
    f.header["kid"] = json!(kid);
    f.signer = Signer::number(signer);
    f.keys = published.iter().map(|(number, kid)| Signer::number(*number).jwk(kid)).collect();
}

on_both_databases! {
    async fn row_66_keys_that_a_token_brings_along(kind: Kind) {
        let mut beta = Beta::new(kind).await;
        let canary = beta.world.app.hostile().await;
        let elsewhere = format!("{}/keys", canary.issuer);
        // Such members are never used …
        let brings = move |f: &mut Forgery| {
            f.header["jwk"] = Signer::number(1).jwk("k1");
            f.header["jku"] = json!(elsewhere);
            f.header["x5u"] = json!(elsewhere);
            f.header["x5c"] = json!([Signer::number(1).jwk("k1")["n"]]);
        };
        beta.signs_in("before").await;
        let before = Evidence::now(&beta.world.app).await;
        for kid in [Some("k1"), Some("k9"), None] {
            let brings = brings.clone();
            beta.idp.forge(move |f| {
                brings(f);
                f.signer = Signer::number(1);
                match kid {
                    Some(kid) => f.header["kid"] = json!(kid),
                    None => drop(f.header.as_object_mut().unwrap().remove("kid")),
                }
            });
            let end = beta.sign_in(&mut beta.browser()).await;
            assert_eq!(end.error().as_deref(), Some("idp_answer_invalid"), "{kid:?}");
        }
        let (bad, unknown) = ("sign_in refused signature_bad", "sign_in refused signature_unknown_kid");
        before.assert_only_refused(&beta.world.app, &[bad, unknown, bad]).await;
        // … and if the known key has signed, they do no harm.
        beta.idp.forge(brings);
        beta.signs_in("present, and signed by the known key").await;
        assert_eq!(canary.connections(), 0);
    }
}

/// A further organization whose provider is another hostile one.
async fn delta(beta: &mut Beta) -> Hostile {
    let other = beta.world.app.hostile().await;
    let issuer = &other.issuer;
    let document = format!(
        "[[organizations]]\nhandle = \"delta\"\nname = \"Delta\"\n\
         domains = [{{ name = \"delta.test\", connection = \"delta-idp\" }}]\n[[organizations.connections]]\n\
         handle = \"delta-idp\"\nname = \"Delta SSO\"\nissuer = \"{issuer}\"\nclient_id = \"countersign-m\"\n\
         client_secret = \"delta-secret-0123456789\"\n[[organizations.apps]]\nclient_id = \"desk\"\n\
         name = \"Desk\"\nclient_secret = \"desk-secret-0123456789\"\n\
         redirect_uris = [\"https://desk.delta.test/callback\"]\n"
    );
    beta.world.app.apply(&document).await;
    other
}

async fn sign_in_to_delta(beta: &Beta) -> Page {
    let secret = Some("desk-secret-0123456789");
    let desk = RelyingApp::new(&beta.world.app.network, "desk", secret, "https://desk.delta.test/callback");
    beta.browser().open(&desk.authorize_url(&[("domain_hint", "delta.test")])).await
}

on_both_databases! {
    async fn row_72_keys_of_one_name_at_two_providers(kind: Kind) {
        let mut beta = Beta::new(kind).await;
        let other = delta(&mut beta).await;
        // Both call their keys k1. Each knows its own, in whichever order they are fetched.
        other.forge(|f| signing_with(f, 1, "k1", &[(1, "k1")]));
        for _ in 0..2 {
            beta.signs_in("beta, by its own key").await;
            let end = sign_in_to_delta(&beta).await;
            assert!(end.location_parameter("code").is_some(), "{}", end.body);
            beta.world.app.clock.advance(KEYS_OLD);
        }
        let before = Evidence::now(&beta.world.app).await;
        beta.idp.forge(|f| signing_with(f, 1, "k1", &[(0, "k1")]));
        other.forge(|f| signing_with(f, 0, "k1", &[(1, "k1")]));
        let end = beta.sign_in(&mut beta.browser()).await;
        assert_eq!(end.error().as_deref(), Some("idp_answer_invalid"), "{}", end.body);
        let end = sign_in_to_delta(&beta).await;
        assert_eq!(end.error().as_deref(), Some("idp_answer_invalid"), "{}", end.body);
        before.assert_only_refused(&beta.world.app, &["sign_in refused signature_bad"; 2]).await;
    }
}

on_both_databases! {
    async fn row_73_a_removed_key_is_dead_within_ten_minutes(kind: Kind) {
        let beta = Beta::new(kind).await;
        beta.idp.forge(|f| signing_with(f, 0, "k1", &[(0, "k1"), (1, "k2")]));
        beta.signs_in("while it is published").await;
        beta.idp.forge(|f| signing_with(f, 0, "k1", &[(1, "k2")]));
        beta.world.app.clock.advance(Duration::from_mins(10));
        let before = Evidence::now(&beta.world.app).await;
        let end = beta.sign_in(&mut beta.browser()).await;
        assert_eq!(end.error().as_deref(), Some("idp_answer_invalid"), "{}", end.body);
        before.assert_only_refused(&beta.world.app, &["sign_in refused signature_unknown_kid"]).await;
        beta.idp.forge(|f| signing_with(f, 1, "k2", &[(1, "k2")]));
        beta.signs_in("by the key that is left").await;
    }
}

/// Logout tokens are the cheapest way for a stranger to name keys that do not exist.
async fn name_unknown_keys(network: &Network, from: usize, count: usize) {
    let claims = json!({ "iss": "x" }).to_string();
    let tasks: Vec<_> = (0..8)
        .map(|worker| {
            let (network, claims) = (network.clone(), claims.clone());
            tokio::spawn(async move {
                for number in (from + worker..from + count).step_by(8) {
                    let head =
                        json!({ "alg": "RS256", "kid": format!("unknown-{number}"), "typ": "logout+jwt" });
                    let token = Signer::number(2).sign(&head.to_string(), &claims);
                    let request = Request::post(format!("https://id.test/sso/backchannel-logout/{BETA_IDP}"))
                        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                        .body(Full::new(Bytes::from(format!("logout_token={token}"))))
                        .unwrap();
                    assert_eq!(network.send(request).await.status(), 400);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

on_both_databases! {
    async fn row_74_a_thousand_unknown_keys_cost_one_fetch_a_minute(kind: Kind) {
        let beta = Beta::new(kind).await;
        beta.signs_in("before").await;
        let fetches = || beta.idp.seen("/keys").len();
        assert_eq!(fetches(), 1);
        let before = Evidence::now(&beta.world.app).await;
        let network = &beta.world.app.network;
        name_unknown_keys(network, 0, 1_000).await;
        assert_eq!(fetches(), 2);
        beta.world.app.clock.advance(Duration::from_secs(59));
        name_unknown_keys(network, 1_000, 8).await;
        assert_eq!(fetches(), 2);
        // A minute later there is one more; its failure removes no good key.
        beta.world.app.clock.advance(Duration::from_secs(1));
        beta.idp.forge(|f| f.keys_reply = Some(Reply::json(500, "{}")));
        name_unknown_keys(network, 2_000, 8).await;
        assert_eq!(fetches(), 3);
        beta.signs_in("with the keys from before").await;
        let rows = [("codes", 1), ("grants", 1), ("sessions", 1)];
        // In the first minute a flood, which is twenty and one that counts the rest; then eight, and eight.
        let records =
            [("authorize done", 1), ("logout.back_channel refused signature_unknown_kid", 37), ("sign_in done", 1)];
        before.assert_exactly(&beta.world.app, &rows, &records).await;
    }
}
