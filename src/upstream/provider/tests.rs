use std::collections::HashSet;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;
use crate::upstream::asker::Asker;
use crate::upstream::egress::EgressSettings;
use crate::upstream::testing::{Hands, Notes, Reply, Server, Signer, connection, jwks};

/// An identity provider on a scripted server, with a clock and a memory that the test controls.
struct Stage {
    server: Server,
    clock: Arc<Hands>,
    notes: Arc<Notes>,
    connection: Connection,
    around: Surroundings,
    provider: Arc<Provider>,
}

const METADATA: &str = "/.well-known/openid-configuration";
const KEYS: &str = "/jwks";

impl Stage {
    async fn new() -> Self {
        let server = Server::start().await;
        let (clock, notes) = (Hands::new(), Arc::new(Notes::default()));
        let connection = connection(&server.origin());
        let egress = Egress::new(&EgressSettings {
            allow: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
            extra_ca: Some(server.ca.clone()),
            ..EgressSettings::default()
        });
        let around = Surroundings {
            egress: egress.unwrap(),
            clock: clock.clone(),
            memory: notes.clone(),
            jwks_max_stale: Duration::from_hours(24),
        };
        let provider = Arc::new(Provider::new(&connection, around.clone()));
        let stage = Self { server, clock, notes, connection, around, provider };
        stage.well(&["k1"]);
        stage
    }

    /// Makes the server answer, with keys of these names.
    fn well(&self, kids: &[&str]) {
        let origin = self.server.origin();
        let metadata = json!({
            "issuer": origin,
            "authorization_endpoint": format!("{origin}/authorize"),
            "token_endpoint": format!("{origin}/token"),
            "jwks_uri": format!("{origin}{KEYS}"),
        });
        let keys: Vec<Value> = kids.iter().map(|kid| Signer::new(1, Some(kid)).jwk()).collect();
        self.server.on(METADATA, Reply::json(&metadata));
        self.server.on(KEYS, Reply::json(&jwks(&keys)));
    }

    fn down(&self) {
        self.server.on(METADATA, Reply::Text(503, "text/plain", String::new()));
        self.server.on(KEYS, Reply::Text(503, "text/plain", String::new()));
    }

    async fn kids(&self) -> Result<HashSet<String>, &'static str> {
        let keys = self.provider.keys(&self.connection).await.map_err(|error| error.code())?;
        Ok(keys.keys.iter().filter_map(|key| key.kid.clone()).collect())
    }

    /// Asks for a key that does not exist.
    async fn seek(&self) -> bool {
        let keys = self.provider.keys(&self.connection).await.unwrap();
        self.provider.newer_keys(&self.connection, &keys).await.is_some()
    }

    fn fetches(&self, path: &str) -> usize {
        self.server.seen(path).len()
    }

    /// Acts as a restart: what was in memory is lost, what was saved remains.
    fn restart(&mut self) {
        self.provider = Arc::new(Provider::new(&self.connection, self.around.clone()));
    }

    /// Waits until the fetched documents are saved.
    async fn saved(&self, complete: impl Fn(&Remembered) -> bool) {
        while !self.notes.0.lock().unwrap().get(&self.connection.id).is_some_and(&complete) {
            tokio::task::yield_now().await;
        }
    }
}

fn set(kids: &[&str]) -> HashSet<String> {
    kids.iter().map(|kid| (*kid).to_owned()).collect()
}

#[tokio::test]
async fn a_hundred_callers_make_one_fetch() {
    let stage = Arc::new(Stage::new().await);
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let stage = stage.clone();
            tokio::spawn(async move { stage.kids().await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), Ok(set(&["k1"])));
    }
    assert_eq!((stage.fetches(METADATA), stage.fetches(KEYS)), (1, 1));
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_stop_the_fetch() {
    let stage = Stage::new().await;
    let (provider, connection) = (stage.provider.clone(), stage.connection.clone());
    let caller = tokio::spawn(async move { provider.metadata(&connection).await.is_ok() });
    while stage.server.connections() == 0 {
        tokio::task::yield_now().await;
    }
    caller.abort();
    stage.provider.metadata(&stage.connection).await.unwrap();
    assert_eq!(stage.fetches(METADATA), 1);
}

#[tokio::test]
async fn keys_are_fetched_every_ten_minutes_and_metadata_every_hour() {
    let stage = Stage::new().await;
    for (advance, metadata, keys) in
        [(0, 1, 1), (599, 1, 1), (1, 1, 2), (599, 1, 2), (1, 1, 3), (2_400, 2, 4)]
    {
        stage.clock.advance(advance);
        stage.kids().await.unwrap();
        assert_eq!((stage.fetches(METADATA), stage.fetches(KEYS)), (metadata, keys), "after {advance} s");
    }
}

#[tokio::test]
async fn a_removed_key_dies_at_the_next_fetch() {
    let stage = Stage::new().await;
    stage.well(&["k1", "k2"]);
    assert_eq!(stage.kids().await, Ok(set(&["k1", "k2"])));
    stage.well(&["k2"]);
    stage.clock.advance(600);
    assert_eq!(stage.kids().await, Ok(set(&["k2"])));
    stage.down();
    stage.clock.advance(600);
    assert_eq!(stage.kids().await, Ok(set(&["k2"])));
}

#[tokio::test]
async fn unknown_keys_make_one_fetch_a_minute() {
    let stage = Stage::new().await;
    stage.kids().await.unwrap();
    stage.well(&["k2"]);
    assert!(stage.seek().await);
    for _ in 0..1_000 {
        assert!(!stage.seek().await);
    }
    assert_eq!(stage.fetches(KEYS), 2);
    stage.clock.advance(59);
    assert!(!stage.seek().await);
    stage.clock.advance(1);
    assert!(stage.seek().await);
    assert_eq!(stage.fetches(KEYS), 3);
}

#[tokio::test]
async fn a_caller_with_an_older_set_gets_the_newer_one_without_a_fetch() {
    let stage = Stage::new().await;
    let old = stage.provider.keys(&stage.connection).await.unwrap();
    stage.well(&["k2"]);
    assert!(stage.seek().await);
    let newer = stage.provider.newer_keys(&stage.connection, &old).await.unwrap();
    assert_eq!(newer.keys[0].kid.as_deref(), Some("k2"));
    assert_eq!(stage.fetches(KEYS), 2);
}

#[tokio::test]
async fn parallel_seekers_of_unknown_keys_share_one_fetch() {
    let stage = Arc::new(Stage::new().await);
    let seen = stage.provider.keys(&stage.connection).await.unwrap();
    let seekers: Vec<_> = (0..200)
        .map(|_| {
            let (stage, seen) = (stage.clone(), seen.clone());
            tokio::spawn(async move { stage.provider.newer_keys(&stage.connection, &seen).await.is_some() })
        })
        .collect();
    for seeker in seekers {
        assert!(seeker.await.unwrap());
    }
    assert_eq!(stage.fetches(KEYS), 2);
}

#[tokio::test]
async fn a_failed_fetch_evicts_nothing_and_pauses_a_minute() {
    let stage = Stage::new().await;
    stage.kids().await.unwrap();
    for broken in [
        Reply::Text(500, "application/json", String::new()),
        Reply::Text(200, "application/json", "{\"keys\":".to_owned()),
        Reply::Text(200, "text/html", "<html>".to_owned()),
        Reply::Text(302, "text/html", String::new()),
        Reply::Raw(Vec::new()),
    ] {
        stage.server.on(KEYS, broken);
        stage.clock.advance(600);
        let before = stage.fetches(KEYS);
        assert!(!stage.seek().await);
        assert_eq!(stage.kids().await, Ok(set(&["k1"])));
        stage.clock.advance(59);
        assert_eq!(stage.kids().await, Ok(set(&["k1"])));
        assert_eq!(stage.fetches(KEYS), before + 2, "one ordinary fetch and one for an unknown key");
    }
}

#[tokio::test]
async fn the_last_good_keys_serve_a_day_of_outage_and_no_longer() {
    let stage = Stage::new().await;
    stage.kids().await.unwrap();
    stage.down();
    stage.clock.advance(24 * 3_600);
    assert_eq!(stage.kids().await, Ok(set(&["k1"])));
    stage.clock.advance(1);
    assert_eq!(stage.kids().await, Err("idp_keys_too_old"));
    stage.well(&["k3"]);
    stage.clock.advance(60);
    assert_eq!(stage.kids().await, Ok(set(&["k3"])));
}

#[tokio::test]
async fn a_restart_during_an_outage_stops_nobody() {
    let mut stage = Stage::new().await;
    stage.kids().await.unwrap();
    stage.saved(|saved| saved.metadata.is_some() && saved.jwks.is_some()).await;
    stage.down();
    stage.clock.advance(7_200);
    stage.restart();
    assert_eq!(stage.kids().await, Ok(set(&["k1"])));
    stage.clock.advance(23 * 3_600);
    stage.restart();
    assert_eq!(stage.kids().await, Err("idp_keys_too_old"));
}

#[tokio::test]
async fn documents_weigh_as_much_as_what_was_read_from_them_takes() {
    let stage = Stage::new().await;
    let (kept, connection) = (Arc::new(Kept::default()), &stage.connection);
    let get =
        || kept.get(connection, || Arc::new(Provider::kept_in(&kept, connection, stage.around.clone())));
    let provider = get();
    let empty = kept.bytes();
    let metadata = provider.metadata(connection).await.unwrap();
    assert_eq!(kept.bytes(), empty + metadata.bytes());
    let keys = provider.keys(connection).await.unwrap();
    let full = empty + metadata.bytes() + keys.bytes();
    assert_eq!(kept.bytes(), full);
    // The same holds after they were forgotten and loaded again.
    stage.saved(|saved| saved.metadata.is_some() && saved.jwks.is_some()).await;
    kept.remove(connection.id);
    assert_eq!(kept.bytes(), 0);
    get().keys(connection).await.unwrap();
    assert_eq!((kept.bytes(), stage.fetches(METADATA), stage.fetches(KEYS)), (full, 1, 1));
}

#[tokio::test]
async fn what_was_remembered_for_another_issuer_is_ignored() {
    let mut stage = Stage::new().await;
    stage.kids().await.unwrap();
    stage.saved(|saved| saved.jwks.is_some()).await;
    stage.down();
    stage.notes.0.lock().unwrap().get_mut(&stage.connection.id).unwrap().issuer =
        "https://old.test".to_owned();
    stage.restart();
    assert_eq!(stage.kids().await, Err("idp_status"));
}

#[tokio::test]
async fn what_is_forgotten_under_way_is_not_saved() {
    let stage = Stage::new().await;
    stage.provider.forget();
    stage.kids().await.unwrap();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(stage.notes.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_impersonated_document_never_replaces_the_good_one() {
    let stage = Stage::new().await;
    let good = stage.provider.metadata(&stage.connection).await.unwrap();
    let evil = json!({
        "issuer": "https://evil.test",
        "authorization_endpoint": "https://evil.test/a",
        "token_endpoint": "https://evil.test/t",
        "jwks_uri": "https://evil.test/k",
    });
    stage.server.on(METADATA, Reply::json(&evil));
    stage.clock.advance(3_600);
    assert_eq!(stage.provider.metadata(&stage.connection).await.unwrap(), good);
    let fresh = Arc::new(Provider::new(&connection(&stage.server.origin()), stage.around.clone()));
    stage.notes.0.lock().unwrap().clear();
    let fetches = stage.fetches(METADATA);
    for _ in 0..20 {
        let error = fresh.metadata(&stage.connection).await.unwrap_err();
        assert_eq!(error.code(), "metadata_issuer_mismatch");
    }
    assert_eq!(stage.fetches(METADATA), fetches + 5, "after five failures the provider is left alone");
    stage.clock.advance(10);
    stage.well(&["k1"]);
    assert!(fresh.metadata(&stage.connection).await.is_ok());
}

#[tokio::test]
async fn a_clock_that_was_set_back_makes_nothing_fresh() {
    let stage = Stage::new().await;
    stage.kids().await.unwrap();
    stage.clock.set_back(3_600);
    stage.kids().await.unwrap();
    assert_eq!((stage.fetches(METADATA), stage.fetches(KEYS)), (2, 2));
}

#[tokio::test]
async fn a_dead_endpoint_opens_the_breaker_of_its_connection_alone() {
    let stage = Stage::new().await;
    stage.server.on("/token", Reply::Text(502, "text/html", String::new()));
    let call = async |provider: &Provider| {
        let request = Request::post(format!("{}/token", stage.server.origin())).body(Bytes::new()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        let asker = Asker::stranger("192.0.2.1");
        provider
            .call(request, Errand { asker: &asker, gate: None, deadline })
            .await
            .map_err(|error| error.code())
    };
    for _ in 0..5 {
        assert_eq!(call(&stage.provider).await.unwrap_err(), "idp_status");
    }
    assert_eq!(call(&stage.provider).await.unwrap_err(), "idp_breaker_open");
    assert_eq!(stage.fetches("/token"), 5);
    let other = Provider::new(&stage.connection, stage.around.clone());
    assert_eq!(call(&other).await.unwrap_err(), "idp_status");
    assert!(stage.kids().await.is_ok(), "metadata and keys are not behind the breaker");
    stage.clock.advance(10);
    stage.server.on("/token", Reply::Text(400, "application/json", "{}".to_owned()));
    assert_eq!(call(&stage.provider).await.unwrap().status(), 400);
    assert!(call(&stage.provider).await.is_ok());
}
