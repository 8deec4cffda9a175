//! The broker's own keys, rotated while people sign in.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use countersign::crypto::jws;
use countersign::flows::keys::Rotation;
use countersign::model::{Caller, Clock, SigningAlg, Timestamp};
use countersign::protocol::jose::{CompactJws, JwkSet};
use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::harness::database::Kind;
use crate::harness::relying_app::claims;
use crate::harness::world::{PASSWORD, World};
use crate::on_both_databases;

/// How long an app may keep the keys (`Cache-Control: max-age`).
const CACHE: Duration = Duration::from_mins(5);

/// An app that keeps the keys as long as it may, and checks every token with what it has.
#[derive(Default)]
struct CarefulApp {
    keys: Mutex<Option<(JwkSet, Timestamp)>>,
    used: Mutex<BTreeSet<String>>,
    /// Tokens that have not expired, to be verifiable until they do.
    living: Mutex<Vec<(String, SigningAlg)>>,
    checked: AtomicUsize,
    stop: AtomicBool,
}

async fn published(world: &World) -> JwkSet {
    let request = Request::get("https://id.test/oauth2/jwks").body(Full::default()).unwrap();
    JwkSet::parse(world.app.network.send(request).await.body()).unwrap()
}

fn verify(keys: &JwkSet, token: &str, alg: SigningAlg) -> String {
    let jws = CompactJws::parse(token, 16_384).unwrap();
    let key = jws::select_key(keys, jws.header(), alg)
        .unwrap_or_else(|error| panic!("{:?} of {alg:?}: {error}", jws.header().kid));
    jws::verify(&jws, alg, key).unwrap();
    jws.header().kid.clone().unwrap()
}

impl CarefulApp {
    async fn check(&self, world: &World, token: &str, alg: SigningAlg) {
        let mut keys = self.keys.lock().await;
        let now = world.app.clock.now();
        if keys.as_ref().is_none_or(|(_, fetched_at)| now.since(*fetched_at) >= CACHE) {
            *keys = Some((published(world).await, now));
        }
        let kid = verify(&keys.as_ref().unwrap().0, token, alg);
        self.used.lock().await.insert(kid);
        self.living.lock().await.push((token.to_owned(), alg));
    }

    /// Signs in, again and again; the session carries it until it ends.
    async fn sign_in(&self, world: &World) {
        let mut browser = world.browser();
        while !self.stop.load(Ordering::SeqCst) {
            let mut page = browser.open(&world.globex_app.authorize_url(&[])).await;
            if page.has("sign-in") {
                let fields = [("username", "gil"), ("password", PASSWORD)];
                page = browser.press(&page, "sign-in", &fields).await;
            }
            let Some(code) = page.location_parameter("code") else { continue };
            let (status, tokens) = world.globex_app.redeem(&code).await;
            if status != StatusCode::OK {
                // The clock was moved on between the code and its redemption.
                assert_eq!(tokens["error"], "invalid_grant");
                continue;
            }
            self.check(world, tokens["id_token"].as_str().unwrap(), SigningAlg::RS256).await;
            self.check(world, tokens["access_token"].as_str().unwrap(), SigningAlg::ES256).await;
            self.checked.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Waits until more tokens were checked, then checks all that are still valid against the published keys.
    async fn more(&self, world: &World) {
        let before = self.checked.load(Ordering::SeqCst);
        while self.checked.load(Ordering::SeqCst) < before + 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let keys = published(world).await;
        let now = world.app.clock.now().unix_seconds();
        let mut living = self.living.lock().await;
        living.retain(|(token, _)| claims(token)["exp"].as_i64().unwrap() > now);
        for (token, alg) in living.iter() {
            verify(&keys, token, *alg);
        }
    }
}

on_both_databases! {
    async fn own_keys_rotate_under_load_and_every_token_verifies(kind: Kind) {
        let world = Arc::new(World::new(kind).await);
        let app = Arc::new(CarefulApp::default());
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let (world, app) = (Arc::clone(&world), Arc::clone(&app));
                tokio::spawn(async move { app.sign_in(&world).await })
            })
            .collect();
        app.more(&world).await;
        let second = Duration::from_secs(1);
        for round in 1..=4 {
            let made = world.app.broker.keys.rotate_signing_keys(Caller::Operator(None), Rotation::All).await.unwrap();
            let new: BTreeSet<String> = made.iter().map(|key| key.id.to_string()).collect();
            assert_eq!(new.len(), 2, "one for each algorithm");
            let switch = made[0].times.signs_from.since(world.app.clock.now());
            assert!(switch >= CACHE, "a new key is known to every cache before it signs");
            app.more(&world).await;
            // Around the switch in steps shorter than a cache's life, then past the end of the last old token.
            for step in [switch.saturating_sub(150 * second), 100 * second, 100 * second, 100 * second, 299 * second] {
                world.app.clock.advance(step);
                world.app.broker.keys.reload_signing_keys().await.unwrap();
                app.more(&world).await;
                let now = world.app.clock.now();
                let used = app.used.lock().await;
                assert!(made[0].times.signs_from <= now || used.is_disjoint(&new), "a key signed before its time");
            }
            assert!(app.used.lock().await.is_superset(&new), "round {round}: the new keys sign");
        }
        app.stop.store(true, Ordering::SeqCst);
        for worker in workers {
            worker.await.unwrap();
        }
        let rotations: Vec<Value> = world.app.audit().await.into_iter().filter(|record| record.action == "keys.rotate")
            .map(|record| record.succeeded.into()).collect();
        assert_eq!(rotations, [true, true, true, true].map(Value::from));
    }
}
