//! Helpers that the tests of this room share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::messages::discovery::Metadata;
use super::provider::{BoxFuture, Memory, Remembered};
use crate::model::{
    Clock, Connection, ConnectionId, ConnectionSettings, OrganizationId, SigningAlg, Timestamp, Vendor,
};
use crate::protocol::base64url;

/// The present time of the tests.
pub(super) fn now() -> Timestamp {
    Timestamp::from_unix_seconds(1_800_000_000)
}

/// A connection to `issuer` with default settings, except that a [`Signer`] signs its ID tokens.
pub(super) fn connection(issuer: &str) -> Connection {
    Connection {
        id: ConnectionId::from_bytes([7; 16]),
        organization: OrganizationId::from_bytes([8; 16]),
        handle: "acme-idp".parse().unwrap(),
        name: "Acme SSO".to_owned(),
        enabled: true,
        issuer: issuer.to_owned(),
        client_id: "countersign".to_owned(),
        settings: ConnectionSettings {
            id_token_alg: SigningAlg::EdDSA,
            ..ConnectionSettings::for_vendor(Vendor::Generic)
        },
        created_at: now(),
    }
}

/// The metadata of an identity provider with every endpoint.
pub(super) fn metadata(issuer: &str) -> Metadata {
    let document = serde_json::json!({
        "issuer": issuer,
        "authorization_endpoint": "https://idp.test/authorize",
        "token_endpoint": "https://idp.test/token",
        "jwks_uri": "https://idp.test/jwks",
        "userinfo_endpoint": "https://idp.test/userinfo",
        "end_session_endpoint": "https://idp.test/logout",
    });
    Metadata::parse(document.to_string().as_bytes(), issuer).unwrap()
}

/// A clock that stands still until a test moves it.
pub(super) struct Hands(Mutex<Timestamp>);

impl Hands {
    pub fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(now())))
    }

    pub fn advance(&self, seconds: u64) {
        let mut time = self.0.lock().unwrap();
        *time = time.after(Duration::from_secs(seconds));
    }
}

impl Hands {
    pub fn set_back(&self, seconds: u64) {
        let mut time = self.0.lock().unwrap();
        *time = time.before(Duration::from_secs(seconds));
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// A memory that outlives an [`Upstream`](super::Upstream).
#[derive(Default)]
pub(super) struct Notes(pub Mutex<HashMap<ConnectionId, Remembered>>);

impl Memory for Notes {
    fn load(&self, connection: ConnectionId) -> BoxFuture<'_, Option<Remembered>> {
        Box::pin(async move { self.0.lock().unwrap().get(&connection).cloned() })
    }

    fn save(&self, connection: ConnectionId, remembered: Remembered) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.0.lock().unwrap().insert(connection, remembered);
        })
    }
}

/// The scripted server's reaction to a request.
#[derive(Clone)]
pub(super) enum Reply {
    /// A whole response with this status, media type and body.
    Text(u16, &'static str, String),
    /// These bytes, then the end of the connection.
    Raw(Vec<u8>),
    /// These bytes, then nothing more, with the connection left open.
    Hang(Vec<u8>),
    /// These bytes, then a chunk of a megabyte again and again.
    Endless(Vec<u8>),
}

impl Reply {
    pub fn json(value: &Value) -> Self {
        Self::Text(200, "application/json", value.to_string())
    }
}

/// A request as the scripted server saw it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub path: String,
    pub headers: HashMap<String, String>,
    pub body: String,
}

#[derive(Default)]
struct Script {
    replies: HashMap<String, Reply>,
    seen: Vec<Seen>,
    connections: usize,
}

/// A TLS server on loopback that sends exactly the scripted bytes.
#[derive(Clone)]
pub(super) struct Server {
    pub port: u16,
    pub ca: Vec<u8>,
    script: Arc<Mutex<Script>>,
}

impl Server {
    pub async fn start() -> Self {
        let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = Arc::new(Mutex::new(Script::default()));
        let server = Self { port, ca: certified.cert.pem().into_bytes(), script };
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                serving.script.lock().unwrap().connections += 1;
                let (server, acceptor) = (serving.clone(), acceptor.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(socket).await {
                        server.serve(stream).await;
                    }
                });
            }
        });
        server
    }

    pub fn origin(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    pub fn on(&self, path: &str, reply: Reply) {
        self.script.lock().unwrap().replies.insert(path.to_owned(), reply);
    }

    /// The requests to `path`.
    pub fn seen(&self, path: &str) -> Vec<Seen> {
        self.script.lock().unwrap().seen.iter().filter(|seen| seen.path == path).cloned().collect()
    }

    /// How many connections were opened.
    pub fn connections(&self) -> usize {
        self.script.lock().unwrap().connections
    }

    async fn serve(&self, mut stream: TlsStream<TcpStream>) {
        let Some(seen) = read_request(&mut stream).await else { return };
        let reply = {
            let mut script = self.script.lock().unwrap();
            let reply = script.replies.get(&seen.path).cloned();
            script.seen.push(seen);
            reply.unwrap_or(Reply::Text(404, "text/plain", String::new()))
        };
        let _ = match reply {
            Reply::Text(status, media, body) => {
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-type: {media}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                stream.write_all(format!("{head}{body}").as_bytes()).await
            }
            Reply::Raw(bytes) => stream.write_all(&bytes).await,
            Reply::Hang(bytes) => {
                let _ = stream.write_all(&bytes).await;
                stream.flush().await.unwrap();
                std::future::pending().await
            }
            Reply::Endless(bytes) => {
                let _ = stream.write_all(&bytes).await;
                let chunk = format!("100000\r\n{}\r\n", "x".repeat(0x0010_0000));
                while stream.write_all(chunk.as_bytes()).await.is_ok() {}
                Ok(())
            }
        };
        let _ = stream.shutdown().await;
    }
}

async fn read_request(stream: &mut TlsStream<TcpStream>) -> Option<Seen> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        let mut buffer = [0; 4_096];
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&buffer[..read]);
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let path = lines.next()?.split(' ').nth(1)?.split('?').next()?.to_owned();
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        let mut buffer = [0; 4_096];
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        body.extend_from_slice(&buffer[..read]);
    }
    Some(Seen { path, headers, body: String::from_utf8_lossy(&body).into_owned() })
}

/// Signs tokens with any header, as no honest signer would. It uses Ed25519, so that a seed is enough.
pub(super) struct Signer {
    pair: Ed25519KeyPair,
    kid: Option<String>,
}

impl Signer {
    pub fn new(seed: u8, kid: Option<&str>) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        Self { pair, kid: kid.map(str::to_owned) }
    }

    /// The key, as in a published set.
    pub fn jwk(&self) -> Value {
        let x = base64url::encode(self.pair.public_key().as_ref());
        let mut jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "use": "sig" });
        if let Some(kid) = &self.kid {
            jwk["kid"] = kid.as_str().into();
        }
        jwk
    }

    pub fn header(&self) -> Value {
        let mut header = json!({ "alg": "EdDSA", "typ": "JWT" });
        if let Some(kid) = &self.kid {
            header["kid"] = kid.as_str().into();
        }
        header
    }

    pub fn sign_text(&self, header: &str, claims: &str) -> String {
        let input = format!("{}.{}", base64url::encode(header), base64url::encode(claims));
        format!("{input}.{}", base64url::encode(self.pair.sign(input.as_bytes())))
    }

    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }
}

/// A published set of these keys.
pub(super) fn jwks(keys: &[Value]) -> Value {
    json!({ "keys": keys })
}
