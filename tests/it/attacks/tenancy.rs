//! One organization and another: rows 18, 20, 21 and 25.

use std::sync::Arc;

use countersign::model::Caller;
use http::{Method, StatusCode};
use serde_json::json;
use tokio::sync::Barrier;
use url::Url;

use super::tools::{assert_error, form, percent, refresh, sign_carol_in, text, tokens_of_gil};
use crate::harness::app::ISSUER;
use crate::harness::browser::{Browser, Page};
use crate::harness::database::Kind;
use crate::harness::evidence::Evidence;
use crate::harness::relying_app::{RelyingApp, claims};
use crate::harness::world::{ACME_IDP, ACME_OTHER, World};
use crate::on_both_databases;

/// Beta has registered the very provider that acme has, under a client of its own. It owns no domain.
async fn beta(world: &World) -> RelyingApp {
    let issuer = world.idp.as_str().trim_end_matches('/');
    world
        .app
        .apply(&format!(
            "[[organizations]]\nhandle = \"beta\"\nname = \"Beta\"\n[[organizations.connections]]\n\
             id = \"{ACME_OTHER}\"\nhandle = \"beta-idp\"\nname = \"Beta SSO\"\nvendor = \"okta\"\n\
             issuer = \"{issuer}\"\nclient_id = \"countersign-2\"\nclient_secret = \"idp-secret-2-0123456789\"\n\
             [[organizations.apps]]\nclient_id = \"board\"\nname = \"Board\"\n\
             client_secret = \"board-secret-0123456789\"\nredirect_uris = [\"https://board.beta.test/callback\"]\n\
             unproven_email = true\n"
        ))
        .await;
    let secret = Some("board-secret-0123456789");
    RelyingApp::new(&world.app.network, "board", secret, "https://board.beta.test/callback")
}

/// Where a browser is sent first.
async fn first_stop(browser: &mut Browser, url: &str) -> Page {
    browser.request(Method::GET, &url.parse().unwrap(), None, "none", None).await
}

/// The connection whose provider a browser is sent to, if it is.
fn connection_of(page: &Page) -> Option<String> {
    let back = page.location_parameter("redirect_uri")?;
    back.strip_prefix("https://id.test/sso/callback/").map(str::to_owned)
}

/// Signs bob in as far as the address that his provider sends him back to.
async fn callback(world: &World, browser: &mut Browser, app: &RelyingApp, idp: &str) -> Url {
    let page = browser.open(&app.authorize_url(&[("idp_hint", idp), ("prompt", "login")])).await;
    page.expect(200, "emulator-sign-in");
    let fields = [("username", "bob"), ("password", "idp-password")];
    let callback = browser.press_only(&page, "emulator-sign-in", &fields).await.location().unwrap();
    assert_eq!(callback.host_str(), Some("id.test"), "{}", world.idp);
    callback
}

on_both_databases! {
    async fn row_18_fifty_organizations_claim_one_domain(kind: Kind) {
        let world = World::new(kind).await;
        let other = world.app.second_node().await;
        let before = Evidence::now(&world.app).await;
        let barrier = Arc::new(Barrier::new(50));
        let claims: Vec<_> = (0..50)
            .map(|number| {
                let node = if number % 2 == 0 { &world.app.broker } else { &other.broker };
                let (broker, barrier) = (Arc::clone(node), Arc::clone(&barrier));
                let document = format!(
                    "[[organizations]]\nhandle = \"org-{number}\"\nname = \"Org\"\n\
                     domains = [{{ name = \"prize.test\", connection = \"idp\" }}]\n\
                     [[organizations.connections]]\nhandle = \"idp\"\nname = \"IdP\"\nvendor = \"okta\"\n\
                     issuer = \"{}\"\nclient_id = \"countersign\"\nclient_secret = \"idp-secret-0123456789\"\n",
                    world.idp.as_str().trim_end_matches('/'),
                );
                tokio::spawn(async move {
                    barrier.wait().await;
                    broker.organizations.apply(Caller::Operator(None), &[("claim.toml".to_owned(), document)], false).await
                })
            })
            .collect();
        let mut won = Vec::new();
        for claim in claims {
            match claim.await.unwrap() {
                Ok(report) => won.push(report),
                Err(error) => {
                    assert_eq!(error.to_string(), "domain prize.test: it belongs to another organization");
                }
            }
        }
        assert_eq!(won.len(), 1);
        let export = world.app.broker.organizations.export().await.unwrap();
        assert_eq!(export.matches("prize.test").count(), 1);
        assert_eq!(export.matches("handle = \"org-").count(), 1, "a loser leaves nothing behind");
        // The name leads to the one owner, on both nodes, and later claims do not change that.
        let winner = won[0].lines.iter().find(|line| line.name.ends_with("/idp")).unwrap().id.clone();
        world.app.broker.organizations.apply(Caller::Operator(None), &[("late.toml".to_owned(), LATE.to_owned())], false).await.unwrap_err();
        for network in [&world.app.network, &other.network] {
            let url = "https://id.test/sso/prize.test";
            let page = first_stop(&mut Browser::new(network), url).await;
            assert_eq!(connection_of(&page).as_deref(), Some(winner.as_str()));
        }
        before
            .assert_exactly(
                &world.app,
                &[("domains", 1)],
                &[
                    ("apply.connection done", 1),
                    ("apply.domain done", 1),
                    ("apply.organization done", 1),
                ],
            )
            .await;
    }
}

const LATE: &str =
    "[[organizations]]\nhandle = \"late\"\nname = \"Late\"\ndomains = [{ name = \"PRIZE.test\" }]\n";

on_both_databases! {
    async fn row_18_a_provider_speaks_for_no_domain_that_its_organization_does_not_own(kind: Kind) {
        let world = World::new(kind).await;
        let board = beta(&world).await;
        // To beta's connection the provider says bob@acme.test, verified. acme.test is acme's.
        let mut browser = world.browser();
        let before = Evidence::now(&world.app).await;
        let end = browser.open(callback(&world, &mut browser.clone(), &board, "beta-idp").await.as_str()).await;
        assert_eq!(end.error().as_deref(), Some("flow_expired"), "another browser's");
        let back = callback(&world, &mut browser, &board, "beta-idp").await;
        let tokens = board.redeem(&board.code(&browser.open(back.as_str()).await)).await.1;
        let here = claims(text(&tokens, "id_token"));
        let about = board.userinfo(text(&tokens, "access_token")).await.1;
        assert_eq!((&about["email"], &about["email_verified"]), (&json!("bob@acme.test"), &json!(false)));
        let changes = before.changes(&world.app).await;
        assert_eq!((changes.rows["accounts"], changes.rows["profiles"]), (1, 1));
        // He is unknown at acme: to its apps, and when the real bob signs in.
        let end = browser.open(&world.notes.authorize_url(&[("prompt", "none")])).await;
        assert_eq!(end.location_parameter("error").as_deref(), Some("access_denied"));
        let end = world.brokered(&mut world.browser()).await;
        let tokens = world.notes.redeem(&world.notes.code(&end)).await.1;
        let there = claims(text(&tokens, "id_token"));
        assert!(here["sub"] != there["sub"] && here["org_id"] != there["org_id"], "{here} {there}");
        // A claim that is not proven routes no user: the name still routes to acme alone.
        for url in [format!("{ISSUER}/sso/acme.test"), board.authorize_url(&[("login_hint", "bob@acme.test")])] {
            let page = first_stop(&mut world.browser(), &url).await;
            assert_eq!(connection_of(&page).as_deref(), Some(ACME_IDP), "{url}");
        }
    }
}

on_both_databases! {
    async fn row_20_a_domain_has_one_spelling(kind: Kind) {
        let world = World::new(kind).await;
        let claim = |organization: &str, name: &str| {
            // TOML's escape has eight digits.
            let name = name.chars().map(|letter| format!("\\U{:08x}", u32::from(letter))).collect::<Vec<_>>().concat();
            format!("[[organizations]]\nhandle = \"{organization}\"\nname = \"X\"\ndomains = [{{ name = \"{name}\" }}]\n")
        };
        let apply = |document: String| {
            let broker = Arc::clone(&world.app.broker);
            async move { broker.organizations.apply(Caller::Operator(None), &[("claim.toml".to_owned(), document)], false).await }
        };
        let issuer = world.idp.as_str().trim_end_matches('/');
        let owner = format!(
            "[[organizations]]\nhandle = \"books\"\nname = \"Books\"\n\
             domains = [{{ name = \"B\u{dc}CHER.test\", connection = \"idp\" }}]\n[[organizations.connections]]\n\
             handle = \"idp\"\nname = \"IdP\"\nvendor = \"okta\"\nissuer = \"{issuer}\"\nclient_id = \"countersign\"\n\
             client_secret = \"idp-secret-0123456789\"\n"
        );
        apply(owner).await.unwrap();
        let before = Evidence::now(&world.app).await;
        let export = world.app.broker.organizations.export().await.unwrap();
        assert!(export.contains("\"xn--bcher-kva.test\""), "{export}");
        let same = [
            "xn--bcher-kva.test",
            "XN--BCHER-KVA.TEST",
            "b\u{fc}cher.test",
            "bu\u{308}cher.test",
            "b\u{fc}cher\u{3002}test",
            "b\u{fc}cher\u{ff0e}test",
            "\u{ff42}\u{fc}cher.test",
            "b\u{fc}c\u{ad}her.test",
        ];
        let started = |name: &str| {
            let link = percent(name);
            [format!("{ISSUER}/sso/{link}"), world.notes.authorize_url(&[("login_hint", &format!("x@{name}"))])]
        };
        for name in same {
            let error = apply(claim("thief", name)).await.unwrap_err();
            assert_eq!(error.to_string(), "domain xn--bcher-kva.test: it belongs to another organization", "{name:?}");
            for url in started(name) {
                let page = first_stop(&mut world.browser(), &url).await;
                assert!(connection_of(&page).is_some(), "{name:?} {url}");
            }
        }
        // ASCII in disguise, trailing dots, labels that are not valid, and labels that do not decode.
        let refused = [
            "b\u{fc}cher.test.",
            "bcher.test..",
            ".b\u{fc}cher.test",
            "xn--bcher-.test",
            "xn--acme-.test",
            "xn--.test",
            "xn--bcher-kva-.test",
            "xn--bcher-kvb\u{fc}.test",
            "xn--a\u{fc}.test",
            "b\u{fc}cher .test",
            "b\u{fc}cher_.test",
            "b\u{fc}cher.test\u{0}",
            "-b\u{fc}cher.test",
            "127.0.0.1",
            "[::1]",
            "0x7f.1",
            "test",
            "co.uk",
            "gmail.com",
        ];
        let unchanged = world.app.broker.organizations.export().await.unwrap();
        for name in refused {
            let error = apply(claim("thief", name)).await.unwrap_err().to_string();
            assert!(!error.contains("belongs to another"), "{name:?}: {error}");
            for url in started(name).into_iter().filter(|_| !["test", "127.0.0.1"].contains(&name)) {
                let page = first_stop(&mut world.browser(), &url).await;
                assert_eq!(connection_of(&page), None, "{name:?} {url}");
            }
        }
        assert_eq!(world.app.broker.organizations.export().await.unwrap(), unchanged);
        // Letters of other scripts that look the same are another name, and are shown as such.
        apply(claim("lookalike", "b\u{fc}\u{441}her.test")).await.unwrap();
        let export = world.app.broker.organizations.export().await.unwrap();
        assert!(!export.contains('\u{441}') && export.matches(".test\"").count() > unchanged.matches(".test\"").count());
        let page = first_stop(&mut world.browser(), &format!("{ISSUER}/sso/{}", percent("b\u{fc}\u{441}her.test"))).await;
        assert_eq!(connection_of(&page), None);
        before
            .assert_exactly(
                &world.app,
                &[("domains", 1)],
                &[
                    ("apply.domain done", 1),
                    ("apply.organization done", 1),
                    ("sign_in refused unknown_name", 18),
                ],
            )
            .await;
    }
}

on_both_databases! {
    async fn row_21_one_organizations_response_at_anothers_callback(kind: Kind) {
        let world = World::new(kind).await;
        let board = beta(&world).await;
        let notes = &world.notes;
        let before = Evidence::now(&world.app).await;
        let mut browser = world.browser();
        let acme = callback(&world, &mut browser, notes, "acme-idp").await;
        let beta = callback(&world, &mut browser, &board, "beta-idp").await;
        let parameter = |url: &Url, name: &str| url.query_pairs().find(|(n, _)| n == name).unwrap().1.into_owned();
        // The whole response at the other callback, in the browser that holds both flows.
        for (response, from, to) in [(&acme, ACME_IDP, ACME_OTHER), (&beta, ACME_OTHER, ACME_IDP)] {
            let elsewhere = response.as_str().replace(from, to);
            let end = browser.clone().open(&elsewhere).await;
            assert_eq!(end.error().as_deref(), Some("idp_answer_invalid"), "{}", end.body);
        }
        before.assert_only_refused(&world.app, &["sign_in refused state_mismatch"; 2]).await;
        // One's code under the other's state: each at the callback that its state belongs to.
        let before = Evidence::now(&world.app).await;
        for (state, code) in [(&acme, &beta), (&beta, &acme)] {
            let mut mixed = state.clone();
            let (stolen, own) = (parameter(code, "code"), parameter(state, "state"));
            let issuer = parameter(state, "iss");
            mixed.query_pairs_mut().clear().extend_pairs([("code", &stolen), ("state", &own), ("iss", &issuer)]);
            let end = browser.clone().open(mixed.as_str()).await;
            assert!(end.location_parameter("code").is_none() && end.error().is_some(), "{}", end.body);
        }
        let changes = before.changes(&world.app).await;
        assert!(changes.rows.is_empty() && changes.audit.len() == 2, "{changes:?}");
        assert!(changes.audit.iter().all(|line| line.starts_with("sign_in refused ")), "{changes:?}");
        // Both may have registered one issuer; its one subject is two people here, who never meet.
        let mut subjects = Vec::new();
        for (app, idp) in [(notes, "acme-idp"), (&board, "beta-idp"), (notes, "acme-idp")] {
            let mut browser = world.browser();
            let back = callback(&world, &mut browser, app, idp).await;
            let tokens = app.redeem(&app.code(&browser.open(back.as_str()).await)).await.1;
            subjects.push(claims(text(&tokens, "id_token"))["sub"].clone());
        }
        assert_eq!(subjects[0], subjects[2]);
        assert_ne!(subjects[0], subjects[1]);
        // An app reaches no connection of an organization that it does not serve by naming it.
        let page = first_stop(&mut world.browser(), &board.authorize_url(&[("idp_hint", "acme-idp")])).await;
        assert_eq!(connection_of(&page), None);
    }
}

on_both_databases! {
    async fn row_25_what_belongs_to_another_organization_is_not_there(kind: Kind) {
        let world = World::new(kind).await;
        beta(&world).await;
        let mut gil = world.browser();
        let theirs = tokens_of_gil(&world, &mut gil).await;
        let unused = world.globex_app.code(&gil.open(&world.globex_app.authorize_url(&[])).await);
        let session = world.app.broker.accounts.list_account_sessions("gil").await.unwrap().remove(0).id.to_string();
        let mut carol = world.browser();
        sign_carol_in(&mut carol).await;
        let notes = &world.notes;
        let before = Evidence::now(&world.app).await;
        // Their session in her form.
        let url = format!("{ISSUER}/account/sessions/end").parse().unwrap();
        let body = form(&[("session", &session)]);
        let page = carol.request(Method::POST, &url, Some(body), "same-origin", Some(ISSUER)).await;
        assert_eq!((page.status.as_u16(), page.error().as_deref()), (404, Some("not_found")), "{}", page.body);
        // Their tokens in the hands of another organization's app.
        for name in ["access_token", "refresh_token"] {
            let token = [("token", text(&theirs, name))];
            assert_eq!(notes.post("/oauth2/introspect", &token).await.1, json!({ "active": false }));
            assert_eq!(notes.post("/oauth2/revoke", &token).await.0, StatusCode::OK);
        }
        assert_error(&refresh(notes, text(&theirs, "refresh_token"), &[]).await, "invalid_grant");
        assert_error(&notes.redeem(&unused).await, "invalid_grant");
        let hint = [("id_token_hint", text(&theirs, "id_token")), ("prompt", "none")];
        let page = carol.open(&notes.authorize_url(&hint)).await;
        assert_eq!(page.location_parameter("error").as_deref(), Some("invalid_request"));
        // Their app.
        let page = carol.open(&world.globex_app.authorize_url(&[("prompt", "none")])).await;
        assert_eq!(page.location_parameter("error").as_deref(), Some("access_denied"));
        let refused = [
            "session.end refused session_not_own",
            "token.revoke refused token_of_another_app",
            "token.revoke refused token_of_another_app",
            "token.refresh refused refresh_of_another_app",
            "token.code refused code_of_another_app",
            "authorize refused invalid_request",
            "authorize refused access_denied",
        ];
        before.assert_only_refused(&world.app, &refused).await;
        // Their connection, pressed into a form of one's own.
        let before = Evidence::now(&world.app).await;
        let mut eve = world.browser();
        let page = eve.open(&world.globex_app.authorize_url(&[])).await;
        let flow = page.url.query_pairs().find(|(name, _)| name == "flow").unwrap().1.into_owned();
        let url = format!("{ISSUER}/signin/connection").parse().unwrap();
        let body = form(&[("flow", flow.as_str()), ("connection", ACME_IDP)]);
        let page = eve.request(Method::POST, &url, Some(body), "same-origin", Some(ISSUER)).await;
        let page = eve.follow(page).await;
        let end = world.sign_in_at_provider(&mut eve, &page).await;
        assert_eq!(end.location_parameter("error").as_deref(), Some("access_denied"), "{}", end.body);
        before.assert_only_refused(&world.app, &["sign_in refused app_not_for_account"]).await;
        // Nothing of theirs was touched.
        assert_eq!(world.globex_app.userinfo(text(&theirs, "access_token")).await.0, StatusCode::OK);
        assert_eq!(world.globex_app.redeem(&unused).await.0, StatusCode::OK);
        assert_eq!(refresh(&world.globex_app, text(&theirs, "refresh_token"), &[]).await.0, 200);
    }
}

on_both_databases! {
    async fn row_25_an_object_is_not_moved_by_naming_its_id_elsewhere(kind: Kind) {
        let world = World::new(kind).await;
        let export = world.app.broker.organizations.export().await.unwrap();
        let id = |kind: &str| {
            let line = export.lines().find(|line| line.starts_with(&format!("id = \"{kind}_"))).unwrap();
            line.trim_start_matches("id = ").trim_matches('"').to_owned()
        };
        let issuer = world.idp.as_str().trim_end_matches('/');
        let before = Evidence::now(&world.app).await;
        for object in [
            format!("[[organizations.connections]]\nid = \"{ACME_IDP}\"\nhandle = \"mine\"\nname = \"Mine\"\nvendor = \"okta\"\nissuer = \"{issuer}\"\nclient_id = \"x\"\nclient_secret = \"y-0123456789\"\n"),
            format!("[[organizations.apps]]\nid = \"{}\"\nclient_id = \"mine\"\nname = \"Mine\"\nredirect_uris = [\"https://mine.test/\"]\n", id("app")),
            format!("[[organizations.accounts]]\nid = \"{}\"\nusername = \"mine\"\npassword = \"Mine7horse\"\n", id("acc")),
            "[[organizations.apps]]\nclient_id = \"notes\"\nname = \"Mine\"\nredirect_uris = [\"https://mine.test/\"]\n".to_owned(),
            "[[organizations.accounts]]\nusername = \"CAROL\"\npassword = \"Mine7horse\"\n".to_owned(),
        ] {
            let document = format!("[[organizations]]\nhandle = \"globex\"\nname = \"Globex\"\n{object}");
            let answer = world.app.broker.organizations.apply(Caller::Operator(None), &[("mine.toml".to_owned(), document)], false).await;
            assert!(answer.is_err(), "{object} was taken: {answer:?}");
        }
        for key in ["domains = [{ name = \"acme.test\" }]", "domains = [{ name = \"g.test\", connection = \"acme-idp\" }]"] {
            let document = format!("[[organizations]]\nhandle = \"globex\"\nname = \"Globex\"\n{key}\n");
            let answer = world.app.broker.organizations.apply(Caller::Operator(None), &[("mine.toml".to_owned(), document)], false).await;
            assert!(answer.is_err(), "{key} was taken: {answer:?}");
        }
        let changes = before.changes(&world.app).await;
        assert!(changes.rows.is_empty() && changes.audit.is_empty(), "{changes:?}");
        assert_eq!(world.app.broker.organizations.export().await.unwrap(), export);
    }
}
