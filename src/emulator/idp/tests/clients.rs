//! The token endpoint: what a code is bound to, and how clients authenticate.

use super::*;

#[tokio::test]
async fn a_code_is_bound_to_verifier_redirect_uri_and_client() {
    for (vendor, paths) in BOTH {
        let fixture = Fixture::new(vendor);
        let wrong: [&[(&str, &str)]; 4] = [
            &[("code_verifier", "wrong-verifier-wrong-verifier-wrong-verifier")],
            &[("code_verifier", "")],
            &[("redirect_uri", "https://broker.test/")],
            &[("client_id", "other"), ("client_secret", "s3cret")],
        ];
        for change in wrong {
            let code = fixture.code(&paths).await;
            let answer = fixture.redeem(&paths, &code, change).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST);
            assert_eq!(answer.json(), json!({ "error": "invalid_grant" }), "{change:?}");
        }
    }
}

#[tokio::test]
async fn a_verifier_without_a_challenge_is_refused() {
    let fixture = Fixture::new(Vendor::Okta);
    let bare = query(&[("code_challenge", ""), ("code_challenge_method", "")]);
    for (verifier, status) in [(VERIFIER, StatusCode::BAD_REQUEST), ("", StatusCode::OK)] {
        let back = fixture.sign_in(&OKTA, &bare, "bob", "Correct-Horse-1").await;
        let code = back.redirected("code").unwrap();
        let answer = fixture.redeem(&OKTA, &code, &[("code_verifier", verifier)]).await;
        assert_eq!(answer.status, status);
    }
}

#[tokio::test]
async fn a_code_used_twice_ends_the_access_token_that_it_gave() {
    for (vendor, paths) in BOTH {
        let fixture = Fixture::new(vendor);
        let code = fixture.code(&paths).await;
        let tokens = fixture.redeem(&paths, &code, &[]).await.json();
        let access_token = tokens["access_token"].as_str().unwrap();
        assert_eq!(fixture.userinfo(&paths, access_token).await.status, StatusCode::OK);
        assert_eq!(fixture.redeem(&paths, &code, &[]).await.json(), json!({ "error": "invalid_grant" }));
        assert_eq!(fixture.userinfo(&paths, access_token).await.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn a_code_ends_after_a_minute() {
    let fixture = Fixture::new(Vendor::Okta);
    let code = fixture.code(&OKTA).await;
    fixture.clock.advance(60);
    assert_eq!(fixture.redeem(&OKTA, &code, &[]).await.json(), json!({ "error": "invalid_grant" }));
}

#[tokio::test]
async fn a_wrong_secret_is_invalid_client_and_leaves_the_code_alone() {
    for (vendor, paths) in BOTH {
        let fixture = Fixture::new(vendor);
        let code = fixture.code(&paths).await;
        for change in [("client_secret", "s3cret"), ("client_secret", ""), ("client_id", "nobody")] {
            let answer = fixture.redeem(&paths, &code, &[change]).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{change:?}");
            assert_eq!(answer.json(), json!({ "error": "invalid_client" }));
            assert!(answer.headers.contains_key("www-authenticate"));
        }
        assert_eq!(fixture.redeem(&paths, &code, &[]).await.status, StatusCode::OK);
    }
}

/// A redemption without a secret in the form, with an `Authorization` header.
async fn redeem_with_header(fixture: &Fixture, code: &str, credentials: &str, more: &str) -> Answer {
    let header = base64::engine::general_purpose::STANDARD.encode(credentials);
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    let request = Request::post(OKTA.token)
        .header(AUTHORIZATION, format!("Basic {header}"))
        .body(Body::from(format!("{}{more}", encode(fields))))
        .unwrap();
    fixture.send(request).await
}

#[tokio::test]
async fn the_basic_header_is_form_encoded_and_excludes_a_second_method() {
    let fixture = Fixture::new(Vendor::Okta);
    let code = fixture.code(&OKTA).await;
    let twice = redeem_with_header(&fixture, &code, "broker:s3cret%3A%2B%26", "&client_secret=x").await;
    assert_eq!(twice.json(), json!({ "error": "invalid_request" }));
    let raw = redeem_with_header(&fixture, &code, "broker:s3cret:+&", "").await;
    assert_eq!(raw.json(), json!({ "error": "invalid_request" }));
    let right = redeem_with_header(&fixture, &code, "broker:s3cret%3A%2B%26", "").await;
    assert_eq!(right.status, StatusCode::OK);
}

#[tokio::test]
async fn a_client_assertion_serves_once_and_only_at_its_audience() {
    let entra = format!("https://localhost:9001/{TENANT_ID}/v2.0");
    for (vendor, paths, issuer, issuer_serves) in
        [(Vendor::Okta, OKTA, "https://localhost:9001", false), (Vendor::Entra, ENTRA, entra.as_str(), true)]
    {
        let key = signing_key("ES256");
        let jwks = json!({ "keys": [key.public_jwk()] }).to_string();
        let file = FILE.replacen("client_secret = \"s3cret:+&\"", &format!("jwks = '{jwks}'"), 1);
        let fixture = Fixture::with(vendor, &file, false);
        let code = fixture.code(&paths).await;
        let endpoint = format!("https://localhost:9001{}", paths.token);
        let good = json!({
            "iss": "broker", "sub": "broker", "aud": endpoint, "jti": "j1",
            "iat": 1_800_000_000, "exp": 1_800_000_060,
        });
        let changed = |name: &str, value: Value| {
            let mut claims = good.clone();
            claims[name] = value;
            key.sign_jwt("JWT", None, &claims).unwrap()
        };
        let present = async |assertion: &str, code: &str| {
            let fields = [
                ("grant_type", "authorization_code"),
                ("code", code),
                ("redirect_uri", CALLBACK),
                ("code_verifier", VERIFIER),
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ("client_assertion", assertion),
            ];
            fixture.post(paths.token, "", &fields).await.status
        };
        let wrong = [
            changed("aud", json!("https://elsewhere.test/token")),
            changed("exp", json!(1_800_000_000)),
            changed("exp", json!(1_800_003_601)),
            changed("iss", json!("other")),
            changed("jti", Value::Null),
            signing_key("ES256").sign_jwt("JWT", None, &good).unwrap(),
        ];
        for assertion in wrong {
            assert_eq!(present(&assertion, &code).await, StatusCode::UNAUTHORIZED);
        }
        let good = changed("jti", json!("j2"));
        assert_eq!(present(&good, &code).await, StatusCode::OK);
        let code = fixture.code(&paths).await;
        assert_eq!(present(&good, &code).await, StatusCode::UNAUTHORIZED);
        let for_issuer = present(&changed("aud", json!(issuer)), &code).await;
        assert_eq!(for_issuer == StatusCode::OK, issuer_serves);
    }
}
