//! Rows 111, 116, 118 and 122: a silent database, floods of refusals, and the modes of files.

use std::fs::{Permissions, set_permissions};
use std::net::{IpAddr, Ipv6Addr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use countersign::app::{Environment, open_broker};
use countersign::config::Config;
use countersign::flows::refusal::{FlowError, Reason, Told};
use countersign::flows::visit::Visit;
use countersign::mail::{Letter, Mailer, MailerSettings, Message, Transport};
use countersign::model::{MailId, Timestamp};
use countersign::protocol::oauth::Parameters;
use http::StatusCode;

use crate::faults::database::{assert_unavailable, healed, world_behind_proxy};
use crate::faults::rows::assert_whole;
use crate::harness::app::{ISSUER, TestApp};
use crate::harness::browser::Page;
use crate::harness::database::{Kind, TestDatabase};
use crate::harness::program::readiness;
use crate::harness::server::Server;
use crate::harness::world::World;
use crate::on_both_databases;

/// Nothing may hang: on a machine of any speed, every response comes within this time.
const AT_LAST: Duration = Duration::from_mins(1);

async fn is_ready(world: &World) -> bool {
    let answer = tokio::time::timeout(AT_LAST, readiness(world.app.management)).await.expect("an answer");
    answer.unwrap().starts_with("HTTP/1.1 200")
}

/// The form of a sign-in with the wrong password, sent.
async fn guess(world: &World) -> Page {
    let mut browser = world.browser();
    let page = browser.open(&world.globex_app.authorize_url(&[])).await;
    if !page.has("sign-in") {
        return page;
    }
    browser.press(&page, "sign-in", &[("username", "gil"), ("password", "a wrong one")]).await
}

/// Lets the database fall silent while it works on as many statements as the node has connections: guesses, and a load
/// of the directory's cache. All of them are answered.
async fn fall_silent_in_the_middle(world: &World, begin: impl AsyncFnOnce()) {
    let mut held = world.app.hold(&["LOCK TABLE apps, guesses IN ACCESS EXCLUSIVE MODE"]).await;
    let start = world.notes.authorize_url(&[]);
    let load = async { world.browser().open(&start).await };
    let stuck = async {
        let guesses = futures_util::future::join_all((0..8).map(|_| guess(world)));
        let (load, same_load, guesses) =
            tokio::join!(load, async { world.browser().open(&start).await }, guesses);
        assert_unavailable(&load);
        assert_unavailable(&same_load);
        guesses.iter().for_each(assert_unavailable);
    };
    let falling = async {
        held.wait_for_the_broker().await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        begin().await;
        // Its own connection bypasses the silence: its locks are released, and no node hears about it.
        drop(held);
    };
    tokio::time::timeout(AT_LAST, async { tokio::join!(stuck, falling) })
        .await
        .expect("nobody waits for ever");
}

/// Everything is refused while the database is silent, and everything works soon after.
async fn assert_silence_is_survived(
    world: &World,
    begin: impl AsyncFnOnce(),
    end: impl AsyncFnOnce(),
    has_server: bool,
) {
    let code = world.globex_app.code(&world.local(&mut world.browser()).await);
    assert!(is_ready(world).await);
    if has_server {
        fall_silent_in_the_middle(world, begin).await;
    } else {
        begin().await;
    }
    let everything = async {
        let (first, second, token) = tokio::join!(guess(world), guess(world), world.globex_app.redeem(&code));
        assert_unavailable(&first);
        assert_unavailable(&second);
        assert_eq!(
            (token.0, &token.1["error"]),
            (StatusCode::SERVICE_UNAVAILABLE, &"temporarily_unavailable".into())
        );
        // A crowd that needs more connections than there are is answered too.
        let crowd: Vec<_> = (0..40).map(|_| guess(world)).collect();
        for page in futures_util::future::join_all(crowd).await {
            // Who finds the queue before the hashing threads full hears that instead.
            if page.error().as_deref() != Some("busy") {
                assert_unavailable(&page);
            }
        }
        assert!(!is_ready(world).await, "it says that it is ready while it cannot write");
        let keys = world.browser().open(&format!("{ISSUER}/oauth2/jwks")).await;
        assert_eq!(keys.status, StatusCode::OK);
    };
    tokio::time::timeout(AT_LAST, everything).await.expect("everything is answered");
    end().await;
    tokio::time::timeout(AT_LAST, healed(world)).await.expect("it heals");
    let mut looks = 0;
    while !is_ready(world).await {
        looks += 1;
        assert!(looks < 100, "it is never ready again");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Nothing was done in the meantime, so the code can be redeemed once.
    assert_eq!(world.globex_app.redeem(&code).await.0, StatusCode::OK);
    assert_eq!(world.globex_app.redeem(&code).await.0, StatusCode::BAD_REQUEST);
    assert_whole(&world.app.database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_111_a_database_network_that_falls_silent() {
    let (world, proxy) = world_behind_proxy(TestDatabase::new(Kind::Postgres).await).await;
    Box::pin(assert_silence_is_survived(&world, async || proxy.fall_silent(), async || proxy.speak(), true))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_111_another_process_that_never_ends_its_write() {
    let world = World::new(Kind::Sqlite).await;
    let held = std::cell::RefCell::new(None);
    let begin = async || {
        let writing = world.app.hold(&["DELETE FROM changes WHERE seq < 0"]).await;
        held.replace(Some(writing));
    };
    let end = async || {
        let writing = held.take();
        writing.unwrap().release().await;
    };
    Box::pin(assert_silence_is_survived(&world, begin, end, false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_111_a_database_server_that_freezes() {
    let server = Server::start();
    let database = TestDatabase::on_server(&server.url()).await;
    let address = database.settings.url.clone();
    let mut world = World::on(TestApp::on(database, &address).await, "", "").await;
    Box::pin(assert_silence_is_survived(&world, async || server.freeze(), async || server.thaw(), true))
        .await;
    world.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_111_the_locks_of_a_node_that_fell_silent_end() {
    let (world, proxy) = world_behind_proxy(TestDatabase::new(Kind::Postgres).await).await;
    let code = world.globex_app.code(&world.local(&mut world.browser()).await);
    proxy.settled().await;
    // The server waits for the end of a transaction that has used the code.
    proxy.fall_silent_at_commit();
    let (status, answer) = world.globex_app.redeem(&code).await;
    assert_eq!((status.as_u16(), &answer["error"]), (503, &"temporarily_unavailable".into()));
    assert!(proxy.is_silent());
    proxy.speak();
    let redeeming = async {
        loop {
            let (status, answer) = world.globex_app.redeem(&code).await;
            if status == StatusCode::OK {
                return;
            }
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
        }
    };
    tokio::time::timeout(AT_LAST, redeeming)
        .await
        .expect("the server gives up the silent node's transaction");
    assert_eq!(world.globex_app.redeem(&code).await.0, StatusCode::BAD_REQUEST);
    assert_whole(&world.app.database).await;
}

/// What keeps every refusal from being written, but nothing from being read.
const LOCK: &[&str] = &["LOCK TABLE audit_floods IN ACCESS EXCLUSIVE MODE"];
const WRITE: &[&str] = &["DELETE FROM changes WHERE seq < 0"];

/// How many refusals the log tells of for a reason, with and without a record of their own.
async fn told(app: &TestApp, reason: &str) -> (usize, usize) {
    let records = app.audit().await.into_iter().filter(|record| record.reason.as_deref() == Some(reason));
    let (mut alone, mut counted) = (0, 0);
    for record in records {
        match record.detail.as_deref().and_then(|detail| detail.split_once(" further refusals")) {
            Some((number, _)) => counted += number.parse::<usize>().unwrap(),
            None => alone += 1,
        }
    }
    (alone, counted)
}

on_both_databases! {
    async fn row_116_a_flood_of_anonymous_refusals(kind: Kind) {
        const FLOOD: usize = 4_000;
        let world = World::new(kind).await;
        let held = world.app.hold(if kind == Kind::Sqlite { WRITE } else { LOCK }).await;
        let mut flood = tokio::task::JoinSet::new();
        for _ in 0..FLOOD {
            let broker = Arc::clone(&world.app.broker);
            flood.spawn(async move { broker.core.settle(&Visit::local(), broker.core.refuse_form(Reason::PlaceMalformed)).await });
        }
        // While nothing can be written, a few wait for their turn, and all others are answered.
        let (mut refused, mut unavailable) = (0, 0);
        let answers = async {
            for _ in 0..FLOOD - 32 {
                match flood.join_next().await.unwrap().unwrap() {
                    Ok(Told::Person(_)) => refused += 1,
                    Err(FlowError::Unavailable(_)) => unavailable += 1,
                    other => panic!("{other:?}"),
                }
            }
        };
        tokio::time::timeout(AT_LAST, answers).await.expect("a crowd does not wait for the database");
        // Two of them write, and cannot.
        assert!(unavailable <= 2, "{unavailable}");
        // Another client is refused at once, too, and has a record of its own.
        held.release().await;
        let other = Visit { address: "192.0.2.7".parse().unwrap(), ..Visit::local() };
        let broker = &world.app.broker;
        let answer = broker.core.settle(&other, broker.core.refuse_form(Reason::ProfileMalformed)).await;
        assert!(matches!(answer, Ok(Told::Person(_))), "{answer:?}");
        assert_eq!(told(&world.app, "profile_malformed").await, (1, 0));
        while let Some(waited) = flood.join_next().await {
            // Where the write itself failed, the visitor is told that something is down, and nothing is recorded.
            refused += usize::from(matches!(waited.unwrap(), Ok(Told::Person(_))));
        }
        let all_are_told = async {
            loop {
                let (alone, counted) = told(&world.app, "place_malformed").await;
                if alone + counted == refused {
                    return alone;
                }
                assert!(alone + counted < refused, "{alone} and {counted} of {refused}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let alone = tokio::time::timeout(AT_LAST, all_are_told).await.expect("every refusal is in the log");
        assert!(alone <= 20, "{alone}");
        world.local(&mut world.browser()).await.location().expect("others sign in");
    }
}

on_both_databases! {
    async fn row_122_noise_that_hides_a_guess(kind: Kind) {
        let world = World::new(kind).await;
        // More refusals than one organization's log keeps one by one, from 62 addresses.
        let registered = "client_id=wiki&redirect_uri=https%3A%2F%2Fwiki.globex.test%2Fcallback";
        let noise = Parameters::parse(&format!("{registered}&response_type=token")).unwrap();
        for network in 1..=62 {
            let visit = Visit { address: IpAddr::from([198, 51, 100, network]), ..Visit::local() };
            for _ in 0..20 {
                let refused = world.app.broker.authorization.begin_authorization(&visit, &noise).await;
                let Err(refused) = refused else { panic!("not refused") };
                let answer = world.app.broker.core.settle(&visit, refused).await;
                assert!(matches!(answer, Ok(Told::App(_))), "{answer:?}");
            }
        }
        assert_eq!(told(&world.app, "unsupported_response_type").await, (1_200, 40));
        // A guess at an account is recorded all the same, and the record names the account.
        for _ in 0..3 {
            assert_eq!(guess(&world).await.error().as_deref(), Some("bad_credentials"));
        }
        let gil = world.app.audit().await.into_iter().find_map(|record| {
            record.reason.filter(|reason| reason == "wrong_password").and(record.detail)
        });
        assert!(gil.is_some_and(|detail| detail.starts_with("account=acc_")));
        assert_eq!(told(&world.app, "wrong_password").await, (3, 0));
    }
}

on_both_databases! {
    async fn row_122_noise_from_one_wide_ipv6_network(kind: Kind) {
        let world = World::new(kind).await;
        // A /48 is what one customer of a provider has: 65,536 networks of their own.
        for subnet in 0..100_u16 {
            let address = Ipv6Addr::new(0x2001, 0xdb8, 7, subnet << 8, 0, 0, 0, 1);
            let visit = Visit { address: address.into(), ..Visit::local() };
            world.app.broker.core.settle(&visit, world.app.broker.core.refuse_form(Reason::PlaceMalformed)).await.unwrap();
        }
        assert_eq!(told(&world.app, "place_malformed").await, (80, 20));
        for subnet in 0..100_u16 {
            let address = Ipv6Addr::new(0x2001, 0xdb8, 8, subnet, 0, 0, 0, 1);
            let visit = Visit { address: address.into(), ..Visit::local() };
            world.app.broker.core.settle(&visit, world.app.broker.core.refuse_form(Reason::PlaceMalformed)).await.unwrap();
        }
        assert_eq!(told(&world.app, "place_malformed").await, (120, 80), "of a /56, half as many");
    }
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

/// A folder that others may enter, with a file that they may read.
fn open_folder(root: &Path, name: &str, file: &str) -> PathBuf {
    let folder = root.join(name);
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join(file), "").unwrap();
    set_permissions(folder.join(file), Permissions::from_mode(0o644)).unwrap();
    set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    folder
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_118_files_that_others_on_the_machine_could_read() {
    let root = tempfile::tempdir().unwrap();
    let data = open_folder(root.path(), "data", "test.db");
    let mails = open_folder(root.path(), "mails", "unrelated");
    let keys = open_folder(root.path(), "keys", "unrelated");
    let settings = [
        ("COUNTERSIGN__DATABASE__URL", format!("sqlite://{}", data.join("test.db").display())),
        ("COUNTERSIGN__SECRETS__MASTER_KEY_FILE", keys.join("master.key").display().to_string()),
    ];
    let config = Config::load(None, settings.into_iter()).unwrap();
    let environment = Environment::of_this_machine();
    let broker = open_broker(&config, &environment).await.unwrap();
    // What stays of an earlier run is closed at the next start.
    for file in ["test.db-wal", "test.db-shm"] {
        set_permissions(data.join(file), Permissions::from_mode(0o644)).unwrap();
    }
    let again = open_broker(&config, &environment).await.unwrap();
    for file in ["test.db", "test.db-wal", "test.db-shm", "test.db-lock"] {
        assert_eq!(mode(&data.join(file)), 0o600, "{file}");
    }
    assert_eq!(mode(&keys.join("master.key")), 0o600);

    let settings = MailerSettings {
        from: "Countersign <id@id.test>".to_owned(),
        transport: Transport::File(mails.clone()),
    };
    let letter = Letter {
        to: "bob@acme.test".parse().unwrap(),
        message: Message::ProfileUnlinked {
            organization: "Acme".to_owned(),
            what: "bob".to_owned(),
            account: "https://id.test/account".to_owned(),
        },
    };
    let now = Timestamp::from_unix_seconds(1_800_000_000);
    Mailer::new(&settings).unwrap().send(MailId::from_bytes([7; 16]), &letter, now).await.unwrap();
    let mail = mails.join(format!("{}.eml", MailId::from_bytes([7; 16])));
    assert_eq!(mode(&mail), 0o600);
    for folder in [&data, &mails, &keys] {
        assert_eq!(mode(folder), 0o700, "{}", folder.display());
    }
    // Files of others in the same folder are not the broker's to change.
    assert_eq!(mode(&mails.join("unrelated")), 0o644);
    broker.housekeeping.close().await;
    again.housekeeping.close().await;
}
