//! Whole sign-ins against a scripted provider.

use serde_json::{Value, json};

use super::testing::{Hands, Notes, Reply, Server, Signer, connection, jwks, now};
use super::*;
use crate::model::value::random::CountingRandom;
use crate::model::{Prompt, Secret, UpstreamAuth};
use crate::protocol::base64url;

const CALLBACK: &str = "https://id.test/sso/callback/con_1";
const METADATA: &str = "/.well-known/openid-configuration";

/// Lets every call pass.
struct Open;

impl Gate for Open {
    fn pass(&self) -> Result<(), Duration> {
        Ok(())
    }

    fn accepted(&self) {}
}

struct Stage {
    server: Server,
    clock: Arc<Hands>,
    notes: Arc<Notes>,
    upstream: Upstream,
    connection: Connection,
    credential: Credential,
    signer: Signer,
}

impl Stage {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut UpstreamSettings)) -> Self {
        let server = Server::start().await;
        let clock = Hands::new();
        let mut settings = UpstreamSettings::default();
        settings.egress.allow = vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        settings.egress.extra_ca = Some(server.ca.clone());
        change(&mut settings);
        let random = Arc::new(CountingRandom::default());
        let notes = Arc::new(Notes::default());
        let upstream = Upstream::new(&settings, clock.clone(), random, notes.clone()).unwrap();
        let connection = connection(&server.origin());
        let credential = Credential::Secrets { current: Secret::new("s&cret"), next: None };
        let signer = Signer::new(1, Some("k1"));
        let stage = Self { server, clock, notes, upstream, connection, credential, signer };
        stage.server.on(METADATA, Reply::json(&stage.metadata()));
        stage.server.on("/jwks", Reply::json(&jwks(&[stage.signer.jwk()])));
        stage.answer(&stage.claims());
        stage.server.on("/userinfo", Reply::json(&json!({ "sub": "bob", "email": "bob@acme.test" })));
        stage
    }

    fn metadata(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.server.origin());
        json!({
            "issuer": self.server.origin(),
            "authorization_endpoint": at("/authorize"),
            "token_endpoint": at("/token"),
            "jwks_uri": at("/jwks"),
            "userinfo_endpoint": at("/userinfo"),
            "authorization_response_iss_parameter_supported": true,
        })
    }

    fn claims(&self) -> Value {
        json!({
            "iss": self.server.origin(), "sub": "bob", "aud": "countersign", "nonce": "the nonce",
            "iat": now().unix_seconds(), "exp": now().unix_seconds() + 300,
            "email": "bob@acme.test", "email_verified": true, "name": "Bob",
        })
    }

    /// Makes the token endpoint return these claims, signed.
    fn answer(&self, claims: &Value) {
        self.answer_with(&json!({
            "access_token": "at", "token_type": "Bearer", "expires_in": 300,
            "id_token": self.signer.sign(&self.signer.header(), claims),
        }));
    }

    fn answer_with(&self, answer: &Value) {
        self.server.on("/token", Reply::json(answer));
    }

    async fn redeem_from(&self, iss: Option<&str>) -> Result<VerifiedIdentity, UpstreamError> {
        self.redeem_code("the+code", iss).await
    }

    async fn redeem_code(&self, code: &str, iss: Option<&str>) -> Result<VerifiedIdentity, UpstreamError> {
        self.redeem_through(&Open, code, iss).await
    }

    async fn redeem_through(
        &self,
        gate: &dyn Gate,
        code: &str,
        iss: Option<&str>,
    ) -> Result<VerifiedIdentity, UpstreamError> {
        let redemption = Redemption {
            asker: &Asker::stranger("192.0.2.1"),
            gate,
            code,
            response_iss: iss,
            redirect_uri: CALLBACK,
            verifier: &[7; 32],
            nonce: "the nonce",
            fresh: None,
            essential_acr: &[],
            wanted_acr: &[],
        };
        self.upstream.redeem(&self.connection, &self.credential, &redemption).await
    }

    async fn redeem(&self) -> Result<VerifiedIdentity, UpstreamError> {
        self.redeem_from(Some(&self.server.origin())).await
    }

    async fn refused(&self) -> &'static str {
        self.redeem().await.unwrap_err().code()
    }

    /// The form of the last token request.
    fn form(&self) -> Vec<(String, String)> {
        let seen = self.server.seen("/token");
        url::form_urlencoded::parse(seen.last().unwrap().body.as_bytes()).into_owned().collect()
    }
}

fn value<'a>(form: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut found = form.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let first = found.next();
    assert_eq!(found.next(), None, "{name} is repeated");
    first
}

#[tokio::test]
async fn a_code_becomes_an_identity() {
    let stage = Stage::new().await;
    let identity = stage.redeem().await.unwrap();
    assert_eq!((identity.issuer, identity.subject.as_str()), (stage.server.origin(), "bob"));
    let email = identity.email.unwrap();
    assert!(email.verified && email.source == ClaimSource::IdToken);
    assert_eq!(identity.contact.name.as_deref(), Some("Bob"));
    assert_eq!(identity.connection, stage.connection.id);
    assert!(stage.server.seen("/userinfo").is_empty(), "nothing was missing");
    let form = stage.form();
    assert_eq!(value(&form, "grant_type"), Some("authorization_code"));
    assert_eq!((value(&form, "code"), value(&form, "redirect_uri")), (Some("the+code"), Some(CALLBACK)));
    assert_eq!(value(&form, "code_verifier"), Some(base64url::encode([7; 32]).as_str()));
}

#[tokio::test]
async fn a_code_of_impossible_form_makes_no_call() {
    let stage = Stage::new().await;
    let issuer = stage.server.origin();
    for code in ["", "a\nb", "\u{e4}", "a\u{7f}", "a\tb", "a\0", &"x".repeat(4_097)] {
        let refused = stage.redeem_code(code, Some(&issuer)).await.unwrap_err();
        assert_eq!(refused.code(), "callback_code_malformed", "{code:?}");
    }
    assert_eq!(stage.server.connections(), 0);
    for code in ["x", " ~", &"x".repeat(4_096)] {
        assert!(stage.redeem_code(code, Some(&issuer)).await.is_ok(), "{code:?}");
    }
}

/// Stops every call.
struct Closed;

impl Gate for Closed {
    fn pass(&self) -> Result<(), Duration> {
        Err(Duration::from_secs(7))
    }

    fn accepted(&self) {}
}

#[tokio::test]
async fn a_redemption_that_is_held_back_makes_no_call_and_says_nothing_about_the_provider() {
    let stage = Stage::new().await;
    let iss = stage.server.origin();
    for _ in 0..10 {
        let error = stage.redeem_through(&Closed, "the+code", Some(&iss)).await.unwrap_err();
        assert_eq!(error, Outage::Withheld(Duration::from_secs(7)).into());
    }
    assert!(stage.server.seen("/token").is_empty());
    assert!(stage.redeem().await.is_ok());
}

#[tokio::test]
async fn the_verifier_that_is_sent_belongs_to_the_challenge_that_was_sent() {
    let stage = Stage::new().await;
    let input = AuthorizationInput {
        redirect_uri: CALLBACK,
        state: "s",
        nonce: "n",
        verifier: &[7; 32],
        login_hint: None,
        prompts: &[Prompt::Login],
        max_age: None,
        acr_values: &[],
    };
    let request = stage.upstream.authorization_url(&stage.connection, input).await.unwrap();
    assert!(
        request.forced && request.url.as_str().starts_with(&format!("{}/authorize?", stage.server.origin()))
    );
    stage.redeem().await.unwrap();
    let verifier = value(&stage.form(), "code_verifier").unwrap().to_owned();
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
    let challenge =
        request.url.query_pairs().find(|(name, _)| name == "code_challenge").unwrap().1.into_owned();
    assert_eq!(challenge, base64url::encode(hash));
}

#[tokio::test]
async fn a_response_of_another_issuer_never_reaches_the_token_endpoint() {
    let stage = Stage::new().await;
    let origin = stage.server.origin();
    for (iss, code) in [
        (None, "callback_iss_missing"),
        (Some("https://evil.test"), "callback_iss_mismatch"),
        (Some(""), "callback_iss_mismatch"),
        (Some(format!("{origin}/").as_str()), "callback_iss_mismatch"),
    ] {
        assert_eq!(stage.redeem_from(iss).await.unwrap_err().code(), code);
        let checked = stage.upstream.check_response_iss(&stage.connection, iss).await;
        assert_eq!(checked.unwrap_err().code(), code);
    }
    assert!(stage.server.seen("/token").is_empty());
    assert!(stage.upstream.check_response_iss(&stage.connection, Some(&origin)).await.is_ok());
}

#[tokio::test]
async fn without_the_promise_an_absent_iss_passes_and_a_wrong_one_does_not() {
    let stage = Stage::new().await;
    let mut metadata = stage.metadata();
    metadata["authorization_response_iss_parameter_supported"] = false.into();
    stage.server.on(METADATA, Reply::json(&metadata));
    assert!(stage.redeem_from(None).await.is_ok());
    assert_eq!(
        stage.redeem_from(Some("https://evil.test")).await.unwrap_err().code(),
        "callback_iss_mismatch"
    );
}

#[tokio::test]
async fn one_authentication_method_is_in_a_request() {
    let mut stage = Stage::new().await;
    let mut check = async |auth: UpstreamAuth, basic: bool, post: bool| {
        stage.connection.settings.auth = Some(auth);
        stage.redeem().await.unwrap();
        let seen = stage.server.seen("/token").pop().unwrap();
        let form = stage.form();
        assert_eq!(seen.headers.contains_key("authorization"), basic, "{auth}");
        assert_eq!(value(&form, "client_secret").is_some(), post, "{auth}");
        assert_eq!(value(&form, "client_id").is_some(), post, "{auth}");
        assert_eq!(value(&form, "client_assertion"), None, "{auth}");
        seen.headers.get("authorization").cloned()
    };
    let header = check(UpstreamAuth::ClientSecretBasic, true, false).await.unwrap();
    // base64("countersign:s%26cret"): id and secret are form-encoded first (RFC 6749, section 2.3.1).
    assert_eq!(header, "Basic Y291bnRlcnNpZ246cyUyNmNyZXQ=");
    check(UpstreamAuth::ClientSecretPost, false, true).await;
}

#[tokio::test]
async fn a_client_assertion_is_the_only_proof_in_its_request() {
    let mut stage = Stage::new().await;
    let key =
        crate::crypto::keys::SigningKey::generate(crate::model::SigningAlg::RS256, "c1".to_owned()).unwrap();
    stage.credential = Credential::Key { key: Box::new(key), certificate: None };
    stage.connection.settings.auth = Some(UpstreamAuth::PrivateKeyJwt);
    stage.redeem().await.unwrap();
    let form = stage.form();
    let assertion = CompactJws::parse(value(&form, "client_assertion").unwrap(), 4_096).unwrap();
    assert_eq!(assertion.claims().unwrap()["aud"], Value::from(stage.server.origin()));
    assert_eq!(
        value(&form, "client_assertion_type"),
        Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
    );
    assert_eq!(value(&form, "client_secret"), None);
    assert!(!stage.server.seen("/token")[0].headers.contains_key("authorization"));
    stage.redeem().await.unwrap();
    let again = value(&stage.form(), "client_assertion").unwrap().to_owned();
    let jti = |token: &str| CompactJws::parse(token, 4_096).unwrap().claims().unwrap()["jti"].clone();
    assert_ne!(jti(&again), jti(value(&form, "client_assertion").unwrap()), "an assertion is used once");
}

#[tokio::test]
async fn while_a_secret_is_replaced_the_other_one_is_tried_and_only_for_that() {
    let mut stage = Stage::new().await;
    stage.connection.settings.auth = Some(UpstreamAuth::ClientSecretPost);
    stage.credential = Credential::Secrets { current: Secret::new("old"), next: Some(Secret::new("new")) };
    let error = |code: &str| Reply::Text(401, "application/json", json!({ "error": code }).to_string());
    stage.server.on("/token", error("invalid_client"));
    assert_eq!(stage.refused().await, "idp_invalid_client");
    let secrets = |stage: &Stage| -> Vec<String> {
        let seen = stage.server.seen("/token");
        let forms = seen
            .iter()
            .map(|seen| url::form_urlencoded::parse(seen.body.as_bytes()).into_owned().collect::<Vec<_>>());
        forms.map(|form| value(&form, "client_secret").unwrap().to_owned()).collect()
    };
    assert_eq!(secrets(&stage), ["old", "new"]);
    stage.server.on("/token", error("invalid_grant"));
    assert_eq!(stage.refused().await, "idp_invalid_grant");
    assert_eq!(secrets(&stage), ["old", "new", "old"]);
}

#[tokio::test]
async fn every_bad_answer_of_the_token_endpoint_is_refused_for_its_reason() {
    let stage = Stage::new().await;
    let token = stage.signer.sign(&stage.signer.header(), &stage.claims());
    let good = json!({ "access_token": "at", "token_type": "bearer", "id_token": token });
    let text = |status, media, body: &str| Reply::Text(status, media, body.to_owned());
    let mut mac = good.clone();
    mac["token_type"] = "mac".into();
    let mut number = good.clone();
    number["access_token"] = 7.into();
    let duplicate = good.to_string().replacen('{', r#"{"id_token":"x","#, 1);
    let json = "application/json";
    let cases = [
        (Reply::json(&json!({ "access_token": "at", "token_type": "Bearer" })), "token_answer_no_id_token"),
        (Reply::json(&json!({ "token_type": "Bearer", "id_token": token })), "token_answer_member"),
        (Reply::json(&number), "token_answer_member"),
        (Reply::json(&mac), "token_answer_token_type"),
        (text(200, "text/html", &good.to_string()), "token_answer_content_type"),
        (text(200, "application/jsonx", &good.to_string()), "token_answer_content_type"),
        (text(200, json, &duplicate), "token_answer_json"),
        (text(200, json, "[]"), "token_answer_json"),
        (text(200, json, ""), "token_answer_json"),
        (text(404, "text/html", "no"), "token_answer_status"),
        (text(400, json, "{}"), "token_answer_status"),
        (text(400, json, r#"{"error":"invalid_grant","error_description":"<b>"}"#), "idp_invalid_grant"),
        (text(400, json, r#"{"error":"own_error"}"#), "idp_other_error"),
        (text(302, json, "{}"), "outbound_redirect"),
        (text(200, json, &good.to_string()), "ok"),
    ];
    for (index, (reply, code)) in cases.into_iter().enumerate() {
        stage.server.on("/token", reply);
        let got = stage.redeem().await.map_or_else(|error| error.code(), |_| "ok");
        assert_eq!(got, code, "{index}");
    }
}

#[tokio::test]
async fn a_bad_id_token_signs_nobody_in_and_asks_no_userinfo() {
    let mut stage = Stage::new().await;
    stage.connection.settings.always_userinfo = true;
    let mut claims = stage.claims();
    claims["nonce"] = "attacker".into();
    stage.answer(&claims);
    assert_eq!(stage.refused().await, "id_token_nonce_mismatch");
    assert!(stage.server.seen("/userinfo").is_empty());
}

#[tokio::test]
async fn a_thin_token_is_filled_from_userinfo_about_the_same_person() {
    let stage = Stage::new().await;
    let mut claims = stage.claims();
    claims.as_object_mut().unwrap().remove("email");
    stage.answer(&claims);
    let identity = stage.redeem().await.unwrap();
    let email = identity.email.unwrap();
    assert!(!email.verified && email.source == ClaimSource::UserInfo);
    assert_eq!(stage.server.seen("/userinfo")[0].headers["authorization"], "Bearer at");
    stage.server.on("/userinfo", Reply::json(&json!({ "sub": "eve", "email": "bob@acme.test" })));
    assert_eq!(stage.refused().await, "userinfo_sub_mismatch");
}

#[tokio::test]
async fn keys_that_rotate_in_the_middle_of_a_sign_in_lose_nobody() {
    let mut stage = Stage::new().await;
    stage.redeem().await.unwrap();
    stage.signer = Signer::new(2, Some("k2"));
    stage.server.on("/jwks", Reply::json(&jwks(&[stage.signer.jwk()])));
    stage.answer(&stage.claims());
    stage.redeem().await.unwrap();
    assert_eq!(stage.server.seen("/jwks").len(), 2);
    stage.signer = Signer::new(1, Some("k1"));
    stage.answer(&stage.claims());
    assert_eq!(stage.refused().await, "signature_unknown_kid", "the removed key is dead");
    stage.signer = Signer::new(3, None);
    stage.server.on("/jwks", Reply::json(&jwks(&[stage.signer.jwk()])));
    stage.answer(&stage.claims());
    stage.clock.advance(60);
    assert!(stage.redeem().await.is_ok(), "a key without a name is found by a newer set");
}

#[tokio::test]
async fn a_changed_connection_is_another_provider_at_once() {
    let mut stage = Stage::new().await;
    stage.redeem().await.unwrap();
    let other = Stage::new().await;
    stage.connection.issuer = other.server.origin();
    // The other server's certificate is not trusted here, so a success could only come from a cache.
    assert_eq!(stage.refused().await, "outbound_tls_failed");
}

#[tokio::test]
async fn a_forgotten_connection_starts_afresh() {
    let stage = Stage::new().await;
    stage.redeem().await.unwrap();
    stage.server.on("/jwks", Reply::json(&jwks(&[])));
    stage.redeem().await.unwrap();
    stage.upstream.forget(ConnectionId::from_bytes([1; 16]));
    stage.redeem().await.unwrap();
    stage.notes.0.lock().unwrap().clear();
    stage.upstream.forget(stage.connection.id);
    assert_eq!(stage.refused().await, "signature_unknown_kid");
}

#[tokio::test]
async fn a_hanging_token_endpoint_is_cut_off_and_then_left_alone() {
    let stage = Stage::with(|settings| settings.egress.total_timeout = Duration::from_secs(1)).await;
    stage.upstream.check_response_iss(&stage.connection, Some(&stage.server.origin())).await.unwrap();
    stage.server.on("/token", Reply::Hang(Vec::new()));
    for _ in 0..5 {
        assert_eq!(stage.refused().await, "outbound_timeout");
    }
    assert_eq!(stage.refused().await, "idp_breaker_open");
    stage.answer(&stage.claims());
    stage.clock.advance(10);
    assert!(stage.redeem().await.is_ok());
}

#[tokio::test]
async fn a_logout_token_is_checked_with_the_connections_keys() {
    let stage = Stage::new().await;
    let mut header = stage.signer.header();
    header["typ"] = "logout+jwt".into();
    let claims = json!({
        "iss": stage.server.origin(), "aud": "countersign", "jti": "j", "sid": "s",
        "iat": now().unix_seconds(), "exp": now().unix_seconds() + 60,
        "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
    });
    let token = stage.signer.sign(&header, &claims);
    let target = stage.upstream.logout_token(&stage.connection, &token).await.unwrap();
    assert_eq!((target.sid.as_deref(), target.subject), (Some("s"), None));
    let forged = Signer::new(2, Some("k1")).sign(&header, &claims);
    let error = stage.upstream.logout_token(&stage.connection, &forged).await.unwrap_err();
    assert_eq!(error.code(), "signature_bad");
    assert_eq!(
        stage.upstream.logout_token(&stage.connection, "x").await.unwrap_err().code(),
        "token_not_three_parts"
    );
}

#[tokio::test]
async fn a_probe_says_what_stands_in_the_way() {
    let mut stage = Stage::new().await;
    let codes = |probe: &Probe| probe.findings.iter().map(|finding| finding.code).collect::<Vec<_>>();
    let well = stage.upstream.probe(&stage.connection).await;
    assert!(well.is_usable() && well.usable_keys == 1);
    assert_eq!(codes(&well), ["no_end_session"]);
    stage.connection.settings.id_token_alg = crate::model::SigningAlg::RS256;
    stage.connection.settings.auth = Some(UpstreamAuth::PrivateKeyJwt);
    let mut metadata = stage.metadata();
    metadata["id_token_signing_alg_values_supported"] = json!(["EdDSA"]);
    metadata["response_types_supported"] = json!(["id_token"]);
    metadata["scopes_supported"] = json!(["openid", "email"]);
    stage.server.on(METADATA, Reply::json(&metadata));
    let ill = stage.upstream.probe(&stage.connection).await;
    assert!(!ill.is_usable());
    assert_eq!(
        codes(&ill),
        [
            "keys_none_usable",
            "no_code_flow",
            "alg_not_offered",
            "auth_not_offered",
            "scope_not_offered",
            "no_end_session"
        ]
    );
    metadata["issuer"] = "https://evil.test".into();
    stage.server.on(METADATA, Reply::json(&metadata));
    assert_eq!(codes(&stage.upstream.probe(&stage.connection).await), ["metadata_issuer_mismatch"]);
}

#[test]
fn the_facade_can_be_awaited_on_any_thread() {
    fn sendable<T: Send>(_: &T) {}
    fn check(
        upstream: &Upstream,
        connection: &Connection,
        credential: &Credential,
        redemption: &Redemption<'_>,
    ) {
        sendable(&upstream.redeem(connection, credential, redemption));
        sendable(&upstream.logout_token(connection, ""));
        sendable(&upstream.probe(connection));
        upstream.forget(connection.id);
    }
    let _ = check;
}
