//! The identity provider of the bench. It approves at once and stores nothing.
//!
//! The browser's visit is not made over the network, since it costs the broker nothing: [`Idp::approve`] reads the
//! request that the browser was sent with and gives the callback. A code holds what its ID token must say. Below
//! `/hang` lives a second provider, whose token endpoint never answers.

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use countersign::crypto::keys::SigningKey;
use countersign::model::{Clock as _, SigningAlg, SystemClock};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::agent::parameter;

/// The broker's client id at the provider.
pub const CLIENT_ID: &str = "countersign";

/// The broker's secret at the provider.
pub const CLIENT_SECRET: &str = "idp-secret-0123456789";

/// The path of the issuer that hangs.
pub const HANG: &str = "/hang";

/// The provider.
pub struct Idp {
    issuer: String,
    key: SigningKey,
    ends_sessions: bool,
}

impl Idp {
    /// Starts it on a free port of loopback. One that ends sessions has an end-session endpoint, and names its session in
    /// each ID token.
    pub async fn start(tls: Arc<ServerConfig>, ends_sessions: bool) -> Result<Rc<Self>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let issuer = format!("https://localhost:{}", listener.local_addr()?.port());
        let key = SigningKey::generate(SigningAlg::RS256, "idp-1".to_owned())?;
        let idp = Rc::new(Self { issuer, key, ends_sessions });
        let (serving, acceptor) = (Rc::clone(&idp), TlsAcceptor::from(tls));
        tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (idp, acceptor) = (Rc::clone(&serving), acceptor.clone());
                tokio::task::spawn_local(async move {
                    // Nagle's algorithm would only delay answers.
                    let _ = stream.set_nodelay(true);
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(move |request| answer(Rc::clone(&idp), request));
                    // The broker closes its connections when it ends.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(idp)
    }

    /// The issuer that approves.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// What a browser brings back that was sent to `address` and signed in as `subject`: the callback's address.
    pub fn approve(&self, address: &str, subject: &str) -> Result<String> {
        ensure!(address.starts_with(&self.issuer), "{address} is not the provider's");
        let get = |name| parameter(address, name).with_context(|| format!("{name} is missing in {address}"));
        ensure!(
            get("client_id")? == CLIENT_ID && get("response_type")? == "code",
            "not our request: {address}"
        );
        ensure!(get("code_challenge_method")? == "S256", "no PKCE: {address}");
        let (callback, state, nonce) = (get("redirect_uri")?, get("state")?, get("nonce")?);
        let code = format!("{subject}.{nonce}");
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("code", code.as_str()), ("state", &state)])
            .finish();
        Ok(format!("{callback}?{query}"))
    }

    fn metadata(&self, path: &str) -> Value {
        let issuer = format!("{}{path}", self.issuer);
        let mut metadata = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "userinfo_endpoint": format!("{issuer}/userinfo"),
            "jwks_uri": format!("{issuer}/jwks"),
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "none"],
            "response_types_supported": ["code"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
        });
        if let Some(members) = metadata.as_object_mut().filter(|_| self.ends_sessions) {
            members.insert("end_session_endpoint".to_owned(), format!("{issuer}/logout").into());
        }
        metadata
    }

    fn tokens(&self, form: &[u8]) -> Option<Value> {
        let get = |name: &str| {
            let mut pairs = url::form_urlencoded::parse(form);
            pairs.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
        };
        let code = get("code")?;
        (get("code_verifier")?.len() >= 43).then_some(())?;
        let (subject, nonce) = code.split_once('.')?;
        let now = SystemClock.now().unix_seconds();
        let mut claims = person(subject);
        for (name, value) in [
            ("iss", Value::from(self.issuer.as_str())),
            ("aud", CLIENT_ID.into()),
            ("iat", now.into()),
            ("exp", (now + 300).into()),
            ("nonce", nonce.into()),
        ] {
            claims.as_object_mut()?.insert(name.to_owned(), value);
        }
        if self.ends_sessions {
            claims.as_object_mut()?.insert("sid".to_owned(), format!("session-of-{nonce}").into());
        }
        let id_token = self.key.sign_jwt("JWT", None, &claims).ok()?;
        Some(
            json!({ "access_token": subject, "token_type": "Bearer", "expires_in": 300, "id_token": id_token }),
        )
    }
}

fn person(subject: &str) -> Value {
    json!({
        "sub": subject,
        "email": format!("{subject}@elsewhere.test"),
        "email_verified": true,
        "name": "Some Body",
        "given_name": "Some",
        "family_name": "Body",
    })
}

async fn answer(idp: Rc<Idp>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let path = parts.uri.path();
    let (base, path) = path.strip_prefix(HANG).map_or(("", path), |rest| (HANG, rest));
    let found = match path {
        "/.well-known/openid-configuration" => Some(idp.metadata(base)),
        "/jwks" => Some(json!({ "keys": [idp.key.public_jwk()] })),
        "/token" if base == HANG => std::future::pending().await,
        "/token" => idp.tokens(&body),
        "/userinfo" => {
            let token = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
            token.and_then(|token| token.strip_prefix("Bearer ")).map(person)
        }
        _ => None,
    };
    let status = if found.is_some() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    let text = found.unwrap_or_else(|| json!({ "error": "invalid_request" })).to_string();
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}
