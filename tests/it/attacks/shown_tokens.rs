//! Tokens that are shown where they do not belong, or not whole: rows 57 to 62.

use std::time::Duration;

use http::{Method, StatusCode, header};
use serde_json::json;

use super::tools::{
    FORM, SESSION, assert_error, form, is_signed_in, refresh, request, send, text, tokens_of_gil,
};
use crate::harness::app::ISSUER;
use crate::harness::database::Kind;
use crate::harness::evidence::Evidence;
use crate::harness::relying_app::claims;
use crate::harness::world::{ACME_IDP, World};
use crate::house::{code, rust_files};
use crate::on_both_databases;

/// What apps call, and what people see.
const ENDPOINTS: [&str; 7] = [
    "/.well-known/openid-configuration",
    "/oauth2/jwks",
    "/oauth2/token",
    "/oauth2/userinfo",
    "/oauth2/revoke",
    "/oauth2/introspect",
    "/oauth2/nothing",
];
const PAGES: [&str; 14] = [
    "/oauth2/authorize",
    "/oauth2/logout",
    "/oauth2/logout/confirm",
    "/",
    "/signin",
    "/signin/domain",
    "/signin/connection",
    "/consent",
    "/account",
    "/account/sign-out",
    "/signed-out",
    "/sso/acme",
    "/sso/callback/con_019000000000700080000000000000a1",
    "/nothing",
];

/// What gil's browser and app send: `Authorization` with the access token, and `Cookie`.
async fn credentials_of_gil(world: &World) -> (String, String) {
    let mut browser = world.browser();
    let tokens = tokens_of_gil(world, &mut browser).await;
    let cookies = browser.cookies_of("id.test");
    let cookies: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    (format!("Bearer {}", text(&tokens, "access_token")), cookies.join("; "))
}

on_both_databases! {
    async fn row_57_a_token_in_the_place_of_another(kind: Kind) {
        let world = World::new(kind).await;
        let wiki = &world.globex_app;
        let mut browser = world.browser();
        let tokens = tokens_of_gil(&world, &mut browser).await;
        let (access, id, used) = (text(&tokens, "access_token"), text(&tokens, "id_token"), text(&tokens, "refresh_token"));
        let code = wiki.code(&browser.open(&wiki.authorize_url(&[])).await);
        let machine = wiki.token(&[("grant_type", "client_credentials")]).await.1;
        let keys = world.app.broker.keys.signing_keys().unwrap();
        let key = keys.signer(countersign::model::SigningAlg::RS256).unwrap();
        let mut logout = claims(id);
        logout["events"] = json!({ "http://schemas.openid.net/event/backchannel-logout": {} });
        let logout = key.sign_jwt("logout+jwt", None, &logout).unwrap();
        let untyped = key.sign_jwt("at+jwt", None, &json!({ "iss": ISSUER, "exp": 4_000_000_000_u64 })).unwrap();
        let before = Evidence::now(&world.app).await;
        // At userinfo: everything but an access token for userinfo.
        let cookie = browser.cookies_of("id.test")[SESSION].clone();
        for token in [id, used, &code, &cookie, &logout, &untyped, text(&machine, "access_token")] {
            assert_eq!(wiki.userinfo(token).await.0, StatusCode::UNAUTHORIZED, "{token}");
        }
        let mut refused = vec!["userinfo refused token_invalid"; 6];
        refused.push("userinfo refused token_revoked");
        before.assert_only_refused(&world.app, &refused).await;
        // As a hint: everything but an ID token, and no ID token of another app.
        let before = Evidence::now(&world.app).await;
        for token in [access, used, &code, &logout] {
            let more = [("prompt", "none"), ("id_token_hint", token)];
            let page = browser.open(&wiki.authorize_url(&more)).await;
            assert_eq!(page.location_parameter("error").as_deref(), Some("invalid_request"), "{token}");
            let query = form(&[("id_token_hint", token)]);
            let page = browser.open(&format!("{ISSUER}/oauth2/logout?{query}")).await;
            assert_eq!(page.error().as_deref(), Some("invalid_request"), "{token}");
        }
        let page = browser.open(&world.notes.authorize_url(&[("prompt", "none"), ("id_token_hint", id)])).await;
        assert_eq!(page.location_parameter("error").as_deref(), Some("invalid_request"));
        let mut refused = vec!["authorize refused invalid_request"; 5];
        refused.extend(["logout refused id_token_hint_invalid"; 4]);
        before.assert_only_refused(&world.app, &refused).await;
        // At the token endpoint.
        let before = Evidence::now(&world.app).await;
        for token in [access, id, &code, &logout] {
            assert_error(&refresh(wiki, token, &[]).await, "invalid_grant");
        }
        for token in [access, id, used, &logout] {
            assert_error(&wiki.redeem(token).await, "invalid_grant");
        }
        let mut refused = vec!["token.refresh refused refresh_unknown"; 4];
        refused.extend(["token.code refused code_unknown"; 4]);
        before.assert_only_refused(&world.app, &refused).await;
        // The right places still take them.
        assert_eq!(wiki.userinfo(access).await.0, StatusCode::OK);
        assert_eq!(wiki.redeem(&code).await.0, StatusCode::OK);
    }
}

on_both_databases! {
    async fn row_57_a_providers_id_token_as_its_logout_token(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        world.brokered(&mut browser).await;
        let key = world.app.idp_key.as_ref().unwrap();
        let now = 1_790_000_000_i64;
        let issuer = world.idp.as_str().trim_end_matches('/');
        let good = json!({
            "iss": issuer, "aud": "countersign", "sub": "bob", "iat": now, "exp": now + 120, "jti": "one",
            "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
        });
        let mut with_nonce = good.clone();
        with_nonce["nonce"] = json!("n");
        let mut without_event = good.clone();
        without_event.as_object_mut().unwrap().remove("events");
        let mut ours = good.clone();
        ours["iss"] = json!(ISSUER);
        let before = Evidence::now(&world.app).await;
        for claims in [with_nonce, without_event, ours] {
            let token = key.sign_jwt("JWT", None, &claims).unwrap();
            let path = format!("/sso/backchannel-logout/{ACME_IDP}");
            let body = form(&[("logout_token", &token)]);
            assert_eq!(send(&world.app.network, Method::POST, &path, &[FORM], &body).await.status(), 400);
        }
        let changes = before.changes(&world.app).await;
        assert!(changes.rows.is_empty(), "{changes:?}");
        assert_eq!(changes.audit.len(), 3);
        assert!(changes.audit.iter().all(|line| line.starts_with("logout.back_channel refused ")), "{changes:?}");
        assert!(is_signed_in(&mut browser).await);
    }
}

on_both_databases! {
    async fn row_58_every_shortened_or_altered_token(kind: Kind) {
        let world = World::new(kind).await;
        let wiki = &world.globex_app;
        let mut browser = world.browser();
        let tokens = tokens_of_gil(&world, &mut browser).await;
        let access = text(&tokens, "access_token");
        let mut mutants: Vec<String> = (1..access.len()).map(|length| access[..length].to_owned()).collect();
        mutants.extend((1..access.len()).step_by(7).map(|start| access[start..].to_owned()));
        for (at, letter) in access.char_indices() {
            // Another letter of the same alphabet, and one of none.
            let other = if letter == 'A' { 'B' } else { 'A' };
            mutants.push(format!("{}{other}{}", &access[..at], &access[at + 1..]));
            if at % 16 == 0 {
                mutants.push(format!("{}!{}", &access[..at], &access[at + 1..]));
                mutants.push(format!("{}{letter}{}", &access[..at], &access[at..]));
            }
        }
        // The last letter of a signature holds bits that mean nothing; they must be zero all the same.
        let (head, last) = access.split_at(access.len() - 1);
        let alphabet = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['-', '_']);
        mutants.extend(alphabet.filter(|letter| last != letter.to_string()).map(|letter| format!("{head}{letter}")));
        mutants.extend([format!("{access}="), format!("{access}A"), format!("{access}."), format!("{access}.{access}")]);
        assert!(mutants.len() > 1_000, "{}", mutants.len());
        let before = Evidence::now(&world.app).await;
        let mut line = world.app.network.dial(&ISSUER.parse().unwrap()).await;
        for mutant in &mutants {
            let bearer = format!("Bearer {mutant}");
            let answer = line.send(request(Method::GET, "/oauth2/userinfo", &[("authorization", &bearer)], "")).await;
            assert_eq!(answer.status(), 401, "{mutant}");
        }
        before.assert_exactly(&world.app, &[], &[("userinfo refused token_invalid", 21)]).await;
        assert_eq!(wiki.userinfo(access).await.0, StatusCode::OK);
        // The opaque ones: a session's cookie, a refresh token, a code.
        let cookie = browser.cookies_of("id.test")[SESSION].clone();
        let (code, used) = (wiki.code(&browser.open(&wiki.authorize_url(&[])).await), text(&tokens, "refresh_token"));
        for cut in [1, 2, 10, 20, 40] {
            let mut thief = browser.clone();
            let jar = thief.cookies.get_mut("id.test").unwrap();
            jar.insert(SESSION.to_owned(), cookie[..cookie.len() - cut].to_owned());
            assert!(!is_signed_in(&mut thief).await);
            assert_error(&refresh(wiki, &used[..used.len() - cut], &[]).await, "invalid_grant");
            assert_error(&wiki.redeem(&code[..code.len() - cut]).await, "invalid_grant");
        }
        assert_eq!(wiki.redeem(&code).await.0, StatusCode::OK);
    }
}

on_both_databases! {
    async fn row_59_a_secret_in_an_address(kind: Kind) {
        let world = World::new(kind).await;
        let tokens = tokens_of_gil(&world, &mut world.browser()).await;
        let (access, used) = (text(&tokens, "access_token"), text(&tokens, "refresh_token"));
        let network = &world.app.network;
        let before = Evidence::now(&world.app).await;
        for method in [Method::GET, Method::POST] {
            let path = format!("/oauth2/userinfo?access_token={access}");
            let answer = send(network, method, &path, &[], "").await;
            assert_eq!((answer.status(), &answer.headers()[header::WWW_AUTHENTICATE]), (StatusCode::UNAUTHORIZED, &"Bearer".parse().unwrap()));
        }
        let secret = "client_id=wiki&client_secret=wiki-secret-0123456789";
        for path in [
            format!("/oauth2/token?grant_type=refresh_token&refresh_token={used}&{secret}"),
            format!("/oauth2/revoke?token={used}&{secret}"),
            format!("/oauth2/introspect?token={access}&{secret}"),
        ] {
            let answer = send(network, Method::POST, &path, &[FORM], "").await;
            assert_eq!(answer.status(), 401, "{path}");
        }
        before.assert_only_refused(&world.app, &["client_authentication refused client_missing"; 3]).await;
        for path in ENDPOINTS.into_iter().chain(PAGES) {
            for method in [Method::GET, Method::POST] {
                let answer = send(network, method, path, &[FORM], "").await;
                assert_eq!(answer.headers()[header::REFERRER_POLICY], "same-origin", "{path}");
            }
        }
        assert_eq!(refresh(&world.globex_app, used, &[]).await.0, 200);
    }
}

on_both_databases! {
    async fn row_60_what_no_cache_may_keep(kind: Kind) {
        let world = World::new(kind).await;
        let wiki = &world.globex_app;
        let mut browser = world.browser();
        let page = world.local(&mut browser).await;
        assert_eq!(page.headers[header::CACHE_CONTROL], "no-store", "the redirect with the code");
        let tokens = wiki.redeem(&wiki.code(&page)).await.1;
        let basic = ("authorization", "Basic d2lraTp3aWtpLXNlY3JldC0wMTIzNDU2Nzg5");
        let bearer = format!("Bearer {}", text(&tokens, "access_token"));
        let bearer = ("authorization", bearer.as_str());
        let used = form(&[("grant_type", "refresh_token"), ("refresh_token", text(&tokens, "refresh_token"))]);
        let shown = form(&[("token", text(&tokens, "access_token"))]);
        let network = &world.app.network;
        let before = Evidence::now(&world.app).await;
        for (method, path, headers, body, status) in [
            (Method::POST, "/oauth2/token", &[FORM, basic][..], used.as_str(), 200),
            (Method::POST, "/oauth2/token", &[FORM, basic], "grant_type=x", 400),
            (Method::POST, "/oauth2/token", &[FORM], "grant_type=refresh_token", 401),
            (Method::GET, "/oauth2/userinfo", &[bearer], "", 200),
            (Method::GET, "/oauth2/userinfo", &[("authorization", "Bearer x")], "", 401),
            (Method::POST, "/oauth2/introspect", &[FORM, basic], &shown, 200),
            (Method::POST, "/oauth2/revoke", &[FORM, basic], "token=x", 200),
        ] {
            let answer = send(network, method, path, headers, body).await;
            assert_eq!(answer.status(), status, "{path} {body}");
            assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store", "{path} {body}");
        }
        for path in PAGES {
            let answer = browser.request(Method::GET, &format!("{ISSUER}{path}").parse().unwrap(), None, "none", None).await;
            assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store", "{path}");
        }
        // A path that looks like a file to a cache is not a page here, for any client.
        for room in ["/oauth2/userinfo", "/account", "/oauth2/token", "/signed-out"] {
            for end in ["/x.css", "%2Fx.css", ";x.css", "%3Bx.css", "%00x.css", ".css", "%0Ax.css", "//x.css", "/..%2Fx.css"] {
                let path = format!("{room}{end}");
                let answer = send(network, Method::GET, &path, &[bearer], "").await;
                assert_eq!(answer.status(), 404, "{path}");
                let url = format!("{ISSUER}{path}").parse().unwrap();
                let answer = browser.request(Method::GET, &url, None, "none", None).await;
                assert_eq!((answer.status.as_u16(), answer.body.contains("gil")), (404, false), "{path}");
            }
        }
        before
            .assert_exactly(
                &world.app,
                &[("refresh_tokens", 1)],
                &[
                    ("authorize refused client_id_missing_or_repeated", 1),
                    ("client_authentication refused client_missing", 1),
                    ("consent refused flow_handle_invalid", 1),
                    ("sign_in refused flow_handle_invalid", 1),
                    ("sign_in refused state_missing", 1),
                    ("token refused unsupported_grant_type", 1),
                    ("token.refresh done", 1),
                    ("userinfo refused token_invalid", 1),
                ],
            )
            .await;
    }
}

on_both_databases! {
    /// Compression tells by the length what is in an answer beside the text that somebody chose (BREACH, CVE-2013-3587).
    async fn nothing_that_holds_a_secret_is_compressed(kind: Kind) {
        let world = World::new(kind).await;
        let (bearer, cookies) = credentials_of_gil(&world).await;
        let headers = [("accept-encoding", "gzip, deflate, br, zstd"), ("cookie", &cookies), ("authorization", &bearer)];
        let network = &world.app.network;
        for path in ENDPOINTS.into_iter().chain(PAGES) {
            for method in [Method::GET, Method::POST] {
                let answer = send(network, method.clone(), path, &headers, "").await;
                assert!(!answer.headers().contains_key(header::CONTENT_ENCODING), "{method} {path}");
            }
        }
        let page = send(network, Method::GET, "/account", &headers, "").await;
        let page = String::from_utf8(page.into_body().to_vec()).unwrap();
        assert!(page.contains("gil"), "{page}");
        let (_, rest) = page.split_once("rel=\"stylesheet\" href=\"").unwrap();
        let style = send(network, Method::GET, rest.split_once('"').unwrap().0, &headers, "").await;
        assert_eq!(style.headers()[header::CONTENT_ENCODING], "gzip", "what is public may be");
    }
}

on_both_databases! {
    async fn row_61_scripts_of_other_origins(kind: Kind) {
        let world = World::new(kind).await;
        let (bearer, cookies) = credentials_of_gil(&world).await;
        let mut line = world.app.network.dial(&ISSUER.parse().unwrap()).await;
        let before = Evidence::now(&world.app).await;
        for origin in ["https://evil.test", "null", "https://id.test.evil.test", "https://evilid.test", "http://id.test", ISSUER] {
            for path in ENDPOINTS.into_iter().chain(PAGES) {
                for method in [Method::GET, Method::POST, Method::OPTIONS] {
                    let headers = [
                        ("origin", origin),
                        ("access-control-request-method", "POST"),
                        ("access-control-request-headers", "authorization"),
                        ("cookie", &cookies),
                        ("authorization", &bearer),
                    ];
                    let answer = line.send(request(method.clone(), path, &headers, "")).await;
                    let allowed = answer.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
                    let place = format!("{method} {path} from {origin}");
                    assert!(!answer.headers().contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS), "{place}");
                    assert!(allowed.is_none_or(|value| value == "*"), "{place}");
                    let open = ENDPOINTS.contains(&path) && !["/oauth2/introspect", "/oauth2/nothing"].contains(&path);
                    assert!(open || allowed.is_none(), "{place}");
                    assert!(!open || method != Method::OPTIONS || allowed.is_some(), "{place}");
                }
            }
        }
        before
            .assert_exactly(
                &world.app,
                &[],
                &[
                    ("app_request refused form_unreadable", 18),
                    ("authorize refused client_id_missing_or_repeated", 6),
                    ("consent refused flow_handle_invalid", 6),
                    ("sign_in refused flow_handle_invalid", 6),
                    ("sign_in refused state_missing", 6),
                ],
            )
            .await;
    }
}

on_both_databases! {
    async fn row_62_a_wrong_secret_says_nothing_of_the_right_one(kind: Kind) {
        let world = World::new(kind).await;
        let secret = "wiki-secret-0123456789";
        let before = Evidence::now(&world.app).await;
        let mut answers = std::collections::BTreeSet::new();
        for length in 0..=secret.len() {
            // Two minutes later, so that none of them has to wait for the ones before.
            world.app.clock.advance(Duration::from_mins(2));
            let wrong = format!("{}{}", &secret[..length], "X".repeat(secret.len() + 1 - length));
            for client in ["wiki", "nobody"] {
                let app = crate::harness::relying_app::RelyingApp {
                    client_id: client.to_owned(),
                    client_secret: Some(wrong.clone()),
                    ..world.globex_app.clone()
                };
                let (status, answer) = app.token(&[("grant_type", "client_credentials")]).await;
                answers.insert((status.as_u16(), answer.to_string()));
            }
        }
        assert_eq!(answers.len(), 1, "{answers:?}");
        before
            .assert_exactly(
                &world.app,
                &[],
                &[
                    ("client_authentication refused client_secret", 23),
                    ("client_authentication refused unknown_client", 23),
                ],
            )
            .await;
    }
}

/// `timing` in `benches/load` measures times. This test reads in the source what keeps them constant: secrets are
/// looked up and compared by hash, or in constant time.
#[test]
fn row_62_no_secret_is_compared_as_text() {
    let mut compared = 0;
    // What the operator has written is not secret from the operator.
    for source in rust_files("src").into_iter().filter(|source| !source.path.starts_with("config/")) {
        for (at, line) in source.lines_without_tests().map(|(at, line)| (at, code(line))) {
            compared += usize::from(line.contains("constant_time_eq(") || line.contains("hash_token("));
            let exposed = line.contains("expose()");
            let as_text = ["==", "!=", ".eq(", ".starts_with(", ".ends_with(", ".cmp("]
                .iter()
                .any(|how| line.contains(how));
            let of_its_length = line.contains(".expose().len()") || line.contains("expose().is_empty()");
            assert!(!exposed || !as_text || of_its_length, "{}:{at} compares a secret: {line}", source.path);
            for column in ["token", "secret", "password", "code", "refresh_token"] {
                let looked_up = line.contains(&format!(" {column} = $"));
                assert!(!looked_up, "{}:{at} looks a secret up in clear: {line}", source.path);
            }
        }
    }
    assert!(compared > 10, "the search finds what is there: {compared}");
}
