//! A relying app, as plain as one can be: sends browsers to the broker, redeems codes, reads tokens.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use serde_json::Value;
use url::form_urlencoded::Serializer;

use super::app::ISSUER;
use super::browser::{BoxError, Network, Page};

/// The PKCE verifier of RFC 7636, appendix B, and its challenge.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A relying app.
#[derive(Clone)]
pub struct RelyingApp {
    pub client_id: String,
    pub client_secret: Option<String>,
    pub redirect_uri: String,
    pub network: Network,
}

impl RelyingApp {
    pub fn new(network: &Network, client_id: &str, client_secret: Option<&str>, redirect_uri: &str) -> Self {
        Self {
            client_id: client_id.to_owned(),
            client_secret: client_secret.map(str::to_owned),
            redirect_uri: redirect_uri.to_owned(),
            network: network.clone(),
        }
    }

    /// Where it sends a browser; `more` adds parameters or, with the same name, replaces them.
    pub fn authorize_url(&self, more: &[(&str, &str)]) -> String {
        let mut parameters = vec![
            ("response_type", "code"),
            ("client_id", &self.client_id),
            ("redirect_uri", &self.redirect_uri),
            ("scope", "openid profile email"),
            ("state", "the-state"),
            ("nonce", "the-nonce"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        parameters.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
        parameters.extend(more.iter().copied().filter(|(_, value)| !value.is_empty()));
        format!("{ISSUER}/oauth2/authorize?{}", query(&parameters))
    }

    /// The code in a redirect to the app, after the other parameters were checked.
    #[track_caller]
    pub fn code(&self, page: &Page) -> String {
        let location = page.location().unwrap_or_else(|| panic!("no redirect: {} {}", page.url, page.body));
        assert!(location.as_str().starts_with(&self.redirect_uri), "{location}");
        assert_eq!(page.location_parameter("state").as_deref(), Some("the-state"), "{location}");
        assert_eq!(page.location_parameter("iss").as_deref(), Some(ISSUER), "{location}");
        page.location_parameter("code").unwrap_or_else(|| panic!("no code: {location}"))
    }

    /// Asks the token endpoint; the secret goes by HTTP Basic.
    pub async fn token(&self, form: &[(&str, &str)]) -> (StatusCode, Value) {
        self.post("/oauth2/token", form).await
    }

    /// Redeems a code.
    pub async fn redeem(&self, code: &str) -> (StatusCode, Value) {
        self.try_redeem(code).await.unwrap_or_else(|error| panic!("redeeming a code: {error}"))
    }

    /// [`redeem`](Self::redeem), where the broker may be gone.
    pub async fn try_redeem(&self, code: &str) -> Result<(StatusCode, Value), BoxError> {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", VERIFIER),
        ];
        self.try_post("/oauth2/token", &form).await
    }

    /// Exchanges a refresh token, where the broker may be gone.
    pub async fn try_refresh(&self, token: &str) -> Result<(StatusCode, Value), BoxError> {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        self.try_post("/oauth2/token", &form).await
    }

    /// Posts a form to the broker, authenticated as this app.
    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> (StatusCode, Value) {
        self.try_post(path, form).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// [`post`](Self::post), where the broker may be gone.
    pub async fn try_post(&self, path: &str, form: &[(&str, &str)]) -> Result<(StatusCode, Value), BoxError> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("{ISSUER}{path}"))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let mut form = form.to_vec();
        if let Some(secret) = &self.client_secret {
            let basic = STANDARD.encode(format!("{}:{secret}", self.client_id));
            request = request.header(header::AUTHORIZATION, format!("Basic {basic}"));
        } else {
            form.push(("client_id", &self.client_id));
        }
        let request = request.body(Full::new(Bytes::from(query(&form)))).unwrap();
        Ok(answer(&self.network.try_send(request).await?))
    }

    /// Asks userinfo.
    pub async fn userinfo(&self, access_token: &str) -> (StatusCode, Value) {
        let request = Request::builder()
            .uri(format!("{ISSUER}/oauth2/userinfo"))
            .header(header::AUTHORIZATION, format!("Bearer {access_token}"))
            .body(Full::default())
            .unwrap();
        answer(&self.network.send(request).await)
    }
}

fn query(pairs: &[(&str, &str)]) -> String {
    Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn answer(response: &http::Response<Bytes>) -> (StatusCode, Value) {
    let value = serde_json::from_slice(response.body()).unwrap_or(Value::Null);
    (response.status(), value)
}

/// The claims of a token, unverified.
pub fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// The header of a token, unverified.
pub fn token_header(token: &str) -> Value {
    let header = token.split('.').next().unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap()
}
