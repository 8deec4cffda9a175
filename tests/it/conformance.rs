//! What the OpenID Foundation's Basic profile asks of a provider and no other test here does.
//!
//! `docs/conformance.md` names each module of the profiles with its test. Relying apps of the profile send no PKCE, so
//! the one here has opted out.

use std::time::Duration;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::harness::app::ISSUER;
use crate::harness::browser::{Browser, Page};
use crate::harness::database::Kind;
use crate::harness::relying_app::{RelyingApp, claims, token_header};
use crate::harness::world::{PASSWORD, World};
use crate::on_both_databases;

const SUITE: &str = r#"
[[organizations]]
handle = "globex"
name = "Globex"

[[organizations.apps]]
client_id = "suite"
name = "Suite"
client_secret = "suite-secret-0123456789"
redirect_uris = ["https://suite.globex.test/callback"]
require_pkce = false

[[organizations.apps]]
client_id = "suite-post"
name = "Suite, by form"
client_secret = "suite-post-secret-0123456789"
auth_method = "client_secret_post"
redirect_uris = ["https://suite.globex.test/callback"]
require_pkce = false

[[organizations.accounts]]
username = "pia"
email = "pia@globex.test"
email_verified = true
name = "Pia Parker"
given_name = "Pia"
family_name = "Parker"
phone = "+49 30 1234567"
password = "Correct7horse"
"#;

/// What leaves PKCE out of a request.
const NO_PKCE: [(&str, &str); 2] = [("code_challenge", ""), ("code_challenge_method", "")];

/// A world in which the profile's relying app is registered.
async fn world(kind: Kind) -> (World, RelyingApp) {
    let world = World::new(kind).await;
    world.app.apply(SUITE).await;
    let uri = "https://suite.globex.test/callback";
    let suite = RelyingApp::new(&world.app.network, "suite", Some("suite-secret-0123456789"), uri);
    (world, suite)
}

/// Opens a request without PKCE.
async fn ask(browser: &mut Browser, suite: &RelyingApp, more: &[(&str, &str)]) -> Page {
    let more: Vec<_> = NO_PKCE.iter().chain(more).copied().collect();
    browser.open(&suite.authorize_url(&more)).await
}

/// The same, with pia's password where the page asks for it.
async fn sign_in(browser: &mut Browser, suite: &RelyingApp, more: &[(&str, &str)]) -> Page {
    let page = ask(browser, suite, more).await;
    page.expect(200, "sign-in");
    browser.press(&page, "sign-in", &[("username", "pia"), ("password", PASSWORD)]).await
}

async fn redeem(suite: &RelyingApp, page: &Page) -> Value {
    let code = suite.code(page);
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", &suite.redirect_uri),
    ];
    let (status, tokens) = suite.token(&form).await;
    assert_eq!(status, StatusCode::OK, "{tokens}");
    assert_eq!(tokens["token_type"], "Bearer");
    tokens
}

fn id_token(tokens: &Value) -> Value {
    claims(tokens["id_token"].as_str().unwrap())
}

on_both_databases! {
    async fn an_app_without_pkce_gets_tokens_by_basic_and_by_form(kind: Kind) {
        let (world, suite) = world(kind).await;
        let tokens = redeem(&suite, &sign_in(&mut world.browser(), &suite, &[]).await).await;
        assert_eq!(id_token(&tokens)["aud"], "suite");
        let by_form = RelyingApp { client_id: "suite-post".to_owned(), client_secret: None, ..suite };
        let code = by_form.code(&sign_in(&mut world.browser(), &by_form, &[]).await);
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", &by_form.redirect_uri),
            ("client_secret", "suite-post-secret-0123456789"),
        ];
        let (status, tokens) = by_form.token(&form).await;
        assert_eq!(status, StatusCode::OK, "{tokens}");
        assert_eq!(id_token(&tokens)["aud"], "suite-post");
    }
}

on_both_databases! {
    async fn an_id_token_verifies_under_the_published_key_that_it_names(kind: Kind) {
        let (world, suite) = world(kind).await;
        let tokens = redeem(&suite, &sign_in(&mut world.browser(), &suite, &[]).await).await;
        let token = tokens["id_token"].as_str().unwrap();
        let request = Request::builder().uri(format!("{ISSUER}/oauth2/jwks")).body(Full::default()).unwrap();
        let keys: Value = serde_json::from_slice(world.app.network.send(request).await.body()).unwrap();
        let header = token_header(token);
        assert_eq!(header["alg"], "RS256");
        let named = |key: &&Value| key["kid"] == header["kid"];
        let key = keys["keys"].as_array().unwrap().iter().find(named).unwrap();
        let decoded = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        let part = |name: &str| decoded(key[name].as_str().unwrap());
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let public = RsaPublicKeyComponents { n: part("n"), e: part("e") };
        public.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &decoded(signature)).unwrap();
        let changed = format!("{}x", &signed[..signed.len() - 1]);
        let verdict = public.verify(&RSA_PKCS1_2048_8192_SHA256, changed.as_bytes(), &decoded(signature));
        assert!(verdict.is_err());
    }
}

on_both_databases! {
    async fn a_request_without_nonce_gives_an_id_token_without_one(kind: Kind) {
        let (world, suite) = world(kind).await;
        let mut browser = world.browser();
        let with = redeem(&suite, &sign_in(&mut browser, &suite, &[("nonce", "a nonce")]).await).await;
        assert_eq!(id_token(&with)["nonce"], "a nonce");
        let without = redeem(&suite, &ask(&mut browser, &suite, &[("nonce", "")]).await).await;
        assert!(id_token(&without).get("nonce").is_none());
    }
}

on_both_databases! {
    async fn each_scope_brings_its_claims_to_userinfo_and_no_others(kind: Kind) {
        let (world, suite) = world(kind).await;
        let mut browser = world.browser();
        sign_in(&mut browser, &suite, &[]).await;
        let profile = ["name", "given_name", "family_name", "preferred_username", "updated_at"].as_slice();
        let email = ["email", "email_verified"].as_slice();
        for (scope, expected) in [
            ("openid", vec![]),
            ("openid profile", vec![profile]),
            ("openid email", vec![email]),
            ("openid phone", vec![["phone_number"].as_slice()]),
            // Addresses are not kept: the scope is ignored, and the sign-in goes on.
            ("openid address", vec![]),
            ("openid profile email address phone", vec![profile, email, ["phone_number"].as_slice()]),
        ] {
            let tokens = redeem(&suite, &ask(&mut browser, &suite, &[("scope", scope)]).await).await;
            let (status, person) = suite.userinfo(tokens["access_token"].as_str().unwrap()).await;
            assert_eq!(status, StatusCode::OK);
            let mut expected: Vec<&str> = expected.concat();
            expected.push("sub");
            expected.sort_unstable();
            let mut found: Vec<&str> = person.as_object().unwrap().keys().map(String::as_str).collect();
            found.sort_unstable();
            assert_eq!(found, expected, "{scope}");
            assert_eq!(person["sub"], id_token(&tokens)["sub"]);
            assert!(person.as_object().unwrap().values().all(|value| !value.is_null()));
        }
    }
}

on_both_databases! {
    async fn what_a_request_only_suggests_never_stops_it(kind: Kind) {
        let (world, suite) = world(kind).await;
        for more in [
            ("display", "page"),
            ("display", "popup"),
            ("claims_locales", "de"),
            ("acr_values", "1 2"),
            ("login_hint", "pia"),
            ("extra", "foobar"),
            ("claims", r#"{"userinfo":{"name":{"essential":true}}}"#),
        ] {
            let tokens = redeem(&suite, &sign_in(&mut world.browser(), &suite, &[more]).await).await;
            assert_eq!(id_token(&tokens)["aud"], "suite", "{more:?}");
        }
    }
}

on_both_databases! {
    async fn pages_speak_the_language_that_the_app_asks_for(kind: Kind) {
        let (world, suite) = world(kind).await;
        for (wish, language) in [("de", "de"), ("se de en", "de"), ("en", "en"), ("se", "en")] {
            let mut browser = world.browser();
            let page = ask(&mut browser, &suite, &[("ui_locales", wish)]).await;
            page.expect(200, "sign-in");
            let speaks = format!("<html lang=\"{language}\"");
            assert!(page.body.contains(&speaks), "{wish}: {}", page.body);
            let wrong = [("username", "pia"), ("password", "Wrong7horse")];
            let again = browser.press(&page, "sign-in", &wrong).await;
            again.expect(403, "error");
            assert!(again.body.contains(&speaks), "{wish}: {}", again.body);
        }
    }
}

on_both_databases! {
    async fn a_fresh_sign_in_is_done_where_it_is_demanded_and_told_in_auth_time(kind: Kind) {
        let (world, suite) = world(kind).await;
        let mut browser = world.browser();
        let first = redeem(&suite, &sign_in(&mut browser, &suite, &[("max_age", "10000")]).await).await;
        let mut last = id_token(&first)["auth_time"].as_i64().unwrap();
        for demand in [("prompt", "login"), ("max_age", "1")] {
            world.app.clock.advance(Duration::from_secs(2));
            let tokens = redeem(&suite, &sign_in(&mut browser, &suite, &[demand]).await).await;
            let again = id_token(&tokens);
            assert_eq!(again["sub"], id_token(&first)["sub"]);
            assert!(again["auth_time"].as_i64().unwrap() >= last + 2, "{demand:?}: {again}");
            last = again["auth_time"].as_i64().unwrap();
        }
        world.app.clock.advance(Duration::from_secs(2));
        for enough in [("max_age", "10000"), ("prompt", "none")] {
            let tokens = redeem(&suite, &ask(&mut browser, &suite, &[enough]).await).await;
            assert_eq!(id_token(&tokens)["auth_time"], json!(last), "{enough:?}");
        }
    }
}

on_both_databases! {
    async fn a_code_that_comes_again_after_half_a_minute_revokes_what_it_gave(kind: Kind) {
        let (world, suite) = world(kind).await;
        let page = sign_in(&mut world.browser(), &suite, &[]).await;
        let tokens = redeem(&suite, &page).await;
        let access = tokens["access_token"].as_str().unwrap();
        assert_eq!(suite.userinfo(access).await.0, StatusCode::OK);
        world.app.clock.advance(Duration::from_secs(31));
        let code = suite.code(&page);
        let form =
            [("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", &suite.redirect_uri)];
        let (status, answer) = suite.token(&form).await;
        assert_eq!((status, &answer["error"]), (StatusCode::BAD_REQUEST, &"invalid_grant".into()));
        assert_eq!(suite.userinfo(access).await.0, StatusCode::UNAUTHORIZED);
    }
}

on_both_databases! {
    async fn a_refreshed_id_token_names_the_same_person_and_sign_in(kind: Kind) {
        let (world, suite) = world(kind).await;
        let scope = ("scope", "openid offline_access");
        let first = redeem(&suite, &sign_in(&mut world.browser(), &suite, &[scope]).await).await;
        world.app.clock.advance(Duration::from_secs(2));
        let refresh = first["refresh_token"].as_str().unwrap();
        let (status, second) =
            suite.token(&[("grant_type", "refresh_token"), ("refresh_token", refresh)]).await;
        assert_eq!(status, StatusCode::OK, "{second}");
        assert_ne!(second["access_token"], first["access_token"]);
        let (before, after) = (id_token(&first), id_token(&second));
        for name in ["iss", "sub", "aud", "auth_time"] {
            assert_eq!(before[name], after[name], "{name}");
        }
        assert!(after["iat"].as_i64() > before["iat"].as_i64());
    }
}

on_both_databases! {
    async fn metadata_has_what_the_profiles_demand(kind: Kind) {
        let (world, _) = world(kind).await;
        let address = format!("{ISSUER}/.well-known/openid-configuration");
        let request = Request::builder().uri(address).body(Full::default()).unwrap();
        let response = world.app.network.send(request).await;
        assert_eq!(response.headers()["content-type"], "application/json");
        let metadata: Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(metadata["issuer"], ISSUER);
        for endpoint in [
            "authorization_endpoint",
            "token_endpoint",
            "userinfo_endpoint",
            "jwks_uri",
            "end_session_endpoint",
        ] {
            let url = metadata[endpoint].as_str().unwrap_or_else(|| panic!("{endpoint} is missing"));
            assert!(url.starts_with(&format!("{ISSUER}/")), "{endpoint} {url}");
        }
        for (list, word) in [
            ("scopes_supported", "openid"),
            ("response_types_supported", "code"),
            ("subject_types_supported", "public"),
            ("id_token_signing_alg_values_supported", "RS256"),
            ("token_endpoint_auth_methods_supported", "client_secret_basic"),
            ("token_endpoint_auth_methods_supported", "client_secret_post"),
        ] {
            assert!(metadata[list].as_array().unwrap().contains(&json!(word)), "{list} {word}");
        }
        assert!(!metadata["id_token_signing_alg_values_supported"].as_array().unwrap().contains(&json!("none")));
    }
}

on_both_databases! {
    async fn after_a_sign_out_without_an_address_nobody_is_signed_in(kind: Kind) {
        let (world, suite) = world(kind).await;
        let mut browser = world.browser();
        let tokens = redeem(&suite, &sign_in(&mut browser, &suite, &[]).await).await;
        let hint = tokens["id_token"].as_str().unwrap();
        browser.open(&format!("{ISSUER}/oauth2/logout?id_token_hint={hint}")).await.expect(200, "signed-out");
        let page = ask(&mut browser, &suite, &[("prompt", "none")]).await;
        assert_eq!(page.location_parameter("error").as_deref(), Some("login_required"));
    }
}

on_both_databases! {
    async fn a_logout_hint_without_a_signature_leads_nowhere(kind: Kind) {
        let (world, suite) = world(kind).await;
        let mut browser = world.browser();
        let tokens = redeem(&suite, &sign_in(&mut browser, &suite, &[]).await).await;
        let body = tokens["id_token"].as_str().unwrap().split('.').nth(1).unwrap();
        let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        let url = format!("{ISSUER}/oauth2/logout?id_token_hint={head}.{body}.");
        let page = browser.open(&url).await;
        assert!(page.location().is_none() && page.error().is_some(), "{}", page.body);
        suite.code(&ask(&mut browser, &suite, &[("prompt", "none")]).await);
    }
}
