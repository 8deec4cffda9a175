//! Identity providers that are slow, down or wrong: they affect their own organization and no other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use countersign::emulator::Fault;
use countersign::flows::Broker;
use countersign::flows::directory::DirectoryLoad;
use countersign::flows::visit::Visit;
use http::Method;
use serde_json::json;
use tokio::sync::Barrier;
use url::Url;

use crate::harness::beta::Beta;
use crate::harness::browser::{Browser, Page};
use crate::harness::database::Kind;
use crate::harness::evidence::Evidence;
use crate::harness::hostile::{Answer, Forgery, Reply, Signer, Step, head};
use crate::harness::world::World;
use crate::on_both_databases;

const JSON: (&str, &str) = ("content-type", "application/json");

/// Longer than a breaker stays open.
const BREAKER_CLOSES: Duration = Duration::from_secs(10);

/// Ten gigabytes, announced or sent without end.
fn huge(announced: bool) -> Reply {
    if announced {
        let head = head(200, &[JSON, ("content-length", "10737418240")]);
        return Reply(vec![Step::Send(head), Step::Endless(vec![b' '; 0x0001_0000])]);
    }
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x0001_0000)).into_bytes();
    Reply(vec![Step::Send(head(200, &[JSON, ("transfer-encoding", "chunked")])), Step::Endless(chunk)])
}

/// Makes every token answer this one.
fn answer_all(beta: &Beta, reply: Answer) {
    beta.idp.forge(move |f| f.token_reply = Some(Arc::clone(&reply)));
}

on_both_databases! {
    async fn a_provider_in_trouble_is_cut_off_while_others_sign_in(kind: Kind) {
        let beta = Beta::new(kind).await;
        beta.signs_in("before").await;
        beta.world.brokered(&mut beta.browser()).await;
        let troubles: [(&str, u16, &str, Answer); 7] = [
            ("silent", 502, "outbound_timeout", Arc::new(|_| Reply::hang(""))),
            ("silent in the middle", 502, "outbound_timeout", Arc::new(|text| {
                Reply::hang([head(200, &[JSON, ("content-length", "9999")]), text.into_bytes()].concat())
            })),
            ("gone", 502, "outbound_broken_answer", Arc::new(|_| Reply(vec![Step::Cut]))),
            ("500", 502, "idp_status", Arc::new(|_| Reply::json(500, "{}"))),
            ("garbage", 400, "token_answer_json", Arc::new(|_| Reply::json(200, "\u{0}\u{1}<html>"))),
            ("10 GB announced", 502, "outbound_too_large", Arc::new(|_| huge(true))),
            ("10 GB in chunks", 502, "outbound_too_large", Arc::new(|_| huge(false))),
        ];
        for (name, status, reason, reply) in troubles {
            answer_all(&beta, reply);
            beta.world.app.clock.advance(BREAKER_CLOSES);
            let before = Evidence::now(&beta.world.app).await;
            let asked = beta.idp.seen("/token").len();
            let mut browser = beta.browser();
            let callback = beta.callback(&mut browser, &[]).await;
            let in_trouble = tokio::spawn(async move { arrive(&mut browser, &callback).await });
            while beta.idp.seen("/token").len() == asked {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            // The identity provider has the request. In the meantime a user signs in at another one.
            let end = beta.world.brokered(&mut beta.browser()).await;
            assert!(end.location_parameter("code").is_some(), "{name}: {}", end.body);
            let end = in_trouble.await.unwrap();
            assert_eq!(end.status, status, "{name}: {}", end.body);
            let changes = before.changes(&beta.world.app).await;
            assert_eq!(changes.rows, BTreeMap::from([("codes", 1), ("grants", 1), ("sessions", 1)]), "{name}");
            let refused: Vec<&String> = changes.audit.iter().filter(|line| line.contains("refused")).collect();
            assert_eq!(refused, [&format!("sign_in refused {reason}")], "{name}");
            assert_eq!(changes.audit.len(), 3, "{name}: {:?}", changes.audit);
        }
        beta.idp.behave();
        beta.world.app.clock.advance(BREAKER_CLOSES);
        beta.signs_in("after").await;
    }
}

async fn arrive(browser: &mut Browser, callback: &Url) -> Page {
    browser.request(Method::GET, callback, None, "cross-site", None).await
}

on_both_databases! {
    async fn a_breaker_opens_for_its_connection_alone_and_closes_again(kind: Kind) {
        let beta = Beta::new(kind).await;
        beta.signs_in("before").await;
        answer_all(&beta, Arc::new(|_| Reply::json(503, "{}")));
        let before = Evidence::now(&beta.world.app).await;
        let asked = beta.idp.seen("/token").len();
        for _ in 0..5 {
            let end = beta.sign_in(&mut beta.browser()).await;
            assert_eq!(end.error().as_deref(), Some("idp_unreachable"), "{}", end.body);
        }
        assert_eq!(beta.idp.seen("/token").len(), asked + 5);
        // It is left alone now, well or not …
        beta.idp.behave();
        for _ in 0..3 {
            let end = beta.sign_in(&mut beta.browser()).await;
            assert_eq!(end.error().as_deref(), Some("idp_unreachable"), "{}", end.body);
            assert_eq!(end.headers["retry-after"], "10");
        }
        assert_eq!(beta.idp.seen("/token").len(), asked + 5);
        let (failed, open) = ("sign_in refused idp_status", "sign_in refused idp_breaker_open");
        before
            .assert_only_refused(&beta.world.app, &[failed, failed, failed, failed, failed, open, open, open])
            .await;
        // … which no other connection notices.
        let end = beta.world.brokered(&mut beta.browser()).await;
        assert!(end.location_parameter("code").is_some(), "{}", end.body);
        // Ten seconds later one call is let through. It fails, so the next ten seconds begin.
        answer_all(&beta, Arc::new(|_| Reply::json(503, "{}")));
        beta.world.app.clock.advance(BREAKER_CLOSES);
        for _ in 0..2 {
            beta.sign_in(&mut beta.browser()).await;
        }
        assert_eq!(beta.idp.seen("/token").len(), asked + 6);
        beta.idp.behave();
        beta.world.app.clock.advance(BREAKER_CLOSES);
        for _ in 0..3 {
            beta.signs_in("after").await;
        }
    }
}

on_both_databases! {
    async fn every_fault_of_the_emulator_looks_as_the_manual_says(kind: Kind) {
        let world = World::new(kind).await;
        for (fault, page, reason) in [
            (Fault::Slow, "idp_unreachable", "outbound_timeout"),
            (Fault::Down, "idp_unreachable", "idp_status"),
            (Fault::Garbage, "idp_answer_invalid", "token_answer_json"),
            (Fault::RotatedKeys, "idp_answer_invalid", "signature_unknown_kid"),
            (Fault::WrongClaims, "idp_answer_invalid", "id_token_aud_mismatch"),
            (Fault::ClockOff, "idp_answer_invalid", "id_token_iat_in_future"),
        ] {
            let mut browser = world.browser();
            let sign_in_page = browser.open(&world.notes.authorize_url(&[("domain_hint", "acme.test")])).await;
            // A clock is off from the start; the rest begins while the user is away.
            if fault == Fault::ClockOff {
                world.app.idp_faults.begin(fault);
            }
            let fields = [("username", "bob"), ("password", "idp-password")];
            let back = browser.press_only(&sign_in_page, "emulator-sign-in", &fields).await;
            let callback = back.location().unwrap();
            world.app.idp_faults.begin(fault);
            let before = Evidence::now(&world.app).await;
            let end = arrive(&mut browser, &callback).await;
            assert_eq!(end.error().as_deref(), Some(page), "{fault}: {}", end.body);
            before.assert_only_refused(&world.app, &[&format!("sign_in refused {reason}")]).await;
            world.app.idp_faults.end(fault);
            world.app.clock.advance(Duration::from_mins(2));
            let end = world.brokered(&mut world.browser()).await;
            assert!(end.location_parameter("code").is_some(), "after {fault}: {}", end.body);
        }
    }
}

/// Signs with one key and publishes these; key `n` is called `kn`.
fn rotated(f: &mut Forgery, signer: usize, published: &[usize]) {
    f.header["kid"] = json!(format!("k{signer}"));
    f.signer = Signer::number(signer);
    f.keys = published.iter().map(|number| Signer::number(*number).jwk(&format!("k{number}"))).collect();
}

on_both_databases! {
    async fn keys_that_rotate_in_the_middle_of_sign_ins_lose_nobody(kind: Kind) {
        let beta = Beta::new(kind).await;
        beta.idp.forge(|f| rotated(f, 0, &[0]));
        beta.signs_in("with the first key").await;
        let fetches = || beta.idp.seen("/keys").len();
        assert_eq!(fetches(), 1);
        let mut waiting = Vec::new();
        for _ in 0..20 {
            let mut browser = beta.browser();
            let callback = beta.callback(&mut browser, &[]).await;
            waiting.push((browser, callback));
        }
        // The provider has a second key now, and signs with it, while twenty people are on their way back.
        beta.idp.forge(|f| rotated(f, 1, &[0, 1]));
        let barrier = Arc::new(Barrier::new(waiting.len()));
        let tasks: Vec<_> = waiting
            .into_iter()
            .map(|(mut browser, callback)| {
                let barrier = Arc::clone(&barrier);
                tokio::spawn(async move {
                    barrier.wait().await;
                    arrive(&mut browser, &callback).await
                })
            })
            .collect();
        for task in tasks {
            let end = task.await.unwrap();
            let refusals = beta.world.app.refusals().await;
            assert!(end.location_parameter("code").is_some(), "{} {refusals:?} {}", end.status, end.body);
        }
        assert_eq!(fetches(), 2);
        // With overlap both sign; unknown names cost no further fetch within the minute.
        beta.idp.forge(|f| rotated(f, 0, &[0, 1]));
        beta.signs_in("with the first key, still published").await;
        let unknown = |f: &mut Forgery| {
            rotated(f, 2, &[1]);
        };
        let before = Evidence::now(&beta.world.app).await;
        beta.idp.forge(unknown);
        beta.sign_in(&mut beta.browser()).await;
        assert_eq!(fetches(), 2);
        // A minute later an unknown name makes a fetch, and with it the removed key is dead.
        beta.world.app.clock.advance(Duration::from_mins(1));
        beta.sign_in(&mut beta.browser()).await;
        assert_eq!(fetches(), 3);
        beta.idp.forge(|f| rotated(f, 0, &[1]));
        beta.sign_in(&mut beta.browser()).await;
        let dead = "sign_in refused signature_unknown_kid";
        before.assert_only_refused(&beta.world.app, &[dead, dead, dead]).await;
        beta.idp.forge(|f| rotated(f, 1, &[1]));
        beta.signs_in("with the second key").await;
        assert_eq!(fetches(), 3);
    }
}

on_both_databases! {
    async fn discovery_that_is_down_after_a_good_answer_stops_nobody_for_a_day(kind: Kind) {
        let beta = Beta::new(kind).await;
        beta.signs_in("before").await;
        beta.idp.forge(|f| {
            f.metadata_reply = Some(Reply::json(500, "{}"));
            f.keys_reply = Some(Reply(vec![Step::Cut]));
        });
        for hours in [2, 10, 11] {
            beta.world.app.clock.advance(Duration::from_hours(hours));
            beta.signs_in("while metadata and keys cannot be fetched").await;
        }
        // Keys that could not be confirmed for a day are believed no longer.
        beta.world.app.clock.advance(Duration::from_hours(2));
        let before = Evidence::now(&beta.world.app).await;
        let end = beta.sign_in(&mut beta.browser()).await;
        assert_eq!(end.error().as_deref(), Some("idp_unreachable"), "{}", end.body);
        before.assert_only_refused(&beta.world.app, &["sign_in refused idp_keys_too_old"]).await;
        beta.idp.behave();
        beta.world.app.clock.advance(Duration::from_mins(2));
        beta.signs_in("after").await;
    }
}

on_both_databases! {
    async fn a_providers_clock_may_be_off_by_a_minute_and_no_more(kind: Kind) {
        let beta = Beta::new(kind).await;
        for (seconds, reason) in [
            (0, None),
            (60, None),
            (-60, None),
            (61, Some("id_token_iat_in_future")),
            (3_600, Some("id_token_iat_in_future")),
            (-3_600, Some("id_token_expired")),
        ] {
            beta.idp.forge(move |f| {
                for (claim, span) in [("iat", 0), ("nbf", 0), ("auth_time", -1), ("exp", 300)] {
                    f.claims[claim] = json!(f.now + seconds + span);
                }
            });
            match reason {
                None => drop(beta.signs_in(&format!("{seconds} s")).await),
                Some(reason) => {
                    let before = Evidence::now(&beta.world.app).await;
                    let end = beta.sign_in(&mut beta.browser()).await;
                    assert_eq!(end.error().as_deref(), Some("idp_answer_invalid"), "{seconds}: {}", end.body);
                    before.assert_only_refused(&beta.world.app, &[&format!("sign_in refused {reason}")]).await;
                }
            }
        }
    }
}

/// How often this node read names, and connections, from the database.
fn loads(broker: &Broker) -> [u64; 2] {
    let loads = broker.core.directory_loads();
    ["names", "connections"].map(|cache| loads.get_or_create(&DirectoryLoad { cache }).get())
}

on_both_databases! {
    async fn a_name_that_expired_is_read_once_a_node_however_many_ask(kind: Kind) {
        let world = World::new(kind).await;
        let other = world.app.second_node().await;
        let nodes = [Arc::clone(&world.app.broker), Arc::clone(&other.broker)];
        let mut measured = 0;
        while measured < 5 {
            world.app.clock.advance(Duration::from_mins(1));
            let before = [loads(&nodes[0]), loads(&nodes[1])];
            let seen = [nodes[0].core.directory_generation(), nodes[1].core.directory_generation()];
            let barrier = Arc::new(Barrier::new(2_000));
            let tasks: Vec<_> = (0..2_000)
                .map(|number| {
                    let (broker, barrier) = (Arc::clone(&nodes[number % 2]), Arc::clone(&barrier));
                    tokio::spawn(async move {
                        barrier.wait().await;
                        broker.sign_in.begin_by_link(&Visit::local(), "acme.test").await.is_ok()
                    })
                })
                .collect();
            for task in tasks {
                assert!(task.await.unwrap());
            }
            // What the world's own making changed reaches the nodes now and then, and they read anew, as they must.
            if seen != [nodes[0].core.directory_generation(), nodes[1].core.directory_generation()] {
                continue;
            }
            measured += 1;
            for (node, [names, connections]) in nodes.iter().zip(before) {
                assert_eq!(loads(node), [names + 1, connections + 1]);
            }
        }
    }
}
