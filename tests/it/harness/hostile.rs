//! A hostile identity provider: every byte, header, delay and close of its answers is the test's.
//!
//! It speaks HTTP/1.1 over TLS by hand, one request a connection, and records each. Left alone it is an honest provider
//! that approves at once. A [`Change`] turns the [`Forgery`] that every answer is made of; a [`Reply`] takes the place
//! of a whole answer, byte by byte.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use countersign::crypto::keys::SigningKey;
use countersign::model::{Clock, SigningAlg};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::pki::Authority;
use super::time::ManualClock;

/// The broker's client id here.
pub const CLIENT: &str = "countersign-m";
/// The broker's secret here.
pub const SECRET: &str = "m-secret-0123456789";

/// One thing that happens on the wire.
#[derive(Clone)]
pub enum Step {
    /// These bytes.
    Send(Vec<u8>),
    /// Nothing for so long.
    Pause(Duration),
    /// These bytes again and again, until the other side has had enough.
    Endless(Vec<u8>),
    /// Nothing more, with the connection left open.
    Hang,
    /// The end, without a goodbye on the TLS layer.
    Cut,
}

/// What happens on the wire instead of an answer; after the last step the connection is closed in order.
#[derive(Clone)]
pub struct Reply(pub Vec<Step>);

impl Reply {
    /// An answer with this status, these headers and this body, and the length that it has.
    pub fn of(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let length = body.len().to_string();
        let headers = [headers, &[("content-length", &length)]].concat();
        Self(vec![Step::Send(head(status, &headers)), Step::Send(body.to_vec())])
    }

    /// JSON text, whether it is JSON or not.
    pub fn json(status: u16, body: impl AsRef<[u8]>) -> Self {
        Self::of(status, &[("content-type", "application/json")], body)
    }

    /// These bytes, then the end.
    pub fn raw(bytes: impl AsRef<[u8]>) -> Self {
        Self(vec![Step::Send(bytes.as_ref().to_vec()), Step::Cut])
    }

    /// These bytes, then silence.
    pub fn hang(bytes: impl AsRef<[u8]>) -> Self {
        Self(vec![Step::Send(bytes.as_ref().to_vec()), Step::Hang])
    }
}

/// The head of an answer, without a length.
pub fn head(status: u16, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// A request as it was received.
#[derive(Debug, Clone)]
pub struct Seen {
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub headers: BTreeMap<String, String>,
    pub form: BTreeMap<String, String>,
}

/// An RSA key that signs anything, as no honest signer would.
pub struct Signer {
    pair: RsaKeyPair,
    public: Value,
}

/// Keys take their time, so all tests share three.
static SIGNERS: LazyLock<[Signer; 3]> = LazyLock::new(|| [Signer::new(), Signer::new(), Signer::new()]);

impl Signer {
    fn new() -> Self {
        let key = SigningKey::generate(SigningAlg::RS256, "k1".to_owned()).unwrap();
        let pair = RsaKeyPair::from_pkcs8(&key.to_pkcs8().unwrap()).unwrap();
        Self { pair, public: serde_json::to_value(key.public_jwk()).unwrap() }
    }

    /// One of the shared keys. A provider signs with the first unless it is told otherwise.
    pub fn number(number: usize) -> &'static Self {
        &SIGNERS[number]
    }

    /// The key as a set publishes it, under this name.
    pub fn jwk(&self, kid: &str) -> Value {
        let mut jwk = self.public.clone();
        jwk["kid"] = kid.into();
        jwk
    }

    /// The public key as PEM.
    pub fn pem(&self) -> String {
        let der = AsDer::<PublicKeyX509Der<'_>>::as_der(self.pair.public_key()).unwrap();
        let text = STANDARD.encode(der.as_ref());
        let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    /// A compact token of any texts.
    pub fn sign(&self, header: &str, claims: &str) -> String {
        let input = signing_input(header, claims);
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input.as_bytes(), &mut signature).unwrap();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// A compact token whose signature is an HMAC under this secret.
pub fn sign_hmac(secret: &[u8], header: &str, claims: &str) -> String {
    let input = signing_input(header, claims);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input.as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag))
}

fn signing_input(header: &str, claims: &str) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
}

/// Makes a token of the texts of its header and claims.
pub type Sign = Arc<dyn Fn(&str, &str) -> String + Send + Sync>;

/// Builds a response from the text that an honest one would have.
pub type Answer = Arc<dyn Fn(String) -> Reply + Send + Sync>;

/// What an answer is made of; honest until a [`Change`] has been at it. Every answer makes its own.
pub struct Forgery {
    /// This provider's issuer.
    pub issuer: String,
    /// The time, in seconds.
    pub now: i64,
    /// The metadata.
    pub metadata: Value,
    /// The published keys.
    pub keys: Vec<Value>,
    /// The parameters of the authorization response.
    pub callback: Vec<(String, String)>,
    /// Header and claims of the ID token.
    pub header: Value,
    pub claims: Value,
    /// What is done to their text before it is signed.
    pub header_text: Option<fn(String) -> String>,
    pub claims_text: Option<fn(String) -> String>,
    /// The key that signs.
    pub signer: &'static Signer,
    /// A signature of another kind.
    pub sign: Option<Sign>,
    /// What is done to the token.
    pub token_text: Option<fn(String) -> String>,
    /// What is done to the token answer.
    pub answer: Option<fn(&mut Value)>,
    /// What is sent instead of the token answer, given its text.
    pub token_reply: Option<Answer>,
    /// The userinfo answer.
    pub userinfo: Value,
    /// What is sent instead of the userinfo answer, given its text.
    pub userinfo_reply: Option<Answer>,
    /// What is sent instead of the metadata.
    pub metadata_reply: Option<Reply>,
    /// What is sent instead of the keys.
    pub keys_reply: Option<Reply>,
}

impl Forgery {
    fn honest(issuer: &str, now: i64, grant: &Grant) -> Self {
        Self {
            issuer: issuer.to_owned(),
            now,
            metadata: json!({
                "issuer": issuer,
                "authorization_endpoint": format!("{issuer}/authorize"),
                "token_endpoint": format!("{issuer}/token"),
                "jwks_uri": format!("{issuer}/keys"),
                "userinfo_endpoint": format!("{issuer}/userinfo"),
                "response_types_supported": ["code"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "token_endpoint_auth_methods_supported":
                    ["client_secret_post", "client_secret_basic", "private_key_jwt"],
                "authorization_response_iss_parameter_supported": true,
            }),
            keys: vec![Signer::number(0).jwk("k1")],
            callback: vec![
                ("code".to_owned(), grant.code.clone()),
                ("state".to_owned(), grant.state.clone()),
                ("iss".to_owned(), issuer.to_owned()),
            ],
            header: json!({ "alg": "RS256", "kid": "k1", "typ": "JWT" }),
            claims: json!({
                "iss": issuer,
                "sub": "mallory",
                "aud": CLIENT,
                "exp": now + 300,
                "iat": now,
                "nonce": grant.nonce,
                "email": "mallory@beta.test",
                "email_verified": true,
                "name": "Mallory",
            }),
            header_text: None,
            claims_text: None,
            signer: Signer::number(0),
            sign: None,
            token_text: None,
            answer: None,
            token_reply: None,
            userinfo: json!({
                "sub": "mallory",
                "email": "mallory@beta.test",
                "email_verified": true,
                "name": "Mallory",
            }),
            userinfo_reply: None,
            metadata_reply: None,
            keys_reply: None,
        }
    }

    /// Leaves a claim out.
    pub fn without(&mut self, claim: &str) {
        self.claims.as_object_mut().unwrap().remove(claim);
    }

    /// Has the broker ask userinfo, which has what the ID token then lacks.
    pub fn thin(&mut self) {
        self.without("email");
    }

    fn token(&self) -> String {
        let change = |text: String, change: Option<fn(String) -> String>| match change {
            Some(change) => change(text),
            None => text,
        };
        let header = change(self.header.to_string(), self.header_text);
        let claims = change(self.claims.to_string(), self.claims_text);
        let token = match &self.sign {
            Some(sign) => sign(&header, &claims),
            None => self.signer.sign(&header, &claims),
        };
        change(token, self.token_text)
    }

    fn token_answer(&self) -> Reply {
        let mut answer = json!({
            "token_type": "Bearer",
            "access_token": "the-access-token",
            "expires_in": 300,
            "id_token": self.token(),
        });
        if let Some(change) = self.answer {
            change(&mut answer);
        }
        let text = answer.to_string();
        match &self.token_reply {
            Some(reply) => reply(text),
            None => Reply::json(200, text),
        }
    }

    fn userinfo_answer(&self) -> Reply {
        let text = self.userinfo.to_string();
        match &self.userinfo_reply {
            Some(reply) => reply(text),
            None => Reply::json(200, text),
        }
    }

    fn metadata_answer(&self) -> Reply {
        let honest = || Reply::json(200, self.metadata.to_string());
        self.metadata_reply.clone().unwrap_or_else(honest)
    }

    fn keys_answer(&self) -> Reply {
        let honest = || Reply::json(200, json!({ "keys": self.keys }).to_string());
        self.keys_reply.clone().unwrap_or_else(honest)
    }
}

/// What a test makes of the honest answers.
pub type Change = Arc<dyn Fn(&mut Forgery) + Send + Sync>;

/// What an authorization request asked for, by the code that answered it.
#[derive(Debug, Clone, Default)]
struct Grant {
    code: String,
    state: String,
    nonce: String,
}

#[derive(Default)]
struct Script {
    change: Option<Change>,
    grants: HashMap<String, Grant>,
    seen: Vec<Seen>,
    connections: usize,
    codes: usize,
}

/// The provider. Clones are the same one.
#[derive(Clone)]
pub struct Hostile {
    pub issuer: String,
    pub port: u16,
    clock: Arc<ManualClock>,
    script: Arc<Mutex<Script>>,
}

impl Hostile {
    /// Starts one on `https://localhost:PORT`, with a certificate by `authority`.
    pub async fn start(authority: &Authority, clock: &Arc<ManualClock>) -> Self {
        let acceptor = TlsAcceptor::from(authority.server_config("localhost"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let issuer = format!("https://localhost:{port}");
        let script = Arc::new(Mutex::new(Script::default()));
        let hostile = Self { issuer, port, clock: Arc::clone(clock), script };
        let serving = hostile.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                serving.script.lock().unwrap().connections += 1;
                let (hostile, acceptor) = (serving.clone(), acceptor.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(socket).await {
                        hostile.serve(stream).await;
                    }
                });
            }
        });
        hostile
    }

    /// From here on every answer goes through `change`.
    pub fn forge(&self, change: impl Fn(&mut Forgery) + Send + Sync + 'static) {
        self.script.lock().unwrap().change = Some(Arc::new(change));
    }

    /// Honest again.
    pub fn behave(&self) {
        self.script.lock().unwrap().change = None;
    }

    /// The requests to `path` so far.
    pub fn seen(&self, path: &str) -> Vec<Seen> {
        self.script.lock().unwrap().seen.iter().filter(|seen| seen.path == path).cloned().collect()
    }

    /// How many connections were opened to it, whether a request came or not.
    pub fn connections(&self) -> usize {
        self.script.lock().unwrap().connections
    }

    /// The response that an unknown client would get now.
    pub fn forgery(&self) -> Forgery {
        self.made_for(&Grant::default())
    }

    fn made_for(&self, grant: &Grant) -> Forgery {
        let mut forgery = Forgery::honest(&self.issuer, self.clock.now().unix_seconds(), grant);
        let change = self.script.lock().unwrap().change.clone();
        if let Some(change) = change {
            change(&mut forgery);
        }
        forgery
    }

    fn answer(&self, seen: &Seen) -> Reply {
        match seen.path.as_str() {
            "/.well-known/openid-configuration" => self.forgery().metadata_answer(),
            "/keys" => self.forgery().keys_answer(),
            "/authorize" => self.approve(seen),
            "/token" => {
                let code = seen.form.get("code").cloned().unwrap_or_default();
                let grant = self.script.lock().unwrap().grants.get(&code).cloned();
                self.made_for(&grant.unwrap_or_default()).token_answer()
            }
            "/userinfo" => self.forgery().userinfo_answer(),
            _ => Reply::of(404, &[], ""),
        }
    }

    /// Sends the browser back with a code at once.
    fn approve(&self, seen: &Seen) -> Reply {
        let asked = |name: &str| seen.query.get(name).cloned().unwrap_or_default();
        let grant = {
            let mut script = self.script.lock().unwrap();
            script.codes += 1;
            let grant = Grant {
                code: format!("code-{}-{}", self.port, script.codes),
                state: asked("state"),
                nonce: asked("nonce"),
            };
            script.grants.insert(grant.code.clone(), grant.clone());
            grant
        };
        let callback = self.made_for(&grant).callback;
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(callback).finish();
        Reply::of(302, &[("location", &format!("{}?{query}", asked("redirect_uri")))], "")
    }

    async fn serve(&self, mut stream: TlsStream<TcpStream>) {
        let Some(seen) = read_request(&mut stream).await else { return };
        let reply = self.answer(&seen);
        self.script.lock().unwrap().seen.push(seen);
        for step in reply.0 {
            let sent = match step {
                Step::Send(bytes) => stream.write_all(&bytes).await,
                Step::Pause(span) => {
                    tokio::time::sleep(span).await;
                    Ok(())
                }
                Step::Endless(bytes) => {
                    while stream.write_all(&bytes).await.is_ok() {}
                    return;
                }
                Step::Hang => {
                    let _ = stream.flush().await;
                    // The other side's end is what ends it.
                    let _ = stream.read(&mut [0; 1]).await;
                    return;
                }
                Step::Cut => {
                    let _ = stream.flush().await;
                    return;
                }
            };
            if sent.is_err() {
                return;
            }
        }
        let _ = stream.shutdown().await;
    }
}

async fn read_request(stream: &mut TlsStream<TcpStream>) -> Option<Seen> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        read_some(stream, &mut bytes).await?;
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let target = first.nth(1)?.to_owned();
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        read_some(stream, &mut body).await?;
    }
    let pairs = |text: &[u8]| url::form_urlencoded::parse(text).into_owned().collect();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let path = path.to_owned();
    Some(Seen { path, query: pairs(query.as_bytes()), headers, form: pairs(&body) })
}

async fn read_some(stream: &mut TlsStream<TcpStream>, bytes: &mut Vec<u8>) -> Option<()> {
    let mut buffer = [0; 4_096];
    let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
    bytes.extend_from_slice(&buffer[..read]);
    Some(())
}
