//! What is stored, shown and logged: rows 99 to 101, and 103.

use std::future::Future;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use countersign::emulator::Vendor;
use countersign::flows::manage::AuditFilter;
use countersign::model::Caller;
use countersign::telemetry::{Format, subscriber};
use http::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tracing::level_filters::LevelFilter;

use super::tools::{FORM, SESSION, form, percent, refresh, request, text, tokens_of_gil};
use crate::harness::app::ISSUER;
use crate::harness::browser::Browser;
use crate::harness::database::Kind;
use crate::harness::evidence::Evidence;
use crate::harness::log::Log;
use crate::harness::relying_app::{RelyingApp, VERIFIER, claims};
use crate::harness::world::{ACME_OTHER, PASSWORD, World};
use crate::on_both_databases;

/// Runs a test on threads that log everything.
fn around(log: &Log, test: impl Future<Output = ()>) {
    let dispatch = subscriber(Format::Json, LevelFilter::TRACE, log.clone());
    // With one subscriber alone, a place in the code that another test's thread comes by first is asked of that
    // thread's, which is none, and stays silent; with two, all are asked.
    let _second = subscriber(Format::Json, LevelFilter::TRACE, Log::default());
    let of_threads = dispatch.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        // For as long as the thread lives.
        .on_thread_start(move || std::mem::forget(tracing::dispatcher::set_default(&of_threads)))
        .build()
        .unwrap();
    tracing::dispatcher::with_default(&dispatch, || runtime.block_on(test));
}

/// At most a hundred characters together with the text before it, as TOML.
const NASTY: &str = "<script>alert(1)</script>{{7*7}}<a href=https://evil.test>x</a>\\\"><img src=x>";

on_both_databases! {
    async fn row_99_a_name_is_text_wherever_it_came_from(kind: Kind) {
        let mut world = World::new(kind).await;
        let idp = world
            .app
            .emulate(Vendor::Okta, |_| {
                format!(
                    "[[clients]]\nclient_id = \"nasty\"\nclient_secret = \"nasty-secret-0123456789\"\n\
                     redirect_uris = [\"https://id.test/sso/callback/{ACME_OTHER}\"]\n[[users]]\nusername = \"mallory\"\n\
                     password = \"idp-password\"\nname = \"{NASTY}\"\nemail = \"mallory@nasty.test\"\nemail_verified = true\n"
                )
            })
            .await;
        let document = format!(
            "[[organizations]]\nhandle = \"nasty\"\nname = \"Org {NASTY}\"\n\
             domains = [{{ name = \"nasty.test\", connection = \"idp\" }}]\n[[organizations.connections]]\n\
             id = \"{ACME_OTHER}\"\nhandle = \"idp\"\nname = \"IdP {NASTY}\"\nvendor = \"okta\"\nissuer = \"{}\"\n\
             client_id = \"nasty\"\nclient_secret = \"nasty-secret-0123456789\"\n[[organizations.apps]]\n\
             client_id = \"nasty-app\"\nname = \"App {NASTY}\"\nclient_secret = \"nasty-secret-0123456789\"\n\
             redirect_uris = [\"https://app.nasty.test/cb\"]\nconsent = \"explicit\"\nhome_uri = \"https://app.nasty.test/\"\n",
            idp.as_str().trim_end_matches('/')
        );
        world.app.apply(&document).await;
        let secret = Some("nasty-secret-0123456789");
        let app = RelyingApp::new(&world.app.network, "nasty-app", secret, "https://app.nasty.test/cb");
        let before = Evidence::now(&world.app).await;
        let mut browser = world.browser();
        let mut pages = vec![world.browser().open(&app.authorize_url(&[])).await];
        let page = browser.open(&app.authorize_url(&[("domain_hint", "nasty.test")])).await;
        let fields = [("username", "mallory"), ("password", "idp-password")];
        let consent = browser.press(page.expect(200, "emulator-sign-in"), "emulator-sign-in", &fields).await;
        pages.push(consent.expect(200, "consent-allow").clone());
        let end = browser.press(&consent, "consent-allow", &[]).await;
        let tokens = app.redeem(&app.code(&end)).await.1;
        for path in ["/account", "/oauth2/logout?client_id=nasty-app", "/signed-out?client_id=nasty-app"] {
            pages.push(browser.open(&format!("{ISSUER}{path}")).await);
        }
        pages.push(browser.press(&consent, "consent-allow", &[]).await);
        for page in &pages {
            assert!(!page.body.contains("<script>alert") && !page.body.contains("<a href=https://evil"), "{}: {}", page.url, page.body);
            assert!(!page.body.contains("<img"), "{}: {}", page.url, page.body);
            assert!(page.body.contains("{{7*7}}") || page.body.contains("&#123;&#123;7*7"), "{}: {}", page.url, page.body);
        }
        // To apps it is what the provider said, letter by letter.
        let (_, about) = app.userinfo(text(&tokens, "access_token")).await;
        assert_eq!(about["name"], NASTY.replace("\\\"", "\""));
        before
            .assert_exactly(
                &world.app,
                &[("account_roles", 1), ("accounts", 1), ("codes", 1), ("consents", 1), ("grants", 1), ("profiles", 1), ("interactions", 1), ("refresh_tokens", 1), ("sessions", 1)],
                &[
                    ("account.create done", 1),
                    ("authorize done", 1),
                    ("consent done", 1),
                    ("sign_in done", 1),
                    ("token.code done", 1),
                ],
            )
            .await;
        let export = world.app.broker.organizations.export().await.unwrap();
        let again = world.app.broker.organizations.apply(Caller::Operator(None), &[("again.toml".to_owned(), export)], true).await.unwrap();
        assert!(again.lines.iter().any(|line| line.name == "nasty/idp"));
    }
}

/// Words that break out of something somewhere.
const WORDS: [&str; 24] = [
    "'",
    "\"",
    "''",
    "' OR '1'='1",
    "'; DROP TABLE accounts; --",
    "\") OR 1=1 --",
    "\\",
    "\\'",
    "%",
    "_",
    "%%%",
    "$1",
    "?",
    "\0",
    "a\0b",
    "\r\nRCPT TO:<evil@evil.test>\r\n",
    "\n",
    "\u{1b}[31m",
    "\u{feff}",
    "\u{202e}",
    "\u{10ffff}",
    "\u{fffe}",
    "../../etc/passwd",
    "{{7*7}}",
];

on_both_databases! {
    async fn row_100_no_word_breaks_out_of_a_statement(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let tokens = tokens_of_gil(&world, &mut browser).await;
        let mut line = world.app.network.dial(&ISSUER.parse().unwrap()).await;
        let before = Evidence::now(&world.app).await;
        let sign_in = world.browser().open(&format!("{ISSUER}/signin")).await;
        let flow = sign_in.url.query_pairs().find(|(name, _)| name == "flow").unwrap().1.into_owned();
        let basic = format!("Basic {}", STANDARD.encode("wiki:wiki-secret-0123456789"));
        let long = "x".repeat(5_000);
        for word in WORDS.into_iter().chain([long.as_str()]) {
            let pair = format!("Basic {}", STANDARD.encode(format!("{word}:{word}")));
            for (method, path, names) in [
                (Method::GET, "/oauth2/authorize", &["client_id", "redirect_uri"][..]),
                (Method::GET, "/oauth2/logout", &["client_id", "post_logout_redirect_uri", "id_token_hint"]),
                (Method::GET, "/signed-out", &["client_id"]),
                (Method::GET, "/signin", &["flow"]),
                (Method::GET, "/consent", &["flow"]),
                (Method::GET, "/sso/callback/con_019000000000700080000000000000a1", &["state", "code", "error", "iss"]),
                (Method::GET, "/sso/frontchannel-logout/con_019000000000700080000000000000a1", &["iss", "sid"]),
                (Method::GET, "/sso/initiate/con_019000000000700080000000000000a1", &["iss", "target_link_uri", "login_hint"]),
                (Method::GET, "/sso/signed-out/con_019000000000700080000000000000a1", &["state"]),
                (Method::POST, "/sso/backchannel-logout/con_019000000000700080000000000000a1", &["logout_token"]),
                (Method::POST, "/signin", &["username", "password", "form_token"]),
                (Method::POST, "/signin/domain", &["domain"]),
                (Method::POST, "/signin/connection", &["connection"]),
                (Method::POST, "/account/sessions/end", &["session"]),
                (Method::POST, "/oauth2/token", &["grant_type", "code", "refresh_token", "client_id", "client_secret"]),
                (Method::POST, "/oauth2/revoke", &["token"]),
                (Method::POST, "/oauth2/introspect", &["token"]),
                (Method::POST, "/oauth2/userinfo", &["access_token"]),
            ] {
                for name in names {
                    let mut fields = vec![(*name, word)];
                    if path.starts_with("/signin/") || (path == "/signin" && method == Method::POST) {
                        fields.push(("flow", &flow));
                    }
                    if path.contains("frontchannel") && *name == "sid" {
                        fields.push(("iss", world.idp.as_str().trim_end_matches('/')));
                    }
                    let fields = form(&fields);
                    let answer = if method == Method::GET {
                        line.send(request(method.clone(), &format!("{path}?{fields}"), &[], "")).await
                    } else {
                        for authorization in [&basic, &pair] {
                            let headers = [FORM, ("sec-fetch-site", "same-origin"), ("authorization", authorization.as_str())];
                            let answer = line.send(request(method.clone(), path, &headers, &fields)).await;
                            assert!(answer.status().as_u16() < 500, "{path} {name} {word:?}: {}", answer.status());
                        }
                        line.send(request(method.clone(), path, &[FORM, ("sec-fetch-site", "same-origin")], &fields)).await
                    };
                    assert!(answer.status().as_u16() < 500, "{path} {name} {word:?}: {}", answer.status());
                }
            }
            // In a request that is otherwise good, down to the code and its redemption.
            for name in ["state", "nonce", "login_hint", "domain_hint", "idp_hint", "acr_values", "ui_locales", "resource", "scope", "prompt"] {
                let page = browser.open(&world.globex_app.authorize_url(&[(name, word)])).await;
                assert!(page.status.as_u16() < 500, "{name} {word:?}: {}", page.body);
                if let Some(code) = page.location_parameter("code") {
                    let (status, answer) = world.globex_app.redeem(&code).await;
                    assert_eq!(status, StatusCode::OK, "{name} {word:?}: {answer}");
                }
            }
            let uri = format!("{ISSUER}/sso/{}", percent(word)).parse().unwrap();
            let page = world.browser().request(Method::GET, &uri, None, "none", None).await;
            assert!(page.status.as_u16() < 500, "/sso/ {word:?}: {}", page.status);
        }
        let changes = before.changes(&world.app).await;
        for table in ["accounts", "passwords", "profiles", "sessions", "consents"] {
            assert!(!changes.rows.contains_key(table), "{table}: {changes:?}");
        }
        assert_eq!(refresh(&world.globex_app, text(&tokens, "refresh_token"), &[]).await.0, 200);
    }
}

/// Declares a test on both databases whose whole log is read.
macro_rules! with_log {
    ($name:ident, $run:ident) => {
        mod $name {
            use super::*;

            #[test]
            fn sqlite() {
                let log = Log::default();
                around(&log, $run(Kind::Sqlite, log.clone()));
            }

            #[test]
            fn postgres() {
                let log = Log::default();
                around(&log, $run(Kind::Postgres, log.clone()));
            }
        }
    };
}

with_log!(row_101_a_name_forges_no_line_of_the_log, forge_lines);

async fn forge_lines(kind: Kind, log: Log) {
    let world = World::new(kind).await;
    let name = "carol\r\n{\"level\":\"INFO\",\"message\":\"forged\"}\r\n\u{1b}[2J\u{9b}31m\u{2028}\0";
    let before = Evidence::now(&world.app).await;
    let page =
        world.browser().open(&world.notes.authorize_url(&[("login_hint", name), ("state", name)])).await;
    for fields in [[("username", name), ("password", "x")], [("username", "carol"), ("password", name)]] {
        let mut browser = world.browser();
        browser.cookies.clone_from(&Browser::new(&world.app.network).cookies);
        let page = browser.open(&world.notes.authorize_url(&[])).await;
        let page = browser.press(&page, "sign-in", &fields).await;
        assert_eq!(page.error().as_deref(), Some("bad_credentials"));
    }
    page.expect(200, "sign-in");
    let (status, _) = world.notes.token(&[("grant_type", name), ("code", name)]).await;
    assert_eq!(status, 400);
    let path = format!("/sso/{}?{}", percent(name), form(&[(name, name)]));
    assert_eq!(
        world
            .app
            .network
            .send(request(Method::GET, &path, &[("user-agent", "\u{e9}\tx")], ""))
            .await
            .status(),
        404
    );
    let refused = [
        "sign_in refused unknown_username",
        "sign_in refused wrong_password",
        "token refused unsupported_grant_type",
        "sign_in refused unknown_name",
    ];
    before.assert_only_refused(&world.app, &refused).await;
    let text = log.text();
    let lines: Vec<&str> = text.split('\n').filter(|line| !line.is_empty()).collect();
    assert!(lines.iter().any(|line| line.contains("\"/signin\"")), "the log was read: {text}");
    for line in lines {
        let value: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        assert!(!line.contains(char::is_control), "{line:?}");
        assert_ne!(value["message"], "forged");
    }
    let mut exported = Vec::new();
    world
        .app
        .broker
        .accounts
        .export_audit(&AuditFilter::default(), |line| exported.push(serde_json::to_string(&line).unwrap()))
        .await
        .unwrap();
    assert!(
        exported.len() > 4 && exported.iter().all(|line| !line.contains(char::is_control)),
        "{exported:?}"
    );
}

with_log!(row_103_no_secret_stands_in_clear_in_database_log_or_metrics, plant_canaries);

async fn plant_canaries(kind: Kind, log: Log) {
    let world = World::new(kind).await;
    let mut secrets: Vec<(&str, String)> = vec![
        ("an app's secret", "notes-secret-0123456789".to_owned()),
        ("an app's wrong secret", "wrong-canary-secret-0123456789".to_owned()),
        ("a provider's secret", "idp-secret-0123456789".to_owned()),
        ("a password", PASSWORD.to_owned()),
        ("a wrong password", "Canary7wrong".to_owned()),
        ("a verifier", VERIFIER.to_owned()),
    ];
    let mut browser = world.browser();
    let start = world.notes.authorize_url(&[("domain_hint", "acme.test")]).parse().unwrap();
    let upstream_request = browser.request(Method::GET, &start, None, "none", None).await;
    secrets.push(("a provider's state", upstream_request.location_parameter("state").unwrap()));
    let page = browser.follow(upstream_request).await;
    let fields = [("username", "bob"), ("password", "idp-password")];
    let callback = browser.press_only(&page, "emulator-sign-in", &fields).await.location().unwrap();
    let upstream_code = callback.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    secrets.push(("a provider's code", upstream_code));
    for (name, value) in browser.cookies_of("id.test") {
        assert!(name.starts_with("__Host-flow-"), "{name}");
        secrets.push(("a flow's cookie", value));
    }
    let end = browser.open(callback.as_str()).await;
    let code = world.notes.code(&end);
    let (_, first) = world.notes.redeem(&code).await;
    let (_, second) = refresh(&world.notes, text(&first, "refresh_token"), &[]).await;
    secrets.push(("a code", code));
    for tokens in [&first, &second] {
        for name in ["access_token", "id_token", "refresh_token"] {
            secrets.push(("a token", text(tokens, name).to_owned()));
        }
    }
    world.notes.userinfo(text(&second, "access_token")).await;
    secrets.push(("a session's cookie", browser.cookies_of("id.test")[SESSION].clone()));
    let mut gil = world.browser();
    tokens_of_gil(&world, &mut gil).await;
    for (_, value) in gil.cookies_of("id.test") {
        secrets.push(("a cookie", value));
    }
    // A refused value is just as secret: a mistyped password is nearly the right one.
    let page = gil.open(&world.globex_app.authorize_url(&[("prompt", "login")])).await;
    let page = gil.press(&page, "sign-in", &[("username", "gil"), ("password", "Canary7wrong")]).await;
    assert!(page.error().is_some() && !page.body.contains("Canary7wrong"));
    let wrong = RelyingApp {
        client_secret: Some("wrong-canary-secret-0123456789".to_owned()),
        ..world.notes.clone()
    };
    assert_eq!(wrong.token(&[("grant_type", "client_credentials")]).await.0, StatusCode::UNAUTHORIZED);
    let query = form(&[("id_token_hint", text(&second, "id_token"))]);
    browser.open(&format!("{ISSUER}/oauth2/logout?{query}")).await;
    // While the database fails, errors say what failed, and no more.
    world.app.run_statement("ALTER TABLE refresh_tokens RENAME TO refresh_tokens_gone").await;
    assert_eq!(refresh(&world.notes, text(&second, "refresh_token"), &[]).await.0, 503);
    world.app.run_statement("ALTER TABLE refresh_tokens_gone RENAME TO refresh_tokens").await;
    let stored = world.app.everything_stored().await;
    let logged = log.text().into_bytes();
    let measured = metrics(world.app.management).await.into_bytes();
    let holds =
        |place: &[u8], needle: &str| place.windows(needle.len()).any(|part| part == needle.as_bytes());
    assert!(
        holds(&stored, "notes.acme.test") && holds(&stored, "bob@acme.test"),
        "the search finds what is there"
    );
    assert!(holds(&logged, "/oauth2/token") && holds(&logged, "could not be served"), "the log was read");
    assert!(holds(&measured, "/oauth2/token"));
    for (what, secret) in &secrets {
        assert!(secret.len() > 8, "{what}");
        let bytes = secret.as_bytes();
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let forms = [
            secret.clone(),
            STANDARD_NO_PAD.encode(bytes),
            URL_SAFE_NO_PAD.encode(bytes),
            hex.concat(),
            percent(secret),
        ];
        for written in forms {
            for (place, content) in [("database", &stored), ("log", &logged), ("metrics", &measured)] {
                assert!(!holds(content, &written), "{what} stands in the {place}: {written}");
            }
        }
    }
    assert!(!holds(&stored, "PRIVATE KEY"));
    assert_eq!(claims(text(&first, "id_token"))["aud"], "notes");
}

async fn metrics(management: std::net::SocketAddr) -> String {
    let mut socket = TcpStream::connect(management).await.unwrap();
    socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

on_both_databases! {
    async fn row_103_a_sealed_value_opens_in_its_own_row_only(kind: Kind) {
        crate::harness::watch::expect_errors();
        let world = World::new(kind).await;
        let issuer = world.idp.as_str().trim_end_matches('/');
        // Two connections at one provider, and two people with a session each.
        world
            .app
            .apply(&format!(
                "[[organizations]]\nhandle = \"beta\"\nname = \"Beta\"\n[[organizations.connections]]\n\
                 id = \"{ACME_OTHER}\"\nhandle = \"beta-idp\"\nname = \"Beta SSO\"\nvendor = \"okta\"\n\
                 issuer = \"{issuer}\"\nclient_id = \"countersign-2\"\nclient_secret = \"idp-secret-2-0123456789\"\n"
            ))
            .await;
        let node = world.app.second_node().await;
        world.brokered(&mut Browser::new(&node.network)).await;
        drop(node);
        for statement in [
            "UPDATE connections SET next_secret_sealed = (SELECT other.secret_sealed FROM connections other WHERE other.id <> connections.id)",
            "UPDATE connections SET secret_sealed = next_secret_sealed, next_secret_sealed = NULL",
        ] {
            world.app.run_statement(statement).await;
        }
        let node = world.app.second_node().await;
        let before = Evidence::now(&world.app).await;
        let mut browser = Browser::new(&node.network);
        let end = world.brokered(&mut browser).await;
        assert_eq!((end.status.as_u16(), end.error().as_deref()), (503, Some("temporarily_unavailable")), "{}", end.body);
        assert!(!browser.cookies_of("id.test").contains_key(SESSION));
        let changes = before.changes(&world.app).await;
        assert!(changes.rows.is_empty(), "{changes:?}");
        // The broker's own keys: with two of them exchanged, none is loaded.
        world
            .app
            .run_statement(
                "UPDATE signing_keys SET private_sealed = \
                 (SELECT MAX(other.private_sealed) FROM signing_keys other WHERE other.id <> signing_keys.id)",
            )
            .await;
        assert!(node.broker.keys.reload_signing_keys().await.is_err());
    }
}
