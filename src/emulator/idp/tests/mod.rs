//! Whole code flows against the router, with a relying party and a browser.

mod clients;
mod faults;

use axum::body::Body;
use base64::Engine as _;
use http::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::emulator::form::write as encode;
use crate::emulator::testing::StandingClock;
use crate::model::value::random::CountingRandom;
use crate::protocol::jose::CompactJws;

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const CALLBACK: &str = "https://broker.test/sso/callback/con_1";
const TENANT_ID: &str = "72f3c1de-4b5a-4c8e-9d10-6a2b7f0e5c34";

const FILE: &str = r#"
    [[clients]]
    client_id = "broker"
    client_secret = "s3cret:+&"
    redirect_uris = ["https://broker.test/sso/callback/con_1"]
    post_logout_redirect_uris = ["https://broker.test/sso/signed-out/con_1"]

    [[clients]]
    client_id = "other"
    client_secret = "s3cret"
    redirect_uris = ["https://broker.test/sso/callback/con_1"]

    [[users]]
    username = "bob"
    password = "Correct-Horse-1"
    name = "Bob Example"
    email = "bob@acme.test"
    groups = ["staff"]
"#;

struct Fixture {
    router: Router,
    clock: Arc<StandingClock>,
    faults: Faults,
}

struct Answer {
    status: StatusCode,
    location: Option<Url>,
    cookie: Option<String>,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// A parameter of the redirect.
    fn redirected(&self, name: &str) -> Option<String> {
        let location = self.location.as_ref()?;
        location.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

fn signing_key(alg: &str) -> SigningKey {
    SigningKey::generate(alg.parse().unwrap(), "key-1".to_owned()).unwrap()
}

impl Fixture {
    fn new(vendor: Vendor) -> Self {
        Self::with(vendor, FILE, false)
    }

    fn with(vendor: Vendor, file: &str, response_iss: bool) -> Self {
        let clock = Arc::new(StandingClock::at(1_800_000_000));
        let faults = Faults::default();
        let router = router(Settings {
            vendor,
            base_url: "https://localhost:9001".parse().unwrap(),
            directory: Directory::from_toml(file).unwrap(),
            response_iss,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            random: Arc::new(CountingRandom::default()),
            key: signing_key("RS256"),
            faults: faults.clone(),
        });
        Self { router, clock, faults }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let header = |name| parts.headers.get(name).map(|value: &http::HeaderValue| value.to_str().unwrap());
        Answer {
            status: parts.status,
            location: header(LOCATION).map(|uri| uri.parse().unwrap()),
            cookie: header(SET_COOKIE).map(|cookie| cookie.split(';').next().unwrap().to_owned()),
            text: String::from_utf8(bytes.to_vec()).unwrap(),
            headers: parts.headers,
        }
    }

    async fn get(&self, path: &str, cookie: &str) -> Answer {
        self.send(Request::get(path).header(COOKIE, cookie).body(Body::empty()).unwrap()).await
    }

    async fn post(&self, path: &str, cookie: &str, pairs: &[(&str, &str)]) -> Answer {
        let request = Request::post(path)
            .header(COOKIE, cookie)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(encode(pairs.iter().copied())))
            .unwrap();
        self.send(request).await
    }

    /// The path of an endpoint in the metadata.
    async fn endpoint(&self, document: &str, name: &str) -> String {
        let metadata = self.get(document, "").await.json();
        metadata[name].as_str().unwrap().strip_prefix("https://localhost:9001").unwrap().to_owned()
    }

    /// Signs in on the identity provider's page for an authorization request, and returns the redirect.
    async fn sign_in(&self, vendor: &Paths, query: &str, username: &str, password: &str) -> Answer {
        let fields = [("request", query), ("username", username), ("password", password)];
        self.post(vendor.sign_in, "", &fields).await
    }

    /// The response of the token endpoint to a request with the broker's secret.
    async fn redeem(&self, vendor: &Paths, code: &str, change: &[(&str, &str)]) -> Answer {
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
            ("client_id", "broker"),
            ("client_secret", "s3cret:+&"),
        ];
        for (name, value) in change {
            fields.retain(|(field, _)| field != name);
            fields.push((name, value));
        }
        self.post(vendor.token, "", &fields).await
    }

    async fn code(&self, vendor: &Paths) -> String {
        let answer = self.sign_in(vendor, &query(&[]), "bob", "Correct-Horse-1").await;
        answer.redirected("code").unwrap()
    }

    async fn userinfo(&self, vendor: &Paths, access_token: &str) -> Answer {
        let request = Request::get(vendor.userinfo).header(AUTHORIZATION, format!("Bearer {access_token}"));
        self.send(request.body(Body::empty()).unwrap()).await
    }
}

/// Paths, as a client would read them from metadata.
struct Paths {
    authorize: &'static str,
    sign_in: &'static str,
    token: &'static str,
    userinfo: &'static str,
    keys: &'static str,
    logout: &'static str,
    metadata: &'static str,
}

const OKTA: Paths = Paths {
    authorize: "/oauth2/v1/authorize",
    sign_in: "/login/sign-in",
    token: "/oauth2/v1/token",
    userinfo: "/oauth2/v1/userinfo",
    keys: "/oauth2/v1/keys",
    logout: "/oauth2/v1/logout",
    metadata: "/.well-known/openid-configuration",
};

const ENTRA: Paths = Paths {
    authorize: "/organizations/oauth2/v2.0/authorize",
    sign_in: "/organizations/login",
    token: "/organizations/oauth2/v2.0/token",
    userinfo: "/oidc/userinfo",
    keys: "/organizations/discovery/v2.0/keys",
    logout: "/organizations/oauth2/v2.0/logout",
    metadata: "/organizations/v2.0/.well-known/openid-configuration",
};

const BOTH: [(Vendor, Paths); 2] = [(Vendor::Okta, OKTA), (Vendor::Entra, ENTRA)];

/// An authorization request with changes; an empty value drops the parameter.
fn query(change: &[(&str, &str)]) -> String {
    let mut fields = vec![
        ("client_id", "broker"),
        ("redirect_uri", CALLBACK),
        ("response_type", "code"),
        ("scope", "openid email profile groups"),
        ("state", "st&te"),
        ("nonce", "n0nce"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in change {
        fields.retain(|(field, _)| field != name);
        fields.push((name, value));
    }
    encode(fields.into_iter().filter(|(_, value)| !value.is_empty()))
}

/// The claims of an ID token, whose signature is checked against the published keys.
async fn verified_claims(fixture: &Fixture, vendor: &Paths, token: &str) -> Value {
    let published = fixture.get(vendor.keys, "").await;
    let keys = crate::protocol::jose::JwkSet::parse(published.text.as_bytes()).unwrap();
    let token = CompactJws::parse(token, 10_000).unwrap();
    let alg = "RS256".parse().unwrap();
    let key = crypto::jws::select_key(&keys, token.header(), alg).unwrap();
    crypto::jws::verify(&token, alg, key).unwrap();
    Value::Object(token.claims().unwrap())
}

#[tokio::test]
async fn metadata_names_the_endpoints_that_are_served() {
    for (vendor, paths) in BOTH {
        let fixture = Fixture::new(vendor);
        for (name, path) in [
            ("authorization_endpoint", paths.authorize),
            ("token_endpoint", paths.token),
            ("userinfo_endpoint", paths.userinfo),
            ("jwks_uri", paths.keys),
            ("end_session_endpoint", paths.logout),
        ] {
            assert_eq!(fixture.endpoint(paths.metadata, name).await, path, "{vendor}");
        }
    }
}

#[tokio::test]
async fn a_request_shows_the_providers_own_page_with_the_hint_filled_in() {
    for (vendor, paths) in BOTH {
        let fixture = Fixture::new(vendor);
        let path = format!("{}?{}", paths.authorize, query(&[("login_hint", "\"<bob@acme.test>")]));
        let page = fixture.get(&path, "").await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.text.contains(vendor.habits().name));
        assert!(page.text.contains(&format!("action=\"https://localhost:9001{}\"", paths.sign_in)));
        for id in ["emulator-username", "emulator-password", "emulator-sign-in"] {
            assert!(page.text.contains(&format!("id=\"{id}\"")), "{id}");
        }
        assert!(page.text.contains("value=\"&#34;&#60;bob@acme.test&#62;\""), "{}", page.text);
        assert!(!page.text.contains("<script"));
    }
}

#[tokio::test]
async fn a_whole_code_flow_ends_in_a_signed_token_for_this_client() {
    for (vendor, paths) in BOTH {
        let fixture = Fixture::new(vendor);
        let back = fixture.sign_in(&paths, &query(&[]), "BOB@acme.test", "Correct-Horse-1").await;
        assert_eq!(back.status, StatusCode::SEE_OTHER);
        assert!(back.location.as_ref().unwrap().as_str().starts_with(&format!("{CALLBACK}?")));
        assert_eq!(back.redirected("state").as_deref(), Some("st&te"));
        assert_eq!(back.redirected("iss"), None);

        let answer = fixture.redeem(&paths, &back.redirected("code").unwrap(), &[]).await;
        assert_eq!(
            (answer.status, &answer.headers["cache-control"]),
            (StatusCode::OK, &"no-store".parse().unwrap())
        );
        let tokens = answer.json();
        let claims = verified_claims(&fixture, &paths, tokens["id_token"].as_str().unwrap()).await;
        assert_eq!(claims["aud"], "broker");
        assert_eq!(claims["nonce"], "n0nce");
        assert_eq!(claims["iat"], 1_800_000_000);
        assert_eq!(claims["exp"], 1_800_003_600);

        let userinfo = fixture.userinfo(&paths, tokens["access_token"].as_str().unwrap()).await;
        assert_eq!(userinfo.json()["sub"], claims["sub"]);
    }
}

#[tokio::test]
async fn an_okta_id_token_is_thin_and_userinfo_has_the_rest() {
    let fixture = Fixture::new(Vendor::Okta);
    let code = fixture.code(&OKTA).await;
    let tokens = fixture.redeem(&OKTA, &code, &[]).await.json();
    let claims = verified_claims(&fixture, &OKTA, tokens["id_token"].as_str().unwrap()).await;
    assert_eq!(claims["iss"], "https://localhost:9001");
    assert_eq!((&claims["auth_time"], &claims["amr"]), (&json!(1_800_000_000), &json!(["pwd"])));
    assert!(claims["sid"].is_string() && claims["at_hash"].is_string());
    for absent in ["email", "email_verified", "name", "preferred_username", "groups"] {
        assert!(claims.get(absent).is_none(), "{absent}");
    }
    let userinfo = fixture.userinfo(&OKTA, tokens["access_token"].as_str().unwrap()).await.json();
    assert_eq!(userinfo["email"], "bob@acme.test");
    assert_eq!(userinfo["email_verified"], true);
    assert_eq!(userinfo["name"], "Bob Example");
    assert_eq!(userinfo["groups"], json!(["staff"]));
}

#[tokio::test]
async fn an_entra_token_names_the_tenant_where_its_metadata_has_a_placeholder() {
    let fixture = Fixture::new(Vendor::Entra);
    let metadata = fixture.get(ENTRA.metadata, "").await.json();
    assert_eq!(metadata["issuer"], "https://localhost:9001/{tenantid}/v2.0");
    assert!(metadata.get("code_challenge_methods_supported").is_none());
    let keys = fixture.get(ENTRA.keys, "").await.json();
    assert_eq!(keys["keys"][0]["issuer"], "https://localhost:9001/{tenantid}/v2.0");

    let code = fixture.code(&ENTRA).await;
    let tokens = fixture.redeem(&ENTRA, &code, &[]).await.json();
    let claims = verified_claims(&fixture, &ENTRA, tokens["id_token"].as_str().unwrap()).await;
    assert_eq!(claims["iss"], format!("https://localhost:9001/{TENANT_ID}/v2.0"));
    assert_eq!((&claims["tid"], &claims["ver"]), (&json!(TENANT_ID), &json!("2.0")));
    assert_eq!(claims["preferred_username"], "bob@acme.test");
    assert_eq!(claims["email"], "bob@acme.test");
    assert!(claims["oid"].as_str().unwrap().parse::<uuid::Uuid>().is_ok());
    let userinfo = fixture.userinfo(&ENTRA, tokens["access_token"].as_str().unwrap()).await.json();
    for document in [&claims, &userinfo] {
        assert!(document.get("email_verified").is_none());
    }
}

#[tokio::test]
async fn the_document_of_one_entra_tenant_has_its_real_issuer_and_no_other_tenant_has_one() {
    let fixture = Fixture::new(Vendor::Entra);
    let metadata =
        fixture.get(&format!("/{TENANT_ID}/v2.0/.well-known/openid-configuration"), "").await.json();
    assert_eq!(metadata["issuer"], format!("https://localhost:9001/{TENANT_ID}/v2.0"));
    let keys = fixture.get(&format!("/{TENANT_ID}/discovery/v2.0/keys"), "").await.json();
    assert_eq!(keys["keys"][0]["issuer"], metadata["issuer"]);
    for stranger in ["00000000-0000-0000-0000-000000000000", "%7Btenantid%7D", "consumers"] {
        let answer = fixture.get(&format!("/{stranger}/v2.0/.well-known/openid-configuration"), "").await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{stranger}");
    }
}

#[tokio::test]
async fn an_entra_subject_differs_by_client_and_the_object_id_does_not() {
    let fixture = Fixture::new(Vendor::Entra);
    let mut seen = Vec::new();
    for (client, secret) in [("broker", "s3cret:+&"), ("other", "s3cret")] {
        let back = fixture.sign_in(&ENTRA, &query(&[("client_id", client)]), "bob", "Correct-Horse-1").await;
        let change = [("client_id", client), ("client_secret", secret)];
        let tokens = fixture.redeem(&ENTRA, &back.redirected("code").unwrap(), &change).await.json();
        seen.push(verified_claims(&fixture, &ENTRA, tokens["id_token"].as_str().unwrap()).await);
    }
    assert_ne!(seen[0]["sub"], seen[1]["sub"]);
    assert_eq!(seen[0]["oid"], seen[1]["oid"]);
}

#[tokio::test]
async fn a_wrong_password_signs_nobody_in() {
    for (vendor, paths) in BOTH {
        let fixture = Fixture::new(vendor);
        for (username, password) in [("bob", "correct-horse-1"), ("bob", ""), ("eve", "Correct-Horse-1")] {
            let answer = fixture.sign_in(&paths, &query(&[]), username, password).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN);
            assert!(answer.text.contains("id=\"emulator-error\"") && answer.cookie.is_none());
        }
    }
}

#[tokio::test]
async fn a_form_that_another_site_sends_signs_nobody_in() {
    let fixture = Fixture::new(Vendor::Okta);
    let fields =
        [("request", query(&[])), ("username", "bob".into()), ("password", "Correct-Horse-1".into())];
    let body = encode(fields.iter().map(|(name, value)| (*name, value.as_str())));
    let request = Request::post(OKTA.sign_in).header("sec-fetch-site", "cross-site").body(Body::from(body));
    let answer = fixture.send(request.unwrap()).await;
    assert_eq!((answer.status, answer.cookie), (StatusCode::FORBIDDEN, None));
}

#[tokio::test]
async fn an_unregistered_redirect_uri_gets_a_page_and_no_redirect() {
    for (vendor, paths) in BOTH {
        let fixture = Fixture::new(vendor);
        let wrong = query(&[("redirect_uri", "https://broker.test/sso/callback/con_1/")]);
        let asked = fixture.get(&format!("{}?{wrong}", paths.authorize), "").await;
        let posted = fixture.sign_in(&paths, &wrong, "bob", "Correct-Horse-1").await;
        for answer in [asked, posted] {
            assert_eq!((answer.status, answer.location), (StatusCode::BAD_REQUEST, None));
        }
    }
}

#[tokio::test]
async fn prompt_none_answers_login_required_until_somebody_has_signed_in() {
    for (vendor, paths) in BOTH {
        let fixture = Fixture::new(vendor);
        let path = format!("{}?{}", paths.authorize, query(&[("prompt", "none")]));
        let refused = fixture.get(&path, "").await;
        assert_eq!(refused.redirected("error").as_deref(), Some("login_required"));
        assert_eq!(refused.redirected("state").as_deref(), Some("st&te"));

        let signed_in = fixture.sign_in(&paths, &query(&[]), "bob", "Correct-Horse-1").await;
        let granted = fixture.get(&path, &signed_in.cookie.unwrap()).await;
        assert!(granted.redirected("code").is_some() && granted.redirected("error").is_none());
    }
}

#[tokio::test]
async fn prompt_login_and_another_persons_hint_ask_again_in_spite_of_a_session() {
    for (vendor, paths) in BOTH {
        let more =
            "[[users]]\nusername = \"ann\"\npassword = \"x\"\nname = \"Ann\"\nemail = \"ann@acme.test\"";
        let fixture = Fixture::with(vendor, &format!("{FILE}\n{more}"), false);
        let cookie = fixture.sign_in(&paths, &query(&[]), "bob", "Correct-Horse-1").await.cookie.unwrap();
        for change in [("prompt", "login"), ("login_hint", "ann@acme.test")] {
            let path = format!("{}?{}", paths.authorize, query(&[change]));
            let page = fixture.get(&path, &cookie).await;
            assert!(page.text.contains("id=\"emulator-sign-in\""), "{change:?}");
        }
        let path = format!("{}?{}", paths.authorize, query(&[("login_hint", "bob@acme.test")]));
        assert!(fixture.get(&path, &cookie).await.redirected("code").is_some());
    }
}

#[tokio::test]
async fn okta_honours_max_age_and_entra_does_not() {
    for (vendor, paths) in BOTH {
        let fixture = Fixture::new(vendor);
        let cookie = fixture.sign_in(&paths, &query(&[]), "bob", "Correct-Horse-1").await.cookie.unwrap();
        let path = format!("{}?{}", paths.authorize, query(&[("max_age", "60"), ("prompt", "none")]));
        fixture.clock.advance(60);
        assert!(fixture.get(&path, &cookie).await.redirected("code").is_some());
        fixture.clock.advance(1);
        let late = fixture.get(&path, &cookie).await.redirected("error");
        assert_eq!(late.as_deref(), (vendor == Vendor::Okta).then_some("login_required"));
    }
}

#[tokio::test]
async fn the_response_names_its_issuer_where_that_is_switched_on() {
    let fixture = Fixture::with(Vendor::Entra, FILE, true);
    let metadata = fixture.get(ENTRA.metadata, "").await.json();
    assert_eq!(metadata["authorization_response_iss_parameter_supported"], true);
    let back = fixture.sign_in(&ENTRA, &query(&[]), "bob", "Correct-Horse-1").await;
    assert_eq!(back.redirected("iss"), Some(format!("https://localhost:9001/{TENANT_ID}/v2.0")));
    let path = format!("{}?{}", ENTRA.authorize, query(&[("prompt", "none")]));
    assert!(fixture.get(&path, "").await.redirected("iss").is_some());
}

#[tokio::test]
async fn a_form_post_answer_is_a_page_that_posts_to_the_client() {
    let fixture = Fixture::new(Vendor::Entra);
    let wanted = query(&[("response_mode", "form_post"), ("state", "\"><script>")]);
    let page = fixture.sign_in(&ENTRA, &wanted, "bob", "Correct-Horse-1").await;
    assert_eq!((page.status, page.location.is_none()), (StatusCode::OK, true));
    assert!(page.text.contains(&format!("action=\"{CALLBACK}\"")), "{}", page.text);
    assert!(page.text.contains("name=\"code\"") && !page.text.contains("<script>"));
    assert!(page.cookie.is_some());
}

#[tokio::test]
async fn a_sign_out_ends_the_session_and_leads_back_only_to_what_is_registered() {
    for (vendor, paths) in BOTH {
        let fixture = Fixture::new(vendor);
        let back = fixture.sign_in(&paths, &query(&[]), "bob", "Correct-Horse-1").await;
        let cookie = back.cookie.clone().unwrap();
        let tokens = fixture.redeem(&paths, &back.redirected("code").unwrap(), &[]).await.json();
        let hint = tokens["id_token"].as_str().unwrap();
        let leave = async |uri: &str| {
            let fields = [("id_token_hint", hint), ("post_logout_redirect_uri", uri), ("state", "bye")];
            fixture.get(&format!("{}?{}", paths.logout, encode(fields)), &cookie).await
        };
        let foreign = leave("https://evil.test/").await;
        assert_eq!((foreign.status, foreign.location.is_none()), (StatusCode::OK, true));
        assert!(foreign.text.contains("id=\"emulator-signed-out\""));
        let home = leave("https://broker.test/sso/signed-out/con_1").await;
        assert_eq!(home.location.unwrap().as_str(), "https://broker.test/sso/signed-out/con_1?state=bye");
        let path = format!("{}?{}", paths.authorize, query(&[("prompt", "none")]));
        assert!(fixture.get(&path, &cookie).await.redirected("error").is_some());
    }
}

#[tokio::test]
async fn okta_wants_a_hint_of_its_own_for_a_sign_out_and_entra_wants_none() {
    for (vendor, paths) in BOTH {
        let fixture = Fixture::new(vendor);
        let bare = fixture.get(paths.logout, "").await.status;
        assert_eq!(bare == StatusCode::OK, vendor == Vendor::Entra);
        let claims = json!({ "aud": "broker" });
        let forged = signing_key("RS256").sign_jwt("JWT", None, &claims).unwrap();
        let refused = fixture.post(paths.logout, "", &[("id_token_hint", &forged)]).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    }
}
