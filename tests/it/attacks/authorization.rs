//! The way back to the app: rows 33 to 37.

use countersign::model::Caller;
use http::Method;
use scraper::{Html, Selector};
use url::Url;

use super::redirects::{EVIL, corpus};
use super::tools::{FORM, form, is_signed_in, percent, request, sign_carol_in, text};
use crate::harness::app::ISSUER;
use crate::harness::browser::Line;
use crate::harness::database::Kind;
use crate::harness::evidence::Evidence;
use crate::harness::relying_app::RelyingApp;
use crate::harness::world::{ACME_IDP, World};
use crate::on_both_databases;

const CALLBACK: &str = "https://notes.acme.test/callback";
const BYE: &str = "https://notes.acme.test/bye";

/// Apps with addresses that could be mistaken for patterns, and with addresses on the user's own machine.
const APPS: &str = r#"
[[organizations]]
handle = "acme"
name = "Acme"

[[organizations.apps]]
client_id = "dotted"
name = "Dotted"
client_secret = "dotted-secret-0123456789"
redirect_uris = ["https://a.example.com/cb", "https://b.example.com/c.*b", "https://c.example.com/(cb)?x=[a-z]+"]

[[organizations.apps]]
client_id = "native"
name = "Native"
application_type = "native"
redirect_uris = ["http://127.0.0.1/cb", "http://[::1]:4000/cb", "com.example.app:/cb"]
"#;

fn app(world: &World, client: &str, redirect_uri: &str) -> RelyingApp {
    RelyingApp::new(&world.app.network, client, None, redirect_uri)
}

/// Fails if an answer leads anywhere but to our own pages or to one of `allowed`: by `Location`, or by a link, form or
/// refresh of its page.
#[track_caller]
fn assert_stays(answer: &http::Response<bytes::Bytes>, allowed: &[&str], what: &str) {
    let stays = |target: &str, kind: &str| {
        let own = target.starts_with('/') && !target.starts_with("//") && !target.starts_with("/\\");
        let own = own
            || target.starts_with('#')
            || target.starts_with('?')
            || target.starts_with("data:image/svg+xml,");
        let plain = !target.contains(|c: char| c.is_control());
        let known = allowed.iter().any(|known| target.starts_with(known));
        let url = Url::parse(ISSUER).unwrap().join(target).unwrap();
        let reaches = url.host_str().is_some_and(|host| host.contains(EVIL));
        assert!((own || known) && plain && !reaches, "{what:?}: {kind} leads to {target:?}");
    };
    for location in answer.headers().get_all("location") {
        stays(location.to_str().unwrap(), "the redirect");
    }
    for name in ["refresh", "link", "content-location"] {
        assert!(!answer.headers().contains_key(name), "{what:?}: {name}");
    }
    let html = Html::parse_document(std::str::from_utf8(answer.body()).unwrap());
    for attribute in ["href", "action", "src", "formaction"] {
        for element in html.select(&Selector::parse(&format!("[{attribute}]")).unwrap()) {
            stays(element.value().attr(attribute).unwrap(), attribute);
        }
    }
    let refreshes = html.select(&Selector::parse("meta[http-equiv]").unwrap()).count();
    assert_eq!(refreshes, 0, "{what:?}");
}

async fn get(line: &mut Line, path: &str, query: &[(&str, &str)]) -> http::Response<bytes::Bytes> {
    let query = form(query);
    line.send(request(Method::GET, &format!("{path}?{query}"), &[], "")).await
}

fn authorize<'a>(client: &'a str, redirect_uri: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", redirect_uri),
        ("scope", "openid"),
        ("state", "https://evil.test/"),
        ("code_challenge", crate::harness::relying_app::CHALLENGE),
        ("code_challenge_method", "S256"),
    ]
}

on_both_databases! {
    async fn row_33_a_registered_address_is_no_pattern(kind: Kind) {
        let world = World::new(kind).await;
        world.app.apply(APPS).await;
        let before = Evidence::now(&world.app).await;
        let others = [
            "https://fooaexample.com/cb",
            "https://axexample.com/cb",
            "https://a.example.comevil.test/cb",
            "https://aXexampleXcom/cb",
            "https://b.example.com/cxyzb",
            "https://b.example.com/cb",
            "https://c.example.com/?x=a",
            "https://c.example.com/cb",
            "https://c.example.com/(cb)?x=a",
            "https://c.example.com/cb?x=abc",
        ];
        for other in others {
            let page = world.browser().open(&app(&world, "dotted", other).authorize_url(&[])).await;
            assert!(page.location().is_none(), "{other}");
            page.expect(400, "error");
            assert_eq!(page.error().as_deref(), Some("redirect_uri_mismatch"), "{other}");
        }
        before.assert_only_refused(&world.app, &["authorize refused redirect_uri_mismatch"; 10]).await;
        let own = app(&world, "dotted", "https://b.example.com/c.*b").authorize_url(&[]);
        world.browser().open(&own).await.expect(200, "sign-in");
    }
}

on_both_databases! {
    async fn row_34_no_answer_leads_to_an_address_that_is_not_registered(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let tokens = world.notes.redeem(&world.notes.code(&world.brokered(&mut browser).await)).await.1;
        let hint = text(&tokens, "id_token");
        let mut line = world.app.network.dial(&ISSUER.parse().unwrap()).await;
        let before = Evidence::now(&world.app).await;
        for variant in corpus(CALLBACK) {
            let answer = get(&mut line, "/oauth2/authorize", &authorize("notes", &variant)).await;
            assert_eq!((answer.status().as_u16(), answer.headers().get("location")), (400, None), "{variant:?}");
            assert_stays(&answer, &["https://notes.acme.test/"], &variant);
            let initiate = format!("/sso/initiate/{ACME_IDP}");
            let answer = get(&mut line, &initiate, &[("target_link_uri", &variant)]).await;
            assert_eq!((answer.status().as_u16(), answer.headers().get("location")), (400, None), "{variant:?}");
            assert_stays(&answer, &[], &variant);
        }
        for variant in corpus(BYE) {
            let query = [("id_token_hint", hint), ("post_logout_redirect_uri", &variant), ("state", "//evil.test")];
            let answer = get(&mut line, "/oauth2/logout", &query).await;
            assert_eq!(answer.headers()["location"], "/signed-out?client_id=notes", "{variant:?}");
        }
        let changes = before.changes(&world.app).await;
        assert!(changes.rows.is_empty(), "{changes:?}");
        // The good ones are followed still.
        let query = [("id_token_hint", hint), ("post_logout_redirect_uri", BYE), ("state", "//evil.test")];
        let answer = get(&mut line, "/oauth2/logout", &query).await;
        assert_eq!(answer.headers()["location"], format!("{BYE}?state=%2F%2Fevil.test").as_str());
        let mut query = authorize("notes", CALLBACK);
        query.push(("prompt", "none"));
        let answer = get(&mut line, "/oauth2/authorize", &query).await;
        assert!(answer.headers()["location"].to_str().unwrap().starts_with(&format!("{CALLBACK}?error=")));
    }
}

on_both_databases! {
    async fn row_34_nor_does_any_other_place_that_takes_a_word(kind: Kind) {
        let world = World::new(kind).await;
        let mut line = world.app.network.dial(&ISSUER.parse().unwrap()).await;
        let before = Evidence::now(&world.app).await;
        let idp = world.idp.as_str();
        let upstream: Vec<&str> = vec![idp];
        for variant in corpus(CALLBACK).into_iter().step_by(5) {
            let wishes: Vec<(&str, &str)> = ["return_to", "next", "continue", "redirect", "url", "target", "goto", "flow"]
                .into_iter()
                .map(|name| (name, variant.as_str()))
                .collect();
            for page in ["/", "/signin", "/signin/domain", "/consent", "/account", "/signed-out", "/nothing", "/sso/acme.test"] {
                let answer = get(&mut line, page, &wishes).await;
                assert_stays(&answer, if page == "/sso/acme.test" { &upstream } else { &[] }, &variant);
            }
            for (path, name) in [
                ("/signed-out".to_owned(), "client_id"),
                ("/oauth2/logout".to_owned(), "client_id"),
                (format!("/sso/signed-out/{ACME_IDP}"), "state"),
                (format!("/sso/callback/{ACME_IDP}"), "state"),
                (format!("/sso/initiate/{ACME_IDP}"), "iss"),
                (format!("/sso/frontchannel-logout/{ACME_IDP}"), "iss"),
            ] {
                let answer = get(&mut line, &path, &[(name, &variant)]).await;
                assert_stays(&answer, &[], &variant);
            }
            for (path, fields) in [
                ("/oauth2/logout/confirm", vec![("flow", variant.as_str()), ("scope", "local")]),
                ("/oauth2/logout", vec![("post_logout_redirect_uri", variant.as_str()), ("client_id", "notes")]),
                ("/oauth2/authorize", authorize("notes", &variant)),
            ] {
                let headers = [FORM, ("sec-fetch-site", "same-origin")];
                let answer = line.send(request(Method::POST, path, &headers, &form(&fields))).await;
                assert_stays(&answer, &[], &variant);
            }
            for name in ["domain_hint", "idp_hint", "login_hint", "ui_locales", "claims", "id_token_hint"] {
                let mut query = authorize("notes", CALLBACK);
                query.push((name, &variant));
                let answer = get(&mut line, "/oauth2/authorize", &query).await;
                assert_stays(&answer, &[CALLBACK, idp], &variant);
            }
            // As the path itself, raw and encoded.
            let encoded = percent(&variant);
            for path in [variant.clone(), format!("/{variant}"), format!("//{variant}"), format!("/{encoded}"), format!("/sso/{encoded}")] {
                let uri = format!("{ISSUER}{path}");
                if path.starts_with('/') && uri.parse::<http::Uri>().is_ok_and(|uri| uri.host() == Some("id.test")) {
                    let answer = line.send(request(Method::GET, &path, &[], "")).await;
                    assert_stays(&answer, &upstream, &path);
                }
            }
        }
        before
            .assert_exactly(
                &world.app,
                &[],
                &[
                    ("authorize refused invalid_request", 21),
                    ("consent refused flow_handle_invalid", 7),
                    ("logout.front_channel refused iss_or_sid_missing", 21),
                    ("sign_in refused flow_handle_invalid", 14),
                    ("sign_in refused iss_mismatch", 21),
                    ("sign_in refused state_foreign", 21),
                    ("sign_in refused unknown_name", 21),
                ],
            )
            .await;
    }
}

on_both_databases! {
    async fn row_35_a_loopback_address_may_change_its_port_and_nothing_else(kind: Kind) {
        let world = World::new(kind).await;
        world.app.apply(APPS).await;
        for good in [
            "http://127.0.0.1/cb",
            "http://127.0.0.1:1/cb",
            "http://127.0.0.1:54321/cb",
            "http://[::1]/cb",
            "http://[::1]:65535/cb",
            "com.example.app:/cb",
        ] {
            let page = world.browser().open(&app(&world, "native", good).authorize_url(&[])).await;
            page.expect(200, "sign-in");
        }
        let bad = [
            "http://127.0.0.1.evil.com/cb",
            "http://127.0.0.1:80.evil.com/cb",
            "http://127.0.0.1@evil.com/cb",
            "http://127.0.0.1:1@evil.com/cb",
            "http://127.0.0.1:/cb",
            "http://127.0.0.1:99999/cb",
            "http://127.0.0.1:-1/cb",
            "http://127.0.0.1:1/other",
            "http://127.0.0.1:1/cb/",
            "http://127.0.0.1:1/cb?x=1",
            "http://127.0.0.1:1/cb#x",
            "https://127.0.0.1:1/cb",
            "http://127.0.0.2:1/cb",
            "http://127.1:1/cb",
            "http://2130706433:1/cb",
            "http://0.0.0.0:1/cb",
            "http://localhost:1/cb",
            "http://[::ffff:127.0.0.1]:1/cb",
            "http://[::1]evil.com:1/cb",
            "http://[0:0:0:0:0:0:0:1]:1/cb",
            "com.example.app:/cb2",
            "com.example.app://cb",
        ];
        let before = Evidence::now(&world.app).await;
        for other in bad {
            let page = world.browser().open(&app(&world, "native", other).authorize_url(&[])).await;
            assert!(page.location().is_none(), "{other}");
            page.expect(400, "error");
        }
        // For an app that is not native, the port is part of the address, and a loopback address is not allowed at
        // all.
        for other in ["https://notes.acme.test:1/callback", "http://127.0.0.1:1/callback"] {
            let page = world.browser().open(&app(&world, "notes", other).authorize_url(&[])).await;
            page.expect(400, "error");
        }
        let web = APPS.replace("client_id = \"native\"", "client_id = \"web\"").replace("application_type = \"native\"\n", "");
        world.app.broker.organizations.apply(Caller::Operator(None), &[("web.toml".to_owned(), web)], false).await.unwrap_err();
        before.assert_exactly(&world.app, &[], &[("authorize refused redirect_uri_mismatch", 21)]).await;
    }
}

on_both_databases! {
    async fn row_36_a_sign_out_leads_to_registered_addresses_alone(kind: Kind) {
        let world = World::new(kind).await;
        for (uri, followed) in [
            (BYE, true),
            ("https://notes.acme.test/bye?x=1", false),
            ("https://notes.acme.test/bye?", false),
            ("https://notes.acme.test/bye/", false),
            ("https://notes.acme.test/bye#x", false),
            ("https://notes.acme.test/callback", false),
            ("https://notes.acme.test/", false),
            ("https://wiki.globex.test/callback", false),
            ("https://evil.test/", false),
        ] {
            let mut browser = world.browser();
            sign_carol_in(&mut browser).await;
            let end = browser.open(&world.notes.authorize_url(&[])).await;
            let tokens = world.notes.redeem(&world.notes.code(&end)).await.1;
            let query = form(&[
                ("id_token_hint", text(&tokens, "id_token")),
                ("post_logout_redirect_uri", uri),
                ("client_id", "notes"),
                ("state", "s"),
            ]);
            let mut asking = browser.clone();
            let before = Evidence::now(&world.app).await;
            let page = browser.open(&format!("{ISSUER}/oauth2/logout?{query}")).await;
            let target = page.location().map(String::from);
            assert_eq!(target.as_deref(), followed.then_some("https://notes.acme.test/bye?state=s"), "{uri}");
            if !followed {
                page.expect(200, "signed-out");
            }
            // Signed out they are either way.
            assert!(!is_signed_in(&mut asking).await, "{uri}");
            let changes = before.changes(&world.app).await;
            assert!(changes.rows.is_empty(), "{changes:?}");
            assert_eq!(changes.audit, ["logout done"], "{uri}");
        }
        // Another app's address under one's own name, in the question as well.
        let mut browser = world.browser();
        sign_carol_in(&mut browser).await;
        let query = form(&[("client_id", "wiki"), ("post_logout_redirect_uri", BYE), ("state", "s")]);
        let page = browser.open(&format!("{ISSUER}/oauth2/logout?{query}")).await;
        let end = browser.press(page.expect(200, "logout-confirm"), "logout-confirm", &[]).await;
        end.expect(200, "signed-out");
    }
}

on_both_databases! {
    async fn row_37_nobody_else_signs_a_person_out(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        sign_carol_in(&mut browser).await;
        let mut other = world.browser();
        let end = world.brokered(&mut other).await;
        let foreign = world.notes.redeem(&world.notes.code(&end)).await.1;
        let foreign = text(&foreign, "id_token");
        let before = Evidence::now(&world.app).await;
        let logout: Url = format!("{ISSUER}/oauth2/logout").parse().unwrap();
        for query in [
            String::new(),
            form(&[("state", "s")]),
            form(&[("client_id", "notes"), ("post_logout_redirect_uri", BYE)]),
            form(&[("id_token_hint", foreign), ("post_logout_redirect_uri", BYE)]),
            form(&[("id_token_hint", foreign), ("logout_hint", "carol")]),
        ] {
            let mut url = logout.clone();
            url.set_query(Some(&query));
            for site in ["cross-site", "none"] {
                let page = browser.request(Method::GET, &url, None, site, None).await;
                assert!(page.location().is_none(), "{query}");
                page.expect(200, "logout-confirm");
            }
            // A post from elsewhere is but a longer way to the same question.
            let page = browser.request(Method::POST, &logout, Some(query.clone()), "cross-site", None).await;
            assert!(page.status == 303 && page.location().unwrap().path() == "/oauth2/logout");
            browser.follow(page).await.expect(200, "logout-confirm");
        }
        for path in ["/oauth2/logout/confirm", "/account/sign-out", "/account/sessions/end-others"] {
            let url = format!("{ISSUER}{path}").parse().unwrap();
            let page = browser.request(Method::GET, &url, None, "cross-site", None).await;
            assert_eq!(page.status, 405, "{path}");
            let body = Some("scope=local".to_owned());
            let page = browser.request(Method::POST, &url, body, "cross-site", Some("https://evil.test")).await;
            assert_eq!((page.status.as_u16(), page.error().as_deref()), (403, Some("cross_site")), "{path}");
        }
        before.assert_only_refused(&world.app, &["form refused cross_site"; 3]).await;
        assert!(is_signed_in(&mut browser).await && is_signed_in(&mut other).await);
    }
}
