//! A client: one address, one connection, one jar of cookies. It is as cheap as possible, because it shares the machine
//! with the broker that it measures: HTTP/1.1 by hyper on rustls, without following redirects or parsing HTML.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, LOCATION, ORIGIN, RETRY_AFTER, SET_COOKIE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The broker's host; the certificate names it.
pub const HOST_NAME: &str = "id.test";

/// The broker's issuer.
pub const ISSUER: &str = "https://id.test";

/// Addresses that clients come from: 127.0.0.2 to 127.0.0.250.
const ADDRESSES: usize = 249;

/// Where and how clients connect.
#[derive(Clone)]
pub struct Target {
    /// The broker.
    pub address: SocketAddr,
    /// Trusts the authority of this run; resumes no session.
    pub tls: Arc<ClientConfig>,
}

/// An answer, read whole.
pub struct Answer {
    pub status: StatusCode,
    pub location: Option<String>,
    /// How long the client must wait before it comes again, in seconds.
    pub retry_after: Option<u64>,
    pub body: Bytes,
}

impl Answer {
    /// The address that a redirect leads to.
    pub fn redirect(&self) -> Result<&str> {
        ensure!(
            self.status.is_redirection(),
            "status {} where a redirect was due: {}",
            self.status,
            self.text()
        );
        self.location.as_deref().context("a redirect without an address")
    }

    /// The start of the body, for errors.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(300).collect()
    }
}

/// How an app or a page sends a form.
pub enum Form<'a> {
    /// An app, with HTTP Basic.
    App { id: &'a str, secret: &'a str, body: String },
    /// A page of the broker's.
    Page { body: String },
}

/// A client.
pub struct Agent {
    target: Target,
    number: usize,
    /// An address to use instead of the numbered one.
    from: Option<Ipv4Addr>,
    connections: usize,
    connection: Option<SendRequest<Full<Bytes>>>,
    cookies: Vec<(String, String)>,
}

impl Agent {
    /// The client with this number.
    pub const fn new(target: Target, number: usize) -> Self {
        Self { target, number, from: None, connections: 0, connection: None, cookies: Vec::new() }
    }

    /// A client at an address that no numbered client has.
    pub fn at(target: Target, address: Ipv4Addr) -> Self {
        Self { from: Some(address), ..Self::new(target, 0) }
    }

    /// Forgets the cookies, like a browser that was never used.
    pub fn forget_cookies(&mut self) {
        self.cookies.clear();
    }

    /// Ends the connection; the next request opens another one.
    pub fn disconnect(&mut self) {
        self.connection = None;
    }

    /// Its next address. A client that keeps its connection keeps its address; one that opens a new connection moves
    /// on.
    fn address(&mut self) -> Ipv4Addr {
        if let Some(address) = self.from {
            return address;
        }
        let at = (self.number + self.connections) % ADDRESSES;
        self.connections += 1;
        Ipv4Addr::new(127, 0, 0, u8::try_from(at + 2).unwrap_or(2))
    }

    /// A new connection, after its TLS handshake.
    pub async fn handshake(&mut self) -> Result<TlsStream<TcpStream>> {
        let tls = Arc::clone(&self.target.tls);
        self.handshake_by(tls).await
    }

    /// The same, to speak HTTP/2.
    pub async fn handshake_h2(&mut self) -> Result<TlsStream<TcpStream>> {
        let mut tls = (*self.target.tls).clone();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        self.handshake_by(Arc::new(tls)).await
    }

    async fn handshake_by(&mut self, tls: Arc<ClientConfig>) -> Result<TlsStream<TcpStream>> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((self.address(), 0)))?;
        let stream = socket.connect(self.target.address).await.context("no TCP connection")?;
        stream.set_nodelay(true)?;
        let connector = TlsConnector::from(tls);
        let name = ServerName::try_from(HOST_NAME)?;
        connector.connect(name, stream).await.context("no TLS connection")
    }

    async fn connected(&mut self) -> Result<&mut SendRequest<Full<Bytes>>> {
        if self.connection.as_ref().is_none_or(SendRequest::is_closed) {
            let stream = self.handshake().await?;
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            tokio::task::spawn_local(async move {
                // The next request notices its end.
                let _ = connection.await;
            });
            self.connection = Some(sender);
        }
        self.connection.as_mut().context("no connection")
    }

    /// Asks for a page.
    pub async fn get(&mut self, path: &str) -> Result<Answer> {
        self.send(Method::GET, path, None).await
    }

    /// Sends a form.
    pub async fn post(&mut self, path: &str, form: Form<'_>) -> Result<Answer> {
        self.send(Method::POST, path, Some(form)).await
    }

    async fn send(&mut self, method: Method, path: &str, form: Option<Form<'_>>) -> Result<Answer> {
        let mut builder = Request::builder().method(method).uri(path).header(HOST, HOST_NAME);
        let body = match form {
            None => String::new(),
            Some(Form::App { id, secret, body }) => {
                let basic = STANDARD.encode(format!("{id}:{secret}"));
                builder = builder.header(AUTHORIZATION, format!("Basic {basic}"));
                builder = builder.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
                return self.exchange(builder.body(Full::from(body))?).await;
            }
            Some(Form::Page { body }) => {
                builder = builder.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
                builder = builder.header(ORIGIN, ISSUER).header("sec-fetch-site", "same-origin");
                body
            }
        };
        if !self.cookies.is_empty() {
            let jar: Vec<String> =
                self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            builder = builder.header(COOKIE, jar.join("; "));
        }
        self.exchange(builder.body(Full::from(body))?).await
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Answer> {
        let sender = self.connected().await?;
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        self.keep_cookies(&response)?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        let location = match parts.headers.get(LOCATION) {
            Some(value) => Some(value.to_str()?.to_owned()),
            None => None,
        };
        let retry_after =
            parts.headers.get(RETRY_AFTER).map(|value| anyhow::Ok(value.to_str()?.parse::<u64>()?));
        Ok(Answer { status: parts.status, location, retry_after: retry_after.transpose()?, body })
    }

    fn keep_cookies<B>(&mut self, response: &Response<B>) -> Result<()> {
        for value in response.headers().get_all(SET_COOKIE) {
            let text = value.to_str()?;
            let Some((name, rest)) = text.split_once('=') else { bail!("an unreadable cookie") };
            let value = rest.split(';').next().unwrap_or_default();
            self.cookies.retain(|(known, _)| known != name);
            if !rest.contains("Max-Age=0") {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        Ok(())
    }
}

/// A parameter of an address's query, decoded.
pub fn parameter(address: &str, name: &str) -> Option<String> {
    let (_, query) = address.split_once('?')?;
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

/// The path and query of an address of the broker's.
pub fn own_path(address: &str) -> Result<&str> {
    let path = address.strip_prefix(ISSUER).unwrap_or(address);
    ensure!(path.starts_with('/'), "{address} is not the broker's");
    Ok(path)
}
