//! Rows 109, 110 and 120: the largest inputs, responses that the client does not read, and ids that look like other
//! ids.

use bytes::Bytes;
use countersign::model::Caller;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;

use crate::attacks::tools::{FORM, form, send, tokens_of_gil};
use crate::harness::app::ISSUER;
use crate::harness::browser::{Browser, Network};
use crate::harness::database::Kind;
use crate::harness::evidence::Evidence;
use crate::harness::relying_app::claims;
use crate::harness::world::{ACME_IDP, World};
use crate::on_both_databases;

/// So many parameters with different names.
fn many(count: usize) -> String {
    (0..count).map(|at| format!("n{at}=v&")).collect::<Vec<_>>().concat()
}

fn code_of(body: &Bytes) -> Option<String> {
    serde_json::from_slice::<Value>(body).ok()?["error"].as_str().map(str::to_owned)
}

/// The forms that strangers send, and whether the answer is JSON.
fn forms() -> Vec<(String, bool)> {
    let pages = [
        "/oauth2/authorize",
        "/oauth2/logout",
        "/oauth2/logout/confirm",
        "/signin",
        "/signin/domain",
        "/signin/connection",
        "/consent",
        "/link",
        "/link/confirm",
        "/account/sign-out",
    ];
    let of_connection = [format!("/sso/callback/{ACME_IDP}"), format!("/sso/initiate/{ACME_IDP}")];
    let for_apps = ["/oauth2/token", "/oauth2/revoke", "/oauth2/introspect", "/oauth2/userinfo"];
    let logout = format!("/sso/backchannel-logout/{ACME_IDP}");
    let pages = pages.into_iter().map(str::to_owned).chain(of_connection).map(|path| (path, false));
    let for_apps = for_apps.into_iter().map(str::to_owned).chain([logout]).map(|path| (path, true));
    pages.chain(for_apps).collect()
}

on_both_databases! {
    async fn row_109_more_than_a_hundred_parameters(kind: Kind) {
        let world = World::new(kind).await;
        let network = &world.app.network;
        let before = Evidence::now(&world.app).await;
        let headers = [FORM, ("sec-fetch-site", "same-origin")];
        let mut records = 0;
        for (path, is_json) in forms() {
            let answer = send(network, Method::POST, &path, &headers, &many(101)).await;
            assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{path}");
            let text = String::from_utf8_lossy(answer.body()).into_owned();
            if is_json {
                assert_eq!(code_of(answer.body()).as_deref(), Some("invalid_request"), "{path}: {text}");
            } else {
                assert!(text.contains("data-error=\"invalid_request\""), "{path}: {text}");
            }
            assert!(!text.contains("n100"), "{path}: nothing of it comes back: {text}");
            records += 1;
        }
        let wiki = format!("/oauth2/authorize?client_id=wiki&redirect_uri={}", world.globex_app.redirect_uri);
        // From another network, since of one reason a network leaves twenty records.
        let network = &network.speaking_from([127, 0, 0, 9]);
        let on_page = [wiki.as_str(), "/oauth2/logout", "/signin", "/signin/domain", "/account", "/nothing"];
        for path in on_page {
            let separator = if path.contains('?') { '&' } else { '?' };
            let path = format!("{path}{separator}{}", many(101));
            let answer = send(network, Method::GET, &path, &[], "").await;
            assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{path}");
            assert!(answer.headers().get("location").is_none(), "{path}");
            let text = String::from_utf8_lossy(answer.body());
            assert!(text.contains("data-error=\"invalid_request\""), "{path}: {text}");
            assert!(!text.contains("n100"), "{path}: nothing of it comes back: {text}");
            records += 1;
        }
        let answer = send(network, Method::GET, &format!("/oauth2/userinfo?{}", many(101)), &[], "").await;
        assert_eq!((answer.status(), code_of(answer.body()).as_deref()), (StatusCode::BAD_REQUEST, Some("invalid_request")));
        records += 1;
        // Each is recorded once, until there are twenty of a kind.
        let changes = before.changes(&world.app).await;
        assert_eq!(changes.rows, std::collections::BTreeMap::new());
        let told = |action: &str| changes.audit.iter().filter(|line| line.starts_with(action)).count();
        let counted = told("form refused") + told("app_request refused") + told("logout.back_channel refused");
        assert_eq!((changes.audit.len(), counted), (records, records), "{:?}", changes.audit);

        // A hundred are read.
        let answer = send(network, Method::POST, "/oauth2/token", &headers, &many(100)).await;
        assert_eq!(code_of(answer.body()).as_deref(), Some("invalid_client"));
        let answer = send(network, Method::GET, &format!("/account?{}", many(100)), &[], "").await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    }
}

on_both_databases! {
    async fn row_109_more_than_a_hundred_words(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let words = |count: usize| (0..count).map(|at| format!("w{at}")).collect::<Vec<_>>().join(" ");
        let values = vec!["\"a\""; 101].join(",");
        let demanded = format!("{{\"id_token\":{{\"acr\":{{\"values\":[{values}]}}}}}}");
        for (name, value) in [
            ("scope", format!("openid {}", words(100))),
            ("prompt", "login ".repeat(101)),
            ("acr_values", words(101)),
            ("ui_locales", words(101)),
            ("claims", demanded),
        ] {
            let page = browser.open(&world.notes.authorize_url(&[(name, &value)])).await;
            // The address is the app's own, so the app is told.
            assert!(page.location().unwrap().as_str().starts_with(&world.notes.redirect_uri), "{name}");
            let error = page.location_parameter("error");
            assert_eq!(error.as_deref(), Some("invalid_request"), "{name}: {:?}", page.location());
        }
        let page = browser.open(&world.notes.authorize_url(&[("scope", &format!("openid {}", words(99)))])).await;
        page.expect(200, "sign-in");
        let wiki = &world.globex_app;
        for grant in [&[("grant_type", "client_credentials")][..], &[("grant_type", "refresh_token"), ("refresh_token", "x")]] {
            let mut asked = grant.to_vec();
            let scope = words(101);
            asked.push(("scope", &scope));
            let (status, answer) = wiki.token(&asked).await;
            // An unknown refresh token is told first.
            let expected = if grant.len() == 1 { "invalid_request" } else { "invalid_grant" };
            assert_eq!((status, answer["error"].as_str()), (StatusCode::BAD_REQUEST, Some(expected)), "{answer}");
        }
    }
}

/// An HTTP/2 connection of a client that opens no window for any answer.
async fn without_a_window(network: &Network) -> SendRequest<Full<Bytes>> {
    let stream = network.connect("id.test", &["h2"]).await.unwrap();
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(0);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// The results of posts whose responses the client does not read.
#[derive(Default)]
struct Untaken {
    connections: Vec<SendRequest<Full<Bytes>>>,
    /// The answers, of which no byte was taken.
    unread: Vec<http::Response<Incoming>>,
    /// Bytes of whole pages that wait to be sent, as their heads say.
    waiting: usize,
    /// Answers with 503.
    refused: usize,
    /// Connections that the broker has ended.
    ended: usize,
}

impl Untaken {
    /// Posts this many callbacks on this many connections. Each response is a page of about 20 KB.
    async fn of(network: &Network, connections: usize, posts: usize) -> Self {
        // Each of these becomes five bytes on the page.
        let fields = format!("state={0}&code={0}", "<".repeat(2_000));
        let mut untaken = Self::default();
        for _ in 0..connections {
            let mut sender = without_a_window(network).await;
            for _ in 0..posts {
                let request =
                    Request::post(format!("{ISSUER}/sso/callback/{ACME_IDP}")).header(FORM.0, FORM.1);
                let request = request.body(Full::new(Bytes::from(fields.clone()))).unwrap();
                let Ok(answer) = sender.send_request(request).await else {
                    untaken.ended += 1;
                    break;
                };
                let length: usize = answer.headers()["content-length"].to_str().unwrap().parse().unwrap();
                match answer.status() {
                    StatusCode::OK => untaken.waiting += length,
                    StatusCode::SERVICE_UNAVAILABLE => untaken.refused += 1,
                    status => panic!("{status}"),
                }
                untaken.unread.push(answer);
            }
            untaken.connections.push(sender);
        }
        untaken
    }
}

on_both_databases! {
    async fn row_110_answers_that_nobody_reads(kind: Kind) {
        let world = World::new(kind).await;
        let flooding = world.app.network.speaking_from([127, 0, 0, 7]);
        // A connection holds 256 KiB and is ended with the answer beyond.
        let of_one = Untaken::of(&flooding, 1, 20).await;
        assert_eq!(of_one.ended, 1);
        assert!(of_one.waiting > 200_000 && of_one.waiting <= 256 * 1_024, "{} bytes", of_one.waiting);
        drop(of_one);
        // Those of a network hold 4 MiB, and further answers are refused.
        let of_all = Untaken::of(&flooding, 60, 5).await;
        assert!(of_all.refused > 0 && of_all.ended == 0, "{} refused, {} ended", of_all.refused, of_all.ended);
        assert!(of_all.waiting > 3_500_000 && of_all.waiting <= 4 * 1_024 * 1_024, "{} bytes", of_all.waiting);
        // Everyone else can sign in in the meantime.
        let mut neighbour = Browser::new(&world.app.network.speaking_from([127, 0, 0, 8]));
        let page = world.brokered(&mut neighbour).await;
        world.notes.code(&page);
        drop(of_all);
        // And so does the same network, once it has given up its answers.
        let mut later = Browser::new(&flooding);
        let mut page = later.open(&world.notes.authorize_url(&[("domain_hint", "acme.test")])).await;
        for _ in 0..1_000 {
            if page.status != StatusCode::SERVICE_UNAVAILABLE {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            page = later.open(&world.notes.authorize_url(&[("domain_hint", "acme.test")])).await;
        }
        page.expect(200, "emulator-sign-in");
    }
}

on_both_databases! {
    async fn row_110_a_callback_is_posted_again_with_what_a_response_may_say_and_nothing_else(kind: Kind) {
        let world = World::new(kind).await;
        let network = &world.app.network;
        let before = Evidence::now(&world.app).await;
        let post = |connection: &str, fields: String| {
            let path = format!("/sso/callback/{connection}");
            async move { send(network, Method::POST, &path, &[FORM], &fields).await }
        };
        let allowed = ["state", "code", "error", "error_description", "iss", "session_state"];
        let others = ["id_token", "access_token", "scope", "client_info", "State", "canary"];
        let fields: Vec<(&str, &str)> =
            allowed.into_iter().map(|name| (name, "kept")).chain(others.map(|name| (name, "dropped"))).collect();
        let answer = post(ACME_IDP, form(&fields)).await;
        let text = String::from_utf8_lossy(answer.body()).into_owned();
        assert_eq!(answer.status(), StatusCode::OK, "{text}");
        for name in allowed {
            assert!(text.contains(&format!("name=\"{name}\" value=\"kept\"")), "{name}: {text}");
        }
        assert!(!text.contains("dropped") && others.iter().all(|name| !text.contains(&format!("\"{name}\""))), "{text}");

        let long = "x".repeat(4_097);
        let unknown = "con_0190000000007000800000000000ffff";
        let malformed = [
            (ACME_IDP, form(&[("state", "canary"), ("state", "canary")]), StatusCode::BAD_REQUEST),
            (ACME_IDP, form(&[("error_description", "canary"), ("error_description", "")]), StatusCode::BAD_REQUEST),
            (ACME_IDP, form(&[("code", &long), ("state", "canary")]), StatusCode::BAD_REQUEST),
            (unknown, form(&[("state", "canary"), ("code", "canary")]), StatusCode::NOT_FOUND),
            ("canary", form(&[("state", "canary"), ("code", "canary")]), StatusCode::NOT_FOUND),
        ];
        for (connection, fields, status) in malformed {
            let answer = post(connection, fields.clone()).await;
            let text = String::from_utf8_lossy(answer.body()).replace("/sso/callback/canary", "");
            assert_eq!(answer.status(), status, "{connection} {fields:.100}: {text}");
            assert!(!text.contains("canary") && !text.contains("reposted"), "{connection}: {text}");
        }
        let malformed = "form refused response_malformed";
        before
            .assert_only_refused(
                &world.app,
                &[malformed, malformed, malformed, "sign_in refused connection_unknown"],
            )
            .await;
    }
}

on_both_databases! {
    async fn row_120_ids_in_each_others_clothes(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let gil = tokens_of_gil(&world, &mut browser).await;
        let account = claims(gil["access_token"].as_str().unwrap())["sub"]
            .as_str()
            .unwrap()
            .to_owned();
        let before = Evidence::now(&world.app).await;
        let digits = &account[4..];
        let document = |handle: &str, client: &str, username: &str| {
            format!(
                "[[organizations]]\nhandle = \"{handle}\"\nname = \"Evil\"\n\
                 [[organizations.apps]]\nclient_id = \"{client}\"\nname = \"Evil\"\n\
                 client_secret = \"evil-secret-0123456789\"\nredirect_uris = [\"https://evil.test/cb\"]\n\
                 [[organizations.accounts]]\nusername = \"{username}\"\npassword = \"Correct7horse\"\n"
            )
        };
        let apply = async |text: String| {
            world.app.broker.organizations.apply(Caller::Operator(None), &[("evil.toml".to_owned(), text)], false).await.map_err(|error| error.to_string())
        };
        for form in [account.clone(), account.to_uppercase(), format!("app_{digits}"), format!("con_{digits}")] {
            for (handle, client, username, line) in [
                ("evil", form.as_str(), "eve", 5),
                ("evil", "evil", form.as_str(), 10),
            ] {
                let refused = apply(document(handle, client, username)).await.unwrap_err();
                assert!(refused.contains("cannot have the form of an id"), "{refused}");
                assert!(refused.contains(&format!("evil.toml:{line}")), "{refused}");
            }
            // A handle has no underscore, so it cannot have the form of an id.
            let refused = apply(document(&form, "evil", "eve")).await.unwrap_err();
            assert!(refused.contains("a handle has"), "{refused}");
        }
        before.assert_only_refused(&world.app, &[]).await;

        // If the row exists all the same, it is not an app: it gets no token, and no user is sent to it.
        world.app.run_statement(
            "UPDATE apps SET client_id = 'acc_0190000000007000800000000000ffff' WHERE client_id = 'wiki'",
        ).await;
        let node = world.app.second_node().await;
        let mut evil = world.globex_app.clone();
        "acc_0190000000007000800000000000ffff".clone_into(&mut evil.client_id);
        evil.network = node.network.clone();
        let (status, answer) = evil.token(&[("grant_type", "client_credentials")]).await;
        assert_eq!((status, answer["error"].as_str()), (StatusCode::UNAUTHORIZED, Some("invalid_client")), "{answer}");
        let page = Browser::new(&node.network).open(&evil.authorize_url(&[])).await;
        assert_eq!((page.status, page.error().as_deref()), (StatusCode::BAD_REQUEST, Some("unknown_client")));
    }
}

on_both_databases! {
    async fn row_120_the_subject_of_an_app_is_its_client_id(kind: Kind) {
        let world = World::new(kind).await;
        let (status, answer) = world.globex_app.token(&[("grant_type", "client_credentials")]).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let told = claims(answer["access_token"].as_str().unwrap());
        assert_eq!((told["sub"].as_str(), told["client_id"].as_str()), (Some("wiki"), Some("wiki")));
        assert!(!countersign::model::is_like_an_id(told["sub"].as_str().unwrap()));
    }
}
