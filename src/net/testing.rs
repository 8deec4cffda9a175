//! Helpers that the tests of this room share: certificates, a listener with a small handler, and clients that choose
//! every byte themselves.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::protocol::Peer;

/// Writes a self-signed pair for `hosts` into `folder`.
pub(super) fn write_pair(folder: &Path, name: &str, hosts: &[&str]) {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let pair = rcgen::generate_simple_self_signed(hosts).unwrap();
    std::fs::write(folder.join(format!("{name}.crt")), pair.cert.pem()).unwrap();
    std::fs::write(folder.join(format!("{name}.key")), pair.signing_key.serialize_pem()).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "a test's client calls a test's own listener")]
pub(super) async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

/// A listener on a free port, with the state of its handler.
pub(super) struct TestListener {
    pub(super) address: SocketAddr,
    pub(super) requests: Arc<AtomicUsize>,
    pub(super) entered: Arc<Notify>,
    pub(super) go_on: Arc<Notify>,
    pub(super) drain: Drain,
    pub(super) serving: JoinHandle<()>,
}

/// Settings whose timeouts tests can wait for.
pub(super) fn impatient() -> Settings {
    let short = Duration::from_millis(100);
    let long = Duration::from_mins(1);
    let timeouts = Timeouts { handshake: short, header: short, body: short, idle: long };
    Settings { timeouts, ..Settings::default() }
}

impl TestListener {
    /// Starts one. Its handler answers `/` with `hello`, `/peer` with the peer, `/body` with the length of the body,
    /// `/page` and `/large` with many bytes, and `/wait` and `/work` once the test lets it. Finished work counts as a
    /// thousand requests.
    pub(super) async fn start(transport: Transport, settings: Settings) -> Self {
        let requests = Arc::new(AtomicUsize::new(0));
        let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let handler = tower::service_fn({
            let state = (Arc::clone(&requests), Arc::clone(&entered), Arc::clone(&go_on));
            move |request| respond(state.clone(), request)
        });
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr();
        let drain = Drain::default();
        let serving = listener.serve(transport, handler, settings, drain.clone());
        let serving = tokio::spawn(async move { serving.await.unwrap() });
        Self { address, requests, entered, go_on, drain, serving }
    }

    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Sends `bytes` without encryption and reads until the listener closes.
    pub(super) async fn say(&self, bytes: impl AsRef<[u8]>) -> String {
        say(&mut connect(self.address).await, bytes).await
    }
}

/// Sends `bytes` and reads until the other side closes; a reset counts as closing.
pub(super) async fn say(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    bytes: impl AsRef<[u8]>,
) -> String {
    // The listener may close before it has read everything.
    let _ = stream.write_all(bytes.as_ref()).await;
    let _ = stream.flush().await;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut chunk).await {
        answer.extend_from_slice(&chunk[..length]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// The length of the response to `/page`, in bytes.
pub(super) const PAGE: usize = 20_000;

/// The length of the response to `/large`, in bytes.
pub(super) const LARGE: usize = 3_000_000;

type State = (Arc<AtomicUsize>, Arc<Notify>, Arc<Notify>);

async fn respond(
    (requests, entered, go_on): State,
    request: Request<RequestBody>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    requests.fetch_add(1, Ordering::SeqCst);
    let text = match request.uri().path() {
        "/peer" => format!("{:?}", request.extensions().get::<Peer>()),
        "/body" => match request.into_body().collect().await {
            Ok(body) => body.to_bytes().len().to_string(),
            Err(error) => {
                let mut response = Response::new(Full::from(error.to_string()));
                *response.status_mut() = StatusCode::BAD_REQUEST;
                return Ok(response);
            }
        },
        "/wait" => {
            entered.notify_one();
            go_on.notified().await;
            "done".to_owned()
        }
        "/work" => {
            entered.notify_one();
            go_on.notified().await;
            requests.fetch_add(1_000, Ordering::SeqCst);
            "done".to_owned()
        }
        "/page" => "x".repeat(PAGE),
        "/large" => "x".repeat(LARGE),
        _ => "hello".to_owned(),
    };
    Ok(Response::new(Full::from(text)))
}

/// A folder of certificates, and clients that trust all of them.
pub(super) struct Authority {
    pub(super) folder: tempfile::TempDir,
    pub(super) certificates: Arc<Certificates>,
}

impl Authority {
    pub(super) fn of(pairs: &[(&str, &[&str])]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, hosts) in pairs {
            write_pair(folder.path(), name, hosts);
        }
        let certificates = Arc::new(Certificates::load(folder.path()).unwrap());
        Self { folder, certificates }
    }

    pub(super) fn transport(&self) -> Transport {
        Transport::Tls(Arc::clone(&self.certificates))
    }

    pub(super) fn client(&self, alpn: &[&str]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "crt") {
                roots.add(CertificateDer::from_pem_file(path).unwrap()).unwrap();
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}

/// A TLS connection to `address` for `host`.
pub(super) async fn connect_tls(
    config: ClientConfig,
    address: SocketAddr,
    host: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    tls_over(connect(address).await, config, host).await
}

/// TLS for `host` over a connection.
pub(super) async fn tls_over(
    stream: TcpStream,
    config: ClientConfig,
    host: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let host = ServerName::try_from(host.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(host, stream).await
}

/// Waits until `so` returns true; fails if it never does.
pub(super) async fn eventually(what: &str, so: impl Fn() -> bool) {
    let waiting = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// A stream that writes one byte at a time.
pub(super) struct Dribble(pub(super) TcpStream);

impl AsyncRead for Dribble {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Dribble {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, &bytes[..bytes.len().min(1)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
