//! Every refusal at the endpoints for apps is one audit record, and changes nothing else.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::Full;
use serde_json::Value;

use super::{assert_one_refusal, globex, refresh, text, tokens};
use crate::harness::app::ISSUER;
use crate::harness::database::Kind;
use crate::harness::evidence::Evidence;
use crate::harness::relying_app::RelyingApp;
use crate::harness::world::World;
use crate::on_both_databases;

const FORM: &str = "application/x-www-form-urlencoded";

/// Posts to an endpoint with this `Authorization` header and this body; the status, and the error's name.
async fn post(world: &World, path: &str, authorization: Option<&str>, body: &str) -> (u16, String) {
    send(world, path, authorization, FORM, body).await
}

async fn send(
    world: &World,
    path: &str,
    authorization: Option<&str>,
    kind: &str,
    body: &str,
) -> (u16, String) {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(format!("{ISSUER}{path}"))
        .header(header::CONTENT_TYPE, kind);
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    let response =
        world.app.network.send(request.body(Full::new(Bytes::from(body.to_owned()))).unwrap()).await;
    let answer: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    (response.status().as_u16(), answer["error"].as_str().unwrap_or_default().to_owned())
}

fn basic(app: &RelyingApp) -> String {
    let secret = app.client_secret.as_deref().unwrap();
    format!("Basic {}", STANDARD.encode(format!("{}:{secret}", app.client_id)))
}

const PHONE: &str = "[[organizations.apps]]\nclient_id = \"phone\"\nname = \"Phone\"\n\
                     redirect_uris = [\"https://phone.test/callback\"]\n";

on_both_databases! {
    async fn a_request_that_cannot_be_read_is_refused_in_one_record(kind: Kind) {
        let world = World::new(kind).await;
        let wiki = basic(&world.globex_app);
        let wiki = Some(wiki.as_str());
        for path in ["/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"] {
            for (record, status, error, authorization, content_type, body) in [
                ("parameter_repeated", 400, "invalid_request", wiki, FORM, "token=a&token=b&grant_type=x"),
                ("parameter_repeated", 400, "invalid_request", None, FORM, "client_id=wiki&client_id=notes"),
                ("authorization_unreadable", 401, "invalid_client", Some("Basic ???"), FORM, "token=a"),
                ("authorization_unreadable", 401, "invalid_client", Some("Bearer x"), FORM, "token=a"),
                ("form_unreadable", 400, "invalid_request", wiki, "application/json", "{\"token\":\"a\"}"),
            ] {
                let before = Evidence::now(&world.app).await;
                let got = send(&world, path, authorization, content_type, body).await;
                assert_eq!(got, (status, error.to_owned()), "{path} {record}");
                before.assert_only_refused(&world.app, &[&format!("app_request refused {record}")]).await;
            }
        }
    }
}

on_both_databases! {
    async fn a_refused_token_request_is_one_record(kind: Kind) {
        let world = World::new(kind).await;
        world.app.apply(&globex(PHONE)).await;
        let wiki = basic(&world.globex_app);
        for (record, error, authorization, body) in [
            ("token refused grant_type_missing", "invalid_request", Some(&wiki), "code=x"),
            ("token refused unsupported_grant_type", "unsupported_grant_type", Some(&wiki), "grant_type=password"),
            (
                "token refused grant_type_not_allowed",
                "unauthorized_client",
                None,
                "grant_type=client_credentials&client_id=phone",
            ),
            ("token.code refused code_missing", "invalid_request", Some(&wiki), "grant_type=authorization_code"),
            ("token.code refused code_unknown", "invalid_grant", Some(&wiki), "grant_type=authorization_code&code=x"),
            ("token.refresh refused refresh_missing", "invalid_request", Some(&wiki), "grant_type=refresh_token"),
            (
                "token.refresh refused refresh_unknown",
                "invalid_grant",
                Some(&wiki),
                "grant_type=refresh_token&refresh_token=x",
            ),
            (
                "token.client_credentials refused scope_not_allowed",
                "invalid_scope",
                Some(&wiki),
                "grant_type=client_credentials&scope=openid",
            ),
        ] {
            let before = Evidence::now(&world.app).await;
            let got = post(&world, "/oauth2/token", authorization.map(String::as_str), body).await;
            assert_eq!(got, (400, error.to_owned()), "{record}");
            before.assert_only_refused(&world.app, &[record]).await;
        }
    }
}

on_both_databases! {
    async fn a_refused_introspection_or_revocation_is_one_record(kind: Kind) {
        let world = World::new(kind).await;
        world.app.apply(&globex(PHONE)).await;
        let (wiki, notes) = (basic(&world.globex_app), basic(&world.notes));
        let tokens = tokens(&world.globex_app, &world.local(&mut world.browser()).await).await;
        for (record, path, status, error, authorization, body) in [
            (
                "token.introspect refused public_app",
                "/oauth2/introspect",
                401,
                "invalid_client",
                None,
                "client_id=phone&token=x".to_owned(),
            ),
            (
                "token.introspect refused token_missing",
                "/oauth2/introspect",
                400,
                "invalid_request",
                Some(&wiki),
                String::new(),
            ),
            (
                "token.revoke refused token_missing",
                "/oauth2/revoke",
                400,
                "invalid_request",
                Some(&wiki),
                String::new(),
            ),
            (
                "token.revoke refused token_of_another_app",
                "/oauth2/revoke",
                200,
                "",
                Some(&notes),
                format!("token={}", text(&tokens, "access_token")),
            ),
            (
                "token.revoke refused token_of_another_app",
                "/oauth2/revoke",
                200,
                "",
                Some(&notes),
                format!("token={}", text(&tokens, "refresh_token")),
            ),
        ] {
            let before = Evidence::now(&world.app).await;
            let got = post(&world, path, authorization.map(String::as_str), &body).await;
            assert_eq!(got, (status, error.to_owned()), "{record}");
            before.assert_only_refused(&world.app, &[record]).await;
        }
        // The tokens that another app wanted dead live.
        assert_eq!(world.globex_app.userinfo(text(&tokens, "access_token")).await.0, 200);
        assert_eq!(refresh(&world.globex_app, text(&tokens, "refresh_token"), &[]).await.0, 200);
    }
}

on_both_databases! {
    async fn a_refused_userinfo_request_is_one_record(kind: Kind) {
        let world = World::new(kind).await;
        let wiki = &world.globex_app;
        let mut browser = world.browser();
        let good = tokens(wiki, &world.local(&mut browser).await).await;
        let without = browser.open(&wiki.authorize_url(&[("scope", "email")])).await;
        let without = tokens(wiki, &without).await;
        let dead = tokens(wiki, &browser.open(&wiki.authorize_url(&[])).await).await;
        assert_eq!(wiki.post("/oauth2/revoke", &[("token", text(&dead, "refresh_token"))]).await.0, 200);
        let (good, bare) = (text(&good, "access_token"), text(&without, "access_token"));
        let bearer = |token: &str| Some(format!("Bearer {token}"));
        for (action, status, error, authorization, body) in [
            ("userinfo", 401, "invalid_token", bearer("nothing"), String::new()),
            ("userinfo", 401, "invalid_token", bearer(&good[..good.len() - 4]), String::new()),
            ("userinfo", 401, "invalid_token", bearer(text(&dead, "access_token")), String::new()),
            ("userinfo", 403, "insufficient_scope", bearer(bare), String::new()),
            (
                "app_request",
                400,
                "invalid_request",
                bearer(good),
                format!("access_token={good}"),
            ),
        ] {
            let before = Evidence::now(&world.app).await;
            let got = post(&world, "/oauth2/userinfo", authorization.as_deref(), &body).await;
            assert_eq!(got, (status, error.to_owned()), "{action} {error}");
            assert_one_refusal(&world, &before, action).await;
        }
        // Nothing was presented: nothing was decided.
        let before = Evidence::now(&world.app).await;
        assert_eq!(post(&world, "/oauth2/userinfo", None, "").await.0, 401);
        before.assert_only_refused(&world.app, &[]).await;
    }
}

on_both_databases! {
    async fn a_used_refresh_token_that_asks_for_more_is_reuse_first(kind: Kind) {
        let world = World::new(kind).await;
        let wiki = &world.globex_app;
        let first = tokens(wiki, &world.local(&mut world.browser()).await).await;
        let more = [("scope", "openid profile email phone")];
        // Unused, it is only too much, and stays good.
        let (status, answer) = refresh(wiki, text(&first, "refresh_token"), &more).await;
        assert_eq!((status, &answer["error"]), (400, &"invalid_scope".into()), "{answer}");
        let (status, second) = refresh(wiki, text(&first, "refresh_token"), &[]).await;
        assert_eq!(status, 200, "{second}");
        let before = Evidence::now(&world.app).await;
        let (status, answer) = refresh(wiki, text(&first, "refresh_token"), &more).await;
        assert_eq!((status, &answer["error"]), (400, &"invalid_grant".into()), "{answer}");
        before.assert_only_refused(&world.app, &["token.refresh refused refresh_reused"]).await;
        assert_eq!(refresh(wiki, text(&second, "refresh_token"), &[]).await.1["error"], "invalid_grant");
        for tokens in [&first, &second] {
            assert_eq!(wiki.userinfo(text(tokens, "access_token")).await.0, 401);
        }
    }
}
