//! As many identity providers as a test wants, on one listener: each path is an issuer of its own. They vouch for
//! whomever the test says, at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use countersign::flows::sso::CallbackParameters;
use countersign::model::Clock;
use http::HeaderName;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use url::Url;

use crate::harness::app::TestApp;
use crate::harness::hostile::Signer;
use crate::harness::time::ManualClock;

/// The broker's client id at every provider.
pub const CLIENT: &str = "countersign";

/// A user, as an identity provider knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// `sub`.
    pub subject: String,
    /// `email`, and `email_verified`.
    pub email: Option<(String, bool)>,
    /// Further claims, or others in the place of the honest ones.
    pub claims: Value,
}

/// A user whose identity provider asserts no email.
pub fn person(subject: &str) -> Person {
    Person { subject: subject.to_owned(), email: None, claims: json!({}) }
}

impl Person {
    /// With an email that the provider says it has verified.
    pub fn proven(self, email: &str) -> Self {
        Self { email: Some((email.to_owned(), true)), ..self }
    }

    /// With an email that the provider has not verified.
    pub fn unproven(self, email: &str) -> Self {
        Self { email: Some((email.to_owned(), false)), ..self }
    }

    /// With this claim in place of the honest one; null removes the claim.
    pub fn claiming(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims[name] = value.into();
        self
    }
}

/// What a code is redeemed for.
struct Approved {
    nonce: String,
    person: Person,
}

#[derive(Default)]
struct Codes {
    given: usize,
    open: HashMap<String, Approved>,
}

/// The providers. Clones are the same ones.
#[derive(Clone)]
pub struct Providers {
    base: String,
    clock: Arc<ManualClock>,
    codes: Arc<Mutex<Codes>>,
}

impl Providers {
    /// Starts them.
    pub async fn start(app: &mut TestApp) -> Self {
        let codes = Arc::new(Mutex::new(Codes::default()));
        let providers = Self { base: String::new(), clock: app.clock.clone(), codes: Arc::clone(&codes) };
        // The address is known once the listener is bound; before that, it is not used.
        let base = Arc::new(Mutex::new(String::new()));
        let router = Router::new()
            .route("/{name}/.well-known/openid-configuration", get(metadata))
            .route("/{name}/keys", get(keys))
            .route("/{name}/token", post(token))
            .with_state((providers.clone(), Arc::clone(&base)));
        let url = app.serve(router).await;
        base.lock().unwrap().clone_from(&url);
        Self { base: url, ..providers }
    }

    /// The issuer of this name.
    pub fn issuer(&self, name: &str) -> String {
        format!("{}/{name}", self.base)
    }

    /// What the provider answers to an authorization request for this person.
    pub fn approve(&self, url: &str, person: &Person) -> CallbackParameters {
        let url = Url::parse(url).unwrap();
        let asked: HashMap<String, String> = url.query_pairs().into_owned().collect();
        let issuer = url.as_str().split("/authorize").next().unwrap().to_owned();
        let mut codes = self.codes.lock().unwrap();
        codes.given += 1;
        let code = format!("code-{}", codes.given);
        let approved = Approved { nonce: asked["nonce"].clone(), person: person.clone() };
        codes.open.insert(code.clone(), approved);
        CallbackParameters {
            state: Some(asked["state"].clone()),
            code: Some(code),
            iss: Some(issuer),
            ..CallbackParameters::default()
        }
    }
}

/// A JSON answer.
type Json = ([(HeaderName, &'static str); 1], String);

fn json_of(value: &Value) -> Json {
    ([(CONTENT_TYPE, "application/json")], value.to_string())
}

type Served = State<(Providers, Arc<Mutex<String>>)>;

async fn metadata(State((_, base)): Served, Path(name): Path<String>) -> Json {
    let issuer = format!("{}/{name}", base.lock().unwrap());
    json_of(&json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
        "response_types_supported": ["code"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
        "authorization_response_iss_parameter_supported": true,
    }))
}

async fn keys() -> Json {
    json_of(&json!({ "keys": [Signer::number(0).jwk("k1")] }))
}

async fn token(State((providers, base)): Served, Path(name): Path<String>, body: String) -> Json {
    let form: HashMap<String, String> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let approved = providers.codes.lock().unwrap().open.remove(&form["code"]);
    let Some(Approved { nonce, person }) = approved else {
        return json_of(&json!({ "error": "invalid_grant" }));
    };
    let now = providers.clock.now().unix_seconds();
    let mut claims = json!({
        "iss": format!("{}/{name}", base.lock().unwrap()),
        "sub": person.subject,
        "aud": CLIENT,
        "exp": now + 300,
        "iat": now,
        "auth_time": now,
        "nonce": nonce,
    });
    if let Some((email, verified)) = person.email {
        claims["email"] = email.into();
        claims["email_verified"] = verified.into();
    }
    for (name, value) in person.claims.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    let header = json!({ "alg": "RS256", "kid": "k1", "typ": "JWT" });
    json_of(&json!({
        "token_type": "Bearer",
        "access_token": "the-access-token",
        "expires_in": 300,
        "id_token": Signer::number(0).sign(&header.to_string(), &claims.to_string()),
    }))
}
