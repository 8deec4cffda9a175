//! Rows 112, 113, 119 and 121: calls to providers, waits, lists from providers, and guesses at client secrets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;
use tokio::sync::Barrier;
use url::Url;

use crate::attacks::tools::{FORM, SESSION, form, send, text};
use crate::harness::beta::{BETA_IDP, Beta};
use crate::harness::browser::{Browser, Network, Page};
use crate::harness::database::Kind;
use crate::harness::evidence::Evidence;
use crate::harness::hostile::{CLIENT, Forgery, Reply, SECRET};
use crate::harness::relying_app::{RelyingApp, claims};
use crate::harness::world::World;
use crate::on_both_databases;

/// The stranger's address.
const STRANGER: [u8; 4] = [127, 0, 0, 66];

/// Makes beta's provider answer codes that it did not give by `reply`.
fn on_foreign_codes(beta: &Beta, reply: fn() -> Reply) {
    beta.idp.forge(move |f: &mut Forgery| {
        if f.claims["nonce"] == "" {
            f.token_reply = Some(Arc::new(move |_| reply()));
        }
    });
}

fn invalid_grant() -> Reply {
    Reply::json(400, r#"{"error":"invalid_grant"}"#)
}

/// A callback of a flow that this browser has begun, with a code that the provider did not give.
async fn garbage(beta: &Beta, browser: &mut Browser, code: &str) -> Url {
    let page = beta.start(browser, &[]).await;
    let state = page.location_parameter("state").unwrap();
    let mut url: Url = format!("https://id.test/sso/callback/{BETA_IDP}").parse().unwrap();
    url.query_pairs_mut()
        .append_pair("code", code)
        .append_pair("state", &state)
        .append_pair("iss", &beta.idp.issuer);
    url
}

async fn arrive(browser: &mut Browser, callback: &Url) -> Page {
    browser.request(Method::GET, callback, None, "cross-site", None).await
}

/// A browser at this address in which no account has signed in.
fn browser_at(network: &Network, address: [u8; 4]) -> Browser {
    Browser::new(&network.speaking_from(address))
}

on_both_databases! {
    async fn row_112_a_strangers_codes_stop_at_their_own_network(kind: Kind) {
        let beta = Beta::new(kind).await;
        beta.signs_in("before").await;
        // A user behind the stranger's address has signed in before; their session has ended.
        let network = beta.world.app.network.clone();
        let mut neighbour = browser_at(&network, STRANGER);
        beta.sign_in(&mut neighbour).await;
        neighbour.cookies.get_mut("id.test").unwrap().remove(SESSION).unwrap();
        on_foreign_codes(&beta, invalid_grant);
        let asked = beta.idp.seen("/token").len();
        let before = Evidence::now(&beta.world.app).await;
        let mut stranger = browser_at(&network, STRANGER);
        for number in 0..100 {
            let callback = garbage(&beta, &mut stranger, &format!("garbage-{number}")).await;
            let end = arrive(&mut stranger, &callback).await;
            if number < 20 {
                assert_eq!(end.error().as_deref(), Some("idp_refused"), "{number}: {}", end.body);
            } else {
                assert_eq!(end.error().as_deref(), Some("too_many_attempts"), "{number}: {}", end.body);
                assert_eq!((end.status, &end.headers["retry-after"]), (StatusCode::TOO_MANY_REQUESTS, &"1".parse().unwrap()));
            }
        }
        assert_eq!(beta.idp.seen("/token").len(), asked + 20);
        let lines = [("sign_in refused idp_invalid_grant", 20), ("sign_in refused redemptions", 21)];
        before.assert_exactly(&beta.world.app, &[], &lines).await;
        // Neither others nor those who are known behind the same address are stopped, on no node.
        beta.signs_in("from elsewhere").await;
        let end = beta.sign_in(&mut neighbour).await;
        assert!(end.location_parameter("code").is_some(), "{}", end.body);
        let other = beta.world.app.second_node().await;
        let mut there = browser_at(&other.network, STRANGER);
        let callback = garbage(&beta, &mut there, "garbage").await;
        let end = arrive(&mut there, &callback).await;
        assert_eq!(end.error().as_deref(), Some("too_many_attempts"), "{}", end.body);
        // A refused code is forgiven in a minute, and then the next one goes to the provider.
        beta.world.app.clock.advance(Duration::from_mins(1));
        let asked = beta.idp.seen("/token").len();
        for _ in 0..3 {
            let callback = garbage(&beta, &mut stranger, "garbage").await;
            arrive(&mut stranger, &callback).await;
        }
        assert_eq!(beta.idp.seen("/token").len(), asked + 1);
    }
}

on_both_databases! {
    async fn row_112_codes_that_come_at_once_do_not_outrun_the_count(kind: Kind) {
        let beta = Beta::new(kind).await;
        beta.signs_in("before").await;
        on_foreign_codes(&beta, invalid_grant);
        let asked = beta.idp.seen("/token").len();
        let mut ready = Vec::new();
        for number in 0..120 {
            let mut browser = browser_at(&beta.world.app.network, STRANGER);
            let callback = garbage(&beta, &mut browser, &format!("garbage-{number}")).await;
            ready.push((browser, callback));
        }
        let barrier = Arc::new(Barrier::new(ready.len()));
        let tasks: Vec<_> = ready
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
            assert!(end.status.is_client_error(), "{} {}", end.status, end.body);
        }
        let calls = beta.idp.seen("/token").len() - asked;
        assert!((20..=52).contains(&calls), "{calls}");
        beta.signs_in("from elsewhere").await;
    }
}

on_both_databases! {
    async fn row_112_who_goes_away_before_the_answer_is_counted(kind: Kind) {
        let beta = Beta::new(kind).await;
        beta.signs_in("before").await;
        on_foreign_codes(&beta, || Reply::hang(""));
        let asked = beta.idp.seen("/token").len();
        let mut stranger = browser_at(&beta.world.app.network, STRANGER);
        let refused = loop {
            let callback = garbage(&beta, &mut stranger, "garbage").await;
            let calls = beta.idp.seen("/token").len();
            let mut browser = stranger.clone();
            let request = tokio::spawn(async move { arrive(&mut browser, &callback).await });
            while !request.is_finished() && beta.idp.seen("/token").len() == calls {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            if request.is_finished() {
                break request.await.unwrap();
            }
            // The broker goes on with what was begun, so the stranger gains nothing by it.
            request.abort();
            assert!(calls - asked <= 52, "nothing stops it");
        };
        // The calls that hang have used up the share of this network, and then opened its breaker.
        assert_eq!(refused.error().as_deref(), Some("idp_unreachable"), "{}", refused.body);
        beta.signs_in("from elsewhere").await;
    }
}

on_both_databases! {
    async fn row_112_trouble_that_a_stranger_makes_opens_no_breaker_for_others(kind: Kind) {
        let beta = Beta::new(kind).await;
        beta.signs_in("before").await;
        on_foreign_codes(&beta, || Reply::json(503, "{}"));
        let asked = beta.idp.seen("/token").len();
        let mut stranger = browser_at(&beta.world.app.network, STRANGER);
        for _ in 0..10 {
            let callback = garbage(&beta, &mut stranger, "garbage").await;
            let end = arrive(&mut stranger, &callback).await;
            assert_eq!(end.error().as_deref(), Some("idp_unreachable"), "{}", end.body);
        }
        assert_eq!(beta.idp.seen("/token").len(), asked + 5);
        beta.signs_in("from elsewhere").await;
        // A second network that sees the provider fail tells that it does not fail for one alone.
        let mut other = browser_at(&beta.world.app.network, [127, 0, 0, 67]);
        for _ in 0..5 {
            let callback = garbage(&beta, &mut other, "garbage").await;
            arrive(&mut other, &callback).await;
        }
        let end = beta.sign_in(&mut beta.browser()).await;
        assert_eq!(end.error().as_deref(), Some("idp_unreachable"), "{}", end.body);
        beta.world.app.clock.advance(Duration::from_secs(10));
        beta.signs_in("after the pause").await;
    }
}

on_both_databases! {
    async fn row_112_a_code_of_impossible_form_reaches_no_provider(kind: Kind) {
        let beta = Beta::new(kind).await;
        beta.signs_in("before").await;
        let asked = beta.idp.connections();
        let codes = ["", "x\ny", "\u{e4}", "x\u{7f}", "x\0", &"x".repeat(4_097)];
        let mut stranger = browser_at(&beta.world.app.network, STRANGER);
        let before = Evidence::now(&beta.world.app).await;
        for code in codes {
            let callback = garbage(&beta, &mut stranger, code).await;
            let end = arrive(&mut stranger, &callback).await;
            assert_eq!(end.error().as_deref(), Some("idp_answer_invalid"), "{code:?}: {}", end.body);
            // The flow is spent all the same.
            let end = arrive(&mut stranger, &callback).await;
            assert_eq!(end.error().as_deref(), Some("flow_finished"), "{code:?}: {}", end.body);
        }
        assert_eq!(beta.idp.connections(), asked);
        let lines = [
            ("sign_in refused callback_code_malformed", codes.len() - 1),
            // An empty parameter is as good as none.
            ("sign_in refused response_empty", 1),
            ("sign_in refused state_spent", codes.len()),
        ];
        before.assert_exactly(&beta.world.app, &[], &lines).await;
    }
}

/// An organization with three connections at beta's provider, one for each of these domains.
fn three_connections(issuer: &str) -> String {
    let mut document = "[[organizations]]\nhandle = \"delta\"\nname = \"Delta\"\n\
        domains = [{ name = \"d1.test\", connection = \"delta-1\" }, { name = \"d2.test\", connection = \"delta-2\" }, \
        { name = \"d3.test\", connection = \"delta-3\" }]\n"
        .to_owned();
    for number in 1..=3 {
        document.push_str(&format!(
            "\n[[organizations.connections]]\nid = \"con_019000000000700080000000000000d{number}\"\n\
             handle = \"delta-{number}\"\nname = \"Delta {number}\"\nissuer = \"{issuer}\"\n\
             client_id = \"{CLIENT}\"\nclient_secret = \"{SECRET}\"\n"
        ));
    }
    document
}

on_both_databases! {
    async fn row_113_an_organization_whose_provider_never_answers_keeps_half_of_the_calls_for_others(kind: Kind) {
        // The calls that hang go on hanging, however slow the machine is.
        let beta = Beta::configured(kind, &[("COUNTERSIGN__OUTBOUND__TIMEOUT", "60s")]).await;
        beta.world.app.apply(&three_connections(&beta.idp.issuer)).await;
        beta.world.brokered(&mut beta.browser()).await;
        let mut ready = Vec::new();
        for number in 0..165_u8 {
            // Five networks for each connection, so that no network's share is what bounds them.
            let mut browser = browser_at(&beta.world.app.network, [127, 0, 1, 1 + number % 5]);
            let link = format!("https://id.test/sso/d{}.test", 1 + number % 3).parse().unwrap();
            let page = browser.request(Method::GET, &link, None, "none", None).await;
            let page = browser.request(Method::GET, &page.location().unwrap(), None, "cross-site", None).await;
            let callback = page.location().unwrap();
            ready.push((browser, callback));
        }
        beta.idp.forge(|f| f.token_reply = Some(Arc::new(|_| Reply::hang(""))));
        let before = Evidence::now(&beta.world.app).await;
        let hanging: Vec<_> = ready
            .into_iter()
            .map(|(mut browser, callback)| tokio::spawn(async move { arrive(&mut browser, &callback).await }))
            .collect();
        while beta.idp.seen("/token").len() < 96 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // While all of that hangs, a user of another organization signs in.
        let end = beta.world.brokered(&mut beta.browser()).await;
        assert!(end.location_parameter("code").is_some(), "{}", end.body);
        assert_eq!(beta.idp.seen("/token").len(), 96, "an organization takes only as much as it leaves free");
        for task in hanging {
            task.abort();
        }
        let changes = before.changes(&beta.world.app).await;
        assert_eq!(changes.rows, BTreeMap::from([("codes", 1), ("grants", 1), ("sessions", 1)]));
    }
}

/// An app with the longest of everything that goes into its tokens; and words for contexts, as long as they may be.
fn fullest_app() -> String {
    let resources: Vec<String> =
        (0..6).map(|number| format!("\"https://api-{number}.beta.test/{}\"", "r".repeat(512 - 25))).collect();
    format!(
        r#"
acr_values = {{ {word} = "gold" }}

[[organizations.apps]]
client_id = "{id}"
name = "Big"
client_secret = "big-secret-0123456789"
redirect_uris = ["https://big.beta.test/callback"]
post_logout_redirect_uris = ["https://big.beta.test/bye"]
scopes = ["openid", "profile", "email", "{scope}"]
resources = [{resources}]
"#,
        word = "w".repeat(255),
        id = "b".repeat(255),
        scope = "s".repeat(1_024 - 18),
        resources = resources.join(", "),
    )
}

on_both_databases! {
    async fn row_119_the_longest_tokens_that_are_issued_are_accepted(kind: Kind) {
        let beta = Beta::with(kind, &fullest_app()).await;
        beta.idp.forge(|f| {
            let mut methods: Vec<String> = (0..20).map(|number| format!("{number:02}{}", "\"".repeat(62))).collect();
            methods.extend((0..580).map(|number| format!("more-{number}")));
            f.claims["amr"] = json!(methods);
            f.claims["acr"] = "gold".into();
            f.claims["sid"] = "s".repeat(60).into();
            f.claims["sub"] = "\u{e4}".repeat(255).into();
            f.claims["name"] = "\"".repeat(5_000).into();
        });
        let (id, secret) = ("b".repeat(255), "big-secret-0123456789");
        let app = RelyingApp::new(&beta.world.app.network, &id, Some(secret), "https://big.beta.test/callback");
        let resources: Vec<String> =
            (0..6).map(|number| format!("https://api-{number}.beta.test/{}", "r".repeat(512 - 25))).collect();
        let scope = format!("openid profile email {}", "s".repeat(1_024 - 18));
        let nonce = "\"".repeat(2_048);
        let mut more = vec![("domain_hint", "beta.test"), ("nonce", &nonce), ("scope", &scope)];
        more.extend(resources.iter().map(|resource| ("resource", resource.as_str())));
        let mut browser = beta.browser();
        let end = browser.open(&app.authorize_url(&more)).await;
        let (status, tokens) = app.redeem(&app.code(&end)).await;
        assert_eq!(status, StatusCode::OK, "{tokens}");
        let (access, hint) = (text(&tokens, "access_token"), text(&tokens, "id_token"));
        assert_eq!(claims(access)["amr"].as_array().unwrap().len(), 20);
        assert_eq!((&claims(hint)["nonce"], &claims(hint)["acr"]), (&json!(nonce), &json!("w".repeat(255))));
        assert!(access.len() > 10_000 && hint.len() > 10_000, "{} {}", access.len(), hint.len());
        let (status, told) = app.post("/oauth2/introspect", &[("token", access)]).await;
        assert_eq!((status, &told["active"]), (StatusCode::OK, &json!(true)), "{told}");
        assert_eq!(app.post("/oauth2/revoke", &[("token", access)]).await.0, StatusCode::OK);
        let (_, told) = app.post("/oauth2/introspect", &[("token", access)]).await;
        assert_eq!(told["active"], json!(false), "{told}");
        // UserInfo accepts no token for another resource, so this one is the longest that is for UserInfo.
        more.retain(|(name, _)| *name != "resource");
        let page = beta.browser().open(&app.authorize_url(&more)).await;
        let (_, own) = app.redeem(&app.code(&page)).await;
        let (status, person) = app.userinfo(text(&own, "access_token")).await;
        assert_eq!((status, &person["sub"]), (StatusCode::OK, &claims(access)["sub"]), "{person}");
        let fields = [("id_token_hint", hint), ("post_logout_redirect_uri", "https://big.beta.test/bye")];
        let url = "https://id.test/oauth2/logout".parse().unwrap();
        let page = browser.request(Method::POST, &url, Some(form(&fields)), "cross-site", None).await;
        let end = browser.follow(page).await;
        assert_eq!(end.location().map(String::from).as_deref(), Some("https://big.beta.test/bye"), "{}", end.body);
    }
}

on_both_databases! {
    async fn row_119_more_groups_than_are_read_let_nobody_in(kind: Kind) {
        let beta = Beta::with(kind, "claims = { groups = \"groups\" }").await;
        beta.idp.forge(|f| f.claims["groups"] = json!(vec!["g"; 1_000]));
        beta.signs_in("with a thousand").await;
        let before = Evidence::now(&beta.world.app).await;
        for count in [1_001, 10_000] {
            beta.idp.forge(move |f| f.claims["groups"] = json!(vec!["g"; count]));
            let end = beta.sign_in(&mut beta.browser()).await;
            assert_eq!(end.error().as_deref(), Some("idp_answer_invalid"), "{}", end.body);
        }
        beta.idp.forge(|f| f.claims["groups"] = json!(["g".repeat(257)]));
        beta.sign_in(&mut beta.browser()).await;
        let overage = "sign_in refused identity_groups_overage";
        let lines = [overage, overage, "sign_in refused identity_groups_malformed"];
        before.assert_only_refused(&beta.world.app, &lines).await;
    }
}

/// One request in the name of an app.
async fn ask(network: &Network, path: &str, app: &str, secret: &str) -> (u16, Option<String>) {
    let body = form(&[("client_id", app), ("client_secret", secret), ("token", "t")]);
    let answer = send(network, Method::POST, path, &[FORM], &body).await;
    let wait = answer.headers().get("retry-after").map(|wait| wait.to_str().unwrap().to_owned());
    (answer.status().as_u16(), wait)
}

const POSTED: &str = "\n[[organizations.apps]]\nclient_id = \"posts\"\nname = \"Posts\"\nauth_method = \"client_secret_post\"\n\
    client_secret = \"posts-secret-0123456789\"\nredirect_uris = [\"https://posts.acme.test/callback\"]\n";

on_both_databases! {
    async fn row_121_guesses_at_a_secret_are_counted_by_app_and_network(kind: Kind) {
        let world = World::with(kind, "", POSTED).await;
        let app = &world.app;
        let stranger = app.network.speaking_from(STRANGER);
        let right = "posts-secret-0123456789";
        let paths = ["/oauth2/introspect", "/oauth2/revoke", "/oauth2/token"];
        let before = Evidence::now(app).await;
        let mut told = BTreeMap::new();
        for number in 0..300 {
            let guess = format!("posts-secret-{number:010}");
            let answer = ask(&stranger, paths[number % 3], "posts", &guess).await;
            *told.entry(answer).or_insert(0) += 1;
        }
        let wait = Some("1".to_owned());
        assert_eq!(told, BTreeMap::from([((401, None), 10), ((429, wait.clone()), 290)]));
        // From there the right one is refused alike; from elsewhere, and for other apps, nothing has changed.
        for path in paths {
            assert_eq!(ask(&stranger, path, "posts", right).await, (429, wait.clone()));
        }
        let lines = [("client_authentication refused client_secret", 10), ("client_authentication refused guesses_client", 21)];
        before.assert_exactly(app, &[], &lines).await;
        assert_eq!(ask(&app.network, "/oauth2/introspect", "posts", right).await, (200, None));
        let mut wiki = world.globex_app.clone();
        wiki.network = stranger.clone();
        assert_eq!(wiki.post("/oauth2/introspect", &[("token", "t")]).await.0, StatusCode::OK);
        // Another node knows after its first guess; and a wait later one more is told.
        let node = app.second_node().await;
        let there = node.network.speaking_from(STRANGER);
        assert_eq!(ask(&there, "/oauth2/token", "posts", "wrong").await.0, 401);
        assert_eq!(ask(&there, "/oauth2/introspect", "posts", right).await.0, 429);
        app.clock.advance(Duration::from_secs(1));
        assert_eq!(ask(&stranger, "/oauth2/token", "posts", "wrong").await.0, 401);
        assert_eq!(ask(&stranger, "/oauth2/token", "posts", "wrong").await, (429, Some("2".to_owned())));
        app.clock.advance(Duration::from_secs(2));
        assert_eq!(ask(&stranger, "/oauth2/introspect", "posts", right).await, (200, None));
    }
}

on_both_databases! {
    async fn row_121_a_neighbour_who_guesses_does_not_stop_the_app(kind: Kind) {
        let world = World::with(kind, "", POSTED).await;
        let (network, right) = (&world.app.network, "posts-secret-0123456789");
        assert_eq!(ask(network, "/oauth2/introspect", "posts", right).await, (200, None));
        for _ in 0..30 {
            ask(network, "/oauth2/introspect", "posts", "wrong").await;
        }
        assert_eq!(ask(network, "/oauth2/introspect", "posts", "wrong").await.0, 429);
        assert_eq!(ask(network, "/oauth2/introspect", "posts", right).await, (200, None));
        // A name that no app has is counted alike, so that the answer does not tell which names apps have.
        let mut told = BTreeMap::new();
        for _ in 0..30 {
            *told.entry(ask(network, "/oauth2/token", "nobody", "wrong").await.0).or_insert(0) += 1;
        }
        assert_eq!(told, BTreeMap::from([(401, 10), (429, 20)]));
    }
}
