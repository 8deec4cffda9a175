//! The real program, killed, out of disk, and asked to leave.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use url::Url;

use super::database::{server_of, through};
use super::rows::assert_whole;
use crate::harness::browser::{BoxError, Browser, Network};
use crate::harness::database::{Kind, TestDatabase};
use crate::harness::program::{Program, balanced, readiness};
use crate::harness::proxy::Proxy;
use crate::harness::relying_app::RelyingApp;
use crate::harness::server::Server;
use crate::harness::world::PASSWORD;
use crate::on_both_databases;

const SIGN_INS: usize = 200;

/// What people and apps were told was done.
#[derive(Default)]
pub(super) struct Acknowledged {
    pub signed_in: Vec<Browser>,
    /// Browsers with the flow cookie that was used up, and the callback that used it up.
    callbacks: Vec<(Browser, Url)>,
    redeemed: Vec<(RelyingApp, String)>,
    /// The old and the new refresh token.
    pub refreshed: Vec<(RelyingApp, String, String)>,
}

/// The user who signs in.
#[derive(Clone)]
pub(super) struct People {
    network: Network,
    notes: RelyingApp,
    wiki: RelyingApp,
    acknowledged: Arc<Mutex<Acknowledged>>,
    done: Arc<AtomicUsize>,
}

impl People {
    pub(super) fn of(program: &Program) -> Self {
        Self {
            network: program.network.clone(),
            notes: program.notes.clone(),
            wiki: program.wiki.clone(),
            acknowledged: Arc::default(),
            done: Arc::default(),
        }
    }

    /// Signs in again and again until there were enough sign-ins; after a failure, tries again.
    async fn sign_in(self, mut number: usize) {
        while self.done.load(Ordering::SeqCst) < SIGN_INS {
            number += 1;
            let attempt = if number.is_multiple_of(4) { self.local().await } else { self.brokered().await };
            if attempt.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// How many sign-ins there were.
    pub(super) fn done(&self) -> usize {
        self.done.load(Ordering::SeqCst)
    }

    /// What they were told was done, so far.
    pub(super) async fn take_acknowledged(&self) -> Acknowledged {
        std::mem::take(&mut *self.acknowledged.lock().await)
    }

    /// Four who sign in, redeem their codes and refresh, again and again until it is over, and never fail. Each gives how
    /// often it did.
    pub(super) fn without_fail(&self, over: &Arc<AtomicBool>) -> Vec<JoinHandle<usize>> {
        (0..4)
            .map(|number| {
                let (people, over) = (self.clone(), Arc::clone(over));
                tokio::spawn(async move {
                    let mut done = 0;
                    while !over.load(Ordering::SeqCst) {
                        done += 1;
                        let attempt = if (number + done) % 8 == 0 {
                            people.local().await
                        } else {
                            people.brokered().await
                        };
                        attempt.unwrap_or_else(|error| panic!("sign-in {done} of worker {number}: {error}"));
                    }
                    done
                })
            })
            .collect()
    }

    pub(super) async fn brokered(&self) -> Result<(), BoxError> {
        let mut browser = Browser::new(&self.network);
        let page = browser.try_open(&self.notes.authorize_url(&[("domain_hint", "acme.test")])).await?;
        if !page.has("emulator-sign-in") {
            return Err(page.body.into());
        }
        let before = browser.clone();
        let fields = [("username", "bob"), ("password", "idp-password")];
        let end = browser.try_press(&page, "emulator-sign-in", &fields).await?;
        let code = end.location_parameter("code").ok_or(end.body)?;
        self.acknowledged.lock().await.callbacks.push((before, end.url));
        self.with_code(browser, &self.notes, code).await
    }

    async fn local(&self) -> Result<(), BoxError> {
        let mut browser = Browser::new(&self.network);
        let page = browser.try_open(&self.wiki.authorize_url(&[])).await?;
        if !page.has("sign-in") {
            return Err(page.body.into());
        }
        let fields = [("username", "gil"), ("password", PASSWORD)];
        let end = browser.try_press(&page, "sign-in", &fields).await?;
        let code = end.location_parameter("code").ok_or(end.body)?;
        self.with_code(browser, &self.wiki, code).await
    }

    async fn with_code(&self, browser: Browser, app: &RelyingApp, code: String) -> Result<(), BoxError> {
        self.done.fetch_add(1, Ordering::SeqCst);
        self.acknowledged.lock().await.signed_in.push(browser);
        let (status, tokens) = app.try_redeem(&code).await?;
        answered(status, &tokens)?;
        assert_eq!(status, StatusCode::OK, "a code that was acknowledged is there: {tokens}");
        self.acknowledged.lock().await.redeemed.push((app.clone(), code));
        let old = tokens["refresh_token"].as_str().unwrap().to_owned();
        let (status, tokens) = app.try_refresh(&old).await?;
        answered(status, &tokens)?;
        assert_eq!(status, StatusCode::OK, "a refresh token that was acknowledged is there: {tokens}");
        let new = tokens["refresh_token"].as_str().unwrap().to_owned();
        self.acknowledged.lock().await.refreshed.push((app.clone(), old, new));
        Ok(())
    }
}

/// Whether an app was told whether it was done: 503 leaves that open.
fn answered(status: StatusCode, answer: &Value) -> Result<(), BoxError> {
    if status == StatusCode::SERVICE_UNAVAILABLE { Err(answer.to_string().into()) } else { Ok(()) }
}

/// Everything acknowledged is there, and everything used up stays used up.
pub(super) async fn assert_kept(acknowledged: Acknowledged, program: &Program) {
    for mut browser in acknowledged.signed_in {
        assert!(browser.open("https://id.test/account").await.has("sign-out"), "a session was lost");
    }
    let sessions = program.count("sessions").await;
    for (mut browser, callback) in acknowledged.callbacks {
        let page = browser.request(Method::GET, &callback, None, "cross-site", None).await;
        assert_eq!(page.error().as_deref(), Some("flow_finished"), "{}", page.body);
    }
    assert_eq!(program.count("sessions").await, sessions);
    for (app, old, new) in acknowledged.refreshed {
        let (status, tokens) = app.try_refresh(&new).await.unwrap();
        assert_eq!(status, StatusCode::OK, "{tokens}");
        let (status, answer) = app.try_refresh(&old).await.unwrap();
        assert_eq!((status, &answer["error"]), (StatusCode::BAD_REQUEST, &"invalid_grant".into()));
    }
    for (app, code) in acknowledged.redeemed {
        let (status, answer) = app.redeem(&code).await;
        assert_eq!((status, &answer["error"]), (StatusCode::BAD_REQUEST, &"invalid_grant".into()));
    }
}

on_both_databases! {
    async fn kill_9_at_random_points_of_200_sign_ins_loses_nothing_that_was_acknowledged(kind: Kind) {
        let mut program = Program::start(kind).await;
        let people = People::of(&program);
        let workers: Vec<_> = (0..4).map(|number| tokio::spawn(people.clone().sign_in(number))).collect();
        let mut random = StdRng::seed_from_u64(11);
        // The faults are so rare that every request outside them gets through, on a machine of any speed.
        let mut kills = 0;
        while people.done() < SIGN_INS && kills < 20 {
            tokio::time::sleep(Duration::from_millis(random.random_range(50..1_500))).await;
            program.node().kill().await;
            kills += 1;
            program.node().restart().await;
        }
        for worker in workers {
            worker.await.unwrap();
        }
        program.node().kill().await;
        program.node().restart().await;
        assert!(kills >= 3, "{kills}");

        assert_whole(&program.database).await;
        if kind == Kind::Sqlite {
            assert_eq!(program.count("pragma_integrity_check WHERE integrity_check <> 'ok'").await, 0);
            assert_eq!(program.count("pragma_foreign_key_check").await, 0);
        }
        assert_eq!(program.count("profiles WHERE issuer <> 'local'").await, 1, "bob came many times and is one");
        let acknowledged = people.take_acknowledged().await;
        assert!(acknowledged.signed_in.len() >= SIGN_INS && acknowledged.refreshed.len() > SIGN_INS / 2);
        assert_kept(acknowledged, &program).await;
        assert_whole(&program.database).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_are_restarted_one_after_another_fail_nobody() {
    let mut program = Program::with_nodes(Kind::Postgres, 3).await;
    let balancer = balanced(&program.nodes).await;
    program.reached_at(balancer);
    let people = People::of(&program);
    // The first one makes the account; of several first ones at once all but one would be told to begin again.
    people.brokered().await.unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let workers = people.without_fail(&over);
    for node in &mut program.nodes {
        let began = people.done();
        node.ask_to_leave();
        assert!(node.ended().await.success());
        node.restart().await;
        // The balancer finds it, and it serves again before the next one leaves.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(people.done() > began, "nobody signed in meanwhile");
    }
    over.store(true, Ordering::SeqCst);
    let mut done = 0;
    for worker in workers {
        done += worker.await.unwrap();
    }
    assert!(done >= 12, "{done}");
    assert_whole(&program.database).await;
    assert_kept(people.take_acknowledged().await, &program).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_takes_over_in_the_middle_of_200_sign_ins_has_what_was_acknowledged() {
    let primary = Server::start();
    let proxy = Proxy::to(server_of(&primary.url())).await;
    let database = TestDatabase::on_server(&through(&primary.url(), |_| proxy.address)).await;
    let standby = primary.followed();
    let mut program = Program::on(database, 1).await;
    let public = program.nodes[0].public;
    program.reached_at(public);
    let people = People::of(&program);
    let workers: Vec<_> = (0..4).map(|number| tokio::spawn(people.clone().sign_in(number))).collect();
    while people.done() < SIGN_INS / 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    primary.crash();
    proxy.cut();
    let before = people.done();
    assert!(before < SIGN_INS, "the crash comes in the middle");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(people.done() <= before + 4, "nothing is acknowledged without a database");
    standby.promote();
    proxy.turn_to(server_of(&standby.url()));
    proxy.cut();
    for worker in workers {
        worker.await.unwrap();
    }
    let acknowledged = people.take_acknowledged().await;
    assert!(acknowledged.signed_in.len() >= SIGN_INS && acknowledged.refreshed.len() > SIGN_INS / 2);
    assert_kept(acknowledged, &program).await;
    assert_whole(&program.database).await;
}

/// How large a file of the program may become.
fn limit_files(program: &Program, bytes: Option<u64>) {
    let process = Pid::from_raw(i32::try_from(program.nodes[0].id()).unwrap());
    let maximum = rustix::process::getrlimit(Resource::Fsize).maximum;
    prlimit(process, Resource::Fsize, Rlimit { current: bytes, maximum }).unwrap();
}

async fn get(network: &Network, path: &str) -> StatusCode {
    let request = Request::get(format!("https://id.test{path}")).body(Full::default()).unwrap();
    network.send(request).await.status()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_what_must_be_written_and_nothing_else() {
    let program = Program::start(Kind::Sqlite).await;
    let management = program.nodes[0].management;
    let mut browser = program.browser();
    let page = browser.open(&program.wiki.authorize_url(&[])).await;
    let fields = [("username", "gil"), ("password", PASSWORD)];
    let end = browser.press(&page, "sign-in", &fields).await;
    let code = program.wiki.code(&end);
    let mut other = program.browser();
    let page = other.open(&program.wiki.authorize_url(&[])).await;
    let rows = ["sessions", "codes WHERE used_at IS NOT NULL", "audit", "guesses"];
    let before = program.database.count_rows(&rows).await;

    // No file can grow any more: neither the database nor, as it is a file here, the log.
    limit_files(&program, Some(4_096));
    for _ in 0..3 {
        for password in [PASSWORD, "a wrong one"] {
            let fields = [("username", "gil"), ("password", password)];
            let refused = other.press(&page, "sign-in", &fields).await;
            assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{password}: {}", refused.body);
            assert!(refused.headers.contains_key(header::RETRY_AFTER));
            assert_eq!(refused.error().as_deref(), Some("temporarily_unavailable"));
        }
        let (status, answer) = program.wiki.redeem(&code).await;
        assert_eq!((status.as_u16(), &answer["error"]), (503, &"temporarily_unavailable".into()));
        for path in ["/oauth2/jwks", "/.well-known/openid-configuration"] {
            assert_eq!(get(&program.network, path).await, StatusCode::OK, "{path}");
        }
        let ready = readiness(management).await.unwrap();
        assert!(ready.ends_with("not ready: the database cannot be read or written\n"), "{ready}");
    }
    assert_eq!(program.database.count_rows(&rows).await, before);

    limit_files(&program, None);
    assert!(readiness(management).await.unwrap().starts_with("HTTP/1.1 200"));
    let (status, tokens) = program.wiki.redeem(&code).await;
    assert_eq!(status, StatusCode::OK, "{tokens}");
    let end = other.press(&page, "sign-in", &fields).await;
    assert!(end.location_parameter("code").is_some(), "{}", end.body);
    assert_whole(&program.database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_asked_to_stop_says_so_first_and_serves_on_for_a_while() {
    let mut program = Program::start(Kind::Sqlite).await;
    let management = program.node().management;
    assert!(readiness(management).await.unwrap().starts_with("HTTP/1.1 200"));
    program.node().ask_to_leave();
    let mut answer = readiness(management).await.unwrap();
    while answer.starts_with("HTTP/1.1 200") {
        answer = readiness(management).await.unwrap();
    }
    assert!(answer.ends_with("not ready: draining\n"), "{answer}");
    // A load balancer that has not noticed yet still sends people.
    assert_eq!(get(&program.network, "/.well-known/openid-configuration").await, StatusCode::OK);
    assert!(program.node().ended().await.success());
    assert!(program.network.socket("id.test").await.is_err());
}
