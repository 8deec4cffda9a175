//! Userinfo, introspection, revocation, metadata and keys (RFC 6750, RFC 7662, RFC 7009, RFC 8414).

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use serde_json::Value;

use crate::harness::app::ISSUER;
use crate::harness::database::Kind;
use crate::harness::relying_app::{claims, token_header};
use crate::harness::world::World;
use crate::on_both_databases;

async fn tokens(world: &World) -> Value {
    let wiki = &world.globex_app;
    let (status, tokens) = wiki.redeem(&wiki.code(&world.local(&mut world.browser()).await)).await;
    assert_eq!(status, StatusCode::OK, "{tokens}");
    tokens
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap()
}

/// One request to the broker; `headers` and `body` as given.
async fn send(
    world: &World,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> http::Response<Bytes> {
    let mut request = Request::builder().method(method).uri(format!("{ISSUER}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
    world.app.network.send(request).await
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

on_both_databases! {
    async fn tokens_say_what_they_are(kind: Kind) {
        let world = World::new(kind).await;
        let tokens = tokens(&world).await;
        let (id, access) = (text(&tokens, "id_token"), text(&tokens, "access_token"));
        let (id_head, access_head) = (token_header(id), token_header(access));
        assert_eq!((&id_head["typ"], &id_head["alg"]), (&"JWT".into(), &"RS256".into()));
        assert_eq!((&access_head["typ"], &access_head["alg"]), (&"at+jwt".into(), &"ES256".into()));
        let (id, access) = (claims(id), claims(access));
        assert_eq!((&id["iss"], &id["aud"]), (&ISSUER.into(), &"wiki".into()));
        assert_eq!((&access["iss"], &access["aud"]), (&ISSUER.into(), &ISSUER.into()));
        assert_eq!(id["nonce"], "the-nonce");
        assert_eq!((&id["sub"], &id["org_id"]), (&access["sub"], &access["org_id"]));
        for name in ["exp", "iat", "auth_time", "sid", "at_hash", "amr"] {
            assert!(!id[name].is_null(), "{name}");
        }
        for name in ["exp", "iat", "jti", "scope", "client_id", "auth_time"] {
            assert!(!access[name].is_null(), "{name}");
        }
    }
}

on_both_databases! {
    async fn userinfo_takes_whole_access_tokens_and_nothing_else(kind: Kind) {
        let world = World::new(kind).await;
        let wiki = &world.globex_app;
        let tokens = tokens(&world).await;
        let access = text(&tokens, "access_token");
        let (status, about) = wiki.userinfo(access).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(about["sub"], claims(access)["sub"]);
        assert_eq!((&about["email"], &about["email_verified"]), (&"gil@globex.test".into(), &true.into()));
        assert_eq!(wiki.userinfo(text(&tokens, "id_token")).await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(wiki.userinfo(text(&tokens, "refresh_token")).await.0, StatusCode::UNAUTHORIZED);
        let mut signature_flipped = access.to_owned();
        let at = signature_flipped.rfind('.').unwrap() + 5;
        let other = if &access[at..=at] == "A" { "B" } else { "A" };
        signature_flipped.replace_range(at..=at, other);
        let mut mutants = vec![signature_flipped, format!("{access}A"), format!("{access}."), access.replacen('.', "", 1)];
        mutants.extend([1, 2, 10, 40, 90].map(|cut| access[..access.len() - cut].to_owned()));
        for mutant in mutants {
            assert_eq!(wiki.userinfo(&mutant).await.0, StatusCode::UNAUTHORIZED, "{mutant}");
        }
    }
}

on_both_databases! {
    async fn an_access_token_travels_in_the_header_or_a_posted_form_but_never_in_the_address(kind: Kind) {
        let world = World::new(kind).await;
        let tokens = tokens(&world).await;
        let access = text(&tokens, "access_token");
        let (bearer, form) = (format!("Bearer {access}"), format!("access_token={access}"));
        let path = "/oauth2/userinfo";
        let in_form = send(&world, Method::POST, path, &[FORM], &form).await;
        assert_eq!(in_form.status(), 200);
        assert_eq!(in_form.headers()[header::CACHE_CONTROL], "no-store");
        assert_eq!(send(&world, Method::POST, path, &[("authorization", &bearer)], "").await.status(), 200);
        let both = send(&world, Method::POST, path, &[FORM, ("authorization", &bearer)], &form).await;
        assert_eq!(both.status(), 400);
        let in_address = send(&world, Method::GET, &format!("{path}?{form}"), &[], "").await;
        assert_eq!(in_address.status(), 401);
        assert_eq!(in_address.headers()[header::WWW_AUTHENTICATE], "Bearer");
        let bad = send(&world, Method::GET, path, &[("authorization", "Bearer x")], "").await;
        let challenge = bad.headers()[header::WWW_AUTHENTICATE].to_str().unwrap();
        assert!(challenge.starts_with("Bearer error=\"invalid_token\""), "{challenge}");
        let disguised = send(&world, Method::GET, &format!("{path}/x.css"), &[("authorization", &bearer)], "").await;
        assert_eq!(disguised.status(), 404);
    }
}

on_both_databases! {
    async fn introspection_tells_an_app_of_its_own_organization_only(kind: Kind) {
        let world = World::new(kind).await;
        let tokens = tokens(&world).await;
        for (name, scope) in [("access_token", &tokens["scope"]), ("refresh_token", &tokens["scope"])] {
            let form = [("token", text(&tokens, name))];
            let (status, answer) = world.globex_app.post("/oauth2/introspect", &form).await;
            assert_eq!((status, &answer["active"]), (StatusCode::OK, &true.into()), "{name} {answer}");
            assert_eq!((&answer["client_id"], &answer["scope"]), (&"wiki".into(), scope));
            let (status, answer) = world.notes.post("/oauth2/introspect", &form).await;
            assert_eq!((status, answer), (StatusCode::OK, serde_json::json!({ "active": false })), "{name}");
        }
        for unknown in ["x", "a.b.c", text(&tokens, "id_token")] {
            let (_, answer) = world.globex_app.post("/oauth2/introspect", &[("token", unknown)]).await;
            assert_eq!(answer, serde_json::json!({ "active": false }), "{unknown}");
        }
        let (status, _) = world.globex_app.post("/oauth2/introspect", &[]).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
    }
}

on_both_databases! {
    async fn revocation_ends_only_ones_own_tokens(kind: Kind) {
        let world = World::new(kind).await;
        let wiki = &world.globex_app;
        let tokens = tokens(&world).await;
        let (access, refresh) = (text(&tokens, "access_token"), text(&tokens, "refresh_token"));
        for token in [access, refresh, "unknown"] {
            assert_eq!(world.notes.post("/oauth2/revoke", &[("token", token)]).await.0, StatusCode::OK);
        }
        assert_eq!(wiki.userinfo(access).await.0, StatusCode::OK);
        // An access token goes alone, a refresh token with its family.
        assert_eq!(wiki.post("/oauth2/revoke", &[("token", access)]).await.0, StatusCode::OK);
        assert_eq!(wiki.userinfo(access).await.0, StatusCode::UNAUTHORIZED);
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
        let (status, next) = wiki.token(&form).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(wiki.userinfo(text(&next, "access_token")).await.0, StatusCode::OK);
        let form = [("token", text(&next, "refresh_token"))];
        assert_eq!(wiki.post("/oauth2/revoke", &form).await.0, StatusCode::OK);
        assert_eq!(wiki.userinfo(text(&next, "access_token")).await.0, StatusCode::UNAUTHORIZED);
    }
}

on_both_databases! {
    async fn both_metadata_documents_say_the_same_truth(kind: Kind) {
        let world = World::new(kind).await;
        let mut documents = Vec::new();
        for path in ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"] {
            let response = send(&world, Method::GET, path, &[("origin", "https://spa.test")], "").await;
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
            documents.push(serde_json::from_slice::<Value>(response.body()).unwrap());
        }
        assert_eq!(documents[0], documents[1]);
        let said = &documents[0];
        assert_eq!(said["issuer"], ISSUER);
        assert_eq!(said["code_challenge_methods_supported"], serde_json::json!(["S256"]));
        assert_eq!(said["response_types_supported"], serde_json::json!(["code"]));
        for no in ["claims_parameter_supported", "request_parameter_supported", "request_uri_parameter_supported"] {
            assert_eq!(said[no], false, "{no}");
        }
        assert_eq!(said["authorization_response_iss_parameter_supported"], true);
        let keys = send(&world, Method::GET, "/oauth2/jwks", &[], "").await;
        let keys: Value = serde_json::from_slice(keys.body()).unwrap();
        let keys = keys["keys"].as_array().unwrap();
        for alg in said["id_token_signing_alg_values_supported"].as_array().unwrap() {
            assert!(keys.iter().any(|key| &key["alg"] == alg), "{alg}");
        }
        for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert!(keys.iter().all(|key| key.get(private).is_none()), "{private}");
        }
    }
}

on_both_databases! {
    async fn browser_apps_reach_what_they_need_across_origins_and_nothing_with_cookies(kind: Kind) {
        let world = World::new(kind).await;
        let foreign = [("origin", "https://spa.test"), ("access-control-request-method", "POST")];
        for path in ["/oauth2/token", "/oauth2/userinfo", "/oauth2/revoke", "/oauth2/jwks"] {
            let response = send(&world, Method::OPTIONS, path, &foreign, "").await;
            assert_eq!(response.status(), 204, "{path}");
            assert_eq!(response.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*", "{path}");
            assert!(!response.headers().contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS), "{path}");
            let said = |name| response.headers()[name].to_str().unwrap();
            let list = |name| said(name).split(',').map(str::trim).collect::<Vec<_>>();
            assert_eq!(list(header::ACCESS_CONTROL_ALLOW_METHODS), ["GET", "POST"], "{path}");
            assert_eq!(list(header::ACCESS_CONTROL_ALLOW_HEADERS), ["authorization", "content-type"], "{path}");
            assert_eq!(said(header::ACCESS_CONTROL_MAX_AGE), "3600", "{path}");
        }
        // The answer itself can be read, with the reason for a 401, and no cache has to keep it once for each origin.
        let response = send(&world, Method::GET, "/oauth2/userinfo", &foreign, "").await;
        assert_eq!(response.status(), 401);
        assert_eq!(response.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert_eq!(response.headers()[header::ACCESS_CONTROL_EXPOSE_HEADERS], "www-authenticate");
        assert!(!response.headers().contains_key(header::VARY));
        for path in ["/oauth2/authorize", "/oauth2/introspect", "/oauth2/logout"] {
            let response = send(&world, Method::OPTIONS, path, &foreign, "").await;
            assert!(!response.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN), "{path}");
        }
    }
}

on_both_databases! {
    async fn another_method_is_told_which_one_to_use(kind: Kind) {
        let world = World::new(kind).await;
        for (method, path) in [(Method::GET, "/oauth2/token"), (Method::PUT, "/oauth2/userinfo"), (Method::GET, "/oauth2/revoke")] {
            let response = send(&world, method, path, &[], "").await;
            assert_eq!(response.status(), 405, "{path}");
            assert!(response.headers()[header::ALLOW].to_str().unwrap().contains("POST"), "{path}");
        }
    }
}

on_both_databases! {
    async fn while_the_database_fails_nothing_is_claimed_to_be_done(kind: Kind) {
        crate::harness::watch::expect_errors();
        let world = World::new(kind).await;
        let wiki = &world.globex_app;
        let tokens = tokens(&world).await;
        let (access, refresh) = (text(&tokens, "access_token"), text(&tokens, "refresh_token"));
        world.app.run_statement("ALTER TABLE refresh_tokens RENAME TO refresh_tokens_gone").await;
        for token in [access, refresh, "unknown"] {
            let (status, answer) = wiki.post("/oauth2/revoke", &[("token", token)]).await;
            assert_eq!(
                (status.as_u16(), &answer["error"]),
                (503, &"temporarily_unavailable".into()),
                "{token}"
            );
        }
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
        assert_eq!(wiki.token(&form).await.0, StatusCode::SERVICE_UNAVAILABLE);
        world.app.run_statement("ALTER TABLE dead_tokens RENAME TO dead_tokens_gone").await;
        let bearer = format!("Bearer {access}");
        let response =
            send(&world, Method::GET, "/oauth2/userinfo", &[("authorization", &bearer)], "").await;
        assert_eq!(response.status(), 503);
        assert!(response.headers().contains_key(header::RETRY_AFTER));
        let (status, _) = wiki.post("/oauth2/introspect", &[("token", access)]).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        world.app.run_statement("ALTER TABLE refresh_tokens_gone RENAME TO refresh_tokens").await;
        world.app.run_statement("ALTER TABLE dead_tokens_gone RENAME TO dead_tokens").await;
        assert_eq!(wiki.userinfo(access).await.0, StatusCode::OK);
        assert_eq!(wiki.token(&form).await.0, StatusCode::OK);
    }
}

on_both_databases! {
    async fn a_token_for_another_resource_is_none_for_userinfo(kind: Kind) {
        let world = World::new(kind).await;
        let wiki = &world.globex_app;
        let mut browser = world.browser();
        world.local(&mut browser).await;
        let page = browser.open(&wiki.authorize_url(&[("resource", "https://api.globex.test/")])).await;
        let (status, tokens) = wiki.redeem(&wiki.code(&page)).await;
        assert_eq!(status, StatusCode::OK, "{tokens}");
        assert_eq!(claims(text(&tokens, "access_token"))["aud"], "https://api.globex.test/");
        assert_eq!(wiki.userinfo(text(&tokens, "access_token")).await.0, StatusCode::UNAUTHORIZED);
        let form = [("token", text(&tokens, "access_token"))];
        assert_eq!(wiki.post("/oauth2/introspect", &form).await.1["active"], true);
    }
}
