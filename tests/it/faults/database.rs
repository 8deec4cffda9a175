//! A database that goes away, comes back, and does not say whether it has committed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Method, StatusCode, header};
use url::Url;

use super::rows::assert_whole;
use crate::harness::app::{ISSUER, TestApp};
use crate::harness::browser::Page;
use crate::harness::database::{Kind, TestDatabase};
use crate::harness::proxy::Proxy;
use crate::harness::server::Server;
use crate::harness::world::{PASSWORD, World};

/// The address of the server in a URL, and the URL with another address in its place.
pub(super) fn through(url: &str, proxy: impl FnOnce(SocketAddr) -> SocketAddr) -> String {
    let mut changed = Url::parse(url).unwrap();
    let address = proxy(server_of(url));
    changed.set_host(Some(&address.ip().to_string())).unwrap();
    changed.set_port(Some(address.port())).unwrap();
    changed.into()
}

pub(super) fn server_of(url: &str) -> SocketAddr {
    let url = Url::parse(url).unwrap();
    format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5_432)).parse().unwrap()
}

/// A world whose database is reached through a proxy.
pub async fn world_behind_proxy(database: TestDatabase) -> (World, Proxy) {
    let proxy = Proxy::to(server_of(&database.settings.url)).await;
    let url = through(&database.settings.url, |_| proxy.address);
    (World::on(TestApp::on(database, &url).await, "", "").await, proxy)
}

pub fn assert_unavailable(page: &Page) {
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE, "{}: {}", page.url, page.body);
    let seconds = page.headers.get(header::RETRY_AFTER).unwrap().to_str().unwrap();
    assert!(seconds.parse::<u64>().unwrap() <= 3, "{seconds}");
}

async fn status(world: &World, path: &str) -> StatusCode {
    world.browser().open(&format!("{ISSUER}{path}")).await.status
}

/// Waits until sign-ins work again.
pub async fn healed(world: &World) -> String {
    for _ in 0..200 {
        let mut browser = world.browser();
        let page = browser.open(&world.globex_app.authorize_url(&[])).await;
        if page.has("sign-in") {
            let fields = [("username", "gil"), ("password", PASSWORD)];
            let end = browser.press(&page, "sign-in", &fields).await;
            if end.location().is_some() {
                return world.globex_app.code(&end);
            }
            assert_unavailable(&end);
        } else {
            assert_unavailable(&page);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it does not heal");
}

/// What people and apps see while `down` has happened, until `up`.
async fn assert_outage_is_survived(world: &World, down: impl FnOnce(), up: impl AsyncFnOnce()) {
    let mut browser = world.browser();
    let code = world.globex_app.code(&world.local(&mut browser).await);
    let mut other = world.browser();
    let form = other.open(&world.globex_app.authorize_url(&[])).await;
    let mut third = world.browser();
    let at_provider = third.open(&world.notes.authorize_url(&[("domain_hint", "acme.test")])).await;
    let fields = [("username", "bob"), ("password", "idp-password")];
    let returned = third.press_only(&at_provider, "emulator-sign-in", &fields).await;
    let callback = returned.location().unwrap();

    down();
    let fields = [("username", "gil"), ("password", PASSWORD)];
    assert_unavailable(&other.press(&form, "sign-in", &fields).await);
    assert_unavailable(&third.clone().request(Method::GET, &callback, None, "cross-site", None).await);
    let (token, answer) = world.globex_app.redeem(&code).await;
    assert_eq!(
        (token, &answer["error"]),
        (StatusCode::SERVICE_UNAVAILABLE, &"temporarily_unavailable".into())
    );
    for path in ["/oauth2/jwks", "/.well-known/openid-configuration"] {
        assert_eq!(status(world, path).await, StatusCode::OK, "{path}");
    }

    up().await;
    world.globex_app.redeem(&healed(world).await).await;
    // Nothing was done in the meantime, so everything can be done now, once.
    let (token, answer) = world.globex_app.redeem(&code).await;
    assert_eq!(token, StatusCode::OK, "{answer}");
    assert_eq!(world.globex_app.redeem(&code).await.0, StatusCode::BAD_REQUEST);
    let end = third.request(Method::GET, &callback, None, "cross-site", None).await;
    world.notes.code(&end);
    let again = third.request(Method::GET, &callback, None, "cross-site", None).await;
    assert_eq!(again.location(), None, "{}", again.body);
    let end = other.press(&form, "sign-in", &fields).await;
    world.globex_app.code(&end);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_out_of_reach_is_503_and_heals() {
    let (world, proxy) = world_behind_proxy(TestDatabase::new(Kind::Postgres).await).await;
    assert_outage_is_survived(&world, || proxy.close(), async || proxy.open()).await;
    assert_whole(&world.app.database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_restarted_is_503_and_heals() {
    let server = Server::start();
    let database = TestDatabase::on_server(&server.url()).await;
    let address = database.settings.url.clone();
    let world = World::on(TestApp::on(database, &address).await, "", "").await;
    assert_outage_is_survived(&world, || server.stop(), async || server.start_again()).await;
    assert_whole(&world.app.database).await;
    let mut world = world;
    world.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_takes_over_has_everything_that_was_acknowledged() {
    let primary = Server::start();
    // What leads to whichever server is in charge: an address that moves, as operators have it.
    let proxy = Proxy::to(server_of(&primary.url())).await;
    let url = through(&primary.url(), |_| proxy.address);
    let database = TestDatabase::on_server(&url).await;
    let address = database.settings.url.clone();
    let standby = primary.followed();
    let world = World::on(TestApp::on(database, &address).await, "", "").await;
    let down = || {
        primary.crash();
        proxy.cut();
    };
    let up = async || {
        standby.promote();
        proxy.turn_to(server_of(&standby.url()));
        proxy.cut();
    };
    assert_outage_is_survived(&world, down, up).await;
    assert_whole(&world.app.database).await;
    let mut world = world;
    world.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_cut_off_from_the_news_serves_nothing_old_afterwards() {
    let (world, proxy) = world_behind_proxy(TestDatabase::new(Kind::Postgres).await).await;
    let start = world.notes.authorize_url(&[("domain_hint", "acme.test")]);
    assert!(world.browser().open(&start).await.has("emulator-sign-in"));
    proxy.close();
    // What changes cannot be read, so that the node forgets all it knows.
    let mut tries = 0;
    while status(&world, start.strip_prefix(ISSUER).unwrap()).await != StatusCode::SERVICE_UNAVAILABLE {
        tries += 1;
        assert!(tries < 1_000, "it serves on what it knew");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Meanwhile the connection is disabled, and the notice of it is lost.
    world.app.database.run("UPDATE connections SET enabled = FALSE").await;
    proxy.open();
    let mut waited = 0;
    while world.browser().open(&start).await.has("emulator-sign-in") {
        waited += 1;
        assert!(waited < 1_000, "the old connection is still served");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connections_cut_in_the_middle_of_requests_double_nothing() {
    let (world, proxy) = world_behind_proxy(TestDatabase::new(Kind::Postgres).await).await;
    // Of several first sign-ins at once all but one would be told to begin again.
    world.brokered(&mut world.browser()).await;
    let world = Arc::new(world);
    let redeemed = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let (world, redeemed) = (Arc::clone(&world), Arc::clone(&redeemed));
            tokio::spawn(async move {
                while redeemed.load(Ordering::SeqCst) < 40 {
                    let mut browser = world.browser();
                    let page =
                        browser.open(&world.notes.authorize_url(&[("domain_hint", "acme.test")])).await;
                    if !page.has("emulator-sign-in") {
                        assert_unavailable(&page);
                        continue;
                    }
                    let end = world.sign_in_at_provider(&mut browser, &page).await;
                    if end.location().is_none() {
                        assert_unavailable(&end);
                        continue;
                    }
                    let (status, answer) = world.notes.redeem(&world.notes.code(&end)).await;
                    let known = [StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE];
                    assert!(known.contains(&status), "{status}: {answer}");
                    redeemed.fetch_add(usize::from(status == StatusCode::OK), Ordering::SeqCst);
                }
            })
        })
        .collect();
    // Thirty cuts. On a machine of any speed, what follows them gets through.
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        proxy.cut();
    }
    for worker in workers {
        worker.await.unwrap();
    }
    healed(&world).await;
    assert_whole(&world.app.database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_commit_of_a_redemption_leaves_the_code_redeemed() {
    let (world, proxy) = world_behind_proxy(TestDatabase::new(Kind::Postgres).await).await;
    let code = world.globex_app.code(&world.local(&mut world.browser()).await);
    proxy.settled().await;
    proxy.swallow_commit(1);
    let (status, answer) = world.globex_app.redeem(&code).await;
    assert_eq!((status.as_u16(), &answer["error"]), (503, &"temporarily_unavailable".into()));
    assert_eq!(proxy.swallowed(), 1);
    // The app may try again. That the first attempt was committed is known by now, and nothing is issued twice.
    let (status, answer) = world.globex_app.redeem(&code).await;
    assert_eq!((status.as_u16(), &answer["error"]), (400, &"invalid_grant".into()));
    let counts = world.app.count_rows(&["codes WHERE used_at IS NOT NULL", "refresh_tokens"]).await;
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
    assert_whole(&world.app.database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_commit_of_a_sign_in_leaves_the_state_spent() {
    let (world, proxy) = world_behind_proxy(TestDatabase::new(Kind::Postgres).await).await;
    // The first commit of a callback spends the state, the second signs in.
    for (commit, sessions) in [(1, 0), (2, 1)] {
        let before = world.app.count_rows(&["sessions"]).await["sessions"];
        let mut browser = world.browser();
        let page = browser.open(&world.notes.authorize_url(&[("domain_hint", "acme.test")])).await;
        let fields = [("username", "bob"), ("password", "idp-password")];
        let returned = browser.press_only(&page, "emulator-sign-in", &fields).await;
        let callback = returned.location().unwrap();
        proxy.settled().await;
        proxy.swallow_commit(commit);
        let first = browser.request(Method::GET, &callback, None, "cross-site", None).await;
        assert_unavailable(&first);
        assert_eq!(proxy.swallowed(), commit);
        let second = browser.request(Method::GET, &callback, None, "cross-site", None).await;
        assert_eq!(second.error().as_deref(), Some("flow_finished"), "{}", second.body);
        assert_eq!(world.app.count_rows(&["sessions"]).await["sessions"], before + sessions);
        assert_whole(&world.app.database).await;
        // A new attempt works.
        let end = world.brokered(&mut world.browser()).await;
        world.notes.code(&end);
    }
}
